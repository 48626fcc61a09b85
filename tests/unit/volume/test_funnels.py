"""Expected - actual, step by step: the step that lost the events shows the gap, and no step after it."""

from __future__ import annotations

import pytest

from tests.unit.volume.worlds import BASES, BUY, DAY, history, judge_steps


def test_a_steady_funnel_has_no_gap() -> None:
    frame = judge_steps(history())
    assert list(frame.index) == ["start", "submit", "pay"]
    assert set(frame["verdict"]) == {"ok"}
    assert set(frame["first_broken"]) == {""}
    assert frame["gap"].abs().max() < 1


def test_the_gap_is_what_the_step_lost() -> None:
    world = history()
    for name in ("submit", "pay"):
        world[name][DAY] = round(BASES[name] * 0.5)
    frame = judge_steps(world)
    assert list(frame["verdict"]) == ["ok", "below", "ok"]
    assert list(frame["first_broken"]) == ["", "submit", "submit"]
    assert frame.loc["submit", "expected"] == pytest.approx(2000)
    assert frame.loc["submit", "gap"] == pytest.approx(1000)
    assert frame.loc["submit", "gap_low"] < 1000 < frame.loc["submit", "gap_high"]
    assert frame.loc["pay", "gap"] == pytest.approx(0)  # it lost what the step before had lost


def test_fewer_at_the_start_are_no_gap() -> None:
    world = history()
    for name in world:
        world[name][DAY] = round(world[name][DAY] * 0.5)
    assert set(judge_steps(world)["verdict"]) == {"ok"}


def test_a_step_that_vanishes_breaks() -> None:
    world = history()
    del world["pay"][DAY]
    row = judge_steps(world).loc["pay"]
    assert (row["verdict"], row["actual"], row["conversion"]) == ("below", 0, 0.0)


def test_a_funnel_that_nobody_enters_is_no_pass() -> None:
    world = history()
    for name in BUY.steps:
        world[name][DAY] = 0
    frame = judge_steps(world)
    assert set(frame["verdict"]) == {"inconclusive"}
    assert frame["conversion"].isna().all()


def test_without_history_nothing_is_said() -> None:
    world = {name: {DAY: days[DAY]} for name, days in history().items()}
    frame = judge_steps(world)
    assert set(frame["verdict"]) == {"inconclusive"}
    assert frame["expected"].isna().all()
