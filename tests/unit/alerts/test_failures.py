"""Failures as alerts: one incident for one task of one run, whoever reports it, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mindguard.alerts.alert import Alert
from mindguard.alerts.failures import run_failure, task_failure, task_fingerprint
from mindguard.alerts.severity import Severity

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
LOG = "https://airflow.example/dags/snapshot_tables/runs/r1/tasks/take_snapshot"


def of_task(**changes: Any) -> Alert:
    known: dict[str, Any] = {
        "dag_id": "snapshot_tables",
        "run_id": "r1",
        "task_id": "take_snapshot",
        "severity": Severity.P1,
        "happened_at": AT,
        "log_url": LOG,
        "locale": "en",
    }
    return task_failure(**known | changes)


def of_run(**changes: Any) -> Alert:
    known: dict[str, Any] = {
        "dag_id": "snapshot_tables",
        "run_id": "r1",
        "reason": "timed_out",
        "severity": Severity.P1,
        "happened_at": AT,
        "run_url": "https://airflow.example/dags/snapshot_tables/runs/r1",
        "locale": "en",
    }
    return run_failure(**known | changes)


def test_the_task_and_its_run_report_one_incident() -> None:
    """The task's callback knows the error, the run's callback only that the task failed; it must be one card."""
    by_task = of_task(error="OSError: disk full", detail="Traceback …", tries=3, happened_at=datetime.now(UTC))
    by_run = of_task(log_url="https://airflow.example/elsewhere", locale="zh", severity=Severity.P0)
    assert by_task.fingerprint == by_run.fingerprint == task_fingerprint("snapshot_tables", "r1", "take_snapshot")


def test_other_failures_are_other_incidents() -> None:
    alerts = [
        of_task(),
        of_task(run_id="r2"),
        of_task(task_id="verify_snapshot"),
        of_task(dag_id="restore_drill"),
        of_task(dag_id="snapshot_tables.take", task_id="snapshot"),
        of_task(task_id="run"),
        of_run(),
        of_run(run_id="r2"),
        of_run(dag_id="restore_drill"),
    ]
    assert len({alert.fingerprint for alert in alerts}) == len(alerts)


def test_a_run_is_one_incident_whatever_its_reason() -> None:
    assert of_run(reason="timed_out").fingerprint == of_run(reason="all_tasks_deadlocked").fingerprint


@pytest.mark.parametrize(
    ("locale", "title", "facts", "link"),
    [
        (
            "en",
            "Task failed: take_snapshot",
            [("Error", "OSError: disk full"), ("Run", "r1"), ("Tries", "3")],
            "Open the failing task's log",
        ),
        (
            "zh",
            "任务失败：take_snapshot",
            [("错误", "OSError: disk full"), ("运行", "r1"), ("尝试次数", "3")],
            "打开失败任务的日志",
        ),
    ],
)
def test_a_failed_task_in_words(locale: str, title: str, facts: list[tuple[str, str]], link: str) -> None:
    alert = of_task(locale=locale, error="OSError: disk full", detail="Traceback …", tries=3)
    assert alert.title == title
    assert alert.subject == "snapshot_tables.take_snapshot"
    assert [(fact.name, fact.value) for fact in alert.facts] == facts
    assert [fact.wrong for fact in alert.facts] == [True, False, False]
    assert alert.detail == "Traceback …"
    assert [(each.label, each.url) for each in alert.links] == [(link, LOG)]
    assert not alert.resolved


@pytest.mark.parametrize(("locale", "said"), [("en", "its process was probably killed"), ("zh", "进程可能被强制结束")])
def test_a_task_without_an_error_was_probably_killed(locale: str, said: str) -> None:
    alert = of_task(locale=locale)
    assert said in alert.facts[0].value
    assert [fact.name for fact in alert.facts][2:] == [], "an unknown number of tries is not shown as 0"


@pytest.mark.parametrize(
    ("locale", "reason", "title", "link"),
    [
        ("en", "timed_out", "Run timed out: snapshot_tables", "Open the run"),
        ("zh", "timed_out", "运行超时：snapshot_tables", "打开运行"),
        ("en", "all_tasks_deadlocked", "Run failed: snapshot_tables", "Open the run"),
        ("zh", "all_tasks_deadlocked", "运行失败：snapshot_tables", "打开运行"),
    ],
)
def test_a_failed_run_in_words(locale: str, reason: str, title: str, link: str) -> None:
    alert = of_run(locale=locale, reason=reason)
    assert (alert.title, alert.subject) == (title, "snapshot_tables")
    assert [fact.value for fact in alert.facts] == [reason, "r1"]
    assert [each.label for each in alert.links] == [link]


def test_braces_in_names_are_no_placeholders() -> None:
    assert of_task(task_id="{locale}{0}").title == "Task failed: {locale}{0}"


@pytest.mark.parametrize("report", [of_task, of_run])
def test_a_time_without_zone_is_refused(report: Any) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        report(happened_at=datetime(2026, 11, 19))  # noqa: DTZ001
