"""Funnels: `expected_events - actual_events` of the operations document (section 3.4), step by step. Pure.

The expected count of a step is today's count of the step before, times the usual share of users who continue. A
loss therefore shows at the step that lost the events, and not at later steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mindguard.settings.volume import Funnel

if TYPE_CHECKING:
    import pandas as pd

    from mindguard.volume.series import Series

MIN_UPSTREAM = 100
TOLERANCE = 0.2
COLUMNS = (
    *("funnel", "step", "upstream", "upstream_actual", "actual", "conversion", "usual_conversion"),
    *("expected", "gap", "gap_low", "gap_high", "verdict", "first_broken"),
)


def judge_funnels(funnels: Sequence[Funnel], series: Mapping[str, Series]) -> pd.DataFrame:
    """Judge each step of each funnel, except the first.

    Args:
        funnels: their steps are key events.
        series: every step's counts; the judged day is the last.

    Returns:
        Columns `funnel, step, upstream, upstream_actual, actual, conversion, usual_conversion` (median of the last
        four clean days like this one), `expected, gap` (expected - actual, in events) within `gap_low … gap_high`
        (`Z_GATE` standard deviations), `verdict` (below, ok, inconclusive) and `first_broken`: for the first step at
        which the funnel breaks and every later step, the name of that first step; else empty. If there is nothing to
        compare with, numbers are null and the verdict is inconclusive.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for funnel in funnels:
        first_broken = ""
        for upstream, step in zip(funnel.steps, funnel.steps[1:], strict=False):
            row = _judge_step(series[upstream], series[step])
            if row["verdict"] == "below" and not first_broken:
                first_broken = step
            rows.append(
                {"funnel": funnel.name, "step": step, "upstream": upstream, **row, "first_broken": first_broken}
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _judge_step(before: Series, after: Series) -> dict[str, Any]:
    import numpy as np

    from mindguard.volume.lenses import Z_GATE
    from mindguard.volume.series import MIN_BASELINE_DAYS

    arrived, actual = int(before.counts[before.last]), int(after.counts[after.last])
    upstream_baseline = set(before.baseline())
    baseline = [at for at in after.baseline() if at in upstream_baseline and before.counts[at] > 0]
    row = {
        "upstream_actual": arrived,
        "actual": actual,
        "conversion": actual / arrived if arrived else math.nan,
        **dict.fromkeys(("usual_conversion", "expected", "gap", "gap_low", "gap_high"), math.nan),
        "verdict": "inconclusive",
    }
    if len(baseline) < MIN_BASELINE_DAYS:
        return row
    shares = after.counts[baseline] / before.counts[baseline]
    usual = float(np.median(shares))
    expected = arrived * usual
    gap = expected - actual
    # Today's chance, and how much the share varies from week to week.
    margin = Z_GATE * math.sqrt(max(expected, 1.0) + (arrived * float(np.std(shares, ddof=1))) ** 2)
    row |= {"usual_conversion": usual, "expected": expected, "gap": gap, "gap_low": gap - margin}
    row |= {"gap_high": gap + margin}
    if gap > TOLERANCE * expected and gap > margin:
        return row | {"verdict": "below"}
    return row | {"verdict": "ok" if arrived >= MIN_UPSTREAM and gap <= TOLERANCE * expected else "inconclusive"}
