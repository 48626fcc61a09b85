"""The sender: brings what is due from the outbox to Feishu.

Delivered at least once: a notification is claimed, sent, and marked as sent, and a claim whose sender died is sent
again with the same idempotency key, which a bot in app mode shows once. A webhook has no such key: there a process
killed between Feishu's answer and the mark shows one card twice.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import and_, delete, or_, select, text, update
from sqlalchemy.exc import DBAPIError

from mindguard.alerts.alert import Alert, Digest, Person
from mindguard.alerts.digest import _TEXTS, digest_lines, digests
from mindguard.alerts.incidents.models import Incident, Message, Notification, SentRequest, TimelineEntry
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox.plan import MINUTE, Gather, Limits, Past, Pending, Send, Wait, plan_delivery
from mindguard.alerts.outbox.transport import Sent, Transport
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.masking import mask_secrets
from mindguard.texts import Locale

if TYPE_CHECKING:
    pass


_LEASE = timedelta(seconds=45)
"""Longer than the transport takes for one message with all its tries."""

_LONGEST_BACKOFF_S = 60.0

_SENDER_LOCK = 7_305_114_602

_CALLS: dict[str, Literal["app", "sms", "phone"]] = {"app": "app", "sms": "sms", "phone": "phone"}


class NotDelivered(MindGuardError):
    """Feishu will never take what it was sent."""


@dataclass
class Delivered:
    """What a sender did.

    Attributes:
        sent: messages that arrived; a digest is one.
        told: notifications that they held.
        later: messages that are tried again later.
        dead: why messages will never arrive.
        busy: another sender was at work all the time; it takes ours along.
    """

    sent: int = 0
    told: int = 0
    later: int = 0
    dead: list[str] = field(default_factory=list)
    busy: bool = False

    def check(self) -> None:
        """Raise NotDelivered for what will never arrive."""
        if self.dead:
            raise NotDelivered(
                f"{len(self.dead)} alerts were not delivered: {self.dead[0]}",
                hint="correct it, then `mindguard incidents retry` sends them",
            )

    def summary(self) -> dict[str, Any]:
        """For XCom and JSON."""
        return {"sent": self.sent, "told": self.told, "later": self.later, "dead": len(self.dead), "busy": self.busy}


Enrich = Callable[[Alert, Incident], Alert]
"""Adds what the store does not know: who is on duty, releases, links."""


@dataclass(frozen=True)
class Sender:
    """One process's way to Feishu.

    Attributes:
        retry_on: errors after which the same message may yet arrive.
        clock: aware current time.
    """

    store: IncidentStore
    transport: Transport
    retry_on: tuple[type[Exception], ...]
    enrich: Enrich
    locale: Locale
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    limits: Limits = field(default_factory=Limits)
    jitter: Callable[[], float] = random.random

    def deliver_due(self, *, budget_s: float) -> Delivered:
        """Send what is due, P0 first, until nothing is left, Feishu does not answer, or the budget is spent.

        One sender works at a time; a second one waits for it within its own budget.

        Raises:
            StoreUnavailable: the outbox cannot be read.
        """
        delivered = Delivered()
        deadline = self.clock() + timedelta(seconds=budget_s)
        with self._alone(deadline) as alone:
            delivered.busy = not alone
            while alone and self.clock() < deadline and self._step(delivered, deadline):
                pass
        return delivered

    def _step(self, delivered: Delivered, deadline: datetime) -> bool:
        """One message, or one wait; whether to go on."""
        now = self.clock()
        plan = plan_delivery(*self._due(now), now, self.limits)
        if not plan:
            return False
        action = plan[0]
        if isinstance(action, Wait):
            if action.until >= deadline:
                return False
            # A lone urgent alert must not sleep behind others' wait: look again within a quarter of a second.
            self.sleep(min((action.until - now).total_seconds(), 0.25))
            return True
        return self._deliver(action, delivered)

    def _deliver(self, action: Send | Gather, delivered: Delivered) -> bool:
        """Claim, send, mark. False when Feishu does not answer at all, so that the rest would wait in vain."""
        batch, request = self._claim(action)
        if not batch:
            return True
        try:
            sent = self._send(action, batch)
        except self.retry_on as error:
            self._again(action, request, error)
            delivered.later += 1
            return False
        except Exception as error:  # noqa: BLE001 - one message that cannot be made must not stop all others
            why = mask_secrets(str(error) if isinstance(error, MindGuardError) else f"{type(error).__name__}: {error}")
            self._bury(action, request, why)
            delivered.dead.append(why)
            return True
        self._mark(action, request, sent)
        delivered.sent += 1
        delivered.told += len(action.ids)
        return True

    @contextmanager
    def _alone(self, deadline: datetime) -> Iterator[bool]:
        """Wait the bot's lock; the server frees it when this process dies."""
        with self.store.database.session():
            pass  # reachable and migrated; otherwise StoreUnavailable
        lock = {"lock": _SENDER_LOCK}
        with self.store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not (got := connection.scalar(text("select pg_try_advisory_lock(:lock)"), lock)):
                if self.clock() >= deadline:
                    break
                self.sleep(0.2)
            try:
                yield bool(got)
            finally:
                if got:
                    self._unlock(connection, lock)

    @staticmethod
    def _unlock(connection: Any, lock: dict[str, int]) -> None:
        try:
            connection.execute(text("select pg_advisory_unlock(:lock)"), lock)
        except DBAPIError:
            connection.invalidate()  # the server is gone, and the lock with it

    def _due(self, now: datetime) -> tuple[list[Pending], list[Past]]:
        own = _message_of(Message.form != "digest")
        anything = _message_of(Message.message_id != "")
        due = or_(
            and_(Notification.state == "pending", Notification.due_at <= now),
            and_(Notification.state == "sending", Notification.lease_until <= now),
        )
        pending: list[Pending] = []
        nothing_to_tell: list[int] = []
        with self.store.database.session() as session:
            rows = session.execute(
                select(Notification, Incident.state, own, anything)
                .outerjoin(Incident, Incident.id == Notification.incident_id)
                .where(due)
                .order_by(Notification.id)
            )
            for notification, state, own_card, message_id in rows:
                changes = self.transport.updates and own_card is not None
                if _is_void(notification, state, changes, self.transport.updates):
                    nothing_to_tell.append(notification.id)
                elif message_id or notification.means not in _CALLS:  # people are called to a message
                    pending.append(_pending(notification, changes, message_id))
            if nothing_to_tell:
                session.execute(
                    update(Notification).where(Notification.id.in_(nothing_to_tell)).values(state="dropped")
                )
            requests = session.scalars(select(SentRequest).where(SentRequest.at > now - MINUTE))
            past = [Past(each.at, Severity(each.severity), each.form) for each in requests]
        return pending, past

    def _claim(self, action: Send | Gather) -> tuple[str, int]:
        """Make these ours for the length of a lease; the batch and the request's number, or an empty batch."""
        now = self.clock()
        batch = action.batch or uuid.uuid4().hex
        free = or_(Notification.state == "pending", Notification.lease_until <= now)
        with self.store.database.session() as session:
            claimed = session.scalars(
                select(Notification.id)
                .where(Notification.id.in_(action.ids), Notification.state.in_(("pending", "sending")), free)
                .with_for_update(skip_locked=True)
            ).all()
            if len(claimed) < len(action.ids):
                return "", 0
            session.execute(
                update(Notification)
                .where(Notification.id.in_(claimed))
                .values(state="sending", batch=batch, lease_until=now + _LEASE, tries=Notification.tries + 1)
            )
            form = "digest" if isinstance(action, Gather) else action.form
            request = SentRequest(at=now, severity=action.severity.value, form=form)
            session.add(request)
            session.execute(delete(SentRequest).where(SentRequest.at < now - timedelta(minutes=5)))
            session.flush()
            return batch, request.id

    def _send(self, action: Send | Gather, batch: str) -> Sent | None:
        now = self.clock()
        rows = self._rows(action.ids)
        if isinstance(action, Gather):
            return self.transport.digest(self._digest([incident for _, incident, *_ in rows], now), uuid=batch, now=now)
        notification, incident, own_card, message_id = rows[0]
        if incident is None:
            return self.transport.digest(digests().validate_json(json.dumps(notification.digest)), uuid=batch, now=now)
        if notification.means in _CALLS:
            people = [Person(**person) for person in notification.people]
            came_of_it = self.transport.urge(message_id or "", people, _CALLS[notification.means], now=now)
            names = ", ".join(person.name for person in people)
            with self.store.database.session() as session:
                session.add(TimelineEntry(incident_id=incident.id, at=now, kind="called", by=names, text=came_of_it))
            return None
        calls = notification.kind in ("opened", "raised", "escalated") and incident.state == "open"
        alert = replace(self.enrich(present(incident), incident), mention=calls)
        if notification.people:
            alert = replace(alert, duty=tuple(Person(**person) for person in notification.people))
        if own_card and self.transport.updates:
            return self.transport.update(own_card, alert, now=now)
        return self.transport.send(alert, uuid=batch, now=now)

    def _rows(self, ids: tuple[int, ...]) -> list[tuple[Notification, Incident, str | None, str | None]]:
        """Notifications with their incidents as they are now."""
        with self.store.database.session() as session:
            rows = session.execute(
                select(
                    Notification, Incident, _message_of(Message.form != "digest"), _message_of(Message.message_id != "")
                )
                .outerjoin(Incident, Incident.id == Notification.incident_id)
                .where(Notification.id.in_(ids))
                .order_by(Notification.id)
            ).all()
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def _digest(self, incidents: Sequence[Incident], now: datetime) -> Digest:
        count = len({incident.id for incident in incidents})
        return Digest(
            title=_TEXTS["storm"][self.locale].format(count=count),
            severity=min(incident.alert.severity for incident in incidents),
            happened_at=min((incident.opened_at for incident in incidents), default=now),
            groups=digest_lines(incidents, self.locale),
            kind="storm",
        )

    def _mark(self, action: Send | Gather, request: int, sent: Sent | None) -> None:
        now = self.clock()
        gathered = isinstance(action, Gather)
        with self.store.database.session() as session:
            told = session.scalars(
                update(Notification)
                .where(Notification.id.in_(action.ids))
                .values(state="sent", sent_at=now, error="", lease_until=None)
                .returning(Notification.incident_id)
            ).all()
            # Feishu counts when a request comes in, which is before it answers.
            session.execute(update(SentRequest).where(SentRequest.id == request).values(at=now))
            if sent is not None and sent.message_id:
                form = "digest" if gathered else sent.form
                for number in {number for number in told if number is not None}:
                    session.merge(Message(incident_id=number, message_id=sent.message_id, form=form, sent_at=now))

    def _again(self, action: Send | Gather, request: int, error: Exception) -> None:
        """Back to the outbox, for later. A batch stays together: it may have arrived."""
        now = self.clock()
        with self.store.database.session() as session:
            rows = session.scalars(select(Notification).where(Notification.id.in_(action.ids)).with_for_update())
            for row in rows:
                wait_s = min(2.0 ** min(row.tries, 10), _LONGEST_BACKOFF_S) * (0.5 + self.jitter() / 2)
                row.lease_until = now + timedelta(seconds=wait_s)
                row.error = mask_secrets(str(error))[:500]
            session.execute(update(SentRequest).where(SentRequest.id == request).values(at=now))

    def _bury(self, action: Send | Gather, request: int, why: str) -> None:
        now = self.clock()
        with self.store.database.session() as session:
            session.execute(
                update(Notification)
                .where(Notification.id.in_(action.ids))
                .values(state="dead", error=why[:500], lease_until=None)
            )
            session.execute(update(SentRequest).where(SentRequest.id == request).values(at=now))


