"""The target database of a restore: its connection, and whether an error is its own fault or the snapshot's."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mindguard import postgres_session
from mindguard.connections import conn_id_of
from mindguard.errors import MindGuardError, about, one_line
from mindguard.snapshots.database_errors import cause, connection_hint, described, is_raised
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.sql import identifier, literal, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed


MARK = "mindguard: unfinished restore"
"""The comment on what a restore makes begins with this until the restore is finished."""

_SESSION_ENDS_S = 3.0

_PATH_WORD = re.compile(r'"(?:[^"]|"")*"|[^\s,"]+')
_EVENT_TRIGGERS_SETTING = 17_00_00  # the server's version that can leave event triggers out


class RestoreRefused(MindGuardError):
    """The request must not be carried out: the target is wrong, a name is taken, or options contradict each other."""


class TargetError(MindGuardError):
    """The target database, or a program that works on it, failed. The snapshot may be perfectly good."""


class SnapshotAtFault(MindGuardError):
    """The stored objects do not yield the tables that the manifest describes."""


def lock(connection: psycopg.Connection[dict[str, Any]], query: Composed) -> bool:
    """Take a lock for as long as the session lives. Return False if another session holds it.

    A session that was closed a moment ago holds its locks until the server has ended it, so this waits up to 3 s.

    Args:
        connection: an autocommit connection.
        query: tries to take the lock, and says in `locked` whether it has.
    """
    deadline = time.monotonic() + _SESSION_ENDS_S
    while (row := connection.execute(query).fetchone()) and not row["locked"]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def connect(conninfo: str, *, search_path: str = "") -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Open an autocommit connection to a session of its own, with the settings under which stored text was written.

    Args:
        conninfo: libpq connection string.
        search_path: the session's path. Names in the catalog's texts have their schema only if it is empty.

    Raises:
        TargetError, SnapshotAtFault: in place of any error of the database, also within the block.
        NoOwnSession: a pooler is in between that shares server connections; nothing was changed.
    """
    import psycopg
    from psycopg.rows import dict_row

    with about(conn_id_of(conninfo), TargetError):
        try:
            with postgres_session.connect(conninfo, row_factory=dict_row, autocommit=True) as connection:
                postgres_session.require_own_session(connection)
                connection.execute(postgres_session.pinned(0, local=False))
                if search_path:
                    _set_path(connection, search_path)
                yield connection
        except psycopg.Error as error:
            raise explained(error) from cause(error)


@contextmanager
def under_path(connection: psycopg.Connection[dict[str, Any]], search_path: str) -> Iterator[None]:
    """Give the connection this search path while the block runs, for functions that name things without a schema."""
    if search_path:
        _set_path(connection, search_path)
    yield
    if search_path:
        _set_path(connection, "")


def source_path(manifest: Manifest) -> str:
    """Return the search path of the source's sessions; if it was not recorded, one that finds the snapshot's schemas.

    Functions of the application run under it: those of checks, generated columns, indexes and triggers.
    """
    if manifest.source.search_path is not None:
        return manifest.source.search_path
    schemas = dict.fromkeys(["public", *(table.table_name.schema for table in manifest.tables)])
    return ", ".join(['"$user"', *(identifier(schema).as_string() for schema in schemas)])


def other_path(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest) -> str:
    """Return a line with the statement that gives the database the source's search path; nothing if it has that."""
    recorded = manifest.source.search_path
    found = connection.execute(statement("select_default_path")).fetchone()
    here = (found["search_path"] if found else None) or ""
    if recorded is None or _schemas_of(recorded) == _schemas_of(here):
        return ""
    path = ", ".join(identifier(name).as_string() if name else "''" for name in _schemas_of(recorded))
    database = identifier(connection.info.dbname).as_string()
    return (
        f"search_path of the source was {recorded or 'empty'}, here it is {here or 'empty'}; functions and triggers "
        f"that name things without their schema need it: ALTER DATABASE {database} SET search_path = {path}"
    )


def _schemas_of(search_path: str) -> tuple[str, ...]:
    """Return the names in a search path; a path that holds nothing is the empty name alone."""
    names = [
        word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
        for word in _PATH_WORD.findall(search_path)
    ]
    return tuple(names) or ("",)


def _set_path(connection: psycopg.Connection[dict[str, Any]], search_path: str) -> None:
    connection.execute(statement("set_search_path", search_path=literal(search_path)))


