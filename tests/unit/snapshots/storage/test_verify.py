"""What verify finds in a bucket, and what it does not blame on the snapshot."""

from __future__ import annotations

import pytest

from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.manifest import Column, Manifest
from mindguard.snapshots.storage.s3_errors import StoreFault
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import SnapshotDamaged, verify_snapshot
from tests.unit.snapshots.fakes import MemoryClient, memory_store, published


@pytest.fixture
def stored() -> tuple[Manifest, Store, MemoryClient]:
    store, client = memory_store()
    return published(store), store, client


Stored = tuple[Manifest, Store, MemoryClient]


def test_a_whole_snapshot_has_no_faults(stored: Stored) -> None:
    manifest, store, _ = stored
    lines: list[str] = []
    verified = verify_snapshot(manifest, store, progress=lines.append)
    verified.check()
    assert (verified.faults, verified.parts, verified.bytes) == ((), 2, manifest.stored_bytes)
    assert sorted(lines) == [f"verified object {number}/3" for number in (1, 2, 3)]
    assert store.keys("damaged/") == []


def test_one_altered_byte_is_found_and_noted_in_the_store(stored: Stored) -> None:
    manifest, store, client = stored
    key = manifest.parts[0].key
    client.objects[key] = client.objects[key].replace(b"PAR1", b"PAR2", 1)
    verified = verify_snapshot(manifest, store)
    (fault,) = verified.faults
    assert fault.startswith(f"public.t: {key} has {manifest.parts[0].bytes:,} bytes with SHA-256 ")
    assert store.keys("damaged/") == [store.layout.damage_key(key)]
    with pytest.raises(SnapshotDamaged, match=r"is damaged: .* take a new one now"):
        verified.check()


def test_a_missing_object_is_a_fault(stored: Stored) -> None:
    manifest, store, client = stored
    del client.objects[manifest.schema_dump.key]
    assert verify_snapshot(manifest, store).faults == (f"{manifest.schema_dump.key} is missing",)


def _with_part(manifest: Manifest, **changes: object) -> Manifest:
    table = manifest.tables[0]
    parts = (table.parts[0].model_copy(update=changes), *table.parts[1:])
    return manifest.model_copy(update={"tables": (table.model_copy(update={"parts": parts}),)})


def test_rows_and_columns_are_compared_with_the_footer(stored: Stored) -> None:
    manifest, store, _ = stored
    (fault,) = verify_snapshot(_with_part(manifest, rows=3), store).faults
    assert fault.endswith("holds 2 rows of ['id'], not 3 of ['id']")
    renamed = manifest.tables[0].model_copy(update={"columns": (Column(name="k", type="bigint", encoding="native"),)})
    faults = verify_snapshot(manifest.model_copy(update={"tables": (renamed,)}), store).faults
    assert [fault.rpartition("holds ")[2] for fault in faults] == ["2 rows of ['id'], not 2 of ['k']"] * 2


def test_bytes_that_are_no_parquet_are_a_fault_even_if_they_are_the_recorded_ones(stored: Stored) -> None:
    manifest, store, client = stored
    body = b"not Parquet"
    client.objects[manifest.parts[0].key] = body
    recorded = Content.of(body)
    (fault,) = verify_snapshot(_with_part(manifest, sha256=recorded.sha256, bytes=recorded.size), store).faults
    assert "is not Parquet" in fault


def test_an_object_that_alone_is_not_given_back_is_damaged(stored: Stored) -> None:
    manifest, store, client = stored
    key = manifest.parts[1].key
    client.errors["get_object", key] = "InternalError"
    (fault,) = verify_snapshot(manifest, store).faults
    assert fault.startswith(f"public.t: the store does not return {key}, although it returns others")
    assert store.keys("damaged/") == [store.layout.damage_key(key)]


def test_a_store_that_gives_back_less_than_half_says_nothing_about_the_snapshot(stored: Stored) -> None:
    manifest, store, client = stored
    for each in manifest.parts:
        client.errors["get_object", each.key] = "InternalError"
    with pytest.raises(StoreFault):
        verify_snapshot(manifest, store)
    assert store.keys("damaged/") == []
