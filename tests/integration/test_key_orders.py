"""Tables that are cut by keys of every type, collation and order: each row is in one part, and comes back equal."""

from __future__ import annotations

import pytest

from devstack.stack import Stack
from mindguard.snapshots.export.source import Chosen, open_source
from mindguard.snapshots.restore.drill import drill
from mindguard.snapshots.storage.store import Store
from tests.integration.other_postgres import other_postgres
from tests.integration.restoring import NOW, run, snapshot

ROWS = 20_000
MIXED = "(array['Ä', 'a', 'B', 'b', 'Z'])[1 + i % 5] || '-' || i"
HEX = " || ':' || ".join(f"lpad(to_hex(i / {unit} % 256), 2, '0')" for unit in (65536, 256, 1))

# Key → what it needs, its type, and its value in row i.
KEYS = {
    "text": ("", "text", MIXED),
    "C": ("", 'text collate "C"', MIXED),
    "char": ("", "char(20)", MIXED),
    "name": ("", "name", MIXED),
    "citext": ("create extension citext", "citext", MIXED),
    "domain over citext": ("create domain d as citext", "d", MIXED),
    "domain with a collation": ('create domain dc as text collate "POSIX"', 'dc collate "C"', MIXED),
    "ltree": ("create extension ltree", "ltree", "('a.b' || i)::ltree"),
    "cube": ("create extension cube", "cube", "cube(i % 300, i)"),
    "hstore": ("create extension hstore", "hstore", "hstore('k', i::text)"),
    "enum": ("create type e as enum ('b', 'a', 'c')", "e", "(array['a', 'b', 'c'])[1 + i % 3]::e"),
    "composite": ("create type pair as (a int, b text)", "pair", "row(i, 'x')::pair"),
    "macaddr": ("", "macaddr", f"('08:00:2b:' || {HEX})::macaddr"),
    "macaddr8": ("", "macaddr8", f"('08:00:2b:01:02:' || {HEX})::macaddr8"),
    "timetz": ("", "timetz", "'00:00+00'::timetz + i * interval '1 second'"),
    "inet": ("", "inet", "'10.0.0.0'::inet + i"),
    "numeric": ("", "numeric", "i / 7.0"),
    "float8": ("", "float8", "case i % 9 when 0 then 'NaN' else i / 7.0 end"),
    "interval": ("", "interval", "i * interval '1 day'"),
    "timestamptz": (
        "",
        "timestamptz",
        "case i % 9 when 0 then 'infinity' else '2026-01-01'::timestamptz + i * '1 s'::interval end",
    ),
    "jsonb": ("", "jsonb", "to_jsonb(i)"),
    "range": ("", "int4range", "int4range(i, i + 1)"),
    "bit": ("", "bit(30)", "i::bit(30)"),
    "bytea": ("", "bytea", "decode(md5(i::text), 'hex')"),
    "uuid": ("", "uuid", "md5(i::text)::uuid"),
}

# Their values have no order, or their text depends on other objects or does not come back equal.
BY_POSITION = {
    "int[]": ("", "int[]", "array[i, 1]"),
    "regclass": ("", "regclass", "('pg_catalog.pg_' || (array['class', 'type', 'proc'])[1 + i % 3])::regclass"),
    "json": ("", "json", "to_json(i)"),
    "xid": ("", "xid", "i::text::xid"),
    "point": ("", "point", "point(i, i)"),
}


def fill(conninfo: str, key: tuple[str, str, str], table: str = "t") -> None:
    needs, sql_type, value = key
    if needs:
        run(conninfo, needs)
    run(
        conninfo,
        f"create table {table} (k {sql_type}, v text)",
        f"insert into {table} select {value}, repeat('y', 90) from generate_series(1, {ROWS}) i",
        f"insert into {table} values (null, 'no key')",
    )


