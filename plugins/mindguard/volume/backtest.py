"""Replay of past days: what would have fired. Pure, from counts alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from mindguard.alerts.workdays import Workdays
from mindguard.settings import Funnel, KeyEvent
from mindguard.volume.frame import HISTORY_DAYS, History, judge_history

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
