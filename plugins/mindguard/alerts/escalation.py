"""The escalation ladder: who is called next while nobody acknowledges an incident. Pure.

Source: operations document, section 4.1: P0 by message and phone at once, answered within 15 minutes; P1 within 30.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mindguard.alerts.severity import Severity
from mindguard.settings.alerts import EscalationSettings


@dataclass(frozen=True)
class Step:
    """One step of the escalation ladder.

    Attributes:
        after: time since people have known of the incident.
        position: whom to call: 0 is the person on duty, 1 the next on the rota, and so on.
        means: `card` (a mention in the group), `app`, `sms`, `phone`.
    """

    after: timedelta
    position: int
    means: tuple[str, ...]


def ladders(settings: EscalationSettings) -> dict[Severity, tuple[Step, ...]]:
    """Return the ladder of each severity as the settings describe it."""
    return {
        severity: tuple(
            Step(timedelta(minutes=step.after_minutes), step.position, step.means)
            for step in getattr(settings, severity.value)
        )
        for severity in Severity
    }


def due_steps(
    ladder: Sequence[Step], *, opened_at: datetime, state: str, taken: int, now: datetime
) -> tuple[Step, ...]:
    """Return the steps that are due and were not taken yet; none once somebody has acknowledged the incident.

    Args:
        ladder: the ladder of the incident's severity.
        opened_at: when people learned of the incident, aware; the time to respond counts from then.
        state: the state of the incident.
        taken: number of steps that were taken already.
        now: the present time, aware.
    """
    if state != "open":
        return ()
    return tuple(step for step in ladder[taken:] if now - opened_at >= step.after)
