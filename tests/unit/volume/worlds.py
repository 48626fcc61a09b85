"""Small worlds of daily counts: steady weeks whose last day is judged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pandas as pd

from mindguard.settings.rota import CalendarSettings
from mindguard.settings.volume import Funnel, KeyEvent
from mindguard.volume.frame import build_frame
from mindguard.volume.funnels import judge_funnels
from mindguard.volume.series import HISTORY_DAYS, History, series_by_name
from mindguard.workdays import Workdays

DAY = date(2026, 9, 15)  # a Tuesday, far from holidays
WEEKEND = 0.7  # share of a workday's traffic
BASES = {"app_open": 10_000, "view": 6_000, "start": 3_000, "submit": 2_000, "share": 900, "pay": 500}
CALENDAR = Workdays.of(CalendarSettings())
BUY = Funnel(name="buy", steps=("view", "start", "submit", "pay"))


def history(day: date = DAY, bases: Mapping[str, int] = BASES) -> dict[str, dict[date, int]]:
    """Return counts by event and day, lower at weekends, without noise."""
    days = [day - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)]
    return {
        name: {each: round(base * (WEEKEND if each.weekday() >= 5 else 1)) for each in days}
        for name, base in bases.items()
    }


def counts(world: Mapping[str, Mapping[date, int]]) -> pd.DataFrame:
    """Return the counts as the rollup does: without a row where nothing was counted."""
    rows = [(name, day, count) for name, days in world.items() for day, count in days.items() if count]
    return pd.DataFrame(rows, columns=["event_name", "day", "count"])


def judge(
    world: Mapping[str, Mapping[date, int]], day: date = DAY, funnels: tuple[Funnel, ...] = (), **more: Any
) -> pd.DataFrame:
    """Return the judged frame, by event name."""
    registry = more.pop("registry", None) or [KeyEvent(name=name) for name in world if name]
    frame = build_frame(counts(world), registry, day=day, calendar=CALENDAR, funnels=funnels, **more)
    return frame.set_index("event_name")


def judge_steps(world: Mapping[str, Mapping[date, int]]) -> pd.DataFrame:
    """Return the frame of the funnel `BUY`, by step."""
    days = [DAY - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)]
    found = History.of(counts(world), list(world), days)
    series = series_by_name(found, [KeyEvent(name=name) for name in world], calendar=CALENDAR)
    return judge_funnels([BUY], series).set_index("step")
