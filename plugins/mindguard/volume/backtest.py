"""Replay past days to see which alerts would have fired. Pure, from counts alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from mindguard.settings import Settings
from mindguard.settings.volume import Funnel, KeyEvent
from mindguard.volume.event_day import calendar_of, frame_of_scope, unclean_days
from mindguard.volume.frame import judge_history
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
    """Judge every day as if it had just closed. A day that pages counts as an incident and is never a later baseline.

    Args:
        counts: `event_name, day, count` since `HISTORY_DAYS` before `first`.
        registry: the key events.
        first: first day to judge.
        last: last day to judge.
        calendar: tells holidays and exchanged workdays.
        unclean: days that must not serve as a baseline, by event, or under `TOTAL` for all events.
        funnels: alerts of later steps fold into the first broken step.

    Returns:
        `day, event_name, scope, state, actual, yesterday, weekday_median, net_ratio, verdict_dod, verdict_net,
        investigate, page, folded_into` of every row of every day; and `plain`: the verdict of the bare rule, day over
        day below 1 - tolerance, which ignores everything else.
    """
    import pandas as pd

    frames = []
    for replayed in replay_days(
        counts, registry, first=first, last=last, calendar=calendar, unclean=unclean, funnels=funnels
    ):
        before = [*replayed.history.counts[:, -2], replayed.history.total[-2]]
        frame = replayed.frame
        frame["plain"] = frame["actual"] < (1 - frame["tolerance"]) * before
        frames.append(frame.assign(day=replayed.day))
    columns = ["day", "event_name", "scope", "state", "actual", "yesterday", "weekday_median", "net_ratio"]
    columns += ["verdict_dod", "verdict_net", "investigate", "page", "folded_into", "plain"]
    return pd.concat(frames, ignore_index=True)[columns]


@dataclass(frozen=True)
class ReplayedDay:
    """A past day, its frame, and the counts that were known on that day."""

    day: date
    history: History
    frame: pd.DataFrame


def replay_days(
    counts: pd.DataFrame,
    registry: Sequence[KeyEvent],
    *,
    first: date,
    last: date,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
    funnels: Sequence[Funnel] = (),
) -> Iterator[ReplayedDay]:
    """Yield each day as `replay` judges it; the arguments are those of `replay`."""
    days = [first + timedelta(days=number) for number in range(-HISTORY_DAYS, (last - first).days + 1)]
    history = History.of(counts, [event.name for event in registry], days)
    unclean_so_far = {name: set(some) for name, some in (unclean or {}).items()}
    for day in days[HISTORY_DAYS:]:
        past = history.until(day)
        series = series_by_name(past, registry, calendar=calendar, unclean=unclean_so_far)
        frame = judge_history(past, series, registry, funnels=funnels)
        for name in frame.loc[frame["page"], "event_name"]:
            unclean_so_far.setdefault(str(name), set()).add(day)
        yield ReplayedDay(day, past, frame)


def backtest(
    suites: Sequence[Suite], source: EventSource, settings: Settings, *, first: date, last: date, as_of: datetime
) -> Iterator[tuple[date, Suite, ValidationResult, pd.DataFrame]]:
    """Judge each day as if it had just closed, by each suite whose frame comes from the package.

    Args:
        suites: the suites to judge by; those that judge the answer to a query are skipped.
        source: the product events.
        settings: the settings, which give the key events, funnels, calendar and excluded days.
        first: first day to judge.
        last: last day to judge.
        as_of: the moment of judging, aware; events that landed later are not counted.

    Yields:
        Each day with each suite, its result, and the rows that it judged.

    Raises:
        SuiteUnchecked: A day could not be checked.
    """
    registry, calendar = settings.key_events, calendar_of(settings, last)
    names = [event.name for event in registry]
    reach = (last - first).days + HISTORY_DAYS
    counts = source.counts(names, day=last, as_of=as_of, days_before=reach)
    unclean = unclean_days(settings)
    for replayed in replay_days(
        counts, registry, first=first, last=last, calendar=calendar, unclean=unclean, funnels=settings.funnels
    ):
        for suite in suites:
            if suite.meta.frame == "funnels":
                # Days that paged stay in the funnels' baselines.
                series = series_by_name(replayed.history, registry, calendar=calendar, unclean=unclean)
                frame = judge_funnels(settings.funnels, series)
            else:
                frame = frame_of_scope(suite, replayed.frame)
            if suite.meta.frame:
                yield replayed.day, suite, validate(suite, frame), frame
