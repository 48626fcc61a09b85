"""What the keys of stored objects tell."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.retention.expire import expire_snapshots
from mindguard.snapshots.storage.catalog import SnapshotMissing, find_snapshot, has_expired
from mindguard.snapshots.storage.layout import Layout, below_prefix, is_snapshot_id, run_of, time_in
from tests.unit.snapshots.fakes import NOW, memory_store, published, put

ID = "20261124T180000Z-5f0c1d"
IMPOSSIBLE = ["99999999T999999Z-ab", "20261399T000000Z-ab", "00010101T000000Z-ab", "99991231T235959Z-ab"]


def test_a_run_leads_to_its_snapshot() -> None:
    layout = Layout("p")
    assert time_in(ID) == NOW
    assert run_of(ID) == f"{int(NOW.timestamp()):x}5f0c1d"
    for key in (layout.part_key("public.t", f"{'a' * 40}-{run_of(ID)}"), layout.schema_key(f"{'b' * 64}-{run_of(ID)}")):
        assert layout.written_for(key) == ID
        assert below_prefix(key) == key.removeprefix("p/")
    assert {key.split("/")[2] for key in layout.possible_manifest_keys(ID)} == {
        "2026-11-23",
        "2026-11-24",
        "2026-11-25",
    }


@pytest.mark.parametrize("snapshot_id", IMPOSSIBLE)
def test_an_id_with_an_impossible_time_is_nothing_special(snapshot_id: str) -> None:
    store, client = memory_store()
    kept = published(store)
    put(store, f"p/snapshots/2026-01-01/{snapshot_id}.proof.json", b"{}")
    with pytest.raises(SnapshotMissing):
        find_snapshot(store, snapshot_id)
    assert not has_expired(store, snapshot_id, before=NOW)
    client.now = NOW + timedelta(days=2)
    expire_snapshots(store, RetentionSettings(), now=client.now, apply=True).check()
    assert find_snapshot(store, "latest") == kept


@pytest.mark.parametrize("text", ["", "latest", "../x", *IMPOSSIBLE[:2]])
def test_what_is_no_id(text: str) -> None:
    assert not is_snapshot_id(text)
