"""Finding snapshots by their manifests, of which some are damaged."""

from __future__ import annotations

import pytest

from mindguard.snapshots.storage.catalog import SnapshotMissing, find_snapshot, list_snapshots, newest_snapshot
from mindguard.snapshots.storage.manifest import ManifestInvalid
from tests.unit.snapshots.fakes import memory_store, published


def test_snapshots_are_found_by_id_and_the_newest_by_a_word() -> None:
    store, _ = memory_store()
    older, newer = published(store, 1), published(store)
    assert list_snapshots(store) == [older, newer]
    assert find_snapshot(store, older.snapshot_id) == older
    assert find_snapshot(store, "latest") == newer
    with pytest.raises(SnapshotMissing, match=r"no snapshot 2026 under s3://b/p – .*snapshot list"):
        find_snapshot(store, "2026")


def test_a_damaged_manifest_is_reported_or_raised_but_never_taken_for_a_snapshot() -> None:
    store, client = memory_store()
    older, newer = published(store, 1), published(store)
    key = store.manifest_keys()[-1]
    client.objects[key] = client.objects[key].replace(b'"rows": 4', b'"rows": 5')
    reported: list[str] = []
    assert list_snapshots(store, unreadable=lambda where, error: reported.append(where)) == [older]
    assert reported == [key]
    with pytest.raises(ManifestInvalid):
        list_snapshots(store)
    lines: list[str] = []
    assert newest_snapshot(store, progress=lines.append) == older != newer
    assert lines[0].startswith("skipped: manifest")
