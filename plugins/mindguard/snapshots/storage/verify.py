"""Verify that a published snapshot's stored bytes match the manifest, and that they are readable Parquet.

`verify_snapshot` reads everything. `verify_due` reads what is new and, day by day, a share of the rest.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, BinaryIO

from mindguard.errors import MindGuardError, first_few
from mindguard.snapshots.progress import Step
from mindguard.snapshots.storage.checks import identity, is_due, read_checks, store_checks
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.manifest import Manifest, Part, StoredObject, Table
from mindguard.snapshots.storage.s3_errors import ObjectExists, ObjectMissing, StoreError, StoreFault
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.tempdisk import temporary_file
from mindguard.units import counted, size

_FEW = 3  # objects that the store may fail to return before it has returned any
_RECORD_EVERY_S = 600.0  # so that a run that is ended has not read everything in vain


class SnapshotDamaged(MindGuardError):
    """At least one stored object does not match the manifest."""


@dataclass(frozen=True)
class Verified:
    """The result of a verification.

    Attributes:
        snapshot_id: the snapshot that was verified.
        parts: number of its parts.
        bytes: stored bytes of its parts.
        read_parts: number of parts that were read now.
        read_bytes: their stored bytes.
        oldest_check: time since the others were read: that of the part that was not read for the longest time; None:
            all were read now.
        seconds: duration of the verification.
        faults: one line for each damaged object; empty exactly if none is known.
    """

    snapshot_id: str
    parts: int
    bytes: int
    read_parts: int
    read_bytes: int
    oldest_check: timedelta | None
    seconds: float
    faults: tuple[str, ...]

    def __str__(self) -> str:
        read = f"{size(self.read_bytes)} in {self.seconds:.1f} s"
        if self.oldest_check is None:
            state = f"has {len(self.faults)} damaged objects" if self.faults else "is whole"
            return f"snapshot {self.snapshot_id} {state}: all {counted(self.parts, 'part')} read, {read}"
        days = self.oldest_check / timedelta(days=1)
        return (
            f"snapshot {self.snapshot_id} has no known damage: {self.read_parts} of {counted(self.parts, 'part')} read "
            f"now, {read}; the oldest check of the others is {days:.1f} days old"
        )

    def check(self) -> None:
        """Raise SnapshotDamaged, naming the first faults, unless no damage is known."""
        if self.faults:
            raise SnapshotDamaged(
                f"snapshot {self.snapshot_id} is damaged: {first_few(self.faults, most=3, separator='; ')}",
                hint="keep it for analysis and take a new one now: mindguard snapshot take",
            )

    def summary(self) -> dict[str, Any]:
        """Return plain values for the command line."""
        return {
            "snapshot_id": self.snapshot_id,
            "verified": not self.faults,
            "parts": self.parts,
            "bytes": self.bytes,
            "read_parts": self.read_parts,
            "read_bytes": self.read_bytes,
            "oldest_check_days": self.oldest_check and round(self.oldest_check / timedelta(days=1), 3),
            "seconds": round(self.seconds, 3),
            "faults": list(self.faults),
        }


def verify_snapshot(
    manifest: Manifest, store: Store, *, threads: int = 4, progress: Callable[[str], None] = lambda line: None
) -> Verified:
    """Read every part and the schema dump to the last byte; compare SHA-256, size, rows, columns with the manifest.

    A damaged object is noted in the store, so that no later snapshot reuses it. An object counts as damaged as well
    if the store cannot return it at first, nor again after all others were read: this is the only way in which
    many stores report bytes that rotted on their disks.

    Args:
        manifest: the snapshot to verify.
        store: where its objects are.
        threads: number of objects that are read at the same time.
        progress: called with one line for each object.

    Raises:
        KeyMissing: the key ring lacks a key that the snapshot needs; nothing was read.
        StoreError: the store could not be asked, or returns less than half of the objects. Neither says
            anything about the snapshot.
    """
    store.encryption.require(manifest.keys, f"snapshot {manifest.snapshot_id}")
    began = time.monotonic()
    reading = _Reading(manifest, store, threads, progress)
    reading.read(reading.objects)
    return reading.verified(began, None)


def verify_due(
    manifest: Manifest,
    store: Store,
    *,
    now: datetime,
    verify_days: int,
    threads: int = 4,
    progress: Callable[[str], None] = lambda line: None,
) -> Verified:
    """Read what is new in the snapshot and what is due, as `verify_snapshot` does, and record what was read.

    An object is due if its turn of `verify_days` has come, or if nothing proves that it was read as it is stored now:
    if the store does not list it, or with another size, or as written since; if its record is missing or unreadable,
    from the future or from another place. The schema dump is always due. If one object is damaged, or the store does
    not return it, all others are read as well.

    Args:
        manifest: see `verify_snapshot`.
        store: see `verify_snapshot`.
        now: the present time, aware.
        verify_days: days within which each part is read again; 0: everything is read.
        threads: see `verify_snapshot`.
        progress: see `verify_snapshot`.

    Raises:
        KeyMissing: see `verify_snapshot`.
        StoreError: see `verify_snapshot`. What was read since the last record, at most ten minutes' work, counts as
            not read.
    """
    store.encryption.require(manifest.keys, f"snapshot {manifest.snapshot_id}")
    began = recorded = time.monotonic()
    checks = read_checks(store, now=now, of=manifest.snapshot_id)

    def record() -> None:
        nonlocal recorded
        recorded = time.monotonic()
        try:
            store_checks(manifest, store, checks, read=reading.sound, faulty=reading.faults, now=now)
        except StoreError as error:
            # The connection may have the right to read only. The verdict is still valid, but the next verification
            # reads all this again.
            progress(f"what was read could not be recorded in the store: {error}")

    def after_each() -> None:
        if time.monotonic() - recorded > _RECORD_EVERY_S:
            record()

    reading = _Reading(manifest, store, threads, progress, after_each)
    last_read = {key: checks.last_read(each, store) for key, each in reading.objects.items()}
    due = [
        key
        for key, each in reading.objects.items()
        if key == manifest.schema_dump.key or is_due(identity(each), last_read[key], now=now, verify_days=verify_days)
    ]
    progress(f"{len(due)} of {counted(len(reading.objects), 'object')} due")
    reading.read(due)
    record()
    times = [at for key, at in last_read.items() if at and key not in reading.sound and key not in reading.faults]
    return reading.verified(began, now - min(times) if times else None)


class _Reading:
    """Reads objects of a snapshot.

    Attributes:
        objects: all objects of the snapshot, by key.
        sound: keys of those that were read and are as recorded.
        faults: a line for each that is not, by key.
    """

    def __init__(
        self,
        manifest: Manifest,
        store: Store,
        threads: int,
        progress: Callable[[str], None],
        after_each: Callable[[], None] = lambda: None,
    ) -> None:
        self._manifest = manifest
        self._stopped = threading.Event()
        self._store = store.until(self._stopped)
        self._threads = threads
        self._progress = progress
        self._after_each = after_each
        self._checks = {
            part.key: partial(_fault, table, part, self._store) for table in manifest.contents for part in table.parts
        }
        self._checks[manifest.schema_dump.key] = partial(_schema_fault, manifest.schema_dump, self._store)
        self._tables = {part.key: table.name for table in manifest.contents for part in table.parts}
        self._withheld: list[str] = []
        self._chosen = self._done = self._total = 0
        self.objects = {each.key: each for each in manifest.objects}
        self.sound: set[str] = set()
        self.faults: dict[str, str] = {}

    def read(self, keys: Iterable[str]) -> None:
        """Read the objects with these keys; if one of them is not sound, read all others, too.

        Raises:
            StoreError: the store could not be asked, or returns less than half of the objects.
        """
        first = set(keys)
        self._read_at_once(first)
        if self.faults or self._withheld:
            self._read_at_once(self.objects.keys() - first)
        for key in self._withheld:
            try:
                fault = self._checks[key]()
            except StoreFault as error:
                if len(self._withheld) > len(self.sound):
                    raise
                what = self._tables.get(key, "schema")
                fault = f"{what}: the store does not return {key}, although it returns others: {error.message}"
            self._note(key, fault)

    def _read_at_once(self, keys: Collection[str]) -> None:
        self._chosen += len(keys)
        self._total += sum(self.objects[key].bytes for key in keys)
        pool = ThreadPoolExecutor(self._threads, "verify")
        try:
            futures = {pool.submit(self._checks[key]): key for key in sorted(keys)}
            for future in as_completed(futures):
                try:
                    fault = future.result()
                except StoreFault:
                    self._withheld.append(futures[future])
                    if len(self._withheld) > max(len(self.sound), _FEW):
                        raise
                else:
                    self._note(futures[future], fault)
        finally:
            self._stopped.set()  # after an error or Ctrl-C, threads must not wait for a store that stalls
            pool.shutdown(wait=True, cancel_futures=True)
        self._stopped.clear()

    def _note(self, key: str, fault: str | None) -> None:
        if fault:
            self.faults[key] = fault
            note_damage(self._store, key, fault, self._progress)
        else:
            self.sound.add(key)
        line = f"verified object {len(self.sound) + len(self.faults)}/{self._chosen}"
        self._done += self.objects[key].bytes
        step = Step(line, doing="verify", what=self._tables.get(key, "schema"), done=self._done, total=self._total)
        self._progress(f"{line}: DAMAGED: {fault}" if fault else step)
        self._after_each()

    def verified(self, began: float, oldest_check: timedelta | None) -> Verified:
        """Return the result.

        Args:
            began: when the verification began, by the monotonic clock.
            oldest_check: see `Verified`.
        """
        read = [part for part in self._manifest.parts if part.key in self.sound or part.key in self.faults]
        return Verified(
            snapshot_id=self._manifest.snapshot_id,
            parts=len(self._manifest.parts),
            bytes=self._manifest.stored_bytes,
            read_parts=len(read),
            read_bytes=sum(part.bytes for part in read),
            oldest_check=oldest_check,
            seconds=time.monotonic() - began,
            faults=tuple(sorted(self.faults.values())),
        )


def note_damage(store: Store, key: str, fault: str, progress: Callable[[str], None]) -> None:
    """Note in the store that the object is damaged, so that no later snapshot reuses it.

    Args:
        store: where the object is.
        key: the object's key.
        fault: a line that says what is wrong with it.
        progress: called with one line if the note cannot be written.
    """
    body = json.dumps({"key": key, "fault": fault}).encode()
    try:
        store.create_sealed(store.layout.damage_key(key), body)
    except ObjectExists:
        return
    except StoreError as error:
        # The connection may have the right to read only. The verdict is still valid, but the next snapshot is
        # not warned.
        progress(f"the damage could not be noted in the store: {error}")


def _altered(stored: StoredObject, store: Store, copy_to: BinaryIO) -> str | None:
    """Copy the stored bytes; return how they differ from what the manifest says, or None."""
    try:
        found = store.digest(stored.key, copy_to, expected=stored.content)
    except ObjectMissing:
        return f"{stored.key} is missing"
    return None if found == stored.content else f"{stored.key} has {found}, not {stored.content}"


def _schema_fault(schema_dump: StoredObject, store: Store) -> str | None:
    """Return the fault of the stored schema dump, or None."""
    with temporary_file() as copy:
        if altered := _altered(schema_dump, store, copy):
            return altered
        copy.seek(0)
        try:
            store.encryption.open(schema_dump.key, copy.read())
        except Unreadable as error:
            return str(error)
    return None


def _fault(table: Table, part: Part, store: Store) -> str | None:
    """Return the fault of the stored part, or None."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with temporary_file() as copy:
        if altered := _altered(part, store, copy):
            return f"{table.name}: {altered}"
        copy.seek(0)
        try:
            footer = pq.ParquetFile(copy, decryption_properties=store.encryption.reading(part.key))
        except Unreadable as error:
            return f"{table.name}: {error}"
        except (pa.ArrowException, OSError) as error:
            return f"{table.name}: {part.key} is not Parquet: {error}"
        names = footer.schema_arrow.names
        expected = [column.name for column in table.columns] or ["row"]
        if footer.metadata.num_rows != part.rows or names != expected:
            held = f"{footer.metadata.num_rows} rows of {names}"
            return f"{table.name}: {part.key} holds {held}, not {part.rows} of {expected}"
    return None
