"""The two lenses on one event: day over day, and against the usual weekday, net of how all events moved. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mindguard.settings.volume import KeyEvent
from mindguard.volume.series import BASELINE_DAYS, WEEK, History, Series, median_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Verdict = Literal["below", "ok", "inconclusive"]


_SPREAD_DAYS = 28
_UNKNOWN_SPREAD = 0.1
TOTAL_SPREAD = 0.05  # fixed, since for all traffic there is no movement of other events to subtract
_MIN_SPREAD = 0.06  # a smaller spread cannot be measured from four weeks
_MAX_SPREAD = 0.5
Z_GATE = 2.5
"""Standard deviations by which a fall must exceed chance."""

STRONG_Z_GATE = 5.0
"""Standard deviations at which the second lens pages alone, since a Monday's fall may hide behind a quiet Sunday."""

_MEDIAN_VARIANCE = 1 + math.pi / 2 / BASELINE_DAYS  # variance of a new value plus that of the median of four
FLEET_EVENTS = 5
"""The least number of events from which their common movement is measured; with fewer, all traffic is used."""

FLEET_GONE = 0.1
"""The share of its expected level below which all traffic is gone: no event can be told from the rest then."""

HOLIDAY_SPREAD = 0.15
"""Additional relative noise of holidays and exchanged days: they affect each event differently, and no baseline day
resembles them."""


@dataclass(frozen=True)
class Lens:
    """The result of one lens.

    Attributes:
        ratio: the count divided by the count that it is compared with; finite.
        verdict: below, ok or inconclusive.
        z: the difference in standard deviations; negative if the count is lower.
        low: whether the volume is below the event's `min_base`.
    """

    ratio: float
    verdict: Verdict
    z: float
    low: bool


def day_over_day(actual: float, before: float, tolerance: float, min_base: float) -> Lens:
    """Compare a count with an earlier one; both vary by chance."""
    return _judge(actual, before, actual + before, tolerance, min_base)


def against_expected(actual: float, expected: float, spread: float, tolerance: float, min_base: float) -> Lens:
    """Compare a count with an expected one, which varies by chance and by the relative `spread`."""
    return _judge(actual, expected, _MEDIAN_VARIANCE * (expected + (spread * expected) ** 2), tolerance, min_base)


def _judge(actual: float, base: float, variance: float, tolerance: float, min_base: float) -> Lens:
    """Judge a count: it is below if it is lower by more than the tolerance and by more than chance explains.

    A count with a small base that is not clearly below is inconclusive.
    """
    ratio = actual / max(base, 1.0)  # It is finite even if both are 0, which counts as a vanished event.
    z = (actual - base) / math.sqrt(max(variance, 1.0))
    if base > 0 and ratio < 1 - tolerance and z <= -Z_GATE:
        return Lens(ratio, "below", z, base < min_base)
    if base < min_base or ratio < 1 - tolerance:
        return Lens(ratio, "inconclusive", z, base < min_base)
    return Lens(ratio, "ok", z, low=False)


def widened(day: Lens, week: Lens) -> Lens:
    """Return the verdict over seven days if one day had too few events; the figures stay those of the day."""
    if day.low and day.verdict != "below":
        return Lens(day.ratio, week.verdict, day.z, low=True)
    return day


def relative_spreads(history: History, rows: Sequence[Series]) -> NDArray[np.float64]:
    """Return each event's relative noise beyond chance, net of how all events moved.

    It is estimated robustly from week-over-week changes of the last four weeks.
    """
    import numpy as np

    if not rows:
        return np.empty(0)
    logs = np.log(history.counts + 0.5)
    usual = np.array([[series.usual(position) for position in range(len(history.days))] for series in rows])
    pairs = usual[:, WEEK:] & usual[:, :-WEEK]
    moves = np.where(pairs, logs[:, WEEK:] - logs[:, :-WEEK], np.nan)[:, -1 - _SPREAD_DAYS : -1]
    result = np.full(len(rows), _UNKNOWN_SPREAD)
    known = np.isfinite(moves)
    columns = known.any(axis=0)
    moves, known = moves[:, columns], known[:, columns]
    if len(rows) >= FLEET_EVENTS and columns.any():
        moves = moves - np.nanmedian(moves, axis=0)
    for number, (each, known_here) in enumerate(zip(moves, known, strict=True)):
        if known_here.sum() >= WEEK:
            measured = 1.4826 / math.sqrt(2) * float(np.median(np.abs(each[known_here])))
            chance = 1 / max(1.0, float(np.median(history.counts[number, -_SPREAD_DAYS:])))  # accounted for elsewhere
            beyond_chance = math.sqrt(max(0.0, measured**2 - chance))
            result[number] = min(_MAX_SPREAD, max(_MIN_SPREAD, beyond_chance))
    return result


def fleet_move(rows: Sequence[Series], registry: Sequence[KeyEvent], total: Mapping[str, Any]) -> float:
    """Return how all events moved against their weekdays: the median ratio, or all traffic's if few are known."""
    import numpy as np

    ratios = [
        series.counts[series.last] / median
        for series, event in zip(rows, registry, strict=True)
        if (median := median_of(series)) >= event.min_base
    ]
    if len(ratios) >= FLEET_EVENTS:
        return float(np.median(ratios))
    return float(total["net_ratio"])


def week_move(rows: Sequence[Series]) -> float:
    """Return how all key events together moved in the last seven days, as a ratio to what was expected."""
    sums = [series.weeks() for series in rows]
    expected = sum(each.expected for each in sums)
    return sum(each.current for each in sums) / expected if expected else 1.0
