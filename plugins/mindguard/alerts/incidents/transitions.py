"""Opens, repeats and ends incidents. Each function works inside a transaction that the store has opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mindguard.alerts.alert import Alert, FailedInstances
from mindguard.alerts.direct import Told, replaces
from mindguard.alerts.finding import Finding
from mindguard.alerts.incidents.flapping import Flapping, due_while_flapping, flapping_incident
from mindguard.alerts.incidents.models import Incident, Message, Notification, Occurrence, Silence, TimelineEntry
from mindguard.alerts.incidents.silencing import silence_of
from mindguard.alerts.incidents.timeline import opened_text, raised_text, silenced_text
from mindguard.alerts.instances import joined, joined_alert
from mindguard.alerts.severity import Severity

_RELEASE_AFTER = timedelta(minutes=2)
"""The time that incidents have to recover, after the one that explained them ended, before people are notified."""


_NO_GAP = timedelta(0)

# If more happens before a pending notification is sent, it gets the kind that comes first here.
_STRENGTH = ("opened", "raised", "spread", "resolved", "explained", "acknowledged", "updated")


def enqueue(
    session: Session,
    incident: Incident,
    kind: str,
    *,
    now: datetime,
    due_at: datetime | None = None,
    gap: timedelta = _NO_GAP,
    though_silenced: bool = False,
) -> None:
    """Put a notification about the incident into the outbox. The caller holds the incident's lock.

    A notification that is already waiting will show the incident's state at the time of sending, so it covers this too.
    If the incident flaps, a card comes only after a gap, if one is given. If it is silenced, there is none, unless it
    is to change a card so that it says so.
    """
    if incident.inhibited or (incident.silenced_by and not though_silenced):
        return
    if incident.flaps and gap:
        due_at = due_while_flapping(session, incident, kind, now, gap)
    waiting = session.scalar(
        select(Notification)
        .where(
            Notification.incident_id == incident.id, Notification.state == "pending", Notification.kind != "escalated"
        )
        .with_for_update()
    )
    if waiting:
        if incident.flaps and waiting.kind != "raised":
            due_at = due_at or now
            green = "resolved" in (kind, waiting.kind)
            waiting.due_at = due_at if green else min(waiting.due_at, due_at)
        waiting.kind = min(waiting.kind, kind, key=_STRENGTH.index)
        waiting.severity = incident.severity
        # A repeat must not bring forward a notification that waits for Feishu to recover.
        return
    session.add(
        Notification(
            incident_id=incident.id, kind=kind, severity=incident.severity, created_at=now, due_at=due_at or now
        )
    )


def record_finding(
    session: Session,
    finding: Finding,
    now: datetime,
    silences: Sequence[Silence],
    flapping: Flapping,
    told: Told | None = None,
) -> Incident | None:
    """Open an incident for a finding, or add the finding to the unresolved incident with its fingerprint.

    An occurrence that was counted before changes nothing, unless it says of a mapped task that more instances failed.

    Args:
        session: a session in a transaction.
        finding: the finding.
        now: the present time, aware.
        silences: the silences that apply now.
        flapping: when an incident flaps, and how often people hear of it then.
        told: how people were told of it without the store; then there is no further card.

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
            last, more = _more_of_the_same(session, finding) if alert.instances else (None, None)
            if last is None or more is None:
                _complete(session, finding, now, told)
                return None
            if last.state != "resolved":
                _join(session, last, finding, more, now, silences, flapping.card_gap, told)
                return last
            # Somebody ended the incident, and then another instance failed: that is one more.
    while True:
        if incident := session.scalar(_unresolved(alert.fingerprint)):
            _repeat(session, incident, finding, now, silences, flapping.card_gap, told)
            return incident
        if again := _reopened(session, finding, now, silences, flapping, told):
            return again
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
                ladder_from=told.at if told else now,
                inhibited=_explained(session, finding.parent, alert.severity),
            )
            .on_conflict_do_nothing()
            .returning(Incident)
        )
        if opened:
            _opened(session, opened, now, silences, told)
            return opened


