"""Restore drills: proofs, and for each thing that goes wrong whose fault it is."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devstack.stack import Stack
from mindguard.snapshots import pgtools, tempdisk
from mindguard.snapshots.export import plan
from mindguard.snapshots.restore.drill import DrillBroke, Unrestorable, drill, drill_stored
from mindguard.snapshots.storage.catalog import find_key, find_snapshot, proven
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.proof import Proof
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.restoring import NOW, as_superuser, empty_database, fingerprints, run, snapshot
from tests.stored_objects import copy_objects, flipped, overwrite, remove

TABLES = """
create type mood as enum ('calm', 'low');
create table parent (id int generated always as identity primary key, v text, mood mood, code text unique);
create table child (id serial primary key, parent int references parent, w text not null);
insert into parent (v, mood, code) select case i % 3 when 0 then null when 1 then '' else 'v' || i end, 'low', 'c' || i
from generate_series(1, 500) i;
insert into child (parent, w) select i, repeat('w', 20) from generate_series(1, 500) i;
alter table parent force row level security; alter table parent enable row level security;
create policy none on parent using (false);
"""


@pytest.fixture(scope="module")
def original(stack: Stack) -> tuple[Manifest, Store]:
    """One good snapshot, which every test gets a copy of."""
    client = stack.seaweedfs.client()
    client.create_bucket(Bucket="drilled")
    store = Store(client, bucket="drilled", prefix="key-tables")
    with empty_database(stack) as conninfo:
        run(conninfo, TABLES)
        return snapshot(as_superuser(stack, conninfo), store, "public.parent", "public.child"), store


@pytest.fixture
def manifest(original: tuple[Manifest, Store], store: Store) -> Manifest:
    copy_objects(original[1], store)
    return original[0]


def drill_databases(stack: Stack) -> list[tuple[Any, ...]]:
    return run(
        stack.postgres_conninfo("postgres", "postgres"),
        "select datname from pg_database where datname like 'mindguard\\_drill\\_%'",
    )


def test_a_good_snapshot_is_proven_and_the_scratch_database_is_gone(
    manifest: Manifest, store: Store, scratch: str, stack: Stack
) -> None:
    proof = drill_stored("latest", store, scratch, now=NOW, progress=print)
    assert proof == Proof.model_validate_json(store.read(Layout.beside(find_key(store, "latest"), "proof")))
    assert proven(store) == {manifest.snapshot_id: proof}
    assert {name: (t.rows, t.fingerprint) for name, t in proof.tables.items()} == {
        table.name: (table.rows, table.fingerprint) for table in manifest.tables
    }
    assert 0 < proof.seconds < 60
    assert drill_databases(stack) == []
    # A second drill of the same snapshot agrees and leaves the first proof.
    assert drill(manifest, store, scratch, now=NOW).tables == proof.tables
    assert proven(store) == {manifest.snapshot_id: proof}


def published(store: Store, manifest: Manifest, change: Callable[[dict[str, Any]], object]) -> Manifest:
    """The manifest with a change, under a valid digest: a writer with a fault, not damage."""
    body = manifest.model_dump(mode="json")
    change(body)
    changed = Manifest.model_validate(body)
    overwrite(store, find_key(store, manifest.snapshot_id), changed.to_bytes())
    return changed


def rewritten(store: Store, manifest: Manifest, change: Callable[[pa.Table], pa.Table]) -> Manifest:
    """A part of `parent` with other rows, and a manifest that agrees with its bytes."""
    part = manifest.tables[0].parts[0]
    table = change(pq.read_table(io.BytesIO(store.read(part.key))))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    body = sink.getvalue()
    overwrite(store, part.key, body)

    def agree(raw: dict[str, Any]) -> None:
        found = raw["tables"][0]["parts"][0]
        found |= {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "rows": table.num_rows}
        raw["tables"][0]["rows"] = table.num_rows

    return published(store, manifest, agree)


def swap_null_and_empty(table: pa.Table) -> pa.Table:
    column = table["v"]
    swapped = pc.if_else(pc.is_null(column), "", pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column))
    return table.set_column(table.schema.get_field_index("v"), "v", swapped)


def replaced(name: str, value: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(
        table.schema.get_field_index(name), name, pa.array([value] * table.num_rows, pa.string())
    )


def overwritten(change: Callable[[bytes], bytes], which: int = 0) -> Callable[[Store, Manifest], object]:
    def mutate(store: Store, manifest: Manifest) -> None:
        key = manifest.objects[which].key
        overwrite(store, key, change(store.read(key)))

    return mutate


# What is done to the stored snapshot, what the drill says, and whether verify, which knows no values, sees it too.
AT_FAULT: dict[str, tuple[Callable[[Store, Manifest], object], str, bool]] = {
    "a flipped byte": (overwritten(flipped), "the manifest says", True),
    "a truncated part": (overwritten(lambda body: body[:-9]), "the manifest says", True),
    "a damaged schema dump": (overwritten(lambda body: body[:-9], which=-1), "the manifest says", True),
    "a removed part": (
        lambda store, m: remove(store, m.parts[0].key),
        "is missing in the store",
        True,
    ),
    "a dropped row": (lambda store, m: rewritten(store, m, lambda t: t.slice(1)), "499 rows and fingerprint", False),
    "NULL and '' swapped": (
        lambda store, m: rewritten(store, m, swap_null_and_empty),
        "500 rows and fingerprint",
        False,
    ),
    "two equal keys": (
        lambda store, m: rewritten(store, m, replaced("code", "c1")),
        "500 rows and fingerprint",
        False,
    ),
    "a label that the type lacks": (lambda store, m: rewritten(store, m, replaced("mood", "x")), "refuses", False),
    "rows without their parents": (
        lambda store, m: rewritten(store, m, lambda t: t.set_column(0, "id", pc.add(t["id"], 1))),
        "500 rows and fingerprint",
        False,
    ),
    "sequences that are not recorded": (
        lambda s, m: published(s, m, lambda raw: raw.update(sequences=[])),
        "is behind the rows",
        False,
    ),
    "an altered manifest": (
        lambda store, m: overwrite(store, key := find_key(store, "latest"), store.read(key).replace(b"low", b"lov")),
        "was altered",
        False,
    ),
    "a removed manifest": (
        lambda store, m: remove(store, find_key(store, "latest")),
        "there is no snapshot",
        False,
    ),
}


@pytest.mark.parametrize("mutation", AT_FAULT)
def test_the_snapshot_is_at_fault(mutation: str, manifest: Manifest, store: Store, scratch: str, stack: Stack) -> None:
    mutate, says, verify_sees = AT_FAULT[mutation]
    mutate(store, manifest)
    if "manifest" not in mutation:
        assert bool(verify_snapshot(find_snapshot(store, "latest"), store).faults) == verify_sees
    with pytest.raises(Unrestorable, match=says) as caught:
        drill_stored(manifest.snapshot_id, store, scratch, now=NOW, progress=print)
    assert caught.value.severity == "P0"
    assert proven(store) == {}
    assert drill_databases(stack) == []


def test_a_scratch_server_that_cannot_be_used_is_not_the_snapshots_fault(
    manifest: Manifest, store: Store, scratch: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rights = stack.postgres_conninfo("mindguard_ops")
    for conninfo, says in [
        (psycopg.conninfo.make_conninfo(scratch, port=9), "reachable"),
        (psycopg.conninfo.make_conninfo(scratch, password="wrong"), "password"),
        (psycopg.conninfo.make_conninfo(scratch, dbname="none"), "the password or the database"),
        (without_rights, 'mindguard_ops may not create a scratch database – ALTER ROLE "mindguard_ops" CREATEDB'),
    ]:
        with pytest.raises(DrillBroke, match=says) as caught:
            drill(manifest, store, conninfo, now=NOW)
        assert caught.value.severity == "P2"
        assert psycopg.conninfo.conninfo_to_dict(scratch)["password"] not in str(caught.value)
    with pytest.raises(DrillBroke, match="create the bucket"):
        drill(manifest, Store(store._client, bucket="no-such-bucket", prefix="p"), scratch, now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(tempdisk.tempfile, "TemporaryFile", lambda **_: open("/dev/full", "w+b"))  # noqa: SIM115
        with pytest.raises(DrillBroke, match="no room"):
            drill(manifest, store, scratch, now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(pgtools.shutil, "which", lambda *_, **__: None)
        with pytest.raises(DrillBroke, match="pg_restore is not installed"):
            drill(manifest, store, scratch, now=NOW)
    assert proven(store) == {}
    assert drill_databases(stack) == []


def test_a_scratch_server_that_dies_in_the_middle_is_not_the_snapshots_fault(
    manifest: Manifest, store: Store, scratch: str, stack: Stack
) -> None:
    def kill(line: str) -> None:
        if "rows loaded, part" in line:
            run(
                stack.postgres_conninfo("postgres", "postgres"),
                "select pg_terminate_backend(pid) from pg_stat_activity where datname like 'mindguard\\_drill\\_%'",
            )

    with pytest.raises(DrillBroke):
        drill(manifest, store, scratch, now=NOW, progress=kill)
    assert drill_databases(stack) == []
    assert drill(manifest, store, scratch, now=NOW).snapshot_id == manifest.snapshot_id


def test_a_scratch_database_that_exists_is_refused_and_kept(
    manifest: Manifest, store: Store, scratch: str, stack: Stack
) -> None:
    name = f"mindguard_drill_{manifest.snapshot_id.lower().replace('-', '_')}"
    with psycopg.connect(scratch, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        with pytest.raises(DrillBroke, match=f"exists already.*DROP DATABASE {name}"):
            drill(manifest, store, scratch, now=NOW)
        assert drill_databases(stack) == [(name,)]
        # What a killed drill left is used again, unless somebody is looking into it.
        connection.execute(f"comment on database {name} is 'mindguard: scratch database of a drill'")
        with psycopg.connect(scratch, dbname=name) as visitor:
            visitor.execute("create table left_by_a_killed_drill ()")
            with pytest.raises(DrillBroke, match="exists already"):
                drill(manifest, store, scratch, now=NOW)
        assert drill(manifest, store, scratch, now=NOW).snapshot_id == manifest.snapshot_id
        assert drill_databases(stack) == []


def test_two_drills_of_one_snapshot_at_the_same_time(manifest: Manifest, store: Store, scratch: str) -> None:
    refused = []

    def again(line: str) -> None:
        if "rows loaded, part" in line and not refused:
            with pytest.raises(DrillBroke, match=f"another drill of {manifest.snapshot_id} is running") as caught:
                drill(manifest, store, scratch, now=NOW)
            refused.append(caught.value)

    drill(manifest, store, scratch, now=NOW, progress=again)
    assert refused


def test_a_missing_extension_is_reported_and_not_the_snapshots_fault(
    store: Store, scratch: str, fresh_database: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = as_superuser(stack, fresh_database)
    run(source, "create extension cube; create table t (id int)")
    monkeypatch.setattr("mindguard.snapshots.restore.whole.not_for_scratch", without_extensions)
    taken = snapshot(source, store, "public.t")
    assert "EXTENSION cube: this server does not have it" in drill(taken, store, scratch, now=NOW).skipped
    run(source, "alter table t add column c cube")
    taken = snapshot(source, store, "public.t")
    with pytest.raises(DrillBroke, match=r"public\.t could not be created: .*cube"):
        drill(taken, store, scratch, now=NOW)


def without_extensions(entries: Any, _: Any) -> Any:
    from mindguard.snapshots.restore.schema_dump import not_for_scratch

    return not_for_scratch(entries, ())


TYPES: dict[str, st.SearchStrategy[Any]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "float4": st.floats(width=32),
    "float8": st.floats(),
    "numeric": st.decimals(allow_infinity=False, allow_nan=False) | st.sampled_from(["Infinity", "NaN"]),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "bytea": st.binary(),
    "bool": st.booleans(),
    "uuid": st.uuids(),
    "date": st.dates() | st.sampled_from(["infinity", "4713-01-01 BC", "5874897-12-31"]),
    "timestamp": st.datetimes() | st.sampled_from(["-infinity", "0044-03-15 12:00 BC"]),
    "timestamptz": st.datetimes() | st.just("infinity"),
    "interval": st.timedeltas(),
    "jsonb": st.recursive(
        st.none() | st.booleans() | st.integers() | st.text('a"\\ 心', max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("kü'", max_size=3), inner, max_size=3),
        max_leaves=6,
    ).map(lambda value: json.dumps(value, ensure_ascii=False)),
    "text[]": st.lists(st.none() | st.text('N"{},\\ 心U', max_size=4), max_size=4),
    "char(5)": st.text("ab ", max_size=5),
    "int4range": st.tuples(st.integers(-9, 9), st.integers(0, 9)).map(lambda t: f"[{t[0]},{t[0] + t[1]})"),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Types and rows; the first column is one to cut parts by, with keys that are equal, and keys that are missing."""
    types = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=6))
    row = st.tuples(st.none() | st.integers(0, 9), *(st.none() | TYPES[kind] for kind in types)).map(list)
    return ["int", *types], draw(st.lists(row, max_size=12))


