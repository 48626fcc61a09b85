"""Failures as alerts: one incident for one task of one run, whoever reports it, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mindguard.alerts.dag_runs.failures import Run, has_own_values, is_key_of, run_failure, success, task_failure
from mindguard.alerts.finding import Finding
from mindguard.alerts.severity import Severity

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
LOG = "https://airflow.example/dags/snapshot_tables/runs/r1/tasks/take_snapshot"


def a_run(**changes: Any) -> Run:
    known: dict[str, Any] = {
        "dag_id": "snapshot_tables",
        "run_id": "r1",
        "run_type": "scheduled",
        "started_at": AT,
    }
    return Run(**known | changes)


def of_task(run: Run | None = None, task_id: str = "take_snapshot", **changes: Any) -> Finding:
    known: dict[str, Any] = {"severity": Severity.P1, "happened_at": AT, "log_url": LOG, "locale": "en"}
    return task_failure(run or a_run(), task_id, **known | changes)


def of_run(run: Run | None = None, **changes: Any) -> Finding:
    known: dict[str, Any] = {
        "reason": "timed_out",
        "severity": Severity.P1,
        "happened_at": AT,
        "run_url": "https://airflow.example/dags/snapshot_tables/runs/r1",
        "locale": "en",
    }
    return run_failure(run or a_run(), **known | changes)


def test_every_reporter_of_one_failure_names_one_occurrence_of_one_incident() -> None:
    """The task's callback knows the error, the run's callback only that the task failed; both must be one card."""
    by_task = of_task(error="OSError: disk full", detail="Traceback …", tries=3, happened_at=datetime.now(UTC))
    elsewhere = a_run(started_at=AT.astimezone(ZoneInfo("Asia/Shanghai")))
    by_run = of_task(elsewhere, log_url="https://airflow.example/elsewhere", locale="zh", severity=Severity.P0)
    assert by_task.alert.fingerprint == by_run.alert.fingerprint
    assert by_task.occurrence == by_run.occurrence
    assert by_task.recovery_key == by_run.recovery_key


def test_a_cleared_run_can_fail_again() -> None:
    again = of_task(a_run(started_at=AT + timedelta(minutes=5)))
    assert again.alert.fingerprint == of_task().alert.fingerprint
    assert again.occurrence != of_task().occurrence


@pytest.mark.parametrize("run_type", ["scheduled", "asset_triggered", "operator_triggered"])
def test_scheduled_runs_share_an_incident(run_type: str) -> None:
    first, second = (of_task(a_run(run_id=run_id, run_type=run_type)) for run_id in ("r1", "r2"))
    assert first.alert.fingerprint == second.alert.fingerprint
    assert first.occurrence != second.occurrence


@pytest.mark.parametrize("run_type", ["manual", "backfill", "asset_materialization"])
def test_a_run_that_a_person_started_has_an_incident_of_its_own(run_type: str) -> None:
    first, second = (of_task(a_run(run_id=run_id, run_type=run_type)) for run_id in ("r1", "r2"))
    assert len({of_task().alert.fingerprint, first.alert.fingerprint, second.alert.fingerprint}) == 3


def test_other_failures_are_other_incidents() -> None:
    findings = [
        of_task(),
        of_task(task_id="verify_snapshot"),
        of_task(a_run(dag_id="restore_drill")),
        of_task(a_run(dag_id="snapshot_tables.take"), "snapshot"),
        of_task(task_id="run"),
        of_run(),
        of_run(a_run(dag_id="restore_drill")),
    ]
    assert len({finding.alert.fingerprint for finding in findings}) == len(findings)
    assert len({finding.recovery_key for finding in findings}) == len(findings)


@pytest.mark.parametrize("by", ["scheduled", "manual"])
@pytest.mark.parametrize("failed", ["scheduled", "manual"])
def test_any_later_success_of_a_run_that_asks_for_the_same_ends_it(failed: str, by: str) -> None:
    """Whether or not the DAG has a schedule: what a person starts without a word of their own asks for the same."""
    first, later = a_run(run_type=failed), a_run(run_id="r2", run_type=by)
    assert success(later, "take_snapshot", at=AT).recovery_key == of_task(first).recovery_key
    assert success(later, at=AT).recovery_key == of_run(first).recovery_key


@pytest.mark.parametrize("run_type", ["manual", "operator_triggered"])
def test_what_was_started_with_own_values_only_its_rerun_ends(run_type: str) -> None:
    """It is a request of its own: no success of another one says anything about it, nor it about others."""
    own, other = (a_run(run_id=run_id, run_type=run_type, own_values=True) for run_id in ("r1", "r2"))
    usual = a_run(run_id="r3", run_type=run_type)
    assert success(own, "take_snapshot", at=AT).recovery_key == of_task(own).recovery_key
    keys = {success(run, "take_snapshot", at=AT).recovery_key for run in (own, other, usual)}
    assert len(keys) == 3
    assert of_task(own).alert.fingerprint != of_task(other).alert.fingerprint, "or one card would be about both"


@pytest.mark.parametrize(
    ("conf", "own"),
    [
        (None, False),
        ({}, False),
        ({"snapshot_id": "latest", "tables": [], "into": None}, False),  # as the form sends it, untouched
        ({"snapshot_id": "20260301T180000Z-3f9a1c"}, True),
        ({"snapshot_id": "latest", "tables": ["public.checkins"]}, True),
        ({"into": ""}, True),
        ({"tenant": None}, True),  # nobody knows what the DAG makes of it
    ],
)
def test_values_of_the_form_as_it_comes_are_not_a_persons_own(conf: dict[str, Any] | None, own: bool) -> None:
    assert has_own_values(conf, {"snapshot_id": "latest", "tables": [], "into": None}) == own


@pytest.mark.parametrize(("locale", "said"), [("zh", "其他运行成功不算"), ("en", "this run, whose parameters")])
def test_a_card_says_how_such_an_incident_ends(locale: str, said: str) -> None:
    for report in (of_task, of_run):
        assert said in report(a_run(own_values=True), locale=locale).alert.facts[-1].value
        assert not any(said in fact.value for fact in report(a_run(run_type="manual"), locale=locale).alert.facts)


@pytest.mark.parametrize(("locale", "label"), [("zh", "处置手册（Dag 文档）"), ("en", "Runbook (Dag Docs)")])
def test_a_card_leads_to_the_dags_runbook_if_there_is_one(locale: str, label: str) -> None:
    page = "https://airflow.example/dags/snapshot_tables"
    for report in (of_task, of_run):
        link = report(locale=locale, runbook_url=page).alert.links[-1]
        assert (link.label, link.url) == (label, page)
        assert len(report(locale=locale).alert.links) == 1


def test_a_run_is_one_incident_whatever_its_reason() -> None:
    reasons = [of_run(reason=reason).alert.fingerprint for reason in ("timed_out", "all_tasks_deadlocked")]
    assert len(set(reasons)) == 1


def test_a_run_that_never_started_has_an_occurrence_too() -> None:
    assert of_run(a_run(started_at=None)).occurrence == "r1"


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
    alert = of_task(locale=locale, error="OSError: disk full", detail="Traceback …", tries=3).alert
    assert alert.title == title
    assert alert.subject == "snapshot_tables.take_snapshot"
    assert [(fact.name, fact.value) for fact in alert.facts] == facts
    assert [fact.wrong for fact in alert.facts] == [True, False, False]
    assert alert.detail == "Traceback …"
    assert [(each.label, each.url) for each in alert.links] == [(link, LOG)]
    assert not alert.resolved


@pytest.mark.parametrize(("locale", "text"), [("en", "no error was received"), ("zh", "没有收到错误信息")])
def test_of_a_task_without_an_error_nothing_is_claimed(locale: str, text: str) -> None:
    alert = of_task(locale=locale).alert
    assert text in alert.facts[0].value
    assert not any(word in alert.facts[0].value for word in ("killed", "强制结束")), "nobody knows that"
    assert [fact.name for fact in alert.facts][2:] == [], "an unknown number of tries is not shown as 0"


@pytest.mark.parametrize(
    ("locale", "reason", "title", "error", "link"),
    [
        ("en", "timed_out", "Run timed out", "over its time limit (dagrun_timeout)", "Open the run"),
        ("zh", "timed_out", "运行超时", "超过了运行时限（dagrun_timeout）", "查看本次运行"),
        ("en", "all_tasks_deadlocked", "Run failed", "none of the remaining tasks can start", "Open the run"),
        ("zh", "all_tasks_deadlocked", "运行失败", "剩下的任务都无法开始", "查看本次运行"),
        ("zh", "task_failure", "运行失败", "有任务失败", "查看本次运行"),
        ("en", "failed", "Run failed", "no task failed, and Airflow recorded no reason", "Open the run"),
        ("zh", "failed", "运行失败", "没有任务失败，Airflow 也没有记录原因", "查看本次运行"),
        ("en", "a later Airflow's", "Run failed", "a later Airflow's", "Open the run"),
    ],
)
def test_a_failed_run_in_words(locale: str, reason: str, title: str, error: str, link: str) -> None:
    alert = of_run(locale=locale, reason=reason).alert
    assert (alert.title.split("：")[0].split(":")[0], alert.subject) == (title, "snapshot_tables")
    assert alert.facts[0].value.startswith(error)
    assert alert.facts[1].value == "r1"
    assert [each.label for each in alert.links] == [link]
    assert alert.error_unknown == (reason == "failed"), "a callback may know the reason that Airflow's record lacks"


@pytest.mark.parametrize(("locale", "error"), [("en", "marked as failed in Airflow by zhou"), ("zh", "由 zhou 在")])
def test_who_marked_a_run_as_failed_is_said(locale: str, error: str) -> None:
    alert = of_run(locale=locale, reason="failed", marked_by="zhou").alert
    assert alert.facts[0].value.startswith(error)
    assert not alert.error_unknown


def test_braces_in_names_are_not_placeholders() -> None:
    assert of_task(task_id="{locale}{0}").alert.title == "Task failed: {locale}{0}"


@pytest.mark.parametrize("report", [of_task, of_run])
def test_a_time_without_zone_is_refused(report: Any) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        report(happened_at=datetime(2026, 11, 19))  # noqa: DTZ001


@pytest.mark.parametrize("own_values", [True, False])
@pytest.mark.parametrize("task_id", ["", "take_snapshot"])
def test_a_key_is_known_as_one_of_its_dag_and_of_no_other(task_id: str, own_values: bool) -> None:
    key = a_run(own_values=own_values).recovery_key(task_id)
    assert is_key_of(key, "snapshot_tables")
    for other in ("snapshot", "snapshot_tables_2", "tables", "snapshot_tables.other"):
        assert not is_key_of(key, other)
    assert not is_key_of(f"monitor:{key.partition(':')[2]}", "snapshot_tables")
