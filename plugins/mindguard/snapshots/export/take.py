"""Take a snapshot: plan, fingerprint, export what is not stored yet, read it back, and publish the manifest last."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from mindguard.errors import MindGuardError
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.exporter import Exporter, TableProgress
from mindguard.snapshots.export.gate import ADVICE, suspicions
from mindguard.snapshots.export.reuse import Reuse
from mindguard.snapshots.export.source import Chosen, SourceSnapshot, open_source
from mindguard.snapshots.export.source_errors import TuplesContradicted
from mindguard.snapshots.export.source_table import SourceTable
from mindguard.snapshots.progress import Progress
from mindguard.snapshots.storage import manifest
from mindguard.snapshots.storage.catalog import find_unlisted, id_of, newest_snapshot, read_manifest, read_snapshots
from mindguard.snapshots.storage.doubt import Doubt, store_doubt
from mindguard.snapshots.storage.encryption import KeyMissing, KeyRingInvalid, Unreadable, sealed_with
from mindguard.snapshots.storage.layout import run_of
from mindguard.snapshots.storage.manifest import Manifest, ManifestInvalid, StoredObject, Table
from mindguard.snapshots.storage.s3_errors import ObjectMissing, StoreError
from mindguard.snapshots.storage.store import Store
from mindguard.units import counted, size


@dataclass
class Taken:
    """A published snapshot, and figures of the run that took it.

    Attributes:
        manifest: the published manifest.
        key: its key in the store.
        seconds: duration of the whole run.
        tables: progress by full table name.
        source_bytes: size of the tables in the source.
        contradicted: the table whose values had changed although its tuple digest had not; None if there was none.
    """

    manifest: Manifest
    key: str
    seconds: float
    tables: dict[str, TableProgress]
    source_bytes: int
    contradicted: str | None = None

    @property
    def mb_per_s(self) -> float:
        """Megabytes (10^6 bytes) of source tables secured per second, whether read or reused."""
        return self.source_bytes / 1e6 / max(self.seconds, 1e-9)

    def summary(self) -> dict[str, Any]:
        """Return a few numbers for XCom, the command line and reports; no rows."""
        return {
            "snapshot_id": self.manifest.snapshot_id,
            "status": self.manifest.status,
            "quarantined_for": list(self.manifest.quarantined_for),
            "not_held": list(self.manifest.not_held),
            "key": self.key,
            "taken_at": self.manifest.taken_at.isoformat(),
            "seconds": round(self.seconds, 3),
            "source_bytes": self.source_bytes,
            "contradicted": self.contradicted,
            "tables": {
                name: {
                    "rows": table.rows,
                    "parts_written": table.parts_written,
                    "parts_reused": table.parts_reused,
                    "bytes": table.bytes,
                }
                for name, table in self.tables.items()
            },
        }


def take_snapshot(
    conninfo: str,
    store: Store,
    settings: SnapshotSettings,
    *,
    now: datetime,
    zone: ZoneInfo,
    logical_date: datetime | None = None,
    recheck: bool = False,
    progress: Progress = lambda line: None,
) -> Taken:
    """Take one snapshot of all tables in the settings and publish its manifest.

    Args:
        conninfo: libpq connection string of the source.
        store: where parts and manifest go.
        settings: tables, part size, number of connections, maximum age.
        now: the present time, aware; it becomes the snapshot's `taken_at`.
        zone: time zone whose day names the manifest's folder.
        logical_date: logical date of the DAG run, aware. It is only recorded: the rows are those of `now`.
        recheck: read all values, also those that no transaction has changed since the last snapshot.
        progress: called with one line for each step.

    Raises:
        KeyRingInvalid: the key ring is not the one of the newest snapshot; nothing was read.
        SourceError, StoreError, PartMismatch, DiskFull, Stopped: nothing was published; parts that were stored
            stay, and the next run finds them by content.
        ReuseUnsafe: reused objects may have expired meanwhile.
    """
    started = time.monotonic()
    if logical_date and now - logical_date > timedelta(hours=26):
        progress(
            f"the run's logical date is {logical_date.isoformat()}; "
            f"this snapshot holds the rows of now, {now.isoformat()}"
        )
    store.check_access()
    if settings.object_lock:
        store = store.locking(settings.object_lock, now + timedelta(days=settings.retention.days))
    _check_key_ring(store, [table.name for table in settings.tables])
    previous = newest_snapshot(store, progress=progress)
    unreadable: list[MindGuardError] = []
    is_good = previous is not None and not previous.quarantined_for
    last_good = previous if is_good else newest_snapshot(store, good=True, unreadable=unreadable.append)
    if previous is None:
        _refuse_left_out(store)
    taken_at = now.astimezone(UTC).replace(microsecond=0)
    chosen = [Chosen(table.name, table.part_by, table.inherited) for table in settings.tables]
    limits = {"max_age_s": settings.max_age_minutes * 60, "lock_timeout_s": settings.lock_timeout_s}
    with open_source(conninfo, chosen, **limits) as source:
        source.hasten_durability()
        described = source.tables
        objects = source.large_objects(described) if settings.large_objects else None
        not_held = source.not_held(described, large_objects=bool(objects))
        for line in not_held:
            progress(line)
        contents = [*described, objects] if objects else described
        contradicted: str | None = None
        export = partial(_export, source, store, settings, (previous, last_good), contents, taken_at, progress)
        try:
            exported = export(by_value=settings.detect == "values", recheck=recheck)
        except TuplesContradicted as error:
            contradicted = error.table
            progress(f"{error.message}: the values of all tables are read now")
            _doubt_earlier(store, contradicted, taken_at, progress)
            exported = export(by_value=True)
        enums, sequences = source.enums(described), source.sequences(described)
        source.check_unchanged(described)
    tables = exported.tables
    result = Manifest(
        snapshot_id=exported.snapshot_id,
        taken_at=taken_at,
        logical_date=logical_date,
        source=source.identity,
        tables=tuple(tables[: len(described)]),
        large_objects=tables[-1] if objects else None,
        enums=enums,
        sequences=sequences,
        schema_dump=exported.schema_dump,
        not_held=not_held,
        # A key that was destroyed on purpose is none of the reasons: see `_check_key_ring`.
        quarantined_for=suspicions(
            tables,
            last_good,
            settings.gate,
            unreadable=any(not isinstance(error, KeyMissing) for error in unreadable),
        ),
        keys=store.encryption.needed_keys(part.key for table in tables for part in table.parts),
    )
    exported.reuse.check_before_publishing()
    key = publish(result, store, zone)
    exported.reuse.check_after_publishing()
    source_bytes = sum(table.bytes for table in described)
    taken = Taken(result, key, time.monotonic() - started, exported.progress, source_bytes, contradicted)
    for reason in result.quarantined_for:
        progress(f"QUARANTINED: {reason} – {ADVICE}")
    progress(
        f"published {result.snapshot_id}: {counted(result.rows, 'row')}, {counted(len(result.parts), 'part')}, "
        f"{size(result.stored_bytes)} stored, {taken.seconds:.1f} s, {taken.mb_per_s:,.0f} MB/s of source"
    )
    return taken


class _Exported(NamedTuple):
    """What is stored of a snapshot that is not published yet."""

    snapshot_id: str
    reuse: Reuse
    tables: list[Table]
    schema_dump: StoredObject
    progress: dict[str, TableProgress]


def _export(
    source: SourceSnapshot,
    store: Store,
    settings: SnapshotSettings,
    bases: tuple[Manifest | None, Manifest | None],
    contents: list[SourceTable],
    taken_at: datetime,
    progress: Progress,
    *,
    by_value: bool,
    recheck: bool = False,
) -> _Exported:
    """Store the contents under a new snapshot's id; what an attempt before this one has stored is found and reused."""
    snapshot_id = manifest.new_snapshot_id(taken_at, secrets.token_hex(3))
    reuse = Reuse(store, settings, bases, run=run_of(snapshot_id))
    exporter = Exporter(
        source, store, settings, bases[0], reuse, now=taken_at, by_value=by_value, recheck=recheck, progress=progress
    )
    tables, schema_dump = exporter.run(contents)
    if not source.wait_until_durable():
        progress("the server's log is not on its disk yet, or tells nothing: the next snapshot reads all values")
        tables = [table.model_copy(update={"read_state": None}) for table in tables]
    return _Exported(snapshot_id, reuse, tables, schema_dump, exporter.tables)


