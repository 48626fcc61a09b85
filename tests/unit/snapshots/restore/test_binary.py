"""Rows in PostgreSQL's binary form; the integration tests have a server read them."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from mindguard.snapshots.restore.binary import binary_rows


def fields(rows: memoryview) -> list[list[bytes | None]]:
    """The values of each row, as they follow each other on the wire."""
    found: list[list[bytes | None]] = []
    position = 0
    while position < len(rows):
        (count,) = struct.unpack_from(">h", rows, position)
        position += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", rows, position)
            position += 4
            row.append(None if length < 0 else bytes(rows[position : position + length]))
            position += max(length, 0)
        found.append(row)
    return found


def of_column(array: pa.Array[Any], kind: str) -> list[bytes | None] | None:
    rows = binary_rows(pa.record_batch({"v": array}), [kind])
    return None if rows is None else [value for (value,) in fields(rows)]


def numeric(text: str) -> bytes | None:
    found = of_column(pa.array([text]), "numeric")
    return found[0] if found else None


def test_rows_follow_each_other_with_their_nulls() -> None:
    batch = pa.record_batch(
        {
            "id": pa.array([1, 2, 3], pa.int32()),
            "note": pa.array(["低", None, ""]),
            "size": pa.array([None, -2, 3], pa.int64()),
            "answers": pa.array(["{}", None, "[]"]),
            "flag": pa.array([True, False, None]),
        }
    )
    kinds = ["int4", "text", "int8", "jsonb", "bool"]
    expected = [
        [b"\0\0\0\1", "低".encode(), None, b"\1{}", b"\1"],
        [b"\0\0\0\2", None, b"\xff" * 7 + b"\xfe", None, b"\0"],
        [b"\0\0\0\3", b"", b"\0" * 7 + b"\3", b"\1[]", None],
    ]
    rows = binary_rows(batch, kinds)
    assert rows is not None
    assert fields(rows) == expected
    columns = [column.dictionary_encode() if pa.types.is_string(column.type) else column for column in batch.columns]
    repeating = pa.RecordBatch.from_arrays(columns, batch.schema.names)
    assert binary_rows(repeating, kinds) == rows
    assert binary_rows(repeating.slice(1, 2), kinds) == binary_rows(batch.slice(1, 2), kinds)
    part = binary_rows(batch.slice(1, 2), kinds)
    assert part is not None
    assert fields(part) == expected[1:], "a slice shares its buffers with the rest"


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("numeric", pa.array(["1", "NaN"])),
        ("numeric", pa.array(["Infinity"])),
        ("numeric", pa.array(["1234567890123456"])),
        ("numeric", pa.array(["0.0000000000000001"])),
        ("numeric", pa.array(["1" + "0" * 400, "0." + "0" * 400 + "1"])),
        ("numeric", pa.array(["no number"])),
        ("_text", pa.array(["{{a},{b}}"])),
        ("_text", pa.array(["[0:1]={a,b}"])),
        ("_text", pa.array(["{a"])),
        ("_text", pa.array([f"{{{number}}}" for number in range(1000)])),
        ("timestamptz", pa.array(["infinity"])),
        ("timestamptz", pa.array([0], pa.timestamp("us"))),
        ("timestamp", pa.array([0], pa.timestamp("us", "UTC"))),
        ("int8", pa.array([1], pa.int32())),
        ("text", pa.array([1])),
        ("bytea", pa.array(["x"])),
        ("uuid", pa.array(["x"])),
        ("interval", pa.array(["1 day"])),
        ("", pa.array(["x"])),
    ],
)
def test_what_has_no_exact_form_is_left_to_csv(kind: str, array: pa.Array[Any]) -> None:
    assert of_column(array, kind) is None
    assert of_column(array.dictionary_encode(), kind) is None


def test_nothing_but_nulls() -> None:
    for array in (pa.array([None, None], pa.string()), pa.array([None, None], pa.string()).dictionary_encode()):
        for kind in ("text", "numeric", "_text", "jsonb"):
            assert of_column(array, kind) == [None, None]


def test_numerics_keep_their_scale() -> None:
    sign = 0x4000
    assert numeric("1.10") == struct.pack(">hhHh2h", 2, 0, 0, 2, 1, 1000)
    assert numeric("-12345.6") == struct.pack(">hhHh3h", 3, 1, sign, 1, 1, 2345, 6000)
    assert numeric("0.00") == struct.pack(">hhHh2h", 2, 0, 0, 2, 0, 0), "the server strips zeros"
    assert of_column(pa.array(["1.5", None, "20"]), "numeric") == [
        struct.pack(">hhHh2h", 2, 0, 0, 1, 1, 5000),
        None,
        struct.pack(">hhHh2h", 2, 0, 0, 0, 20, 0),
    ]
    assert numeric("999999999999999") is not None


def test_arrays_of_texts() -> None:
    array = pa.array(['{a,NULL,"NULL","","x,\\"y\\\\"}', "{}", None, "{\u3000,低}"])
    head, element = struct.pack(">iii", 1, 1, 25), struct.Struct(">i").pack
    assert of_column(array, "_text") == [
        head
        + struct.pack(">ii", 5, 1)
        + element(1)
        + b"a"
        + element(-1)
        + element(4)
        + b"NULL"
        + element(0)
        + element(5)
        + b'x,"y\\',
        struct.pack(">iii", 0, 0, 25),
        None,
        struct.pack(">iiiii", 1, 0, 25, 2, 1) + element(3) + "\u3000".encode() + element(3) + "低".encode(),
    ]


def test_pandas_is_not_imported() -> None:
    """It would take longer than loading a small table does."""
    code = (
        "import io, sys, pyarrow as pa; from pyarrow import csv; "
        "from mindguard.snapshots.restore.binary import binary_rows; "
        "types = {'a': pa.string(), 'b': pa.int64(), 'c': pa.string()}; "
        "options = csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=['']); "
        "table = csv.read_csv(io.BytesIO(b'a,b,c\\n1.5,,{x}\\n,2,\\n'), convert_options=options); "
        "assert 'pandas' not in sys.modules; "
        "assert binary_rows(table.to_batches()[0], ['numeric', 'int8', '_text']); "
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
