"""A question that waits for a person, as an alert: the words, and where it is answered."""

from __future__ import annotations

from datetime import datetime

from mindguard.alerts.alert import Alert, Fact, Link, fingerprint
from mindguard.alerts.severity import Severity
from mindguard.texts import Locale

_TEXTS: dict[str, dict[Locale, str]] = {
    "title": {"zh": "等待批准：{question}", "en": "Approval needed: {question}"},
    "run": {"zh": "运行", "en": "Run"},
    "open": {"zh": "打开批准页面", "en": "Open the approval page"},
}


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
    """The alert for a run that goes on only when a person approves.

    Args:
        question: what is to be approved, in one line.
        plan: what is going to be done then.
        happened_at: aware; since when it waits.
        page_url: page that takes the answer.
    """
    return Alert(
        title=_TEXTS["title"][locale].format(question=question),
        severity=severity,
        subject=dag_id,
        happened_at=happened_at,
        fingerprint=fingerprint(dag_id, "approval", run=run_id),
        facts=(Fact(_TEXTS["run"][locale], run_id),),
        detail=plan,
        links=(Link(_TEXTS["open"][locale], page_url),),
    )
