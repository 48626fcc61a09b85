"""The sender: brings what is due from the outbox to Feishu.

Delivery is at least once: a notification is claimed, sent, and marked as sent. If its sender dies, the claim is sent
again with the same idempotency key, so that a bot in app mode shows it once. A webhook has no such key: if a process is
killed between Feishu's answer and the mark, one card is shown twice.
"""

from __future__ import annotations

import json
import logging
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import and_, delete, exists, or_, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import aliased

from mindguard.alerts.alert import Alert, Digest, Person
from mindguard.alerts.digest import digest_lines, digests
from mindguard.alerts.incidents.models import Incident, Message, Notification, SentRequest, TimelineEntry
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox.plan import MINUTE, Gather, Limits, Past, Pending, Send, Wait, plan_delivery
from mindguard.alerts.outbox.transport import Sent, Transport
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.errors import MindGuardError
from mindguard.fetch import explained
from mindguard.masking import mask_secrets
from mindguard.texts import Locale

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=45)
"""The length of a claim: more than the transport needs for one message, including all retries."""

_LONGEST_BACKOFF_S = 60.0
_LONGEST_BACKOFF_P0_S = 15.0
"""So that each minute's delivery tries P0 first, and Feishu's recovery is noticed by a P0."""

_AWAY_AFTER = 3
"""Different messages that fail one after the other, after which Feishu counts as away."""

_SENDER_LOCK = 7_305_114_602

_CALLS: dict[str, Literal["app", "sms", "phone"]] = {"app": "app", "sms": "sms", "phone": "phone"}


class NotDelivered(MindGuardError):
    """Feishu refused a message for good."""


@dataclass
class Delivered:
    """The result of a sender's work.

    Attributes:
        sent: messages that arrived; a digest is one message.
        notifications: notifications in these messages.
        later: messages that will be tried again.
        dead: for each message that will never arrive, the reason.
        busy: whether another sender worked all the time; it delivers these notifications too.
    """

    sent: int = 0
    notifications: int = 0
    later: int = 0
    dead: list[str] = field(default_factory=list)
    busy: bool = False

    def check(self) -> None:
        """Raise an error if a message will never arrive.

        Raises:
            NotDelivered: with the first of the reasons.
        """
        if self.dead:
            raise NotDelivered(
                f"{len(self.dead)} alerts were not delivered: {self.dead[0]}",
                hint="correct the cause, then run `mindguard incidents retry` to send them",
            )

    def summary(self) -> dict[str, Any]:
        """Return the counts for XCom and JSON."""
        return {
            "sent": self.sent,
            "told": self.notifications,
            "later": self.later,
            "dead": len(self.dead),
            "busy": self.busy,
        }


@dataclass
class _Run:
    """One delivery.

    Attributes:
        deadline: when its budget ends, aware.
        delivered: its result so far.
        failed: numbers of notifications that Feishu did not take. They are not tried again in this delivery.
        failures: messages that failed since the last one that arrived.
    """

    deadline: datetime
    delivered: Delivered = field(default_factory=Delivered)
    failed: set[int] = field(default_factory=set)
    failures: int = 0


Enrich = Callable[[Alert, Incident], Alert]
"""A function that adds to an alert what the store does not know: who is on duty, releases, links."""


class _Row(NamedTuple):
    """A notification with its incident as it is now.

    Attributes:
        incident: None for a digest.
        own_card: message id of the incident's newest card.
        message: message id of the newest message that names the incident, perhaps a digest.
    """

    notification: Notification
    incident: Incident | None
    own_card: str | None
    message: str | None


class _Claim(NamedTuple):
    """The right of this process to send: the batch of the notifications, and the number of the recorded request."""

    batch: str
    request: int


