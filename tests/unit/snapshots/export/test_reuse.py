"""Which stored objects a run may build on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mindguard.snapshots.export.reuse import Reuse, ReuseUnsafe
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import note_damage
from tests.unit.snapshots.fakes import NOW, memory_store, published, put, settings

KEY = "p/parts/public.t/" + "a" * 40 + ".parquet"


def reuse(store: Store, *bases: Manifest | None, **changes: object) -> Reuse:
    return Reuse(store, settings(**changes), bases, run="f00")


def test_a_new_object_carries_the_runs_own_suffix() -> None:
    store, _ = memory_store()
    assert reuse(store, None).own(KEY) == KEY.replace(".parquet", "-f00.parquet")
    assert reuse(store).find(KEY) is None


def test_an_object_of_a_base_is_found_whatever_its_age_and_its_runs_suffix() -> None:
    store, client = memory_store()
    base = published(store)
    client.now += timedelta(days=40)
    part = base.parts[0]
    found = reuse(store, base).find(part.key.replace(".parquet", "-9.parquet"))
    assert found is not None
    assert (found.key, found.content) == (part.key, part.content)
    assert reuse(store, None).find(part.key) is None, "no base names it, and it is old: expiry may be removing it"


def test_an_object_that_is_gone_cut_off_or_damaged_is_not_reused() -> None:
    store, client = memory_store()
    base = published(store, parts=3)
    client.now += timedelta(days=40)
    gone, short, damaged = (part.key for part in base.parts)
    del client.objects[gone]
    client.objects[short] = b"short"
    note_damage(store, damaged, "fault", print)
    assert [reuse(store, base).find(key) for key in (gone, short, damaged)] == [None] * 3


@pytest.mark.parametrize(("age", "found"), [(timedelta(hours=21), True), (timedelta(hours=22), False)])
def test_an_orphan_is_reused_while_its_grace_period_outlasts_the_run(age: timedelta, *, found: bool) -> None:
    """24 hours of grace, less 120 minutes for the run and 15 for its last request."""
    store, client = memory_store()
    orphan = put(store, KEY.replace(".parquet", "-1.parquet"), b"rows")
    client.now = NOW + age
    assert reuse(store).find(KEY) == (orphan if found else None)


def test_the_first_key_that_is_stored_is_taken() -> None:
    store, _ = memory_store()
    base = published(store)
    one, other = base.parts
    found = reuse(store, base).find_any([KEY, other.key, one.key])
    assert found is not None
    assert found.key == other.key
    assert reuse(store, base).find_any([KEY]) is None


def test_only_the_very_object_of_a_base_counts_as_read_back() -> None:
    store, _ = memory_store()
    base = published(store)
    known = reuse(store, base)
    assert known.named(base.parts[0].key) == base.parts[0]
    assert known.named(base.parts[0].key.replace(".parquet", "-9.parquet")) is None


def test_a_run_that_took_too_long_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = memory_store()
    running = reuse(store, max_age_minutes=1)
    running.check_before_publishing()
    monkeypatch.setattr("time.monotonic", lambda: 1e12)
    with pytest.raises(ReuseUnsafe, match=r"within max_age_minutes; nothing was published – run again"):
        running.check_before_publishing()


def test_a_base_that_expired_meanwhile_makes_the_snapshot_unsafe() -> None:
    store, client = memory_store()
    base = published(store)
    running = reuse(store, base)
    running.check_after_publishing()
    del client.objects[store.manifest_keys()[0]]
    with pytest.raises(ReuseUnsafe, match=f"snapshot {base.snapshot_id} expired"):
        running.check_after_publishing()
