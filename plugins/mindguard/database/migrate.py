"""Brings the store's schema up to date. The package does it by itself; two processes at once do no harm."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from mindguard.database.base import SCHEMA

_LOCK = 7_305_114_601
"""Of the advisory lock: any number that nobody else in this database uses."""


def migrate(engine: Engine) -> None:
    """Apply what is missing, in one transaction.

    Raises:
        sqlalchemy.exc.DBAPIError: no right to create the schema, or the server is gone.
    """
    with engine.begin() as connection:
        if is_current(connection):
            return
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text(f"create schema if not exists {SCHEMA}"))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(connection: Connection) -> bool:
    """Whether the schema is the one that this version of the package was made for."""
    script = ScriptDirectory.from_config(_config())
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    return context.get_current_revision() == script.get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config
