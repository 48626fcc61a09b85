"""The restore drill: rebuild a snapshot in a scratch database, prove it equal to its source, and record the time.

The cause of a failure decides who is woken. The snapshot is at fault if bytes are missing or not as recorded, keys
are lost, rows violate their own schema, or values do not match the fingerprint. Everything else (network, rights,
disk, programs, extensions that the scratch server lacks) says nothing about the snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard.errors import MindGuardError, first_few
from mindguard.settings.snapshot import DrillSettings
from mindguard.snapshots.database_errors import cause
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.export.source_table import SourceTable
from mindguard.snapshots.progress import Step
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.drill_plan import DayPlan, choose_snapshot, plan_day, standing
from mindguard.snapshots.restore.load import loadable
from mindguard.snapshots.restore.materialized import UNFILLED
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault
from mindguard.snapshots.restore.whole import rebuild_unmarked
from mindguard.snapshots.storage.catalog import (
    SnapshotMissing,
    find_key,
    find_snapshot,
    has_expired,
    proven,
    snapshot_ids,
    was_taken,
)
from mindguard.snapshots.storage.drills import DrillPart, drill_parts, equal_tables, store_part
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.manifest import Column, Manifest, ManifestInvalid, Table
from mindguard.snapshots.storage.proof import Proof, ProvenTable, store_proof
from mindguard.snapshots.storage.s3_errors import ObjectMissing, StoreError, StoreFault
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import SnapshotDamaged, verify_snapshot
from mindguard.sql import identifier, joined, literal, raw, statement
from mindguard.units import counted, size

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable

_MARK = "mindguard_drill_"
_COMMENT = "mindguard: scratch database of a drill"
_MAX_SCAN_S = 6 * 3600
_MOST_LINES = 500  # of a proof
_FOREIGN_KEY_OF = " of {}: the snapshot does not hold"


class Unrestorable(MindGuardError):
    """The snapshot cannot be restored: data is lost unless another snapshot holds it."""

    severity = "P0"


class NotAllProven(MindGuardError):
    """All values are proven, but the rebuilt database is not in all else as the source was."""

    severity = "P2"


class DrillBroke(MindGuardError):
    """The drill could not be carried out; the snapshot may be perfectly good."""

    severity = "P2"


class _OtherValues(SnapshotAtFault):
    """The rows came back, but not with the values that they had in the source."""


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
    with _unless_expired(snapshot_id, store, before=now - kept_for):
        manifest = _found(snapshot_id, store, asked=asked)
        return drill(manifest, store, scratch_conninfo, now=now, connections=connections, progress=progress)


def _found(snapshot_id: str, store: Store, *, asked: bool) -> Manifest:
    missing = None
    with _as_verdict(snapshot_id):
        try:
            return find_snapshot(store, snapshot_id)
        except SnapshotMissing as error:
            if snapshot_id == "latest":
                raise DrillBroke(error.message, hint=error.hint) from error  # there is nothing that could be lost
            if not asked or was_taken(store, snapshot_id):
                raise
            missing = error
    raise missing


@contextmanager
def _unless_expired(snapshot_id: str, store: Store, *, before: datetime) -> Iterator[None]:
    """Raise SnapshotExpired instead of the block's verdict if the snapshot, taken before this time, has expired."""
    try:
        yield
    except (Unrestorable, DrillBroke, SnapshotMissing) as error:
        if isinstance(error, DrillBroke) and not isinstance(error.__cause__, ObjectMissing):
            raise
        with suppress(StoreError):  # then the verdict stays
            if has_expired(store, snapshot_id, before=before):
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
    built = _rebuilt_equal(manifest, store, scratch_conninfo, connections, progress)
    with _as_verdict(manifest.snapshot_id):
        proof = Proof(
            snapshot_id=manifest.snapshot_id,
            proven_at=now.astimezone(UTC),
            seconds=built.seconds,
            tables={table.name: built.tables[table.name] for table in manifest.tables},
            server_version=built.server_version,
            skipped=built.skipped,
            not_proven=built.not_proven[:_MOST_LINES],
        )
        _prove(proof, store, manifest, progress)
    _refuse_differences(f"all values of {manifest.snapshot_id} are proven", proof.not_proven)
    return proof


