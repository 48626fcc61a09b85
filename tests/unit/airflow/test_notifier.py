"""What callbacks report, with which severity, when they report nothing, and what a request for approval says."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom

from mindguard.airflow import exception_text, notifier
from mindguard.airflow.notifier import ApprovalNotifier, FeishuNotifier, RecoveryNotifier
from mindguard.alerts.alert import Alert, Question
from mindguard.alerts.direct import KEY_OF_UNSTORED, Told, Unstored
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError, SettingsError
from mindguard.settings import load_settings
from mindguard.snapshots.restore.drill import DrillBroke, Unrestorable

STARTED = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)


def a_task_instance(**changes: Any) -> SimpleNamespace:
    known = {
        "dag_id": "restore_tables",
        "run_id": "manual__1",
        "task_id": "approve_restore",
        "log_url": "https://airflow.example/dags/restore_tables/runs/manual__1/tasks/approve_restore?try_number=1",
        "try_number": 1,
        "map_index": -1,
        "get_previous_dagrun": lambda: None,
    }
    return SimpleNamespace(**known | changes)


def a_dag(**changes: Any) -> SimpleNamespace:
    known = {
        "dag_id": "restore_tables",
        "doc_md": "### restore_tables: …",
        "params": ParamsDict({"snapshot_id": "latest"}),
        "task_ids": ["approve_restore"],
        "get_task": lambda _: SimpleNamespace(on_failure_callback=None),
    }
    return SimpleNamespace(**known | changes)


def a_context(**changes: Any) -> Any:
    dag_run = SimpleNamespace(run_type=SimpleNamespace(value="manual"), start_date=STARTED, conf={})
    known = {
        "ti": a_task_instance(),
        "run_id": "manual__1",
        "dag": a_dag(),
        "dag_run": dag_run,
    }
    return known | changes


class Reports:
    """Collects what would have been reported to the store."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.recoveries: list[Recovery] = []
        self.unstored: list[Unstored] = []

    def take(self, _: Any, findings: Any, recoveries: Any, settings: Any, unstored: Any = ()) -> tuple[()]:
        self.findings += findings
        self.recoveries += recoveries
        self.unstored += unstored
        return ()


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    taken = Reports()
    monkeypatch.setattr(FeishuNotifier, "_report", lambda *arguments: taken.take(*arguments))
    return taken


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """Collects the alerts that would have been sent to Feishu without an incident."""
    alerts: list[Alert] = []
    monkeypatch.setattr(ApprovalNotifier, "_send", lambda self, alert, uuid: alerts.append(alert))
    return alerts


@pytest.mark.parametrize(
    ("context", "severity"),
    [
        ({}, Severity.P1),
        ({"exception": ValueError("x")}, Severity.P1),
        ({"exception": MindGuardError("x")}, Severity.P1),
        ({"exception": Unrestorable("x")}, Severity.P0),
        ({"exception": DrillBroke("x")}, Severity.P2),
        ({"exception": DrillBroke("x"), "params": {"severity": "P0"}}, Severity.P0),
        ({"params": {"severity": "P2"}}, Severity.P2),
    ],
)
def test_an_error_may_say_how_bad_it_is(context: dict[str, Any], severity: Severity, reports: Reports) -> None:
    FeishuNotifier(severity="P1").notify(a_context(**context))
    assert [finding.alert.severity for finding in reports.findings] == [severity]


@pytest.mark.parametrize(
    ("conf", "key"),
    [
        ({}, "airflow:restore_tables.approve_restore"),
        ({"snapshot_id": "latest"}, "airflow:restore_tables.approve_restore"),
        ({"snapshot_id": "20260301T180000Z-3f9a1c"}, "airflow:restore_tables.approve_restore manual__1"),
    ],
)
def test_a_success_of_another_run_counts_if_both_were_started_as_the_form_comes(
    conf: dict[str, Any], key: str, reports: Reports
) -> None:
    context = a_context()
    context["dag_run"].conf = conf
    FeishuNotifier(severity="P1").notify(context)
    RecoveryNotifier(severity="P1").notify(context)
    assert [each.recovery_key for each in (*reports.findings, *reports.recoveries)] == [key, key]


