"""Load stored parts into tables: fetch and check them, decode them in bounded memory, send their rows over COPY."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mindguard.errors import MindGuardError, about, one_line
from mindguard.fetch import Abandoned
from mindguard.snapshots.database_errors import cause
from mindguard.snapshots.progress import Progress, Step
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.binary import HEADER, TRAILER, TYPES, binary_rows
from mindguard.snapshots.restore.rows import RowFilter
from mindguard.snapshots.restore.target import SnapshotAtFault
from mindguard.snapshots.storage.encryption import Encryption
from mindguard.snapshots.storage.manifest import Column, Part, StoredObject, Table
from mindguard.snapshots.storage.s3_errors import ObjectMissing
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.tempdisk import temporary_file
from mindguard.sql import identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa
    import pyarrow.parquet as pq
    from psycopg.sql import Composable, Composed

_CHUNK_ROWS = 16_384
WIDE_BYTES = 32_000_000
"""Rows from this size on are not sent as CSV, which would hold them in memory several times."""


class Halted(MindGuardError):
    """Loading stopped because another part failed; that part's error is the one to read."""


@dataclass(frozen=True)
class Job:
    """The parts and rows to load for one table.

    Attributes:
        table: the snapshot's table.
        relation: quoted name of the table to load into.
        parts: the parts to read.
        row_filter: load only the rows that match it; None: all rows.
    """

    table: Table
    relation: Composable
    parts: tuple[Part, ...]
    row_filter: RowFilter | None = None


@dataclass(frozen=True)
class Loaded:
    """The amounts that were read and written for one table.

    Attributes:
        rows: rows written.
        parts: parts read.
        row_groups: row groups read.
        row_groups_in_all: row groups of the parts that were read.
        bytes: stored bytes of the parts that were read.
    """

    rows: int = 0
    parts: int = 0
    row_groups: int = 0
    row_groups_in_all: int = 0
    bytes: int = 0

    def __add__(self, other: Loaded) -> Loaded:
        return Loaded(
            self.rows + other.rows,
            self.parts + other.parts,
            self.row_groups + other.row_groups,
            self.row_groups_in_all + other.row_groups_in_all,
            self.bytes + other.bytes,
        )


def fetch(stored: StoredObject, store: Store, file: BinaryIO) -> None:
    """Copy a stored object to a file, check it to its last byte, and leave the file at its beginning.

    Raises:
        SnapshotAtFault: the object is missing, or differs from its entry in the manifest, even when it is
            read a second time.
        StoreError: the store could not be asked.
    """
    try:
        found = store.digest(stored.key, file, expected=stored.content)
    except ObjectMissing:
        raise SnapshotAtFault(f"{stored.key} is missing in the store") from None
    if found != stored.content:
        raise SnapshotAtFault(f"{stored.key} has {found}, the manifest says {stored.content}")
    file.seek(0)


def load(
    jobs: Sequence[Job],
    store: Store,
    conninfo: str,
    *,
    connections: int,
    progress: Progress,
    search_path: str = "",
) -> dict[str, Loaded]:
    """Load all parts over several connections in parallel; return what was loaded, by table name.

    Each part is one transaction, and all parts are durable when this function returns. After an error
    some parts may have been loaded, so the caller throws the tables away.

    Args:
        jobs: the parts to load, by table.
        store: where the parts are.
        conninfo: libpq connection string of the target.
        connections: number of parts that are loaded at the same time.
        progress: called with one line for each part.
        search_path: the path under which generated columns, checks and triggers are evaluated.

    Raises:
        SnapshotAtFault, TargetError, StoreError, DiskFull: the first error of any thread.
    """
    parts = [part for job in jobs for part in job.parts]
    loader = _Loader(store, conninfo, progress, parts, search_path=search_path)
    pool = ThreadPoolExecutor(connections, "load")
    try:
        futures = [(job, pool.submit(loader.part, job, part)) for job in jobs for part in job.parts]
        everything: list[Future[Any]] = [future for _, future in futures]
        done, _ = wait(everything, return_when=FIRST_EXCEPTION)
        errors = [error for future in done if (error := future.exception())]
        if errors:
            raise next((error for error in errors if not isinstance(error, Halted | Abandoned)), errors[0])
    finally:
        loader.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
        loader.close()
    with target.connect(conninfo) as connection:
        connection.execute(statement("flush_commits"))
    loaded = {job.table.name: Loaded() for job in jobs}
    for job, future in futures:
        loaded[job.table.name] += future.result()
    return loaded