def present(incident: Incident) -> Alert:
    """The alert with what has become of its incident."""
    return replace(
        incident.alert,
        incident_id=incident.name,
        acknowledged_by=incident.acknowledged_by,
        acknowledged_at=incident.acknowledged_at,
        occurrences=incident.occurrences,
        last_seen_at=incident.last_seen_at,
        escalated_to=incident.escalated_to,
        resolved_at=incident.resolved_at,
    )


def _message_of(which: Any) -> Any:
    return (
        select(Message.message_id)
        .where(Message.incident_id == Notification.incident_id, which)
        .order_by(Message.sent_at.desc())
        .limit(1)
        .correlate(Notification)
        .scalar_subquery()
    )


def _is_void(notification: Notification, state: str | None, changes: bool, updates: bool) -> bool:
    """Whether there is nothing to tell any more, or no way to tell it."""
    if notification.kind in ("updated", "acknowledged"):
        return not changes
    if notification.kind == "escalated":
        return state != "open" or (notification.means in _CALLS and not updates)
    return False


def _pending(notification: Notification, changes: bool, message_id: str | None) -> Pending:
    calls = notification.means in _CALLS
    return Pending(
        id=notification.id,
        severity=Severity(notification.severity),
        created_at=notification.created_at,
        card=notification.incident_id is not None and not changes and not calls,
        group=f"{notification.means} {message_id} {notification.people}" if calls else "",
        batch=notification.batch if notification.state == "sending" else "",
        own_digest=notification.incident_id is None,
    )