class UnreadableForm:
    """Params with a default that its own schema refuses."""

    def dump(self) -> dict[str, Any]:
        raise ValueError("the default is not valid")


@pytest.mark.parametrize(
    ("dag", "own_values"),
    [(a_dag(), True), (a_dag(params=ParamsDict()), False), (a_dag(params=UnreadableForm()), False)],
)
def test_without_airflows_record_a_run_of_a_dag_with_a_form_may_have_values_of_its_own(
    dag: Any, own_values: bool
) -> None:
    assert notifier._run(a_context(dag=dag, dag_run=None)).own_values == own_values


@pytest.mark.parametrize(("doc_md", "links"), [("### …", 2), (None, 1)])
def test_each_card_leads_to_the_dags_runbook(
    doc_md: str | None, links: int, reports: Reports, sent: list[Alert], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        RuntimeTaskInstance, "get_task_states", lambda **_: {"manual__1": {"approve_restore": "failed"}}
    )
    monkeypatch.setattr(XCom, "get_one", create_autospec(XCom.get_one, return_value=None))
    context = a_context(dag=a_dag(doc_md=doc_md), task=SimpleNamespace(subject="restore all tables", body=None))
    FeishuNotifier(severity="P1").notify(context)
    FeishuNotifier(severity="P1").notify(context | {"reason": "task_failure"})
    ApprovalNotifier(severity="P2").notify(context)
    alerts = [*(finding.alert for finding in reports.findings), *sent]
    assert [len(alert.links) for alert in alerts] == [links] * 3
    assert {link.url.endswith("/dags/restore_tables") for alert in alerts for link in alert.links[1:]} <= {True}


class ForeignError(Exception):
    """As asyncpg's errors, it has an attribute with the name of one of ours."""

    severity = "ERROR"


class UnreadableError(Exception):
    """Its class cannot say what it means."""

    def __str__(self) -> str:
        raise TypeError("%d format: a number is required")


class HangingError(Exception):
    """Its class asks something that does not answer."""

    def __str__(self) -> str:
        threading.Event().wait(20)
        return "late"


class UnprintableParams(dict[str, Any]):
    """As Airflow's, it validates a value when it is read."""

    def get(self, *_: Any) -> Any:
        raise ValueError("the param is not valid")


@pytest.mark.parametrize(
    ("context", "line"),
    [
        ({"exception": ForeignError("deadlock detected")}, "ForeignError: deadlock detected"),
        ({"exception": UnreadableError()}, "UnreadableError: （错误内容无法读取：TypeError）"),
        ({"exception": HangingError()}, "HangingError: （0.1 秒内没能读到错误内容）"),
        ({"exception": ValueError("x"), "params": {"severity": "high"}}, "ValueError: x"),
        ({"exception": ValueError("x"), "params": {"severity": ["P0"]}}, "ValueError: x"),
        ({"exception": ValueError("x"), "params": {"severity": 1}}, "ValueError: x"),
        ({"exception": ValueError("x"), "params": UnprintableParams()}, "ValueError: x"),
        ({"exception": "heartbeat timeout"}, "heartbeat timeout"),
        ({"exception": KeyError("\ud800\x00")}, "KeyError: '\\ud800\\x00'"),
    ],
)
def test_whatever_an_exception_is_the_failure_is_reported_with_it(
    context: dict[str, Any], line: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exception_text, "_TIMEOUT_S", 0.1)
    FeishuNotifier(severity="P1").notify(a_context(**context))
    (finding,) = reports.findings
    assert (finding.alert.severity, finding.alert.facts[0].value) == (Severity.P1, line)
    assert Alert.from_json(finding.alert.to_json()).facts


