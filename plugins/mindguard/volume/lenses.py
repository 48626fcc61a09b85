"""The two lenses on one event: day over day, and against the usual weekday net of how all events moved. Pure."""

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
TOTAL_SPREAD = 0.05  # all traffic has no fleet to be net of
_MIN_SPREAD = 0.06  # four weeks cannot show less
_MAX_SPREAD = 0.5
Z_GATE = 2.5
"""Standard deviations by which a fall must exceed chance."""

STRONG_Z_GATE = 5.0
"""Standard deviations at which the second lens pages alone: a Monday's fall may hide behind a quiet Sunday."""

_MEDIAN_VARIANCE = 1 + math.pi / 2 / BASELINE_DAYS  # of a new value, and of the median of four that it is held against
FLEET_EVENTS = 5
"""So many events must tell how all move together; with fewer, all traffic does."""

FLEET_GONE = 0.1
"""When all traffic is a tenth of what it should be, no event can be told apart from the rest."""

HOLIDAY_SPREAD = 0.15
"""Extra relative noise of holidays and exchanged days: each event takes them differently; no baseline is like them."""


@dataclass(frozen=True)
class Lens:
    ratio: float
    verdict: Verdict
    z: float
    low: bool


def day_over_day(actual: float, before: float, tolerance: float, min_base: float) -> Lens:
    return _judge(actual, before, actual + before, tolerance, min_base)


def against_expected(actual: float, expected: float, spread: float, tolerance: float, min_base: float) -> Lens:
    return _judge(actual, expected, _MEDIAN_VARIANCE * (expected + (spread * expected) ** 2), tolerance, min_base)


def _judge(actual: float, base: float, variance: float, tolerance: float, min_base: float) -> Lens:
    """Below: by more than the tolerance, and not by chance. Small and not clearly below: nothing can be said."""
    ratio = actual / max(base, 1.0)  # finite: nothing today and nothing before is still a vanished event
    z = (actual - base) / math.sqrt(max(variance, 1.0))
    if base > 0 and ratio < 1 - tolerance and z <= -Z_GATE:
        return Lens(ratio, "below", z, base < min_base)
    if base < min_base or ratio < 1 - tolerance:
        return Lens(ratio, "inconclusive", z, base < min_base)
    return Lens(ratio, "ok", z, low=False)


def widened(day: Lens, week: Lens) -> Lens:
    """The verdict over seven days where one day was too few; the figures stay those of the day."""
    if day.low and day.verdict != "below":
        return Lens(day.ratio, week.verdict, day.z, low=True)
    return day


def relative_spreads(history: History, rows: Sequence[Series]) -> NDArray[np.float64]:
    """Relative noise of each event beyond chance, net of the fleet: robust, from weekdays of the last four weeks."""
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
    for number, (each, there) in enumerate(zip(moves, known, strict=True)):
        if there.sum() >= WEEK:
            measured = 1.4826 / math.sqrt(2) * float(np.median(np.abs(each[there])))
            chance = 1 / max(1.0, float(np.median(history.counts[number, -_SPREAD_DAYS:])))  # is counted by itself
            own = math.sqrt(max(0.0, measured**2 - chance))
            result[number] = min(_MAX_SPREAD, max(_MIN_SPREAD, own))
    return result


def fleet_move(rows: Sequence[Series], registry: Sequence[KeyEvent], total: Mapping[str, Any]) -> float:
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
    """How all key events together moved in the last seven days."""
    sums = [series.weeks()[2:] for series in rows]
    expected = sum(each for _, each in sums)
    return sum(each for each, _ in sums) / expected if expected else 1.0
