"""The frame that each suite asks for: one of the product events' frames, or the answer to the suite's query."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from mindguard import postgres_session
from mindguard.alerts.alert import Release
from mindguard.connections import Resolve, postgres_conninfo
from mindguard.resources import include_dir
from mindguard.settings import Settings
from mindguard.volume.days import Moment, day_start
from mindguard.volume.details import EventDetails
from mindguard.volume.event_day import EventDay, frame_of_scope
from mindguard.volume.source import EventSource, EventsUnreadable
from mindguard.volume.suites import MAX_ROWS, Suite, SuiteUnchecked, SuiteUnsound

if TYPE_CHECKING:
    import pandas as pd

_QUERY_TIMEOUT_S = 120
"""The time limit of a suite's query, which must not burden a database for longer."""

_WRONG_QUERY = re.compile(r"\bcode: (?:46|47|62)\b", re.IGNORECASE)
"""How ClickHouse says that a function or column does not exist, or that the query is not SQL."""


class Frames:
    """The frames of one day. Connections are opened when a suite first needs them.

    Args:
        settings: the settings, which give the connections' ids, the time zone, and what `EventDay` needs.
        moment: the judged day, and until when events count.
        resolve: looks up a connection by its id.
        incidents: days on which an incident was open, by event, or under `TOTAL`.
        releases: the latest releases, which may explain a fall.
    """

    def __init__(
        self,
        settings: Settings,
        moment: Moment,
        *,
        resolve: Resolve,
        incidents: Mapping[str, Collection[date]] | None = None,
        releases: Sequence[Release] = (),
    ) -> None:
        self.settings = settings
        self.moment = moment
        self._resolve = resolve
        self._incidents = incidents or {}
        self._releases = releases

    @cached_property
    def source(self) -> EventSource:
        """The product events."""
        return EventSource.of(self.settings, self._resolve)

    @cached_property
    def events(self) -> EventDay:
        """The day's product events."""
        return EventDay(self.source, self.settings, self.moment, self._incidents, self._releases)

    def of(self, suite: Suite) -> pd.DataFrame:
        """Return the frame that the suite asks for.

        Raises:
            SuiteUnchecked: the database refuses the suite's query.
            SuiteUnsound: the query names a column or function that does not exist, or is not SQL.
            EventsUnreadable: ClickHouse refuses one of the package's own queries.
        """
        if suite.meta.query:
            return self._queried(suite)
        if suite.meta.frame == "funnels":
            return self.events.funnels()
        return frame_of_scope(suite, self.events.frame)

    def details(self, suite: Suite) -> Mapping[str, EventDetails]:
        """Return the details of the events that the suite judges, by name; none if it judges a query's answer.

        Raises:
            EventsUnreadable: ClickHouse refuses a query.
        """
        if not suite.meta.frame:
            return {}
        # A funnel's step shows its counts; why an event fell is shown with the event.
        return self.events.details({} if suite.meta.frame == "funnels" else self.events.causes)

    def _bounds(self) -> dict[str, datetime]:
        """Return the day's bounds, UTC; while the day runs, those of a day's length until now.

        A day can therefore be judged at any hour.
        """
        zone, day = self.settings.zone, self.moment.day
        since, end = (day_start(each, zone) for each in (day, day + timedelta(days=1)))
        until = min(end, self.moment.as_of.astimezone(UTC))
        return {"since": until - (end - since), "until": until}

    def _queried(self, suite: Suite) -> pd.DataFrame:
        import pandas as pd
        import psycopg

        query = (include_dir() / str(suite.meta.query)).read_text("utf-8")
        bounds = self._bounds()
        if suite.meta.connection == "events":
            try:
                return self.source.small(query, limit_s=_QUERY_TIMEOUT_S, most=MAX_ROWS, **bounds)
            except EventsUnreadable as error:
                kind = SuiteUnsound if _WRONG_QUERY.search(error.message) else SuiteUnchecked
                raise kind(f"{suite.name}: {error.message}", hint=error.hint) from error
        conn_id = self.settings.connections.app
        conninfo = postgres_conninfo(self._resolve(conn_id))
        try:
            with postgres_session.connect(conninfo, connect_timeout=10) as connection:
                connection.read_only = True
                postgres_session.limit_transaction(connection, _QUERY_TIMEOUT_S)
                columns, rows = postgres_session.read(connection, query, bounds, most=MAX_ROWS + 1)
                return pd.DataFrame(rows, columns=columns)
        except psycopg.Error as error:
            wrong = (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction, psycopg.errors.SyntaxError)
            kind = SuiteUnsound if isinstance(error, wrong) else SuiteUnchecked
            line = f"{suite.name}: {conn_id}: {' '.join(str(error).split())[:300]}"
            raise kind(line) from error
