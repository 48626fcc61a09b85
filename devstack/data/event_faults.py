"""Faults for the sample events: what goes wrong on the way from a phone to ClickHouse, put into a table on purpose.

Each works on any table that is made like `mindguard.events`, between two instants. A fault that takes rows away cannot
tell the rollup: `mindguard volume install` counts anew after it.
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
        table: `database.table`.
    """

    def __init__(self, client: Client, table: str) -> None:
        self.client = client
        self.table = clickhouse_identifier(*table.split("."))

    def drop(
        self, since: datetime, until: datetime, *, share: float, names: Sequence[str] = (), platform: str = ""
    ) -> None:
        """Events of these names, or of all, are lost: this share of them, on this platform or on all."""
        self._run("delete_events", since, until, percent=100 * share, names=list(names), platform=platform)

    def delay(self, since: datetime, until: datetime, *, names: Sequence[str] = (), seconds: int) -> None:
        """They land so much later."""
        self._run("delay_events", since, until, names=list(names), seconds=seconds)

    def shift_clock(self, since: datetime, until: datetime, *, share: float, seconds: int) -> None:
        """This share of the phones has a clock that is ahead by so much, or behind where it is negative."""
        self._run("insert_shifted_events", since, until, percent=100 * share, seconds=seconds)
        self._run("delete_unshifted_events", since, until, percent=100 * share)

    def rename(self, since: datetime, until: datetime, *, name: str, into: str) -> None:
        """A new event: a copy of another under its own name."""
        self._run("insert_renamed_events", since, until, name=name, into=into)

    def load_twice(self, since: datetime, until: datetime) -> None:
        """A batch is loaded a second time, with the same ids."""
        self._run("insert_events_again", since, until)

    def _run(self, statement: str, since: datetime, until: datetime, **values: object) -> None:
        text = (SQL / f"{statement}.sql").read_text("utf-8").replace("{table}", self.table)
        bounds = {"since": since.astimezone(UTC), "until": until.astimezone(UTC)}
        self.client.command(text, parameters={**bounds, **values}, settings={"mutations_sync": 1})
