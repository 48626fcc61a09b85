"""Rebuild a whole snapshot in an empty database: schema, rows, constraints and indexes, sequences."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindguard import postgres_session
from mindguard.errors import MindGuardError, first_few
from mindguard.snapshots.database_errors import described
from mindguard.snapshots.restore import materialized, target
from mindguard.snapshots.restore.constraints import add_check, set_aside
from mindguard.snapshots.restore.load import Job, Loaded, fetch, load
from mindguard.snapshots.restore.schema_dump import ArchiveEntry, SchemaDump, not_for_scratch
from mindguard.snapshots.restore.shape import create_from_manifest
from mindguard.snapshots.restore.structure import differences
from mindguard.snapshots.restore.target import TargetError
from mindguard.snapshots.storage.manifest import Manifest, Table, TableName, as_arrays
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.tempdisk import temporary_folder
from mindguard.sql import identifier, literal, raw, statement
from mindguard.units import counted, size

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt snapshot.

    Attributes:
        snapshot_id: the snapshot's id.
        tables: the loaded rows and parts, by table name.
        skipped: one line for each object that was left out on purpose, with the reason.
        seconds: duration of the rebuild.
        not_proven: one line for each object that is not as it was in the source.
        notes: one line for each thing that is left to do.
    """

    snapshot_id: str
    tables: dict[str, Loaded]
    skipped: tuple[str, ...]
    seconds: float
    not_proven: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return plain values for JSON and XCom."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}

    def lines(self) -> list[str]:
        """Return the result as lines for a person."""
        lines = [
            f"{name}: {counted(loaded.rows, 'row')} from {counted(loaded.parts, 'part')}"
            for name, loaded in self.tables.items()
        ]
        lines += [f"left out: {line}" for line in self.skipped]
        lines += [f"not as in the source: {line}" for line in self.not_proven]
        lines += self.notes
        return [*lines, f"snapshot {self.snapshot_id} rebuilt in {self.seconds:.1f} s"]


def plan_rebuild(manifest: Manifest, conninfo: str) -> list[str]:
    """Return the plan of a rebuild, as lines for a person; change nothing.

    Raises:
        RestoreRefused: the database is not empty, is the source, or the role may not create anything in it.
    """
    with target.connect(conninfo) as connection:
        target.refuse_source(connection, manifest)
        target.refuse_filled(connection)
        target.refuse_unwritable(connection)
        return [
            f"snapshot {manifest.snapshot_id} into the empty database {connection.info.dbname}",
            *(
                f"{table.name}: read {counted(len(table.parts), 'part')}, {size(table.stored_bytes)}, "
                f"{counted(table.rows, 'row')}"
                for table in manifest.tables
            ),
            f"then constraints, indexes and {len(manifest.sequences)} sequences",
        ]


