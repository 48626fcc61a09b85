"""What is sent when, within the limits and in a storm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mindguard.alerts.outbox.plan import Gather, Limits, Past, Pending, Send, Wait, plan_delivery
from mindguard.alerts.severity import Severity

NOW = datetime(2026, 11, 24, 3, 10, tzinfo=UTC)
S = timedelta(seconds=1)


def pending(number: int, severity: Severity = Severity.P1, *, card: bool = True, group: str = "") -> Pending:
    return Pending(number, severity, NOW, card=card, group=group)


def past(seconds_ago: float, severity: Severity = Severity.P1, form: str = "card") -> Past:
    return Past(NOW - seconds_ago * S, severity, form)


def test_the_worst_is_sent_first_then_the_oldest() -> None:
    plan = plan_delivery([pending(1, Severity.P2), pending(2), pending(3, Severity.P0)], [], NOW)
    assert [action.ids for action in plan if isinstance(action, Send)] == [(3,), (2,), (1,)]


def test_only_so_many_a_second_and_one_of_them_for_p0() -> None:
    plan = plan_delivery([pending(n) for n in range(6)], [], NOW)
    assert len(plan) == 5
    assert plan[-1] == Wait(NOW + S)
    made = [past(0.5) for _ in range(4)]
    urgent, held = plan_delivery([pending(1, Severity.P0), pending(2, Severity.P2)], made, NOW)
    assert urgent == Send((1,), Severity.P0)
    assert held == Wait(NOW + 0.5 * S)


def test_only_so_many_a_minute_and_a_fifth_of_them_for_p0() -> None:
    made = [past(59 - n / 2, form="update") for n in range(80)]
    assert plan_delivery([pending(1)], made, NOW) == [Wait(NOW + 1 * S)]
    assert plan_delivery([pending(1, Severity.P0)], made, NOW) == [Send((1,), Severity.P0)]
    full = made + [past(10, Severity.P0, "update") for _ in range(20)]
    assert plan_delivery([pending(1, Severity.P0)], full, NOW) == [Wait(NOW + 1 * S)]


def test_ten_are_cards_and_eleven_a_digest() -> None:
    ten = [pending(n) for n in range(10)]
    assert all(isinstance(action, Send | Wait) for action in plan_delivery(ten, [], NOW))
    assert plan_delivery([*ten, pending(10)], [], NOW) == [Gather(tuple(range(11)), Severity.P1)]


def test_cards_of_the_last_minute_count_towards_the_storm() -> None:
    made = [past(30 + n) for n in range(9)]
    assert plan_delivery([pending(1), pending(2)], made, NOW) == [Gather((1, 2), Severity.P1)]
    assert isinstance(plan_delivery([pending(1), pending(2)], [past(61)] * 9, NOW)[0], Send)


def test_digests_keep_a_distance_which_is_short_for_p0() -> None:
    storm = [pending(n) for n in range(20)]
    assert plan_delivery(storm, [past(20, form="digest")], NOW) == [Wait(NOW + 40 * S)]
    urgent = [pending(n, Severity.P0) for n in range(20)]
    assert plan_delivery(urgent, [past(1, Severity.P0, "digest")], NOW) == [Wait(NOW + 3 * S)]
    assert plan_delivery(urgent, [past(1, form="digest")], NOW) == [Gather(tuple(range(20)), Severity.P0)]


def test_changes_of_cards_do_not_make_a_storm() -> None:
    plan = plan_delivery([pending(n, card=False) for n in range(30)], [], NOW)
    assert {action.form for action in plan if isinstance(action, Send)} == {"update"}


def test_calls_to_the_same_people_about_one_message_are_one() -> None:
    calls = [pending(n, Severity.P0, card=False, group="phone m1") for n in range(3)]
    assert plan_delivery(calls, [], NOW) == [Send((0, 1, 2), Severity.P0, "update")]


def test_what_was_claimed_together_stays_together() -> None:
    batch = [Pending(n, Severity.P1, NOW, batch="b") for n in range(3)]
    assert plan_delivery(batch, [past(5, form="digest")], NOW) == [Gather((0, 1, 2), Severity.P1, "b")]
    assert plan_delivery(batch[:1], [], NOW) == [Send((0,), Severity.P1, "card", "b")]


def test_quiet_after_the_full_and_the_half_hour() -> None:
    for minute in (0, 30):
        sharp = NOW.replace(minute=minute)
        assert plan_delivery([pending(1)], [], sharp + 9 * S) == [Wait(sharp + 10 * S)]
        assert plan_delivery([pending(1)], [], sharp + 10 * S) == [Send((1,), Severity.P1)]
        assert plan_delivery([pending(1, Severity.P0)], [], sharp) == [Send((1,), Severity.P0)]


requests = st.lists(
    st.builds(Past, st.floats(0, 90).map(lambda s: NOW - s * S), st.sampled_from(Severity), st.just("card")),
    max_size=120,
)
waiting = st.lists(
    st.builds(
        Pending,
        st.integers(0, 10_000),
        st.sampled_from(Severity),
        st.just(NOW),
        card=st.booleans(),
        batch=st.sampled_from(["", "", "x", "y"]),
    ),
    max_size=150,
    unique_by=lambda each: each.id,
)


@given(waiting, requests)
def test_no_plan_exceeds_the_limits_or_names_anything_twice(queue: list[Pending], made: list[Past]) -> None:
    plan = plan_delivery(queue, made, NOW, Limits())
    sends = [action for action in plan if not isinstance(action, Wait)]
    ids = [number for action in sends for number in action.ids]
    assert len(ids) == len(set(ids))
    held = any(isinstance(action, Wait) for action in plan)
    assert held or sorted(ids) == sorted(each.id for each in queue)
    for span, most in ((S, 5), (60 * S, 100)):
        before = sum(NOW - each.at < span for each in made)
        assert not sends or before + len(sends) <= most
    assert all(action.until > NOW for action in plan if isinstance(action, Wait))
