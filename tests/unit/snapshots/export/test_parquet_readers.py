"""Engines that people query parts with read every encoding that parts are written with."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from mindguard.snapshots.export.parquet import write_parquet

ROWS = 9000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
QUERY = """
    select count(*) as n, sum(id) as ids, sum(small) as smalls, min(spread) as least, max(spread) as most,
        sum(case when note is null then 1 else 0 end) as missing, max(note) as last_note, max(label) as last_label,
        sum(score) as scores, sum(case when flag then 1 else 0 end) as flags, count(distinct instant) as instants,
        count(distinct uuid) as uuids, sum(octet_length(blob)) as bytes,
        sum(case when note = '' then 1 else 0 end) as empties
    from FILE
"""
READERS = {
    "chdb": "import chdb; print(chdb.query({query!r}.replace('FILE', \"file('{file}', Parquet)\"), 'JSONEachRow'))",
    "duckdb": (
        "import duckdb, json; found = duckdb.sql({query!r}.replace('FILE', \"read_parquet('{file}')\")); "
        "print(json.dumps(dict(zip(found.columns, map(str, found.fetchall()[0])))))"
    ),
}


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of several row groups; each column shows one encoding, most of them with nulls."""
    numbers = range(ROWS)
    uuids = pa.array([uuid.UUID(int=number).bytes for number in numbers], pa.binary(16))
    batch = pa.record_batch(
        {
            "id": pa.array(numbers),
            "small": pa.array([number % 5 for number in numbers], pa.int16()),
            "spread": pa.array([None if number % 7 == 0 else (-1) ** number * number**4 for number in numbers]),
            "note": pa.array(
                [None if number % 3 == 0 else "" if number == 1 else f"低 {number:05}" for number in numbers]
            ),
            "label": pa.array([f"label {number % 40:02}" for number in numbers]),
            "score": pa.array([number / 8 for number in numbers]),
            "flag": pa.array([number % 2 == 0 for number in numbers]),
            "instant": pa.array([BEGAN + timedelta(seconds=number) for number in numbers], pa.timestamp("us", "UTC")),
            "uuid": pa.ExtensionArray.from_storage(pa.uuid(), uuids),
            "blob": pa.array([b"\0" * (number % 900) + str(number).encode() for number in numbers]),
        }
    )
    path = tmp_path_factory.mktemp("part") / "part.parquet"
    with path.open("wb") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr("mindguard.snapshots.export.parquet._ROW_GROUP_BYTES", 1_000_000)
        write_parquet([batch.slice(first, 1500) for first in range(0, ROWS, 1500)], file, lambda: None)
    return path


@pytest.mark.parametrize("reader", READERS)
def test_an_engine_reads_every_encoding(reader: str, part: Path) -> None:
    if not importlib.util.find_spec(reader):
        pytest.skip(f"{reader} is not installed")
    code = READERS[reader].format(query=QUERY, file=part)
    found = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    spread = [(-1) ** number * number**4 for number in range(ROWS) if number % 7]
    expected = {
        "n": ROWS,
        "ids": sum(range(ROWS)),
        "smalls": sum(number % 5 for number in range(ROWS)),
        "least": min(spread),
        "most": max(spread),
        "missing": ROWS // 3,
        "last_note": f"低 {ROWS - 1:05}",
        "last_label": "label 39",
        "scores": sum(range(ROWS)) / 8,
        "flags": ROWS // 2,
        "instants": ROWS,
        "uuids": ROWS,
        "bytes": sum(number % 900 + len(str(number)) for number in range(ROWS)),
        "empties": 1,
    }
    assert {name: float(value) if name == "scores" else str(value) for name, value in found.items()} == {
        name: value if name == "scores" else str(value) for name, value in expected.items()
    }