class _Loader:
    def __init__(
        self, store: Store, conninfo: str, progress: Progress, parts: Sequence[Part], *, search_path: str
    ) -> None:
        self.stopped = threading.Event()
        self._store = store.until(self.stopped)
        self._conninfo = conninfo
        self._progress = progress
        self._search_path = search_path
        self._total = len(parts)
        self._all_bytes = sum(part.bytes for part in parts)
        self._done = self._done_bytes = 0
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._known_types: dict[str, list[str]] = {}
        self._connections = ExitStack()
        self.close = self._connections.close

    def part(self, job: Job, part: Part) -> Loaded:
        """Fetch one part and copy its rows."""
        with about(job.table.name), temporary_file() as file:
            fetch(part, self._store, file)
            loaded = self._copy(job, part, file)
        with self._lock:
            self._done += 1
            self._done_bytes += part.bytes
            line = f"{job.table.name}: {loaded.rows:,} rows loaded, part {self._done}/{self._total}"
            self._progress(Step(line, doing="load", what=job.table.name, done=self._done_bytes, total=self._all_bytes))
        return loaded

    def _connection(self) -> psycopg.Connection[dict[str, Any]]:
        """Return this thread's own connection, which is opened for the thread's first part."""
        if not hasattr(self._thread, "connection"):
            with self._lock:
                connection = self._connections.enter_context(
                    target.connect(self._conninfo, search_path=self._search_path)
                )
            connection.execute(statement("set_unhurried"))
            self._thread.connection = connection
        return cast("psycopg.Connection[dict[str, Any]]", self._thread.connection)

    def _copy(self, job: Job, part: Part, file: BinaryIO) -> Loaded:
        import psycopg

        connection = self._connection()
        types = self._types(connection, job)
        repeating = all(types) and not job.row_filter  # neither CSV nor a filter takes such columns
        stored = open_part(part, file, self._store.encryption, repeating=repeating)
        if stored.schema_arrow.names != ([column.name for column in job.table.columns] or ["row"]):
            raise SnapshotAtFault(f"{part.key} holds other columns than {job.table.name}")
        groups = job.row_filter.row_groups(stored) if job.row_filter else list(range(stored.num_row_groups))
        rows = 0
        batches = _sorted_by_width(_chosen(decoded(stored, groups, part), job))
        try:
            runs = groupby(_formed(batches, job, types), key=itemgetter(0))
            with connection.transaction(), connection.cursor() as cursor:
                for form, run in runs:
                    formed = (rows_of for _, rows_of in run)
                    rows += (
                        self._insert(cursor, formed, job) if form == "row" else self._stream(cursor, formed, job, form)
                    )
        except psycopg.Error as error:
            raise target.explained(error) from cause(error)
        if not job.row_filter and rows != part.rows:
            raise SnapshotAtFault(f"{part.key} gave {rows} rows, the manifest says {part.rows}")
        return Loaded(rows, 1, len(groups), stored.num_row_groups, part.bytes)

    def _types(self, connection: psycopg.Connection[dict[str, Any]], job: Job) -> list[str]:
        """Return the types of the columns to fill; an empty name stands for one whose binary form is not known."""
        if job.table.name not in self._known_types:
            relation = literal(job.relation.as_string())
            found = connection.execute(statement("select_copy_types", relation=relation))
            types = {row["name"]: row["type"] for row in found if row["type"] in TYPES}
            self._known_types[job.table.name] = [types.get(each.name, "") for each in loadable(job.table.columns)]
        return self._known_types[job.table.name]

    def _stream(self, cursor: psycopg.Cursor[Any], chunks: Iterable[Any], job: Job, form: str) -> int:
        """Send rows over one COPY; return their number."""
        with cursor.copy(copy_statement(job, form)) as copy:
            for chunk in chain([HEADER], chunks, [TRAILER]) if form == "binary" else chunks:
                if self.stopped.is_set():
                    raise Halted("stopped")
                copy.write(chunk)
        return cursor.rowcount

    def _insert(self, cursor: psycopg.Cursor[Any], batches: Iterable[pa.RecordBatch], job: Job) -> int:
        """Insert rows one by one, each value as a parameter of its own; return their number."""
        rows = 0
        for batch in batches:
            if self.stopped.is_set():
                raise Halted("stopped")
            values = [_parameter(batch.column(column.name)) for column in loadable(job.table.columns)]
            cursor.execute(_insert_statement(job, values), values, prepare=False)
            rows += 1
        return rows


