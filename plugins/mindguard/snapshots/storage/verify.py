"""Verify that a published snapshot's stored bytes match the manifest, and that they are readable Parquet."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from mindguard.errors import MindGuardError, first_few
from mindguard.snapshots.progress import Step
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.manifest import Manifest, Part, StoredObject, Table
from mindguard.snapshots.storage.s3_errors import ObjectExists, ObjectMissing, StoreError, StoreFault
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.tempdisk import temporary_file

_FEW = 3  # objects that the store may fail to return before it has returned any


class SnapshotDamaged(MindGuardError):
    """At least one stored object does not match the manifest."""


@dataclass(frozen=True)
class Verified:
    """The result of a verification.

    Attributes:
        snapshot_id: the snapshot that was verified.
        parts: number of its parts.
        bytes: stored bytes of its parts.
        seconds: duration of the verification.
        faults: one line for each damaged object; empty exactly if the snapshot is whole.
    """

    snapshot_id: str
    parts: int
    bytes: int
    seconds: float
    faults: tuple[str, ...]

    def __str__(self) -> str:
        state = f"has {len(self.faults)} damaged objects" if self.faults else "is whole"
        size = f"{self.parts} parts, {self.bytes / 1e6:,.1f} MB"
        return f"snapshot {self.snapshot_id} {state}: {size}, read in {self.seconds:.1f} s"

    def check(self) -> None:
        """Raise SnapshotDamaged, naming the first faults, unless the snapshot is whole."""
        if self.faults:
            raise SnapshotDamaged(
                f"snapshot {self.snapshot_id} is damaged: {first_few(self.faults, most=3, separator='; ')}",
                hint="keep it for analysis and take a new one now: mindguard snapshot take",
            )


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
    stopped = threading.Event()
    store = store.until(stopped)
    faults: list[str] = []
    sound, withheld = 0, list[str]()
    checks = {part.key: partial(_fault, table, part, store) for table in manifest.contents for part in table.parts}
    checks[manifest.schema_dump.key] = partial(_schema_fault, manifest.schema_dump, store)

    tables = {part.key: table.name for table in manifest.contents for part in table.parts}
    stored = {each.key: each for each in (*manifest.parts, manifest.schema_dump)}
    done, total = 0, sum(each.bytes for each in stored.values())

    def record(key: str, fault: str | None) -> None:
        nonlocal sound, done
        if fault:
            faults.append(fault)
            note_damage(store, key, fault, progress)
        else:
            sound += 1
        line = f"verified object {sound + len(faults)}/{len(checks)}"
        done += stored[key].bytes
        step = Step(line, doing="verify", what=tables.get(key, "schema"), done=done, total=total)
        progress(f"{line}: DAMAGED: {fault}" if fault else step)

    pool = ThreadPoolExecutor(threads, "verify")
    try:
        futures = {pool.submit(check): key for key, check in checks.items()}
        for future in as_completed(futures):
            try:
                fault = future.result()
            except StoreFault:
                withheld.append(futures[future])
                if len(withheld) > max(sound, _FEW):
                    raise
            else:
                record(futures[future], fault)
    finally:
        stopped.set()  # after an error or Ctrl-C, threads must not wait for a store that stalls
        pool.shutdown(wait=True, cancel_futures=True)
    stopped.clear()
    for key in withheld:
        try:
            fault = checks[key]()
        except StoreFault as error:
            if len(withheld) > sound:
                raise
            what = tables.get(key, "schema")
            fault = f"{what}: the store does not return {key}, although it returns others: {error.message}"
        record(key, fault)
    return Verified(
        manifest.snapshot_id,
        len(manifest.parts),
        manifest.stored_bytes,
        time.monotonic() - began,
        tuple(sorted(faults)),
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
