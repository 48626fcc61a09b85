"""Tables of the incident store; docs/adr/0014 says why these."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from mindguard.alerts.alert import Alert
from mindguard.database.base import Base


class AlertColumn(TypeDecorator[Alert]):
    """An alert, kept as jsonb."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: Alert | None, dialect: Any) -> Any:
        return None if value is None else value.to_json()

    def process_result_value(self, value: Any, dialect: Any) -> Alert | None:
        return None if value is None else Alert.from_json(value)


class Incident(Base):
    """Something that is or was wrong. At most one unresolved incident has a fingerprint.

    Attributes:
        state: `open`, `acknowledged` or `resolved`.
        alert: as reported last; its `happened_at` stays that of the first report.
        last_failure_at: when it last happened, in the reporter's time: an older recovery does not end it.
        inhibited: an open incident explains it, so it notifies nobody.
        ladder_from: since when people know of it; the ladder's times run from here.
        escalation_step: how many steps of the ladder have been taken.
        review_reminders: how many reminders of the overdue review were sent.
        actions: what the review decided: `text`, `owner`, `due`.
    """

    __tablename__ = "incidents"
    __table_args__ = (
        Index("one_unresolved", "fingerprint", unique=True, postgresql_where=text("state <> 'resolved'")),
        Index("unresolved_key", "recovery_key", postgresql_where=text("state <> 'resolved'")),
        Index("unresolved_parent", "parent", postgresql_where=text("state <> 'resolved' and parent <> ''")),
        Index("former", "fingerprint", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    fingerprint: Mapped[str]
    recovery_key: Mapped[str]
    source: Mapped[str]
    parent: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default="open")
    severity: Mapped[str]
    alert: Mapped[Alert] = mapped_column(AlertColumn())
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    last_failure_at: Mapped[datetime]
    occurrences: Mapped[int] = mapped_column(default=1)
    inhibited: Mapped[bool] = mapped_column(default=False)
    acknowledged_by: Mapped[str] = mapped_column(default="")
    acknowledged_at: Mapped[datetime | None]
    ladder_from: Mapped[datetime]
    escalation_step: Mapped[int] = mapped_column(default=0)
    escalated_to: Mapped[str] = mapped_column(default="")
    resolved_by: Mapped[str] = mapped_column(default="")
    resolved_at: Mapped[datetime | None]
    impact: Mapped[str] = mapped_column(default="")
    cause: Mapped[str] = mapped_column(default="")
    remedy: Mapped[str] = mapped_column(default="")
    reviewed_by: Mapped[str] = mapped_column(default="")
    reviewed_at: Mapped[datetime | None]
    review_reminders: Mapped[int] = mapped_column(default=0)
    actions: Mapped[list[dict[str, str]]] = mapped_column(default=list)
    timeline: Mapped[list[TimelineEntry]] = relationship(order_by="TimelineEntry.id", lazy="raise")

    @property
    def name(self) -> str:
        """How people call it."""
        return f"I-{self.id}"


class TimelineEntry(Base):
    """One line of an incident's timeline."""

    __tablename__ = "timeline"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey(Incident.id, ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    by: Mapped[str] = mapped_column(default="")
    text: Mapped[str] = mapped_column(default="")


class Occurrence(Base):
    """An event that was counted, so that nobody counts it twice."""

    __tablename__ = "occurrences"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    occurrence: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class Notification(Base):
    """Something that people must be told: the outbox.

    Attributes:
        incident_id: what it is about; rendered as it is at the moment of sending. None: `digest` holds it all.
        kind: `opened`, `raised`, `resolved`, `acknowledged`, `updated`, `escalated`, `handover`, `review`.
        key: a digest's identity: a second one with the same is not made.
        state: `pending`, `sending`, `sent`, `dropped` (nothing to tell any more) or `dead` (Feishu will never take it).
        means: of an escalation: `card`, `app`, `sms` or `phone`.
        people: whom an escalation calls.
        batch: what was claimed together is one message; also the idempotency key that Feishu gets.
        lease_until: until then a sender may be alive; afterwards the claim is sent again, with the same batch.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        Index(
            "one_pending",
            "incident_id",
            unique=True,
            postgresql_where=text("state = 'pending' and kind <> 'escalated'"),
        ),
        Index("undelivered", "state", "due_at", postgresql_where=text("state in ('pending', 'sending', 'dead')")),
        UniqueConstraint("key", name="digest_once"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey(Incident.id, ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    severity: Mapped[str]
    key: Mapped[str | None]
    digest: Mapped[dict[str, Any] | None]
    means: Mapped[str] = mapped_column(default="")
    people: Mapped[list[dict[str, str]]] = mapped_column(default=list)
    state: Mapped[str] = mapped_column(default="pending")
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    batch: Mapped[str] = mapped_column(default="")
    lease_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")


class Message(Base):
    """A message in the group; `form` is `digest` where it is not the incident's own card."""

    __tablename__ = "messages"

    incident_id: Mapped[int] = mapped_column(ForeignKey(Incident.id, ondelete="CASCADE"), primary_key=True)
    message_id: Mapped[str] = mapped_column(primary_key=True)
    form: Mapped[str]
    sent_at: Mapped[datetime]


class SentRequest(Base):
    """A request to Feishu of the last minutes: its limits hold for all senders together."""

    __tablename__ = "requests"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    severity: Mapped[str]
    form: Mapped[str]
