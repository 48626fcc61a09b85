"""The frame that the event volume suites judge: one row for each key event, and one for all traffic.

Pure: counts go in, verdicts come out; there is no clock and no query here.

There are two lenses. The first is the rule of the operations document (section 3.4), day over day. The second compares
with the median of the last four clean days of the same weekday, net of how all events moved. Either one opens an
investigation; somebody is paged only if both agree, or if the second leaves no doubt. A row that cannot be judged is
`inconclusive`, which is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mindguard.errors import MindGuardError
from mindguard.settings.volume import Funnel, KeyEvent
from mindguard.volume.days import Kind
from mindguard.volume.lenses import (
    FLEET_GONE,
    HOLIDAY_SPREAD,
    STRONG_Z_GATE,
    TOTAL_SPREAD,
    Lens,
    against_expected,
    day_over_day,
    fleet_move,
    relative_spreads,
    week_move,
    widened,
)
from mindguard.volume.series import (
    BASELINE_DAYS,
    HISTORY_DAYS,
    TOTAL,
    WEEK,
    History,
    Series,
    age_of,
    median_of,
    series_by_name,
)
from mindguard.workdays import Workdays

if TYPE_CHECKING:
    import pandas as pd


State = Literal["tracked", "new", "learning", "never_seen", "no_baseline"]

COLUMNS = (
    *("event_name", "scope", "state", "actual", "yesterday", "yesterday_date", "day_over_day", "weekday_median"),
    *("baseline_days", "baseline_dates", "fleet_move", "net_ratio", "z", "spread", "verdict_dod", "verdict_net"),
    *("window_days", "low_volume", "investigate", "page", "folded_into", "onset", "cause", "tolerance", "min_base"),
    *("owner", "runbook", "confirmed_ratio"),
)
"""The frame's columns, which suites may name; `build_frame` explains them."""


class FrameError(MindGuardError):
    """A cell of the frame that must be a finite number is not one."""


def build_frame(
    counts: pd.DataFrame,
    registry: Sequence[KeyEvent],
    *,
    day: date,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
    funnels: Sequence[Funnel] = (),
) -> pd.DataFrame:
    """Judge one day.

    Args:
        counts: `event_name`, `day`, `count` (whole numbers), each day as it was known when it was as old as the judged
            day is now. Names that are not key events, or the empty name for all of them, are added to
            the total.
        registry: the key events.
        day: the judged day; it may still be running.
        calendar: tells holidays and exchanged workdays.
        unclean: days that must not serve as a baseline (open incidents, excluded days), by event, or under `TOTAL` for
            all events.
        funnels: alerts of later steps fold into the first broken step.

    Returns:
        One row for each key event (`scope` event) in the order of the registry, then one for all traffic (`scope`
        total, named `TOTAL`). Columns:

        - `state`: tracked; new (first seen, or expected from, this day); learning (fewer than three days to compare
          with, so far); never_seen; no_baseline (no clean day to compare with). Only tracked rows can page.
        - `actual`; `yesterday` with `yesterday_date`: the day before, or the last clean day before it;
          `day_over_day` = actual / yesterday, 0 for a vanished event. Null if there is no such day.
        - `weekday_median` of `baseline_days` days (`baseline_dates`); `fleet_move`: how all events moved against
          theirs; `net_ratio` = actual / (weekday_median x fleet_move); `z`: its distance from 1 in standard deviations.
        - `verdict_dod`, `verdict_net`: below, ok or inconclusive; over `window_days`: 1, or 7 for a rare event.
        - `low_volume`: one day had too few events to judge.
        - `investigate`: either lens is below. `page`: both are below, or `z` alone leaves no doubt; and the row is not
          `folded_into` another row, whose fall explains it. `confirmed_ratio`: `net_ratio` if the row pages, else 1.
        - `onset`, `cause`: empty; `mindguard.volume.cause.with_causes` fills them.
        - `tolerance`, `min_base`, `owner`, `runbook`: from the registry.

        All numbers of tracked rows are finite.

    Raises:
        FrameError: A number of a tracked row is not finite.
    """
    days = [day - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)]
    history = History.of(counts, [event.name for event in registry], days)
    series = series_by_name(history, registry, calendar=calendar, unclean=unclean)
    return judge_history(history, series, registry, funnels=funnels)


def judge_history(
    history: History, series: Mapping[str, Series], registry: Sequence[KeyEvent], *, funnels: Sequence[Funnel] = ()
) -> pd.DataFrame:
    """Return the frame of `build_frame` for the history's last day.

    Args:
        history: counts in the order of the registry.
        series: the same counts as `series_by_name` returns them.
        registry: the key events.
        funnels: alerts of later steps fold into the first broken step.

    Raises:
        FrameError: A number of a tracked row is not finite.
    """
    import pandas as pd

    total = _total_row(series[TOTAL])
    events = [series[event.name] for event in registry]
    spreads = relative_spreads(history, events)
    fleet = fleet_move(events, registry, total)
    week = week_move(events)
    frame = pd.DataFrame(
        [
            _event_row(event, each, float(spread), fleet, week)
            for event, each, spread in zip(registry, events, spreads, strict=True)
        ]
        + [total]
    )
    _fold(frame, series, funnels)
    _require_finite(frame)
    return frame


