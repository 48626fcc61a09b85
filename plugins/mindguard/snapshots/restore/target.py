"""The database that is restored into: its connection, and whose fault it is when it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mindguard.errors import MindGuardError
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.sql import literal, statement

if TYPE_CHECKING:
    import psycopg


class RestoreRefused(MindGuardError):
    """What was asked must not be done: a wrong target, a name that is taken, a choice that makes no sense."""


class TargetError(MindGuardError):
    """The target database, or a program beside it, could not do its part. Says nothing about the snapshot."""


class SnapshotAtFault(MindGuardError):
    """What is stored does not give back the tables that the manifest promises."""


@contextmanager
def connect(conninfo: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """An autocommit connection with the session settings that stored text was written under.

    Raises:
        TargetError, SnapshotAtFault: instead of any error of the database, also within the block.
    """
    import psycopg
    from psycopg.rows import dict_row

    try:
        with psycopg.connect(conninfo, row_factory=dict_row, autocommit=True) as connection:
            connection.execute(statement("pin_session", statement_timeout=literal("0")))
            yield connection
    except psycopg.Error as error:
        raise explained(error) from error


def is_about_rows(error: psycopg.Error) -> bool:
    """Whether the rows themselves are at fault: a value that its type refuses (SQLSTATE class 22), or rows that
    contradict a constraint (23). A character that the target's encoding lacks (22P05) is the target's fault."""
    state = error.sqlstate or ""
    return state[:2] in {"22", "23"} and state != "22P05"


def explained(error: psycopg.Error) -> MindGuardError:
    """The database's error as one line with what to do."""
    message = error.diag.message_primary or next(iter(str(error).strip().splitlines()), type(error).__name__)
    if is_about_rows(error):
        where = f" ({error.diag.context.splitlines()[0][:200]})" if error.diag.context else ""
        return SnapshotAtFault(f"the target refuses stored rows: {message}{where}")
    state = error.sqlstate or ""
    hints = {
        "42501": "give the connection's role the right, or connect as the owner of the tables",
        "53": "free room on the target's server",
        "55P03": "a lock was held for 10 s; run again when it is free",
        "57": "the target's server is stopping; run again when it is back",
    }
    hint = hints.get(state) or hints.get(state[:2], "")
    if not state:  # the connection failed, and only the text says why
        hints = {"authentication": "correct the user or the password", "does not exist": "correct the database"}
        hint = next((hints[why] for why in hints if why in message), "is it up, and reachable from here?")
    return TargetError(f"the target database failed: {message}", hint=hint)


def refuse_source(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest) -> None:
    """Raise RestoreRefused when this is the very database that the snapshot was taken of."""
    import psycopg

    try:
        row = connection.execute(statement("select_system_identifier")).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return  # it cannot be told; the source holds the tables, so it is refused as not empty
    here = (row and row["system_identifier"], connection.info.dbname)
    if here == (manifest.source.system_identifier, manifest.source.database):
        raise RestoreRefused(
            f"database {connection.info.dbname} is the source of snapshot {manifest.snapshot_id}",
            hint="rebuild in another database, or restore tables into a new schema of this one",
        )


def refuse_filled(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Raise RestoreRefused when the database holds anything of its own."""
    found = connection.execute(statement("select_contents")).fetchone()
    if found and found["things"]:
        raise RestoreRefused(
            f"database {connection.info.dbname} is not empty: it holds {found['example']}"
            + (f" and {found['things'] - 1} more" if found["things"] > 1 else ""),
            hint="create an empty database for a whole snapshot, or restore tables into a new schema",
        )