class _Built(NamedTuple):
    """Tables that were rebuilt and found equal. The attributes are those of `Proof`."""

    tables: dict[str, ProvenTable]
    seconds: float
    server_version: int
    skipped: tuple[str, ...]
    not_proven: tuple[str, ...]


def _rebuilt_equal(
    manifest: Manifest,
    store: Store,
    scratch_conninfo: str,
    connections: int,
    progress: Callable[[str], None],
) -> _Built:
    """Rebuild the manifest's tables in a database of its own, and compare every one.

    Raises:
        Unrestorable: the snapshot is at fault.
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
            recorded = {sequence.name for sequence in manifest.sequences}
            for table in manifest.tables:
                _prove_sequences(connection, table, recorded, progress)
        not_proven = (*rebuilt.not_proven, *misplaced)
    return _Built(tables, round(rebuilt.seconds, 3), server_version, rebuilt.skipped, not_proven)


def _prove(proof: Proof, store: Store, manifest: Manifest, progress: Callable[[str], None]) -> None:
    stored = store_proof(proof, store, find_key(store, manifest.snapshot_id))
    progress(
        f"proven: {manifest.snapshot_id}, {manifest.rows:,} rows in {proof.seconds:.1f} s"
        + ("" if stored else "; the proof of an earlier drill stays")
    )


def _refuse_differences(equal: str, lines: Sequence[str]) -> None:
    """Raise NotAllProven if anything differs from the source; `equal` says what does not."""
    if lines:
        raise NotAllProven(
            f"{equal}, but a database that is rebuilt from it differs: " + first_few(lines, separator="; "),
            hint="correct it in the source, or note what to do by hand after a restore; the log and the proof list all",
        )


class DrilledPart(NamedTuple):
    """What a day of a drill in parts came to.

    Attributes:
        snapshot_id: the snapshot that is being worked through.
        rebuilt: number of its tables that were rebuilt and equal, today or before.
        tables: number of its tables.
        proof: the proof, if these are all.
    """

    snapshot_id: str
    rebuilt: int
    tables: int
    proof: Proof | None

    def summary(self) -> dict[str, Any]:
        """Return plain values for XCom and the command line: those of the proof, if there is one."""
        counts = {"snapshot_id": self.snapshot_id, "rebuilt_tables": self.rebuilt, "of_tables": self.tables}
        return counts | (self.proof.model_dump(mode="json") if self.proof else {})

    def __str__(self) -> str:
        what = f"{self.rebuilt} of {counted(self.tables, 'table')} of {self.snapshot_id} are rebuilt and equal"
        return f"{what}: it is proven" if self.proof else f"{what}; it is not proven before all are"


def drill_part(
    snapshot_id: str,
    store: Store,
    scratch_conninfo: str,
    settings: DrillSettings,
    *,
    now: datetime,
    asked: bool = False,
    kept_for: timedelta = timedelta(0),
    connections: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> DrilledPart:
    """Rebuild as many tables of a snapshot as `settings` allow for a day; prove it if all others were rebuilt before.

    If a table comes back with other values, the whole snapshot is rebuilt: the values of generated columns and the
    content of large objects can depend on tables that are not part of it.

    Args:
        snapshot_id: the snapshot's id; `latest` is the one that was begun, or else the newest: see `choose_part`.
        store: see `drill`.
        scratch_conninfo: see `drill`.
        settings: `max_gb` must be given.
        now: see `drill`.
        asked: see `drill_stored`.
        kept_for: see `drill_stored`.
        connections: see `drill`.
        progress: see `drill`.

    Raises:
        SnapshotExpired, Unrestorable, NotAllProven, DrillBroke: see `drill_stored`.
    """
    with _unless_expired(snapshot_id, store, before=now - kept_for):
        manifest = _found(snapshot_id, store, asked=asked)
        if snapshot_id == "latest":
            with _as_verdict(snapshot_id):
                chosen = choose_part(manifest.snapshot_id, store, settings, now=now)
            manifest = _found(chosen, store, asked=asked)
        snapshot_id = manifest.snapshot_id
        with _as_verdict(snapshot_id):
            known = drill_parts(store).get(snapshot_id, ())
            before = standing(known, now=now, every_days=settings.every_days, damaged_at=_damaged_at(manifest, store))
        done = equal_tables(manifest, before)
        plan = plan_day(manifest, done, settings, begun=before[0].drilled_at if before else None, now=now)
        progress(_plan_in_words(plan, manifest, settings))
        parts = list(before)
        if plan.tables:
            try:
                parts.append(_drilled(manifest, plan, store, scratch_conninfo, now, connections, progress))
            except _WholeIsNeeded as error:
                progress(f"{error}: the whole snapshot is rebuilt, since values may depend on other tables")
                with _noting_fault(manifest, store, now):
                    whole = drill(
                        manifest, store, scratch_conninfo, now=now, connections=connections, progress=progress
                    )
                return DrilledPart(snapshot_id, len(manifest.tables), len(manifest.tables), whole)
        done = equal_tables(manifest, parts)
        proof: Proof | None = None
        with _as_verdict(snapshot_id):
            if len(done) == len(manifest.contents):
                proof = _proof_of_parts(manifest, parts, done, now)
                _prove(proof, store, manifest, progress)
        result = DrilledPart(
            snapshot_id, sum(table.name in done for table in manifest.tables), len(manifest.tables), proof
        )
        progress(str(result))
    if proof:
        _refuse_differences(f"all values of {snapshot_id} are proven", proof.not_proven)
    _refuse_differences(f"{result.rebuilt} of {result.tables} tables of {snapshot_id} are equal", parts[-1].not_proven)
    return result


class _WholeIsNeeded(MindGuardError):
    """Tables came back with other values while some of the snapshot's tables were not there."""


