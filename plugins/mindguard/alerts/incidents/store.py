"""The incident store: opens, counts, acknowledges and ends incidents, and writes notifications into the outbox.

A change and its notification are one transaction: only what is stored is sent, and what is stored will be sent. A
writer holds the lock of the row of each incident that it changes, and locks several in the order of their ids or
fingerprints, so that no two writers wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session, selectinload

from mindguard.alerts.direct import Unstored
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.flapping import Flapping
from mindguard.alerts.incidents.models import EntryKind, Incident, Notification, Occurrence, TimelineEntry
from mindguard.alerts.incidents.silencing import active_silences
from mindguard.alerts.incidents.transitions import end_incident, enqueue, record_finding
from mindguard.alerts.severity import Severity
from mindguard.database.session import OpsDatabase
from mindguard.errors import MindGuardError
from mindguard.masking import name_of, printable

if TYPE_CHECKING:
    from mindguard.connections import Connection

UNRESOLVED = ("open", "acknowledged")

_FLAPPING = Flapping()


class IncidentMissing(MindGuardError):
    """There is no such incident."""


class IncidentStateError(MindGuardError):
    """The incident's state does not allow the change."""


@dataclass(frozen=True)
class ActionItem:
    """An action that a review decided, who takes it, and by when (a date, or empty)."""

    text: str
    owner: str
    due: str = ""


@dataclass(frozen=True)
class OutboxDepth:
    """The amount that the outbox still holds.

    Attributes:
        pending: notifications that are not sent yet.
        oldest_s: age of the oldest pending notification that is due, in seconds.
        dead: notifications that Feishu will never accept.
    """

    pending: int
    oldest_s: float
    dead: int