def _event_row(event: KeyEvent, series: Series, spread: float, fleet: float, week: float) -> dict[str, Any]:
    actual, reference, median = int(series.counts[series.last]), series.reference(), median_of(series)
    age = age_of(event, series)
    state = _state(age, median, reference)
    dod = net = Lens(math.nan, "inconclusive", 0.0, low=False)
    window = 1
    if series.kinds[series.last] is not Kind.ORDINARY:
        spread = math.hypot(spread, HOLIDAY_SPREAD)
    if age is not None and age > 0 and reference is not None:
        dod = day_over_day(actual, int(series.counts[reference]), event.tolerance, event.min_base)
    if state == "tracked" and math.isfinite(fleet):
        net = against_expected(actual, median * fleet, spread, event.tolerance, event.min_base)
    if state == "tracked" and any(lens.low and lens.verdict != "below" for lens in (dod, net)):
        window = WEEK
        sums = series.weeks()
        dod = widened(dod, day_over_day(sums.comparable, sums.week_before, event.tolerance, event.min_base))
        net = widened(
            net, against_expected(sums.current, sums.expected * week, spread, event.tolerance, event.min_base)
        )
    verdict_net = "inconclusive" if fleet < FLEET_GONE else net.verdict
    return {
        "event_name": event.name,
        "scope": "event",
        "state": state,
        **_facts(series, actual, reference, dod, median),
        "fleet_move": fleet,
        "net_ratio": net.ratio,
        "z": net.z,
        "spread": spread,
        "verdict_dod": dod.verdict,
        "verdict_net": verdict_net,
        "window_days": window,
        "low_volume": dod.low or net.low,
        "investigate": "below" in (dod.verdict, verdict_net),
        "page": verdict_net == "below" and (dod.verdict == "below" or net.z <= -STRONG_Z_GATE),
        "folded_into": "",
        "onset": None,
        "cause": "",
        "tolerance": event.tolerance,
        "min_base": event.min_base,
        "owner": event.owner or "",
        "runbook": event.runbook or "",
    }


def _state(age: int | None, median: float, reference: int | None) -> State:
    if age is None:
        return "never_seen"
    if age <= 0:
        return "new"
    if math.isfinite(median) and reference is not None:
        return "tracked"
    return "learning" if age <= WEEK * BASELINE_DAYS else "no_baseline"


def _facts(series: Series, actual: int, reference: int | None, dod: Lens, median: float) -> dict[str, Any]:
    return {
        "actual": actual,
        "yesterday": math.nan if reference is None else float(series.counts[reference]),
        "yesterday_date": series.reference_date(),
        "day_over_day": dod.ratio,
        "weekday_median": median,
        "baseline_days": len(series.baseline()),
        # A text, since suites may name the column; code takes the dates from the series.
        "baseline_dates": " ".join(day.isoformat() for day in series.baseline_dates()),
    }


def _total_row(series: Series) -> dict[str, Any]:
    """Return the row of all traffic. Its weekdays are not netted, so an outage of everything shows here."""
    event = KeyEvent(name=TOTAL)
    return _event_row(event, series, TOTAL_SPREAD, 1.0, 1.0) | {"scope": "total"}


def _fold(frame: pd.DataFrame, series: Mapping[str, Series], funnels: Sequence[Funnel]) -> None:
    """Fold rows into the paging row whose fall explains theirs; a folded row does not page by itself."""
    from mindguard.volume.funnels import judge_funnels

    paging = set(frame.loc[frame["page"], "event_name"])
    folds = {}
    if TOTAL in paging:
        with_all = frame["investigate"] & (frame["verdict_net"] != "below") & (frame["scope"] == "event")
        folds = dict.fromkeys(frame.loc[with_all, "event_name"], TOTAL)
    for row in judge_funnels(funnels, series).to_dict("records"):
        if row["first_broken"] in paging and row["first_broken"] != row["step"]:
            folds[row["step"]] = row["first_broken"]
    frame["folded_into"] = [
        folds.get(name, "") if fallen else ""
        for name, fallen in zip(frame["event_name"], frame["investigate"], strict=True)
    ]
    frame["page"] &= frame["folded_into"] == ""
    frame["confirmed_ratio"] = frame["net_ratio"].where(frame["page"], 1.0)


def _require_finite(frame: pd.DataFrame) -> None:
    """Raise FrameError if a number of a tracked row is not finite: a suite would treat it as missing, and pass."""
    import numpy as np

    tracked = frame[frame["state"] == "tracked"]
    for column in ("actual", "yesterday", "day_over_day", "weekday_median", "net_ratio", "z"):
        invalid = tracked[~np.isfinite(tracked[column].astype(float))]
        if len(invalid):
            raise FrameError(f"{column} of {', '.join(invalid['event_name'])} is not a finite number")
