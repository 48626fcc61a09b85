"""Stores the parts of all tables from several threads, while one connection fingerprints table after table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BufferedRandom
from typing import Any, NamedTuple, cast

from mindguard.errors import MindGuardError, about
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export import plan
from mindguard.snapshots.export.parquet import write_parquet
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.read_rate import ReadRate
from mindguard.snapshots.export.reader import DigestColumns, Reader
from mindguard.snapshots.export.reuse import Reuse
from mindguard.snapshots.export.source import Known, Planned, SourceSnapshot
from mindguard.snapshots.export.source_errors import Stopped
from mindguard.snapshots.export.source_table import PlannedPart, SourceTable
from mindguard.snapshots.export.trust import Recheck, broken_history, comparable_parts
from mindguard.snapshots.progress import Progress, Step
from mindguard.snapshots.storage import manifest
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.manifest import Column, Manifest, Part, StoredObject, Table
from mindguard.snapshots.storage.s3_errors import ObjectExists, StoreError
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import note_damage
from mindguard.snapshots.tempdisk import temporary_file
from mindguard.units import counted, size


class PartMismatch(MindGuardError):
    """Rows that were read, or bytes that the store returned, are not as expected; nothing was published."""

    def __init__(self, key: str, what: str, *, expected: object, actual: object, hint: str = "run again") -> None:
        super().__init__(f"part {key}: {what} is {actual}, expected {expected}", hint=f"nothing was published; {hint}")
        self.key, self.expected, self.actual = key, expected, actual


@dataclass
class TableProgress:
    """The progress of one table's parts.

    Attributes:
        rows: rows of all parts.
        parts: number of parts, stored or not.
        parts_written: parts that this run has written.
        parts_reused: parts that were stored already.
        bytes: stored bytes of the parts written and reused so far.
    """

    rows: int
    parts: int
    parts_written: int = 0
    parts_reused: int = 0
    bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def done(self) -> int:
        """Number of parts that are in the store by now."""
        return self.parts_written + self.parts_reused

    def add(self, size: int, *, written: bool) -> None:
        """Count one part of `size` bytes; several threads may call it."""
        with self._lock:
            self.bytes += size
            self.parts_written += written
            self.parts_reused += not written


@dataclass(frozen=True)
class _Secured:
    """An object that is in the store, and whether an earlier snapshot had stored it already."""

    stored: StoredObject
    reused: bool


class _Submitted(NamedTuple):
    """A table whose parts are being stored.

    Attributes:
        table: the table.
        planned: how it is stored.
        parts: what will be the records of its parts.
    """

    table: SourceTable
    planned: Planned
    parts: list[Future[Part]]


class Exporter:
    """Fingerprints table after table on one connection, while others store the parts that are planned already.

    Args:
        source: the open source snapshot.
        store: where the parts go.
        settings: part size, number of connections, read rate and maximum age.
        previous: the newest snapshot, whose boundaries are kept; None if there is none.
        reuse: decides which stored objects this run may reuse, and how the others are named.
        now: the snapshot's instant, aware.
        by_value: whether nothing is known of `previous` but its boundaries, so that all values are read.
        recheck: whether the values of unchanged parts are read too, and compared with what is known of them.
        progress: called with one line for each step.
    """

    def __init__(
        self,
        source: SourceSnapshot,
        store: Store,
        settings: SnapshotSettings,
        previous: Manifest | None,
        reuse: Reuse,
        *,
        now: datetime,
        by_value: bool = False,
        recheck: bool = False,
        progress: Progress,
    ) -> None:
        self._source = source
        self._stopped = threading.Event()
        self._store = store.until(self._stopped)
        self._settings = settings
        self._previous = {table.name: table for table in previous.contents} if previous else {}
        self._reuse = reuse
        self._now = now
        self._is_due = (lambda _: True) if recheck else Recheck(now, settings.recheck_days).is_due
        broken = broken_history(previous.source, source.identity) if previous and not by_value else None
        if broken:
            progress(f"the values of all tables are read, because of the time since the last snapshot: {broken}")
        self._by_value = by_value or broken is not None
        # The name of an encrypted part, which is made of its values, is sealed into its bytes.
        self._may_name_later = not store.encryption.needed_keys(())
        self._progress = progress
        self._rate = ReadRate(settings.max_mb_per_s, self._check_going_on, sleep=self._stopped.wait)
        self._thread = threading.local()
        self._readers: list[Reader] = []
        self._done_bytes = self._all_bytes = 0.0
        self._lock = threading.Lock()
        self.tables: dict[str, TableProgress] = {}
        """Progress by full table name."""

    def run(self, tables: list[SourceTable]) -> tuple[list[Table], StoredObject]:
        """Store every part of the tables and the schema dump, and return their records for the manifest.

        Raises:
            SourceError, StoreError, PartMismatch, DiskFull, Stopped, ToolFailed: the first error of any thread.
        """
        pool = ThreadPoolExecutor(self._settings.connections, "export")
        self._all_bytes = float(sum(table.bytes for table in tables))
        try:
            schema = pool.submit(self._store_schema)
            planned = [self._submit(pool, table) for table in tables]
            everything: list[Future[Any]] = [schema, *(future for each in planned for future in each.parts)]
            done, _ = wait(everything, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            # Also after an error or Ctrl-C, the threads must end before the snapshot's transaction does.
            self._stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for reader in self._readers:
                reader.close()
        return [_record(each) for each in planned], schema.result()

    def _submit(self, pool: ThreadPoolExecutor, table: SourceTable) -> _Submitted:
        began = time.monotonic()
        before = self._previous.get(table.full_name)
        if before and not _is_cut_alike(before, table):
            before = None
        boundaries = plan.boundaries_of(before.parts) if before else []
        aim = plan.part_bytes(table.bytes, self._settings.part_mb * 1_000_000)
        comparable = comparable_parts(before, table) if before and not self._by_value else {}
        # What was stored may be lost or damaged, or have another name since encryption was changed. Then its values are
        # read, so their digest is made again too.
        stored = {each: part for each, part in comparable.items() if self._is_stored(table, each, part)}
        known = Known(before.tuples, stored, before.settled, self._is_due) if before and stored else None
        one_pass = self._may_name_later and not self._reuse.has_young(self._folders(table))
        planned = self._source.plan(table, boundaries, aim, known, one_pass=one_pass)
        parts = planned.parts
        rows = sum(part.rows for part in parts)
        progress = self.tables[table.full_name] = TableProgress(rows=rows, parts=len(parts))
        self._tell(
            f"{table.full_name}: {counted(rows, 'row')}, {counted(len(parts), 'part')} by {table.part_by}, of which "
            f"{sum(part.values_read_at is None for part in parts)} are read by value, "
            f"in {time.monotonic() - began:.1f} s",
            table,
            0 if parts else table.bytes,
        )
        return _Submitted(table, planned, [pool.submit(self._store_part, part, progress) for part in parts])

    def _is_stored(self, table: SourceTable, key_range: KeyRange, part: Part) -> bool:
        """Return whether an earlier snapshot's part can be reused for the same rows."""
        return self._reuse.find_any(self._keys(PlannedPart.unchanged(table, key_range, part))) is not None

    def _folders(self, table: SourceTable) -> set[str]:
        """Return the folders in which parts of the table may be stored."""
        names = self._store.encryption.part_names(table.full_name, "")
        return {self._store.layout.part_key(name.folder, "").rpartition("/")[0] for name in names}

    def _tell(self, line: str, table: SourceTable, more_bytes: float) -> None:
        """Report a step that has secured this much more of the source's tables."""
        with self._lock:
            self._done_bytes += more_bytes
            self._progress(Step(line, doing="take", what=table.full_name, done=self._done_bytes, total=self._all_bytes))

    def _check_going_on(self) -> None:
        if self._stopped.is_set():
            raise Stopped("stopped before the snapshot was complete", hint="nothing was published; run again")
        self._source.check_open()

    def _reader(self) -> Reader:
        """Return this thread's own connection to the snapshot, which is opened for the thread's first part."""
        if not hasattr(self._thread, "reader"):
            self._thread.reader = self._source.reader()
            self._readers.append(self._thread.reader)
        return cast("Reader", self._thread.reader)

    def _store_part(self, planned: PlannedPart, progress: TableProgress) -> Part:
        """Make sure that the part is in the store, read it back, and return its record."""
        with about(planned.table.full_name):
            return self._secured_part(planned, progress)

    def _secured_part(self, planned: PlannedPart, progress: TableProgress) -> Part:
        self._check_going_on()
        began = time.monotonic()
        keys = self._keys(planned) if planned.fingerprint else []
        found = self._reuse.find_any(keys)
        if planned.values_read_at and not found:
            raise StoreError(f"{keys[0]} is not usable any more", hint="run again, which reads the part's values")
        if planned.fingerprint is None:
            planned, secured = self._digested_and_secured(planned)
        else:
            secured = self._secure(keys, found, lambda key: self._export(planned, key))
        stored = secured.stored
        progress.add(stored.bytes, written=not secured.reused)
        self._tell(
            f"{planned.table.full_name}: part {progress.done}/{progress.parts} "
            f"{'reused' if secured.reused else 'written'}, {counted(planned.rows, 'row')}, {size(stored.bytes)} "
            f"in {time.monotonic() - began:.1f} s",
            planned.table,
            planned.table.bytes * planned.rows / max(progress.rows, 1),
        )
        assert planned.fingerprint is not None
        return Part(
            key=stored.key,
            sha256=stored.sha256,
            bytes=stored.bytes,
            rows=planned.rows,
            fingerprint=planned.fingerprint,
            lower=planned.key_range.lower,
            upper=planned.key_range.upper,
            times_as_text=planned.times_as_text,
            tuples=planned.tuples,
            values_read_at=planned.values_read_at or self._now,
        )

    def _keys(self, planned: PlannedPart) -> list[str]:
        """Return the keys under which the part may be stored, first the one to write."""
        names = self._store.encryption.part_names(planned.table.full_name, planned.content_id)
        return [self._store.layout.part_key(name.folder, name.content_id) for name in names]

    def _digested_and_secured(self, planned: PlannedPart) -> tuple[PlannedPart, _Secured]:
        """Read a part once, for its fingerprint and for its bytes, and make sure that it is in the store."""
        with temporary_file() as file:
            digests = DigestColumns()
            batches = self._rate.limited(digests.taken_off(self._reader().batches(planned)))
            rows = write_parquet(batches, file, self._check_going_on)
            planned = replace(planned, fingerprint=digests.fingerprint, times_as_text=digests.has_time_out_of_range)
            keys = self._keys(planned)
            _check_rows(planned, keys[0], rows)
            found = self._reuse.find_any(keys)
            if planned.times_as_text:
                return planned, self._secure(keys, found, lambda key: self._export(planned, key))
            return planned, self._secure(keys, found, lambda key: self._upload(file, key))

    def _secure(self, keys: Sequence[str], reused: StoredObject | None, write: Callable[[str], Content]) -> _Secured:
        """Secure the stored object that was found for one of these keys; if there is none, write it."""
        if reused:
            self._store.extend_lock(reused.key)
            stored = reused
        else:
            key = self._reuse.own(keys[0])
            content = write(key)
            stored = StoredObject(key=key, sha256=content.sha256, bytes=content.size)
        self._read_back(stored)
        return _Secured(stored, reused=reused is not None)

    def _read_back(self, stored: StoredObject) -> None:
        """Check that the store returns the bytes that were written.

        An object that a base snapshot holds is not read again: it was read back when that snapshot was taken.

        The verify task reads each object once more on purpose. This check keeps a bad part out of the manifest;
        verify is a second reader in another process, which shares neither buffers nor assumptions with this one.

        Raises:
            PartMismatch: the store returns other bytes.
        """
        known = self._reuse.named(stored.key)
        if known and known.content == stored.content:
            return
        read_back = self._store.digest(stored.key, expected=stored.content)
        if read_back != stored.content:
            mismatch = PartMismatch(stored.key, "the stored content", expected=stored.content, actual=read_back)
            # Without the note, the next run would reuse the object.
            note_damage(self._store, stored.key, mismatch.message, self._progress)
            raise mismatch

    def _store_schema(self) -> StoredObject:
        """Dump the database's schema and store it, unless an equal schema is stored already."""
        schema = self._source.dump_schema()
        key = self._store.layout.schema_key(self._store.encryption.opaque(schema.digest))
        return self._secure(
            [key], self._reuse.find(key), lambda own: self._store.create_sealed(own, schema.dump)
        ).stored

    def _export(self, planned: PlannedPart, key: str) -> Content:
        """Read the part, write it as Parquet to a temporary file, upload the file, and return its content.

        Raises:
            PartMismatch: the source gave another number of rows than it had counted.
        """
        with temporary_file() as file:
            encryption = self._store.encryption.writing(key)
            batches = self._rate.limited(self._reader().batches(planned))
            rows = write_parquet(batches, file, self._check_going_on, encryption)
            _check_rows(planned, key, rows)
            return self._upload(file, key)

    def _upload(self, file: BufferedRandom, key: str) -> Content:
        content = Content.of_file(file)
        self._check_going_on()
        # Only this run writes under this key: if an object exists, an earlier attempt of this write arrived and
        # only its answer was lost.
        with suppress(ObjectExists):
            self._store.create(key, file, content)
        return content