@contextmanager
def locking(name: str) -> Iterator[None]:
    """Let an error say on what the block could not get a lock in time, for the server's message does not.

    Args:
        name: of the table, or another object or step.

    Raises:
        TargetError: the lock was held by another session.
    """
    import psycopg

    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise TargetError(
            f"the lock on {name} was not free within 10 s",
            hint="pg_locks and pg_stat_activity show which session holds it; run again when it is released",
        ) from cause(error)


def is_about_rows(error: psycopg.Error) -> bool:
    """Return whether the rows themselves caused the error.

    This is the case if a type refuses a value (SQLSTATE class 22) or rows contradict a constraint (class 23). A
    character that the target's encoding lacks (22P05) is the target's fault.
    """
    state = error.sqlstate or ""
    return state[:2] in {"22", "23"} and state != "22P05"


def is_about_server(error: psycopg.Error) -> bool:
    """Return whether the server or the connection failed, rather than the statement: nothing else will work either."""
    return not error.sqlstate or error.sqlstate[:2] in {"08", "53", "57", "58"}


@contextmanager
def without_event_triggers(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[bool]:
    """Keep event triggers out of the DDL of the block, and yield whether the role may do that.

    Before version 17, the session acts as a replica for that, which turns ordinary triggers off too. So the block must
    write no rows: it makes, alters or drops what no application uses yet.
    """
    import psycopg

    newer = connection.info.server_version >= _EVENT_TRIGGERS_SETTING
    name, off, on = ("event_triggers", "off", "on") if newer else ("session_replication_role", "replica", "origin")
    try:
        with connection.transaction():
            connection.execute(statement("set_setting", setting=literal(name), value=literal(off)))
    except psycopg.errors.InsufficientPrivilege:
        yield False
        return
    yield True
    connection.execute(statement("set_setting", setting=literal(name), value=literal(on)))


def event_triggers(connection: psycopg.Connection[dict[str, Any]], *, avoided: bool = False) -> list[str]:
    """Return the names of the event triggers that DDL runs into.

    Args:
        connection: a connection to the target.
        avoided: whether the DDL is in a block of `without_event_triggers`, of a role that may keep them out.
    """
    if avoided and connection.info.server_version >= _EVENT_TRIGGERS_SETTING:
        return []
    enabled = ["A", "R"] if avoided else ["A", "O"]  # always; on a replica; elsewhere
    return [row["name"] for row in connection.execute(statement("select_event_triggers", enabled=literal(enabled)))]


def explained(error: psycopg.Error) -> MindGuardError:
    """Return the database's error as one line that says what to do."""
    message = described(error)
    if is_about_rows(error):
        return SnapshotAtFault(f"the target refuses stored rows: {message}")
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
    if not state:
        hint = connection_hint(error)
    elif is_raised(error):
        hint = "find the trigger, or the event trigger of DDL, that raises it, and disable it while you restore"
    return TargetError(f"the target database failed: {message}", hint=hint, permanent=state == "42501")


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


def refuse_unwritable(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Raise RestoreRefused if the role may not create what a rebuild consists of."""
    limits = connection.execute(statement("select_limits")).fetchall()[0]
    if not limits["may_create_schemas"]:
        role, database = (identifier(limits[name]).as_string() for name in ("role", "database"))
        raise RestoreRefused(
            f"role {limits['role']} may not create schemas in database {limits['database']}",
            hint=f"GRANT CREATE ON DATABASE {database} TO {role}, or connect as the role that owns the database",
        )


def sql_to_empty(database: str) -> str:
    """Return the SQL that makes a database empty again."""
    name = identifier(database).as_string()
    return f"DROP DATABASE {name}; CREATE DATABASE {name}; then run again"


def refuse_filled(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Raise RestoreRefused if the database is not empty."""
    found = connection.execute(statement("select_contents")).fetchone()
    if found and found["things"]:
        marked = connection.execute(statement("select_database_comment")).fetchone()
        name = connection.info.dbname
        if marked and (marked["comment"] or "").startswith(MARK):
            raise RestoreRefused(
                f"database {name} holds an {one_line(marked['comment']).partition(': ')[2]}", hint=sql_to_empty(name)
            )
        raise RestoreRefused(
            f"database {connection.info.dbname} is not empty: it holds {found['example']}"
            + (f" and {found['things'] - 1} more" if found["things"] > 1 else ""),
            hint="create an empty database for a whole snapshot, or restore tables into a new schema",
        )
