"""Brings the schema of the operations database up to date.

The package does so at the first use. Two processes that do it at the same time wait for each other.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from mindguard.database.base import SCHEMA

_LOCK = 7_305_114_601
"""Number of the advisory lock: any that nothing else in this database uses."""


class NewerSchema(Exception):
    """The schema has a revision that this version of the package does not know."""


def migrate(engine: Engine) -> None:
    """Apply the missing migrations in one transaction.

    Raises:
        sqlalchemy.exc.DBAPIError: the user may not create the schema, or the server cannot be reached.
        NewerSchema: a newer version of the package has changed the schema.
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
    """Return whether the schema is the one that this version of the package needs.

    Raises:
        NewerSchema: a newer version of the package has changed it.
    """
    script = ScriptDirectory.from_config(_config())
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    current = context.get_current_revision()
    if current and current not in {each.revision for each in script.walk_revisions()}:
        raise NewerSchema(current)
    return current == script.get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config
