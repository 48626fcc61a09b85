"""Opens, counts, acknowledges and ends incidents, and writes what people must be told into the outbox.

Each change and its notification are one transaction: nothing is told that is not stored, and nothing is stored that
will not be told. Whoever changes an incident holds its row's lock, and several are locked in the order of their ids
or fingerprints, so that no two writers wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, selectinload

from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.models import Entry, Incident, Notification, Occurrence
from mindguard.alerts.severity import Severity
from mindguard.database.session import OpsDatabase
from mindguard.errors import MindGuardError

if TYPE_CHECKING:
    from mindguard.connections import Connection

UNRESOLVED = ("open", "acknowledged")

_RELEASE_AFTER = timedelta(minutes=2)
"""What a parent explained has this long to recover after it, before people are told."""

# What a pending notification becomes when more happens before it is sent: the one that stands first.
_STRENGTH = ("opened", "raised", "resolved", "acknowledged", "updated")


class IncidentMissing(MindGuardError):
    """There is no such incident."""


class IncidentStateError(MindGuardError):
    """The incident's state does not allow it."""


@dataclass(frozen=True)
class ActionItem:
    """What a review decided, who does it, and until when (a date, or empty)."""

    text: str
    owner: str
    due: str = ""


@dataclass(frozen=True)
class OutboxDepth:
    """What is still to be told.

    Attributes:
        oldest_s: age of the oldest pending notification that is due.
        dead: notifications that Feishu will never take.
    """

    pending: int
    oldest_s: float
    dead: int


