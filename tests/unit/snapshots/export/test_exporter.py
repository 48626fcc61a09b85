"""Storing parts: written once, read back, and never recorded if anything differs."""

from __future__ import annotations

from typing import Any

import pytest

from mindguard.snapshots.export.exporter import Exporter, PartMismatch
from mindguard.snapshots.export.reuse import Reuse
from mindguard.snapshots.export.source_errors import Stopped
from mindguard.snapshots.storage.manifest import StoredObject, Table
from mindguard.snapshots.storage.store import Store
from tests.unit.snapshots.fakes import NOW, FakeSource, memory_store, settings, source_table


def export(store: Store, source: FakeSource, *, run: str = "f00") -> tuple[Exporter, Table, StoredObject]:
    given: Any = source
    reuse = Reuse(store, settings(), [], run)
    exporter = Exporter(given, store, settings(), None, reuse, now=NOW, progress=print)
    (table,), schema_dump = exporter.run([source_table()])
    return exporter, table, schema_dump


def test_every_part_is_stored_and_recorded() -> None:
    store, client = memory_store()
    exporter, table, schema_dump = export(store, FakeSource(1, 2, 3, 4, 5))
    assert [part.rows for part in table.parts] == [2, 2, 1]
    assert [(part.lower, part.upper) for part in table.parts] == [(None, "3"), ("3", "5"), ("5", None)]
    assert table.rows == 5
    for stored in (*table.parts, schema_dump):
        assert store.digest(stored.key) == stored.content
        assert stored.key.rpartition(".")[0].endswith("-f00")
    progress = exporter.tables["public.t"]
    assert (progress.parts_written, progress.parts_reused, progress.bytes) == (3, 0, table.stored_bytes)
    assert len(client.objects) == 4


def test_a_second_run_writes_only_what_has_changed() -> None:
    store, _ = memory_store()
    _, before, schema_dump = export(store, FakeSource(1, 2, 3, 4))
    source = FakeSource(1, 2, 3, 5)
    exporter, after, schema_dump_again = export(store, source, run="f01")
    assert [part.key for part in after.parts if part in before.parts] == [before.parts[0].key]
    assert [part.key_range.lower for part in source.exports] == ["3"]
    assert schema_dump_again == schema_dump
    progress = exporter.tables["public.t"]
    assert (progress.parts_written, progress.parts_reused, progress.done) == (1, 1, 2)


def test_fewer_rows_than_were_counted_are_an_error_and_nothing_is_stored() -> None:
    store, client = memory_store()
    source = FakeSource(1, 2)
    source.lost = 1
    with pytest.raises(PartMismatch, match=r"its row count is 1, expected 2 – nothing was published") as caught:
        export(store, source)
    assert caught.value.key not in client.objects


def test_other_bytes_than_were_written_are_an_error_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    store, client = memory_store()
    whole = client.put_object

    def put_other_bytes(*, Key: str, Body: Any, **more: Any) -> None:
        whole(Key=Key, Body=b"other" if "/parts/" in Key else Body, **more)

    monkeypatch.setattr(client, "put_object", put_other_bytes)
    with pytest.raises(PartMismatch, match=r"the stored content is 5 bytes with SHA-256 \w{12}…, exp") as caught:
        export(store, FakeSource(1, 2))
    assert store.keys("damaged/") == [store.layout.damage_key(caught.value.key)]


def test_a_write_that_had_arrived_already_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store, client = memory_store()
    whole = client.put_object

    def put_twice(**request: Any) -> None:
        whole(**request)
        whole(**request)

    monkeypatch.setattr(client, "put_object", put_twice)
    assert export(store, FakeSource(1, 2))[1].rows == 2


def test_a_run_whose_sessions_were_ended_stops_before_its_next_part() -> None:
    store, client = memory_store()
    source = FakeSource(1, 2)
    source.verdict = Stopped("not complete after 120 minutes")
    with pytest.raises(Stopped, match="not complete after 120 minutes"):
        export(store, source)
    assert not any("/parts/" in key for key in client.objects)


def test_an_empty_table_has_no_parts() -> None:
    store, _ = memory_store()
    _, table, _ = export(store, FakeSource())
    assert (table.parts, table.rows) == ((), 0)
