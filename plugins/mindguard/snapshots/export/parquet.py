"""Writes the Parquet files of parts in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow._parquet import FileEncryptionProperties

_ROW_GROUP_BYTES = 16 * 1024 * 1024


def write_parquet(
    batches: Iterable[pa.RecordBatch],
    file: IO[bytes],
    check_going_on: Callable[[], None],
    encryption: FileEncryptionProperties | None = None,
) -> int:
    """Write record batches as one Parquet file, compressed with zstd.

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
                    file, table.schema, compression="zstd", write_page_checksum=True, encryption_properties=encryption
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
