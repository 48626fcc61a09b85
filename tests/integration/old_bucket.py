"""Writes a snapshot as version 0.1 stored it: format 1, with nothing of the package but PostgreSQL's programs.

It must never change with the package, because buckets with such snapshots exist.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from datetime import datetime
from itertools import pairwise
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from mindguard.snapshots.pgtools import tool

TABLE = (
    "create table public.t (id bigint primary key, v text, n numeric(9,2));"
    "insert into public.t select i, repeat(md5(i::text), 2), i / 4.0 from generate_series(1, 20000) i"
)
COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "bigint", "encoding": "native", "not_null": True},
    {"name": "v", "type": "text", "encoding": "native", "not_null": False},
    {"name": "n", "type": "numeric(9,2)", "encoding": "text", "not_null": False},
]
FACTS = {"collation": None, "identity": None, "generated": None, "default": None}
CUTS = [None, "7001", "14001", None]
ROWS = """
    select id, v, textin(numeric_out(n)) from public.t where id >= coalesce(%s::bigint, 0) and id < coalesce(%s, 99999)
    order by id
"""
SUMS = """
    select count(*),
        sum(hash_record_extended(row(int8send(hash_record_extended(value, 1))), 1)) %% 18446744073709551616,
        sum(hash_record_extended(row(int8send(hash_record_extended(value, 2))), 2)) %% 18446744073709551616
    from (
        select row(id, v, textin(numeric_out(n))) as value from public.t
        where id >= coalesce(%s::bigint, 0) and id < coalesce(%s, 99999)
    ) as rows
"""
LANE = 1 << 64


def write_format_1(conninfo: str, client: Any, bucket: str, prefix: str, taken_at: datetime) -> str:
    """Store a snapshot of `public.t` under the prefix, and return its id."""
    snapshot_id = f"{taken_at:%Y%m%dT%H%M%SZ}-0a1b2c"
    run = f"{round(taken_at.timestamp()):08x}0a1b2c"

    def put(key: str, body: bytes) -> dict[str, Any]:
        sha256 = hashlib.sha256(body).hexdigest()
        client.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"sha256": sha256})
        return {"key": key, "sha256": sha256, "bytes": len(body)}

    parts, lanes = [], [0, 0]
    with psycopg.connect(conninfo) as connection:
        for lower, upper in pairwise(CUTS):
            found = connection.execute(ROWS, (lower, upper)).fetchall()
            sums = connection.execute(SUMS, (lower, upper)).fetchone()
            assert sums
            count, *pair = (int(each) for each in sums)
            lanes = [(lane + each) % LANE for lane, each in zip(lanes, pair, strict=True)]
            fingerprint = "".join(f"{each % LANE:016x}" for each in pair)
            content = {
                "format": 1,
                "table": "public.t",
                "columns": [[c["name"], c["type"], c["encoding"], None] for c in COLUMNS],
                "range": ["id", lower, upper],
                "rows": count,
                "fingerprint": fingerprint,
                "times_as_text": False,
            }
            name = hashlib.sha256(canonical(content)).hexdigest()[:40]
            stored = put(f"{prefix}/parts/public.t/{name}-{run}.parquet", parquet(found))
            parts.append(
                stored
                | {"rows": count, "fingerprint": fingerprint, "lower": lower, "upper": upper, "times_as_text": False}
            )
        database, version = connection.execute(
            "select current_database(), current_setting('server_version_num')::int"
        ).fetchall()[0]
    dump = subprocess.run(
        [tool("pg_dump"), "--schema-only", "--format=custom", "-d", conninfo], check=True, capture_output=True
    ).stdout
    schema = put(f"{prefix}/schema/{hashlib.sha256(dump).hexdigest()}-{run}.dump", dump)
    body = {
        "format": 1,
        "snapshot_id": snapshot_id,
        "taken_at": f"{taken_at:%Y-%m-%dT%H:%M:%SZ}",
        "logical_date": None,
        "source": {
            "database": database,
            "server_version": version,
            "system_identifier": None,
            "lsn": "0/1",
            "exported_snapshot": "00000003-0000001B-1",
        },
        "tables": [
            {
                "name": "public.t",
                "kind": "table",
                "columns": [column | FACTS for column in COLUMNS],
                "primary_key": ["id"],
                "part_by": "id",
                "rows": sum(part["rows"] for part in parts),
                "fingerprint": "".join(f"{lane:016x}" for lane in lanes),
                "parts": parts,
            }
        ],
        "enums": [],
        "sequences": [],
        "schema_dump": schema,
        "quarantined_for": [],
    }
    digest = hashlib.sha256(canonical(body)).hexdigest()
    key = f"{prefix}/snapshots/{taken_at:%Y-%m-%d}/{snapshot_id}.json"
    put(key, json.dumps(body | {"digest": digest}, ensure_ascii=False, indent=1).encode())
    return snapshot_id


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parquet(rows: list[tuple[Any, ...]]) -> bytes:
    ids, texts, numbers = zip(*rows, strict=True)
    columns = {"id": pa.array(ids, pa.int64()), "v": pa.array(texts, pa.string()), "n": pa.array(numbers, pa.string())}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="zstd")
    return file.getvalue()
