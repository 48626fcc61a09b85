"""The restore drill: rebuild a snapshot in a scratch database, prove it equal to its source, and record the time.

The cause of a failure decides who is woken. The snapshot is at fault if bytes are missing or not as recorded, keys
are lost, rows violate their own schema, or values do not match the fingerprint. Everything else (network, rights,
disk, programs, extensions that the scratch server lacks) says nothing about the snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard.errors import MindGuardError
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.load import loadable
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.catalog import SnapshotMissing, find_key, find_snapshot, has_expired
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
_MAX_SCAN_S = 6 * 3600


class Unrestorable(MindGuardError):
    """The snapshot cannot be restored: data is lost unless another snapshot holds it."""

    severity = "P0"


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
        kept_for: age at which a snapshot may expire.
        connections: see `drill`.
        progress: see `drill`.

    Raises:
        SnapshotExpired: it expired, before the drill or during it.
        Unrestorable: see `drill`; also if there is no such snapshot, or its manifest cannot be trusted.
        DrillBroke: see `drill`.
    """
    try:
        with _as_verdict(snapshot_id):
            try:
                manifest = find_snapshot(store, snapshot_id)
            except SnapshotMissing as error:
                if snapshot_id != "latest":
                    raise
                raise DrillBroke(error.message, hint=error.hint) from error  # there is nothing that could be lost
        return drill(manifest, store, scratch_conninfo, now=now, connections=connections, progress=progress)
    except (Unrestorable, DrillBroke) as error:
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
        DrillBroke: something else is at fault.
    """
    with _as_verdict(manifest.snapshot_id):
        store.encryption.require(manifest.keys, f"snapshot {manifest.snapshot_id}")
    with _as_verdict(manifest.snapshot_id), _scratch_database(manifest, scratch_conninfo) as conninfo:
        try:
            rebuilt = rebuild(manifest, store, conninfo, connections=connections, progress=progress)
        except StoreFault:
            # Verify reads every object, and so finds out whether the fault concerns one object or the whole store.
            verify_snapshot(manifest, store, progress=progress).check()
            raise
        tables, server_version = _compare(manifest, conninfo, progress)
        with target.connect(conninfo) as connection:
            for table in manifest.tables:
                _prove_sequences(connection, table)
        proof = Proof(
            snapshot_id=manifest.snapshot_id,
            proven_at=now.astimezone(UTC),
            seconds=round(rebuilt.seconds, 3),
            tables=tables,
            server_version=server_version,
            skipped=rebuilt.skipped,
        )
        stored = store_proof(proof, store, find_key(store, manifest.snapshot_id))
    progress(
        f"proven: {manifest.snapshot_id}, {manifest.rows:,} rows in {proof.seconds:.1f} s"
        + ("" if stored else "; the proof of an earlier drill stays")
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
    except (Unrestorable, DrillBroke):
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

    Its name is made from the snapshot's id, so a second drill of the same snapshot at the same time is refused.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    name = _MARK + re.sub(r"[^a-z0-9]", "_", manifest.snapshot_id.lower())
    database = identifier(name)
    with target.connect(conninfo) as connection:
        try:
            connection.execute(statement("create_database", database=database))
        except psycopg.errors.DuplicateDatabase as error:
            raise RestoreRefused(
                f"scratch database {name} exists already",
                hint=f"another drill is using it, or one was killed: then DROP DATABASE {name}",
            ) from error
    try:
        yield make_conninfo(conninfo, dbname=name)
    except BaseException:
        with suppress(MindGuardError):  # the first error is the one to read
            _drop(conninfo, database)
        raise
    _drop(conninfo, database)


def _drop(conninfo: str, database: Composable) -> None:
    with target.connect(conninfo) as connection:
        connection.execute(statement("drop_database", database=database))


def _compare(manifest: Manifest, conninfo: str, progress: Callable[[str], None]) -> tuple[dict[str, ProvenTable], int]:
    """Compare every rebuilt table with the manifest; return their rows and fingerprints, and the server's version.

    Raises:
        SnapshotAtFault: a table's row count or fingerprint differs.
    """
    with target.connect(conninfo) as connection:
        for table in manifest.tables:
            # Forced row-level security applies to the owner too, and would prevent the drill from reading its own rows.
            connection.execute(statement("set_unforced", table=identifier(*table.table_name)))
    tables = {}
    with open_source(conninfo, max_age_s=_MAX_SCAN_S) as scratch:
        for table in manifest.tables:
            rows, fingerprint = scratch.fingerprint(scratch.describe(table.name, None))
            if (rows, fingerprint) != (table.rows, table.fingerprint):
                raise SnapshotAtFault(
                    f"{table.name} came back with {rows} rows and fingerprint {fingerprint[:12]}…, "
                    f"the source had {table.rows} with {table.fingerprint[:12]}…"
                )
            tables[table.name] = ProvenTable(rows=rows, fingerprint=fingerprint)
            progress(f"{table.name}: {rows:,} rows, equal")
        return tables, scratch.server_version


def _prove_sequences(connection: psycopg.Connection[dict[str, Any]], table: Table) -> None:
    """Insert a copy of one row with numbers from the sequences, and roll back: each next number must be free.

    Raises:
        SnapshotAtFault: a sequence is behind the rows.
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
            row = connection.execute(
                statement(
                    "count_number",
                    table=relation,
                    key=identifier(column.name),
                    number=raw(expected.function),
                    relation=literal(relation.as_string()),
                    column=literal(column.name),
                )
            ).fetchone()
            if row and row["count"] > expected.rows:
                raise SnapshotAtFault(f"the sequence of {table.name}.{column.name} is behind the rows")


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
