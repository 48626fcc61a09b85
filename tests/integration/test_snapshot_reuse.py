"""A day costs its churn: unchanged parts are found again, cuts stay, and what grew is split."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.storage.catalog import find_snapshot
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import SnapshotDamaged, verify_snapshot
from tests.stored_objects import damage, flipped, overwrite, remove

DAY = datetime(2026, 11, 1, 18, tzinfo=UTC)
# 1 MB parts and rows of about 250 bytes: some 15 parts, so that reuse has something to show.
ROWS = 60_000


@pytest.fixture
def database(fresh_database: str) -> str:
    """One table that grows by time, with a sequence, and one that never changes."""
    execute(
        fresh_database,
        "create table log (id bigint generated always as identity primary key, at timestamptz not null, v text);"
        "create index on log (at);"
        f"insert into log (at, v) select '2026-01-01'::timestamptz + i * interval '1 second', repeat('x', 200) "
        f"from generate_series(1, {ROWS}) i;"
        "create table fixed (id int primary key, v text);"
        "insert into fixed select i, 'v' from generate_series(1, 1000) i",
    )
    return fresh_database


def execute(conninfo: str, statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statements)
        connection.execute("vacuum analyze")


def take(conninfo: str, store: Store, *, day: int = 0, **settings: Any) -> Taken:
    tables = [{"name": "public.log", "part_by": "at"}, {"name": "public.fixed"}]
    asked = {"bucket": "x", "tables": tables, "part_mb": 1} | settings
    return take_snapshot(
        conninfo,
        store,
        SnapshotSettings.model_validate(asked),
        now=DAY + timedelta(days=day),
        zone=ZoneInfo("Asia/Shanghai"),
    )


def keys(manifest: Manifest, table: str) -> list[str]:
    return [part.key for each in manifest.tables if each.name == table for part in each.parts]


def test_nothing_changed_nothing_written(database: str, store: Store) -> None:
    first, second = take(database, store), take(database, store, day=1)
    assert [report.parts_written for report in second.tables.values()] == [0, 0]
    assert keys(second.manifest, "public.log") == keys(first.manifest, "public.log")
    assert [table.fingerprint for table in second.manifest.tables] == [
        table.fingerprint for table in first.manifest.tables
    ]
    assert second.manifest.schema_dump == first.manifest.schema_dump


def test_appended_rows_write_the_last_part_alone(database: str, store: Store) -> None:
    first = take(database, store)
    execute(database, "insert into log (at, v) select '2026-06-01'::timestamptz, 'new' from generate_series(1, 600)")
    second = take(database, store, day=1)
    assert second.tables["public.log"].parts_written == 1
    assert keys(second.manifest, "public.log")[:-1] == keys(first.manifest, "public.log")[:-1]
    verify_snapshot(second.manifest, store).check()


def test_one_changed_row_writes_its_part_alone(database: str, store: Store) -> None:
    take(database, store)
    execute(database, "update log set v = 'changed' where id = 30000")
    assert take(database, store, day=1).tables["public.log"].parts_written == 1


def test_values_swapped_between_two_rows_are_not_taken_for_unchanged(database: str, store: Store) -> None:
    """What a sum over a linear hash would miss; the snapshot would go on holding the old rows."""
    execute(database, "update log set v = 'a' where id = 10; update log set v = 'b' where id = 11")
    take(database, store)
    execute(database, "update log set v = case id when 10 then 'b' else 'a' end where id in (10, 11)")
    assert take(database, store, day=1).tables["public.log"].parts_written == 1


def test_a_part_that_grew_is_split_and_the_others_stay(database: str, store: Store) -> None:
    first = take(database, store)
    execute(
        database,
        "insert into log (at, v) select '2026-06-01'::timestamptz + i * interval '1 second', repeat('y', 200) "
        f"from generate_series(1, {ROWS}) i",
    )
    second = take(database, store, day=1)
    assert (
        keys(second.manifest, "public.log")[: len(keys(first.manifest, "public.log")) - 1]
        == (keys(first.manifest, "public.log")[:-1])
    )
    (log,) = [table for table in second.manifest.tables if table.name == "public.log"]
    rows = [part.rows for part in log.parts]
    assert max(rows) < 3 * sum(rows) / len(rows), "no part is left much larger than the others"
    assert sum(rows) == 2 * ROWS
    assert take(database, store, day=2).tables["public.log"].parts_written == 0


def test_deleted_history_leaves_a_gap_that_later_rows_may_fill(database: str, store: Store) -> None:
    take(database, store)
    execute(database, "delete from log where id between 10000 and 30000")
    second = take(database, store, day=1, gate={"max_shrink": 0.9})
    execute(
        database, "insert into log (at, v) select '2026-01-01 05:00+00'::timestamptz, 'late' from generate_series(1, 9)"
    )
    third = take(database, store, day=2)
    (log,) = [table for table in third.manifest.tables if table.name == "public.log"]
    assert log.rows == ROWS - 20001 + 9
    assert third.tables["public.log"].parts_written <= 2
    assert second.manifest.rows + 9 == third.manifest.rows


def test_every_row_is_in_one_part_whatever_the_keys(fresh_database: str, store: Store) -> None:
    """Keys on a boundary, equal keys, NULL keys: counted once each, and in the part that the range says."""
    execute(
        fresh_database,
        "create table log (k int, v text);"
        "insert into log select nullif(i / 5000, 3), repeat('z', 200) from generate_series(1, 60000) i;"
        "create table fixed (id int primary key)",
    )
    tables = [{"name": "public.log", "part_by": "k"}, {"name": "public.fixed"}]
    taken = take(fresh_database, store, tables=tables)
    (log, _) = taken.manifest.tables
    assert log.rows == 60_000
    assert len(log.parts) > 5
    assert [part.upper for part in log.parts[:-1]] == [part.lower for part in log.parts[1:]]


@pytest.mark.parametrize("fault", ["a flipped byte", "a removed part"])
def test_a_damaged_part_is_healed_by_the_next_snapshot(fault: str, database: str, store: Store) -> None:
    """Its bytes differ, its size and its recorded SHA-256 do not: only reading it tells."""
    first = take(database, store)
    key = keys(first.manifest, "public.log")[0]
    if fault == "a removed part":
        remove(store, key)
    else:
        damage(store, key, lambda body: flipped(body, 100))
    with pytest.raises(SnapshotDamaged, match="take a new one now"):
        verify_snapshot(first.manifest, store).check()
    second = take(database, store, day=1)
    verify_snapshot(second.manifest, store).check()
    assert second.tables["public.log"].parts_written == 1
    third = take(database, store, day=2)
    assert third.tables["public.log"].parts_written == 0, "the healed part is reused from then on"


def test_a_changed_schema_is_dumped_anew(database: str, store: Store) -> None:
    first = take(database, store)
    execute(database, "create view seen as select count(*) from log")
    second = take(database, store, day=1)
    assert second.manifest.schema_dump.key != first.manifest.schema_dump.key
    remove(store, second.manifest.schema_dump.key)
    with pytest.raises(SnapshotDamaged, match="missing"):
        verify_snapshot(second.manifest, store).check()


def test_sequences_are_recorded_never_behind_the_rows(database: str, store: Store) -> None:
    (sequence,) = take(database, store).manifest.sequences
    assert (sequence.name, sequence.last_value, sequence.is_called) == ("public.log_id_seq", ROWS, True)


def test_the_gate_quarantines_an_emptied_table_and_keeps_comparing_with_the_last_good_one(
    database: str, store: Store
) -> None:
    good = take(database, store)
    execute(database, "delete from fixed")
    emptied = take(database, store, day=1)
    assert emptied.manifest.quarantined_for == ("public.fixed is empty, it had 1,000 rows",)
    assert find_snapshot(store, emptied.manifest.snapshot_id) == emptied.manifest, "it is kept all the same"
    assert find_snapshot(store, "latest") == good.manifest
    assert take(database, store, day=2).manifest.quarantined_for == emptied.manifest.quarantined_for
    expected = take(database, store, day=3, gate={"expected": ["public.fixed"]})
    assert expected.manifest.quarantined_for == ()
    assert take(database, store, day=4).manifest.quarantined_for == ()


def test_the_gate_names_changed_columns(database: str, store: Store) -> None:
    take(database, store)
    execute(database, "alter table fixed drop column v, add column w int")
    (reason,) = take(database, store, day=1).manifest.quarantined_for
    assert reason == "public.fixed has other columns: gone v text; new w integer"


def test_a_damaged_older_manifest_does_not_keep_the_next_snapshot_from_being_taken(database: str, store: Store) -> None:
    first = take(database, store)
    second = take(database, store, day=1)
    overwrite(store, second.key, b"{}")
    said: list[str] = []
    settings = SnapshotSettings.model_validate({"bucket": "x", "tables": [{"name": "public.fixed"}]})
    third = take_snapshot(
        database,
        store,
        settings,
        now=DAY + timedelta(days=2),
        zone=ZoneInfo("Asia/Shanghai"),
        progress=said.append,
    )
    # Its values may have had their turn to be read again, which changes the part's record and not the part.
    assert [part.key for part in third.manifest.tables[0].parts] == [
        part.key for part in first.manifest.tables[1].parts
    ]
    assert any("skipped" in line and second.key in line for line in said)