@dataclass(frozen=True)
class Sender:
    """Sends the notifications that are due, for one process.

    Attributes:
        store: the incidents and their outbox.
        transport: brings messages to the group.
        retry_on: errors after which the same message may still arrive.
        enrich: completes an alert.
        locale: language of the digests.
        clock: gives the current time, aware.
        sleep: waits for some seconds.
        limits: the limits of sending.
        jitter: gives a random number from 0 to 1, which spreads retries.
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
        """Send the due notifications, P0 first, until none is left, Feishu is away, or the budget is spent.

        A message that Feishu does not take now is tried again later, and holds up no other.

        Only one sender works at a time; a second one waits for it within its own budget.

        Args:
            budget_s: seconds.

        Raises:
            StoreUnavailable: the outbox cannot be read.
        """
        run = _Run(self.clock() + timedelta(seconds=budget_s))
        with self._alone(run.deadline) as alone:
            run.delivered.busy = not alone
            while alone and self.clock() < run.deadline and run.failures < _AWAY_AFTER and self._step(run):
                pass
        return run.delivered

    def _step(self, run: _Run) -> bool:
        """Send one message, or wait once. Return whether to continue."""
        now = self.clock()
        due, past = self._due(now)
        pending = [each for each in due if each.id not in run.failed]
        if run.failed:
            # What was never tried shows whether Feishu is away, or only does not take some messages.
            pending = [each for each in pending if not each.batch] or pending
        plan = plan_delivery(pending, past, now, self.limits)
        if not plan:
            return False
        action = plan[0]
        if isinstance(action, Wait):
            if action.until >= run.deadline:
                return False
            # A new urgent alert must not wait behind others: look again within a quarter of a second.
            self.sleep(min((action.until - now).total_seconds(), 0.25))
            return True
        self._deliver(action, run)
        return True

    def _deliver(self, action: Send | Gather, run: _Run) -> None:
        """Claim, send and mark one message."""
        delivered = run.delivered
        claim = self._claim(action)
        if claim is None:
            return
        try:
            rows = self._rows(action.ids)
            sent = self._send(action, rows, claim.batch)
        except self.retry_on as error:
            self._retry_later(action, claim.request, error)
            delivered.later += 1
            run.failed.update(action.ids)
            run.failures += 1
            return
        except Exception as error:  # noqa: BLE001 - one message that cannot be made must not stop all others
            reason = mask_secrets(explained(error))
            self._mark_dead(action, claim.request, reason)
            delivered.dead.append(reason)
            return
        self._mark_sent(action, claim.request, sent, rows)
        run.failures = 0
        delivered.sent += 1
        delivered.notifications += len(action.ids)

    @contextmanager
    def _alone(self, deadline: datetime) -> Iterator[bool]:
        """Hold the bot's lock, and yield whether it was free in time. The server frees it if this process dies."""
        with self.store.database.session():
            pass  # raises StoreUnavailable unless the database is reachable and migrated
        lock = {"lock": _SENDER_LOCK}
        # The lock belongs to a transaction, not to the session, which a pooler might give to others.
        with self.store.database.engine.connect() as connection:
            while not (got := connection.scalar(text("select pg_try_advisory_xact_lock(:lock)"), lock)):
                if self.clock() >= deadline:
                    break
                self.sleep(0.2)
            try:
                yield bool(got)
            finally:
                with suppress(DBAPIError):  # the server is gone, and with it the lock
                    connection.rollback()

    def _due(self, now: datetime) -> tuple[list[Pending], list[Past]]:
        """Return the notifications that are due, and the requests of the last minute. Drop those that are void."""
        own = _newest_message(Message.form != "digest")
        anything = _newest_message(Message.message_id != "")
        due = or_(
            and_(Notification.state == "pending", Notification.due_at <= now),
            and_(Notification.state == "sending", Notification.lease_until <= now),
        )
        pending: list[Pending] = []
        void: list[int] = []
        with self.store.database.session() as session:
            rows = session.execute(
                select(Notification, Incident.state, own, anything, _is_shown())
                .outerjoin(Incident, Incident.id == Notification.incident_id)
                .where(due)
                .order_by(Notification.id)
            )
            for notification, state, own_card, message_id, shown in rows:
                changes = self.transport.updates and own_card is not None
                if _is_void(notification, state, changes_card=changes, can_call=self.transport.updates, shown=shown):
                    void.append(notification.id)
                elif message_id or notification.means not in _CALLS:  # people are called to a message
                    pending.append(_pending(notification, message_id, changes_card=changes))
            if void:
                session.execute(update(Notification).where(Notification.id.in_(void)).values(state="dropped"))
            requests = session.scalars(select(SentRequest).where(SentRequest.at > now - MINUTE))
            past = [Past(each.at, Severity(each.severity), each.form) for each in requests]
        return pending, past

    def _claim(self, action: Send | Gather) -> _Claim | None:
        """Claim the notifications for the length of a lease; None if another sender has one of them."""
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
                return None
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
            return _Claim(batch, request.id)

    def _send(self, action: Send | Gather, rows: Sequence[_Row], batch: str) -> Sent | None:
        """Send one message; None if people were called and no message was sent."""
        now = self.clock()
        if isinstance(action, Gather):
            digest = self._digest([row.incident for row in rows if row.incident], now)
            return self.transport.digest(digest, uuid=batch, now=now)
        notification, incident, own_card, message_id = rows[0]
        if incident is None:
            return self.transport.digest(digests().validate_json(json.dumps(notification.digest)), uuid=batch, now=now)
        people = [Person(**person) for person in notification.people]
        if notification.means in _CALLS:
            result = self.transport.urge(message_id or "", people, _CALLS[notification.means], now=now)
            names = ", ".join(person.name for person in people)
            with self.store.database.session() as session:
                session.add(TimelineEntry.of(incident.id, "called", at=now, by=names, text=result))
            return None
        calls = notification.kind in ("opened", "raised", "escalated") and incident.state == "open"
        calls = calls and not incident.silenced_by
        alert = replace(self._enriched(present(incident), incident), mention=calls)
        if people:
            alert = replace(alert, duty=tuple(people))
        if own_card and self.transport.updates:
            return self.transport.update(own_card, alert, now=now)
        return self.transport.send(alert, uuid=batch, now=now)

    def _enriched(self, alert: Alert, incident: Incident) -> Alert:
        try:
            return self.enrich(alert, incident)
        except Exception:  # the alert matters more than what is added to it
            log.exception("the card of %s is sent as it was reported", incident.name)
            return alert

    def _rows(self, ids: tuple[int, ...]) -> list[_Row]:
        with self.store.database.session() as session:
            rows = session.execute(
                select(
                    Notification,
                    Incident,
                    _newest_message(Message.form != "digest"),
                    _newest_message(Message.message_id != ""),
                )
                .outerjoin(Incident, Incident.id == Notification.incident_id)
                .where(Notification.id.in_(ids))
                .order_by(Notification.id)
            ).all()
        return [_Row(*row) for row in rows]

    def _digest(self, incidents: Sequence[Incident], now: datetime) -> Digest:
        count = len({incident.id for incident in incidents})
        return Digest(
            title=TEXTS.say("storm", self.locale, count=count),
            severity=min(incident.alert.severity for incident in incidents),
            happened_at=min((incident.opened_at for incident in incidents), default=now),
            groups=digest_lines(incidents, self.locale),
            kind="storm",
        )

    def _mark_sent(self, action: Send | Gather, request: int, sent: Sent | None, rows: Sequence[_Row]) -> None:
        now = self.clock()
        gathered = isinstance(action, Gather)
        with self.store.database.session() as session:
            incidents = session.scalars(
                update(Notification)
                .where(Notification.id.in_(action.ids))
                .values(state="sent", sent_at=now, error="", lease_until=None)
                .returning(Notification.incident_id)
            ).all()
            # The incident may have changed while its message was on the way.
            shown = [{"id": row.notification.id, "shown": row.incident.revision} for row in rows if row.incident]
            if shown:
                session.execute(update(Notification), shown)
            # Feishu counts a request when it arrives, which is before it answers.
            session.execute(update(SentRequest).where(SentRequest.id == request).values(at=now))
            if sent is not None and sent.message_id:
                form = "digest" if gathered else sent.form
                for number in {number for number in incidents if number is not None}:
                    session.merge(Message(incident_id=number, message_id=sent.message_id, form=form, sent_at=now))

    def _retry_later(self, action: Send | Gather, request: int, error: Exception) -> None:
        """Put a message back into the outbox. Its batch stays together, since it may have arrived."""
        now = self.clock()
        with self.store.database.session() as session:
            rows = session.scalars(select(Notification).where(Notification.id.in_(action.ids)).with_for_update())
            for row in rows:
                longest_s = _LONGEST_BACKOFF_P0_S if action.severity is Severity.P0 else _LONGEST_BACKOFF_S
                wait_s = min(2.0 ** min(row.tries, 10), longest_s) * (0.5 + self.jitter() / 2)
                row.lease_until = now + timedelta(seconds=wait_s)
                row.error = mask_secrets(str(error))[:500]
            session.execute(update(SentRequest).where(SentRequest.id == request).values(at=now))

    def _mark_dead(self, action: Send | Gather, request: int, reason: str) -> None:
        now = self.clock()
        with self.store.database.session() as session:
            session.execute(
                update(Notification)
                .where(Notification.id.in_(action.ids))
                .values(state="dead", error=reason[:500], lease_until=None)
            )
            session.execute(update(SentRequest).where(SentRequest.id == request).values(at=now))