def test_a_faulty_settings_file_is_reported_too(
    reports: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mindguard.yaml"
    file.write_text("snapshot: {bukcet: x}\n")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(file))
    with pytest.raises(SettingsError) as faulty:
        load_settings()
    FeishuNotifier(severity="P1").notify(a_context(exception=faulty.value))
    (finding,) = reports.findings
    assert "unknown key" in finding.alert.facts[0].value


def test_a_cause_that_cannot_be_printed_hides_no_error(reports: Reports) -> None:
    error = ValueError("no such table")
    error.__cause__ = UnreadableError()
    FeishuNotifier(severity="P1").notify(a_context(exception=error))
    (finding,) = reports.findings
    assert finding.alert.facts[0].value == "ValueError: no such table"
    assert "no such table" in finding.alert.detail


def test_a_very_long_error_keeps_its_beginning_and_its_end(reports: Reports) -> None:
    FeishuNotifier(severity="P1").notify(a_context(exception=ValueError(f"head {'x ' * 5_000_000}tail")))
    (finding,) = reports.findings
    value, detail = finding.alert.facts[0].value, finding.alert.detail
    assert value.startswith("ValueError: head")
    assert value.endswith("tail")
    assert len(value) + len(detail) < 200_000


def test_airflow_that_does_not_say_how_the_previous_run_ended_hides_no_failure(reports: Reports) -> None:
    def broken() -> None:
        raise RuntimeError("the API server is away")

    context = a_context(ti=a_task_instance(get_previous_dagrun=broken))
    FeishuNotifier(severity="P1", repeats=False).notify(context)
    assert len(reports.findings) == 1


def test_a_mark_that_cannot_be_stored_does_not_fail_the_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    push = create_autospec(print, side_effect=RuntimeError("the API server is away"))
    monkeypatch.setattr(FeishuNotifier, "_report", lambda _, findings, *__: [Unstored(findings[0])])
    FeishuNotifier(severity="P1").notify(a_context(ti=a_task_instance(xcom_push=push)))
    push.assert_called_once()


def test_a_record_that_does_not_answer_does_not_hold_up_the_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(notifier, "_XCOM_S", 0.1)
    monkeypatch.setattr(FeishuNotifier, "_report", lambda _, findings, *__: [Unstored(findings[0])])
    began = time.monotonic()
    FeishuNotifier(severity="P1").notify(a_context(ti=a_task_instance(xcom_push=lambda *_: released.wait(20))))
    released.set()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("told", [Told(STARTED, "om_1"), None])
