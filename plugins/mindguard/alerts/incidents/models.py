"""The tables of the incident store; docs/adr/0014 gives the reasons for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from mindguard.alerts.alert import Alert
from mindguard.alerts.finding import Order
from mindguard.database.base import Base
from mindguard.masking import fold, name_of, printable

_LONGEST_TEXT = 4000

EntryKind = Literal[
    "opened",
    "raised",
    "inhibited",
    "released",
    "escalated",
    "called",
    "acknowledged",
    "resolved",
    "note",
    "impact",
    "cause",
    "remedy",
    "review overdue",
    "reviewed",
    "silenced",
    "heard",
    "reopened",
]
"""The kind of a timeline entry; `mindguard.alerts.incidents.timeline` has the words for each kind."""


class AlertColumn(TypeDecorator[Alert]):
    """A column that keeps an alert as jsonb."""

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
        alert: the alert as last reported; its `happened_at` stays that of the first report.
        last_failure_at: when it last happened, by the reporter's clock.
        last_failure_about: the start of what was judged then (a day, a run). A recovery that is earlier in order, by
            this moment and then by `last_failure_at`, does not end the incident.
        inhibited: whether another unresolved incident explains this one, so that nobody is notified of it.
        silenced_by: number of the silence because of which nobody is notified of it. If the incident is resolved,
            nobody was ever notified of it.
        silenced_until: when that silence ends.
        revision: number of times that the facts of its alert have changed.
        flaps: number of times that it began again and again within the window of `Flapping`; 0: it does not flap.
        ladder_from: since when people have known of the incident; the times of the escalation ladder count from here.
        escalation_step: number of steps of the ladder that have been taken.
        review_reminders: number of reminders of the overdue review that were sent.
        actions: the actions that the review decided, each with `text`, `owner` and `due`.
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
    last_failure_about: Mapped[datetime]
    occurrences: Mapped[int] = mapped_column(default=1)
    inhibited: Mapped[bool] = mapped_column(default=False)
    revision: Mapped[int] = mapped_column(default=0)
    flaps: Mapped[int] = mapped_column(default=0)
    silenced_by: Mapped[int | None]
    silenced_until: Mapped[datetime | None]
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
    def last_failure(self) -> Order:
        """The place of the last finding among the reports about the same subject."""
        return Order(self.last_failure_about, self.last_failure_at)

    @property
    def name(self) -> str:
        """The name that people use, for instance `I-12`."""
        return f"I-{self.id}"


class Silence(Base):
    """Planned work: nobody is notified of the incidents that it matches, which are recorded all the same.

    Attributes:
        matchers: the conditions, each with `field` and `value`; an incident must meet all of them.
        starts_at, ends_at: the time of the work, aware. Ending it early brings `ends_at` forward.
        including_p0: whether it also silences P0.
        ended_by: who ended it early; empty if it ended by itself, or has not ended.
        matched_at: when an incident was last silenced by it; None: never.
    """

    __tablename__ = "silences"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    matchers: Mapped[list[dict[str, str]]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    including_p0: Mapped[bool] = mapped_column(default=False)
    made_by: Mapped[str]
    made_at: Mapped[datetime]
    why: Mapped[str]
    ended_by: Mapped[str] = mapped_column(default="")
    matched_at: Mapped[datetime | None]

    @property
    def name(self) -> str:
        """The name that people use, for instance `S-3`."""
        return f"S-{self.id}"

    def state(self, now: datetime) -> Literal["coming", "active", "expired"]:
        """Return whether it applies at a moment (aware)."""
        if now >= self.ends_at:
            return "expired"
        return "active" if now >= self.starts_at else "coming"


class TimelineEntry(Base):
    """One entry of an incident's timeline.

    Attributes:
        at: when it happened, aware.
        by: who did it; empty if nobody did.
        text: a person's text, or a note of the program in a form that `timeline.shown_entry` puts into words.
    """

    __tablename__ = "timeline"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey(Incident.id, ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    kind: Mapped[EntryKind] = mapped_column(String())
    by: Mapped[str] = mapped_column(default="")
    text: Mapped[str] = mapped_column(default="")

    @classmethod
    def of(cls, incident_id: int, kind: EntryKind, *, at: datetime, by: str = "", text: str = "") -> TimelineEntry:
        """Return a new entry for an incident.

        Args:
            incident_id: number of the incident.
            kind: the kind of the entry.
            at: when it happened, aware.
            by: who did it; empty if nobody did.
            text: further details.
        """
        return cls(incident_id=incident_id, kind=kind, at=at, by=name_of(by), text=fold(printable(text), _LONGEST_TEXT))


class Occurrence(Base):
    """An event that has been counted, kept so that it is not counted twice."""

    __tablename__ = "occurrences"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    occurrence: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class Notification(Base):
    """Something to tell people. This table is the outbox.

    Attributes:
        incident_id: its incident, whose state at the time of sending is shown. None: `digest` has the content.
        kind: `opened`, `raised`, `spread` (all failed instances of a mapped task are known now), `explained` (its error
            has become known), `resolved`, `acknowledged`, `updated`, `escalated`, `handover` or `review`.
        key: the identity of a digest; no second digest with the same key is made.
        state: `pending`, `sending`, `sent`, `dropped` (nothing left to tell) or `dead` (Feishu refused it for good).
        means: how an escalation calls people: `card`, `app`, `sms` or `phone`.
        people: whom an escalation calls.
        batch: notifications that were claimed together have the same one and become one message. It is also the
            idempotency key for Feishu.
        shown: the incident's `revision` that its message shows.
        lease_until: the sender may be alive until then; afterwards the claim is sent again, with the same batch.
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
    shown: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")


class Message(Base):
    """A message in the group; its `form` is `digest` unless it is the incident's own card."""

    __tablename__ = "messages"

    incident_id: Mapped[int] = mapped_column(ForeignKey(Incident.id, ondelete="CASCADE"), primary_key=True)
    message_id: Mapped[str] = mapped_column(primary_key=True)
    form: Mapped[str]
    sent_at: Mapped[datetime]


class SentRequest(Base):
    """A request to Feishu in the last minutes, kept because Feishu's limits apply to all senders together."""

    __tablename__ = "requests"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    severity: Mapped[str]
    form: Mapped[str]
