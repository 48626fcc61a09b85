"""Falls of events in a small world, with their cause, for the tests of findings and of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from mindguard.settings.volume import Funnel
from mindguard.volume.days import day_start
from mindguard.volume.findings import Context
from tests.unit.volume.worlds import DAY, history, judge

ZONE = ZoneInfo("Asia/Shanghai")
START = day_start(DAY, ZONE)
CAUSE = {
    "main": {"dimension": "platform", "value": "ios", "share": 0.93},
    "losses": {
        "platform": [
            {"value": "ios", "expected": 800.0, "actual": 60, "loss": 740.0, "share": 0.93, "usual_share": 0.4},
            {"value": "android", "expected": 1200.0, "actual": 1240, "loss": -40.0, "share": -0.05, "usual_share": 0.6},
        ],
        "country": [
            {"value": "CN", "expected": 1960.0, "actual": 1180, "loss": 780.0, "share": 0.97, "usual_share": 0.97}
        ],
    },
    "co_moving": ["share"],
    "release": {"version": "3.4.0", "released_at": (START + timedelta(hours=9)).isoformat()},
    "misdated": 0,
}
CONTEXT = Context(
    day=DAY,
    as_of=START + timedelta(hours=24, minutes=30),
    zone=ZONE,
    locale="en",
    history={"submit": [(DAY - timedelta(days=back), 2000) for back in range(27, 0, -1)] + [(DAY, 1200)]},
)


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


def explained(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the frame with an onset at ten o'clock and with `CAUSE` in the row of the event."""
    there = frame["event_name"] == name
    onsets = [START + timedelta(hours=10) if each else None for each in there]
    return frame.assign(
        onset=pd.Series(onsets, index=frame.index).astype("datetime64[us, UTC]"),
        cause=there.map({True: json.dumps(CAUSE), False: ""}),
    )
