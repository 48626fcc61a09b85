"""Alembic's entry point; `migrate()` provides the connection."""

from __future__ import annotations

from alembic import context

from mindguard.database.base import SCHEMA, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
