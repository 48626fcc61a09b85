"""The target database of a restore: its connection, and whether an error is its own fault or the snapshot's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mindguard import postgres_session
from mindguard.errors import MindGuardError
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.sql import statement

if TYPE_CHECKING:
    import psycopg


class RestoreRefused(MindGuardError):
    """The request must not be carried out: the target is wrong, a name is taken, or options contradict each other."""


class TargetError(MindGuardError):
    """The target database, or a program that works on it, failed. The snapshot may be perfectly good."""


class SnapshotAtFault(MindGuardError):
    """The stored objects do not yield the tables that the manifest describes."""


@contextmanager
def connect(conninfo: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Open an autocommit connection to a session of its own, with the settings under which stored text was written.

    Raises:
        TargetError, SnapshotAtFault: in place of any error of the database, also within the block.
        NoOwnSession: a pooler is in between that shares server connections; nothing was changed.
    """
    import psycopg
    from psycopg.rows import dict_row

    try:
        with postgres_session.connect(conninfo, row_factory=dict_row, autocommit=True) as connection:
            postgres_session.require_own_session(connection)
            connection.execute(postgres_session.pinned(0, local=False))
            yield connection
    except psycopg.Error as error:
        raise explained(error) from error


def is_about_rows(error: psycopg.Error) -> bool:
    """Return whether the rows themselves caused the error.

    This is the case if a type refuses a value (SQLSTATE class 22) or rows contradict a constraint (class 23). A
    character that the target's encoding lacks (22P05) is the target's fault.
    """
    state = error.sqlstate or ""
    return state[:2] in {"22", "23"} and state != "22P05"


def explained(error: psycopg.Error) -> MindGuardError:
    """Return the database's error as one line that says what to do."""
    message = error.diag.message_primary or next(iter(str(error).strip().splitlines()), type(error).__name__)
    if is_about_rows(error):
        where = f" ({error.diag.context.splitlines()[0][:200]})" if error.diag.context else ""
        return SnapshotAtFault(f"the target refuses stored rows: {message}{where}")
    state = error.sqlstate or ""
    hints = {
        "42501": "give the connection's role the right, or connect as the owner of the tables",
        "53300": "free connections there, or lower snapshot.connections",
        "53": "free room on the target's server",
        "55P03": "a lock was held for 10 s; run again when it is released",
        "57014": "find out who cancelled the statement",
        "57": "the target's server is stopping; run again when it is back",
    }
    hint = hints.get(state) or hints.get(state[:2], "")
    if not state:  # the connection failed, and only the message says why
        hints = {"authentication": "correct the user or the password", "does not exist": "correct the database"}
        hints |= dict.fromkeys(
            ("too many", "connection slots"), "free connections there, or lower snapshot.connections"
        )
        hint = next((hints[why] for why in hints if why in message), "check that it is up and reachable from here")
    return TargetError(f"the target database failed: {message}", hint=hint)


def refuse_source(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest) -> None:
    """Raise RestoreRefused if this is the database that the snapshot was taken from."""
    import psycopg

    try:
        row = connection.execute(statement("select_system_identifier")).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return  # The two cannot be compared; but the source has tables, so `refuse_filled` refuses it.
    here = (row and row["system_identifier"], connection.info.dbname)
    if here == (manifest.source.system_identifier, manifest.source.database):
        raise RestoreRefused(
            f"database {connection.info.dbname} is the source of snapshot {manifest.snapshot_id}",
            hint="rebuild in another database, or restore tables into a new schema of this one",
        )


def refuse_filled(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Raise RestoreRefused if the database is not empty."""
    found = connection.execute(statement("select_contents")).fetchone()
    if found and found["things"]:
        raise RestoreRefused(
            f"database {connection.info.dbname} is not empty: it holds {found['example']}"
            + (f" and {found['things'] - 1} more" if found["things"] > 1 else ""),
            hint="create an empty database for a whole snapshot, or restore tables into a new schema",
        )
