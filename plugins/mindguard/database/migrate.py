"""Brings the schema of the operations database up to date.

The package does so at the first use. Two processes that do it at the same time wait for each other.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from mindguard.database.base import SCHEMA

_MIGRATIONS = Path(__file__).with_name("migrations")
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
        # Imported before others must wait, whose statements have a time limit.
        from alembic import command
        from alembic.config import Config

        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text(f"create schema if not exists {SCHEMA}"))
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(connection: Connection) -> bool:
    """Return whether the schema is the one that this version of the package needs.

    Alembic is not asked: nearly always nothing is to be done, and its import takes longer than most commands.

    Raises:
        NewerSchema: a newer version of the package has changed it.
    """
    known = revisions()
    current = _revision(connection)
    if current and current not in known:
        raise NewerSchema(current)
    return current == known[-1]


def revisions() -> list[str]:
    """Return the schema's revisions, oldest first: the file of each migration begins with its own."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    """Return the revision of the schema; None if there is none yet."""
    if not inspect(connection).has_table("alembic_version", schema=SCHEMA):
        return None
    revision: str | None = connection.scalar(text(f"select version_num from {SCHEMA}.alembic_version"))  # noqa: S608
    return revision
