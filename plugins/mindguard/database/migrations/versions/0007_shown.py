"""Which revision of an incident each message shows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns. Messages that are there already show their incidents as they are."""
    for table, name in (("incidents", "revision"), ("notifications", "shown")):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(table, column, schema="mindguard")
        op.alter_column(table, name, server_default=None, schema="mindguard")
