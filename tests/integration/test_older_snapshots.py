"""Snapshots that older versions stored are read, verified, drilled, restored, reused from and expired by this one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devstack.stack import Stack
from mindguard.snapshots.restore.drill import drill_stored
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.catalog import find_snapshot, list_snapshots, proven
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.expiring import expire, prove, take_at
from tests.integration.old_bucket import TABLE, write_format_1
from tests.integration.restoring import empty_database, fingerprints, run


@pytest.fixture
def old(fresh_database: str, store: Store) -> str:
    """Id of a snapshot of format 1, which is 40 days old."""
    run(fresh_database, TABLE)
    taken_at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=40)
    return write_format_1(fresh_database, store._client, store.bucket, store.prefix, taken_at)


def test_it_is_verified_drilled_and_restored(old: str, fresh_database: str, store: Store, stack: Stack) -> None:
    found = find_snapshot(store, "latest")
    assert (found.snapshot_id, found.format) == (old, 1)
    verify_snapshot(found, store).check()
    drill_stored(old, store, stack.postgres_conninfo("mindguard_drill"), now=datetime.now(UTC))
    assert set(proven(store)) == {old}
    with empty_database(stack) as empty:
        rebuild(found, store, empty)
        assert fingerprints(empty, "public.t") == fingerprints(fresh_database, "public.t")


def test_its_parts_are_reused_and_outlive_it(old: str, fresh_database: str, store: Store) -> None:
    before = find_snapshot(store, old)
    run(fresh_database, "update t set v = 'new' where id = 1")
    second = take_at(fresh_database, store, 1)
    assert (second.tables["public.t"].parts_written, second.tables["public.t"].parts_reused) == (1, 2)
    assert all(part.values_read_at == second.manifest.taken_at for part in second.manifest.parts), "no tuple digest yet"
    third = take_at(fresh_database, store, 0.9)
    assert not any(part.values_read_at == third.manifest.taken_at for part in third.manifest.parts)
    for each in (second, third):
        prove(store, each)
    expire(store, store, days=30, minimum=1).check()
    assert [each.snapshot_id for each in list_snapshots(store)] == [
        second.manifest.snapshot_id,
        third.manifest.snapshot_id,
    ]
    stored = set(store.keys("parts/"))
    first, *others = [part.key for part in before.parts]
    assert first not in stored
    assert stored.issuperset(others)
    verify_snapshot(third.manifest, store).check()
