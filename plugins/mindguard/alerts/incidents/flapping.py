"""Damps what begins and recovers again and again: it becomes one incident, and has a card now and then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mindguard.alerts.incidents.models import Incident, Notification

FIRST_FLAP = 3
"""Beginnings within the window from which on it flaps: the first two have cards of their own."""


@dataclass(frozen=True)
class Flapping:
    """When an incident flaps, and how often people hear of it then.

    Attributes:
        window: an incident that begins for the third time within it flaps, until it was well for as long.
        card_gap: least time between two cards of an incident that flaps, and the time for which it must be well
            before its card turns green.
    """

    window: timedelta = timedelta(hours=1)
    card_gap: timedelta = timedelta(minutes=30)


def flapping_incident(session: Session, fingerprint: str, now: datetime, window: timedelta) -> Incident | None:
    """Return the incident that begins again, locked and with `flaps` counted; None if a new one must be opened."""
    earlier = select(Incident).where(Incident.fingerprint == fingerprint)
    # By our own clock: a reporter may date an incident at the beginning of a day.
    recent = earlier.where(Incident.last_seen_at > now - window)
    newest = recent.order_by(Incident.id.desc()).limit(1).with_for_update()
    former = session.scalar(newest.execution_options(populate_existing=True))
    # What a person has resolved is over; that it comes again is new to them.
    if former is None or former.state != "resolved" or former.resolved_by:
        return None
    beginnings = 1 + (former.flaps or session.scalar(select(func.count()).select_from(recent.subquery())) or 0)
    if beginnings < FIRST_FLAP:
        return None
    former.flaps = beginnings
    return former


def due_while_flapping(session: Session, incident: Incident, kind: str, now: datetime, gap: timedelta) -> datetime:
    """Return when the next card of an incident that flaps is due: red rarely, green once it stayed well."""
    if kind == "resolved":
        return now + gap
    if kind not in ("opened", "updated"):
        return now
    sent = select(func.max(Notification.sent_at)).where(
        Notification.incident_id == incident.id, Notification.kind != "escalated"
    )
    last = session.scalar(sent)
    return max(now, last + gap) if last else now
