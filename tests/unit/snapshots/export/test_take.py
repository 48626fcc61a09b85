"""Taking a snapshot: the manifest comes last, and only a key ring that can read the others may seal it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mindguard.snapshots.export import take
from mindguard.snapshots.export.exporter import PartMismatch
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.storage.catalog import find_snapshot, list_snapshots
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, KeyRingInvalid, new_key_ring
from mindguard.snapshots.storage.store import Store
from tests.unit.snapshots.fakes import NOW, FakeSource, memory_store, settings

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    source = FakeSource(1, 2, 3, 4)
    monkeypatch.setattr(take, "open_source", source.opened)
    return source


def ring(label: str, rotated: KeyRing | None = None) -> KeyRing:
    return KeyRing.from_json(new_key_ring(label, rotated), origin="test")


def taken(store: Store, days: float = 0, **more: Any) -> Taken:
    now = NOW + timedelta(days=days)
    return take_snapshot("", store, settings(), now=now, zone=SHANGHAI, **more)


def test_a_snapshot_is_published_under_the_day_of_the_time_zone(source: FakeSource) -> None:
    store, _ = memory_store()
    result = taken(store)
    assert result.key == f"p/snapshots/2026-11-25/{result.manifest.snapshot_id}.json"
    assert find_snapshot(store, "latest") == result.manifest
    assert result.manifest.taken_at == NOW
    assert result.summary()["tables"]["public.t"]["parts_written"] == 2
    assert result.source_bytes == 1_000_000


def test_unchanged_rows_are_reused_and_a_shrunken_table_is_quarantined(source: FakeSource) -> None:
    store, client = memory_store()
    first = taken(store)
    client.now += timedelta(days=1)
    second = taken(store, 1)
    assert [each.key for each in second.manifest.objects] == [each.key for each in first.manifest.objects]
    assert second.manifest.quarantined_for == ()
    source.ids = (1,)
    third = taken(store, 2)
    assert third.manifest.quarantined_for == ("public.t has 1 rows, it had 4",)


def test_nothing_is_published_after_an_error(source: FakeSource) -> None:
    store, _ = memory_store()
    source.lost = 1
    with pytest.raises(PartMismatch):
        taken(store)
    assert store.manifest_keys() == []


def test_a_late_run_says_which_rows_it_holds(source: FakeSource) -> None:
    store, _ = memory_store()
    lines: list[str] = []
    taken(store, logical_date=NOW - timedelta(hours=26), progress=lines.append)
    assert not any("logical date" in line for line in lines)
    taken(store, 1, logical_date=NOW - timedelta(hours=3), progress=lines.append)
    assert any("this snapshot holds the rows of now, 2026-11-25T18:00" in line for line in lines)


@pytest.mark.usefixtures("source")
class TestKeyRings:
    old = ring("2026-10")
    rotated = ring("2026-11", old)

    def test_a_rotated_ring_goes_on(self) -> None:
        store, _ = memory_store(Encryption(self.old))
        taken(store)
        store.encryption = Encryption(self.rotated)
        assert taken(store, 1).manifest.keys == (self.rotated.current,)

    def test_a_ring_made_anew_is_refused(self) -> None:
        store, _ = memory_store(Encryption(self.old))
        first = taken(store)
        store.encryption = Encryption(ring("2026-12"))
        with pytest.raises(KeyRingInvalid, match=f"newest snapshot {first.manifest.snapshot_id}, whose key 2026-10-"):
            taken(store, 1)

    def test_a_damaged_manifest_says_nothing_about_the_ring(self) -> None:
        store, client = memory_store(Encryption(self.old))
        taken(store)
        taken(store, 1)
        client.objects[store.manifest_keys()[-1]] = b"damaged"
        assert taken(store, 2).manifest.keys == (self.old.current,)
        client.objects[store.manifest_keys()[-1]] = b"damaged"
        store.encryption = Encryption(ring("2026-12"))
        with pytest.raises(KeyRingInvalid, match="whose key 2026-10-"):
            taken(store, 3)

    def test_a_ring_from_before_the_rotation_is_refused(self) -> None:
        store, _ = memory_store(Encryption(self.old))
        taken(store)
        store.encryption = Encryption(self.rotated)
        taken(store, 1)
        store.encryption = Encryption(self.old)
        with pytest.raises(KeyRingInvalid, match="restore the ring from where it is kept safe"):
            taken(store, 2)

    def test_a_ring_whose_old_key_was_destroyed_on_purpose_is_accepted(self) -> None:
        store, _ = memory_store(Encryption(self.old))
        taken(store)
        only_new = KeyRing(
            self.rotated.current, {self.rotated.current: self.rotated.keys[self.rotated.current]}, self.rotated.naming
        )
        store.encryption = Encryption(only_new)
        assert taken(store, 1).manifest.keys == (only_new.current,)


def test_the_names_of_parts_lead_to_the_manifest_in_any_time_zone(source: FakeSource) -> None:
    store, _ = memory_store()
    for zone in ("Asia/Shanghai", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        result = take_snapshot("", store, settings(), now=NOW, zone=ZoneInfo(zone))
        for key in (result.key, store.layout.beside(result.key, "proof")):
            assert store.layout.written_for(key) == result.manifest.snapshot_id
        assert result.key in store.layout.possible_manifest_keys(result.manifest.snapshot_id)
    first = {store.layout.written_for(each.key) for each in result.manifest.objects}
    assert first == {each.snapshot_id for each in list_snapshots(store)} & first
    assert len(first) == 1, "young parts are reused, and keep the name of the snapshot that they were written for"
    assert store.layout.written_for("p/parts/public.t/" + "a" * 40 + "-5eed5eed5eed.parquet") is None
