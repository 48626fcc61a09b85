"""Opens, repeats and ends incidents. Each function works inside a transaction that the store has opened."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mindguard.alerts.alert import Alert, FailedInstances
from mindguard.alerts.finding import Finding
from mindguard.alerts.incidents.models import Incident, Notification, Occurrence, TimelineEntry
from mindguard.alerts.incidents.timeline import opened_text, raised_text
from mindguard.alerts.instances import joined, joined_alert
from mindguard.alerts.severity import Severity

_RELEASE_AFTER = timedelta(minutes=2)
"""The time that incidents have to recover, after the one that explained them ended, before people are notified."""


# If more happens before a pending notification is sent, it gets the kind that comes first here.
_STRENGTH = ("opened", "raised", "spread", "resolved", "acknowledged", "updated")


def enqueue(session: Session, incident: Incident, kind: str, *, now: datetime, due_at: datetime | None = None) -> None:
    """Put a notification about the incident into the outbox. The caller holds the incident's lock.

    A notification that is already waiting will show the incident's state at the time of sending, so it covers this too.
    """
    if incident.inhibited:
        return
    waiting = session.scalar(
        select(Notification)
        .where(
            Notification.incident_id == incident.id, Notification.state == "pending", Notification.kind != "escalated"
        )
        .with_for_update()
    )
    if waiting:
        waiting.kind = min(waiting.kind, kind, key=_STRENGTH.index)
        waiting.severity = incident.severity
        # A repeat must not bring forward a notification that waits for Feishu to recover.
        return
    session.add(
        Notification(
            incident_id=incident.id, kind=kind, severity=incident.severity, created_at=now, due_at=due_at or now
        )
    )


def record_finding(session: Session, finding: Finding, now: datetime) -> Incident | None:
    """Open an incident for a finding, or add the finding to the unresolved incident with its fingerprint.

    An occurrence that was counted before changes nothing, unless it says of a mapped task that more instances failed.

    Returns:
        The incident that was opened or changed; None if the finding is no news.
    """
    alert = finding.alert
    if finding.occurrence:
        new = session.execute(
            insert(Occurrence)
            .values(fingerprint=alert.fingerprint, occurrence=finding.occurrence, at=now)
            .on_conflict_do_nothing()
            .returning(Occurrence.at)
        ).first()
        if not new:
            last, more = _more_of_the_same(session, finding)
            if last is None or more is None:
                return None
            if last.state != "resolved":
                _join(session, last, finding, more, now)
                return last
            # Somebody ended the incident, and then another instance failed: that is one more.
    unresolved = (
        select(Incident)
        .where(Incident.fingerprint == alert.fingerprint, Incident.state != "resolved")
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    while True:
        if incident := session.scalar(unresolved):
            _repeat(session, incident, finding, now)
            return incident
        # Another process may open it between the two statements; the next round then adds this finding to it.
        opened: Incident | None = session.scalar(
            insert(Incident)
            .values(
                fingerprint=alert.fingerprint,
                recovery_key=finding.recovery_key,
                source=finding.source,
                parent=finding.parent,
                severity=alert.severity.value,
                alert=alert,
                opened_at=alert.happened_at,
                last_seen_at=now,
                last_failure_at=finding.order.at,
                last_failure_about=finding.order.about,
                ladder_from=now,
                inhibited=_explained(session, finding.parent),
            )
            .on_conflict_do_nothing()
            .returning(Incident)
        )
        if opened:
            _opened(session, opened, now)
            return opened


def _explained(session: Session, parent: str) -> bool:
    """Return whether an unresolved incident has this recovery key, and so explains those that name it as parent."""
    if not parent:
        return False
    explaining = select(Incident.id).where(Incident.recovery_key == parent, Incident.state != "resolved").limit(1)
    return session.scalar(explaining) is not None


def _opened(session: Session, incident: Incident, now: datetime) -> None:
    former = session.scalar(
        select(func.max(Incident.id)).where(Incident.fingerprint == incident.fingerprint, Incident.id < incident.id)
    )
    session.add(TimelineEntry.of(incident.id, "opened", at=now, text=opened_text(incident.alert.title, former)))
    if incident.inhibited:
        session.add(TimelineEntry.of(incident.id, "inhibited", at=now, text=incident.parent))
    enqueue(session, incident, "opened", now=now)
    # Incidents that this one explains need no notification, if theirs has not been sent yet.
    hidden = select(Incident.id).where(Incident.parent == incident.recovery_key, Incident.state != "resolved")
    silenced = session.scalars(
        update(Notification)
        .where(Notification.incident_id.in_(hidden), Notification.state == "pending", Notification.kind == "opened")
        .values(state="dropped")
        .returning(Notification.incident_id)
    ).all()
    if silenced:
        session.execute(update(Incident).where(Incident.id.in_(silenced)).values(inhibited=True))
        session.add_all(
            TimelineEntry.of(number, "inhibited", at=now, text=incident.recovery_key)
            for number in silenced
            if number is not None
        )


def _more_of_the_same(session: Session, finding: Finding) -> tuple[Incident | None, FailedInstances | None]:
    """Return the incident in which a mapped task's failure was counted, and which of its instances failed after all.

    The second is None if that is no news: nothing is added, or the incident is over and no further instance failed.
    """
    reported = finding.alert.instances
    last = session.scalar(
        select(Incident)
        .where(Incident.fingerprint == finding.alert.fingerprint)
        .order_by(Incident.id.desc())
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    known = last.alert.instances if last else None
    if last is None or known is None or reported is None or known.occurrence != reported.occurrence:
        return last, None
    more = joined(known, reported)
    further = {each.index for each in more.failed} - {each.index for each in known.failed}
    return last, more if more != known and (further or last.state != "resolved") else None


def _join(session: Session, incident: Incident, finding: Finding, instances: FailedInstances, now: datetime) -> None:
    """Add instances that failed to the incident of their task, which is counted once however many they are."""
    known = incident.alert.instances
    added = known is None or any(each not in known.failed for each in instances.failed)
    # Who only counts instances does not know the severity of errors that are known.
    worse = Severity(min(incident.severity, finding.alert.severity.value)) if added else Severity(incident.severity)
    complete = instances.whole and not (known and known.whole) and (added or not _told(session, incident))
    alert = joined_alert(incident.alert, finding.alert, instances)
    _update(session, incident, finding, alert, worse, now, kind="spread" if complete else "updated")


def _told(session: Session, incident: Incident) -> bool:
    """Return whether a card that cannot be changed any more shows the incident as it is now."""
    shown = select(func.max(Notification.sent_at)).where(
        Notification.incident_id == incident.id, Notification.means.in_(("", "card"))
    )
    sent_at = session.scalar(shown)
    return sent_at is not None and sent_at >= incident.last_seen_at


def _repeat(session: Session, incident: Incident, finding: Finding, now: datetime) -> None:
    incident.occurrences += 1
    worse = Severity(min(incident.severity, finding.alert.severity.value))
    _update(session, incident, finding, finding.alert, worse, now, kind="updated")


def _update(
    session: Session, incident: Incident, finding: Finding, alert: Alert, worse: Severity, now: datetime, *, kind: str
) -> None:
    raised = worse.value != incident.severity
    incident.last_seen_at = max(incident.last_seen_at, now)
    last = max(incident.last_failure, finding.order)
    incident.last_failure_about, incident.last_failure_at = last
    incident.alert = replace(alert, severity=worse, happened_at=incident.alert.happened_at)
    if raised:
        text = raised_text(incident.severity, worse.value)
        session.add(TimelineEntry.of(incident.id, "raised", at=now, text=text))
        # The ladder of the worse severity starts from its first step, unless somebody already takes care of it.
        incident.severity, incident.escalation_step, incident.ladder_from = worse.value, 0, now
    enqueue(session, incident, "raised" if raised else kind, now=now)


def end_incident(session: Session, incident: Incident, *, at: datetime, by: str, text: str, now: datetime) -> None:
    """End an incident, and release those that it explained, unless another incident still explains them.

    Args:
        session: a session that holds the incident's lock.
        incident: an unresolved incident.
        at: when it ended, aware.
        by: who ended it; empty if it ended by itself.
        text: text for the timeline.
        now: the present time, aware.
    """
    incident.state, incident.resolved_at, incident.resolved_by = "resolved", max(at, incident.opened_at), by
    session.add(TimelineEntry.of(incident.id, "resolved", at=now, by=by, text=text))
    enqueue(session, incident, "resolved", now=now)
    session.flush()
    if _explained(session, incident.recovery_key):
        return
    children = (
        select(Incident)
        .where(Incident.parent == incident.recovery_key, Incident.inhibited, Incident.state != "resolved")
        .order_by(Incident.id)
        .with_for_update()
    )
    for child in session.scalars(children):
        child.inhibited, child.ladder_from = False, now + _RELEASE_AFTER
        session.add(TimelineEntry.of(child.id, "released", at=now, text=incident.name))
        enqueue(session, child, "opened", now=now, due_at=now + _RELEASE_AFTER)
