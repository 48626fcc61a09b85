"""Errors of a source database, each as one line that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindguard.errors import MindGuardError
from mindguard.snapshots.database_errors import connection_hint, described, hides_rows

if TYPE_CHECKING:
    import psycopg


class SourceError(MindGuardError):
    """The source database cannot be read as asked."""


class TableMissing(SourceError):
    """The settings name a table that does not exist, or one of a kind that has no rows of its own."""

    permanent = True


class ColumnMissing(SourceError):
    """`part_by` names a column that the table does not have."""

    permanent = True


class Stopped(SourceError):
    """The snapshot was stopped, or reached its maximum age, before it was complete."""


class TuplesContradicted(SourceError):
    """The values of a part have changed although its tuple digest has not, so no tuple digest can be trusted."""

    permanent = True

    def __init__(self, table: str) -> None:
        super().__init__(
            f"values of {table} have changed although no transaction seems to have written them",
            hint="the new snapshot is right, because it read all values; older ones that `mindguard snapshot list` "
            "calls doubtful may hold older values. Find out who put an earlier state of the source's server back, or "
            "altered its files or catalogs",
        )
        self.table = table


def explained(error: psycopg.Error) -> SourceError:
    """Return the database's error as one line that says what to do."""
    import psycopg

    line = described(error)
    hints: list[tuple[type[Exception], str]] = [
        (psycopg.errors.InvalidPassword, "correct the password of the connection"),
        (psycopg.errors.InvalidAuthorizationSpecification, "correct the user of the connection"),
        (psycopg.errors.InvalidCatalogName, "correct the database (schema field) of the connection"),
        (
            psycopg.errors.LockNotAvailable,
            "a lock was held longer than snapshot.lock_timeout_s, probably by a migration; run again when that is done",
        ),
        (psycopg.errors.QueryCanceled, "raise snapshot.max_age_minutes or find out why the source is slow"),
        (psycopg.errors.UndefinedFunction, "choose another part_by: this column's type cannot be ordered"),
    ]
    if hides_rows(error):
        return SourceError(
            f"row-level security would hide rows: {line}",
            hint="ALTER ROLE … BYPASSRLS for the connection's role, else the snapshot would be incomplete",
            permanent=True,
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return SourceError(line, hint="GRANT pg_read_all_data to the connection's role", permanent=True)
    for kind, hint in hints:
        if isinstance(error, kind):
            return SourceError(line, hint=hint)
    if isinstance(error, psycopg.OperationalError):
        hint = "run again when the source's server works again, and has enough memory and disk space"
        return SourceError(f"the database failed: {line}", hint=hint if error.sqlstate else connection_hint(error))
    return SourceError(f"the database refused: {line}")
