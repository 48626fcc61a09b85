"""What expires, what never does, and what makes the plan refuse: first as properties, then as named cases."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.retention.rules import CLOCK_TOLERANCE, Decision, ExpiryRefused, Kept, plan_expiry

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
RULES = RetentionSettings()
DAY = timedelta(days=1)


def snapshot(days_old: float, **facts: object) -> Kept:
    taken_at = NOW - days_old * DAY
    name = f"{taken_at:%Y%m%dT%H%M%SZ}-{int(days_old * 1000):06x}"
    return replace(Kept(name, f"p/snapshots/2026-01-01/{name}.json", taken_at, proven=True), **facts)


def daily(count: int, *, newest: float = 0, **facts: object) -> list[Kept]:
    return [snapshot(newest + day, **facts) for day in range(count)]


def plan(
    snapshots: list[Kept], rules: RetentionSettings = RULES, now: datetime = NOW, store_now: datetime | None = None
) -> list[Decision]:
    return plan_expiry(snapshots, now=now, store_now=store_now or now, retention=rules)


def expiring(decisions: list[Decision]) -> list[Kept]:
    return [each.snapshot for each in decisions if each.action == "expire"]


def reason(decisions: list[Decision], snapshot: Kept) -> str:
    (found,) = [each.reason for each in decisions if each.snapshot == snapshot]
    return found


some_snapshots = st.lists(
    st.builds(
        snapshot,
        st.floats(0, 90, allow_nan=False).map(lambda days: round(days, 3)),
        proven=st.booleans(),
        quarantined=st.sampled_from([False, False, False, True]),
        held=st.sampled_from([None, None, None, "asked for"]),
    ),
    max_size=60,
    unique_by=lambda each: each.snapshot_id,
)
some_rules = st.builds(
    RetentionSettings,
    days=st.integers(1, 40),
    minimum=st.integers(1, 9),
    max_expire_per_run=st.integers(1, 20),
    max_gap_days=st.sampled_from([8, 100]),
)


@given(some_snapshots, some_rules)
def test_what_expires_is_old_unheld_and_leaves_the_minimum(snapshots: list[Kept], rules: RetentionSettings) -> None:
    try:
        decisions = plan(snapshots, rules)
    except ExpiryRefused:
        return
    gone = expiring(decisions)
    left = [each for each in snapshots if each not in gone]
    assert {each.snapshot for each in decisions} == set(snapshots)
    assert len(gone) <= rules.max_expire_per_run
    for each in gone:
        assert each.held is None
        assert NOW - each.taken_at > rules.days * DAY
        assert sum(other.good and other.taken_at > each.taken_at for other in left) >= rules.minimum
    if gone:
        assert sum(each.good for each in left) >= rules.minimum
        assert not max(snapshots, key=lambda each: (each.taken_at, each.snapshot_id)).quarantined
    assert all(each.reason and "\n" not in each.reason for each in decisions)


@given(some_snapshots, some_rules, st.randoms(use_true_random=False))
def test_the_order_in_which_they_come_does_not_matter(
    snapshots: list[Kept], rules: RetentionSettings, chance: random.Random
) -> None:
    shuffled = snapshots.copy()
    chance.shuffle(shuffled)
    try:
        expected = plan(snapshots, rules)
    except ExpiryRefused:
        with pytest.raises(ExpiryRefused):
            plan(shuffled, rules)
        return
    assert plan(shuffled, rules) == expected


@given(some_snapshots, some_rules)
def test_carried_out_again_and_again_it_comes_to_rest_where_one_large_run_would(
    snapshots: list[Kept], rules: RetentionSettings
) -> None:
    try:
        at_once = set(expiring(plan(snapshots, rules.model_copy(update={"max_expire_per_run": 1000}))))
        left = list(snapshots)
        while gone := expiring(plan(left, rules)):
            left = [each for each in left if each not in gone]
    except ExpiryRefused:
        return
    assert set(left) == set(snapshots) - at_once
    assert expiring(plan(left, rules)) == []


@given(snapshots=some_snapshots, off_minutes=st.floats(1, 4000), ahead=st.booleans(), mine=st.booleans())
def test_while_the_clocks_disagree_nothing_expires(
    snapshots: list[Kept], off_minutes: float, *, ahead: bool, mine: bool
) -> None:
    wrong = NOW + (CLOCK_TOLERANCE + timedelta(minutes=off_minutes)) * (1 if ahead else -1)
    with pytest.raises(ExpiryRefused, match=r"this machine says .*, the store .* synchronise"):
        plan(snapshots, now=wrong if mine else NOW, store_now=NOW if mine else wrong)


@given(some_snapshots, st.floats(0.01, 400))
def test_a_snapshot_of_the_future_expires_nothing(snapshots: list[Kept], days: float) -> None:
    with pytest.raises(ExpiryRefused, match="in the future"):
        plan([*snapshots, snapshot(-days)])


def test_a_month_of_days_keeps_thirty_and_says_why_to_each() -> None:
    snapshots = daily(33, newest=0.5)
    decisions = plan(snapshots)
    assert expiring(decisions) == [snapshots[32], snapshots[31], snapshots[30]]
    assert reason(decisions, snapshots[32]) == "32 days old, 32 newer proven snapshots"
    assert reason(decisions, snapshots[29]) == "30 days old, kept for 30"
    assert reason(decisions, snapshots[0]) == "0.5 days old, kept for 30"


def test_exactly_thirty_days_is_not_older_than_thirty_days() -> None:
    at_the_limit = snapshot(30)
    assert expiring(plan([at_the_limit, *daily(30)])) == []
    assert len(expiring(plan([replace(at_the_limit, taken_at=NOW - 30 * DAY - timedelta(seconds=1)), *daily(30)]))) == 1


def test_seven_bad_days_in_a_row_never_evict_the_last_good_one() -> None:
    tight = RetentionSettings(days=1, minimum=1, max_expire_per_run=100)
    last_good = snapshot(8)
    for bad in ({"proven": False}, {"quarantined": True}, {"proven": False, "quarantined": True}):
        decisions = plan([last_good, *daily(7, **bad)], tight)
        assert expiring(decisions) == []
        assert "only 0 of 1 newer proven" in reason(decisions, last_good)


def test_pruning_stops_while_the_newest_is_quarantined_or_none_of_the_newest_is_proven() -> None:
    good = daily(40, newest=1)
    assert expiring(plan([*good, snapshot(0)]))
    quarantined = plan([*good, snapshot(0, quarantined=True)])
    assert expiring(quarantined) == []
    assert "the newest snapshot is quarantined" in reason(quarantined, good[-1])
    unproven = plan([*daily(40, newest=3), *daily(3, proven=False)])
    assert expiring(unproven) == []
    assert "none of the newest 3 snapshots is proven" in unproven[0].reason
    assert expiring(plan([*daily(40, newest=2), *daily(2, proven=False)])), "today's proof comes after expiry"


def test_a_hold_is_stronger_than_age_and_gives_its_reason() -> None:
    held = snapshot(400, held="court order")
    decisions = plan([held, *daily(40)])
    assert reason(decisions, held) == "held: court order"
    assert held not in expiring(decisions)


def test_at_most_ten_at_once_oldest_first() -> None:
    snapshots = daily(60)
    decisions = plan(snapshots)
    assert expiring(decisions) == snapshots[:-11:-1]
    assert reason(decisions, snapshots[40]) == "next run: at most 10 expire in one run"


def test_a_clock_forty_days_ahead_expires_nothing_whoever_is_wrong() -> None:
    """The clock jumps alone or with the store's, also if snapshots have been taken and proven after the jump."""
    snapshots, ahead = daily(30), NOW + 40 * DAY
    with pytest.raises(ExpiryRefused, match="this machine says"):
        plan(snapshots, now=ahead, store_now=NOW)
    with pytest.raises(ExpiryRefused, match=r"no snapshot was taken – if backups failed .* if a clock has jumped"):
        plan(snapshots, now=ahead)
    for day in range(RULES.minimum - 1):
        after = [snapshot(-40 - each) for each in range(day + 1)]
        with pytest.raises(ExpiryRefused, match="between 2026-11-24 and 2027-01-03 no snapshot was taken"):
            plan([*snapshots, *after], now=ahead + day * DAY)


