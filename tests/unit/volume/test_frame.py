"""How the frame shows falls, and changes that only look like falls."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindguard.settings.volume import Funnel, KeyEvent
from mindguard.volume.frame import FrameError, _require_finite, build_frame
from mindguard.volume.series import TOTAL
from tests.unit.volume.worlds import BASES, CALENDAR, DAY, counts, history, judge

ONE_DAY = timedelta(days=1)
NUMBERS = ["actual", "yesterday", "day_over_day", "weekday_median", "fleet_move", "net_ratio", "z"]


def test_a_steady_day_is_ok_for_every_event_and_for_all_traffic() -> None:
    frame = judge(history())
    assert list(frame.index) == [*BASES, TOTAL]
    assert set(frame["state"]) == {"tracked"}
    assert set(frame["verdict_dod"]) == set(frame["verdict_net"]) == {"ok"}
    assert not frame["investigate"].any()
    assert not frame["page"].any()
    assert np.allclose(frame["net_ratio"], 1)


def test_one_event_that_loses_sixty_percent_pages_alone() -> None:
    world = history()
    world["submit"][DAY] = 800
    frame = judge(world)
    row = frame.loc["submit"]
    assert (row["actual"], row["yesterday"], row["day_over_day"]) == (800, 2000, 0.4)
    assert (row["verdict_dod"], row["verdict_net"]) == ("below", "below")
    assert list(frame.index[frame["page"]]) == ["submit"]
    assert list(frame.index[frame["investigate"]]) == ["submit"]


def test_a_vanished_event_is_a_row_with_zero_that_pages() -> None:
    world = history()
    del world["pay"][DAY]
    row = judge(world).loc["pay"]
    assert (row["state"], row["actual"], row["day_over_day"], row["net_ratio"]) == ("tracked", 0, 0.0, 0.0)
    assert row["page"]


def test_day_three_of_a_vanished_event_is_still_zero() -> None:
    world = history()
    for back in range(3):
        del world["pay"][DAY - back * ONE_DAY]
    row = judge(world).loc["pay"]
    assert row["day_over_day"] == 0.0
    assert row["verdict_net"] == "below"
    assert row["page"]


def test_all_traffic_down_pages_once_and_the_events_fold_into_it() -> None:
    world = history()
    for name in world:
        world[name][DAY] = round(world[name][DAY] * 0.6)
    frame = judge(world)
    assert list(frame.index[frame["page"]]) == [TOTAL]
    events = frame.drop(index=TOTAL)
    assert set(events["verdict_dod"]) == {"below"}  # the rule of the operations document opens all the same
    assert events["investigate"].all()
    assert set(events["folded_into"]) == {TOTAL}
    assert np.allclose(events["fleet_move"], 0.6)


def test_an_event_that_falls_further_than_all_traffic_pages_beside_it() -> None:
    world = history()
    for name in world:
        world[name][DAY] = round(world[name][DAY] * 0.6)
    world["submit"][DAY] = 100
    assert list(judge(world).query("page").index) == ["submit", TOTAL]


def test_when_everything_vanishes_all_traffic_pages_and_nothing_else() -> None:
    world = history()
    for name in world:
        world[name][DAY] = 0
    frame = judge(world)
    assert list(frame.index[frame["page"]]) == [TOTAL]
    assert set(frame.drop(index=TOTAL)["verdict_net"]) == {"inconclusive"}
    assert np.isfinite(frame[NUMBERS].to_numpy(dtype=float)).all()


def test_a_weekend_is_an_investigation_by_the_bare_rule_and_no_page() -> None:
    saturday = date(2026, 9, 12)
    frame = judge(history(saturday), saturday)
    assert set(frame["verdict_dod"]) == {"below"}
    assert set(frame["verdict_net"]) == {"ok"}
    assert not frame["page"].any()


@pytest.mark.parametrize("day", [date(2026, 10, 1), date(2026, 10, 4)])
def test_a_holiday_pages_nobody_for_a_third_less(day: date) -> None:
    world = history(day)
    for name in world:
        for back in range((day - date(2026, 10, 1)).days + 1):
            world[name][day - back * ONE_DAY] = round(BASES[name] * 0.5)
    frame = judge(world, day)
    assert not frame["page"].any()
    assert "ok" not in set(frame["verdict_net"].loc[[TOTAL]])  # far below a weekend, and not known to be in order


def test_an_outage_on_a_holiday_still_pages() -> None:
    day = date(2026, 10, 4)
    world = history(day)
    for name in world:
        world[name][day] = round(BASES[name] * 0.1)
    assert judge(world, day).loc[TOTAL, "page"]


def test_after_a_holiday_the_last_ordinary_day_is_yesterday() -> None:
    day = date(2026, 10, 8)
    world = history(day)
    for name in world:
        for back in range(1, 8):
            world[name][day - back * ONE_DAY] = round(BASES[name] * 0.4)
    world["submit"][day] = 1000
    frame = judge(world, day)
    assert frame.loc["submit", "yesterday_date"] == date(2026, 9, 30)
    assert list(frame.index[frame["page"]]) == ["submit"]


def test_day_two_of_an_outage_is_not_compared_with_day_one() -> None:
    world = history()
    world["submit"] |= {DAY: 800, DAY - ONE_DAY: 800}
    row = judge(world, unclean={"submit": {DAY - ONE_DAY}}).loc["submit"]
    assert (row["yesterday_date"], row["yesterday"]) == (DAY - 4 * ONE_DAY, 2000)  # Friday: the weekend is lower
    assert row["day_over_day"] == 0.4
    assert row["page"]


def test_day_two_of_an_outage_of_all_traffic_still_pages() -> None:
    world = history()
    for name in world:
        for back in range(2):
            world[name][DAY - back * ONE_DAY] = round(BASES[name] * 0.5)
    assert judge(world, unclean={TOTAL: {DAY - ONE_DAY}}).loc[TOTAL, "page"]


def test_unclean_days_are_no_baseline() -> None:
    world = history()
    dirty = [DAY - 7 * ONE_DAY, DAY - 21 * ONE_DAY]
    for day in dirty:
        world["submit"][day] = 1
    row = judge(world, unclean={"submit": dirty}).loc["submit"]
    assert row["weekday_median"] == 2000
    assert row["baseline_dates"].split() == [(DAY - weeks * 7 * ONE_DAY).isoformat() for weeks in (2, 4, 5, 6)]


def test_without_any_clean_day_nothing_is_said() -> None:
    world = history()
    world["submit"][DAY] = 0
    frame = judge(world, unclean={"submit": set(world["submit"])})
    row = frame.loc["submit"]
    assert (row["state"], row["verdict_dod"], row["verdict_net"]) == ("no_baseline", "inconclusive", "inconclusive")
    assert np.isnan(row["day_over_day"])
    assert not row["page"]


def test_a_new_event_is_new_then_learning_then_tracked() -> None:
    states = {}
    for age in (0, 1, 10, 21, 29):
        world = history()
        world["submit"] = {day: count for day, count in world["submit"].items() if day >= DAY - age * ONE_DAY}
        row = judge(world).loc["submit"]
        states[age] = row["state"]
        assert not row["page"]
        if row["state"] != "tracked":
            assert row["verdict_net"] == "inconclusive"
    # The first day seen may be half a day, so it is no baseline: three clean weekdays after it make 22 to 28 days.
    assert states == {0: "new", 1: "learning", 10: "learning", 21: "learning", 29: "tracked"}


def test_a_learning_event_that_vanishes_is_investigated() -> None:
    world = history()
    world["submit"] = {day: count for day, count in world["submit"].items() if DAY - 5 * ONE_DAY <= day < DAY}
    row = judge(world).loc["submit"]
    assert (row["state"], row["verdict_dod"], row["investigate"], row["page"]) == ("learning", "below", True, False)


def test_an_event_that_was_never_seen_has_no_baseline_and_is_no_pass() -> None:
    row = judge(history(), registry=[KeyEvent(name="typo")]).loc["typo"]
    assert (row["state"], row["actual"], row["verdict_dod"]) == ("never_seen", 0, "inconclusive")


def test_an_event_that_is_not_due_yet_is_new() -> None:
    row = judge(history(), registry=[KeyEvent(name="later", since=DAY + ONE_DAY)]).loc["later"]
    assert (row["state"], row["verdict_dod"], row["verdict_net"]) == ("new", "inconclusive", "inconclusive")


def test_days_before_since_are_no_baseline() -> None:
    world = history()
    since = DAY - 29 * ONE_DAY
    world["submit"] = {day: count if day >= since else 3 for day, count in world["submit"].items()}
    registry = [KeyEvent(name=name, since=since if name == "submit" else None) for name in world]
    assert judge(world, registry=registry).loc["submit", "weekday_median"] == 2000


def test_no_events_at_all_is_never_a_pass() -> None:
    empty = pd.DataFrame({"event_name": [], "day": [], "count": []})
    frame = build_frame(empty, [KeyEvent(name="app_open")], day=DAY, calendar=CALENDAR)
    assert set(frame["state"]) == {"never_seen"}
    assert set(frame["verdict_dod"]) == set(frame["verdict_net"]) == {"inconclusive"}


def test_names_that_are_no_key_events_count_into_all_traffic_only() -> None:
    world = history()
    world[""] = dict.fromkeys(world["pay"], 1_000_000)
    world[""][DAY] = 500_000
    frame = judge(world)
    assert list(frame.index) == [*BASES, TOTAL]
    assert list(frame.index[frame["page"]]) == [TOTAL]


@pytest.mark.parametrize(
    ("base", "today", "verdict", "window"),
    [
        (40, 25, "ok", 7),  # 38 % less is chance, and the week is in order
        (40, 4, "below", 1),  # that is no chance
        (5, 0, "inconclusive", 7),  # neither a day nor a week says anything
    ],
)
def test_a_rare_event_is_judged_with_its_week(base: int, today: int, verdict: str, window: int) -> None:
    world = history(bases=BASES | {"sos": base})
    world["sos"][DAY] = today
    row = judge(world).loc["sos"]
    assert row["low_volume"]
    assert (row["verdict_net"], row["window_days"]) == (verdict, window)


def test_a_rare_event_that_stays_away_fails_by_its_week() -> None:
    world = history(bases=BASES | {"sos": 5})
    for back in range(5):
        world["sos"][DAY - back * ONE_DAY] = 0
    row = judge(world).loc["sos"]
    assert (row["verdict_dod"], row["verdict_net"], row["window_days"]) == ("below", "below", 7)
    assert row["page"]


def test_an_erratic_event_pages_only_for_what_is_unusual_for_it() -> None:
    random = np.random.default_rng(1)
    world = history()
    for day in world["share"]:
        world["share"][day] = round(900 * float(np.exp(random.normal(0, 0.25))))
    world["share"] |= {DAY: 650, DAY - ONE_DAY: 1000}
    assert judge(world).loc["share", "verdict_dod"] == "below"
    assert judge(world).loc["share", "verdict_net"] == "inconclusive"
    world["share"][DAY] = 50
    assert judge(world).loc["share", "page"]


def test_a_mondays_fall_behind_a_quiet_sunday_pages_by_the_weekday() -> None:
    monday = date(2026, 9, 14)
    world = history(monday)
    world["submit"][monday] = 1200  # 60 % of a Monday, and 86 % of the Sunday before
    row = judge(world, monday).loc["submit"]
    assert (row["verdict_dod"], row["verdict_net"], row["page"]) == ("ok", "below", True)


def test_a_doubled_day_is_no_page_the_day_after() -> None:
    world = history()
    for name in world:
        world[name][DAY - ONE_DAY] *= 2
    frame = judge(world)
    assert set(frame["verdict_dod"]) == {"below"}
    assert not frame["page"].any()


def test_a_campaign_for_all_other_events_is_no_fall_of_this_one() -> None:
    world = history()
    for name in world:
        world[name][DAY] *= 1 if name == "submit" else 2
    row = judge(world).loc["submit"]
    assert (row["verdict_dod"], row["page"]) == ("ok", True)  # net of a doubled fleet it halved
    assert row["net_ratio"] == 0.5


FUNNEL = (Funnel(name="buy", steps=("view", "start", "submit", "pay")),)


def test_later_steps_of_a_funnel_fold_into_the_one_that_broke() -> None:
    world = history()
    for name in ("start", "submit", "pay"):
        world[name][DAY] = round(BASES[name] * 0.4)
    apart, folded = judge(world), judge(world, funnels=FUNNEL)
    assert list(apart.index[apart["page"]]) == ["start", "submit", "pay"]
    assert list(folded.index[folded["page"]]) == ["start"]
    assert folded.loc["pay", "folded_into"] == folded.loc["submit", "folded_into"] == "start"
    assert folded.loc["pay", "investigate"]


def test_a_fall_folds_only_into_one_that_pages() -> None:
    """A broken step whose own tolerance keeps it from paging must not take the alerts after it along."""
    world = history()
    world["start"][DAY], world["submit"][DAY] = 1000, 660
    registry = [KeyEvent(name=name, tolerance=0.9 if name == "start" else 0.2) for name in world]
    frame = judge(world, funnels=FUNNEL, registry=registry)
    assert not frame.loc["start", "investigate"]
    assert frame.loc["submit", "page"]


def test_a_gap_in_a_tracked_row_is_an_error() -> None:
    frame = judge(history()).reset_index()
    frame.loc[2, "day_over_day"] = np.nan
    with pytest.raises(FrameError, match="day_over_day of start"):
        _require_finite(frame)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_is_counted_every_row_is_there_and_no_number_of_a_tracked_row_is_missing(data: st.DataObject) -> None:
    days = [DAY - back * ONE_DAY for back in range(0, 63, data.draw(st.sampled_from([1, 2, 7])))]
    world = {
        name: {day: data.draw(st.sampled_from([0, 0, 1, 3, 90, 2**40])) for day in days} for name in ("a", "b", "")
    }
    registry = [KeyEvent(name="a"), KeyEvent(name="b", since=DAY - 30 * ONE_DAY), KeyEvent(name="c")]
    dirty = {
        "a": set(data.draw(st.lists(st.sampled_from(days)))),
        TOTAL: set(data.draw(st.lists(st.sampled_from(days)))),
    }
    frame = build_frame(counts(world), registry, day=DAY, calendar=CALENDAR, unclean=dirty)
    assert list(frame["event_name"]) == ["a", "b", "c", TOTAL]
    tracked = frame[frame["state"] == "tracked"]
    assert np.isfinite(tracked[NUMBERS].to_numpy(dtype=float)).all()
    rest = frame[frame["state"] != "tracked"]
    assert set(rest["verdict_net"]) <= {"inconclusive"}
    assert not (frame["page"] & (frame["state"] != "tracked")).any()