def test_a_table_is_cut_by_keys_of_any_type(fresh_database: str, store: Store, stack: Stack) -> None:
    names = {f"k{number}": name for number, name in enumerate(KEYS | BY_POSITION)}
    for table, name in names.items():
        fill(fresh_database, (KEYS | BY_POSITION)[name], table)
    asked = [{"name": f"public.{table}", "part_by": "k"} for table in names]
    for _ in range(2):  # cut for the first time, and then at the boundaries of the first snapshot
        manifest = snapshot(fresh_database, store, *asked)
        for table in manifest.tables:
            name = names[table.table_name.name]
            assert table.rows == ROWS + 1, name
            assert len(table.parts) > 2, f"{name}: a table of several megabytes must be cut"
            assert table.part_by == ("ctid" if name in BY_POSITION else "k"), name
    proof = drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    assert {name: proven.fingerprint for name, proven in proof.tables.items()} == {
        table.name: table.fingerprint for table in manifest.tables
    }


CHANGES = {
    "type": "alter table t alter k type int using split_part(k, '-', 2)::int",
    "collation": 'alter table t alter k type text collate "C"',
    "column": "alter table t drop k; alter table t add k int generated always as identity",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_key_that_has_changed_is_cut_anew(change: str, fresh_database: str, store: Store) -> None:
    fill(fresh_database, KEYS["text"])
    first = snapshot(fresh_database, store, {"name": "public.t", "part_by": "k"})
    run(fresh_database, CHANGES[change])
    second = snapshot(fresh_database, store, {"name": "public.t", "part_by": "k"})
    assert second.rows == first.rows == ROWS + 1
    assert len(second.parts) > 2


@pytest.mark.parametrize(
    ("previous", "used"),
    [
        (["b-2", "Ä-1", "B-3", "a-4", "b-2"], ["B-3", "a-4", "b-2", "Ä-1"]),  # in the order of another collation
        (["b\x01"], ["b\x01"]),
    ],
)
def test_boundaries_are_put_into_the_keys_present_order(
    previous: list[str], used: list[str], fresh_database: str
) -> None:
    fill(fresh_database, KEYS["C"])
    with open_source(fresh_database, max_age_s=60) as source:
        (table,) = source.describe_all([Chosen("public.t", "k")])
        parts = source.plan(table, previous, 10**9).parts
    edges = [part.key_range.lower for part in parts if part.key_range.lower]
    assert edges == [edge for edge in used if edge in edges]
    assert sum(part.rows for part in parts) == ROWS + 1


def test_boundaries_that_are_no_keys_any_more_are_forgotten(fresh_database: str) -> None:
    fill(fresh_database, KEYS["numeric"])
    with open_source(fresh_database, max_age_s=60) as source:
        (table,) = source.describe_all([Chosen("public.t", "k")])
        parts = source.plan(table, ["7", "seven"], 512_000).parts
    assert sum(part.rows for part in parts) == ROWS + 1
    assert not {"7", "seven"} & {part.key_range.lower for part in parts}


ICU = {"root": "und-x-icu", "swedish": "sv-x-icu", "loose": "loose"}


def test_a_table_is_cut_by_keys_in_an_order_of_icu(store: Store) -> None:
    """On the PostgreSQL of Debian: the embedded one has no ICU. Its drill is on the same server, in a new database."""
    with other_postgres() as server:
        run(server, "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        for table, collation in ICU.items():
            fill(server, ("", f'text collate "{collation}"', MIXED), table)
        for _ in range(2):
            manifest = snapshot(server, store, *({"name": f"public.{table}", "part_by": "k"} for table in ICU))
            for table in manifest.tables:
                assert (table.rows, table.part_by) == (ROWS + 1, "k"), table.name
                assert len(table.parts) > 2
        proof = drill(manifest, store, server, now=NOW)
    assert [proof.tables[table.name].fingerprint for table in manifest.tables] == [
        table.fingerprint for table in manifest.tables
    ]
