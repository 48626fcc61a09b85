"""Suites against what is there: the frame that each one asks for, and the judgement."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from mindguard.alerts.alert import Release
from mindguard.connections import Resolve, postgres_conninfo
from mindguard.resources import include_dir
from mindguard.settings import Settings
from mindguard.settings.rota import CalendarSettings
from mindguard.sql import statement
from mindguard.volume.cause import explain
from mindguard.volume.days import Window, day_start, windows
from mindguard.volume.frame import build_frame
from mindguard.volume.funnels import judge_funnels
from mindguard.volume.series import HISTORY_DAYS, TOTAL, History, series_by_name
from mindguard.volume.source import EventSource
from mindguard.volume.suites import Suite, SuiteUnchecked
from mindguard.workdays import Workdays

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
        incidents: see `mindguard.volume.frames.unclean_days`.
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
        """See `mindguard.volume.frames.load_counts`."""
        return load_counts(self.source, self.settings, day=self.moment.day, as_of=self.moment.as_of)

    def history(self) -> dict[str, list[tuple[date, int]]]:
        """Counts of the day and the four weeks before it, oldest first, by event; all traffic under `TOTAL`."""
        history = load_history(self.counts, self.settings, day=self.moment.day)
        lines = zip((*history.names, TOTAL), (*history.counts, history.total), strict=True)
        days = history.days[-SHOWN_DAYS:]
        return {name: list(zip(days, line[-SHOWN_DAYS:].tolist(), strict=True)) for name, line in lines}

    @cached_property
    def volume(self) -> pd.DataFrame:
        """See `mindguard.volume.frames.load_frame`."""
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


_log = logging.getLogger(__name__)


def calendar_of(settings: Settings, day: date) -> Workdays:
    """The calendar for judging this day; a warning in the log where its year is not published yet."""
    own = settings.volume.calendar or (settings.rota.calendar if settings.rota else CalendarSettings())
    calendar = Workdays.of(own)
    for year in calendar.unpublished([day - timedelta(days=HISTORY_DAYS), day]):
        _log.warning("the holidays of %s are not known: renew chinesecalendar, or list them in volume.calendar", year)
    return calendar


def unclean_days(
    settings: Settings, incidents: Mapping[str, Collection[date]] | None = None
) -> dict[str, frozenset[date]]:
    """Days that are no baseline, by event; those for all events under `TOTAL`.

    Args:
        incidents: days on which an incident was open, by event, or under `TOTAL`.
    """
    found = {name: frozenset(days) for name, days in (incidents or {}).items()}
    return found | {TOTAL: found.get(TOTAL, frozenset()) | frozenset(settings.volume.excluded_days)}


def load_counts(source: EventSource, settings: Settings, *, day: date, as_of: datetime) -> pd.DataFrame:
    """`source.counts` of all key events.

    Raises:
        EventsUnreadable: ClickHouse refuses the query.
    """
    return source.counts([event.name for event in settings.key_events], day=day, as_of=as_of)


def load_history(counts: pd.DataFrame, settings: Settings, *, day: date) -> History:
    """What `load_counts` gave, with every gap filled."""
    days = [day - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)]
    return History.of(counts, [event.name for event in settings.key_events], days)


def load_frame(
    source: EventSource,
    settings: Settings,
    *,
    day: date,
    as_of: datetime,
    incidents: Mapping[str, Collection[date]] | None = None,
    releases: Sequence[Release] = (),
    counts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """`build_frame` of what the rollup holds, explained.

    Args:
        counts: of `load_counts`, where they are there already.
        day: the day to judge, in the settings' zone.
        as_of: aware; what landed later is not counted, and earlier days are looked at at the same age.
        incidents: see `unclean_days`.

    Raises:
        EventsUnreadable: ClickHouse refuses a query.
    """
    if counts is None:
        counts = load_counts(source, settings, day=day, as_of=as_of)
    frame = build_frame(
        counts,
        settings.key_events,
        day=day,
        calendar=calendar_of(settings, day),
        unclean=unclean_days(settings, incidents),
        funnels=settings.funnels,
    )
    fallen = frame[frame["investigate"]]
    if fallen.empty:
        return frame
    today = counts[counts["day"] == day]
    misdated = {name: int(count) for name, count in zip(today["event_name"], today["misdated"], strict=True)}
    misdated[TOTAL] = sum(misdated.values())
    # All traffic is explained by the key events together.
    names = [event.name for event in settings.key_events]
    asked = names if TOTAL in set(fallen["event_name"]) else list(fallen["event_name"])
    baseline = {date.fromisoformat(each) for dates in fallen["baseline_dates"] for each in dates.split()}
    before = {each for each in fallen["yesterday_date"] if each}
    return explain(
        frame,
        slots=_with_total(source.slots(asked, _windows(source, {day} | baseline, day, as_of)), ["day", "second"]),
        losses=_with_total(
            source.losses(asked, _windows(source, {day} | before, day, as_of)), ["dimension", "value", "day"]
        ),
        misdated=misdated,
        day=day,
        day_start=day_start(day, source.zone),
        releases=releases,
    )


def load_funnels(
    source: EventSource,
    settings: Settings,
    *,
    day: date,
    as_of: datetime,
    incidents: Mapping[str, Collection[date]] | None = None,
    counts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """`judge_funnels` of what the rollup holds; arguments as of `load_frame`."""
    if counts is None:
        counts = load_counts(source, settings, day=day, as_of=as_of)
    series = series_by_name(
        load_history(counts, settings, day=day),
        settings.key_events,
        calendar=calendar_of(settings, day),
        unclean=unclean_days(settings, incidents),
    )
    return judge_funnels(settings.funnels, series)


def _windows(source: EventSource, days: set[date], day: date, as_of: datetime) -> list[Window]:
    return [each for each in windows(day, as_of=as_of, count=HISTORY_DAYS, zone=source.zone) if each.day in days]


def _with_total(found: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    import pandas as pd

    total: pd.DataFrame = found.groupby(keys, as_index=False)[["count"]].sum().assign(name=TOTAL)
    return pd.concat([found, total])
