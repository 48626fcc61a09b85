"""The restore drill: rebuild a snapshot in a scratch database, prove it equal to its source, and record the time.

The cause of a failure decides who is woken. The snapshot is at fault if bytes are missing or not as recorded, keys
are lost, rows violate their own schema, or values do not match the fingerprint. Everything else (network, rights,
disk, programs, extensions that the scratch server lacks) says nothing about the snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard.errors import MindGuardError, first_few
from mindguard.snapshots.database_errors import cause
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.export.source_table import SourceTable
from mindguard.snapshots.progress import Step
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.load import loadable
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault
from mindguard.snapshots.restore.whole import rebuild_unmarked
from mindguard.snapshots.storage.catalog import SnapshotMissing, find_key, find_snapshot, has_expired, was_taken
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.manifest import Column, Manifest, ManifestInvalid, Table
from mindguard.snapshots.storage.proof import Proof, ProvenTable, store_proof
from mindguard.snapshots.storage.s3_errors import ObjectMissing, StoreError, StoreFault
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import SnapshotDamaged, verify_snapshot
from mindguard.sql import identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable

_MARK = "mindguard_drill_"
_COMMENT = "mindguard: scratch database of a drill"
_MAX_SCAN_S = 6 * 3600
_MOST_LINES = 500  # of a proof


class Unrestorable(MindGuardError):
    """The snapshot cannot be restored: data is lost unless another snapshot holds it."""

    severity = "P0"


class NotAllProven(MindGuardError):
    """All values are proven, but the rebuilt database is not in all else as the source was."""

    severity = "P2"


class DrillBroke(MindGuardError):
    """The drill could not be carried out; the snapshot may be perfectly good."""

    severity = "P2"


class SnapshotExpired(MindGuardError):
    """The snapshot expired before its drill was complete, so there is nothing to prove."""


def drill_stored(
    snapshot_id: str,
    store: Store,
    scratch_conninfo: str,
    *,
    now: datetime,
    asked: bool = False,
    kept_for: timedelta = timedelta(0),
    connections: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> Proof:
    """Find a snapshot by its id (`latest` is the newest one) and `drill` it.

    Args:
        snapshot_id: the snapshot's id, or `latest`.
        store: see `drill`.
        scratch_conninfo: see `drill`.
        now: see `drill`.
        asked: whether a person has named it, who may be mistaken: an id that has left nothing in the store is not lost.
        kept_for: age at which a snapshot may expire.
        connections: see `drill`.
        progress: see `drill`.

    Raises:
        SnapshotExpired: it expired, before the drill or during it.
        SnapshotMissing: there never was such a snapshot, as far as the store tells; only if it was `asked` for.
        Unrestorable: see `drill`; also if its manifest is gone, or cannot be trusted.
        DrillBroke: see `drill`.
    """
    missing = None
    try:
        with _as_verdict(snapshot_id):
            try:
                manifest = find_snapshot(store, snapshot_id)
            except SnapshotMissing as error:
                if snapshot_id == "latest":
                    raise DrillBroke(error.message, hint=error.hint) from error  # there is nothing that could be lost
                if not asked or was_taken(store, snapshot_id):
                    raise
                missing = error
        if missing:
            raise missing
        return drill(manifest, store, scratch_conninfo, now=now, connections=connections, progress=progress)
    except (Unrestorable, DrillBroke, SnapshotMissing) as error:
        if isinstance(error, DrillBroke) and not isinstance(error.__cause__, ObjectMissing):
            raise
        with suppress(StoreError):  # then the verdict stays
            if has_expired(store, snapshot_id, before=now - kept_for):
                raise SnapshotExpired(
                    f"snapshot {snapshot_id} has expired, so there is nothing to drill",
                    hint="`mindguard snapshot list` shows those that are kept",
                ) from error
        raise


def drill(
    manifest: Manifest,
    store: Store,
    scratch_conninfo: str,
    *,
    now: datetime,
    connections: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> Proof:
    """Rebuild the snapshot in a database of its own, compare every table, and store the proof.

    Args:
        manifest: the snapshot.
        store: where its objects are, and where the proof goes.
        scratch_conninfo: libpq connection string of the scratch server, for a role that may create databases.
        now: the present time, aware; it becomes the proof's `proven_at`.
        connections: number of parts that are loaded at the same time.
        progress: called with one line for each step.

    Raises:
        Unrestorable: the snapshot is at fault.
        NotAllProven: the values are equal, and their proof is stored, but something else differs from the source.
        DrillBroke: something else is at fault.
    """
    with _as_verdict(manifest.snapshot_id):
        store.encryption.require(manifest.keys, f"snapshot {manifest.snapshot_id}")
    with _as_verdict(manifest.snapshot_id), _scratch_database(manifest, scratch_conninfo) as conninfo:
        try:
            rebuilt = rebuild_unmarked(manifest, store, conninfo, connections=connections, progress=progress)
        except StoreFault:
            # Verify reads every object, and so finds out whether the fault concerns one object or the whole store.
            verify_snapshot(manifest, store, progress=progress).check()
            raise
        tables, server_version = _compare(manifest, conninfo, progress)
        with target.connect(conninfo) as connection:  # with an empty path, names have their schema as in the manifest
            misplaced = _misplaced(connection, manifest)
        with target.connect(conninfo, search_path=target.source_path(manifest)) as connection:
            not_proven = [*rebuilt.not_proven, *misplaced]
            recorded = {sequence.name for sequence in manifest.sequences}
            for table in manifest.tables:
                _prove_sequences(connection, table, recorded, progress)
        proof = Proof(
            snapshot_id=manifest.snapshot_id,
            proven_at=now.astimezone(UTC),
            seconds=round(rebuilt.seconds, 3),
            tables=tables,
            server_version=server_version,
            skipped=rebuilt.skipped,
            not_proven=tuple(not_proven[:_MOST_LINES]),
        )
        stored = store_proof(proof, store, find_key(store, manifest.snapshot_id))
    progress(
        f"proven: {manifest.snapshot_id}, {manifest.rows:,} rows in {proof.seconds:.1f} s"
        + ("" if stored else "; the proof of an earlier drill stays")
    )
    if lines := proof.not_proven:
        raise NotAllProven(
            f"all values of {manifest.snapshot_id} are proven, but a database that is rebuilt from it differs: "
            + first_few(lines, separator="; "),
            hint="correct it in the source, or note what to do by hand after a restore; the proof lists all",
        )
    return proof


def choose_drills(snapshot_ids: Sequence[str], newest: str, today: date) -> list[str]:
    """Choose the newest snapshot, the oldest, and one in between that changes from day to day; each once.

    Args:
        snapshot_ids: ids of all snapshots, oldest first.
        newest: the newest snapshot, which is always drilled.
        today: decides which snapshot in between is drilled.
    """
    others = [each for each in snapshot_ids if each != newest]
    between = others[1:]
    sample = [between[today.toordinal() % len(between)]] if between else []
    return [newest, *others[:1], *sample]


@contextmanager
def _as_verdict(snapshot_id: str) -> Iterator[None]:
    """Turn any expected error into one of the drill's two verdicts."""
    try:
        yield
    except (Unrestorable, NotAllProven, DrillBroke):
        raise
    except (SnapshotAtFault, SnapshotDamaged, ManifestInvalid, SnapshotMissing, Unreadable) as error:
        raise Unrestorable(
            f"snapshot {snapshot_id} cannot be restored: {error}",
            hint="take a new one now (mindguard snapshot take), keep this one, and drill the one before it",
        ) from error
    except (MindGuardError, OSError) as error:
        raise DrillBroke(
            f"the drill of {snapshot_id} broke, which says nothing about the snapshot: {error}",
            hint="correct the cause and drill again: mindguard snapshot drill",
        ) from error


