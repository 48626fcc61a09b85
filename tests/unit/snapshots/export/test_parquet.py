"""Parquet files of parts: what goes in comes out, in row groups of bounded size."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from errno import ENOSPC
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mindguard.snapshots.export.parquet import write_parquet

SCHEMA = pa.schema(
    [
        pa.field("flag", pa.bool_()),
        pa.field("small", pa.int16()),
        pa.field("int", pa.int32()),
        pa.field("big", pa.int64(), nullable=False),
        pa.field("real", pa.float32()),
        pa.field("double", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("bytes", pa.binary()),
        pa.field("uuid", pa.uuid()),
        pa.field("day", pa.date32()),
        pa.field("local", pa.timestamp("us")),
        pa.field("instant", pa.timestamp("us", tz="UTC")),
    ]
)
ROW = {
    "flag": True,
    "small": -(2**15),
    "int": 2**31 - 1,
    "big": -(2**63),
    "real": 1.5,
    "double": 0.1 + 0.2,
    "text": "NULL",
    "bytes": b"\x00\xff",
    "uuid": uuid.UUID(int=7).bytes,
    "day": date(9999, 12, 31),
    "local": datetime(1, 1, 1, 0, 0, 0, 1),  # noqa: DTZ001
    "instant": datetime(2026, 11, 19, 6, 2, 0, 999999, tzinfo=UTC),
}
EMPTY = {**dict.fromkeys(SCHEMA.names), "big": 0, "text": ""}


def batch(*rows: dict[str, object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=SCHEMA)


def megabytes(size: int, byte: bytes = b"\0") -> pa.RecordBatch:
    return pa.record_batch({"v": pa.array([byte * 1_000_000] * size, pa.binary())})


def test_values_and_types_are_kept_over_several_batches() -> None:
    batches = [batch(ROW), batch(EMPTY, ROW), batch(EMPTY)]
    file = BytesIO()
    assert write_parquet(batches, file, lambda: None) == 4
    read = pq.read_table(file)
    assert read.schema.equals(SCHEMA)
    assert read.equals(pa.Table.from_batches(batches))
    assert read.column("text").to_pylist() == ["NULL", "", "NULL", ""]


def test_not_a_number_and_negative_zero_are_kept() -> None:
    values = [float("nan"), -0.0, 0.0, float("inf"), float("-inf"), 5e-324]
    file = BytesIO()
    write_parquet([pa.record_batch({"v": pa.array(values)})], file, lambda: None)
    assert list(map(repr, pq.read_table(file).column("v").to_pylist())) == list(map(repr, values))


def test_row_groups_gather_batches_to_about_16_mb() -> None:
    batches = [megabytes(size) for size in (1, 1, 16, 7, 7, 7, 40, 1)]
    file = BytesIO()
    assert write_parquet(iter(batches), file, lambda: None) == 80
    footer = pq.ParquetFile(file).metadata
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [18, 21, 40, 1]
    assert footer.row_group(0).column(0).compression == "ZSTD"


def test_batches_without_rows_are_a_file_without_rows() -> None:
    file = BytesIO()
    assert write_parquet([batch(), batch()], file, lambda: None) == 0
    assert pq.read_table(file).equals(SCHEMA.empty_table())
    assert write_parquet([batch(), batch(ROW), batch()], file := BytesIO(), lambda: None) == 1
    assert pq.read_table(file).to_pylist()[0]["text"] == "NULL"


def test_a_part_without_batches_has_no_rows() -> None:
    assert write_parquet([], BytesIO(), lambda: None) == 0


def test_what_check_going_on_raises_ends_the_writing() -> None:
    """The check comes before each batch is kept, so at most one batch too many is read from the source."""
    served: list[int] = []
    stop = TimeoutError("the snapshot is too old")

    def source() -> Iterator[pa.RecordBatch]:
        for number in range(9):
            served.append(number)
            yield megabytes(9)

    def check_going_on() -> None:
        if len(served) == 4:
            raise stop

    with pytest.raises(TimeoutError) as caught:
        write_parquet(source(), BytesIO(), check_going_on)
    assert caught.value is stop
    assert served == [0, 1, 2, 3]


def test_what_the_source_or_the_disk_raises_is_not_swallowed() -> None:
    def source() -> Iterator[pa.RecordBatch]:
        yield megabytes(17)
        raise ConnectionResetError

    class FullDisk(BytesIO):
        def write(self, data: object) -> int:
            raise OSError(ENOSPC, "no room")

    with pytest.raises(ConnectionResetError):
        write_parquet(source(), BytesIO(), lambda: None)
    with pytest.raises(OSError, match="no room") as caught:
        write_parquet([batch(ROW)], FullDisk(), lambda: None)
    assert caught.value.errno == ENOSPC, "by which temporary_file tells a full disk from other errors"


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_error_leaves_no_writer_behind_that_still_writes_to_the_closed_file() -> None:
    def source() -> Iterator[pa.RecordBatch]:
        yield megabytes(17)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError), BytesIO() as file:
        write_parquet(source(), file, lambda: None)
    gc.collect()


def test_pages_carry_a_checksum() -> None:
    file = BytesIO()
    write_parquet([pa.record_batch({"v": pa.array([str(number) for number in range(1000)])})], file, lambda: None)
    stored = bytearray(file.getvalue())
    stored[len(stored) // 3] ^= 1
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(BytesIO(bytes(stored)), page_checksum_verification=True).read()


def encodings(file: BytesIO) -> dict[str, set[str]]:
    group = pq.ParquetFile(file).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return {column.path_in_schema: set(column.encodings) - {"RLE", "PLAIN"} for column in columns}


def test_only_values_that_repeat_get_a_dictionary() -> None:
    """The others are told apart by type; what cannot be encoded otherwise is plain."""
    count = 20_000
    days = [date(2026, 1, 1 + number % 28) for number in range(count)]
    batch = pa.record_batch(
        {
            "id": pa.array(range(count)),
            "small": pa.array([number % 7 for number in range(count)], pa.int16()),
            "half.null": pa.array([None if number % 2 else number for number in range(count)]),
            "null": pa.array([None] * count, pa.string()),
            "label": pa.array([f"label {number % 50}" for number in range(count)]),
            "note": pa.array([f"note {number}" for number in range(count)]),
            "blob": pa.array([str(number).encode() for number in range(count)]),
            "uuid": pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([uuid.UUID(int=number).bytes for number in range(count)], pa.binary(16))
            ),
            "day": pa.array(days),
            "instant": pa.array([1_000_000 * number for number in range(count)], pa.timestamp("us", tz="UTC")),
            "score": pa.array([number / 7 for number in range(count)]),
            "flag": pa.array([number % 2 == 0 for number in range(count)]),
        }
    )
    file = BytesIO()
    write_parquet([batch], file, lambda: None)
    assert encodings(file) == {
        "id": {"DELTA_BINARY_PACKED"},
        "small": {"RLE_DICTIONARY"},
        "half.null": {"DELTA_BINARY_PACKED"},
        "null": {"RLE_DICTIONARY"},
        "label": {"RLE_DICTIONARY"},
        "note": {"DELTA_LENGTH_BYTE_ARRAY"},
        "blob": {"DELTA_LENGTH_BYTE_ARRAY"},
        "uuid": set(),
        "day": {"RLE_DICTIONARY"},
        "instant": {"DELTA_BINARY_PACKED"},
        "score": {"BYTE_STREAM_SPLIT"},
        "flag": set(),
    }
    assert pq.read_table(file).equals(pa.Table.from_batches([batch]))
    write_parquet([batch], again := BytesIO(), lambda: None)
    assert again.getvalue() == file.getvalue()
