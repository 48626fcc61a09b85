"""Why an event fell: where it is missing, since when, what fell with it, which release came before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from mindguard.alerts.alert import Release
from mindguard.settings.volume import KeyEvent
from mindguard.volume.cause import Cause, Loss, MainLoss, explain, find_onset, with_causes
from mindguard.volume.days import day_start
from mindguard.volume.frame import judge_history
from mindguard.volume.series import HISTORY_DAYS, History, series_by_name
from tests.unit.volume.worlds import CALENDAR, DAY, counts, history

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


def explained(**changes: object) -> tuple[pd.DataFrame, dict[str, Cause]]:
    """`submit` lost nearly all of iOS from ten o'clock on: the frame, and the causes by event."""
    world = history()
    world["submit"][DAY] = 1000
    registry = [KeyEvent(name=name) for name in world]
    past = History.of(counts(world), list(world), [DAY - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)])
    series = series_by_name(past, registry, calendar=CALENDAR)
    frame = judge_history(past, series, registry)
    baseline, yesterday = series["submit"].baseline_dates(), series["submit"].reference_date()
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
        for day, count in ((yesterday, before), (DAY, now))
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
    causes = explain(frame, series, **{**named, **changes})  # type: ignore[arg-type]
    return with_causes(frame, causes).set_index("event_name"), causes


def cause_of_submit(**changes: object) -> Cause:
    return explained(**changes)[1]["submit"]


def test_the_value_that_holds_the_loss_is_the_main_cause() -> None:
    cause = cause_of_submit()
    assert cause.main == MainLoss("platform", "ios", 0.88)
    assert cause.losses["platform"][0] == Loss("ios", expected=900, actual=20, loss=880, share=0.88, usual_share=0.45)
    # China holds 95 % of the loss as of everything: that explains nothing.
    assert cause.losses["country"][0].share == 0.95


def test_the_onset_is_an_instant_in_utc() -> None:
    onset = explained()[0].loc["submit", "onset"]
    assert onset == cause_of_submit().onset == START + timedelta(hours=10)
    assert onset.utcoffset() == timedelta(0)


def test_days_that_belong_to_other_rows_change_nothing() -> None:
    """One query loads the days of all rows that fell; their reference and baseline days may differ."""
    other = DAY - timedelta(days=3)
    slots = pd.DataFrame([("submit", other, 0, 5000)], columns=["name", "day", "second", "count"])
    losses = pd.DataFrame(
        [("submit", "platform", "ios", other, 5000)], columns=["name", "dimension", "value", "day", "count"]
    )
    assert cause_of_submit(more_slots=slots, more_losses=losses) == cause_of_submit()


def test_suites_find_the_cause_as_text_and_rows_that_are_in_order_have_none() -> None:
    frame, causes = explained()
    assert set(causes) == {"submit"}
    assert json.loads(frame.loc["submit", "cause"]) == causes["submit"].to_json()
    others = frame.drop(index="submit")
    assert others["onset"].isna().all()
    assert set(others["cause"]) == {""}


@pytest.mark.parametrize(
    ("released_at", "named"),
    [
        (START + timedelta(hours=9), True),
        (START + timedelta(hours=10, minutes=20), True),  # the onset is known to a few minutes
        (START + timedelta(hours=14), False),
        (START - timedelta(days=4), False),
    ],
)
def test_the_release_before_the_onset_is_named(released_at: datetime, *, named: bool) -> None:
    release = Release("2.6.0", released_at)
    cause = cause_of_submit(releases=[release])
    assert cause.release == (release if named else None)
    shown = {"version": "2.6.0", "released_at": released_at.astimezone(UTC).isoformat()}
    assert cause.to_json()["release"] == (shown if named else None)


def test_the_last_of_several_releases_is_named() -> None:
    earlier = Release("2.5.9", START - timedelta(hours=5))
    assert cause_of_submit(releases=[RELEASED, earlier]).release == RELEASED


def test_wrong_clocks_are_reported_if_there_are_many() -> None:
    assert cause_of_submit(misdated={"submit": 300}).misdated == 300
    assert cause_of_submit(misdated={"submit": 3}).misdated == 0