def _unresolved(fingerprint: str) -> Select[Incident]:
    found = select(Incident).where(Incident.fingerprint == fingerprint, Incident.state != "resolved")
    return found.with_for_update().execution_options(populate_existing=True)


def _complete(session: Session, finding: Finding, now: datetime, told: Told | None) -> None:
    """Add to a counted occurrence what its first reporter did not know: its error, or that people were told of it."""
    incident = session.scalar(_unresolved(finding.alert.fingerprint))
    if not incident or incident.last_failure_about != finding.order.about:
        return
    if replaces(finding.alert, incident.alert):
        incident.alert = replace(
            finding.alert, severity=Severity(incident.severity), happened_at=incident.alert.happened_at
        )
        enqueue(session, incident, "updated" if told else "explained", now=now)
    if told:
        _keep_message(session, incident, told)
        if incident.silenced_by:  # the card that people were told with does not know it
            enqueue(session, incident, "updated", now=now, though_silenced=True)
        # The card that nobody has sent yet would tell the same again.
        session.execute(
            update(Notification)
            .where(
                Notification.incident_id == incident.id, Notification.state == "pending", Notification.kind == "opened"
            )
            .values(kind="updated")
        )


def _keep_message(session: Session, incident: Incident, told: Told) -> None:
    # A silence must know that people were told.
    session.add(
        Notification(
            incident_id=incident.id,
            kind="opened",
            severity=incident.severity,
            state="sent",
            created_at=told.at,
            due_at=told.at,
            sent_at=told.at,
        )
    )
    if told.message_id:
        session.merge(Message(incident_id=incident.id, message_id=told.message_id, form=told.form, sent_at=told.at))


def _reopened(
    session: Session,
    finding: Finding,
    now: datetime,
    silences: Sequence[Silence],
    flapping: Flapping,
    told: Told | None,
) -> Incident | None:
    """Let an incident that flaps begin again; None if a new one must be opened.

    Its card and its escalation go on from where they were, so that who flaps long enough is called too.
    """
    again = flapping_incident(session, finding.alert.fingerprint, now, flapping.window)
    if again is None:
        return None
    incident = again.incident
    # The first time that is counted is told at once: only a card that says that it comes and goes may stand for more.
    gap = flapping.card_gap if incident.flaps else _NO_GAP
    try:
        with session.begin_nested():
            incident.state = "acknowledged" if incident.acknowledged_by else "open"
            incident.resolved_at, incident.flaps = None, again.beginnings
            incident.inhibited = _explained(session, finding.parent, finding.alert.severity)
            session.flush()
    except IntegrityError:  # another process has opened one at this moment
        session.refresh(incident)
        return None
    session.add(TimelineEntry.of(incident.id, "reopened", at=now, text=str(incident.flaps)))
    _repeat(session, incident, finding, now, silences, gap, told, begins=True)
    _inhibit_children(session, incident, now)
    return incident


def _explained(session: Session, parent: str, severity: str) -> bool:
    """Return whether an unresolved incident has this recovery key, and so explains those that name it as parent.

    A P0 is not explained by what is silenced: nobody would learn of it.
    """
    if not parent:
        return False
    explaining = select(Incident.id).where(Incident.recovery_key == parent, Incident.state != "resolved").limit(1)
    if severity == Severity.P0:
        explaining = explaining.where(Incident.silenced_by.is_(None))
    return session.scalar(explaining) is not None