def open_part(part: Part, file: BinaryIO, encryption: Encryption, *, repeating: bool = False) -> pq.ParquetFile:
    """Open a fetched part as Parquet.

    Args:
        part: the part's record.
        file: the fetched file.
        encryption: decrypts it.
        repeating: give a text column that has a dictionary as Arrow's dictionary type, which is not decoded by row.

    Raises:
        SnapshotAtFault: the file is not Parquet.
        Unreadable: the master key is missing, or the part is not encrypted and unencrypted parts are not accepted.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    reading: dict[str, Any] = {"page_checksum_verification": True}
    try:
        opened = pq.ParquetFile(file, decryption_properties=encryption.reading(part.key), **reading)
        columns = _with_dictionary(opened) if repeating else []
        if columns:
            reading["read_dictionary"] = columns
            opened = pq.ParquetFile(file, decryption_properties=encryption.reading(part.key), **reading)
    except (pa.ArrowException, OSError) as error:
        raise SnapshotAtFault(f"{part.key} is not Parquet: {one_line(str(error))}") from error
    return opened


def _with_dictionary(stored: pq.ParquetFile) -> list[str]:
    """Return the text columns that have a dictionary."""
    import pyarrow as pa

    if not stored.num_row_groups:
        return []
    group = stored.metadata.row_group(0)
    return [
        field.name
        for number, field in enumerate(stored.schema_arrow)
        if pa.types.is_string(field.type) and "RLE_DICTIONARY" in group.column(number).encodings
    ]


def loadable(columns: Iterable[Column]) -> list[Column]:
    """Return the columns that COPY may write; the server itself computes generated columns."""
    return [column for column in columns if not column.generated]


def copy_statement(job: Job, form: str) -> Composed:
    """Return a COPY of rows as `csv` or `binary` that names the loadable columns."""
    names = [identifier(column.name) for column in loadable(job.table.columns)]
    if not names:
        return statement("copy_empties", table=job.relation)
    return statement("copy_rows", table=job.relation, names=joined(", ", names), format=raw(form))


def _insert_statement(job: Job, values: Sequence[str | memoryview | None]) -> Composed:
    names = joined(", ", [identifier(column.name) for column in loadable(job.table.columns)])
    # The driver looks for placeholders in names, too.
    table, names = (raw(part.as_string().replace("%", "%%")) for part in (job.relation, names))
    marks = [raw("%b" if isinstance(value, memoryview) else "%t") for value in values]
    return statement("insert_row", table=table, names=names, values=joined(", ", marks))


def _parameter(array: pa.Array[Any]) -> str | memoryview | None:
    """Return the only value of an array: bytes for a bytea, else text that PostgreSQL reads as the column's type."""
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return memoryview(array[0].as_buffer()) if array[0].is_valid else None  # not copied, since it may be large
    return cast("str | None", as_csv_type(array).cast(pa.large_string())[0].as_py())


def _chosen(batches: Iterable[pa.RecordBatch], job: Job) -> Iterator[pa.RecordBatch]:
    return (job.row_filter.select(batch) if job.row_filter else batch for batch in batches)