def _drilled(
    manifest: Manifest,
    plan: DayPlan,
    store: Store,
    scratch_conninfo: str,
    now: datetime,
    connections: int,
    progress: Callable[[str], None],
) -> DrillPart:
    """Rebuild the day's tables, compare them, and record the result."""
    large = manifest.large_objects if manifest.large_objects and manifest.large_objects.name in plan.tables else None
    tables = tuple(table for table in manifest.tables if table.name in plan.tables)
    part = manifest.model_copy(update={"tables": tables, "large_objects": large})

    with _noting_fault(manifest, store, now):
        try:
            built = _rebuilt_equal(part, store, scratch_conninfo, connections, progress)
        except Unrestorable as error:
            if isinstance(error.__cause__, _OtherValues) and part != manifest:
                raise _WholeIsNeeded(error.__cause__.message) from error
            raise
    found = DrillPart(
        snapshot_id=manifest.snapshot_id,
        drilled_at=now.astimezone(UTC),
        seconds=built.seconds,
        tables=built.tables,
        server_version=built.server_version,
        skipped=_of_part(built.skipped, manifest, part)[:_MOST_LINES],
        not_proven=built.not_proven[:_MOST_LINES],
    )
    with _as_verdict(manifest.snapshot_id):
        store_part(found, store)
    return found


@contextmanager
def _noting_fault(manifest: Manifest, store: Store, now: datetime) -> Iterator[None]:
    """Record that the snapshot cannot be restored, if the block finds so: the next drill takes another one."""
    try:
        yield
    except Unrestorable as error:
        fault = DrillPart(
            snapshot_id=manifest.snapshot_id,
            drilled_at=now.astimezone(UTC),
            seconds=0,
            tables={},
            server_version=0,
            fault=error.message,
        )
        with suppress(StoreError):  # without the record, the same snapshot is tried again
            store_part(fault, store)
        raise


def _of_part(lines: Iterable[str], manifest: Manifest, part: Manifest) -> tuple[str, ...]:
    """Return the lines about what a rebuild of some tables left out, without those that another part is about.

    A foreign key of a table that is not in the part is left out of that table's part as well, unless it can be checked
    there.
    """
    others = {
        _FOREIGN_KEY_OF.format(name) for table in manifest.tables if table not in part.tables for name in _names(table)
    }
    own = (line for line in lines if not any(other in line for other in others))
    return tuple(line.replace("the snapshot does not hold", "this part of the drill does not hold") for line in own)


def _names(table: Table) -> Iterator[str]:
    """Yield the table's name as a schema dump may have it, which quotes only what needs it."""
    for schema, name in product(*((each, identifier(each).as_string()) for each in table.table_name)):
        yield f"{schema}.{name}"


