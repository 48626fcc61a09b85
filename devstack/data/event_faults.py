"""Faults for the sample events: what goes wrong on the way from a phone to ClickHouse, put into a table on purpose.

Each fault works on any table that is made like `mindguard.events`, between two aware instants: `since` belongs to
the range, `until` does not. The rollup does not notice a fault that removes rows: run `mindguard volume install`
after it, which counts everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from clickhouse_connect.driver.client import Client

from mindguard.sql import clickhouse_identifier

SQL = Path(__file__).parents[1] / "sql" / "clickhouse"


class EventFaults:
    """Puts faults into one table.

    Args:
        client: client of ClickHouse.
        table: `database.table`.
    """

    def __init__(self, client: Client, table: str) -> None:
        self.client = client
        self.table = clickhouse_identifier(*table.split("."))

    def drop(
        self, since: datetime, until: datetime, *, share: float, names: Sequence[str] = (), platform: str = ""
    ) -> None:
        """Lose events.

        Args:
            since: beginning of the range.
            until: end of the range.
            share: share of the events that is lost, from 0 to 1.
            names: the events that are lost; all by default.
            platform: the platform that loses them; all by default.
        """
        self._run("delete_events", since, until, percent=100 * share, names=list(names), platform=platform)

    def delay(self, since: datetime, until: datetime, *, names: Sequence[str] = (), seconds: int) -> None:
        """Let events land later.

        Args:
            since: beginning of the range.
            until: end of the range.
            names: the events that land later; all by default.
            seconds: the delay.
        """
        self._run("delay_events", since, until, names=list(names), seconds=seconds)

    def shift_clock(self, since: datetime, until: datetime, *, share: float, seconds: int) -> None:
        """Set the clocks of some phones wrong.

        Args:
            since: beginning of the range.
            until: end of the range.
            share: share of the phones, from 0 to 1.
            seconds: how far their clocks are ahead; a negative number puts them behind.
        """
        self._run("insert_shifted_events", since, until, percent=100 * share, seconds=seconds)
        self._run("delete_unshifted_events", since, until, percent=100 * share)

    def rename(self, since: datetime, until: datetime, *, name: str, into: str) -> None:
        """Add a new event: a copy of another under a name of its own.

        Args:
            since: beginning of the range.
            until: end of the range.
            name: the event that is copied.
            into: name of the copy.
        """
        self._run("insert_renamed_events", since, until, name=name, into=into)

    def load_twice(self, since: datetime, until: datetime) -> None:
        """Load the batch a second time, with the same ids."""
        self._run("insert_events_again", since, until)

    def _run(self, statement: str, since: datetime, until: datetime, **values: object) -> None:
        text = (SQL / f"{statement}.sql").read_text("utf-8").replace("{table}", self.table)
        bounds = {"since": since.astimezone(UTC), "until": until.astimezone(UTC)}
        self.client.command(text, parameters={**bounds, **values}, settings={"mutations_sync": 1})
