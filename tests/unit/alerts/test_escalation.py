"""The escalation ladder and the reminders of reviews, exact to the second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mindguard.alerts.escalation import due_steps, ladders
from mindguard.alerts.reminders import reminders_due
from mindguard.alerts.severity import Severity
from mindguard.settings.alerts import EscalationSettings

LADDERS = ladders(EscalationSettings())
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("severity", "after_s", "positions"),
    [
        (Severity.P0, 0, [0]),
        (Severity.P0, 15 * 60 - 1, [0]),
        (Severity.P0, 15 * 60, [0, 1]),
        (Severity.P0, 45 * 60, [0, 1, 2, 3]),
        (Severity.P1, 30 * 60 - 1, []),
        (Severity.P1, 30 * 60, [1]),
        (Severity.P2, 10**6, []),
    ],
)
def test_whom_to_call(severity: Severity, after_s: int, positions: list[int]) -> None:
    now = NOW + timedelta(seconds=after_s)
    steps = due_steps(LADDERS[severity], opened_at=NOW, state="open", taken=0, now=now)
    assert [step.position for step in steps] == positions


def test_no_step_is_taken_twice_or_after_an_acknowledgement() -> None:
    late = NOW + timedelta(hours=9)
    ladder = LADDERS[Severity.P0]
    assert due_steps(ladder, opened_at=NOW, state="open", taken=len(ladder), now=late) == ()
    for state in ("acknowledged", "resolved"):
        assert due_steps(ladder, opened_at=NOW, state=state, taken=0, now=late) == ()


@pytest.mark.parametrize(("hours", "reminders"), [(47.99, 0), (48, 1), (71.99, 1), (72, 2), (240, 9)])
def test_reminders_of_reviews_come_daily_after_48_hours(hours: float, reminders: int) -> None:
    now, within = NOW + timedelta(hours=hours), timedelta(hours=48)
    assert reminders_due(Severity.P1, resolved_at=NOW, reviewed_at=None, now=now, within=within) == reminders
    assert reminders_due(Severity.P2, resolved_at=NOW, reviewed_at=None, now=now, within=within) == 0
    assert reminders_due(Severity.P1, resolved_at=NOW, reviewed_at=NOW, now=now, within=within) == 0
    assert reminders_due(Severity.P1, resolved_at=None, reviewed_at=None, now=now, within=within) == 0
