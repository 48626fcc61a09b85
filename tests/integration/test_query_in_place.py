"""The examples of docs/query-in-place.md: ClickHouse and pyarrow read a snapshot where it lies."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import psycopg
import pytest

from devstack.data.sample_data import load_tables
from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.take import take_snapshot
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, new_key_ring
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store


@pytest.fixture
def counted(fresh_database: str) -> dict[str, int]:
    """Check-ins by mood, counted by PostgreSQL."""
    load_tables(fresh_database, rows=20_000, seed=3, today=datetime(2026, 11, 24, tzinfo=UTC).date(), progress=print)
    with psycopg.connect(fresh_database) as connection:
        return dict(connection.execute("select mood::text, count(*) from public.checkins group by 1").fetchall())


@pytest.fixture
def manifest(counted: dict[str, int], fresh_database: str, store: Store) -> Manifest:
    """A snapshot of several parts."""
    return taken(fresh_database, store)


def taken(conninfo: str, store: Store) -> Manifest:
    settings = SnapshotSettings.model_validate(
        {"bucket": "x", "tables": [{"name": "public.checkins", "part_by": "created_at"}], "part_mb": 1}
    )
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return take_snapshot(conninfo, store, settings, now=now, zone=ZoneInfo("Asia/Shanghai")).manifest


def example(language: str, heading: str) -> str:
    """The code block of this language under this heading."""
    page = (ROOT / "docs/query-in-place.md").read_text("utf-8").split(f"## {heading}\n", 1)[1]
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found.group(1)


def filled_in(text: str, stack: Stack, store: Store, endpoint: str) -> str:
    """The example with the stack's endpoint and keys for the placeholders."""
    values = {"ENDPOINT": endpoint, "BUCKET": store.bucket, "KEY": stack.seaweedfs.access_key}
    for name, value in {**values, "SECRET": stack.seaweedfs.secret_key}.items():
        text = re.sub(rf"\b{name}\b", value, text)
    return text


def run_python(code: str, manifest: Manifest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    (folder / "manifest.json").write_text(json.dumps(manifest.model_dump(mode="json")))
    monkeypatch.chdir(folder)
    printed: list[object] = []
    exec(compile(code, "docs/query-in-place.md", "exec"), {"print": printed.append})
    return {"printed": printed[0]}


def test_clickhouse(
    counted: dict[str, int],
    manifest: Manifest,
    stack: Stack,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(manifest.parts) > 1
    code = example("sh", "ClickHouse").split("<<'PY'\n", 1)[1].split("PY\n", 1)[0]
    code = filled_in(code.replace("https://", "http://"), stack, store, urlsplit(stack.seaweedfs.endpoint).netloc)
    statement = str(run_python(code, manifest, tmp_path, monkeypatch)["printed"])
    assert dict(stack.clickhouse.client().query(statement).result_rows) == counted


def test_pyarrow(
    counted: dict[str, int],
    manifest: Manifest,
    stack: Stack,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh_database: str,
) -> None:
    code = filled_in(example("python", "pyarrow"), stack, store, stack.seaweedfs.endpoint)
    table = run_python(code, manifest, tmp_path, monkeypatch)["printed"]
    with psycopg.connect(fresh_database) as connection:
        low = connection.execute("select mood::text, count(*) from public.checkins where mood_score <= 3 group by 1")
        assert {row["mood"]: row["mood_count"] for row in table.to_pylist()} == dict(low.fetchall())  # type: ignore[attr-defined]


def test_pyarrow_reads_encrypted_parts_with_the_key_ring(
    counted: dict[str, int],
    fresh_database: str,
    stack: Stack,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = new_key_ring("2026-11")
    encryption = Encryption(KeyRing.from_json(text, origin="test"))
    store = Store(stack.seaweedfs.client(), bucket=bucket, prefix="key-tables", encryption=encryption)
    manifest = taken(fresh_database, store)
    assert len(manifest.parts) > 1
    connection = json.dumps({"conn_type": "generic", "password": text})
    monkeypatch.setenv("AIRFLOW_CONN_MINDGUARD_KEYS", connection)
    code = filled_in(example("python", "With client-side encryption"), stack, store, stack.seaweedfs.endpoint)
    assert run_python(code, manifest, tmp_path, monkeypatch)["printed"] == sum(counted.values())
