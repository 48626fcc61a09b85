"""One day of product events: counts from the rollup, the frame that is judged, its causes, and the funnels."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from mindguard.alerts.alert import Release
from mindguard.settings import Settings
from mindguard.settings.rota import CalendarSettings
from mindguard.volume.cause import Cause, explain, with_causes
from mindguard.volume.days import Moment, Window, day_start, windows
from mindguard.volume.details import DayCount, EventDetails
from mindguard.volume.frame import judge_history
from mindguard.volume.funnels import judge_funnels
from mindguard.volume.series import HISTORY_DAYS, TOTAL, History, Series, series_by_name
from mindguard.volume.source import EventSource
from mindguard.volume.suites import Suite
from mindguard.workdays import Workdays

if TYPE_CHECKING:
    import pandas as pd

SHOWN_DAYS = 28
"""Number of days that charts show."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EventDay:
    """One day of product events. Each part is loaded or computed when it is first used, and only once.

    Attributes:
        source: the rollup.
        settings: the settings, which give the key events, funnels, calendar and excluded days.
        moment: the judged day, and until when events count.
        incidents: days on which an incident was open, by event, or under `TOTAL`.
        releases: the latest releases, which may explain a fall.

    Raises:
        EventsUnreadable: from each part; ClickHouse refuses a query.
    """

    source: EventSource
    settings: Settings
    moment: Moment
    incidents: Mapping[str, Collection[date]] = field(default_factory=dict)
    releases: Sequence[Release] = ()

    @cached_property
    def counts(self) -> pd.DataFrame:
        """`EventSource.counts` of all key events."""
        names = [event.name for event in self.settings.key_events]
        return self.source.counts(names, day=self.moment.day, as_of=self.moment.as_of)

    @cached_property
    def history(self) -> History:
        """The counts with every gap filled."""
        days = [self.moment.day - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)]
        return History.of(self.counts, [event.name for event in self.settings.key_events], days)

    @cached_property
    def series(self) -> dict[str, Series]:
        """The counts of each key event, and of all traffic under `TOTAL`, with what is known about each day."""
        return series_by_name(
            self.history,
            self.settings.key_events,
            calendar=calendar_of(self.settings, self.moment.day),
            unclean=unclean_days(self.settings, self.incidents),
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The columns of `mindguard.volume.frame.build_frame`, with onset and cause of the rows to investigate."""
        return with_causes(self._judged, self.causes) if self.causes else self._judged

    @cached_property
    def causes(self) -> dict[str, Cause]:
        """The cause of each row to investigate, by event."""
        fallen = [str(name) for name in self._judged.loc[self._judged["investigate"], "event_name"]]
        if not fallen:
            return {}
        # All traffic is explained by all key events together.
        names = [event.name for event in self.settings.key_events] if TOTAL in fallen else fallen
        day, series = self.moment.day, [self.series[name] for name in fallen]
        slots = self.source.slots(names, self._windows({day, *(at for each in series for at in each.baseline_dates())}))
        losses = self.source.losses(names, self._windows({day, *(each.reference_date() for each in series)}))
        return explain(
            self._judged,
            self.series,
            slots=_with_total(slots, ["day", "second"]),
            losses=_with_total(losses, ["dimension", "value", "day"]),
            misdated=self._misdated(),
            day=day,
            day_start=day_start(day, self.source.zone),
            releases=self.releases,
        )

    def funnels(self) -> pd.DataFrame:
        """Return the frame of `mindguard.volume.funnels.judge_funnels`."""
        return judge_funnels(self.settings.funnels, self.series)

    def details(self, causes: Mapping[str, Cause]) -> dict[str, EventDetails]:
        """Return what is known about each event, and about all traffic under `TOTAL`, beside its row.

        Args:
            causes: the causes that are shown, by event.
        """
        lines = zip((*self.history.names, TOTAL), (*self.history.counts, self.history.total), strict=True)
        days = self.history.days[-SHOWN_DAYS:]
        return {
            name: EventDetails(
                counts=tuple(map(DayCount, days, line[-SHOWN_DAYS:].tolist())),
                baseline=self.series[name].baseline_dates(),
                cause=causes.get(name),
            )
            for name, line in lines
        }

    @cached_property
    def _judged(self) -> pd.DataFrame:
        return judge_history(self.history, self.series, self.settings.key_events, funnels=self.settings.funnels)

    def _misdated(self) -> dict[str, int]:
        today = self.counts[self.counts["day"] == self.moment.day]
        misdated = {name: int(count) for name, count in zip(today["event_name"], today["misdated"], strict=True)}
        return misdated | {TOTAL: sum(misdated.values())}

    def _windows(self, days: Collection[date | None]) -> list[Window]:
        moment = self.moment
        all_days = windows(moment.day, as_of=moment.as_of, count=HISTORY_DAYS, zone=self.source.zone)
        return [each for each in all_days if each.day in days]


def calendar_of(settings: Settings, day: date) -> Workdays:
    """Return the calendar for judging this day; log a warning if the holidays of its year are not published yet."""
    calendar_settings = settings.volume.calendar or (settings.rota.calendar if settings.rota else CalendarSettings())
    calendar = Workdays.of(calendar_settings)
    for year in calendar.unpublished([day - timedelta(days=HISTORY_DAYS), day]):
        _log.warning("the holidays of %s are not known: renew chinesecalendar, or list them in volume.calendar", year)
    return calendar


def unclean_days(
    settings: Settings, incidents: Mapping[str, Collection[date]] | None = None
) -> dict[str, frozenset[date]]:
    """Return the days that must not serve as a baseline, by event; those for all events are under `TOTAL`.

    Args:
        settings: the settings, which give the excluded days.
        incidents: days on which an incident was open, by event, or under `TOTAL`.
    """
    found = {name: frozenset(days) for name, days in (incidents or {}).items()}
    return found | {TOTAL: found.get(TOTAL, frozenset()) | frozenset(settings.volume.excluded_days)}


def frame_of_scope(suite: Suite, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the suite judges: the key events, or all traffic."""
    return frame[frame["scope"] == ("total" if suite.meta.frame == "all_traffic" else "event")]


def _with_total(found: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    import pandas as pd

    total: pd.DataFrame = found.groupby(keys, as_index=False)[["count"]].sum().assign(name=TOTAL)
    return pd.concat([found, total])
