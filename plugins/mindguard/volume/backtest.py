"""Replay of past days: what would have fired. Pure, from counts alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from mindguard.settings import Settings
from mindguard.settings.volume import Funnel, KeyEvent
from mindguard.volume.frame import judge_history
from mindguard.volume.frames import _scope, calendar_of, unclean_days
from mindguard.volume.funnels import judge_funnels
from mindguard.volume.series import HISTORY_DAYS, History, series_by_name
from mindguard.volume.source import EventSource
from mindguard.volume.suites import Suite, ValidationResult, validate
from mindguard.workdays import Workdays

if TYPE_CHECKING:
    import pandas as pd


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
