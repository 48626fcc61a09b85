"""Findings for tests of the incident store and of what is built on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mindguard.alerts.alert import Alert, Fact, fingerprint
from mindguard.alerts.dag_runs.failures import Run, task_failure
from mindguard.alerts.finding import Finding
from mindguard.alerts.severity import Severity

NOW = datetime(2026, 11, 24, 3, 1, tzinfo=UTC)
"""A fixed moment; not within the seconds after the half hour in which nothing is sent."""
MINUTE = timedelta(minutes=1)


def finding(
    subject: str = "api",
    *,
    severity: Severity = Severity.P1,
    at: datetime = NOW,
    occurrence: str = "",
    parent: str = "",
    value: str = "",
    about: datetime | None = None,
) -> Finding:
    """Return a finding about the subject, whose recovery key is `test:` and the subject.

    Args:
        subject: what the finding is about.
        severity: its severity.
        at: when it happened; aware.
        occurrence: what tells this event from another one of the same kind; reported twice, it counts once.
        parent: recovery key of the finding that explains this one.
        value: what was measured; the finding has no facts without it.
        about: the start of the day or run that was judged; aware.
    """
    alert = Alert(
        title=f"{subject} is slow",
        severity=severity,
        subject=subject,
        happened_at=at,
        fingerprint=fingerprint("test", subject),
        facts=(Fact("latency", value),) if value else (),
    )
    return Finding(
        alert, source="test", recovery_key=f"test:{subject}", occurrence=occurrence, parent=parent, about=about
    )


def mapped_failure(
    *indexes: int,
    error: str = "",
    severity: Severity = Severity.P1,
    whole: bool = False,
    at: datetime = NOW,
    run_id: str = "r0",
) -> Finding:
    """Return the finding for failed instances of the mapped task `etl.load`; see `task_failure`."""
    return task_failure(
        Run("etl", run_id, "scheduled", NOW, run_after=NOW),
        "load",
        severity=severity,
        happened_at=at,
        log_url="https://airflow.example/log",
        locale="en",
        error=error,
        instances=indexes,
        whole=whole,
    )
