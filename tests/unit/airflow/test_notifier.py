"""What callbacks report, with which severity, when they report nothing, and what a request for approval says."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

from mindguard.airflow.notifier import ApprovalNotifier, FeishuNotifier, RecoveryNotifier
from mindguard.alerts.alert import Alert
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
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


def a_context(**changes: Any) -> Any:
    dag_run = SimpleNamespace(run_type=SimpleNamespace(value="manual"), start_date=STARTED)
    known = {
        "ti": a_task_instance(),
        "run_id": "manual__1",
        "dag": SimpleNamespace(dag_id="restore_tables", schedule=None, task_ids=["approve_restore"]),
        "dag_run": dag_run,
    }
    return known | changes


class Reports:
    """Collects what would have been reported to the store."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.recoveries: list[Recovery] = []

    def take(self, _: Any, findings: Any, recoveries: Any, settings: Any) -> bool:
        self.findings += findings
        self.recoveries += recoveries
        return False


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    taken = Reports()
    monkeypatch.setattr(FeishuNotifier, "_report", lambda *arguments: taken.take(*arguments))
    return taken


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """Collects the alerts that would have been sent to Feishu without an incident."""
    alerts: list[Alert] = []
    monkeypatch.setattr(ApprovalNotifier, "_send", lambda self, alert, settings: alerts.append(alert))
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


def test_a_success_is_a_recovery_of_the_same_task(reports: Reports) -> None:
    FeishuNotifier(severity="P1").notify(a_context())
    RecoveryNotifier(severity="P1").notify(a_context())
    (finding,), (recovery,) = reports.findings, reports.recoveries
    assert finding.recovery_key == recovery.recovery_key


def test_one_instance_of_a_mapped_task_does_not_end_the_incident(reports: Reports) -> None:
    """Another instance may have failed; the run's callback sees all of them."""
    RecoveryNotifier(severity="P1").notify(a_context(ti=a_task_instance(map_index=0)))
    assert reports.recoveries == []


def test_a_recovery_that_cannot_be_reported_is_only_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    report = create_autospec(FeishuNotifier._report, side_effect=MindGuardError("the store is down"))
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
    operator = SimpleNamespace(subject="restore public.checkins", body="- 5 of 9 parts")
    ApprovalNotifier(severity="P2").notify(a_context(task=operator))
    (alert,) = sent
    assert "restore public.checkins" in alert.title
    assert alert.detail == "- 5 of 9 parts"
    assert alert.severity is Severity.P2
    assert alert.links[0].url == a_task_instance().log_url.replace("?try_number=1", "/required_actions")
    assert datetime.now(UTC) >= alert.happened_at


def test_without_feishu_the_approval_can_still_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    send = create_autospec(ApprovalNotifier._send, side_effect=MindGuardError("Feishu is down"))
    monkeypatch.setattr(ApprovalNotifier, "_send", send)
    operator = SimpleNamespace(subject="restore all tables", body=None)
    ApprovalNotifier(severity="P2").notify(a_context(task=operator))
    send.assert_called_once()
