"""A question that waits for a person's answer, as an alert."""

from __future__ import annotations

from datetime import datetime

from mindguard.alerts.alert import Alert, Fact, Link, fingerprint
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.texts import Locale


def approval_request(
    *,
    dag_id: str,
    run_id: str,
    question: str,
    plan: str,
    severity: Severity,
    happened_at: datetime,
    page_url: str,
    locale: Locale,
) -> Alert:
    """Return the alert for a run that continues only when a person approves.

    Args:
        dag_id: the DAG that waits.
        run_id: its run.
        question: the question to approve, in one line.
        plan: the steps that follow the approval.
        severity: the severity of the alert.
        happened_at: since when the run has waited, aware.
        page_url: address of the page that takes the answer.
        locale: language of the alert.
    """
    return Alert(
        title=TEXTS.say("approval", locale, question=question),
        severity=severity,
        subject=dag_id,
        happened_at=happened_at,
        fingerprint=fingerprint(dag_id, "approval", run=run_id),
        facts=(Fact(TEXTS.say("run", locale), run_id),),
        detail=plan,
        links=(Link(TEXTS.say("open_approval", locale), page_url),),
    )