def _check_rows(planned: PlannedPart, key: str, rows: int) -> None:
    """Raise PartMismatch if the source gave another number of rows than it had counted."""
    if rows != planned.rows:
        raise PartMismatch(
            key,
            "its row count",
            expected=planned.rows,
            actual=rows,
            hint="choose another part_by for this table, and report this as a fault of MindGuard",
        )


def _record(submitted: _Submitted) -> Table:
    table = submitted.table
    parts = tuple(future.result() for future in submitted.parts)
    return Table(
        name=table.full_name,
        kind=table.kind,
        inherited=table.inherited,
        columns=table.columns,
        primary_key=table.primary_key,
        part_by=table.part_by,
        rows=sum(part.rows for part in parts),
        fingerprint=manifest.combine(part.fingerprint for part in parts),
        read_state=table.comparable_state.state if table.comparable_state else None,
        tuples=submitted.planned.tuples,
        settled=submitted.planned.settled,
        parts=parts,
    )


def _is_cut_alike(before: Table, table: SourceTable) -> bool:
    """Return whether boundaries of an earlier snapshot mean the same now: same column, same type and collation."""
    return before.part_by == table.part_by and _key_type(before.columns, before) == _key_type(table.columns, table)


def _key_type(columns: Iterable[Column], table: Table | SourceTable) -> tuple[str, str | None] | None:
    return next(((each.type, each.collation) for each in columns if each.name == table.part_by), None)