@contextmanager
def _scratch_database(manifest: Manifest, conninfo: str) -> Iterator[str]:
    """Create a database for one drill, and drop it after the block, whatever happened in the block.

    Its name is made from the snapshot's id, so a second drill of the same snapshot at the same time is refused. One
    that a killed drill left is dropped first.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    name = _MARK + re.sub(r"[^a-z0-9]", "_", manifest.snapshot_id.lower())
    database = identifier(name)
    with target.connect(conninfo) as connection:
        if not target.lock(connection, statement("lock_drill", database=literal(name))):
            raise RestoreRefused(f"another drill of {manifest.snapshot_id} is running", hint="wait until it is done")
        found = connection.execute(statement("select_scratch"), {"name": name}).fetchone()
        if found and (found["used"] or found["comment"] != _COMMENT):
            raise RestoreRefused(
                f"scratch database {name} exists already",
                hint=f"somebody is using it, or made it: look, then DROP DATABASE {name}",
            )
        if found:
            connection.execute(statement("drop_database", database=database))
        try:
            connection.execute(statement("create_database", database=database))
        except psycopg.errors.InsufficientPrivilege as error:
            role = identifier(connection.info.user).as_string()
            raise RestoreRefused(
                f"role {connection.info.user} may not create a scratch database", hint=f"ALTER ROLE {role} CREATEDB"
            ) from cause(error)
        connection.execute(statement("set_database_comment", database=database, comment=literal(_COMMENT)))
        try:
            yield make_conninfo(conninfo, dbname=name)
        except BaseException as error:
            try:
                _drop(conninfo, name)
            except (MindGuardError, KeyboardInterrupt):  # the first error is the one to read
                error.add_note(f"scratch database {name} remains: DROP DATABASE {name}")
            raise
        _drop(conninfo, name)


def _drop(conninfo: str, name: str) -> None:
    with target.connect(conninfo) as connection:
        connection.execute(statement("close_sessions", database=literal(name)))
        connection.execute(statement("drop_database", database=identifier(name)))


def _compare(manifest: Manifest, conninfo: str, progress: Callable[[str], None]) -> tuple[dict[str, ProvenTable], int]:
    """Compare every rebuilt table with the manifest; return their rows and fingerprints, and the server's version.

    Raises:
        SnapshotAtFault: a table's row count or fingerprint differs.
    """
    with target.connect(conninfo) as connection:
        for table in manifest.tables:
            # Forced row-level security applies to the owner too, and would prevent the drill from reading its own rows.
            connection.execute(statement("set_unforced", table=identifier(*table.table_name)))
    tables, done = {}, 0
    with open_source(conninfo, max_age_s=_MAX_SCAN_S) as scratch:
        for table in manifest.tables:
            rows, fingerprint = scratch.fingerprint(_in_order(scratch.describe(table.name, None), table))
            if (rows, fingerprint) != (table.rows, table.fingerprint):
                raise SnapshotAtFault(
                    f"{table.name} came back with {rows} rows and fingerprint {fingerprint[:12]}…, "
                    f"the source had {table.rows} with {table.fingerprint[:12]}…"
                )
            tables[table.name] = ProvenTable(rows=rows, fingerprint=fingerprint)
            done += table.stored_bytes
            line = f"{table.name}: {rows:,} rows, equal"
            progress(Step(line, doing="compare", what=table.name, done=done, total=manifest.stored_bytes))
        if manifest.large_objects:
            objects = scratch.large_objects([scratch.describe(table.name) for table in manifest.tables])
            found = scratch.fingerprint(objects) if objects else None
            if found != (manifest.large_objects.rows, manifest.large_objects.fingerprint):
                raise SnapshotAtFault("the large objects came back with another content than in the source")
        return tables, scratch.server_version


def _in_order(rebuilt: SourceTable, table: Table) -> SourceTable:
    """Return the rebuilt table with its columns in the source's order, in which values were digested.

    The order can differ: a child's columns follow its parent's, whatever the order in which ALTER TABLE added them.
    """
    order = {column.name: number for number, column in enumerate(table.columns)}
    columns = sorted(rebuilt.source_columns, key=lambda each: order.get(each.column.name, len(order)))
    return replace(rebuilt, source_columns=tuple(columns))


def _misplaced(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest) -> list[str]:
    """Return one line for each sequence that is not where it was in the source; the rebuild names those that miss."""
    rows = connection.execute(statement("select_sequences"), {"tables": []}).fetchall()
    there = {row["name"]: identifier(row["schema"], row["relation"]) for row in rows}
    lines = []
    for each in manifest.sequences:
        if each.name in there:
            read = statement("read_sequence", relation=literal(each.name), sequence=there[each.name])
            if connection.execute(read).fetchone() != each.model_dump():
                lines.append(f"sequence {each.name}: not at the source's position")
    return lines


def _prove_sequences(
    connection: psycopg.Connection[dict[str, Any]],
    table: Table,
    recorded: Collection[str],
    progress: Callable[[str], None],
) -> None:
    """Insert a copy of one row with numbers from the sequences, and roll back: each next number must be free.

    Args:
        connection: a connection to the rebuilt database.
        table: the snapshot's table.
        recorded: names of the sequences that stand where the source's stood. They may be behind the rows, as there.
        progress: called with one line for each of these that is.

    Raises:
        SnapshotAtFault: another sequence is behind the rows.
    """
    fed = [column for column in table.columns if _is_fed(column)]
    if not fed:
        return
    relation = identifier(*table.table_name)
    with connection.transaction(force_rollback=True):
        connection.execute(statement("set_triggers_off", table=relation))
        copied = [column for column in loadable(table.columns) if column not in fed]
        expected = _insert_copy(connection, relation, copied)
        for column in fed:
            feeding = statement(
                "select_feeding_sequence", relation=literal(relation.as_string()), column=literal(column.name)
            )
            found = connection.execute(feeding).fetchone()
            if not found:
                continue
            row = connection.execute(
                statement(
                    "count_number",
                    table=relation,
                    key=identifier(column.name),
                    number=raw(expected.function),
                    sequence=literal(found["sequence"]),
                )
            ).fetchone()
            if row and row["count"] > expected.rows:
                if found["sequence"] not in recorded:
                    raise SnapshotAtFault(f"the sequence of {table.name}.{column.name} is behind the rows")
                progress(f"the sequence of {table.name}.{column.name} is behind the rows, as it was in the source")


class _ExpectedNumber(NamedTuple):
    """A number of a sequence, and the number of rows that have it if it was free.

    Attributes:
        function: `currval` for the number that the sequence gave last, `nextval` for the one that it gives next.
        rows: number of rows that have the number if it was free.
    """

    function: Literal["currval", "nextval"]
    rows: int


def _insert_copy(
    connection: psycopg.Connection[dict[str, Any]], relation: Composable, copied: list[Column]
) -> _ExpectedNumber:
    """Try to insert a copy of a row; return the number to look for afterwards.

    The copy may violate another unique key. Its number was nevertheless free if no row has it.
    """
    import psycopg

    names = joined(", ", [identifier(column.name) for column in copied])
    insert = statement("insert_copy", table=relation, names=names)
    try:
        with connection.transaction():
            inserted = connection.execute(insert if copied else statement("insert_defaults", table=relation)).rowcount
    except psycopg.errors.IntegrityError:
        return _ExpectedNumber("currval", 0)
    return _ExpectedNumber("currval", 1) if inserted else _ExpectedNumber("nextval", 0)


def _is_fed(column: Column) -> bool:
    """Return whether a sequence feeds the column."""
    return bool(column.identity or (column.default or "").startswith("nextval("))
