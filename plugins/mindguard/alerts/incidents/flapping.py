"""Damps what begins and recovers again and again: it becomes one incident, and has a card now and then.

docs/adr/0032 gives the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mindguard.alerts.incidents.models import Incident, Notification, TimelineEntry

_FIRST_FLAP = 3
"""Beginnings within the window from which on it flaps: the first two have cards of their own."""


@dataclass(frozen=True)
class Flapping:
    """When an incident flaps, and how often people hear of it then.

    Attributes:
        window: an incident that begins for the third time within it flaps, until its card has turned green.
        card_gap: least time between two cards of an incident that flaps, and the time for which it must be well
            before its card turns green.
    """

    window: timedelta = timedelta(hours=1)
    card_gap: timedelta = timedelta(minutes=30)


class Again(NamedTuple):
    """An incident that begins again, locked, and how often it has begun now."""

    incident: Incident
    beginnings: int


def flapping_incident(session: Session, fingerprint: str, now: datetime, window: timedelta) -> Again | None:
    """Return the incident that begins again; None if a new one must be opened."""
    earlier = select(Incident).where(Incident.fingerprint == fingerprint)
    # By our own clock: a reporter may date an incident at the beginning of a day.
    recent = earlier.where(Incident.last_seen_at > now - window)
    newest = recent.order_by(Incident.id.desc()).limit(1).with_for_update()
    former = session.scalar(newest.execution_options(populate_existing=True))
    # What a person has resolved is over; that it comes again is new to them.
    if former is None or former.state != "resolved" or former.resolved_by:
        return None
    beginnings = 1 + (former.flaps or session.scalar(select(func.count()).select_from(recent.subquery())) or 0)
    if beginnings < _FIRST_FLAP or (former.flaps and _shown_as_over(session, former)):
        return None
    return Again(former, beginnings)


def due_while_flapping(session: Session, incident: Incident, kind: str, now: datetime, gap: timedelta) -> datetime:
    """Return when the next card of an incident that flaps is due: red rarely, green once it stayed well."""
    if kind == "resolved":
        return now + gap
    if kind not in ("opened", "updated"):
        return now
    last = _last_card_at(session, incident)
    return max(now, last + gap) if last else now


def _shown_as_over(session: Session, incident: Incident) -> bool:
    """Return whether people have seen that a resolved incident is over, so that they must hear if it is not."""
    over = select(func.max(TimelineEntry.at)).where(
        TimelineEntry.incident_id == incident.id, TimelineEntry.kind == "resolved"
    )
    over_at, shown_at = session.scalar(over), _last_card_at(session, incident)
    return over_at is not None and shown_at is not None and shown_at >= over_at


def _last_card_at(session: Session, incident: Incident) -> datetime | None:
    sent = select(func.max(Notification.sent_at)).where(
        Notification.incident_id == incident.id, Notification.kind != "escalated"
    )
    return session.scalar(sent)