def settle_silence(session: Session, incident: Incident, silence: Silence | None, now: datetime) -> None:
    """Let an unresolved incident be silenced by this silence, or by none. The caller holds the incident's lock.

    What waits to be sent is dropped when a silence begins, and a card that is shown already says so. When it ends, the
    card goes out, and the escalation ladder starts from its first step.
    """
    before, number = incident.silenced_by, silence.id if silence else None
    incident.silenced_until = silence.ends_at if silence else None
    if before == number:
        return
    if silence:
        silence.matched_at = now
        incident.silenced_by = silence.id
        if not before:
            _drop_what_waits(session, incident)
        if was_told(session, incident):  # the card says until when it is silenced
            enqueue(session, incident, "updated", now=now, though_silenced=True)
        text = silenced_text(silence.name, silence.why)
        session.add(TimelineEntry.of(incident.id, "silenced", at=now, by=silence.made_by, text=text))
        _release(session, incident, now, only=Severity.P0)
        return
    incident.silenced_by = None
    incident.ladder_from, incident.escalation_step = now, 0
    # What would explain it may have begun in the meantime. A card that was shown must go on, however.
    if not incident.inhibited and not was_told(session, incident):
        incident.inhibited = _explained(session, incident.parent, incident.severity)
    if incident.inhibited:
        session.add(TimelineEntry.of(incident.id, "inhibited", at=now, text=incident.parent))
        return
    session.add(TimelineEntry.of(incident.id, "heard", at=now, text=f"S-{before}"))
    enqueue(session, incident, "opened", now=now)


def _drop_what_waits(session: Session, incident: Incident) -> None:
    """Drop what waits to be sent about an incident, or could be sent once more (`incidents retry`)."""
    # A message that is on its way now is marked as sent when it arrives, whatever its state is by then.
    session.execute(
        update(Notification)
        .where(Notification.incident_id == incident.id, Notification.state.in_(("pending", "sending", "dead")))
        .values(state="dropped")
    )


def was_told(session: Session, incident: Incident) -> bool:
    """Return whether people were told of an incident, or are being told now."""
    told = select(Notification.id).where(
        Notification.incident_id == incident.id, Notification.state.in_(("sent", "sending"))
    )
    return session.scalar(told.limit(1)) is not None


def _opened(
    session: Session, incident: Incident, now: datetime, silences: Sequence[Silence], told: Told | None
) -> None:
    former = session.scalar(
        select(func.max(Incident.id)).where(Incident.fingerprint == incident.fingerprint, Incident.id < incident.id)
    )
    session.add(TimelineEntry.of(incident.id, "opened", at=now, text=opened_text(incident.alert.title, former)))
    if incident.inhibited:
        session.add(TimelineEntry.of(incident.id, "inhibited", at=now, text=incident.parent))
    if told:
        _keep_message(session, incident, told)
    settle_silence(session, incident, silence_of(incident, silences), now)
    enqueue(session, incident, "updated" if told else "opened", now=now)
    _inhibit_children(session, incident, now)