def _sorted_by_width(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[bool, pa.RecordBatch]]:
    """Yield the rows with whether they are too wide for CSV, and if so one at a time.

    A byte of a bytea takes two in CSV, and a row of more than 1 GB cannot be read. Snapshots that were taken before
    rows were limited may hold such rows.
    """
    for batch in batches:
        if batch.nbytes < WIDE_BYTES:
            yield False, batch
            continue
        sizes = [batch.slice(number, 1).nbytes for number in range(batch.num_rows)]
        start = 0
        for wide, run in groupby(sizes, key=lambda size: size >= WIDE_BYTES):
            count = len(list(run))
            for first, length in [(each, 1) for each in range(start, start + count)] if wide else [(start, count)]:
                yield wide, batch.slice(first, length)
            start += count


def decoded(
    stored: pq.ParquetFile, groups: list[int], part: Part, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of these row groups, with all columns or only some.

    Raises:
        SnapshotAtFault: they cannot be decoded.
    """
    import pyarrow as pa

    try:
        # Parts are decoded in parallel already, and waking a thread for a column costs more than decoding most columns.
        yield from stored.iter_batches(batch_size=_CHUNK_ROWS, row_groups=groups, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise SnapshotAtFault(f"{part.key} cannot be decoded: {one_line(str(error))}") from error


def _formed(
    batches: Iterable[tuple[bool, pa.RecordBatch]], job: Job, types: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """Yield rows in the form in which they are sent: `row` alone, or as `binary` if that can hold them, or as `csv`."""
    names = [column.name for column in loadable(job.table.columns)]
    for wide, batch in batches:
        if wide:
            yield "row", batch
        elif batch.num_rows:
            chosen = batch.select(names)
            binary = binary_rows(chosen, types) if names and all(types) else None
            yield ("csv", _csv(chosen)) if binary is None else ("binary", binary)


def _csv(rows: pa.RecordBatch) -> memoryview:
    """Return the rows as CSV, in which NULL is an empty field and an empty text is a pair of quotes."""
    import pyarrow as pa
    from pyarrow import csv

    if not rows.num_columns:
        return memoryview(b"\n" * rows.num_rows)
    options = csv.WriteOptions(include_header=False, quoting_style="all_valid", batch_size=_CHUNK_ROWS)
    sink = pa.BufferOutputStream()
    arrays = [as_csv_type(column) for column in rows.columns]
    csv.write_csv(pa.RecordBatch.from_arrays(arrays, rows.schema.names), sink, options)
    return memoryview(sink.getvalue())


def as_csv_type(array: pa.Array[Any]) -> pa.Array[Any]:
    r"""Return the array as a type whose CSV PostgreSQL reads back exactly.

    Bytes become hexadecimal digits, with `\x` before those of a bytea.
    """
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    if pa.types.is_fixed_size_binary(array.type):
        return _hexadecimal(array)  # uuid, which is read without its hyphens
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return _hexadecimal(array, prefix="\\x")
    if pa.types.is_timestamp(array.type) and array.type.tz:
        # The session reads a time without a zone as UTC. Formatting a time with its zone takes pyarrow 25 times longer.
        return array.cast(pa.int64()).cast(pa.timestamp(array.type.unit))
    return array


def _hexadecimal(array: pa.Array[Any], prefix: str = "") -> pa.Array[Any]:
    """Return two digits for each byte, computed from the whole buffer, because pyarrow has no function for this."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    whole: Any = pa.concat_arrays([array.cast(pa.large_binary())])  # without an offset
    validity, offsets, data = whole.buffers()
    digits = bytes(data or b"").hex().encode()
    doubled = np.frombuffer(offsets, dtype=np.int64)[: len(whole) + 1] * 2
    buffers = [validity, pa.py_buffer(doubled.tobytes()), pa.py_buffer(digits)]
    text: Any = pa.Array.from_buffers(pa.large_string(), len(whole), buffers, whole.null_count)
    if not prefix:
        return cast("pa.Array[Any]", text)
    join: Any = pc.binary_join_element_wise
    return cast("pa.Array[Any]", join(pa.scalar(prefix, text.type), text, pa.scalar("", text.type)))
