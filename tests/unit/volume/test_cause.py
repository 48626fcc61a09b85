"""Where it is missing, since when, what fell with it, which release came before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from mindguard.alerts.alert import Release
from mindguard.volume.cause import explain, find_onset
from mindguard.volume.days import day_start
from tests.unit.volume.worlds import DAY, history, judge

START = day_start(DAY, ZoneInfo("Asia/Shanghai"))
RELEASED = Release("2.6.0", START + timedelta(hours=9))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("left", "at"), [(0.0, 100), (0.4, 100), (0.4, 200)])
def test_the_onset_is_found_within_half_an_hour(left: float, at: int, seed: int) -> None:
    expected = 20 + 15 * np.sin(np.arange(288) / 40)
    share = np.where(np.arange(288) < at, 1.0, left)
    actual = np.random.default_rng(seed).poisson(expected * share).astype(float)
    assert abs(find_onset(actual, expected) - at) <= 6


def test_a_fall_that_began_before_the_day_has_its_onset_at_the_start() -> None:
    assert find_onset(np.full(288, 4.0), np.full(288, 10.0)) == 0


def test_no_fall_and_no_events_have_no_onset_to_find() -> None:
    assert find_onset(np.full(288, 12.0), np.full(288, 10.0)) == 0
    assert find_onset(np.zeros(288), np.zeros(288)) == 0


def explained(**changes: object) -> pd.Series:
    """`submit` lost nearly all of iOS from ten o'clock on."""
    world = history()
    world["submit"][DAY] = 1000
    frame = judge(world).reset_index()
    row = frame.set_index("event_name").loc["submit"]
    baseline = [pd.Timestamp(each).date() for each in row["baseline_dates"].split()]
    seconds = range(0, 86_400, 300)
    slots = [("submit", day, second, 2000 / 288) for day in baseline for second in seconds]
    slots += [("submit", DAY, second, 2000 / 288 if second < 36_000 else 1) for second in seconds]
    values = {
        "platform": {"ios": (900, 20), "android": (1100, 980)},
        "country": {"CN": (1900, 950), "SG": (100, 50)},
    }
    losses = [
        ("submit", dimension, value, day, count)
        for dimension, found in values.items()
        for value, (before, now) in found.items()
        for day, count in ((row["yesterday_date"], before), (DAY, now))
    ]
    named = {
        "slots": pd.DataFrame(slots, columns=["name", "day", "second", "count"]),
        "losses": pd.DataFrame(losses, columns=["name", "dimension", "value", "day", "count"]),
        "misdated": {},
        "day": DAY,
        "day_start": START,
        "releases": [RELEASED],
    }
    for name in ("slots", "losses"):
        named[name] = pd.concat([named[name], changes.pop(f"more_{name}", None)])  # type: ignore[list-item]
    return explain(frame, **{**named, **changes}).set_index("event_name")  # type: ignore[arg-type]


def test_the_value_that_holds_the_loss_is_the_main_cause() -> None:
    frame = explained()
    cause = json.loads(frame.loc["submit", "cause"])
    assert cause["main"] == {"dimension": "platform", "value": "ios", "share": 0.88}
    ios = cause["losses"]["platform"][0]
    assert (ios["value"], ios["expected"], ios["actual"], ios["loss"], ios["usual_share"]) == (
        "ios",
        900,
        20,
        880,
        0.45,
    )
    # China holds 95 % of the loss as of everything: that explains nothing.
    assert cause["losses"]["country"][0]["share"] == 0.95


def test_the_onset_is_an_instant_in_utc() -> None:
    onset = explained().loc["submit", "onset"]
    assert onset == START + timedelta(hours=10)
    assert onset.utcoffset() == timedelta(0)


def test_days_that_belong_to_other_rows_change_nothing() -> None:
    """One query brings the days of all rows that fell; their yesterdays and baselines may differ."""
    other = DAY - timedelta(days=3)
    alone = explained()
    slots = pd.DataFrame([("submit", other, 0, 5000)], columns=["name", "day", "second", "count"])
    losses = pd.DataFrame(
        [("submit", "platform", "ios", other, 5000)], columns=["name", "dimension", "value", "day", "count"]
    )
    together = explained(more_slots=slots, more_losses=losses)
    pd.testing.assert_frame_equal(alone, together)


def test_rows_that_are_in_order_have_neither_onset_nor_cause() -> None:
    frame = explained().drop(index="submit")
    assert frame["onset"].isna().all()
    assert set(frame["cause"]) == {""}


@pytest.mark.parametrize(
    ("released_at", "named"),
    [
        (START + timedelta(hours=9), True),
        (START + timedelta(hours=10, minutes=20), True),  # the onset is known to a few minutes
        (START + timedelta(hours=14), False),
        (START - timedelta(days=4), False),
    ],
)
def test_the_release_before_the_onset_is_named(released_at: datetime, named: bool) -> None:
    cause = json.loads(explained(releases=[Release("2.6.0", released_at)]).loc["submit", "cause"])
    expected = {"version": "2.6.0", "released_at": released_at.astimezone(UTC).isoformat()}
    assert cause["release"] == (expected if named else None)


def test_the_last_of_several_releases_is_named() -> None:
    earlier = Release("2.5.9", START - timedelta(hours=5))
    assert json.loads(explained(releases=[RELEASED, earlier]).loc["submit", "cause"])["release"]["version"] == "2.6.0"


def test_wrong_clocks_are_told_where_they_are_many() -> None:
    assert json.loads(explained(misdated={"submit": 300}).loc["submit", "cause"])["misdated"] == 300
    assert json.loads(explained(misdated={"submit": 3}).loc["submit", "cause"])["misdated"] == 0