def test_after_an_outage_of_forty_days_expiry_resumes_with_the_seventh_new_proof() -> None:
    after = daily(7)
    before = daily(10, newest=47)
    assert expiring(plan([*before, *after])) == before[::-1]


def test_nothing_stored_nothing_decided() -> None:
    assert plan([]) == []


def test_drills_in_parts_do_not_stop_expiry_between_two_proofs() -> None:
    """One snapshot in seven is proven; the newest proven one is thirteen days old, as it may be."""
    snapshots = [snapshot(day, proven=day % 7 == 6 and day > 12) for day in range(80)]
    stopped = plan_expiry(snapshots, now=NOW, store_now=NOW, retention=RULES)
    assert {each.reason for each in stopped if each.snapshot.taken_at < NOW - 70 * DAY} == {
        "pruning stops: none of the newest 3 snapshots is proven"
    }
    planned = plan_expiry(snapshots, now=NOW, store_now=NOW, retention=RULES, days_per_proof=7)
    assert "10 newer proven snapshots" in reason(planned, snapshots[79])
    assert reason(planned, snapshots[40]) == "40 days old, but only 4 of 7 newer proven snapshots"
    assert expiring(planned)
    behind = [snapshot(day, proven=day > 21) for day in range(80)]
    late = plan_expiry(behind, now=NOW, store_now=NOW, retention=RULES, days_per_proof=7)
    assert reason(late, behind[79]) == "pruning stops: none of the newest 21 snapshots is proven"
