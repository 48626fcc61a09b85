"""Expiry carried out: what is removed, what stays, and what is said about it."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.retention.expire import Expired, ExpiryIncomplete, expire_snapshots, kept_snapshots
from mindguard.snapshots.retention.holds import hold, release
from mindguard.snapshots.storage.catalog import list_snapshots
from mindguard.snapshots.storage.doubt import Doubt, doubtful_tables, store_doubt
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.proof import Proof, store_proof
from mindguard.snapshots.storage.store import Store
from tests.unit.snapshots.fakes import NOW, MemoryClient, memory_store, published, put

RULES = RetentionSettings(days=30, minimum=2, max_gap_days=60)


def expire(store: Store, *, apply: bool = True) -> Expired:
    return expire_snapshots(store, RULES, now=NOW, apply=apply)


def prove(store: Store, snapshot: Manifest) -> None:
    proof = Proof(
        snapshot_id=snapshot.snapshot_id, proven_at=NOW.astimezone(UTC), seconds=1, tables={}, server_version=1
    )
    key = store.layout.manifest_key(snapshot.taken_at.date(), snapshot.snapshot_id)
    assert store_proof(proof, store, key)


Kept = tuple[Store, MemoryClient, Manifest]


@pytest.fixture
def kept() -> Kept:
    """A snapshot of 40 days ago with two newer, proven ones; all objects are older than the grace period."""
    store, client = memory_store()
    client.now = NOW - timedelta(days=2)
    old, *newer = (published(store, days) for days in (40, 2, 1))
    for each in newer:
        prove(store, each)
    client.now = NOW
    return store, client, old


def test_a_plan_removes_nothing(kept: Kept) -> None:
    store, client, old = kept
    before = dict(client.objects)
    planned = expire(store, apply=False)
    oldest = planned.decisions[0]
    assert (oldest.action, oldest.snapshot.snapshot_id) == ("expire", old.snapshot_id)
    assert (planned.applied, planned.snapshots, client.objects) == (False, [], before)


def test_an_expired_snapshot_goes_with_its_objects_and_no_others(kept: Kept) -> None:
    store, client, old = kept
    before = set(client.objects)
    expired = expire(store)
    expired.check()
    assert expired.snapshots == [old.snapshot_id]
    gone = before - set(client.objects)
    assert gone == {each.key for each in old.objects} | {key for key in gone if key.endswith(f"{old.snapshot_id}.json")}
    assert expired.objects == len(old.objects)
    assert expired.bytes == sum(each.bytes for each in old.objects)
    assert expire(store).objects == 0


def test_what_is_beside_a_manifest_goes_with_it(kept: Kept) -> None:
    store, client, old = kept
    client.now = NOW - timedelta(days=2)
    for each in list_snapshots(store):
        doubt = Doubt(snapshot_id=each.snapshot_id, tables=("public.t",), contradicted="public.t", found_at=NOW)
        store_doubt(doubt, store, store.layout.manifest_key(each.taken_at.date(), each.snapshot_id))
    client.now = NOW
    assert old.snapshot_id in doubtful_tables(store, [old])
    expire(store).check()
    assert set(doubtful_tables(store, [old, *list_snapshots(store)])) == {e.snapshot_id for e in list_snapshots(store)}


def test_the_plan_says_in_words_what_goes(kept: Kept) -> None:
    store, _, old = kept
    planned = str(expire(store, apply=False).planned)
    assert planned.startswith(f"no snapshot needs {len(old.objects)} object")
    assert "left by runs" not in planned
    expire(store)
    assert str(expire(store).planned) == "there are no other objects to remove"


def test_an_object_that_no_snapshot_names_outlives_its_grace_period_only(kept: Kept) -> None:
    store, client, _ = kept
    expire(store)
    keys = [store.layout.part_key("public.t", digit * 40) for digit in "ab"]
    for key, hours in zip(keys, (25, 23), strict=True):
        client.now = NOW - timedelta(hours=hours)
        put(store, key, b"rows of a run that failed")
    client.now = NOW
    assert expire(store).objects == 1
    assert [key in client.objects for key in keys] == [False, True]


def test_what_does_not_belong_to_this_package_stays(kept: Kept) -> None:
    store, client, _ = kept
    client.now = NOW - timedelta(days=400)
    put(store, "p/notes.txt", b"mine")
    client.now = NOW
    expired = expire(store)
    assert expired.foreign == ["p/notes.txt"]
    assert "p/notes.txt" in client.objects


def test_a_held_snapshot_stays_until_it_is_released(kept: Kept) -> None:
    store, _, old = kept
    hold(store, old.snapshot_id, reason="audit", now=NOW)
    held = expire(store)
    assert (held.snapshots, held.decisions[0].reason) == ([], "held: audit")
    release(store, old.snapshot_id)
    assert expire(store).snapshots == [old.snapshot_id]


def test_a_hold_that_comes_while_the_manifest_is_removed_brings_it_back(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, client, old = kept
    key = store.layout.manifest_key(old.taken_at.date(), old.snapshot_id)
    delete = client.delete_object

    def hold_meanwhile(*, Key: str, **more: Any) -> Any:
        if Key == key:
            store.create_sealed(store.layout.beside(key, "hold"), b'{"reason": "just now"}')
        return delete(Key=Key, **more)

    monkeypatch.setattr(client, "delete_object", hold_meanwhile)
    body = client.objects[key]
    assert expire(store).snapshots == []
    assert client.objects[key] == body
    assert all(each.key in client.objects for each in old.objects)


def test_without_a_readable_manifest_no_part_is_removed(kept: Kept) -> None:
    store, client, _ = kept
    put(store, store.layout.part_key("public.t", "a" * 40), b"orphan")
    key = store.manifest_keys()[-1]
    client.objects[key] = b"{}"
    client.now = NOW + timedelta(minutes=1)
    newest = kept_snapshots(store)[-1]
    assert newest.quarantined
    expired = expire(store)
    assert expired.objects == 0
    with pytest.raises(ExpiryIncomplete, match="no part is removed, because a manifest cannot be read"):
        expired.check()


def test_an_object_that_the_store_refuses_to_delete_is_a_fault(kept: Kept) -> None:
    store, client, old = kept
    client.errors["delete_object", old.parts[0].key] = "AccessDenied"
    expired = expire(store)
    assert expired.objects == len(old.objects) - 1
    with pytest.raises(ExpiryIncomplete, match=r"cannot delete .*AccessDenied.*and to delete for expiry"):
        expired.check()
