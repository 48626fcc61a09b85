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
from mindguard.doctor.texts import Said, joined
from mindguard.errors import MindGuardError
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
        yield Diagnosis("pass", conn_id, "export", Said("export"))
        yield _pooler(conn_id, connection)
        yield from tried(conn_id, "time limits", _time_limits(conn_id, limits, settings.snapshot.max_age_minutes * 60))
        yield from tried(conn_id, "pg_dump", _programs(conn_id, limits))
        yield from tried(conn_id, "schema dump", _schema_dump(conn_id, connection, limits))
        needed = settings.snapshot.connections + _EXTRA_CONNECTIONS
        role = identifier(limits["role"]).as_string()
        if 0 <= limits["connection_limit"] < needed:
            text = Said(
                "few_connections",
                limit=limits["connection_limit"],
                needed=needed,
                statement=f"ALTER ROLE {role} CONNECTION LIMIT {needed}",
            )
            yield Diagnosis("error", conn_id, "connections", text)
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
            yield Diagnosis("pass", conn_id, "scratch database", Said("may_create_database", role=limits["role"]))
        else:
            text = Said("no_database", statement=f"ALTER ROLE {role} CREATEDB")
            yield Diagnosis("error", conn_id, "scratch database", text)
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
            yield Diagnosis("pass", conn_id, "new schema", Said("may_create_schema", role=limits["role"]))
        else:
            text = Said("no_schema", statement=f"GRANT CREATE ON DATABASE {database} TO {role}")
            yield Diagnosis("error", conn_id, "new schema", text)
        yield _event_triggers(conn_id, connection)
        found = rights(connection, settings.snapshot.tables)
        for table in settings.snapshot.tables:
            if table.name not in found:
                text = Said("live_missing", table=table.name, database=limits["database"])
                yield Diagnosis("warn", conn_id, "live table", text)
            elif not found[table.name]["owned"]:
                text = Said("live_not_owned", name=limits["role"], table=table.name, role=role)
                yield Diagnosis("warn", conn_id, "live table", text)
            elif not found[table.name]["schema_writable"]:
                grant = f"GRANT CREATE ON SCHEMA {found[table.name]['quoted_schema']} TO {role}"
                text = Said("live_no_create", name=limits["role"], table=table.name, statement=grant)
                yield Diagnosis("warn", conn_id, "live table", text)
            else:
                yield Diagnosis("pass", conn_id, "live table", Said("live_fits", table=table.name))


def _event_triggers(conn_id: str, connection: Connection) -> Diagnosis:
    """Say which event triggers a restore or a swap runs into; each may raise an error, and then nothing is made."""
    with target.without_event_triggers(connection) as avoided:
        in_the_way = target.event_triggers(connection, avoided=avoided)
    if in_the_way:
        superuser = not avoided and not target.event_triggers(connection, avoided=True)
        text = Said("triggers_superuser" if superuser else "triggers_restore", triggers=joined(in_the_way, by="names"))
        return Diagnosis("warn", conn_id, "event triggers", text)
    if others := target.event_triggers(connection):
        return Diagnosis("warn", conn_id, "event triggers", Said("triggers_swap", triggers=joined(others, by="names")))
    return Diagnosis("pass", conn_id, "event triggers", Said("no_triggers"))


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
    text = Said(
        "server",
        version=f"{version // 10_000}.{version % 10_000}",
        database=limits["database"],
        encoding=limits["encoding"],
        role=limits["role"],
    )
    yield Diagnosis("pass", conn_id, "connection", text)
    yield clock(conn_id, limits["server_time"], now())


def _writable(conn_id: str, limits: dict[str, Any]) -> Diagnosis:
    if limits["standby"]:
        return Diagnosis("error", conn_id, "writable", Said("standby"))
    return Diagnosis("pass", conn_id, "writable", Said("primary"))


