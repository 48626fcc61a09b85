"""Incidents, their timelines, and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables; the schema exists already."""
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("recovery_key", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("alert", postgresql.JSONB(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_failure_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column("inhibited", sa.Boolean(), nullable=False),
        sa.Column("acknowledged_by", sa.String(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ladder_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("escalation_step", sa.BigInteger(), nullable=False),
        sa.Column("escalated_to", sa.String(), nullable=False),
        sa.Column("resolved_by", sa.String(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("impact", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("remedy", sa.String(), nullable=False),
        sa.Column("reviewed_by", sa.String(), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("review_reminders", sa.BigInteger(), nullable=False),
        sa.Column("actions", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="mindguard",
    )
    op.create_index("former", "incidents", ["fingerprint", "id"], unique=False, schema="mindguard")
    op.create_index(
        "one_unresolved",
        "incidents",
        ["fingerprint"],
        unique=True,
        schema="mindguard",
        postgresql_where=sa.text("state <> 'resolved'"),
    )
    op.create_index(
        "unresolved_key",
        "incidents",
        ["recovery_key"],
        unique=False,
        schema="mindguard",
        postgresql_where=sa.text("state <> 'resolved'"),
    )
    op.create_index(
        "unresolved_parent",
        "incidents",
        ["parent"],
        unique=False,
        schema="mindguard",
        postgresql_where=sa.text("state <> 'resolved' and parent <> ''"),
    )
    op.create_table(
        "occurrences",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("occurrence", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "occurrence"),
        schema="mindguard",
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="mindguard",
    )
    op.create_index(op.f("ix_mindguard_requests_at"), "requests", ["at"], unique=False, schema="mindguard")
    op.create_table(
        "messages",
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["mindguard.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("incident_id", "message_id"),
        schema="mindguard",
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("digest", postgresql.JSONB(), nullable=True),
        sa.Column("means", sa.String(), nullable=False),
        sa.Column("people", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["mindguard.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name="digest_once"),
        schema="mindguard",
    )
    op.create_index(
        op.f("ix_mindguard_notifications_incident_id"),
        "notifications",
        ["incident_id"],
        unique=False,
        schema="mindguard",
    )
    op.create_index(
        "one_pending",
        "notifications",
        ["incident_id"],
        unique=True,
        schema="mindguard",
        postgresql_where=sa.text("state = 'pending' and kind <> 'escalated'"),
    )
    op.create_index(
        "undelivered",
        "notifications",
        ["state", "due_at"],
        unique=False,
        schema="mindguard",
        postgresql_where=sa.text("state in ('pending', 'sending', 'dead')"),
    )
    op.create_table(
        "timeline",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["mindguard.incidents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema="mindguard",
    )
    op.create_index(
        op.f("ix_mindguard_timeline_incident_id"), "timeline", ["incident_id"], unique=False, schema="mindguard"
    )
