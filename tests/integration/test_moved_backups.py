"""A copy of the backups under another prefix, or in another bucket, is complete without its original."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devstack.stack import Stack
from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.restore.drill import Unrestorable, drill_stored
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.retention.expire import expire_snapshots
from mindguard.snapshots.storage.catalog import find_snapshot, list_snapshots, proven
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, SealBroken, new_key_ring
from mindguard.snapshots.storage.manifest import FORMAT, Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import SnapshotDamaged, note_damage, verify_snapshot
from tests.integration.restoring import NOW, empty_database, fingerprints, run, take
from tests.stored_objects import overwrite, remove
from tests.waiting import wait_until


@pytest.fixture
def database(fresh_database: str) -> str:
    run(
        fresh_database,
        "create table t (id int primary key, v text)",
        "insert into t select i, repeat(md5(i::text), 2) from generate_series(1, 40000) i",
    )
    return fresh_database


def moved(store: Store, prefix: str, bucket: str = "", **more: Any) -> Store:
    """Copy every object as `aws s3 cp --recursive` does."""
    bucket = bucket or store.bucket
    for key in store.keys():  # noqa: SIM118 - a store is not a mapping
        to = f"{prefix}{key.removeprefix(store.prefix)}"
        source: Any = {"Bucket": store.bucket, "Key": key}
        store._client.copy_object(Bucket=bucket, Key=to, CopySource=source)
    return Store(store._client, bucket=bucket, prefix=prefix, sse="AES256", **more)


def lose(store: Store) -> None:
    for key in store.keys():  # noqa: SIM118
        remove(store, key)


def as_format(number: int, store: Store) -> None:
    """Write every manifest as versions with that format did."""
    for key in store.manifest_keys():
        manifest = find_snapshot(store, key.rpartition("/")[2].removesuffix(".json"))
        overwrite(store, key, without_tuples(manifest).model_copy(update={"format": number}).to_bytes())


def without_tuples(manifest: Manifest) -> Manifest:
    body = manifest.model_dump()
    for name in ("timeline", "next_transaction", "started_at"):
        del body["source"][name]
    for table in body["tables"]:
        del table["read_state"], table["tuples"], table["settled"]
        for part in table["parts"]:
            del part["tuples"], part["values_read_at"]
    return Manifest.model_validate(body)


@pytest.mark.parametrize("number", [1, 2, FORMAT])
@pytest.mark.parametrize("prefix", ["copy", "key-tables-2/parts", "key-tables/old"])
def test_a_copy_needs_nothing_of_its_original(
    prefix: str, number: int, database: str, store: Store, stack: Stack
) -> None:
    taken = take(database, store).manifest
    if number < FORMAT:
        as_format(number, store)
    copy = moved(store, prefix)
    for key in {*store.keys()} - {*copy.keys()}:
        remove(store, key)
    manifest = find_snapshot(copy, "latest")
    assert manifest.format == number
    assert {each.key.removeprefix(prefix) for each in manifest.objects} == {
        each.key.removeprefix(store.prefix) for each in taken.objects
    }
    verify_snapshot(manifest, copy).check()
    with empty_database(stack) as empty:
        rebuild(manifest, copy, empty)
        assert fingerprints(empty, "public.t") == fingerprints(database, "public.t")
    drill_stored("latest", copy, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    again = take(database, copy)
    assert again.tables["public.t"].parts_written == 0
    assert {each.key for each in again.manifest.parts} == {each.key for each in manifest.parts}


def expire_everything(store: Store, *, minimum: int = 1) -> None:
    newest = max(each.written_at for each in store.listing())
    wait_until(lambda: store.clock() > newest + timedelta(seconds=1), 10, "the store's clock stands still")
    rules = RetentionSettings().model_copy(
        update={"grace_hours": 0, "days": 0, "minimum": minimum, "max_gap_days": 10_000}
    )
    expire_snapshots(store, rules, now=store.clock(), apply=True).check()


@pytest.mark.parametrize("number", [1, 2, FORMAT])
def test_expiry_of_a_copy_and_of_its_original_do_not_touch_each_other(
    number: int, database: str, store: Store, stack: Stack
) -> None:
    scratch = stack.postgres_conninfo("mindguard_drill")
    take(database, store)
    run(database, "delete from t where id <= 20000")
    take(database, store)
    if number < FORMAT:
        as_format(number, store)
    newest = max(find_snapshot(store, each.snapshot_id).snapshot_id for each in list_snapshots(store))
    drill_stored(newest, store, scratch, now=NOW)
    copy = moved(store, "copy")
    originals = set(store.keys())
    for acting, other in ((copy, store), (store, copy)):
        before = set(other.keys())
        expire_everything(acting)
        assert set(other.keys()) == before
        (left,) = list_snapshots(acting)
        assert {each.key for each in left.objects} <= set(acting.keys())
        verify_snapshot(left, acting).check()
        assert list(proven(acting)) == [left.snapshot_id]
    assert set(store.keys()) < originals


def test_a_copy_that_lacks_a_part_is_damaged_while_the_original_is_whole(
    database: str, store: Store, stack: Stack
) -> None:
    taken = take(database, store).manifest
    copy = moved(store, "copy")
    missing = taken.parts[0].key.replace("key-tables", "copy", 1)
    remove(copy, missing)
    with pytest.raises(SnapshotDamaged, match=f"{missing} is missing"):
        verify_snapshot(find_snapshot(copy, "latest"), copy).check()
    with pytest.raises(Unrestorable, match=f"{missing} is missing"):
        drill_stored("latest", copy, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    verify_snapshot(find_snapshot(store, "latest"), store).check()


def test_a_note_of_damage_moves_with_the_object(database: str, store: Store) -> None:
    taken = take(database, store).manifest
    note_damage(store, taken.parts[0].key, "fault", print)
    assert take(database, moved(store, "copy")).tables["public.t"].parts_written == 1


def test_an_encrypted_copy_moves_to_another_bucket_and_says_that_it_needs_its_prefix(
    database: str, store: Store, stack: Stack
) -> None:
    """The prefix is part of what encrypts an object, so that none can take the place of another."""
    ring = KeyRing.from_json(new_key_ring("2026-11"), origin="test")
    store.encryption = Encryption(ring)
    taken = take(database, store).manifest
    stack.seaweedfs.client().create_bucket(Bucket=f"{store.bucket}-2")
    elsewhere = moved(store, store.prefix, f"{store.bucket}-2", encryption=store.encryption)
    renamed = moved(store, "copy", encryption=store.encryption)
    lose(store)
    assert find_snapshot(elsewhere, "latest") == taken
    verify_snapshot(taken, elsewhere).check()
    drill_stored("latest", elsewhere, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    with pytest.raises(SealBroken, match="or moved from another key"):
        find_snapshot(renamed, "latest")


def test_a_manifest_is_never_read_for_another_prefix(database: str, store: Store) -> None:
    taken = take(database, store)
    assert all(each.key.startswith("key-tables/") for each in taken.manifest.objects)
    stored = Manifest.from_bytes(store.read(taken.key), origin="")
    assert all(each.key.startswith(("parts/", "schema/")) for each in stored.objects)