def _doubt_earlier(store: Store, contradicted: str, now: datetime, progress: Progress) -> None:
    """Record for each earlier snapshot which of its values were not read for it, and may be older than it says."""

    def skipped(key: str, error: MindGuardError) -> None:
        progress(f"skipped: {error}")

    for key, each in read_snapshots(store, unreadable=skipped):
        if each.unread:
            doubt = Doubt(snapshot_id=each.snapshot_id, tables=each.unread, contradicted=contradicted, found_at=now)
            store_doubt(doubt, store, key)


def _check_key_ring(store: Store, tables: list[str]) -> None:
    """Refuse a key ring that is new or out of date: after a snapshot with it, no ring could read all stored snapshots.

    A ring from which older keys were removed on purpose is accepted. It still has the same naming key, and its
    current key has sealed none of the stored manifests yet.

    Raises:
        KeyRingInvalid: the ring lacks the newest snapshot's key, and was not merely shortened.
    """
    current = store.encryption.needed_keys(())
    if not current or not (manifests := store.manifest_keys()):
        return
    for key in reversed(manifests):
        try:
            read_manifest(store, key)
        except KeyMissing as error:
            (missing,) = error.key_ids
            folders = {part.rsplit("/", 2)[1] for part in store.keys(f"parts/{missing}.")}
            out_of_date = any(sealed_with(next(store.chunks(each), b"")) in current for each in manifests)
            if store.encryption.named(missing, tables, folders) and not out_of_date:
                return
            raise KeyRingInvalid(
                f"the key ring is not the one of the newest snapshot {id_of(key)}, whose key {missing} it lacks",
                hint="restore the ring from where it is kept safe; to start afresh, change snapshot.prefix",
            ) from error
        except (ManifestInvalid, ObjectMissing, Unreadable):
            continue  # it says nothing about the ring, and `newest_snapshot` reports that it is skipped
        return


def _refuse_left_out(store: Store) -> None:
    """Refuse to take what looks like the first snapshot if the listings only leave out the earlier ones.

    Raises:
        StoreError: there is an earlier snapshot, with which the gate would have to compare.
    """
    manifests = store.manifest_keys()
    hint = "the store has a fault: take a snapshot when it is repaired"
    find_unlisted(store, store.listing(), manifests, refuse=lambda wrong: StoreError(wrong, hint=hint))


def publish(snapshot: Manifest, store: Store, zone: ZoneInfo) -> str:
    """Write the manifest, create-only, and return its key. From then on the snapshot exists."""
    key = store.layout.manifest_key(snapshot.taken_at.astimezone(zone).date(), snapshot.snapshot_id)
    store.create_sealed(key, snapshot.to_bytes())
    return key
