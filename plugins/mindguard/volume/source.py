"""What the rollup says, as small frames. The client is handed in; nothing here reads raw events but the check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from mindguard.connections import Resolve, clickhouse_client
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.settings.volume import VolumeSettings
from mindguard.sql import clickhouse_identifier, clickhouse_literal, clickhouse_statement
from mindguard.volume.days import Window, day_start, windows
from mindguard.volume.series import HISTORY_DAYS

if TYPE_CHECKING:
    import pandas as pd
    from clickhouse_connect.driver.client import Client


class EventsUnreadable(MindGuardError):
    """ClickHouse refuses a statement of the event volume check; its own words are in the message."""


@dataclass(frozen=True)
class EventSource:
    """The events' tables: raw, and the rollup `<table>_rollup` that the view `<table>_rollup_view` fills."""

    client: Client
    settings: VolumeSettings
    zone: ZoneInfo

    @classmethod
    def of(cls, settings: Settings, resolve: Resolve) -> Self:
        """The tables that the settings name, over their connection.

        Raises:
            ConnectionMissing, MindGuardError: it is not configured, or cannot be reached.
        """
        return cls(clickhouse_client(resolve(settings.connections.events)), settings.volume, settings.zone)

    def name(self, suffix: str = "") -> str:
        """Quoted name of the raw table, or of the one beside it whose name ends so."""
        return clickhouse_identifier(*f"{self.settings.table}{suffix}".split("."))

    @cached_property
    def dimensions(self) -> str:
        """The dimensions' quoted names, for a list of columns."""
        return ", ".join(map(clickhouse_identifier, self.settings.dimensions))

    def cells(self, landed: str = "true") -> str:
        """The rollup's definition as a statement over raw events, of those that landed then.

        Args:
            landed: a condition, SQL already.
        """
        quoted = map(clickhouse_identifier, self.settings.dimensions)
        return clickhouse_statement(
            "select_rollup_cells",
            table=self.name(),
            event=clickhouse_identifier(self.settings.name),
            event_time=clickhouse_identifier(self.settings.event_time),
            ingest_time=clickhouse_identifier(self.settings.ingest_time),
            dimensions=self.dimensions,
            dimension_texts=", ".join(f"toString({name}) AS {name}" for name in quoted),
            landed=landed,
        ).rstrip()

    def counts(
        self, names: Sequence[str], *, day: date, as_of: datetime, days_before: int = HISTORY_DAYS
    ) -> pd.DataFrame:
        """`event_name, day, count, misdated` of the day and those before it, each as old as `day` is at `as_of`.

        Names that are not asked for are one row a day with an empty name. An event without row was counted 0 times.

        Args:
            as_of: aware; what landed later is not counted.
        """
        found = self.select(
            "select_event_counts",
            ("name", "day_start", "count", "misdated_count"),
            names,
            windows(day, as_of=as_of, count=days_before, zone=self.zone),
        )
        return found.rename(columns={"name": "event_name", "misdated_count": "misdated"})

    def slots(self, names: Sequence[str], days: Sequence[Window]) -> pd.DataFrame:
        """`name, day, second, count` by five minutes; second counts from the day's start."""
        return self.select("select_event_slots", ("name", "day_start", "second", "count"), names, days)

    def losses(self, names: Sequence[str], days: Sequence[Window]) -> pd.DataFrame:
        """`name, dimension, value, day, count`."""
        pairs = ", ".join(
            f"({clickhouse_literal(name)}, toString({clickhouse_identifier(name)}))"
            for name in self.settings.dimensions
        )
        return self.select(
            "select_event_losses", ("name", "dimension", "value", "day_start", "count"), names, days, pairs=pairs
        )

    def select(
        self, statement: str, columns: Sequence[str], names: Sequence[str], days: Sequence[Window], **parts: str
    ) -> pd.DataFrame:
        """Run one of the statements over days; their `day_start` comes back as `day`."""
        starts = [int(window.start.timestamp()) for window in days]
        # A day between two asked ones must not count into the one before it: where a gap begins there is an edge too.
        edges = sorted({*starts, *(int(window.end.timestamp()) for window in days)})
        found = self.query(
            clickhouse_statement(statement, rollup=self.name("_rollup"), **parts),
            columns,
            names=list(names),
            starts=starts,
            edges=edges,
            cutoffs=[int(window.cutoff.timestamp()) for window in days],
            since=min(starts),
            until=max(edges),
        )
        found["day"] = found.pop("day_start").map(
            {start: window.day for start, window in zip(starts, days, strict=True)}
        )
        return found

    def edges(self, days: Sequence[date]) -> dict[int, date]:
        """The days' starts in seconds of Unix time."""
        return {int(day_start(day, self.zone).timestamp()): day for day in days}

    def query(self, statement: str, columns: Sequence[str], **values: Any) -> pd.DataFrame:
        """The answer as a frame with these columns, also where it has no row.

        Raises:
            EventsUnreadable: the server refuses.
        """
        import pandas as pd
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            found: pd.DataFrame = self.client.query_df(statement, parameters=values)
        except ClickHouseError as error:
            raise EventsUnreadable(_first_line(error), hint="`mindguard volume install` makes the rollup") from error
        return found if len(found) else pd.DataFrame(columns=list(columns))  # the driver leaves the columns out then

    def run(self, statement: str, **values: Any) -> None:
        """A statement without answer.

        Raises:
            EventsUnreadable: the server refuses.
        """
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            self.client.command(statement, parameters=values)
        except ClickHouseError as error:
            raise EventsUnreadable(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
