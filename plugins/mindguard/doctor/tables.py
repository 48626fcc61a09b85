"""Examines the tables of the settings: whether each can be read whole, and what a snapshot of them does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mindguard import texts
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import KINDS, Said, joined
from mindguard.settings.snapshot import SnapshotSettings, TableSettings
from mindguard.snapshots.export.source import Chosen, SourceSnapshot, open_source
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.export.source_table import SourceTable
from mindguard.snapshots.storage.manifest import as_arrays
from mindguard.sql import statement

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


def rights(connection: Connection, tables: Sequence[TableSettings]) -> dict[str, dict[str, Any]]:
    """Return what this connection's role may do with each of the tables that exists, by the table's name."""
    names = as_arrays(table.name for table in tables)
    return {row["name"]: row for row in connection.execute(statement("select_rights"), names)}


def examine_tables(connection: Connection, conninfo: str, settings: SnapshotSettings, role: str) -> Iterator[Diagnosis]:
    """Check that each table can be read whole and restored, and name what a snapshot would not hold.

    Args:
        connection: a connection to the source.
        conninfo: connection string of the source.
        settings: the settings of the snapshot, which name the tables.
        role: the role's name, quoted.

    Raises:
        SourceError: the source cannot be read at all.
    """
    tables = settings.tables
    found = rights(connection, tables)
    readable: list[Chosen] = []
    for table in tables:
        allowed = found.get(table.name, {"readable": True, "row_security": False})
        if not allowed["readable"]:
            text = Said("unreadable", role=role, statement=f"GRANT pg_read_all_data TO {role}")
            yield Diagnosis("error", table.name, "read", text)
        elif allowed["row_security"]:
            text = Said("row_security", role=role, statement=f"ALTER ROLE {role} BYPASSRLS")
            yield Diagnosis("error", table.name, "read", text)
        else:
            readable.append(Chosen(table.name, table.part_by, table.inherited))
    with open_source(conninfo, max_age_s=60) as source:
        if settings.detect == "tuples":
            yield _history(source, role)
        sound: list[SourceTable] = []
        for described in _described(source, readable):
            if isinstance(described, Diagnosis):
                yield described
                continue
            try:
                source.probe(described)
            except SourceError as error:
                yield Diagnosis("error", described.full_name, "read", str(error))
                continue
            sound.append(described)
            yield from _table(described, settings)
        if settings.large_objects:
            yield from _large_objects(source, sound)
        for line in source.not_held(sound, large_objects=settings.large_objects):
            first = line.partition(" ")[0].rstrip(":")
            yield Diagnosis("warn", "snapshot" if first == "the" else first, "not held", line)
    yield from _contents(connection, sound)


def _described(source: SourceSnapshot, chosen: Sequence[Chosen]) -> Iterator[SourceTable | Diagnosis]:
    """Look all tables up at once; if that fails, one by one, and then together those that are sound by themselves."""
    try:
        yield from source.describe_all(chosen)
        return
    except SourceError as error:
        together = error
    sound: list[Chosen] = []
    for each in chosen:
        try:
            source.describe_all([each])
        except SourceError as error:
            yield Diagnosis("error", each.name, "read", str(error))
        else:
            sound.append(each)
    if len(sound) == len(chosen):
        yield Diagnosis("error", "snapshot.tables", "read", str(together))
    elif sound:
        yield from _described(source, sound)


def _history(source: SourceSnapshot, role: str) -> Diagnosis:
    """Say whether the server tells what tuple digests rest on."""
    grants = {
        "system_identifier": f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {role}",
        "timeline": f"GRANT pg_read_all_stats TO {role}"
        if source.standby
        else f"GRANT EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) TO {role}",
    }
    unknown = [name for name in grants if getattr(source.identity, name) is None]
    if not unknown:
        return Diagnosis("pass", "snapshot", "history", Said("history_known"))
    statements = "; ".join(grants[name] for name in unknown)
    text = Said("history_unknown", facts=joined(unknown, by="names"), statement=statements)
    return Diagnosis("warn", "snapshot", "history", text)


def _table(table: SourceTable, settings: SnapshotSettings) -> Iterator[Diagnosis]:
    text = Said("readable", megabytes=f"{table.bytes / 1e6:,.1f}", part_by=table.part_by)
    yield Diagnosis("pass", table.full_name, "read", text)
    why = table.read_state and table.read_state.obstacle
    if settings.detect == "values":
        why = "snapshot.detect"
    text = Said("by_values", why=why) if why else Said("by_tuples", days=settings.recheck_days)
    yield Diagnosis("pass", table.full_name, "changes", text)
    if not table.part_by_indexed:
        yield Diagnosis("warn", table.full_name, "index", Said("unindexed", part_by=table.part_by))
    if table.kind == "materialized view":
        yield Diagnosis("warn", table.full_name, "not held", Said("materialized"))
    if table.unlogged:
        yield Diagnosis("warn", table.full_name, "not held", Said("unlogged"))


def _large_objects(source: SourceSnapshot, tables: Sequence[SourceTable]) -> Iterator[Diagnosis]:
    try:
        found = source.large_objects(tables)
    except SourceError as error:
        yield Diagnosis("error", "snapshot", "large objects", str(error))
    else:
        yield Diagnosis("pass", "snapshot", "large objects", Said("objects_readable" if found else "no_objects"))


def _contents(connection: Connection, tables: Sequence[SourceTable]) -> Iterator[Diagnosis]:
    yield Diagnosis("pass", "snapshot", "contents", Said("contents", tables=len(tables)))
    for key in connection.execute(statement("select_dangling_keys"), {"tables": [table.oid for table in tables]}):
        text = Said("dangling_key", name=key["name"], refers_to=key["refers_to"])
        yield Diagnosis("warn", key["relation"], "foreign key", text)
    things = [
        texts.Said(
            {
                "zh": f"{row['things']} {KINDS[row['kind']]}",
                "en": f"{row['things']} {row['kind']}{'s' if row['things'] > 1 else ''}",
            }
        )
        for row in connection.execute(statement("select_unrestored"))
        if row["things"]
    ]
    if things:
        yield Diagnosis(
            "warn", "snapshot", "not held", Said("unrestored", things=joined(things, by="names", most=len(things)))
        )