def _proof_of_parts(
    manifest: Manifest, parts: Sequence[DrillPart], tables: dict[str, ProvenTable], now: datetime
) -> Proof:
    """Return the proof that the parts make together. What each of them left out, none has shown."""
    left_out = [{line.partition(":")[0]: line for line in part.skipped} for part in parts]
    # A materialized view that one part could fill is filled by a restore.
    skipped = {
        subject: line
        for lines in left_out
        for subject, line in lines.items()
        if not subject.startswith(UNFILLED) or all(subject in each for each in left_out)
    }
    if len(parts) > 1:
        days = f"{parts[0].drilled_at:%Y-%m-%d} to {parts[-1].drilled_at:%Y-%m-%d}"
        skipped = {"": f"rebuilt in {counted(len(parts), 'part')}, {days}: never with all tables at once"} | skipped
    return Proof(
        snapshot_id=manifest.snapshot_id,
        proven_at=now.astimezone(UTC),
        seconds=round(sum(part.seconds for part in parts), 3),
        tables={table.name: tables[table.name] for table in manifest.tables},
        server_version=parts[-1].server_version,
        skipped=tuple(skipped.values())[:_MOST_LINES],
        not_proven=tuple(dict.fromkeys(line for part in parts for line in part.not_proven))[:_MOST_LINES],
    )


def _plan_in_words(plan: DayPlan, manifest: Manifest, settings: DrillSettings) -> str:
    if not plan.tables:
        return f"all tables of {manifest.snapshot_id} are rebuilt already"
    line = (
        f"rebuilding {len(plan.tables)} of {counted(len(manifest.contents), 'table')} of {manifest.snapshot_id}, "
        f"{size(plan.bytes)}; all will be done in {counted(plan.days, 'day')}, of {plan.days_left} left"
    )
    if plan.exceeds:
        why = (
            "a table is larger"
            if plan.days < plan.days_left
            else f"all must be done in {counted(settings.every_days, 'day')}"
        )
        line += f"; this is more than drill.max_gb ({settings.max_gb:g}), since {why}"
    return line


def choose_part(newest: str, store: Store, settings: DrillSettings, *, now: datetime) -> str:
    """Return the id of the snapshot whose tables are rebuilt today: the one that was begun, or the newest.

    Args:
        newest: id of the newest snapshot.
        store: where the snapshots are.
        settings: `every_days` limits how long a snapshot is worked through.
        now: the present time, aware.

    Raises:
        StoreError: the store could not be asked.
    """
    parts = drill_parts(store)
    begun = {}
    for each in parts.keys() & set(snapshot_ids(store)):
        with suppress(SnapshotMissing, ManifestInvalid, Unreadable):
            damaged_at = _damaged_at(find_snapshot(store, each), store)
            begun[each] = standing(parts[each], now=now, every_days=settings.every_days, damaged_at=damaged_at)
    return choose_snapshot(newest, begun, proven(store))


def _damaged_at(manifest: Manifest, store: Store) -> datetime | None:
    """Return when an object of the snapshot was last found damaged, or None if none was."""
    noted = {each.key: each.written_at for each in store.listing("damaged/")}
    keys = (key for each in manifest.objects for key in store.layout.damage_keys(each.key)) if noted else ()
    return max((noted[key] for key in keys if key in noted), default=None)


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
                raise _OtherValues(
                    f"{table.name} came back with {rows} rows and fingerprint {fingerprint[:12]}…, "
                    f"the source had {table.rows} with {table.fingerprint[:12]}…"
                )
            tables[table.name] = ProvenTable(rows=rows, fingerprint=fingerprint)
            done += table.stored_bytes
            line = f"{table.name}: {rows:,} rows, equal"
            progress(Step(line, doing="compare", what=table.name, done=done, total=manifest.stored_bytes))
        if each := manifest.large_objects:
            objects = scratch.large_objects([scratch.describe(table.name) for table in manifest.tables])
            found = scratch.fingerprint(objects) if objects else None
            if found != (each.rows, each.fingerprint):
                raise _OtherValues("the large objects came back with another content than in the source")
            tables[each.name] = ProvenTable(rows=each.rows, fingerprint=each.fingerprint)
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
