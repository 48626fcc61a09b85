"""Schemas of other people: rows that live elsewhere, what feeds a table, encodings. Each is right, or refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from devstack.stack import Stack
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.restore.drill import Unrestorable, drill
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.restoring import NOW, as_superuser, empty_database, run, snapshot

PARTED = (
    "create table parted (id int, v text) partition by list (id);"
    "create table one partition of parted for values in (1); create table two partition of parted for values in (2);"
    "insert into parted values (1, 'x'), (2, 'y');"
)
INHERITED = (
    "create table m (id int, v text); create table m1 (more int) inherits (m); create table m2 () inherits (m1);"
    "insert into m1 values (1, 'x', 7); insert into m2 values (2, 'y', 8);"
)


REFUSED = {
    "rows in children": (
        INHERITED,
        ["public.m"],
        r"other tables inherit from public\.m, so its rows may be in them: public\.m1, public\.m2 – set `inherited",
    ),
    "a partition beside its table": (
        PARTED,
        ["public.parted", "public.two"],
        r"the rows of public\.two would be in the snapshot twice: in public\.parted and in public\.two – remove one",
    ),
    "a child beside all of its parent": (
        INHERITED,
        ["public.m2", {"name": "public.m", "inherited": "all"}],
        r"the rows of public\.m2 would be in the snapshot twice: in public\.m2 and in public\.m – remove one",
    ),
    "two ancestors with all": (
        INHERITED,
        [{"name": "public.m1", "inherited": "all"}, {"name": "public.m", "inherited": "all"}],
        r"the rows of public\.m1 would be in the snapshot twice",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_would_be_missing_or_doubled_are_refused(case: str, fresh_database: str, store: Store) -> None:
    schema, tables, message = REFUSED[case]
    run(fresh_database, schema)
    with pytest.raises(SourceError, match=f"^{message}"):
        snapshot(fresh_database, store, *tables)
    assert store.manifest_keys() == []


TAKEN = {
    "own rows and each child": (
        INHERITED,
        [
            {"name": "public.m", "inherited": "own"},
            {"name": "public.m1", "inherited": "own"},
            "public.m2",
        ],
        {"public.m": 0, "public.m1": 1, "public.m2": 1},
    ),
    "all rows as the parent's": (INHERITED, [{"name": "public.m", "inherited": "all"}], {"public.m": 2}),
    "all rows of the middle": (INHERITED, [{"name": "public.m1", "inherited": "all"}], {"public.m1": 2}),
    "a child alone": (INHERITED, ["public.m2"], {"public.m2": 1}),
    "a partitioned table": (PARTED, ["public.parted"], {"public.parted": 2}),
    "partitions without their table": (PARTED, ["public.one", "public.two"], {"public.one": 1, "public.two": 1}),
    "inherited is said of a plain table": (
        "create table m (id int); insert into m values (1)",
        [{"name": "public.m", "inherited": "all"}],
        {"public.m": 1},
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_rows_that_are_taken_come_back_once(case: str, fresh_database: str, store: Store, stack: Stack) -> None:
    schema, tables, rows = TAKEN[case]
    run(fresh_database, schema)
    manifest = snapshot(fresh_database, store, *tables)
    assert {table.name: table.rows for table in manifest.tables} == rows
    proof = drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    assert {name: table.rows for name, table in proof.tables.items()} == rows
    with empty_database(stack) as target:
        rebuild(manifest, store, target)
        assert sum(rows.values()) == sum(
            run(target, f"select count(*) from only {name}")[0][0]
            for name in ("parted", "one", "two", "m", "m1", "m2")
            if run(target, f"select to_regclass('public.{name}')")[0][0]
        )


def test_a_partition_whose_rows_are_in_another_database_is_refused(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    run(fresh_database, PARTED)
    run(
        as_superuser(stack, fresh_database),
        "create extension postgres_fdw; create server elsewhere foreign data wrapper postgres_fdw",
        "create foreign table away partition of parted for values in (3) server elsewhere",
    )
    with pytest.raises(SourceError, match=r"^public\.away, a part of public\.parted, is a foreign table: its rows are"):
        snapshot(fresh_database, store, "public.parted")
    assert snapshot(fresh_database, store, "public.one", "public.two").rows == 2


def test_a_table_that_an_extension_fills_is_refused(fresh_database: str, store: Store, stack: Stack) -> None:
    run(fresh_database, "create table filled (id int)")
    run(as_superuser(stack, fresh_database), "create extension citext; alter extension citext add table filled")
    with pytest.raises(SourceError, match=r"^public\.filled belongs to extension citext, which fills it itself"):
        snapshot(fresh_database, store, "public.filled")


FED = (
    "create sequence plain; create sequence by_default; create sequence by_trigger; create schema other;"
    "create sequence other.far; create sequence unused start 7; create sequence set_back;"
    "create function next_no() returns bigint language sql as $$ select nextval('public.by_default') $$;"
    "create function number() returns trigger language plpgsql as $$ begin "
    "new.b := nextval('public.by_trigger'); return new; end $$;"
    "create table t (id bigint default next_no() primary key, b bigint, c bigint, d bigint);"
    "create trigger number before insert on t for each row execute function number();"
    "insert into t (c, d) select nextval('plain'), nextval('other.far') from generate_series(1, 5);"
    "select setval('set_back', 42, false);"
)


def test_whatever_feeds_a_table_goes_on_after_its_rows(fresh_database: str, store: Store, stack: Stack) -> None:
    """The first number of each sequence after a restore is the one that the source would give."""
    run(fresh_database, FED)
    manifest = snapshot(fresh_database, store, "public.t")
    names = ("plain", "by_default", "by_trigger", "other.far", "unused", "set_back")
    with empty_database(stack) as target:
        rebuild(manifest, store, target)
        nexts = [run(target, f"select nextval('{name}')")[0][0] for name in names]
        assert nexts == [6, 6, 6, 6, 7, 42]
        run(target, "insert into t (c, d) values (nextval('plain'), nextval('other.far'))")


def test_many_sequences_are_read_and_a_far_one_without_rights_is_no_obstacle(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    with psycopg.connect(as_superuser(stack, fresh_database)) as connection:
        connection.execute("create schema closed; create sequence closed.secret")
        connection.execute("do $$ begin for i in 1..1100 loop execute 'create sequence s' || i; end loop; end $$")
        connection.execute("grant select on all sequences in schema public to mindguard_app_owner")
    run(fresh_database, "create table t (id int)")
    manifest = snapshot(fresh_database, store, "public.t")
    assert len(manifest.sequences) == 1100
    run(as_superuser(stack, fresh_database), "revoke select on sequence s7 from mindguard_app_owner")
    with pytest.raises(SourceError, match="permission denied for sequence s7 – GRANT pg_read_all_data"):
        snapshot(fresh_database, store, "public.t")


def test_large_objects_are_taken_and_restored_if_the_settings_say_so(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    run(
        fresh_database,
        "create table photos (id int, photo oid); create table stray (id int)",
        "insert into photos select i, lo_from_bytea(0, decode(string_agg(md5(i || '.' || j), ''), 'hex')) "
        "from generate_series(1, 100) i, generate_series(1, 2000) j group by i",
        "insert into photos values (101, lo_create(0)), (102, 1)",
        "select lo_from_bytea(0, 'nobody refers to it')",
    )
    manifest = snapshot(fresh_database, store, "public.photos", large_objects=True)
    assert [line.partition(" to which")[0] for line in manifest.not_held] == ["the database has 1 large objects"]
    assert manifest.large_objects
    assert manifest.large_objects.rows == 101
    assert len(manifest.large_objects.parts) > 2
    again = snapshot(fresh_database, store, "public.photos", large_objects=True)
    assert [part.key for part in again.parts] == [part.key for part in manifest.parts], "nothing is written twice"
    verify_snapshot(manifest, store).check()
    drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    content = "select id, md5(lo_get(photo)) from photos where id <= 101 order by id"
    with empty_database(stack) as target:
        rebuild(manifest, store, target)
        assert run(target, content) == run(fresh_database, content)
        assert run(target, "select count(*) from pg_largeobject_metadata") == [(101,)]
        assert run(target, "select nspname from pg_namespace where nspname like 'mindguard%'") == []


def test_a_large_object_that_has_changed_is_not_proven(fresh_database: str, store: Store, stack: Stack) -> None:
    run(fresh_database, "create table photos (photo oid); insert into photos values (lo_from_bytea(0, 'pixels'))")
    first = snapshot(fresh_database, store, "public.photos", large_objects=True)
    run(fresh_database, "select lo_put(photo, 0, 'PIXELS') from photos")
    second = snapshot(fresh_database, store, "public.photos", large_objects=True)
    assert first.large_objects
    assert second.large_objects
    claimed = first.large_objects.model_copy(update={"fingerprint": second.large_objects.fingerprint})
    with pytest.raises(Unrestorable, match="the large objects came back with another content"):
        drill(
            first.model_copy(update={"large_objects": claimed}),
            store,
            stack.postgres_conninfo("mindguard_drill"),
            now=NOW,
        )


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("text", "repeat('x', 65000000)"),
        ("varchar", "repeat('x', 65000000)"),
        ("bytea", "repeat('x', 65000000)::bytea"),
        ("json", "to_json(repeat('x', 65000000))"),
        ("jsonb", "to_jsonb(repeat('x', 65000000))"),
        ("int[]", "array_fill(1234567890, array[6000000])"),
        ("short[]", "array_fill('x'::short, array[33000000])"),
        ("bit varying", "repeat('1', 65000000)::varbit"),
        ("pair", "row(1, repeat('x', 65000000))::pair"),
    ],
)
def test_a_row_that_is_too_large_is_refused(fresh_database: str, store: Store, type_name: str, value: str) -> None:
    run(
        fresh_database,
        "create domain short as text check (length(value) < 2); create type pair as (number int, note text)",
        f"create table t (id int, v {type_name})",
        f"insert into t values (1, {value})",
    )
    with pytest.raises(SourceError, match=r"^public\.t has a row of 6\d MB or more; above 64 MB, taking or restoring"):
        snapshot(fresh_database, store, "public.t")
    run(fresh_database, "update t set v = null")
    assert snapshot(fresh_database, store, "public.t").rows == 1


def test_the_largest_row_comes_back_and_a_larger_one_is_refused(fresh_database: str, empty: str, store: Store) -> None:
    run(
        fresh_database,
        "create table t (id int, a text, b text, c bytea)",
        "insert into t values (1, repeat('x', 30000000), repeat('y', 30000000), repeat('z', 3000000)::bytea)",
    )
    rebuild(snapshot(fresh_database, store, "public.t"), store, empty)
    content = "select id, md5(a), md5(b), md5(c) from t"
    assert run(empty, content) == run(fresh_database, content)
    run(fresh_database, "update t set c = repeat('z', 5000000)::bytea")
    with pytest.raises(SourceError, match=r"^public\.t has a row of 65 MB or more"):
        snapshot(fresh_database, store, "public.t")


def test_a_large_object_that_is_too_large_is_refused(fresh_database: str, store: Store) -> None:
    run(
        fresh_database,
        "create table photos (photo oid); insert into photos select lo_from_bytea(0, repeat('x', 70000000)::bytea)",
    )
    assert snapshot(fresh_database, store, "public.photos").rows == 1
    with pytest.raises(SourceError, match=r"^pg_catalog\.pg_largeobject has a row of 64 MB or more"):
        snapshot(fresh_database, store, "public.photos", large_objects=True)


def test_large_objects_are_named_as_what_the_snapshot_does_not_hold(fresh_database: str, store: Store) -> None:
    run(
        fresh_database,
        "create domain lo as oid; create table photos (id int, photo oid, scan lo, other oid)",
        "insert into photos select i, lo_from_bytea(0, 'pixels'), lo_from_bytea(0, 'lines'), 1 "
        "from generate_series(1, 3) i",
        "insert into photos values (4, null, null, null)",
    )
    lines: list[str] = []
    manifest = snapshot(fresh_database, store, "public.photos", progress=lines.append)
    assert manifest.not_held == (
        "public.photos.photo refers to 3 large objects; their content is not in the snapshot",
        "public.photos.scan refers to 3 large objects; their content is not in the snapshot",
    )
    assert set(manifest.not_held) <= set(lines)


@pytest.fixture(params=["LATIN1", "EUC_CN", "WIN1252", "UTF8"])
def encoded(request: pytest.FixtureRequest, stack: Stack) -> Iterator[tuple[str, str]]:
    """Return the encoding, and the connection string of a database in it."""
    name = f"encoded_{uuid.uuid4().hex[:12]}"
    admin = stack.postgres_conninfo("postgres", "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        create = sql.SQL(
            "create database {} owner mindguard_app_owner encoding {} locale_provider libc locale 'C' "
            "template template0"
        )
        connection.execute(create.format(sql.Identifier(name), request.param))
    yield request.param, stack.postgres_conninfo("mindguard_app_owner", name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_a_database_in_another_encoding_is_proven_on_a_server_in_utf8(
    encoded: tuple[str, str], store: Store, stack: Stack
) -> None:
    encoding, conninfo = encoded
    chinese = encoding in ("EUC_CN", "UTF8")
    word, table = ("心情很好", "心情") if chinese else ("Gemütsverfassung", "Gemüt")
    with psycopg.connect(conninfo, client_encoding="UTF8") as connection:
        name = sql.Identifier(table)
        mood = sql.SQL("create type mood as enum ({})").format(word)
        connection.execute(mood)
        connection.execute(
            sql.SQL(
                "create table {} (k varchar(40) primary key, n text, c char(30), j jsonb, a text[], m mood, b bytea)"
            ).format(name)
        )
        connection.execute(
            sql.SQL(
                "insert into {} select {w} || i, {w}, {w}, to_jsonb({w}::text), array[{w}], {w}, 'x' "
                "from generate_series(1, 20000) i"
            ).format(name, w=word)
        )
    manifest = snapshot(conninfo, store, f"public.{table}")
    proof = drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    assert proof.tables[f"public.{table}"].rows == 20000
    assert len(manifest.tables[0].parts) > 2


def test_what_a_snapshot_leaves_out_is_said_by_take(fresh_database: str, store: Store, stack: Stack) -> None:
    """Also with the setting that takes large objects: only columns of type oid or lo are known to refer to them."""
    run(
        fresh_database,
        "create table t (as_text text, listed oid[]); create table t1 () inherits (t); create table p (photo oid);"
        "insert into t values (lo_from_bytea(0, 'x')::text, array[lo_from_bytea(0, 'y')]);"
        "insert into p values (lo_from_bytea(0, 'z'))",
    )
    run(as_superuser(stack, fresh_database), "create schema closed; create sequence closed.secret")
    tables = ({"name": "public.t", "inherited": "own"}, "public.p")
    always = (
        "the database has 2 large objects to which no column of type oid or lo of these tables refers; "
        "their content is not in the snapshot",
        "the position of closed.secret cannot be read by this role, so a restored sequence begins anew",
    )
    children = "public.t: `inherited: own` leaves out the rows of public.t1"
    assert snapshot(fresh_database, store, *tables, large_objects=True).not_held == (children, *always)
    photo = "public.p.photo refers to 1 large objects; their content is not in the snapshot"
    assert snapshot(fresh_database, store, *tables).not_held == (children, photo, *always)


def test_a_large_object_that_the_role_may_not_read_is_refused_with_advice_that_helps(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    """The role may read all data, which does not cover large objects."""
    run(fresh_database, "create table p (photo oid); insert into p values (lo_from_bytea(0, 'x'))")
    database = str(psycopg.conninfo.conninfo_to_dict(fresh_database)["dbname"])
    with pytest.raises(SourceError, match=r"no right to read 1 of the large objects .* GRANT SELECT ON LARGE OBJECT"):
        snapshot(stack.postgres_conninfo("mindguard_reader", database), store, "public.p", large_objects=True)


def test_a_table_of_postgresql_itself_is_refused(fresh_database: str, store: Store) -> None:
    with pytest.raises(SourceError, match=r"^pg_catalog\.pg_class is a table of PostgreSQL itself"):
        snapshot(fresh_database, store, "pg_catalog.pg_class")