def test_any_table_comes_back_equal_however_it_is_cut(
    stack: Stack, store: Store, scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    with empty_database(stack) as source:

        @settings(max_examples=7, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @example((["int", "text"], [[number, "v"] for number in range(9)]), 500, "c0")
        @given(tables(), st.integers(500, 10_000), st.sampled_from(["c0", None]))
        def comes_back(table: tuple[list[str], list[list[Any]]], part_bytes: int, part_by: str | None) -> None:
            # Parts that are worth an object are larger than what hypothesis can fill. A table this small has one page.
            monkeypatch.setattr(plan, "part_bytes", lambda *_: part_bytes)
            types, rows = table
            columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(types))
            with psycopg.connect(source) as connection:
                connection.execute(f"drop table if exists t; create table t ({columns})")
                for row in rows:
                    marks = ", ".join("%s" for _ in types)
                    connection.execute(f"insert into t values ({marks})", row)
            manifest = snapshot(source, store, {"name": "public.t", "part_by": part_by})
            parts.append(len(manifest.parts))
            verify_snapshot(manifest, store).check()
            assert fingerprints(source, "public.t") == [(len(rows), manifest.tables[0].fingerprint)]
            assert drill(manifest, store, scratch, now=NOW).tables["public.t"].rows == len(rows)

        comes_back()
    assert max(parts) > 2, "not even the example was cut"
