"""The restore drill: rebuild a snapshot in a scratch database, prove that it is equal, record how long that took.

Whose fault a failure is decides who is woken. The snapshot's: bytes that are missing or not as recorded, keys that
are lost, rows that their own schema refuses, values that are not the fingerprint's. Everything else (network, rights,
disk, programs, extensions that the scratch server lacks) says nothing about the snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from mindguard.errors import MindGuardError
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.load import loadable
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.catalog import SnapshotMissing, find_key, find_snapshot
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.manifest import Column, Manifest, ManifestInvalid, Table
from mindguard.snapshots.storage.proof import Proof, ProvenTable, store_proof
from mindguard.snapshots.storage.s3_errors import StoreFault
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
    """The drill could not be held; the snapshot may be perfectly good."""

    severity = "P2"


def drill_stored(
    snapshot_id: str,
    store: Store,
    scratch_conninfo: str,
    *,
    now: datetime,
    connections: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> Proof:
    """`drill` by a snapshot's id; `latest` is the newest one.

    Raises:
        Unrestorable: also when there is no such snapshot, or its manifest cannot be trusted.
        DrillBroke: see `drill`.
    """
    with _blamed(snapshot_id):
        manifest = find_snapshot(store, snapshot_id)
    return drill(manifest, store, scratch_conninfo, now=now, connections=connections, progress=progress)


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
        scratch_conninfo: libpq connection string of the scratch server, as a role that may create databases.
        now: aware; becomes the proof's `proven_at`.
        connections: parts loaded at once.
        progress: told one line a step.

    Raises:
        Unrestorable: the snapshot is at fault.
        DrillBroke: anything else is.
    """
    with _blamed(manifest.snapshot_id):
        store.encryption.require(manifest.keys, f"snapshot {manifest.snapshot_id}")
    with _blamed(manifest.snapshot_id), _scratch_database(manifest, scratch_conninfo) as conninfo:
        try:
            rebuilt = rebuild(manifest, store, conninfo, connections=connections, progress=progress)
        except StoreFault:
            # With one object or with all? Verify reads every one.
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
    """The newest snapshot, the oldest, and one in between that changes from day to day; each once; pure.

    Args:
        snapshot_ids: of all snapshots, oldest first.
        newest: the one that is drilled whatever else is.
        today: decides which one in between.
    """
    others = [each for each in snapshot_ids if each != newest]
    between = others[1:]
    sample = [between[today.toordinal() % len(between)]] if between else []
    return [newest, *others[:1], *sample]


@contextmanager
def _blamed(snapshot_id: str) -> Iterator[None]:
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
            hint="put that right and drill again: mindguard snapshot drill",
        ) from error


@contextmanager
def _scratch_database(manifest: Manifest, conninfo: str) -> Iterator[str]:
    """A new database for one drill, dropped after the block whatever happens in it.

    The name is the snapshot's, so that two drills of one snapshot cannot disturb each other.
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
    """Rows and fingerprint of every rebuilt table, all equal to the manifest's; and the server's version.

    Raises:
        SnapshotAtFault: one is not.
    """
    with target.connect(conninfo) as connection:
        for table in manifest.tables:
            # Forced row-level security binds the owner too, and would keep the drill from reading its own rows.
            connection.execute(statement("set_unforced", table=identifier(*table.name.split(".", 1))))
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
    """Insert a copy of one row, fed by the sequences, and undo it: the next number must be free.

    Raises:
        SnapshotAtFault: a sequence stands behind the rows.
    """
    fed = [column for column in table.columns if _is_fed(column)]
    if not fed:
        return
    relation = identifier(*table.name.split(".", 1))
    with connection.transaction(force_rollback=True):
        connection.execute(statement("set_triggers_off", table=relation))
        number, expected = _insert_copy(connection, relation, [c for c in loadable(table.columns) if c not in fed])
        for column in fed:
            row = connection.execute(
                statement(
                    "count_number",
                    table=relation,
                    key=identifier(column.name),
                    number=raw(number),
                    relation=literal(relation.as_string()),
                    column=literal(column.name),
                )
            ).fetchone()
            if row and row["count"] > expected:
                raise SnapshotAtFault(f"the sequence of {table.name}.{column.name} stands behind the rows")


def _insert_copy(
    connection: psycopg.Connection[dict[str, Any]], relation: Composable, copied: list[Column]
) -> tuple[str, int]:
    """Try to insert a copy of a row; gives the function that tells the sequence's number to look for, and how many
    rows have it if it was free. A copy may break a unique key of its own: then the number is free when none has it."""
    import psycopg

    names = joined(", ", [identifier(column.name) for column in copied])
    insert = statement("insert_copy", table=relation, names=names)
    try:
        with connection.transaction():
            inserted = connection.execute(insert if copied else statement("insert_defaults", table=relation)).rowcount
    except psycopg.errors.IntegrityError:
        return "currval", 0
    return ("currval", 1) if inserted else ("nextval", 0)


def _is_fed(column: Column) -> bool:
    return bool(column.identity or (column.default or "").startswith("nextval("))
