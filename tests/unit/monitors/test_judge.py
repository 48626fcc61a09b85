"""How a value is judged: thresholds, holding, recovery, and values that cannot be judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from mindguard.monitors.judge import Reading, State, Verdict, judge, share_at_least, unknown
from mindguard.settings.monitors import Monitor

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def monitor(**changed: Any) -> Monitor:
    plain = {"name": "m", "source": "postgres", "query": "m.sql", "recover_for_s": 0}
    made: Monitor = TypeAdapter(Monitor).validate_python({"kind": "freshness", **plain, **changed})
    return made


def rate(**changed: Any) -> Monitor:
    return monitor(kind="rate", **{"error_above": 0.01, **changed})


def old(seconds: float, **more: Any) -> Reading:
    return Reading(newest=NOW - timedelta(seconds=seconds), **more)


def after(rule: Monitor, values: list[float | None], *, step: timedelta = MINUTE) -> list[Verdict]:
    """The verdicts of one value each minute; None is a minute that could not be measured."""
    state, now, verdicts = State(), NOW, []
    for value in values:
        verdict = (
            unknown("timeout", state, now=now) if value is None else judge(rule, Reading(value=value), state, now=now)
        )
        verdicts.append(verdict)
        state, now = verdict.state, now + step
    return verdicts


def statuses(*arguments: Any, **more: Any) -> list[str]:
    return [verdict.status for verdict in after(*arguments, **more)]


@pytest.mark.parametrize(
    ("reading", "status", "reason", "value"),
    [
        (old(299), "pass", "", 299),
        (old(300), "pass", "", 300),
        (old(301), "error", "above", 301),
        (old(-60), "pass", "", 0),
        (old(-61), "unknown", "future", -61),
        (Reading(), "error", "empty", None),
        (Reading(value=301), "error", "above", 301),
        (Reading(value=-1), "unknown", "negative", -1),
        (Reading(newest=datetime(1970, 1, 1, tzinfo=UTC)), "error", "empty", None),
        (Reading(newest=datetime(1970, 1, 1, 8, tzinfo=UTC)), "error", "empty", None),
        (Reading(newest=datetime(1, 1, 1, tzinfo=UTC)), "error", "empty", None),
        (Reading(newest=datetime(9999, 12, 31, tzinfo=UTC)), "unknown", "future", ...),
        (Reading(value=NOW.timestamp()), "error", "empty", None),
        (Reading(value=1e300), "error", "empty", None),
        (Reading(newest=datetime(1971, 1, 1, tzinfo=UTC)), "error", "above", ...),
        (old(400, source_now=datetime(1970, 1, 1, tzinfo=UTC)), "unknown", "future", ...),
        (Reading(value=float("nan")), "unknown", "no_value", None),
        (Reading(value=float("inf")), "unknown", "no_value", None),
    ],
)
def test_an_age(reading: Reading, status: str, reason: str, value: float | None) -> None:
    verdict = judge(monitor(), reading, State(), now=NOW)
    assert (verdict.status, verdict.reason) == (status, reason)
    assert value is ... or verdict.value == value


@pytest.mark.parametrize(
    ("reading", "status", "reason"),
    [
        (old(301, fault="position"), "error", "above"),
        (old(300, fault="position"), "unknown", "position"),
        (old(-61, fault="future"), "unknown", "future"),
        (Reading(value=0, fault="timeout"), "unknown", "timeout"),
        (Reading(fault="failed"), "unknown", "failed"),
    ],
)
def test_what_is_known_in_part_can_be_late_but_not_in_time(reading: Reading, status: str, reason: str) -> None:
    verdict = judge(monitor(warn_after_s=100), reading, State(), now=NOW)
    assert (verdict.status, verdict.reason) == (status, reason)
    late = judge(monitor(), old(301), State(), now=NOW).state
    assert judge(monitor(), reading, late, now=NOW).state.level == "error"


def test_the_age_is_by_the_sources_clock_and_the_skew_is_reported() -> None:
    fast = NOW + timedelta(minutes=10)
    verdict = judge(monitor(), Reading(newest=fast, source_now=fast), State(), now=NOW)
    assert (verdict.status, verdict.value, verdict.skew_s) == ("pass", 0, 600)
    stalled = judge(monitor(), Reading(newest=NOW, source_now=fast), State(), now=NOW)
    assert (stalled.status, stalled.value) == ("error", 600)
    assert judge(monitor(), old(0, source_now=NOW + MINUTE), State(), now=NOW).skew_s is None


@pytest.mark.parametrize(
    ("value", "status"), [(0.0, "pass"), (0.01, "warn"), (0.0101, "error"), (0.005, "pass"), (0.0051, "warn")]
)
def test_a_rate(value: float, status: str) -> None:
    assert judge(rate(warn_above=0.005), Reading(value=value), State(), now=NOW).status == status


def test_a_rate_without_value_is_unknown() -> None:
    verdict = judge(rate(), Reading(), State(), now=NOW)
    assert (verdict.status, verdict.reason) == ("unknown", "no_value")


@pytest.mark.parametrize(("base", "status"), [(99, "unknown"), (100, "error"), (None, "error"), (0, "unknown")])
def test_too_little_traffic_is_unknown(base: float | None, status: str) -> None:
    verdict = judge(rate(min_base=100), Reading(value=1.0, base=base), State(), now=NOW)
    assert verdict.status == status
    assert verdict.reason == ("low_base" if status == "unknown" else "above")


@pytest.mark.parametrize("value", [0.0, 0.6, 1.0])
def test_a_share_of_nothing_is_neither_high_nor_low(value: float) -> None:
    """Whatever the query says of it: it ends no incident, and begins none."""
    bad = State(level="error", since=NOW - MINUTE, measured_at=NOW - MINUTE)
    verdict = judge(rate(), Reading(value=value, base=0.0), bad, now=NOW)
    assert (verdict.status, verdict.reason, verdict.state.level) == ("unknown", "low_base", "error")


def test_a_quiet_night_hides_neither_an_old_row_nor_a_missing_one_behind_an_alarm() -> None:
    for reading in (old(9000, base=2), Reading(base=0)):
        verdict = judge(monitor(min_base=50), reading, State(), now=NOW)
        assert (verdict.status, verdict.reason) == ("unknown", "low_base")


@pytest.mark.parametrize(
    ("failed", "base", "status"),
    [
        (0, 100, "pass"),
        (1, 100, "pass"),  # not above 1 %
        (2, 100, "unknown"),  # 2 %, but two failures say little about 1 %
        (4, 100, "error"),
        (15, 1000, "unknown"),
        (19, 1000, "error"),
        (100, 100, "error"),
    ],
)
def test_a_share_above_its_threshold_must_be_more_than_chance(failed: int, base: int, status: str) -> None:
    verdict = judge(rate(), Reading(value=failed / base, base=base), State(), now=NOW)
    assert verdict.status == status
    assert verdict.reason == {"pass": "", "unknown": "low_base", "error": "above"}[status]


def test_a_share_that_chance_may_explain_ends_no_level_and_hides_no_warning() -> None:
    rule = rate(warn_above=0.001, escalate_above=0.05)
    shown = judge(rule, Reading(value=0.05, base=100), State(), now=NOW)
    assert (shown.status, shown.escalated) == ("error", False)
    few = judge(rule, Reading(value=0.02, base=100), shown.state, now=NOW + MINUTE)
    assert few.status == "error"
    assert judge(rule, Reading(value=0.02, base=100), State(), now=NOW).status == "warn"
    assert judge(rule, Reading(value=0.0, base=100), few.state, now=NOW + 2 * MINUTE).status == "pass"
    assert judge(rule, Reading(value=0.2, base=100), State(), now=NOW).escalated


def test_the_lower_bound_of_a_share() -> None:
    """The queries of the data-quality suites write the same formula in SQL."""
    assert share_at_least(0, 10) == 0
    assert share_at_least(2, 19) == pytest.approx(0.0147, abs=1e-4)
    assert share_at_least(1, 1) == pytest.approx(0.0406, abs=1e-4)
    assert 0.99 < share_at_least(10_000, 10_000) < 1


def test_a_level_must_hold_for_its_time() -> None:
    rule = rate(for_s=120)
    assert statuses(rule, [1, 1, 1]) == ["pass", "pass", "error"]
    assert statuses(rule, [1, 1, 0, 1, 1, 1]) == ["pass", "pass", "pass", "pass", "pass", "error"]
    assert [verdict.reason for verdict in after(rule, [1, 1, 1])] == ["holding", "holding", "above"]


def test_values_between_the_thresholds_hold_the_warning_alone() -> None:
    rule = rate(warn_above=0.005, for_s=120)
    assert statuses(rule, [0.007, 1, 0.007, 1, 1, 1]) == ["pass", "pass", "warn", "warn", "warn", "error"]


def test_recovery_must_hold_for_its_time() -> None:
    rule = rate(recover_for_s=120)
    assert statuses(rule, [1, 0, 0, 0]) == ["error", "error", "error", "pass"]
    assert statuses(rule, [1, 0, 0, 1, 0, 0, 0]) == ["error"] * 6 + ["pass"]


def test_an_error_recovers_to_a_warning_where_that_is_so() -> None:
    assert statuses(rate(warn_above=0.005, recover_for_s=60), [1, 0.007, 0.007]) == ["error", "error", "warn"]


def test_recovery_looks_at_all_of_its_time_and_not_at_the_last_value_alone() -> None:
    rule = rate(warn_above=0.005, recover_for_s=120)
    assert statuses(rule, [1, 0.007, 0.007, 0, 0, 0]) == ["error"] * 3 + ["warn", "warn", "pass"]
    assert statuses(rule, [1, 0, 0.007, 0, 0.007, 0]) == ["error"] * 3 + ["warn"] * 3
    assert statuses(rule, [1, 0, 0, 0]) == ["error"] * 3 + ["pass"]


def test_an_unmeasured_minute_neither_starts_nor_ends_anything() -> None:
    assert statuses(rate(recover_for_s=60), [1, None, 0, 0]) == ["error", "unknown", "error", "pass"]
    assert statuses(rate(for_s=120), [1, None, 1]) == ["pass", "unknown", "error"]
    verdicts = after(rate(), [0, None, None, 0])
    assert [verdict.state.unknown_since for verdict in verdicts] == [None, NOW + MINUTE, NOW + MINUTE, None]


def test_a_quiet_night_is_not_counted_as_time_without_measurement() -> None:
    quiet = judge(rate(min_base=10), Reading(value=0.0, base=1), State(unknown_since=NOW), now=NOW + MINUTE)
    failed = unknown("timeout", quiet.state, now=NOW + 2 * MINUTE)
    assert (quiet.state.unknown_since, failed.state.unknown_since) == (None, NOW + 2 * MINUTE)


def test_after_a_long_gap_what_was_held_begins_anew_and_the_checker_is_named() -> None:
    verdicts = after(rate(for_s=300), [1, 1], step=timedelta(minutes=10))
    assert [verdict.status for verdict in verdicts] == ["pass", "pass"]
    assert [verdict.cause for verdict in verdicts] == ["", "checker_late"]
    assert statuses(rate(recover_for_s=300), [1, 0, 0], step=timedelta(minutes=10)) == ["error"] * 3


def test_since_is_when_the_level_began() -> None:
    verdicts = after(rate(), [0, 1, 1, 0])
    assert [verdict.state.since for verdict in verdicts] == [NOW, NOW + MINUTE, NOW + MINUTE, NOW + 3 * MINUTE]


@pytest.mark.parametrize(("value", "escalated"), [(0.02, False), (0.05, False), (0.051, True)])
def test_escalation(value: float, *, escalated: bool) -> None:
    assert judge(rate(escalate_above=0.05), Reading(value=value), State(), now=NOW).escalated is escalated


def test_what_is_still_held_back_does_not_escalate() -> None:
    assert not judge(rate(escalate_above=0.05, for_s=60), Reading(value=1), State(), now=NOW).escalated


@pytest.mark.parametrize(
    ("newest_s", "upstream_s", "cause"),
    [(600, 600, "source_silent"), (600, 30, "pipeline_late"), (10, 5, ""), (None, 30, "pipeline_late")],
)
def test_a_silent_source_and_a_late_pipeline_are_told_apart(
    newest_s: float | None, upstream_s: float, cause: str
) -> None:
    newest = None if newest_s is None else NOW - timedelta(seconds=newest_s)
    reading = Reading(newest=newest, upstream_newest=NOW - timedelta(seconds=upstream_s))
    assert judge(monitor(), reading, State(), now=NOW).cause == cause


@pytest.mark.parametrize("upstream", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])
def test_a_time_that_cannot_be_tells_no_cause(upstream: datetime) -> None:
    assert judge(monitor(), old(600, upstream_newest=upstream), State(), now=NOW).cause == ""


def test_a_level_may_have_to_hold_for_ever() -> None:
    assert judge(rate(for_s=1e300), Reading(value=1), State(), now=NOW).status == "pass"


def test_a_dependency_that_is_down_is_an_error_and_a_slow_one_a_warning() -> None:
    rule = monitor(kind="heartbeat", source="http", query=None, url="http://x", warn_after_s=1)
    down = judge(rule, Reading(down=True, note="503"), State(), now=NOW)
    assert (down.status, down.reason, down.note) == ("error", "down", "503")
    assert judge(rule, Reading(value=1.5), State(), now=NOW).status == "warn"
    assert judge(rule, Reading(value=0.5), State(), now=NOW).status == "pass"


# A first value that has not come: no drill has proven any snapshot.

DAILY = {"source": "snapshots", "query": None, "error_after_s": 26 * 3600.0}
NONE_PROVEN = Reading(fault="not_proven_yet")
HOUR = timedelta(hours=1)


def each_hour(
    hours: range, reading: Reading = NONE_PROVEN, state: State | None = None, **changed: Any
) -> list[Verdict]:
    """Return the verdicts on the same reading, measured once an hour, so that the checker is late each time."""
    rule, state, verdicts = monitor(**DAILY | changed), state or State(), []
    for hour in hours:
        verdict = judge(rule, reading, state, now=NOW + hour * HOUR)
        verdicts.append(verdict)
        state = verdict.state
    return verdicts


def test_before_a_first_drill_could_have_run_nothing_is_late() -> None:
    verdicts = each_hour(range(48))
    assert [verdict.status for verdict in verdicts] == ["unknown"] * 27 + ["error"] * 21
    assert {verdict.reason for verdict in verdicts} == {"not_proven_yet"}
    assert {verdict.state.unknown_since for verdict in verdicts} == {None}, "nothing has failed to be measured"


def test_it_counts_from_the_first_snapshot_that_a_drill_could_have_proven() -> None:
    reading = replace(NONE_PROVEN, awaited_since=NOW - 20 * HOUR, note="20260301T180000Z-3f9a1c")
    assert [verdict.status for verdict in each_hour(range(9), reading)] == ["unknown"] * 7 + ["error"] * 2


def test_failures_to_measure_do_not_let_the_time_begin_again() -> None:
    state = each_hour(range(20))[-1].state
    failed = unknown("timeout", state, now=NOW + 20 * HOUR)
    assert failed.state.unknown_since == NOW + 20 * HOUR
    assert [verdict.status for verdict in each_hour(range(25, 29), state=failed.state)] == ["unknown"] * 2 + [
        "error"
    ] * 2


@pytest.mark.parametrize("proven_h", [1, 40])
def test_once_there_was_a_proven_snapshot_its_absence_is_an_error_at_once(proven_h: int) -> None:
    seen = judge(monitor(**DAILY), old(proven_h * 3600), State(), now=NOW).state
    recent = replace(NONE_PROVEN, awaited_since=NOW)
    assert {verdict.status for verdict in each_hour(range(1, 3), recent, state=seen)} == {"error"}


def test_the_first_snapshot_does_not_end_that_its_absence_was_late_but_its_proof_does() -> None:
    late = each_hour(range(30))[-1].state
    (taken,) = each_hour(range(30, 31), replace(NONE_PROVEN, awaited_since=NOW + 30 * HOUR), state=late)
    assert taken.status == "error"
    proven = judge(monitor(**DAILY), Reading(newest=NOW + 30 * HOUR), taken.state, now=NOW + 31 * HOUR)
    assert (proven.status, proven.reason) == ("pass", "")


def test_while_an_error_waits_for_its_time_what_was_never_proven_does_not_pass() -> None:
    assert [verdict.status for verdict in each_hour(range(26, 29), for_s=1.0, state=State(since=NOW))] == [
        "unknown",
        "unknown",
        "error",
    ]
