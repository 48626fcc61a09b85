"""What the last finding of an incident was about, so that a recovery ends only what it judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column. Of incidents that are there already, it is known only when they last happened."""
    op.add_column(
        "incidents", sa.Column("last_failure_about", sa.DateTime(timezone=True), nullable=True), schema="mindguard"
    )
    op.execute("update mindguard.incidents set last_failure_about = last_failure_at")
    op.alter_column("incidents", "last_failure_about", nullable=False, schema="mindguard")
