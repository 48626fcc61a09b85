"""Drills in parts: a snapshot is proven when every table of it was rebuilt and equal, and not before."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from mindguard.settings.snapshot import DrillSettings, RetentionSettings, SnapshotSettings
from mindguard.snapshots.export.take import take_snapshot
from mindguard.snapshots.restore.drill import (
    DrillBroke,
    DrilledPart,
    NotAllProven,
    SnapshotExpired,
    Unrestorable,
    choose_part,
    drill_part,
)
from mindguard.snapshots.retention.expire import expire_snapshots
from mindguard.snapshots.storage.catalog import find_snapshot, newest_proven, proven
from mindguard.snapshots.storage.drills import drill_parts
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, new_key_ring
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.state import state_of
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import note_damage
from tests.connections import as_variable, connection_of
from tests.integration.restoring import ZONE, as_superuser, run
from tests.integration.test_drill import drill_databases
from tests.processes import mindguard, plain_environment
from tests.stored_objects import flipped, overwrite, remove

DAY = timedelta(days=1)
START = datetime.now(UTC).replace(microsecond=0) - 20 * DAY  # so that the store finds damage after it
NAMES = ("public.big", "public.child", "public.parent", "public.view", "public.empty_one")
TABLES = """
create table parent (id int primary key, v text);
create table child (id serial primary key, parent int references parent, w text);
create table big (id int primary key, child int references child, v text);
create table empty_one (id int);
insert into parent select i, md5(i::text) from generate_series(1, 2000) i;
insert into child (parent, w) select i, md5(i::text) from generate_series(1, 1000) i;
insert into big select i, (i - 1) % 1000 + 1, repeat(md5(i::text), 4) from generate_series(1, 5000) i;
create materialized view view as select id, v from parent where id < 100;
create materialized view across as select p.id from parent p join child c on c.parent = p.id;
"""
ALL_AT_ONCE = DrillSettings(max_gb=1, every_days=7)
ONE_BY_ONE = DrillSettings(max_gb=1e-9, every_days=7)


def take_at(database: str, store: Store, day: float, *names: str, **more: Any) -> Manifest:
    """A snapshot so many days after `START`."""
    tables = [{"name": name} for name in names or NAMES]
    settings = SnapshotSettings.model_validate({"bucket": "x", "tables": tables} | more)
    return take_snapshot(database, store, settings, now=START + day * DAY, zone=ZONE).manifest


@pytest.fixture
def database(fresh_database: str) -> str:
    run(fresh_database, TABLES)
    return fresh_database


@pytest.fixture
def manifest(database: str, store: Store) -> Manifest:
    return take_at(database, store, 0)


@pytest.fixture
def drill_day(store: Store, scratch: str) -> Callable[..., DrilledPart]:
    """`drill_day(2)`: the drill of the day after tomorrow, as the DAG does it."""

    def run_day(day: float, settings: DrillSettings = ONE_BY_ONE, **more: Any) -> DrilledPart:
        now = START + day * DAY
        newest = find_snapshot(store, "latest").snapshot_id
        chosen = choose_part(newest, store, settings, now=now)
        return drill_part(chosen, store, scratch, settings, now=now, **more)

    return run_day


def test_a_snapshot_is_proven_when_its_last_table_was_rebuilt(
    manifest: Manifest, database: str, store: Store, drill_day: Callable[..., DrilledPart], stack: Stack
) -> None:
    lines: list[str] = []
    counts = []
    for day in range(4):
        assert proven(store) == {}
        assert newest_proven(store) is None
        done = drill_day(day, progress=lines.append)
        counts.append((done.rebuilt, done.tables, bool(done.proof)))
        newer = take_at(database, store, day + 0.1)  # it does not interrupt the work on the one before
    assert counts == [(2, 5, False), (3, 5, False), (4, 5, False), (5, 5, True)]
    assert drill_databases(stack) == []
    proof = proven(store)[manifest.snapshot_id]
    assert {name: (each.rows, each.fingerprint) for name, each in proof.tables.items()} == {
        each.name: (each.rows, each.fingerprint) for each in manifest.tables
    }
    assert proof.seconds == pytest.approx(sum(each.seconds for each in drill_parts(store)[manifest.snapshot_id]))
    assert proof.not_proven == ()
    said = "\n".join(proof.skipped)
    assert said.startswith(
        f"rebuilt in 4 parts, {START:%Y-%m-%d} to {START + 3 * DAY:%Y-%m-%d}: never with all tables at once\n"
    )
    assert "child_parent_fkey of public.child: this part of the drill does not hold public.parent" in said
    assert "big_child_fkey" in said
    assert "a plain table holds its rows as they were" in said
    assert "rows of materialized view public.across" in said
    assert "the snapshot does not hold" not in said
    assert any("this is more than drill.max_gb (1e-09), since a table is larger" in line for line in lines)
    again = drill_day(4)
    assert (again.snapshot_id, again.rebuilt) == (newer.snapshot_id, 2), "then the newest has its turn"


def test_what_is_rebuilt_on_one_day_is_checked_together(
    manifest: Manifest, store: Store, drill_day: Callable[..., DrilledPart]
) -> None:
    assert drill_day(0, ALL_AT_ONCE).proof
    proof = proven(store)[manifest.snapshot_id]
    assert not any("fkey" in line or "parts" in line for line in proof.skipped)


def test_a_state_says_how_many_tables_are_rebuilt(
    manifest: Manifest, database: str, store: Store, stack: Stack, drill_day: Callable[..., DrilledPart], tmp_path: Path
) -> None:
    drill_day(17)  # the command's clock is the real one
    drill_day(18)
    assert state_of(store, manifest, now=START).rebuilt == 3
    settings = tmp_path / "settings.json"
    tables = [{"name": name} for name in NAMES]
    drill = {"max_gb": 1e-9, "every_days": 7}
    asked = {"snapshot": {"bucket": store.bucket, "tables": tables, "drill": drill}, "suites": "none"}
    settings.write_text(json.dumps(asked))
    app = as_variable(connection_of(database, "mindguard_app"))
    environment = plain_environment() | stack.environment() | app | {"MINDGUARD_SETTINGS": str(settings)}
    assert "3 of 5 tables rebuilt" in " ".join(mindguard(environment, "snapshot", "list").stdout.split())
    (listed,) = json.loads(mindguard(environment, "snapshot", "list", "--json").stdout)
    assert (listed["proven"], listed["rebuilt_tables"]) == (False, 3)
    assert (
        "no: restore drills have rebuilt 3 of 5 tables" in mindguard(environment, "snapshot", "show", "latest").stdout
    )
    part = mindguard(environment, "snapshot", "drill", "latest", "--part", "--json")
    assert part.returncode == 0, part.stderr
    assert json.loads(part.stdout)["snapshot_id"] == manifest.snapshot_id
    assert json.loads(part.stdout)["rebuilt_tables"] > 3
    examined = json.loads(mindguard(environment, "doctor", "--json").stdout)
    texts = [each["text"] for each in examined if each["check"] == "drills in parts"]
    assert "it takes 4 days to prove one snapshot" in texts[0]
    assert "after up to 31 days instead of 30" in texts[1]
    settings.write_text(json.dumps(asked | {"snapshot": asked["snapshot"] | {"drill": {}}}))  # type: ignore[operator]
    refused = mindguard(environment, "snapshot", "drill", "latest", "--part")
    assert "--part needs snapshot.drill.max_gb" in refused.stderr


def test_a_damaged_part_is_the_snapshots_fault_and_the_next_drill_takes_the_newest(
    manifest: Manifest, database: str, store: Store, drill_day: Callable[..., DrilledPart]
) -> None:
    drill_day(0)
    bad = next(part.key for table in manifest.tables if table.name == "public.parent" for part in table.parts)
    overwrite(store, bad, flipped(store.read(bad)))
    everything = DrillSettings(max_gb=1, every_days=7)
    with pytest.raises(Unrestorable, match=r"cannot be restored: .*the manifest says") as caught:
        drill_day(1, everything)
    assert caught.value.severity == "P0"
    assert [bool(part.fault) for part in drill_parts(store)[manifest.snapshot_id]][-1]
    note_damage(store, bad, "fault", print)
    newer = take_at(database, store, 1)
    assert drill_day(4).snapshot_id == newer.snapshot_id
    assert proven(store) == {}


def test_damage_that_a_verification_found_ends_the_work(
    manifest: Manifest, database: str, store: Store, drill_day: Callable[..., DrilledPart]
) -> None:
    """Even in a table that was rebuilt before: its proof would be about bytes that are gone."""
    drill_day(0)
    newer = take_at(database, store, 1)
    assert choose_part(newer.snapshot_id, store, ONE_BY_ONE, now=START + DAY) == manifest.snapshot_id
    (first,) = drill_parts(store)[manifest.snapshot_id]
    rebuilt = next(table for table in manifest.tables if table.name in first.tables and table.parts)
    note_damage(store, rebuilt.parts[0].key, "fault", print)
    assert choose_part(newer.snapshot_id, store, ONE_BY_ONE, now=START + DAY) == newer.snapshot_id


def test_damage_in_what_was_rebuilt_keeps_the_only_snapshot_from_being_proven(
    manifest: Manifest, store: Store, drill_day: Callable[..., DrilledPart]
) -> None:
    """There is no newer one to take instead."""
    drill_day(0)
    (first,) = drill_parts(store)[manifest.snapshot_id]
    rebuilt = next(table for table in manifest.tables if table.name in first.tables and table.parts)
    key = rebuilt.parts[0].key
    overwrite(store, key, flipped(store.read(key)))
    note_damage(store, key, "fault", print)
    with pytest.raises(Unrestorable, match="the manifest says"):
        drill_day(1, DrillSettings(max_gb=1))
    assert proven(store) == {}


def test_a_drill_that_broke_goes_on_the_next_day(
    manifest: Manifest, store: Store, drill_day: Callable[..., DrilledPart]
) -> None:
    drill_day(0)
    with pytest.raises(DrillBroke):
        drill_part(manifest.snapshot_id, store, "host=127.0.0.1 port=9 dbname=none", ONE_BY_ONE, now=START + DAY)
    days = [drill_day(2 + day) for day in range(3)]
    assert [(each.snapshot_id, each.rebuilt) for each in days] == [(manifest.snapshot_id, n) for n in (3, 4, 5)]
    assert days[-1].proof


def test_every_days_wins_over_max_gb(manifest: Manifest, store: Store, drill_day: Callable[..., DrilledPart]) -> None:
    lines: list[str] = []
    two_days = DrillSettings(max_gb=1e-9, every_days=2)
    days = [drill_day(day, two_days, progress=lines.append) for day in range(2)]
    assert bool(days[-1].proof)
    assert days[0].rebuilt < 5
    assert any("since all must be done in 2 days" in line for line in lines)
    assert list(proven(store)) == [manifest.snapshot_id]


def test_what_expires_while_it_is_in_work_is_skipped(
    manifest: Manifest, database: str, store: Store, scratch: str, drill_day: Callable[..., DrilledPart]
) -> None:
    drill_day(0)
    newer = take_at(database, store, 1)
    drill_part(newer.snapshot_id, store, scratch, ALL_AT_ONCE, now=START)
    for key in store.keys("snapshots/"):
        if manifest.snapshot_id in key:
            remove(store, key)
    with pytest.raises(SnapshotExpired):
        drill_part(manifest.snapshot_id, store, scratch, ONE_BY_ONE, now=START + DAY)
    assert choose_part(newer.snapshot_id, store, ONE_BY_ONE, now=START + DAY) == newer.snapshot_id
    store_now = store.clock()
    rules = RetentionSettings().model_copy(update={"grace_hours": -1, "max_gap_days": 10_000})
    expire_snapshots(store, rules, now=store_now, apply=True, any_orphans=True, days_per_proof=7).check()
    assert not [key for key in store.keys("drills/") if manifest.snapshot_id in key]
    assert [key for key in store.keys("drills/") if newer.snapshot_id in key], "kept with its snapshot"


def test_records_of_other_values_and_unreadable_ones_prove_nothing(
    manifest: Manifest, store: Store, drill_day: Callable[..., DrilledPart]
) -> None:
    drill_day(0)
    (key,) = store.keys("drills/")
    body = json.loads(store.read(key))
    for table in body["tables"].values():
        table["fingerprint"] = "f" * 32
    overwrite(store, key, json.dumps(body).encode())
    assert state_of(store, manifest, now=START).rebuilt == 0
    overwrite(store, key, b"{}")
    assert state_of(store, manifest, now=START).rebuilt == 0
    assert drill_day(1).rebuilt == 2


def test_values_that_depend_on_other_tables_are_proven_by_the_whole(
    fresh_database: str, store: Store, stack: Stack, drill_day: Callable[..., DrilledPart]
) -> None:
    """A generated column whose function reads another table, whatever it promises: no false P0."""
    run(
        fresh_database,
        "create table rates (id int primary key, rate int)",
        "insert into rates values (1, 7)",
        "create function public.rate(i int) returns int language sql immutable as "
        "'select rate from public.rates where id = i'",
        "create table priced (id int primary key, rate int generated always as (public.rate(1)) stored)",
        "insert into priced select i from generate_series(1, 1000) i",
    )
    manifest = take_at(fresh_database, store, 0, "public.rates", "public.priced")
    lines: list[str] = []
    done = [drill_day(0, progress=lines.append)]
    if not done[0].proof:
        done.append(drill_day(1, progress=lines.append))
    assert done[-1].proof
    assert any("the whole snapshot is rebuilt, since values may depend on other tables" in line for line in lines)
    assert list(proven(store)) == [manifest.snapshot_id]


def test_large_objects_are_proven_in_parts(
    fresh_database: str, store: Store, stack: Stack, drill_day: Callable[..., DrilledPart]
) -> None:
    run(
        fresh_database,
        "create table files (id int primary key, content oid)",
        "insert into files select i, lo_from_bytea(0, decode(md5(i::text), 'hex')) from generate_series(1, 20) i",
        "create table t (id int primary key, v text)",
        "insert into t select i, md5(i::text) from generate_series(1, 2000) i",
    )
    owner = as_superuser(stack, fresh_database)
    manifest = take_at(owner, store, 0, "public.files", "public.t", large_objects=True)
    counts = [drill_day(day) for day in range(2)]
    assert [(each.rebuilt, each.tables, bool(each.proof)) for each in counts] == [(1, 2, False), (2, 2, True)]
    assert set(proven(store)[manifest.snapshot_id].tables) == {"public.files", "public.t"}


def test_a_structure_that_differs_is_said_on_its_day_and_in_the_proof(
    fresh_database: str, store: Store, stack: Stack, drill_day: Callable[..., DrilledPart]
) -> None:
    owner = as_superuser(stack, fresh_database)
    run(
        owner,
        "create table tree (id int primary key, up int references tree)",
        "create table t (id int primary key, v text)",
        "insert into t select i, md5(i::text) from generate_series(1, 2000) i",
        "set session_replication_role = replica",
        "insert into tree values (1, 1), (2, 7)",
    )
    manifest = take_at(owner, store, 0, "public.tree", "public.t")
    assert drill_day(0).rebuilt == 1
    with pytest.raises(NotAllProven, match=r"all values of .* are proven, but .* 1 rows? contradict") as caught:
        drill_day(1)
    assert caught.value.severity == "P2"
    assert len(proven(store)[manifest.snapshot_id].not_proven) == 1


def test_sealed_records(database: str, store: Store, drill_day: Callable[..., DrilledPart]) -> None:
    store.encryption = Encryption(KeyRing.from_json(new_key_ring("2026-11"), origin="test"))
    take_at(database, store, 0)
    drill_day(0)
    (key,) = store.keys("drills/")
    assert b"public" not in store.read(key)
    assert drill_day(1).rebuilt == 3