def rebuild(
    manifest: Manifest,
    store: Store,
    conninfo: str,
    *,
    connections: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> Rebuilt:
    """Restore the whole snapshot into an empty database.

    The schema is that of the whole source database, so it contains other tables too, which stay empty. A foreign
    key to one of these tables cannot hold and is left out; `skipped` names it with all else that was left out.

    Args:
        manifest: the snapshot.
        store: where its objects are.
        conninfo: libpq connection string of the database, for a role that may create objects in it.
        connections: number of parts that are loaded, and later of indexes that are built, at the same time.
        progress: called with one line for each step.

    Raises:
        RestoreRefused: the database is not empty, is the source, or the role may not create anything in it.
        KeyMissing: the key ring lacks a key; nothing was connected to.
        SnapshotAtFault, SealBroken: the tables cannot be rebuilt from the stored objects.
        TargetError, StoreError, ToolFailed, DiskFull: something else is at fault.
    """
    store.encryption.require(manifest.keys, f"snapshot {manifest.snapshot_id}")
    with target.connect(conninfo) as connection:
        target.refuse_source(connection, manifest)
        target.refuse_filled(connection)
        target.refuse_unwritable(connection)
    with _marked(conninfo, manifest, progress):
        rebuilt = rebuild_unmarked(manifest, store, conninfo, connections=connections, progress=progress)
    with suppress(MindGuardError), target.connect(conninfo) as connection:  # the restore is complete without it
        if note := target.other_path(connection, manifest):
            progress(note)
            return replace(rebuilt, notes=(note,))
    return rebuilt


@contextmanager
def _marked(conninfo: str, manifest: Manifest, progress: Callable[[str], None]) -> Iterator[None]:
    """Mark the database as unfinished while the block runs; if it fails, say what is left and how to remove it."""
    mark = f"{target.MARK} of snapshot {manifest.snapshot_id}, begun at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    with target.connect(conninfo) as connection:
        name = connection.info.dbname
        _comment(connection, mark)
    try:
        yield
    except BaseException as error:
        left = _left(conninfo, name)
        progress(left)
        if isinstance(error, MindGuardError):
            error.hint = "; ".join(filter(None, [error.hint, left]))
        raise
    with target.connect(conninfo) as connection:
        _comment(connection, None)


def _left(conninfo: str, name: str) -> str:
    """Return what a rebuild that failed has left. A database that cannot be asked may hold part of the snapshot."""
    with suppress(MindGuardError), target.connect(conninfo) as connection:
        found = connection.execute(statement("select_contents")).fetchone()
        if not found or not found["things"]:
            _comment(connection, None)
            return f"database {name} is empty, as before"
    return f"database {name} holds part of the snapshot now: {target.sql_to_empty(name)}"


def _comment(connection: psycopg.Connection[dict[str, Any]], text: str | None) -> None:
    """Set the database's comment, if the role owns the database."""
    import psycopg

    with suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute(
            statement("set_database_comment", database=identifier(connection.info.dbname), comment=literal(text))
        )


def rebuild_unmarked(
    manifest: Manifest,
    store: Store,
    conninfo: str,
    *,
    connections: int,
    progress: Callable[[str], None],
) -> Rebuilt:
    """Do what `rebuild` does, in a database that its caller made and will drop."""
    began = time.monotonic()
    path = target.source_path(manifest)
    with target.connect(conninfo) as connection, temporary_folder() as folder:
        target.refuse_source(connection, manifest)
        target.refuse_filled(connection)
        dump_file = folder / "schema.dump"
        with dump_file.open("w+b") as file:
            fetch(manifest.schema_dump, store, file)
        dump_file.write_bytes(store.encryption.open(manifest.schema_dump.key, dump_file.read_bytes()))
        dump = SchemaDump(dump_file)
        programs = postgres_session.unlimited(conninfo, connection)
        extensions = connection.execute(statement("select_extensions")).fetchall()
        refused = not_for_scratch(dump.entries, (row["name"] for row in extensions))
        refused |= {
            entry: f"it needs {needed}, which is left out"
            for entry, needed in dump.depending_on(refused).items()
            if not _is_listed(entry, manifest)
        }
        views = _views(dump, manifest)
        progress(f"schema: {len(dump.entries)} objects, {len(refused)} left out")
        skipped = [f"{entry}: {why}" for entry, why in refused.items()]
        comments = dump.comments_on(views, "MATERIALIZED VIEW")
        without = {*refused, *views, *comments}
        failed = dump.restore("pre-data", programs, without=without)
        not_proven: list[str] = []
        for entry, table in views.items():
            not_proven += create_from_manifest(connection, manifest, table, *table.table_name)
            skipped.append(f"{entry}: a plain table holds its rows as they were")
        dump.comment_on_tables(connection, comments)
        retried = dump.retry(failed, conninfo, path)
        filled = _filled(connection, manifest, dump, retried.not_made)
        checks = set_aside(connection)
        jobs = [Job(table, identifier(*table.table_name), table.parts) for table in manifest.tables]
        computed = {TableName(**row) for row in connection.execute(statement("select_computed_tables"))}
        last = [job for job in jobs if job.table.table_name in computed]
        loaded: dict[str, Loaded] = {}
        for wave in ([job for job in jobs if job not in last], last):
            if wave:
                loaded |= load(wave, store, conninfo, connections=connections, progress=progress, search_path=path)
        if manifest.large_objects:
            _create_objects(connection, manifest.large_objects, store, conninfo, connections, progress)
        progress(f"{sum(each.rows for each in loaded.values()):,} rows loaded; building indexes and constraints")
        dangling = {key.entry: key for key in dump.foreign_keys() if key.points_at not in filled}
        skipped += [
            f"foreign key {key.name} of {key.table}: the snapshot does not hold {'.'.join(key.points_at)}"
            for key in dangling.values()
        ]
        without |= {*dangling, *retried.not_made}
        with _unforced(connection):
            failed = dump.restore("post-data", programs, without=without, jobs=connections)
            again = dump.retry(failed, conninfo, path)
            with target.under_path(connection, path):
                unchecked = {check.name: note for check in checks if (note := add_check(connection, check))}
        denied = retried.denied | again.denied
        consequences = {*denied, *dump.depending_on(denied)}
        skipped += [
            f"{entry}: {why}" for entry, why in (retried.not_made | again.not_made).items() if entry in consequences
        ]
        not_proven += [
            f"{entry}: {why}" for entry, why in (retried.failed | again.failed).items() if entry not in consequences
        ]
        not_proven += [*retried.notes, *again.notes, *unchecked.values()]
        not_proven += _set_sequences(connection, manifest)
        foreign_tables = any(entry.is_a("FOREIGN TABLE") for entry in refused)
        views_filled = materialized.fill(connection, manifest, filled, path, foreign_tables=foreign_tables)
        if views_filled.refreshed:
            progress(f"refreshed: {first_few(views_filled.refreshed)}")
        skipped += views_filled.unfilled
        not_proven += views_filled.failed
        seconds = time.monotonic() - began
        without |= again.not_made.keys()
        not_proven += _differences(dump, programs, folder, without, unchecked, not_proven)
    for line in skipped:
        progress(f"left out: {line}")
    for line in not_proven:
        progress(f"not as in the source: {line}")
    return Rebuilt(manifest.snapshot_id, loaded, tuple(skipped), seconds, tuple(not_proven))


def _create_objects(
    connection: psycopg.Connection[dict[str, Any]],
    objects: Table,
    store: Store,
    conninfo: str,
    connections: int,
    progress: Callable[[str], None],
) -> None:
    """Load the large objects into a table beside the others, make them of its rows, and drop it."""
    namespace = "mindguard_large_objects"
    connection.execute(statement("create_schema", namespace=identifier(namespace)))
    table = identifier(namespace, "loaded")
    connection.execute(statement("create_table", table=table, definitions=raw("loid oid, data bytea")))
    load([Job(objects, table, objects.parts)], store, conninfo, connections=connections, progress=progress)
    connection.execute(statement("create_objects", table=table))
    connection.execute(statement("drop_table", table=table))
    connection.execute(statement("drop_schema", namespace=identifier(namespace)))


def _differences(
    dump: SchemaDump,
    conninfo: str,
    folder: Path,
    without: Collection[ArchiveEntry],
    unchecked: Collection[str],
    known: Sequence[str],
) -> list[str]:
    """Return how the schema differs from the source's; a comparison that fails does not undo the rebuild."""
    try:
        found = differences(dump, conninfo, folder, without=without, known=unchecked)
    except MindGuardError as error:
        return [f"the schema could not be compared with the source's: {error}"]
    return [line for line in found if not any(each.startswith(line.partition(":")[0]) for each in known)]


def _set_sequences(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest) -> list[str]:
    """Set all sequences to their recorded positions; return one line for each that is not there."""
    import psycopg

    lines = []
    for sequence in manifest.sequences:
        position = {"value": literal(sequence.last_value), "called": literal(sequence.is_called)}
        try:
            connection.execute(statement("set_sequence", sequence=literal(sequence.name), **position))
        except psycopg.errors.ProgrammingError as error:
            lines.append(f"sequence {sequence.name}: {described(error)}")
    return lines


def _is_listed(entry: ArchiveEntry, manifest: Manifest) -> bool:
    """Return whether the entry is a table of the snapshot, which must not be left out quietly."""
    return any(entry.text.startswith(f"TABLE {table.name.replace('.', ' ', 1)} ") for table in manifest.tables)


def remains(conninfo: str) -> str:
    """Return what a rebuild that was stopped has left in its database, and how to get rid of it.

    Raises:
        TargetError: the database could not be asked.
    """
    with target.connect(conninfo) as connection:
        database = connection.info.dbname
        found = connection.execute(statement("select_contents")).fetchone()
    if not found or not found["things"]:
        return f"database {database} is empty, as before"
    more = f" and {found['things'] - 1} more" if found["things"] > 1 else ""
    return f"database {database} is filled in part ({found['example']}{more}): drop it and create it again"


def _views(dump: SchemaDump, manifest: Manifest) -> dict[ArchiveEntry, Table]:
    """Return the entries that make the snapshot's materialized views."""
    found: dict[ArchiveEntry, Table] = {}
    for table in manifest.tables:
        if table.kind == "materialized view":
            text = f"MATERIALIZED VIEW {table.name.replace('.', ' ', 1)}"
            # The owner's name comes last, and both names can have spaces.
            named = [entry for entry in dump.entries if entry.text.startswith(f"{text} ")]
            exactly = [entry for entry in named if entry.text.rpartition(" ")[0] == text]
            found |= dict.fromkeys(exactly or named, table)
    return found


def _filled(
    connection: psycopg.Connection[dict[str, Any]],
    manifest: Manifest,
    dump: SchemaDump,
    failed: dict[ArchiveEntry, str],
) -> set[TableName]:
    """Return every table that will have rows: the snapshot's tables and their partitions.

    Raises:
        TargetError: a table of the snapshot could not be created.
    """
    rows = connection.execute(statement("select_members"), as_arrays(table.name for table in manifest.tables))
    filled = {TableName(row["schema"], row["name"]) for row in rows}
    for table in manifest.tables:
        if table.table_name not in filled:
            causes = [f"{each}: {failed[each]}" for each in dump.causes(table.table_name, failed) or failed]
            raise TargetError(
                f"{table.name} could not be created: {first_few(causes, most=3, separator='; ')}",
                hint="install on the target's server what it lacks, or connect as a role that may create it, "
                "then run again in an empty database",
            )
    return filled


@contextmanager
def _unforced(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[None]:
    """Lift forced row-level security while the block runs.

    Forced row-level security applies to the owner too, and would prevent foreign keys from being checked.
    """
    forced = [identifier(row["schema"], row["name"]) for row in connection.execute(statement("select_forced"))]
    for table in forced:
        connection.execute(statement("set_unforced", table=table))
    try:
        yield
    finally:
        for table in forced:
            connection.execute(statement("set_forced", table=table))
