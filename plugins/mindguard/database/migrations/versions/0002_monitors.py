"""Tables for the results of the monitors, and for the states that they keep from one minute to the next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "monitor_results",
        sa.Column("monitor", sa.String(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("escalated", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unknown_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("took_s", sa.Float(), nullable=False),
        sa.Column("skew_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("monitor", "dimension", "at"),
        schema="mindguard",
    )
    op.create_index("monitor_results_at", "monitor_results", ["at"], unique=False, schema="mindguard")
    op.create_table(
        "monitor_states",
        sa.Column("monitor", sa.String(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("warn_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("below_warn_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("below_error_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unknown_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("monitor", "dimension"),
        schema="mindguard",
    )
