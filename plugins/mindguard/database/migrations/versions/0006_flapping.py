"""How often an incident began again and again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column. Incidents that are there already do not flap."""
    flaps = sa.Column("flaps", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("incidents", flaps, schema="mindguard")
    op.alter_column("incidents", "flaps", server_default=None, schema="mindguard")
