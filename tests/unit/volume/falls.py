"""Falls of events in a small world, with their cause, for the tests of findings and of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from mindguard.alerts.alert import Release
from mindguard.settings.volume import Funnel
from mindguard.volume.cause import Cause, Loss, MainLoss
from mindguard.volume.days import day_start
from mindguard.volume.details import DayCount, EventDetails
from mindguard.volume.findings import Context
from tests.unit.volume.worlds import DAY, history, judge

ZONE = ZoneInfo("Asia/Shanghai")
START = day_start(DAY, ZONE)
CAUSE = Cause(
    onset=START + timedelta(hours=10),
    main=MainLoss("platform", "ios", 0.93),
    losses={
        "platform": (
            Loss("ios", expected=800.0, actual=60, loss=740.0, share=0.93, usual_share=0.4),
            Loss("android", expected=1200.0, actual=1240, loss=-40.0, share=-0.05, usual_share=0.6),
        ),
        "country": (Loss("CN", expected=1960.0, actual=1180, loss=780.0, share=0.97, usual_share=0.97),),
    },
    co_moving=("share",),
    release=Release("3.4.0", START + timedelta(hours=9)),
)
COUNTS = (*(DayCount(DAY - timedelta(days=back), 2000) for back in range(27, 0, -1)), DayCount(DAY, 1200))
BASELINE = tuple(DAY - timedelta(days=7 * back) for back in range(1, 5))
CONTEXT = Context(
    day=DAY,
    as_of=START + timedelta(hours=24, minutes=30),
    zone=ZONE,
    locale="en",
    details={"submit": EventDetails(COUNTS, BASELINE)},
)
EXPLAINED = replace(CONTEXT, details={"submit": EventDetails(COUNTS, BASELINE, CAUSE)})


def world(**fallen: float) -> dict[str, dict[date, int]]:
    """Return the steady world in which these events keep only a share of the judged day's count."""
    found = history()
    for name, share in fallen.items():
        found[name][DAY] = round(found[name][DAY] * share)
    return found


def events(counted: Mapping[str, Mapping[date, int]], funnels: tuple[Funnel, ...] = ()) -> pd.DataFrame:
    """Return the judged frame without the row of all traffic."""
    frame = judge(counted, funnels=funnels).reset_index()
    return frame[frame["scope"] == "event"]
