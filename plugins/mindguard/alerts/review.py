"""When the review of an incident is due; pure.

Source: operations document, section 6.3: a review within 48 hours of a P0 or P1, with actions and their owners.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from mindguard.alerts.severity import Severity

_EVERY = timedelta(hours=24)


def needs_review(severity: Severity) -> bool:
    """Whether incidents of this severity must be reviewed."""
    return severity in (Severity.P0, Severity.P1)


def reminders_due(
    severity: Severity, *, resolved_at: datetime | None, reviewed_at: datetime | None, now: datetime, within: timedelta
) -> int:
    """How many reminders should have been sent by now: the first when the time is over, then one a day."""
    if resolved_at is None or reviewed_at is not None or not needs_review(severity):
        return 0
    overdue = now - (resolved_at + within)
    return 0 if overdue < timedelta(0) else 1 + overdue // _EVERY