def _pooler(conn_id: str, connection: Connection) -> Diagnosis:
    """Say whether there is a pooler; one that shares connections would have been refused when this one was opened."""
    if connection.info.backend_pid == connection.execute(statement("select_backend")).fetchall()[0]["pid"]:
        return Diagnosis("pass", conn_id, "pooler", Said("no_pooler"))
    return Diagnosis("pass", conn_id, "pooler", Said("pooler"))


def _time_limits(conn_id: str, limits: dict[str, Any], max_age_s: int) -> Iterator[Diagnosis]:
    """Check for settings that would end a long export. The export itself sets statement_timeout and similar ones."""
    faults: list[Diagnosis] = []
    if 0 <= (-1 if limits["old_snapshot_s"] is None else limits["old_snapshot_s"]) < max_age_s:
        text = Said("old_snapshot", seconds=f"{limits['old_snapshot_s']:.0f}")
        faults.append(Diagnosis("error", conn_id, "time limits", text))
    if limits["standby"] and not limits["standby_feedback"] and 0 <= limits["standby_delay_s"] < max_age_s:
        text = Said("standby_delay", seconds=f"{limits['standby_delay_s']:.0f}")
        faults.append(Diagnosis("warn", conn_id, "time limits", text))
    text = Said("no_limit_standby" if limits["standby"] else "no_limit", seconds=max_age_s)
    yield from faults or [Diagnosis("pass", conn_id, "time limits", text)]


def _programs(conn_id: str, limits: dict[str, Any]) -> Iterator[Diagnosis]:
    version = pgtools.run(["pg_dump", "--version"]).decode().strip()
    found = re.search(r"\d+", version)
    server = limits["server_version"] // 10_000
    if found and int(found[0]) < server:
        yield Diagnosis("error", conn_id, "pg_dump", Said("old_pg_dump", version=version, server=server))
        return
    yield Diagnosis("pass", conn_id, "pg_dump", Said("pg_dump", version=version, path=pgtools.tool("pg_dump")))


def _schema_dump(conn_id: str, connection: Connection, limits: dict[str, Any]) -> Iterator[Diagnosis]:
    refused = [row["relation"] for row in connection.execute(statement("select_undumpable"))]
    if refused:
        role = identifier(limits["role"]).as_string()
        grant = f"GRANT pg_read_all_data TO {role}"
        text = Said("undumpable", relations=joined(refused, by="names"), statement=grant)
        yield Diagnosis("error", conn_id, "schema dump", text)
        return
    yield Diagnosis("pass", conn_id, "schema dump", Said("dumpable"))


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
        yield Diagnosis("unknown", conn_id, "against source", Said("source_silent", error=error))
        return
    if source_system and source_system == _system(drill):
        same = source_limits["database"] == limits["database"]
        yield Diagnosis("warn", conn_id, "own server", Said("own_database" if same else "own_server"))
    elif source_system:
        yield Diagnosis("pass", conn_id, "own server", Said("other_server"))
    else:
        yield Diagnosis("unknown", conn_id, "own server", Said("server_unknown"))
    source_version = source_limits["server_version"] // 10_000
    if limits["server_version"] // 10_000 < source_version:
        yield Diagnosis("error", conn_id, "version", Said("older", version=source_version))
    if limits["encoding"] != source_limits["encoding"]:
        text = Said("encoding", encoding=limits["encoding"], source=source_limits["encoding"])
        yield Diagnosis("warn", conn_id, "encoding", text)
    offered = {(row["kind"], row["name"]) for row in drill.execute(statement("select_offers"))}
    missing = [f"{kind} {name}" for kind, name in sorted(needed - offered)]
    if missing:
        yield Diagnosis("warn", conn_id, "same means", Said("lacks", missing=joined(missing, by="names")))
    else:
        yield Diagnosis("pass", conn_id, "same means", Said("same_means"))


def _system(connection: Connection) -> str | None:
    """Return the system identifier of the cluster, or None if the role may not ask for it."""
    import psycopg

    try:
        row = connection.execute(statement("select_system_identifier")).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return str(row["system_identifier"]) if row else None
