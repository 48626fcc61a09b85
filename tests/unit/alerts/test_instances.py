"""Which instances of a mapped task failed, with the errors that differ: what its card says after each report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mindguard.alerts.alert import Alert, FailedInstances
from mindguard.alerts.dag_runs.failures import Run, task_failure
from mindguard.alerts.instances import joined, joined_alert, ranges
from mindguard.alerts.severity import Severity
from mindguard.feishu.card import render_card
from mindguard.feishu.message import fits, hook_message
from mindguard.texts import Locale

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
RUN = Run("etl", "r0", "scheduled", AT)


def a_report(*indexes: int, error: str = "", whole: bool = False, run: Run = RUN, locale: Locale = "en") -> Alert:
    finding = task_failure(
        run,
        "load",
        severity=Severity.P1,
        happened_at=AT,
        log_url=f"https://airflow.example/{indexes[0]}",
        locale=locale,
        error=error,
        detail=error and f"Traceback of {indexes[0]}",
        instances=indexes,
        whole=whole,
    )
    return finding.alert


def together(first: Alert, *others: Alert) -> Alert:
    for other in others:
        assert first.instances
        assert other.instances
        first = joined_alert(first, other, joined(first.instances, other.instances))
    return Alert.from_json(first.to_json())


def facts(alert: Alert) -> list[tuple[str, str]]:
    return [(fact.name, fact.value) for fact in alert.facts]


def test_five_instances_with_one_error_are_counted_and_named() -> None:
    alert = together(*(a_report(index, error="ValueError: x") for index in (0, 3, 1, 4, 2)))
    assert facts(alert) == [("Error", "ValueError: x"), ("Failed instances", "5: 0-4"), ("Run", "r0")]


def test_errors_that_differ_are_all_shown_and_the_first_has_its_traceback_and_its_log() -> None:
    reports = [a_report(7, error="KeyError: a"), a_report(2, error="ValueError: b"), a_report(3, error="KeyError: a")]
    alert = together(*reports, a_report(2, 3, 5, 7, whole=True))
    assert facts(alert) == [
        ("Error of instance 3, 7", "KeyError: a"),
        ("Failed instances", "4: 2-3, 5, 7"),
        ("Error of instance 2", "ValueError: b"),
        ("Error of instance 5", "no error was received; see the task's log"),
        ("Run", "r0"),
    ]
    assert (alert.detail, alert.links[0].url) == ("Traceback of 7", "https://airflow.example/7")


def test_the_order_of_the_runs_report_and_the_tasks_does_not_matter() -> None:
    """A callback of the run may come before those of its last tasks."""
    whole, one, two = a_report(0, 1, whole=True), a_report(0, error="KeyError: a"), a_report(1, error="ValueError: b")
    expected = facts(together(one, two, whole))
    assert facts(together(whole, one, two)) == facts(together(one, whole, two)) == expected
    assert together(whole, one, two).detail == "Traceback of 0"


@pytest.mark.parametrize("again", [0, 1, 2])
def test_what_is_known_already_changes_nothing(again: int) -> None:
    errors = ("KeyError: a", "ValueError: b", "KeyError: a")
    known = together(*(a_report(index, error=error) for index, error in enumerate(errors))).instances
    reported = a_report(again, error=errors[again]).instances
    assert known
    assert reported
    assert joined(known, reported) == known


def test_an_instance_that_has_recovered_is_not_named_by_the_whole_report() -> None:
    alert = together(a_report(0, error="KeyError: a"), a_report(1, error="KeyError: a"), a_report(1, whole=True))
    assert facts(alert)[1] == ("Failed instances", "1: 1")


def test_a_run_that_failed_without_its_errors_says_so_once() -> None:
    assert facts(a_report(0, 1, whole=True))[0][0] == "Error"


def test_a_thousand_instances_with_a_thousand_errors_are_bounded_and_the_number_is_right() -> None:
    alert = a_report(0, error="E: 0 " + "x" * 100_000)
    for index in range(2, 2000, 2):
        other = a_report(index, error=f"E: {index} " + "x" * 2000)
        assert alert.instances
        assert other.instances
        alert = joined_alert(alert, other, joined(alert.instances, other.instances))
    names = [name for name, _ in facts(alert)]
    assert names[:2] == ["Error of instance 0", "Failed instances"]
    assert names[5:7] == ["Error of instance 8", "Further errors"]
    assert facts(alert)[1][1].startswith("1000: 0, 2, 4")
    assert sum(len(value) for _, value in facts(alert)) < 6000
    card = render_card(alert, locale="en", zone=ZoneInfo("Asia/Shanghai"))
    assert fits(hook_message(card))


def test_secrets_in_any_of_the_errors_are_masked_before_they_are_shortened() -> None:
    secret = "postgresql://demo:not-a-real-password-1234@db.example/x"
    alert = together(a_report(0, error="x"), a_report(1, error="y" * 960 + secret), a_report(2, error=secret))
    assert "not-a-real" not in repr(alert)


def test_hostile_errors_are_one_line_that_can_be_stored() -> None:
    alert = together(a_report(0, error="x"), a_report(1, error="a\x00\ud800\n\u202eb"))
    assert facts(alert)[2][1] == "a? b"


def test_the_words_are_in_the_language_of_the_report() -> None:
    alert = together(a_report(0, error="x", locale="zh"), a_report(2, error="y", locale="zh"))
    assert facts(alert)[:3] == [("错误（实例 0）", "x"), ("失败的实例", "2 个：0, 2"), ("错误（实例 2）", "y")]


def test_a_report_of_another_run_has_instances_of_its_own() -> None:
    other = a_report(1, error="x", run=replace(RUN, run_id="r1")).instances
    assert isinstance(other, FailedInstances)
    assert other.occurrence != RUN.occurrence


@pytest.mark.parametrize(
    ("indexes", "text"), [([], ""), ([3], "3"), ([2, 1, 3, 5, 5], "1-3, 5"), ([1, 3, 5, 7], "1, 3, 5, …")]
)
def test_ranges(indexes: list[int], text: str) -> None:
    assert ranges(indexes, 3) == text
