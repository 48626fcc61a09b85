"""Writes the Parquet files of parts in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow._parquet import FileEncryptionProperties

_ROW_GROUP_BYTES = 16 * 1024 * 1024
_SAMPLE_ROWS = 1024
_REPEATING = 0.75
"""Largest share of distinct values in the sample with which a dictionary is smaller than the values themselves."""


def write_parquet(
    batches: Iterable[pa.RecordBatch],
    file: IO[bytes],
    check_going_on: Callable[[], None],
    encryption: FileEncryptionProperties | None = None,
) -> int:
    """Write record batches as one Parquet file, compressed with zstd.

    The first row group decides how each column is encoded, so equal rows give equal bytes.

    Args:
        batches: at least one; all have the same schema.
        file: open for binary writing.
        check_going_on: called once for each batch; if it raises, the writing ends.
        encryption: properties to encrypt footer and columns with; None writes them in the clear.

    Returns:
        The number of rows written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    writer: pq.ParquetWriter | None = None
    with ExitStack() as closing:
        for group in _row_groups(batches, check_going_on):
            table = pa.Table.from_batches(group)
            writer = writer or closing.enter_context(
                pq.ParquetWriter(
                    file,
                    table.schema,
                    compression="zstd",
                    **_encodings(group[0]),
                    write_page_checksum=True,
                    encryption_properties=encryption,
                )
            )
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            rows += table.num_rows
    return rows


def _row_groups(
    batches: Iterable[pa.RecordBatch], check_going_on: Callable[[], None]
) -> Iterator[list[pa.RecordBatch]]:
    """Gather batches into groups of about 16 MB: small row groups compress badly, large ones cost memory."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        check_going_on()
        group.append(batch)
        if sum(each.nbytes for each in group) >= _ROW_GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


def _encodings(batch: pa.RecordBatch) -> dict[str, Any]:
    """Return the encodings of the columns, as arguments of the writer: a dictionary only for values that repeat.

    Every reader knows them: they are those of 2013, and for floats the one of 2019.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    repeating: list[str] = []
    encodings: dict[str, str] = {}
    for name, column in zip(batch.schema.names, batch.slice(0, _SAMPLE_ROWS).columns, strict=True):
        values = column.storage if isinstance(column, pa.ExtensionArray) else column
        if pc.count_distinct(values).as_py() <= _REPEATING * (len(values) - values.null_count):
            repeating.append(name)
        elif pa.types.is_integer(values.type) or pa.types.is_temporal(values.type):
            encodings[name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(values.type):
            encodings[name] = "BYTE_STREAM_SPLIT"
        elif not (pa.types.is_boolean(values.type) or pa.types.is_fixed_size_binary(values.type)):
            encodings[name] = "DELTA_LENGTH_BYTE_ARRAY"
    return {"use_dictionary": repeating, "column_encoding": encodings}