def _inhibit_children(session: Session, incident: Incident, now: datetime) -> None:
    # Incidents that this one explains need no notification, if theirs has not been sent yet.
    hidden = select(Incident.id).where(Incident.parent == incident.recovery_key, Incident.state != "resolved")
    if incident.silenced_by:
        hidden = hidden.where(Incident.severity != Severity.P0)
    explained = session.scalars(
        update(Notification)
        .where(Notification.incident_id.in_(hidden), Notification.state == "pending", Notification.kind == "opened")
        .values(state="dropped")
        .returning(Notification.incident_id)
    ).all()
    if explained:
        session.execute(update(Incident).where(Incident.id.in_(explained)).values(inhibited=True))
        session.add_all(
            TimelineEntry.of(number, "inhibited", at=now, text=incident.recovery_key)
            for number in explained
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


def _join(
    session: Session,
    incident: Incident,
    finding: Finding,
    instances: FailedInstances,
    now: datetime,
    silences: Sequence[Silence],
    gap: timedelta,
    told: Told | None,
) -> None:
    """Add instances that failed to the incident of their task, which is counted once however many they are."""
    known = incident.alert.instances
    added = known is None or any(each not in known.failed for each in instances.failed)
    # Who only counts instances does not know the severity of errors that are known.
    worse = Severity(min(incident.severity, finding.alert.severity.value)) if added else Severity(incident.severity)
    complete = instances.whole and not (known and known.whole)
    alert = joined_alert(incident.alert, finding.alert, instances)
    kind = "spread" if complete else "updated"
    _update(session, incident, finding, alert, worse, now, silences, gap, told, kind=kind)


def _repeat(
    session: Session,
    incident: Incident,
    finding: Finding,
    now: datetime,
    silences: Sequence[Silence],
    gap: timedelta,
    told: Told | None,
    *,
    begins: bool = False,
) -> None:
    incident.occurrences += 1
    worse = Severity(min(incident.severity, finding.alert.severity.value))
    kind = "opened" if begins else "updated"
    _update(session, incident, finding, finding.alert, worse, now, silences, gap, told, kind=kind)


def _update(
    session: Session,
    incident: Incident,
    finding: Finding,
    alert: Alert,
    worse: Severity,
    now: datetime,
    silences: Sequence[Silence],
    gap: timedelta,
    told: Told | None,
    *,
    kind: str,
) -> None:
    raised = worse.value != incident.severity
    incident.last_seen_at = max(incident.last_seen_at, now)
    newest = incident.alert if told and finding.order < incident.last_failure else alert
    last = max(incident.last_failure, finding.order)
    incident.last_failure_about, incident.last_failure_at = last
    incident.revision += newest.facts != incident.alert.facts
    incident.alert = replace(newest, severity=worse, happened_at=incident.alert.happened_at)
    if told:
        _keep_message(session, incident, told)
    if raised:
        text = raised_text(incident.severity, worse.value)
        session.add(TimelineEntry.of(incident.id, "raised", at=now, text=text))
        # The ladder of the worse severity starts from its first step, unless somebody already takes care of it.
        incident.severity, incident.escalation_step, incident.ladder_from = worse.value, 0, now
        incident.inhibited = incident.inhibited and _explained(session, incident.parent, worse.value)
    settle_silence(session, incident, silence_of(incident, silences), now)
    enqueue(session, incident, "updated" if told else "raised" if raised else kind, now=now, gap=gap)


def end_incident(
    session: Session,
    incident: Incident,
    *,
    at: datetime,
    by: str,
    text: str,
    now: datetime,
    gap: timedelta = _NO_GAP,
) -> None:
    """End an incident, and release those that it explained, unless another incident still explains them.

    Args:
        session: a session that holds the incident's lock.
        incident: an unresolved incident.
        at: when it ended, aware.
        by: who ended it; empty if it ended by itself.
        text: text for the timeline.
        now: the present time, aware.
        gap: time for which an incident that flaps must be well before its card turns green.
    """
    incident.state, incident.resolved_at, incident.resolved_by = "resolved", max(at, incident.opened_at), by
    session.add(TimelineEntry.of(incident.id, "resolved", at=now, by=by, text=text))
    if (incident.silenced_by or incident.inhibited) and was_told(session, incident):
        # Its card is shown, so it must turn green.
        incident.silenced_by, incident.silenced_until, incident.inhibited = None, None, False
    enqueue(session, incident, "resolved", now=now, gap=gap)
    _release(session, incident, now)


def _release(session: Session, incident: Incident, now: datetime, *, only: Severity | None = None) -> None:
    """Release the incidents that one explained, unless another still explains them: all, or those of one severity."""
    session.flush()
    children = (
        select(Incident)
        .where(Incident.parent == incident.recovery_key, Incident.inhibited, Incident.state != "resolved")
        .order_by(Incident.id)
        .with_for_update()
    )
    if only:
        children = children.where(Incident.severity == only)
    for child in session.scalars(children):
        if _explained(session, incident.recovery_key, child.severity):
            continue
        child.inhibited, child.ladder_from = False, now + _RELEASE_AFTER
        session.add(TimelineEntry.of(child.id, "released", at=now, text=incident.name))
        enqueue(session, child, "opened", now=now, due_at=now + _RELEASE_AFTER)
