"""A server reads rows in binary as it reads the same rows as CSV: any value of every type that has a binary form."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from mindguard.snapshots.restore.binary import HEADER, TRAILER, binary_rows
from mindguard.snapshots.restore.load import _csv
from mindguard.sql import literal, statement

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def plain(number: Any) -> str:
    """The number as the server writes it: without an exponent."""
    return format(number, "f")


# Column → type in the table, Arrow type in a part, and values.
COLUMNS: dict[str, tuple[str, pa.DataType, st.SearchStrategy[Any]]] = {
    "flag": ("bool", pa.bool_(), st.booleans()),
    "small": ("int2", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "number": ("int4", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "big": ("int8", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "real": ("float4", pa.float32(), st.floats(width=32)),
    "double": ("float8", pa.float64(), st.floats()),
    "day": ("date", pa.date32(), st.dates(date(1, 1, 1), date(9999, 12, 31))),
    "local": ("timestamp", pa.timestamp("us"), st.datetimes()),
    "instant": ("timestamptz", pa.timestamp("us", tz="UTC"), st.datetimes(timezones=st.just(UTC))),
    "uuid": ("uuid", pa.binary(16), st.binary(min_size=16, max_size=16)),
    "bytes": ("bytea", pa.binary(), st.binary(max_size=9)),
    "text": ("text", pa.string(), TEXT),
    "name": ("varchar(8)", pa.string(), TEXT),
    "code": ("char(8)", pa.string(), TEXT.filter(lambda text: text == text.rstrip(" "))),
    "mood": ("mood", pa.string(), st.sampled_from(["calm", "低落", 'quo"te'])),
    "json": ("json", pa.string(), JSON.map(json.dumps)),
    "jsonb": ("jsonb", pa.string(), JSON.filter(lambda each: "\0" not in str(each)).map(json.dumps)),
    "exact": ("numeric(9, 4)", pa.string(), st.decimals(-99_999, 99_999, places=4).map(plain)),
    "decimal": (
        "numeric",
        pa.string(),
        # At most 15 digits, after all have got as many places as the one with the most.
        st.one_of(st.decimals(-(10**9), 10**9, places=places) for places in (0, 1, 2, 3, 5)).map(plain),
    ),
    "labels": (
        "text[]",
        pa.string(),
        st.lists(st.none() | TEXT | st.sampled_from(["NULL", "null", " ", ""]), max_size=4),
    ),
    "codes": ("varchar(8)[]", pa.string(), st.lists(st.none() | TEXT, max_size=3)),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, _, values) in COLUMNS.items()}), min_size=1
)


def as_batch(rows: list[dict[str, Any]], connection: psycopg.Connection[Any]) -> pa.RecordBatch:
    """The rows as a part holds them; the server itself writes arrays as text."""
    for name in ("labels", "codes"):
        for row in rows:
            if row[name] is not None:
                written = connection.execute("select %s::text[]::text", [row[name]]).fetchone()
                row[name] = written and written[0]
    return pa.RecordBatch.from_pylist(rows, schema=pa.schema([(name, kind) for name, (_, kind, _) in COLUMNS.items()]))


def read_as_both(batch: pa.RecordBatch, conninfo: str) -> tuple[list[Any], list[Any]]:
    """What the server has after it has read the batch in binary, and as CSV."""
    found = []
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        known = connection.execute(statement("select_copy_types", relation=literal("public.typed")))
        kinds = dict(known.fetchall())
        types = [kinds[name] for name in batch.schema.names]
        binary = binary_rows(batch, types)
        assert binary is not None
        texts = [pa.types.is_string(column.type) for column in batch.columns]
        columns = [
            column.dictionary_encode() if text else column for column, text in zip(batch.columns, texts, strict=True)
        ]
        assert binary_rows(pa.RecordBatch.from_arrays(columns, batch.schema.names), types) == binary
        for form, chunks in (("binary", [HEADER, binary, TRAILER]), ("csv", [_csv(batch)])):
            connection.execute("truncate public.typed")
            names = sql.SQL(", ").join(map(sql.Identifier, batch.schema.names))
            copying = sql.SQL("copy public.typed ({}) from stdin (format {})").format(names, sql.SQL(form))
            with connection.cursor().copy(copying) as copy:
                for chunk in chunks:
                    copy.write(chunk)
            found.append(connection.execute("select typed::text from public.typed order by ctid").fetchall())
    return found[0], found[1]


def create(conninfo: str) -> None:
    definitions = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in COLUMNS.items())
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("create type public.mood as enum ('calm', '低落', 'quo\"te')")
        connection.execute(f"create table public.typed ({definitions})".encode())


def test_any_row_is_read_as_from_csv(fresh_database: str) -> None:
    create(fresh_database)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ROWS)
    def check(rows: list[dict[str, Any]]) -> None:
        with psycopg.connect(fresh_database, autocommit=True) as connection:
            batch = as_batch([dict(row) for row in rows], connection)
        binary, csv = read_as_both(batch, fresh_database)
        assert binary == csv
        assert len(binary) == len(rows)

    check()


def test_the_edges_of_types_are_read_as_from_csv(fresh_database: str) -> None:
    create(fresh_database)
    nothing = dict.fromkeys(COLUMNS)
    rows = [
        nothing,
        {**nothing, "double": float("nan"), "real": -0.0, "decimal": "0", "exact": "0.0000", "text": ""},
        {**nothing, "double": -0.0, "real": float("-inf"), "decimal": "0.00000", "labels": [], "bytes": b""},
        {**nothing, "day": date(1, 1, 1), "local": datetime(1, 1, 1), "instant": datetime(1, 1, 1, tzinfo=UTC)},  # noqa: DTZ001
        {**nothing, "instant": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "day": date(9999, 12, 31)},
        {**nothing, "decimal": "-10000.0001", "exact": "-0.0001", "text": "NULL", "labels": ["NULL", None, ""]},
        {**nothing, "decimal": "9999999999.99999", "name": "trailing", "code": "", "jsonb": "null", "json": " null "},
        {**nothing, "decimal": "100000000", "jsonb": '{"a": 123456789012345678901234567890.10}', "mood": 'quo"te'},
    ]
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        batch = as_batch(rows, connection)
    for first in range(len(rows)):
        binary, csv = read_as_both(batch.slice(first), fresh_database)
        assert binary == csv