class IncidentStore:
    """The store in one database. It has no clock: methods that need the time take it as `now`, aware.

    Raises:
        StoreUnavailable: by every method.
    """

    def __init__(self, database: OpsDatabase, flapping: Flapping = _FLAPPING) -> None:
        self.database = database
        self.flapping = flapping

    @classmethod
    def of(cls, connection: Connection, flapping: Flapping = _FLAPPING) -> IncidentStore:
        """Return the store in the database of a `postgres` connection. It connects at the first use."""
        return cls(OpsDatabase.of(connection), flapping)

    def record(self, findings: Sequence[Finding], *, now: datetime) -> list[Incident]:
        """Open an incident for each finding, or add the finding to the unresolved incident with its fingerprint.

        A repeat updates the incident's facts, and its severity if that is worse, in which case people are notified
        again. A finding whose occurrence was counted already changes nothing. What begins and recovers again and again
        remains one incident; see `Flapping`.

        Returns:
            The incidents that were opened, or to which a finding was added.
        """
        if not findings:
            return []
        with self.database.session() as session:
            silences = active_silences(session, now)
            return [
                incident
                for finding in sorted(findings, key=lambda each: each.alert.fingerprint)
                if (incident := record_finding(session, finding, now, silences, self.flapping))
            ]

    def adopt(self, unstored: Unstored, *, now: datetime) -> Incident | None:
        """Record a finding that was reported while the store was away; people who were told get no further card.

        Returns:
            The incident, or None if this occurrence was counted before.
        """
        with self.database.session() as session:
            silences = active_silences(session, now)
            return record_finding(session, unstored.to_store, now, silences, self.flapping, unstored.told)

    def uncounted(self, findings: Sequence[Finding]) -> list[Finding]:
        """Return the findings whose occurrence was not counted yet."""
        if not findings:
            return []
        fingerprints = {finding.alert.fingerprint for finding in findings}
        with self.database.session() as session:
            counted = select(Occurrence.fingerprint, Occurrence.occurrence)
            rows = session.execute(counted.where(Occurrence.fingerprint.in_(fingerprints)))
            known = {(fingerprint, occurrence) for fingerprint, occurrence in rows}
        return [each for each in findings if each.event not in known]

    def recover(self, recoveries: Sequence[Recovery], *, now: datetime) -> list[Incident]:
        """End the unresolved incidents with each recovery's key, and return those that ended."""
        if not recoveries:
            return []
        latest: dict[str, Recovery] = {}
        for recovery in sorted(recoveries, key=lambda each: each.order):
            latest[recovery.recovery_key] = recovery
        ended: list[Incident] = []
        with self.database.session() as session:
            unresolved = (
                select(Incident)
                .where(Incident.recovery_key.in_(latest), Incident.state != "resolved")
                .order_by(Incident.id)
                .with_for_update()
            )
            for incident in session.scalars(unresolved):
                recovery = latest[incident.recovery_key]
                if recovery.order >= incident.last_failure:
                    gap = self.flapping.card_gap
                    end_incident(session, incident, at=recovery.at, by="", text=recovery.note, now=now, gap=gap)
                    ended.append(incident)
        return ended

    def acknowledge(self, incident_id: int | str, *, by: str, now: datetime) -> Incident:
        """Record that somebody takes care of an incident, so that nobody else is called. The first person remains.

        Raises:
            IncidentMissing: there is no such incident.
            IncidentStateError: it is resolved already.
        """
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            if incident.state == "resolved":
                raise IncidentStateError(f"{incident.name} is resolved already", hint="there is nothing to take over")
            if incident.state == "open":
                incident.state, incident.acknowledged_at = "acknowledged", now
                incident.acknowledged_by = name_of(by)
                session.add(TimelineEntry.of(incident.id, "acknowledged", at=now, by=by))
                enqueue(session, incident, "acknowledged", now=now)
            return incident

    def resolve(
        self, incident_id: int | str, *, by: str, now: datetime, cause: str = "", remedy: str = "", impact: str = ""
    ) -> Incident:
        """End an incident in a person's name, or add cause, remedy and impact to one that ended by itself.

        Raises:
            IncidentMissing: there is no such incident.
            IncidentStateError: it is resolved already, and there is nothing to add.
        """
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            texts: dict[EntryKind, str] = {"cause": cause, "remedy": remedy, "impact": impact}
            given = {kind: printable(text) for kind, text in texts.items() if text}
            if incident.state == "resolved" and not given:
                raise IncidentStateError(
                    f"{incident.name} is resolved already", hint="add a cause, a remedy or an impact"
                )
            for kind, text in given.items():
                setattr(incident, kind, text)
                session.add(TimelineEntry.of(incident.id, kind, at=now, by=by, text=text))
            if incident.state != "resolved":
                end_incident(session, incident, at=now, by=name_of(by), text="", now=now)
            return incident

    def note(self, incident_id: int | str, *, by: str, text: str, now: datetime) -> Incident:
        """Add a note to the timeline."""
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            session.add(TimelineEntry.of(incident.id, "note", at=now, by=by, text=text))
            return incident

    def review(self, incident_id: int | str, *, by: str, now: datetime, actions: Sequence[ActionItem]) -> Incident:
        """Close the review with the actions that it decided, which ends the reminders.

        Raises:
            IncidentMissing: there is no such incident.
            IncidentStateError: the incident is not resolved yet.
        """
        with self.database.session() as session:
            incident = _locked(session, incident_id)
            if incident.state != "resolved":
                raise IncidentStateError(f"{incident.name} still lasts", hint="resolve it before its review")
            incident.reviewed_by, incident.reviewed_at = name_of(by), now
            incident.actions = [{key: printable(text) for key, text in asdict(action).items()} for action in actions]
            text = "; ".join(f"{action.text} ({action.owner})" for action in actions)
            session.add(TimelineEntry.of(incident.id, "reviewed", at=now, by=by, text=text))
            return incident

    def lasting(self, *, source: str, since: datetime) -> list[Incident]:
        """Return one source's incidents that are unresolved, or ended after a moment (aware), without timelines."""
        with self.database.session() as session:
            lasting = select(Incident).where(
                Incident.source == source, or_(Incident.resolved_at.is_(None), Incident.resolved_at >= since)
            )
            return [*session.scalars(lasting.order_by(Incident.id))]

    def list(self, *, states: Sequence[str] = UNRESOLVED, limit: int = 100) -> list[Incident]:
        """Return the newest incidents in these states, newest first, without timelines."""
        with self.database.session() as session:
            newest = select(Incident).where(Incident.state.in_(states)).order_by(Incident.id.desc()).limit(limit)
            return [*session.scalars(newest)]

    def get(self, incident_id: int | str) -> Incident:
        """Return one incident with its timeline.

        Raises:
            IncidentMissing: there is no such incident.
        """
        with self.database.session() as session:
            by_number = select(Incident).where(Incident.id == number_of(incident_id))
            incident = session.scalar(by_number.options(selectinload(Incident.timeline)))
            return incident or _missing(incident_id)

    def depth(self, *, now: datetime) -> OutboxDepth:
        """Return how much the outbox still holds."""
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
        """Return the number of unresolved incidents for each severity and state, also where it is 0."""
        counted = select(Incident.severity, Incident.state, func.count()).where(Incident.state != "resolved")
        with self.database.session() as session:
            rows = session.execute(counted.group_by(Incident.severity, Incident.state))
            found = {(severity, state): count for severity, state, count in rows}
        return {(each.value, state): found.get((each.value, state), 0) for each in Severity for state in UNRESOLVED}

    def undeliverable(self) -> dict[int, str]:
        """Return why Feishu refused notifications for good, by the number of their incident."""
        with self.database.session() as session:
            dead = select(Notification.incident_id, Notification.error).where(
                Notification.state == "dead", Notification.incident_id.is_not(None)
            )
            return {number: error for number, error in session.execute(dead) if number is not None}

    def retry_dead(self, *, now: datetime) -> int:
        """Let notifications that Feishu refused be sent again, and return how many; correct the cause first."""
        with self.database.session() as session:
            # They become claims that have run out, which keeps their batch and any newer notification of the incident.
            again = update(Notification).where(Notification.state == "dead")
            revived = again.values(state="sending", lease_until=now, tries=0).returning(Notification.id)
            return len(session.scalars(revived).all())

    def forget(self, *, before: datetime) -> int:
        """Remove incidents that were resolved before a moment, with all their records, and return how many."""
        with self.database.session() as session:
            session.execute(delete(Occurrence).where(Occurrence.at < before))
            session.execute(
                delete(Notification).where(
                    Notification.incident_id.is_(None),
                    Notification.state.in_(("sent", "dropped")),
                    Notification.created_at < before,
                )
            )
            removed = session.scalars(delete(Incident).where(Incident.resolved_at < before).returning(Incident.id))
            return len(removed.all())


def number_of(incident_id: int | str) -> int:
    """Return the number in `I-12`, `12` or 12.

    Raises:
        IncidentMissing: this is not the name of an incident.
    """
    digits = str(incident_id).upper().removeprefix("I-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
        _missing(incident_id)
    return int(digits)


def _locked(session: Session, incident_id: int | str) -> Incident:
    found = session.scalar(select(Incident).where(Incident.id == number_of(incident_id)).with_for_update())
    return found or _missing(incident_id)


def _missing(incident_id: int | str) -> NoReturn:
    raise IncidentMissing(f"there is no incident {incident_id}", hint="`mindguard incidents list --all` shows them")
