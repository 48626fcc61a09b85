"""Which severity a failure is reported with, and what a request for approval says."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

from mindguard.alerts.alert import Alert
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.feishu.notifier import ApprovalNotifier, FeishuNotifier
from mindguard.snapshots.drill import DrillBroke, Unrestorable

RUN = SimpleNamespace(
    dag_id="restore_tables",
    run_id="manual__1",
    task_id="approve_restore",
    log_url="https://airflow.example/dags/restore_tables/runs/manual__1/tasks/approve_restore?try_number=1",
    try_number=1,
    xcom_push=lambda *_: None,
)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """What would have gone to Feishu."""
    alerts: list[Alert] = []
    monkeypatch.setattr(FeishuNotifier, "_deliver", lambda self, alert, settings: alerts.append(alert))
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
def test_an_error_may_say_how_bad_it_is(context: dict[str, Any], severity: Severity, sent: list[Alert]) -> None:
    FeishuNotifier(severity="P1").notify({"ti": RUN, **context})
    assert [alert.severity for alert in sent] == [severity]


def test_a_request_for_approval_links_to_the_page_that_takes_it(sent: list[Alert]) -> None:
    operator = SimpleNamespace(subject="restore public.checkins", body="- 5 of 9 parts")
    ApprovalNotifier(severity="P2").notify({"ti": RUN, "task": operator})
    (alert,) = sent
    assert "restore public.checkins" in alert.title
    assert alert.detail == "- 5 of 9 parts"
    assert alert.severity is Severity.P2
    assert alert.links[0].url == RUN.log_url.replace("?try_number=1", "/required_actions")
    assert datetime.now(UTC) >= alert.happened_at


def test_without_feishu_the_approval_can_still_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = create_autospec(FeishuNotifier._deliver, side_effect=MindGuardError("Feishu is down"))
    monkeypatch.setattr(FeishuNotifier, "_deliver", deliver)
    operator = SimpleNamespace(subject="restore all tables", body=None)
    ApprovalNotifier(severity="P2").notify({"ti": RUN, "task": operator})
    deliver.assert_called_once()
