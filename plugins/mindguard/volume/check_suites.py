"""Suites against what is there: the frame that each one asks for, and the judgement."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from mindguard.alerts.alert import Release
from mindguard.connections import Resolve, postgres_conninfo
from mindguard.resources import include_dir
from mindguard.settings import Settings
from mindguard.sql import statement
from mindguard.volume.backtest import replay_frames
from mindguard.volume.check import calendar_of, load_counts, load_frame, load_funnels, load_history, unclean_days
from mindguard.volume.days import day_start
from mindguard.volume.frame import HISTORY_DAYS, TOTAL, series_by_name
from mindguard.volume.funnels import judge_funnels
from mindguard.volume.source import EventSource
from mindguard.volume.suites import Judged, Suite, SuiteUnchecked, judge

if TYPE_CHECKING:
    import pandas as pd


SHOWN_DAYS = 28
"""Days that charts show."""


_QUERY_TIMEOUT_MS = 120_000
"""A suite's query must not weigh on the application's database for longer."""


@dataclass(frozen=True)
class Moment:
    """What is judged, and as it looked when (aware)."""

    day: date
    as_of: datetime


class Frames:
    """The frames of one day, each made at the first use and once.

    Args:
        resolve: gives a connection by its id.
        incidents: see `mindguard.volume.check.unclean_days`.
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
        self._incidents = incidents
        self._releases = releases

    @cached_property
    def source(self) -> EventSource:
        """The product events."""
        return EventSource.of(self.settings, self._resolve)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """See `mindguard.volume.check.load_counts`."""
        return load_counts(self.source, self.settings, day=self.moment.day, as_of=self.moment.as_of)

    def history(self) -> dict[str, list[tuple[date, int]]]:
        """Counts of the day and the four weeks before it, oldest first, by event; all traffic under `TOTAL`."""
        history = load_history(self.counts, self.settings, day=self.moment.day)
        lines = zip((*history.names, TOTAL), (*history.counts, history.total), strict=True)
        days = history.days[-SHOWN_DAYS:]
        return {name: list(zip(days, line[-SHOWN_DAYS:].tolist(), strict=True)) for name, line in lines}

    @cached_property
    def volume(self) -> pd.DataFrame:
        """See `mindguard.volume.check.load_frame`."""
        moment = self.moment
        return load_frame(
            self.source,
            self.settings,
            day=moment.day,
            as_of=moment.as_of,
            incidents=self._incidents,
            releases=self._releases,
            counts=self.counts,
        )

    def of(self, suite: Suite) -> pd.DataFrame:
        """The frame that the suite asks for.

        Raises:
            SuiteUnchecked: its query is refused.
            EventsUnreadable: ClickHouse refuses.
        """
        if suite.meta.query:
            return self._queried(suite)
        if suite.meta.frame == "funnels":
            moment = self.moment
            return load_funnels(
                self.source,
                self.settings,
                day=moment.day,
                as_of=moment.as_of,
                incidents=self._incidents,
                counts=self.counts,
            )
        return _scope(suite, self.volume)

    def _bounds(self) -> dict[str, datetime]:
        """The day; while it still runs, the same length of time until now, so that no hour is too early to judge."""
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
            return self.source.query(query, [], **bounds)
        conninfo = postgres_conninfo(self._resolve(self.settings.connections.app))
        try:
            with psycopg.connect(conninfo, connect_timeout=10) as opened:
                opened.read_only = True
                opened.execute(statement("set_statement_timeout"), {"milliseconds": str(_QUERY_TIMEOUT_MS)})
                found = opened.execute(query.encode(), bounds)
                return pd.DataFrame(found.fetchall(), columns=[each.name for each in found.description or ()])
        except psycopg.Error as error:
            raise SuiteUnchecked(f"{suite.name}: {' '.join(str(error).split())[:300]}") from error


def _scope(suite: Suite, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["scope"] == ("total" if suite.meta.frame == "all_traffic" else "event")]


def backtest(
    suites: Sequence[Suite], source: EventSource, settings: Settings, *, first: date, last: date, as_of: datetime
) -> Iterator[tuple[date, Judged]]:
    """Each of the suites that judge a frame of the package, on each day as if it had just closed.

    Raises:
        SuiteUnchecked: a day could not be checked.
    """
    registry, calendar = settings.key_events, calendar_of(settings, last)
    names = [event.name for event in registry]
    reach = (last - first).days + HISTORY_DAYS
    counts = source.counts(names, day=last, as_of=as_of, days_before=reach)
    unclean = unclean_days(settings)
    for day, past, frame in replay_frames(
        counts, registry, first=first, last=last, calendar=calendar, unclean=unclean, funnels=settings.funnels
    ):
        for suite in suites:
            if suite.meta.frame == "funnels":
                series = series_by_name(past, registry, calendar=calendar, unclean=unclean)
                yield day, judge(suite, judge_funnels(settings.funnels, series))
            elif suite.meta.frame:
                yield day, judge(suite, _scope(suite, frame))
