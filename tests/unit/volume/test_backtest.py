"""Replay of past days: what fires, how it is scored, and whether the shipped thresholds keep their promise."""

from __future__ import annotations

import math
from datetime import timedelta

import pandas as pd
import pytest

from bench.event_volume import simulate
from bench.score import Fall, Score, score
from mindguard.settings.volume import KeyEvent
from mindguard.volume.backtest import replay
from mindguard.volume.days import Kind, kind_of
from mindguard.volume.series import HISTORY_DAYS, TOTAL
from tests.unit.volume.worlds import CALENDAR, DAY, counts, history

ONE_DAY = timedelta(days=1)


def replayed(days: int = 14, **changes: dict[int, int]) -> pd.DataFrame:
    """The last days of a steady world, changed by event and days back."""
    world = history(DAY)
    older = history(DAY - days * ONE_DAY)
    world = {name: older[name] | world[name] for name in world}
    for name, by_age in changes.items():
        for back, count in by_age.items():
            world[name][DAY - back * ONE_DAY] = count
    registry = [KeyEvent(name=name) for name in world]
    return replay(counts(world), registry, first=DAY - (days - 1) * ONE_DAY, last=DAY, calendar=CALENDAR)


def test_every_day_has_a_row_for_every_event_and_all_traffic() -> None:
    frame = replayed()
    assert frame.groupby("day").size().to_list() == [7] * 14
    assert not frame["page"].any()
    assert frame["plain"].sum() == 2 * 7  # two Saturdays


def test_every_day_of_an_outage_pages_since_the_first_is_no_baseline() -> None:
    frame = replayed(submit={3: 500, 2: 500, 1: 500, 0: 500})
    paged = frame[frame["page"]]
    assert [(row.event_name, (DAY - row.day).days) for row in paged.itertuples()] == [
        ("submit", n) for n in (3, 2, 1, 0)
    ]


def test_the_bare_rule_sees_only_the_first_day() -> None:
    frame = replayed(submit={1: 500, 0: 500}).query("event_name == 'submit' and plain")
    assert DAY - ONE_DAY in set(frame["day"])
    assert DAY not in set(frame["day"])


def test_a_score_counts_falls_found_and_alerts_that_belong_to_none() -> None:
    frame = replayed(submit={1: 500, 0: 500}, pay={10: 0})
    falls = [Fall("submit", DAY - ONE_DAY, DAY), Fall("view", DAY, DAY)]
    found = score(frame, "page", falls)
    assert found == Score(found=1, falls=2, false_alerts=1, false_incidents=1, alerts=3, weeks=2.0)
    assert (found.recall, found.false_per_week) == (0.5, 0.5)
    assert found.precision == pytest.approx(2 / 3)


def test_a_fall_of_all_traffic_owns_the_alerts_of_every_event() -> None:
    frame = replayed(submit={0: 500})
    found = score(frame, "page", [Fall(TOTAL, DAY, DAY)])
    assert (found.found, found.false_alerts) == (1, 0)


def test_without_falls_or_alerts_the_shares_are_no_numbers() -> None:
    found = score(replayed(), "page", [])
    assert math.isnan(found.recall)
    assert math.isnan(found.precision)


def test_the_shipped_thresholds_find_falls_and_do_not_cry_wolf() -> None:
    """A small copy of `bench/event_volume.py backtest`; the full one has 200 events and 182 days."""
    world = simulate(events=80, days=84, seed=7, calendar=CALENDAR)
    registry = [KeyEvent(name=name) for name in sorted(set(world.counts["event_name"]))]
    frame = replay(world.counts, registry, first=world.first, last=world.last, calendar=CALENDAR)
    fair = [
        each.fall
        for each in world.injected
        if each.base >= 100 and each.size >= 0.3 and kind_of(each.fall.first, CALENDAR) is Kind.ORDINARY
    ]
    pages = score(frame, "page", [each.fall for each in world.injected])
    assert len(fair) >= 10
    assert score(frame, "page", fair).recall >= 0.95
    assert pages.false_per_week <= 1
    assert score(frame, "plain", [each.fall for each in world.injected]).false_per_week > 20
    assert world.first - HISTORY_DAYS * ONE_DAY >= min(world.counts["day"])