def test_what_the_task_knew_of_its_failure_reaches_the_runs_callback(
    told: Told | None, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task's callback could not reach the store, nor, if nobody was told, Feishu."""
    kept: dict[str, str] = {}

    def away(_: Any, findings: Any, *__: Any) -> list[Unstored]:
        if told is None:
            raise MindGuardError("Feishu is away too")
        return [Unstored(findings[0], told)]

    with monkeypatch.context() as patch:
        patch.setattr(FeishuNotifier, "_report", away)
        context = a_context(ti=a_task_instance(xcom_push=kept.__setitem__), exception=ValueError("no such table"))
        with nullcontext() if told else pytest.raises(MindGuardError, match="away too"):
            FeishuNotifier(severity="P1").notify(context)
    states = {"manual__1": {"approve_restore": "failed", "other": "failed"}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **_: states)
    texts = [kept[KEY_OF_UNSTORED], None]
    monkeypatch.setattr(XCom, "get_one", create_autospec(XCom.get_one, side_effect=texts))
    dag = a_dag(task_ids=["approve_restore", "other"])
    FeishuNotifier(severity="P1").notify(a_context(dag=dag, reason="task_failure"))
    (unstored,), (finding,) = reports.unstored, reports.findings
    assert unstored.told == told
    assert unstored.finding.alert.facts[0].value == "ValueError: no such table"
    assert finding.alert.subject == "restore_tables.other"
    assert finding.alert.error_unknown


@pytest.mark.parametrize("mark", ["", RuntimeError("the API server is away")])
def test_a_task_that_is_no_longer_in_the_dag_does_not_hide_the_others(
    mark: Any, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"manual__1": {"approve_restore": "failed", "old_task": "failed", "mapped_3": "failed"}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **_: states)
    monkeypatch.setattr(XCom, "get_one", create_autospec(XCom.get_one, side_effect=[mark] * 3))
    dag = a_dag(task_ids=["approve_restore", "mapped"])
    FeishuNotifier(severity="P1").notify(a_context(dag=dag, reason="task_failure"))
    assert sorted(finding.alert.subject.rpartition(".")[2] for finding in reports.findings) == [
        "approve_restore",
        "mapped",
        "old_task",
    ]


def test_a_success_is_a_recovery_of_the_same_task(reports: Reports) -> None:
    FeishuNotifier(severity="P1").notify(a_context())
    RecoveryNotifier(severity="P1").notify(a_context())
    (finding,), (recovery,) = reports.findings, reports.recoveries
    assert finding.recovery_key == recovery.recovery_key


def test_a_failed_instance_of_a_mapped_task_is_named_with_its_error(reports: Reports) -> None:
    FeishuNotifier(severity="P1").notify(a_context(ti=a_task_instance(map_index=3), exception=ValueError("x")))
    (finding,) = reports.findings
    assert [fact.value for fact in finding.alert.facts] == ["ValueError: x", "1 个：3", "manual__1", "1"]
    assert finding.alert.instances
    assert not finding.alert.instances.whole


def test_one_instance_of_a_mapped_task_does_not_end_the_incident(reports: Reports) -> None:
    """Another instance may have failed; the run's callback sees all of them."""
    RecoveryNotifier(severity="P1").notify(a_context(ti=a_task_instance(map_index=0)))
    assert reports.recoveries == []


@pytest.mark.parametrize("error", [MindGuardError("the store is down"), UnreadableError()])
def test_a_recovery_that_cannot_be_reported_is_only_logged(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    report = create_autospec(FeishuNotifier._report, side_effect=error)
    monkeypatch.setattr(FeishuNotifier, "_report", report)
    RecoveryNotifier(severity="P1").notify(a_context())
    report.assert_called_once()


@pytest.mark.parametrize(("before", "reported"), [(None, 1), ("success", 1), ("failed", 0)])
def test_what_delivers_alerts_reports_only_the_first_of_its_failures(
    before: str | None, reported: int, reports: Reports
) -> None:
    run_before = SimpleNamespace(state=before) if before else None
    context = a_context(ti=a_task_instance(get_previous_dagrun=lambda: run_before))
    FeishuNotifier(severity="P1", repeats=False).notify(context)
    assert len(reports.findings) == reported
    FeishuNotifier(severity="P1").notify(context)
    assert len(reports.findings) == reported + 1


def test_a_request_for_approval_links_to_the_page_that_takes_it(sent: list[Alert]) -> None:
    limit = timedelta(hours=12)
    operator = SimpleNamespace(subject="restore public.checkins", body="- 5 of 9 parts", response_timeout=limit)
    ApprovalNotifier(severity="P2").notify(a_context(task=operator))
    (alert,) = sent
    assert "restore public.checkins" in alert.title
    assert alert.question == Question(alert.happened_at + limit)
    assert alert.detail == "- 5 of 9 parts"
    assert alert.severity is Severity.P2
    assert alert.links[0].url == a_task_instance().log_url.replace("?try_number=1", "/required_actions")
    assert datetime.now(UTC) >= alert.happened_at


@pytest.mark.parametrize("error", [MindGuardError("Feishu is down"), UnreadableError()])
def test_without_feishu_the_approval_can_still_be_given(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    send = create_autospec(ApprovalNotifier._send, side_effect=error)
    monkeypatch.setattr(ApprovalNotifier, "_send", send)
    operator = SimpleNamespace(subject="restore all tables", body=None)
    ApprovalNotifier(severity="P2").notify(a_context(task=operator))
    send.assert_called_once()