class IncidentStore:
    """The store in one database. Every method takes `now`, aware; the store has no clock.

    Raises:
        StoreUnavailable: from every method.
    """

    def __init__(self, database: OpsDatabase) -> None:
        self.database = database

    @classmethod
    def of(cls, connection: Connection) -> IncidentStore:
        """The store in the database of a `postgres` connection; connects with the first use."""
        return cls(OpsDatabase.of(connection))

    def report(self, findings: Sequence[Finding], *, now: datetime) -> list[Incident]:
        """Open an incident for each finding, or count it to the unresolved one with its fingerprint.

        A repeat brings its facts, and its severity where that is worse, which is told anew. A finding whose occurrence
        is known changes nothing and gives no incident.
        """
        if not findings:
            return []
        with self.database.session() as session:
            return [
                incident
                for finding in sorted(findings, key=lambda each: each.alert.fingerprint)
                if (incident := _reported(session, finding, now))
            ]

    def recover(self, recoveries: Sequence[Recovery], *, now: datetime) -> list[Incident]:
        """End the unresolved incidents of each recovery's key; gives those that ended."""
        if not recoveries:
            return []
        latest: dict[str, Recovery] = {}
        for recovery in sorted(recoveries, key=lambda each: each.at):
            latest[recovery.recovery_key] = recovery
        ended: list[Incident] = []
        with self.database.session() as session:
            wanted = (
                select(Incident)
                .where(Incident.recovery_key.in_(latest), Incident.state != "resolved")
                .order_by(Incident.id)
                .with_for_update()
            )
            for incident in session.scalars(wanted):
                recovery = latest[incident.recovery_key]
                if recovery.at >= incident.last_failure_at:
                    _end(session, incident, at=recovery.at, by="", text=recovery.note, now=now)
                    ended.append(incident)
        return ended

    def acknowledge(self, incident_id: int | str, *, by: str, now: datetime) -> Incident:
        """Somebody takes care of it, so nobody else is called. The first one stays.

        Raises:
            IncidentMissing: there is none.
            IncidentStateError: it is over.
        """
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            if incident.state == "resolved":
                raise IncidentStateError(f"{incident.name} is resolved already", hint="there is nothing to take over")
            if incident.state == "open":
                incident.state, incident.acknowledged_by, incident.acknowledged_at = "acknowledged", by, now
                session.add(Entry(incident_id=incident.id, at=now, kind="acknowledged", by=by))
                enqueue(session, incident, "acknowledged", now=now)
            return incident

    def resolve(
        self, incident_id: int | str, *, by: str, now: datetime, cause: str = "", remedy: str = "", impact: str = ""
    ) -> Incident:
        """A person ends it, or adds cause, remedy and impact to one that ended by itself.

        Raises:
            IncidentMissing: there is none.
            IncidentStateError: it is resolved, and nothing was added.
        """
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            told = {name: text for name, text in (("cause", cause), ("remedy", remedy), ("impact", impact)) if text}
            if incident.state == "resolved" and not told:
                raise IncidentStateError(
                    f"{incident.name} is resolved already", hint="add a cause, a remedy or an impact"
                )
            for name, text in told.items():
                setattr(incident, name, text)
                session.add(Entry(incident_id=incident.id, at=now, kind=name, by=by, text=text))
            if incident.state != "resolved":
                _end(session, incident, at=now, by=by, text="", now=now)
            return incident

    def note(self, incident_id: int | str, *, by: str, text: str, now: datetime) -> Incident:
        """Add a line to the timeline."""
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            session.add(Entry(incident_id=incident.id, at=now, kind="note", by=by, text=text))
            return incident

    def review(self, incident_id: int | str, *, by: str, now: datetime, actions: Sequence[ActionItem]) -> Incident:
        """Close the review with what it decided; no reminder comes any more.

        Raises:
            IncidentStateError: the incident still lasts.
        """
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            if incident.state != "resolved":
                raise IncidentStateError(f"{incident.name} still lasts", hint="resolve it before its review")
            incident.reviewed_by, incident.reviewed_at = by, now
            incident.actions = [asdict(action) for action in actions]
            session.add(
                Entry(
                    incident_id=incident.id,
                    at=now,
                    kind="reviewed",
                    by=by,
                    text="; ".join(f"{action.text} ({action.owner})" for action in actions),
                )
            )
            return incident

    def lasting(self, *, source: str, since: datetime) -> list[Incident]:
        """What one source reported and was unresolved at some time after a moment (aware), without timelines."""
        with self.database.session() as session:
            wanted = select(Incident).where(
                Incident.source == source, or_(Incident.resolved_at.is_(None), Incident.resolved_at >= since)
            )
            return [*session.scalars(wanted.order_by(Incident.id))]

    def list(self, *, states: Sequence[str] = UNRESOLVED, limit: int = 100) -> list[Incident]:
        """Newest first, without timelines."""
        with self.database.session() as session:
            wanted = select(Incident).where(Incident.state.in_(states)).order_by(Incident.id.desc()).limit(limit)
            return [*session.scalars(wanted)]

    def get(self, incident_id: int | str) -> Incident:
        """One incident with its timeline.

        Raises:
            IncidentMissing: there is none.
        """
        with self.database.session() as session:
            wanted = select(Incident).where(Incident.id == number_of(incident_id))
            incident = session.scalar(wanted.options(selectinload(Incident.timeline)))
            return incident or _missing(incident_id)

    def depth(self, *, now: datetime) -> OutboxDepth:
        """How much is still to be told."""
        with self.database.session() as session:
            waiting = Notification.state.in_(("pending", "sending"))
            pending, oldest, dead = session.execute(
                select(
                    func.count().filter(waiting),
                    func.min(Notification.due_at).filter(waiting, Notification.due_at <= now),
                    func.count().filter(Notification.state == "dead"),
                )
            ).one()
            return OutboxDepth(pending, (now - oldest).total_seconds() if oldest else 0.0, dead)

    def unresolved_counts(self) -> dict[tuple[str, str], int]:
        """How many unresolved incidents have which severity and state; none of a kind is a 0."""
        counted = select(Incident.severity, Incident.state, func.count()).where(Incident.state != "resolved")
        with self.database.session() as session:
            rows = session.execute(counted.group_by(Incident.severity, Incident.state))
            found = {(severity, state): count for severity, state, count in rows}
        return {(each.value, state): found.get((each.value, state), 0) for each in Severity for state in UNRESOLVED}

    def undeliverable(self) -> dict[int, str]:
        """Why Feishu never takes what it was sent of an incident, by the incident's number."""
        with self.database.session() as session:
            dead = select(Notification.incident_id, Notification.error).where(
                Notification.state == "dead", Notification.incident_id.is_not(None)
            )
            return {number: error for number, error in session.execute(dead) if number is not None}

    def retry_dead(self, *, now: datetime) -> int:
        """Send once more what Feishu refused, after what was wrong has been corrected; gives how many."""
        with self.database.session() as session:
            # As a claim that has run out: that keeps the batch, and a newer notification of the same incident.
            again = update(Notification).where(Notification.state == "dead")
            revived = again.values(state="sending", lease_until=now, tries=0).returning(Notification.id)
            return len(session.scalars(revived).all())

    def forget(self, *, before: datetime) -> int:
        """Remove incidents that were resolved before a moment, with all that belongs to them; gives how many."""
        with self.database.session() as session:
            session.execute(delete(Occurrence).where(Occurrence.at < before))
            session.execute(
                delete(Notification).where(Notification.incident_id.is_(None), Notification.sent_at < before)
            )
            gone = session.scalars(delete(Incident).where(Incident.resolved_at < before).returning(Incident.id))
            return len(gone.all())


