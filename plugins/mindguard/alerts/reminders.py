"""Reminders of overdue reviews, and the digest for the people who take over a shift.

Source: operations document, section 6.3: a review within 48 hours of a P0 or P1, with actions and their owners.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mindguard.alerts.alert import Digest, Person
from mindguard.alerts.digest import digest_lines, digests
from mindguard.alerts.incidents.models import Incident, Notification, TimelineEntry
from mindguard.alerts.incidents.store import UNRESOLVED, IncidentStore
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.texts import Locale

_EVERY = timedelta(hours=24)


def needs_review(severity: Severity) -> bool:
    """Return whether incidents of this severity must be reviewed."""
    return severity in (Severity.P0, Severity.P1)


def reminders_due(
    severity: Severity, *, resolved_at: datetime | None, reviewed_at: datetime | None, now: datetime, within: timedelta
) -> int:
    """Return how many reminders are due by now: one when the time is over, then one more each day."""
    if resolved_at is None or reviewed_at is not None or not needs_review(severity):
        return 0
    overdue = now - (resolved_at + within)
    return 0 if overdue < timedelta(0) else 1 + overdue // _EVERY


def remind_of_reviews(store: IncidentStore, *, within: timedelta, locale: Locale, now: datetime) -> list[int]:
    """Send a digest of the incidents whose review is overdue, repeated once a day, and return their numbers."""
    with store.database.session() as session:
        unreviewed = (
            select(Incident)
            .where(
                Incident.state == "resolved",
                Incident.reviewed_at.is_(None),
                # What happened and ended during planned work, and nobody was notified of, needs no review.
                Incident.silenced_by.is_(None),
                Incident.severity.in_((Severity.P0.value, Severity.P1.value)),
                Incident.resolved_at <= now - within,
            )
            .order_by(Incident.id)
            .with_for_update(skip_locked=True)
        )
        overdue: list[Incident] = []
        for incident in session.scalars(unreviewed):
            due = reminders_due(
                Severity(incident.severity), resolved_at=incident.resolved_at, reviewed_at=None, now=now, within=within
            )
            if due > incident.review_reminders:
                incident.review_reminders = due
                session.add(TimelineEntry.of(incident.id, "review overdue", at=now))
                overdue.append(incident)
        if overdue:
            _digest(session, "review", f"review {now.isoformat()}", overdue, (), locale, now)
        return [incident.id for incident in overdue]


def hand_over(store: IncidentStore, moment: datetime, duty: Sequence[Person], *, locale: Locale, now: datetime) -> bool:
    """Send a digest of the unresolved incidents to the people who take over when a shift begins.

    Args:
        store: the incidents.
        moment: when the shift begins, aware. A second call for the same moment sends nothing.
        duty: the people who take over.
        locale: language of the digest.
        now: the present time, aware.

    Returns:
        Whether a digest was made; there is none if no incident is unresolved or ended in silence since the last one.
    """
    with store.database.session() as session:
        unresolved = session.scalars(select(Incident).where(Incident.state.in_(UNRESOLVED)).order_by(Incident.id)).all()
        quiet = session.scalars(_ended_in_silence(session, now)).all()
        key = f"handover {moment.isoformat()}"
        if not unresolved and not quiet:
            _nothing_to_hand_over(session, key, now)
            return False
        title = TEXTS.say("handover", locale, count=len(unresolved))
        if quiet:
            title = TEXTS.say("handover_silenced", locale, count=len(unresolved), quiet=len(quiet))
        return _digest(session, "handover", key, [*unresolved, *quiet], tuple(duty), locale, now, title=title)


def _nothing_to_hand_over(session: Session, key: str, now: datetime) -> None:
    """Remember that a shift began with nothing to tell: what comes later is not handed over to anybody."""
    session.execute(
        insert(Notification)
        .values(kind="handover", severity=Severity.P2.value, key=key, state="dropped", created_at=now, due_at=now)
        .on_conflict_do_nothing()
    )


def _ended_in_silence(session: Session, now: datetime) -> Select[Incident]:
    """Return the query for incidents of which nobody was notified, and that ended since the last handover."""
    former = session.scalar(select(func.max(Notification.created_at)).where(Notification.kind == "handover"))
    ended = select(TimelineEntry.incident_id).where(
        TimelineEntry.kind == "resolved", TimelineEntry.at > (former or now - _EVERY)
    )
    return (
        select(Incident)
        .where(Incident.state == "resolved", Incident.silenced_by.is_not(None), Incident.id.in_(ended))
        .order_by(Incident.id)
    )


def _digest(
    session: Session,
    kind: Literal["review", "handover"],
    key: str,
    incidents: Sequence[Incident],
    duty: tuple[Person, ...],
    locale: Locale,
    now: datetime,
    title: str = "",
) -> bool:
    digest = Digest(
        title=title or TEXTS.say(kind, locale, count=len(incidents)),
        severity=min(incident.alert.severity for incident in incidents),
        happened_at=now,
        groups=digest_lines(incidents, locale),
        kind=kind,
        duty=duty,
        mention=kind == "review",
    )
    added = session.execute(
        insert(Notification)
        .values(
            kind=kind,
            # A digest wakes nobody, however severe its incidents are.
            severity=Severity.P2.value,
            key=key,
            digest=digests().dump_python(digest, mode="json"),
            created_at=now,
            due_at=now,
        )
        .on_conflict_do_nothing()
        .returning(Notification.id)
    ).first()
    return added is not None