def present(incident: Incident) -> Alert:
    """Return the alert with the present state of its incident."""
    return replace(
        incident.alert,
        incident_id=incident.name,
        acknowledged_by=incident.acknowledged_by,
        acknowledged_at=incident.acknowledged_at,
        flaps=incident.flaps,
        occurrences=incident.occurrences,
        last_seen_at=incident.last_seen_at,
        escalated_to=incident.escalated_to,
        silence=f"S-{incident.silenced_by}" if incident.silenced_by else "",
        silenced_until=incident.silenced_until,
        resolved_at=incident.resolved_at,
    )


def _newest_message(which: Any) -> Any:
    """Return the subquery for the id of the newest of these messages about a notification's incident."""
    return (
        select(Message.message_id)
        .where(Message.incident_id == Notification.incident_id, which)
        .order_by(Message.sent_at.desc())
        .limit(1)
        .correlate(Notification)
        .scalar_subquery()
    )


def _is_shown() -> Any:
    """Return the expression for whether a message shows a notification's incident as it is now."""
    told = aliased(Notification)
    return exists().where(
        told.incident_id == Notification.incident_id,
        told.state == "sent",
        told.means.in_(("", "card")),
        told.shown >= Incident.revision,
    )


def _is_void(notification: Notification, state: str | None, *, changes_card: bool, can_call: bool, shown: bool) -> bool:
    """Return whether there is nothing left to tell, or no way to tell it."""
    if notification.kind in ("updated", "acknowledged"):
        return not changes_card
    if notification.kind == "spread":
        return shown and not changes_card
    if notification.kind == "escalated":
        return state != "open" or (notification.means in _CALLS and not can_call)
    return False


def _pending(notification: Notification, message_id: str | None, *, changes_card: bool) -> Pending:
    calls = notification.means in _CALLS
    return Pending(
        id=notification.id,
        severity=Severity(notification.severity),
        created_at=notification.created_at,
        card=notification.incident_id is not None and not changes_card and not calls,
        group=f"{notification.means} {message_id} {notification.people}" if calls else "",
        batch=notification.batch if notification.state == "sending" else "",
        own_digest=notification.incident_id is None,
    )