def number_of(incident_id: int | str) -> int:
    """The number behind `I-12`, `12` or 12.

    Raises:
        IncidentMissing: that is no incident's name.
    """
    digits = str(incident_id).upper().removeprefix("I-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
        _missing(incident_id)
    return int(digits)


def enqueue(session: Session, incident: Incident, kind: str, *, now: datetime, due_at: datetime | None = None) -> None:
    """Have people told of the incident. The caller holds its lock.

    What waits already is sent as the incident is then, so it takes the news along.
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
        # A repeat must not bring forward what waits for Feishu to recover.
        return
    session.add(
        Notification(
            incident_id=incident.id, kind=kind, severity=incident.severity, created_at=now, due_at=due_at or now
        )
    )


def _reported(session: Session, finding: Finding, now: datetime) -> Incident | None:
    alert = finding.alert
    if finding.occurrence:
        new = session.execute(
            insert(Occurrence)
            .values(fingerprint=alert.fingerprint, occurrence=finding.occurrence, at=now)
            .on_conflict_do_nothing()
            .returning(Occurrence.at)
        ).first()
        if not new:
            return None
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
        # Somebody else may open it between the two statements; then it is theirs, and counted above.
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
                last_failure_at=alert.happened_at,
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
    """Whether an unresolved incident explains what names it as its parent."""
    if not parent:
        return False
    wanted = select(Incident.id).where(Incident.recovery_key == parent, Incident.state != "resolved").limit(1)
    return session.scalar(wanted) is not None


def _opened(session: Session, incident: Incident, now: datetime) -> None:
    former = session.scalar(
        select(func.max(Incident.id)).where(Incident.fingerprint == incident.fingerprint, Incident.id < incident.id)
    )
    session.add(Entry(incident_id=incident.id, at=now, kind="opened", text=f"{incident.alert.title}{_after(former)}"))
    if incident.inhibited:
        session.add(Entry(incident_id=incident.id, at=now, kind="inhibited", text=incident.parent))
    enqueue(session, incident, "opened", now=now)
    # What it explains and nobody was told of yet need not be told.
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
            Entry(incident_id=number, at=now, kind="inhibited", text=incident.recovery_key) for number in silenced
        )


def _after(former: int | None) -> str:
    return f" ← I-{former}" if former else ""


def _repeat(session: Session, incident: Incident, finding: Finding, now: datetime) -> None:
    worse = Severity(min(incident.severity, finding.alert.severity.value))
    raised = worse.value != incident.severity
    incident.occurrences += 1
    incident.last_seen_at = max(incident.last_seen_at, now)
    incident.last_failure_at = max(incident.last_failure_at, finding.alert.happened_at)
    incident.alert = replace(finding.alert, severity=worse, happened_at=incident.alert.happened_at)
    if raised:
        session.add(Entry(incident_id=incident.id, at=now, kind="raised", text=f"{incident.severity} → {worse.value}"))
        # The ladder of the worse severity starts anew, unless somebody takes care of it already.
        incident.severity, incident.escalation_step, incident.ladder_from = worse.value, 0, now
    enqueue(session, incident, "raised" if raised else "updated", now=now)


def _end(session: Session, incident: Incident, *, at: datetime, by: str, text: str, now: datetime) -> None:
    incident.state, incident.resolved_at, incident.resolved_by = "resolved", max(at, incident.opened_at), by
    session.add(Entry(incident_id=incident.id, at=now, kind="resolved", by=by, text=text))
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
        session.add(Entry(incident_id=child.id, at=now, kind="released", text=incident.name))
        enqueue(session, child, "opened", now=now, due_at=now + _RELEASE_AFTER)


def _locked(session: Session, incident_id: int | str) -> Incident:
    found = session.scalar(select(Incident).where(Incident.id == number_of(incident_id)).with_for_update())
    return found or _missing(incident_id)


def _missing(incident_id: int | str) -> NoReturn:
    raise IncidentMissing(f"there is no incident {incident_id}", hint="`mindguard incidents list --all` shows them")
