"""Read the rollup into small frames. The client is passed in; only the check of the rollup reads raw events."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from mindguard.connections import LARGEST_ANSWER, Resolve, clickhouse_client, clickhouse_limits
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.settings.volume import VolumeSettings
from mindguard.sql import clickhouse_identifier, clickhouse_literal, clickhouse_statement
from mindguard.volume.days import Window, day_start, windows
from mindguard.volume.series import HISTORY_DAYS
from mindguard.whole_answers import views, what_cuts

if TYPE_CHECKING:
    import pandas as pd
    from clickhouse_connect.driver.client import Client


_PERMANENT = re.compile(r"\bcode: (?:47|60|81|497)\b", re.IGNORECASE)
"""Codes of ClickHouse for a table, database or column that is not there, and for a right that the user lacks."""


class EventsUnreadable(MindGuardError):
    """ClickHouse refuses a statement of the event volume check; its own error is in the message."""


@dataclass(frozen=True)
class EventSource:
    """The events' tables: the raw one, and the rollup `<table>_rollup` that the view `<table>_rollup_view` fills."""

    client: Client
    settings: VolumeSettings
    zone: ZoneInfo
    conn_id: str = ""

    @classmethod
    def of(cls, settings: Settings, resolve: Resolve) -> Self:
        """Return the tables that the settings name, read through the settings' connection.

        Raises:
            ConnectionMissing, MindGuardError: The connection is not configured, or cannot be opened.
        """
        conn_id = settings.connections.events
        return cls(clickhouse_client(resolve(conn_id)), settings.volume, settings.zone, conn_id)

    def name(self, suffix: str = "") -> str:
        """Return the quoted name of the raw table, or of the table or view named like it with this suffix."""
        return clickhouse_identifier(*f"{self.settings.table}{suffix}".split("."))

    @cached_property
    def dimensions(self) -> str:
        """The quoted names of the dimensions, as a list of columns."""
        return ", ".join(map(clickhouse_identifier, self.settings.dimensions))

    def cells(self, landed: str = "true") -> str:
        """Return the rollup's definition as a statement over raw events.

        Args:
            landed: a condition in SQL that restricts the raw events, for instance by when they landed.
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

    def names(self, since: datetime) -> list[str]:
        """Return the names of the events since a moment, the most frequent first."""
        statement = clickhouse_statement("select_event_names", rollup=self.name("_rollup"))
        return list(map(str, self.query(statement, ("name", "count"), since=int(since.timestamp()))["name"]))

    def counts(
        self, names: Sequence[str], *, day: date, as_of: datetime, days_before: int = HISTORY_DAYS
    ) -> pd.DataFrame:
        """Return `event_name, day, count, misdated` of the day and of days before it.

        All other names together form one row for each day, with an empty name. An event without a row counts as 0.

        Args:
            names: the events.
            day: the latest day.
            as_of: the moment of judging, aware; events that landed later are not counted. Each earlier day is counted
                as it was known when it was as old as `day` is at `as_of`.
            days_before: number of days before `day`.
        """
        counts = self.select(
            "select_event_counts",
            ("name", "day_start", "count", "misdated_count"),
            names,
            windows(day, as_of=as_of, count=days_before, zone=self.zone),
        )
        return counts.rename(columns={"name": "event_name", "misdated_count": "misdated"})

    def slots(self, names: Sequence[str], days: Sequence[Window]) -> pd.DataFrame:
        """Return `name, day, second, count` by five minutes; `second` counts from the day's start."""
        return self.select("select_event_slots", ("name", "day_start", "second", "count"), names, days)

    def losses(self, names: Sequence[str], days: Sequence[Window]) -> pd.DataFrame:
        """Return `name, dimension, value, day, count`."""
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
        """Run one of the statements over days; its column `day_start` is returned as `day`."""
        starts = [int(window.start.timestamp()) for window in days]
        # Days need not be consecutive. A day that is left out must not be added to the day before it, so the end of
        # each day is an edge too.
        edges = sorted({*starts, *(int(window.end.timestamp()) for window in days)})
        answer = self.query(
            clickhouse_statement(statement, rollup=self.name("_rollup"), **parts),
            columns,
            names=list(names),
            starts=starts,
            edges=edges,
            cutoffs=[int(window.cutoff.timestamp()) for window in days],
            since=min(starts),
            until=max(edges),
        )
        answer["day"] = answer.pop("day_start").map(
            {start: window.day for start, window in zip(starts, days, strict=True)}
        )
        return answer

    def edges(self, days: Sequence[date]) -> dict[int, date]:
        """Return the days by their start in seconds of Unix time."""
        return {int(day_start(day, self.zone).timestamp()): day for day in days}

    @cached_property
    def _views(self) -> dict[str, str]:
        return views(self.client)

    def query(self, statement: str, columns: Sequence[str], **values: Any) -> pd.DataFrame:
        """Return the answer as a frame with these columns, even if it has no rows.

        Raises:
            EventsUnreadable: The server refuses the statement, or a setting would make its answer partial.
        """
        import pandas as pd

        answer = self._answer(statement, values, {}, hint="`mindguard volume install` makes the rollup")
        # With an empty answer the driver returns no columns.
        return answer if len(answer) else pd.DataFrame(columns=list(columns))

    def small(self, query: str, *, limit_s: int, most: int, **values: Any) -> pd.DataFrame:
        """Return the answer to a query that somebody wrote; without columns if it has no rows.

        Args:
            query: the query.
            limit_s: seconds after which the server ends it.
            most: number of rows above which the server refuses it.
            **values: values that it binds.

        Raises:
            EventsUnreadable: The server refuses the query, or a setting would make its answer partial.
        """
        limits = {"max_execution_time": limit_s, "max_result_rows": most, "max_result_bytes": LARGEST_ANSWER}
        return self._answer(query, values, clickhouse_limits(self.client, **limits), hint="correct the query")

    def _answer(self, query: str, values: Mapping[str, Any], limits: Mapping[str, float], *, hint: str) -> pd.DataFrame:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        if cuts := what_cuts(query, (), self._views):
            raise EventsUnreadable(f"{cuts} makes the answer partial", hint="remove that setting")
        try:
            answer: pd.DataFrame = self.client.query_df(query, parameters=dict(values), settings=dict(limits))
        except ClickHouseError as error:
            raise self._unreadable(error, hint) from error
        return answer

    def run(self, statement: str, **values: Any) -> None:
        """Run a statement that returns nothing.

        Raises:
            EventsUnreadable: The server refuses the statement.
        """
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            self.client.command(statement, parameters=values)
        except ClickHouseError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception, hint: str = "") -> EventsUnreadable:
        line = " ".join(str(error).split())[:400]
        permanent = bool(_PERMANENT.search(line))
        return EventsUnreadable(f"{self.conn_id}: {line}" if self.conn_id else line, hint=hint, permanent=permanent)
