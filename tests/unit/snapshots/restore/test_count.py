"""How many rows a restore would bring."""

from __future__ import annotations

import pytest

from mindguard.snapshots.restore.count import count_rows
from mindguard.snapshots.restore.rows import Choice, RowFilter
from mindguard.snapshots.restore.tables import Plan, PlannedTable
from mindguard.snapshots.restore.target import SnapshotAtFault
from mindguard.snapshots.storage.manifest import Manifest
from tests.unit.snapshots.fakes import ID, memory_store, published


def plan(manifest: Manifest, *chosen: str) -> Plan:
    table = manifest.tables[0]
    row_filter = RowFilter((Choice(ID, chosen),)) if chosen else None
    return Plan("s1", "app", "restored", False, (PlannedTable(table, table.parts, row_filter, None),), True)


def test_chosen_rows_are_counted_and_all_rows_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    store, client = memory_store()
    manifest = published(store)
    name = manifest.tables[0].name
    assert count_rows(plan(manifest, "1", "7777"), store) == {name: 1}
    monkeypatch.setattr("mindguard.snapshots.restore.count.MOST_BYTES", 10)
    assert count_rows(plan(manifest, "1"), store) == {}, "too much to read while a person waits"
    client.objects.clear()
    assert count_rows(plan(manifest), store) == {name: manifest.tables[0].rows}, "nothing is read"


def test_a_part_that_is_gone_is_known_before_anybody_is_asked() -> None:
    store, client = memory_store()
    manifest = published(store)
    del client.objects[manifest.parts[0].key]
    with pytest.raises(SnapshotAtFault, match=r"t: .*is missing"):
        count_rows(plan(manifest, "1"), store)
