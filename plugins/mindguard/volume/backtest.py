"""Replay of past days: what would have fired, and where falls are known, how well. Pure, from counts alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from mindguard.settings import Settings
from mindguard.settings.volume import Funnel, KeyEvent
from mindguard.volume.frame import judge_history
from mindguard.volume.frames import _scope, calendar_of, unclean_days
from mindguard.volume.funnels import judge_funnels
from mindguard.volume.series import HISTORY_DAYS, TOTAL, History, series_by_name
from mindguard.volume.source import EventSource
from mindguard.volume.suites import Suite, ValidationResult, validate
from mindguard.workdays import Workdays

if TYPE_CHECKING:
    import pandas as pd

_WEEK = 7


@dataclass(frozen=True)
class Fall:
    """A fall that is known to have happened, of one event or of all (`TOTAL`)."""

    event_name: str
    first: date
    last: date

    def holds(self, day: date, *, after: int = 0) -> bool:
        """Whether this is one of its days, or at most so many days after them."""
        return self.first <= day <= self.last + timedelta(days=after)


@dataclass(frozen=True)
class Score:
    """One rule against known falls."""

    found: int
    falls: int
    false_alerts: int
    false_incidents: int
    """False alerts of an event that had no alert in the week before: what opens a card."""
    alerts: int
    weeks: float

    @property
    def recall(self) -> float:
        """Share of falls with an alert on one of their days; not a number without falls."""
        return self.found / self.falls if self.falls else math.nan

    @property
    def precision(self) -> float:
        """Share of alerts that belong to a fall; not a number without alerts."""
        return 1 - self.false_alerts / self.alerts if self.alerts else math.nan

    @property
    def false_per_week(self) -> float:
        """Alerts a week that belong to no fall."""
        return self.false_alerts / self.weeks


def replay(
    counts: pd.DataFrame,
    registry: Sequence[KeyEvent],
    *,
    first: date,
    last: date,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
    funnels: Sequence[Funnel] = (),
) -> pd.DataFrame:
    """Judge every day as if it had just closed. A day that pages is an open incident, so no baseline for later ones.

    Args:
        counts: `event_name, day, count` from `HISTORY_DAYS` before `first` on.

    Returns:
        `day, event_name, scope, state, actual, yesterday, weekday_median, net_ratio, verdict_dod, verdict_net,
        investigate, page, folded_into` of every row of every day; and `plain`: the bare rule, day over day below
        1 - tolerance, with nothing else looked at.
    """
    import pandas as pd

    frames = []
    for day, past, frame in replay_frames(
        counts, registry, first=first, last=last, calendar=calendar, unclean=unclean, funnels=funnels
    ):
        before = [*past.counts[:, -2], past.total[-2]]
        frame["plain"] = frame["actual"] < (1 - frame["tolerance"]) * before
        frames.append(frame.assign(day=day))
    columns = ["day", "event_name", "scope", "state", "actual", "yesterday", "weekday_median", "net_ratio"]
    columns += ["verdict_dod", "verdict_net", "investigate", "page", "folded_into", "plain"]
    return pd.concat(frames, ignore_index=True)[columns]


def replay_frames(
    counts: pd.DataFrame,
    registry: Sequence[KeyEvent],
    *,
    first: date,
    last: date,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
    funnels: Sequence[Funnel] = (),
) -> Iterator[tuple[date, History, pd.DataFrame]]:
    """Each day, the history as it stood then, and the frame; arguments as of `replay`."""
    days = [first + timedelta(days=number) for number in range(-HISTORY_DAYS, (last - first).days + 1)]
    history = History.of(counts, [event.name for event in registry], days)
    dirty = {name: set(some) for name, some in (unclean or {}).items()}
    for day in days[HISTORY_DAYS:]:
        past = history.until(day)
        frame = judge_history(past, registry, calendar=calendar, unclean=dirty, funnels=funnels)
        for name in frame.loc[frame["page"], "event_name"]:
            dirty.setdefault(str(name), set()).add(day)
        yield day, past, frame


def score(replayed: pd.DataFrame, rule: str, falls: Sequence[Fall]) -> Score:
    """How well one rule does.

    Args:
        rule: a column of `replay`: page, investigate or plain.
        falls: known ones. An alert within a week after a fall of a rare event is no false one, since it is judged
            over seven days.
    """
    fired = replayed[replayed[rule]]
    alerts = list(zip(fired["event_name"], fired["day"], strict=True))
    days_of: dict[str, list[date]] = {TOTAL: list(fired["day"])}
    for name, day in alerts:
        days_of.setdefault(name, []).append(day)
    found = sum(any(fall.holds(day) for day in days_of.get(fall.event_name, [])) for fall in falls)
    by_name: dict[str, list[Fall]] = {}
    for name in {name for name, _ in alerts}:
        by_name[name] = [fall for fall in falls if fall.event_name in (name, TOTAL)]
    false = [
        (name, day)
        for name, day in alerts
        if not any(fall.holds(day, after=_WEEK - 1) for fall in by_name.get(name, []))
    ]
    there = set(alerts)
    opened = [
        (name, day)
        for name, day in false
        if not any((name, day - timedelta(days=back)) in there for back in range(1, _WEEK + 1))
    ]
    return Score(found, len(falls), len(false), len(opened), len(alerts), replayed["day"].nunique() / _WEEK)


def backtest(
    suites: Sequence[Suite], source: EventSource, settings: Settings, *, first: date, last: date, as_of: datetime
) -> Iterator[tuple[date, ValidationResult]]:
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
                yield day, validate(suite, judge_funnels(settings.funnels, series))
            elif suite.meta.frame:
                yield day, validate(suite, _scope(suite, frame))
