"""Restores over the real engines: whole snapshots, tables, rows, differences and swaps."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from devstack.stack import Stack
from mindguard import postgres_session
from mindguard.cli import app
from mindguard.errors import MindGuardError
from mindguard.snapshots.restore import whole
from mindguard.snapshots.restore.difference import Difference
from mindguard.snapshots.restore.drill import drill
from mindguard.snapshots.restore.load import WIDE_BYTES, Job, load
from mindguard.snapshots.restore.swap import kept_name
from mindguard.snapshots.restore.tables import RestoreRequest, plan_restore, restore
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault, TargetError
from mindguard.snapshots.restore.whole import plan_rebuild, rebuild
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.sql import identifier
from tests.integration.hostile import HOSTILE_ROWS, ODD_TABLES
from tests.integration.restoring import (
    NOW,
    as_settings,
    as_superuser,
    as_text,
    empty_database,
    fill_hostile,
    fingerprints,
    run,
    snapshot,
)

SMALL_TABLES = {name: ODD_TABLES[name] for name in ('public."表 with space"', "public.wide")}


@pytest.mark.parametrize("wide_bytes", [WIDE_BYTES, 1, 400], ids=["as CSV", "one by one", "by turns"])
def test_hostile_values_and_odd_tables_come_back_equal(
    wide_bytes: int, fresh_database: str, empty: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mindguard.snapshots.restore.load.WIDE_BYTES", wide_bytes)
    if wide_bytes < WIDE_BYTES:  # nothing is gained from looking at each row of large tables
        monkeypatch.setattr("tests.integration.test_restore.ODD_TABLES", SMALL_TABLES)
    fill_hostile(fresh_database)
    for statements in ODD_TABLES.values():
        run(fresh_database, statements)
    names = [quoted.replace('"', "") for quoted in ("public.hostile", *ODD_TABLES)]
    manifest = snapshot(fresh_database, store, *map(as_settings, ["public.hostile", *ODD_TABLES]))
    rebuilt = rebuild(manifest, store, empty, progress=print)
    assert {name: loaded.rows for name, loaded in rebuilt.tables.items()} == {t.name: t.rows for t in manifest.tables}
    assert fingerprints(empty, *names) == [(table.rows, table.fingerprint) for table in manifest.tables]
    for quoted in ("public.hostile", *ODD_TABLES):
        assert as_text(empty, quoted) == as_text(fresh_database, quoted), quoted
    assert rebuilt.skipped == ()
    # Identities go on where they stood: an INSERT gets a number of its own.
    number = run(empty, "insert into hostile default values returning id")[0][0]
    assert number == len(HOSTILE_ROWS) + 1


LIBRARY = """
create table author (id int primary key, name text);
create table book (
    id bigint generated always as identity primary key, user_id int, author int references author,
    series int, title text not null, price numeric check (price >= 0), at timestamptz, unique (title)
);
create table loan (id serial primary key, book bigint references book, back bool);
create table outsider (id int primary key, book bigint references book on delete cascade);
create index book_by_user on book (user_id) where user_id > 0;
insert into author select i, 'a' || i from generate_series(1, 50) i;
insert into book (user_id, author, title, price, at)
select i % 1000, 1 + i % 50, 't' || i || repeat('x', 300), i / 7.0, '2026-01-01'::timestamptz + i * interval '1 minute'
from generate_series(1, 12000) i;
insert into loan (book, back) select i, i % 2 = 0 from generate_series(1, 100) i;
insert into outsider select i, i from generate_series(1, 10) i;
create function note_it() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger noted before insert on book for each row execute function note_it();
grant select, update (title) on book to mindguard_reader;
"""
COUNT_OUTSIDERS = "select count(*) from outsider"
BOOK: dict[str, Any] = {"name": "public.book", "part_by": "at"}


@pytest.fixture(scope="module")
def template(stack: Stack) -> Iterator[str]:
    """The library, filled once; nobody may be connected to it while it is copied."""
    with empty_database(stack) as conninfo:
        run(conninfo, LIBRARY)
        yield conninfo


@pytest.fixture
def library(stack: Stack, template: str) -> Iterator[str]:
    """A library of the test's own."""
    with empty_database(stack, template=template) as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def shelf(stack: Stack) -> Store:
    """The store that the snapshot of the library is in; no test changes it."""
    client = stack.seaweedfs.client()
    client.create_bucket(Bucket="library")
    return Store(client, bucket="library", prefix="key-tables")


@pytest.fixture(scope="module")
def books(template: str, shelf: Store) -> Manifest:
    """A snapshot of books and loans, without authors and outsiders."""
    return snapshot(template, shelf, BOOK, "public.loan")


def test_a_rebuild_reports_what_it_leaves_out(library: str, empty: str, store: Store, stack: Stack) -> None:
    name = psycopg.conninfo.conninfo_to_dict(library)["dbname"]
    run(
        stack.postgres_conninfo("postgres", name),
        "create publication all_books for table book; create foreign data wrapper far; create server away foreign data "
        "wrapper far; create foreign table distant (id int) server away; create policy own on loan to mindguard_reader",
        "create function f() returns event_trigger language plpgsql as $$ begin end $$; "
        "create event trigger watch on ddl_command_end execute function f()",
        "create materialized view shelf as select id, title from book where id <= 3; "
        "alter materialized view shelf owner to mindguard_app_owner",
    )
    manifest = snapshot(library, store, BOOK, "public.loan", "public.shelf")
    rebuilt = rebuild(manifest, store, empty)
    left_out = "\n".join(rebuilt.skipped)
    for what in (
        "PUBLICATION all_books: it would replicate",
        "EVENT TRIGGER watch: it needs a superuser",
        "SERVER away: it leads to another database",
        "FOREIGN TABLE public distant: its rows are in another database",
        "foreign key book_author_fkey of public.book: the snapshot does not hold public.author",
        "MATERIALIZED VIEW public shelf: a plain table holds its rows as they were",
    ):
        assert what in left_out
    assert fingerprints(empty, "public.book", "public.loan", "public.shelf") == [
        (table.rows, table.fingerprint) for table in manifest.tables
    ]
    assert run(empty, "select conname from pg_constraint where contype = 'f' order by 1") == [
        ("loan_book_fkey",),
        ("outsider_book_fkey",),
    ]
    assert run(empty, "insert into book (title) values ('new') returning id") == [(12001,)]
    assert run(empty, "insert into loan (back) values (true) returning id") == [(101,)]


def test_a_filled_database_and_the_source_are_refused(template: str, books: Manifest, empty: str, shelf: Store) -> None:
    for attempt in (lambda where: rebuild(books, shelf, where), lambda where: plan_rebuild(books, where)):
        with pytest.raises(RestoreRefused, match="is the source of snapshot"):
            attempt(template)
        for thing in ("create table t ()", "create schema s", "create function f() returns int return 1"):
            with empty_again(empty):
                run(empty, thing)
                with pytest.raises(RestoreRefused, match=r"is not empty: it holds (public\.[tf]|schema s)"):
                    attempt(empty)
    assert any("12,000 rows" in line for line in plan_rebuild(books, empty))


class empty_again:
    """Drops what a block makes in the database."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        run(self.conninfo, "drop table if exists t; drop schema if exists s; drop function if exists f")


def test_rows_by_key_read_only_the_parts_that_can_hold_them(library: str, books: Manifest, shelf: Store) -> None:
    when = run(library, "select at::text from book where id = 5432")[0][0]
    done = restore(books, shelf, library, RestoreRequest(("book",), (f"at={when}",)))
    (table,) = done.tables.values()
    assert (table.read.rows, table.read.parts) == (1, 1)
    assert table.parts_in_all > 2
    assert run(library, f"select id from {done.schema}.book") == [(5432,)]
    assert table.difference == Difference(only_restored=0, only_live=0, changed=0, equal=1)


def test_rows_by_another_column_and_several_values(library: str, books: Manifest, shelf: Store) -> None:
    run(library, "update book set price = price + 1 where id = 7; delete from book where id = 1007")
    request = RestoreRequest(("public.book",), ("user_id=7", "user_id= 8", "author=8"), "mine")
    done = restore(books, shelf, library, request)
    assert run(library, "select count(*), min(user_id), max(user_id), min(author), max(author) from mine.book") == [
        run(library, "select 1 + count(*), 7, 7, 8, 8 from book where user_id in (7, 8) and author = 8")[0]
    ]
    assert done.tables["public.book"].difference == Difference(only_restored=1, only_live=0, changed=1, equal=10)


def test_rows_without_a_key_are_counted_as_often_as_they_are_in_both(fresh_database: str, store: Store) -> None:
    run(fresh_database, "create table t (a int, b numeric)")
    run(
        fresh_database,
        "insert into t select i, i from generate_series(1, 8) i",
        "insert into t values (1, 1), (9, null)",
    )
    manifest = snapshot(fresh_database, store, "public.t")
    for number, (change, only_restored, only_live, equal) in enumerate(
        [
            ("insert into t values (1, 1), (1, 1)", 0, 2, 10),
            ("delete from t where a in (1, 9)", 3, 0, 7),
            ("insert into t select i, i from generate_series(20, 24) i; insert into t values (1, 1.0)", 3, 6, 7),
            ("truncate t", 10, 0, 0),
        ]
    ):
        run(fresh_database, change)
        (table,) = restore(manifest, store, fresh_database, RestoreRequest(schema=f"r{number}")).tables.values()
        assert table.difference == Difference(only_restored, only_live, None, equal), change


def test_rows_by_an_enum_read_only_the_parts_that_can_hold_them(fresh_database: str, store: Store) -> None:
    run(
        fresh_database,
        "create type state as enum ('new', 'open', 'closed', 'bad');"
        "create table t (id int primary key, s state, f text);"
        "insert into t select i, (enum_range(null::state))[1 + i / 1000], repeat(md5(i::text), 30) "
        "from generate_series(0, 2999) as i; insert into t values (-1, null, ''); create index on t (s)",
    )
    manifest = snapshot(fresh_database, store, {"name": "public.t", "part_by": "s"})
    done = restore(manifest, store, fresh_database, RestoreRequest(("t",), ("s=open",), "one"))
    (table,) = done.tables.values()
    assert run(fresh_database, "select count(*), min(id), max(id) from one.t") == [(1000, 1000, 1999)]
    assert table.difference == Difference(only_restored=0, only_live=0, changed=0, equal=1000)
    assert table.read.parts < table.parts_in_all
    request = RestoreRequest(("t",), ("s=new", "s=closed", "s=bad"), "two")
    restore(manifest, store, fresh_database, request)
    assert run(fresh_database, "select count(*) from two.t") == [(2000,)]
    # The labels have changed places since then.
    run(fresh_database, "alter table t alter s type text; drop schema one, two cascade; drop type state")
    run(fresh_database, "create type state as enum ('closed', 'bad', 'open', 'new')")
    restore(manifest, store, fresh_database, RestoreRequest(("t",), ("s=open", "s=closed"), "three"))
    assert run(fresh_database, "select count(*), min(id), max(id) from three.t") == [(2000, 1000, 2999)]
    with pytest.raises(RestoreRefused, match="which has no such label – it has new, open, closed"):
        restore(manifest, store, fresh_database, RestoreRequest(("t",), ("s=other",), "four"))


def test_a_lock_that_is_not_free_is_named(fresh_database: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run(fresh_database, "create table t (id int primary key); create table child (t int references t)")
    run(fresh_database, "insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    monkeypatch.setattr(postgres_session, "pinned", partial(postgres_session.pinned, lock_timeout_s=0.3))
    for locked, request, says in [
        ("t in access exclusive", RestoreRequest(), r"the lock on public\.t was not free within 10 s – pg_locks"),
        ("t in share", RestoreRequest(swap=True), r'the lock on "public"\."t" was not free'),
        (
            "child in share",
            RestoreRequest(swap=True),
            r"the lock on a table of this step: alter table .*child .*not free",
        ),
    ]:
        with psycopg.connect(fresh_database) as other:
            other.execute(f"lock table {locked} mode")
            with pytest.raises(TargetError, match=says):
                restore(manifest, store, fresh_database, request)
    assert run(fresh_database, "select count(*) from pg_namespace where nspname like 'restored%'") == [(0,)]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (RestoreRequest(("nope",)), "no table nope"),
        (RestoreRequest(("book",), ("user_id",)), "is not COLUMN=VALUE"),
        (RestoreRequest(("book",), ("isbn=1",)), "no column 'isbn'"),
        (RestoreRequest(("book",), ("user_id=x",)), "user_id is of type integer"),
        (RestoreRequest(("book",), ("price=1.1",)), "equal values of numeric can differ as text"),
        (RestoreRequest(("book",), ("user_id=1",), swap=True), "would lose all others"),
        (RestoreRequest(("book",), schema="public"), "schema public has book already"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    request_: RestoreRequest, says: str, library: str, books: Manifest, shelf: Store
) -> None:
    before = schemas(library)
    for attempt in (lambda: plan_restore(books, library, request_), lambda: restore(books, shelf, library, request_)):
        with pytest.raises(RestoreRefused, match=says):
            attempt()
    assert schemas(library) == before


def schemas(conninfo: str) -> list[tuple[Any, ...]]:
    return run(conninfo, "select nspname from pg_namespace order by 1")


def test_a_table_that_is_gone_is_made_from_the_manifest(library: str, books: Manifest, shelf: Store) -> None:
    expected = as_text(library, "public.loan")
    run(library, "drop table loan; alter table book add column extra int")
    done = restore(books, shelf, library, RestoreRequest(schema="back"))
    assert {name: table.shape for name, table in done.tables.items()} == {
        "public.book": "manifest",
        "public.loan": "manifest",
    }
    assert as_text(library, "back.loan") == expected
    assert done.tables["public.loan"].difference is None
    assert run(library, "insert into back.loan (back) values (true) returning id") == [(101,)]
    assert run(library, "insert into back.book (title) values ('new') returning id") == [(12001,)]
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(library, "insert into back.loan (id) values (1)")


def test_a_failing_restore_leaves_nothing_behind(library: str, books: Manifest, shelf: Store) -> None:
    loan = books.tables[1]
    lost = loan.model_copy(update={"parts": (loan.parts[0].model_copy(update={"key": "key-tables/parts/none"}),)})
    before = schemas(library)
    with pytest.raises(SnapshotAtFault, match="is missing in the store"):
        restore(books.model_copy(update={"tables": (books.tables[0], lost)}), shelf, library, RestoreRequest())
    assert schemas(library) == before


def shape(conninfo: str, table: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything about a table that an application could notice."""
    queries = {
        "columns": "select attname, format_type(atttypid, atttypmod), attnotnull, attidentity from pg_attribute "
        "where attrelid = '{t}'::regclass and attnum > 0 order by attnum",
        "defaults": "select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = '{t}'::regclass order by 1",
        "constraints": "select conname, pg_get_constraintdef(oid) from pg_constraint "
        "where '{t}'::regclass in (conrelid, confrelid) order by 1",
        "indexes": "select pg_get_indexdef(indexrelid) from pg_index where indrelid = '{t}'::regclass order by 1",
        "triggers": "select pg_get_triggerdef(oid) from pg_trigger where tgrelid = '{t}'::regclass "
        "and not tgisinternal order by 1",
        "rights": "select grantee, privilege_type from information_schema.role_column_grants "
        "where table_schema || '.' || table_name = '{t}' order by column_name, 1, 2",
        "owner": "select relowner::regrole from pg_class where oid = '{t}'::regclass",
        "sequence": "select pg_get_serial_sequence('{t}', 'id')",
    }
    return {name: run(conninfo, query.format(t=table)) for name, query in queries.items()}


def test_a_swap_keeps_the_old_table_and_everything_that_hangs_on_it(
    library: str, books: Manifest, shelf: Store
) -> None:
    before = {name: shape(library, name) for name in ("public.book", "public.loan")}
    rows = as_text(library, "public.book")
    run(library, "update book set title = 'ruined ' || id where id > 8000", "insert into book (title) values ('late')")
    ruined = as_text(library, "public.book")
    done = restore(books, shelf, library, RestoreRequest(swap=True), progress=print)
    assert as_text(library, "public.book") == rows
    assert {name: shape(library, name) for name in before} == before
    kept = done.tables["public.book"].kept_as
    assert kept is not None
    assert kept.startswith("public.book_before_20261124t1800")
    assert as_text(library, kept) == ruined
    assert done.tables["public.book"].difference == Difference(0, 1, 4000, 8000)
    # Numbers given since the snapshot are not given again.
    assert run(library, "insert into book (title) values ('next') returning id") == [(12002,)]
    assert run(library, "insert into loan (back) values (true) returning id") == [(101,)]
    assert run(library, "delete from loan where book = 3", "delete from book where id = 3", COUNT_OUTSIDERS) == [(9,)]
    assert done.schema not in {name for (name,) in schemas(library)}


@pytest.mark.parametrize("name", ["n" * 63, "心" * 21])
def test_a_swap_of_a_table_with_a_long_name(name: str, fresh_database: str, store: Store) -> None:
    run(
        fresh_database,
        f'create table "{name}" (id int generated always as identity primary key, v text unique, o serial)',
        f"insert into \"{name}\" (v) values ('x')",
    )
    done = restore(snapshot(fresh_database, store, f"public.{name}"), store, fresh_database, RestoreRequest(swap=True))
    kept = done.tables[f"public.{name}"].kept_as
    assert kept
    for each in (name, kept.removeprefix("public.")):
        assert run(fresh_database, f'select id, v, o from "{each}"') == [(1, "x", 1)]
    run(fresh_database, f"insert into \"{name}\" (v) values ('y')")


def test_a_swap_keeps_options_and_replica_identity(fresh_database: str, store: Store) -> None:
    run(
        fresh_database,
        "create table t (id int primary key, v text unique not null) "
        "with (fillfactor = 50, autovacuum_enabled = off, toast.autovacuum_enabled = off)",
        "alter table t replica identity using index t_v_key; insert into t values (1, 'x')",
    )
    asked = (
        "select c.reloptions, c.relreplident, i.indexrelid::regclass::text, "
        "(select reloptions from pg_class where oid = c.reltoastrelid) from pg_class as c "
        "join pg_index as i on i.indrelid = c.oid and i.indisreplident where c.oid = 'public.t'::regclass"
    )
    before = run(fresh_database, asked)
    restore(snapshot(fresh_database, store, "public.t"), store, fresh_database, RestoreRequest(swap=True))
    assert run(fresh_database, asked) == before


SETTLED = {
    "persistence": "select relpersistence from pg_class where oid = 't'::regclass",
    "statistics targets": "select attrelid::regclass::text, attname, attstattarget from pg_attribute "
    "where attstattarget >= 0 and attnum > 0 and attrelid::regclass::text in ('t', 't_lower') order by 1, 2",
    "column options": "select attname, attoptions from pg_attribute where attrelid = 't'::regclass and attnum > 0 "
    "order by attnum",
    "storage": "select attname, attstorage, attcompression from pg_attribute where attrelid = 't'::regclass "
    "and attnum > 0 order by attnum",
    "cluster": "select indexrelid::regclass::text from pg_index where indrelid = 't'::regclass and indisclustered",
    "comments": "select pg_describe_object(classoid, objoid, objsubid), description from pg_description "
    "where description like 'about %' and pg_describe_object(classoid, objoid, objsubid) not like '%_before_%' "
    "order by 1",
    "statistics": "select stxname, pg_get_statisticsobjdef(oid), stxstattarget from pg_statistic_ext "
    "where stxrelid = 't'::regclass order by 1",
}


def test_a_swap_keeps_what_the_rows_do_not_show(fresh_database: str, store: Store) -> None:
    run(
        fresh_database,
        "create unlogged table t (id int primary key, v text unique not null, w text, "
        "day date check (day > '2000-01-01'))",
        "create index t_lower on t (lower(v)); alter table t cluster on t_lower",
        "create function f() returns trigger language plpgsql as 'begin return new; end'",
        "create trigger fires before update on t for each row execute function f()",
        "create statistics together on v, w from t; create statistics again (ndistinct) on w, day from t",
        "alter statistics together set statistics 50",
        "alter table t alter v set statistics 7, alter w set statistics 0, alter w set storage external, "
        "alter w set compression pglz, alter v set (n_distinct = -0.5)",
        "alter index t_lower alter column 1 set statistics 9",
        "comment on table t is 'about t''s'; comment on column t.v is 'about v'",
        "comment on index t_lower is 'about it'",
        "comment on constraint t_day_check on t is 'about days'; comment on constraint t_pkey on t is 'about keys'",
        "comment on trigger fires on t is 'about updates'; comment on statistics together is 'about both'",
        "insert into t values (1, 'x', 'y', '2026-01-01')",
    )
    before = {name: run(fresh_database, query) for name, query in SETTLED.items()}
    restore(snapshot(fresh_database, store, "public.t"), store, fresh_database, RestoreRequest(swap=True))
    assert {name: run(fresh_database, query) for name, query in SETTLED.items()} == before


def test_a_swap_keeps_the_type_of_an_identitys_sequence(fresh_database: str, store: Store, stack: Stack) -> None:
    run(
        fresh_database,
        "create table t (id int generated always as identity primary key, n smallint generated by default as identity)",
        "insert into t (n) values (default), (default)",
        "create table copied (like t including all); insert into copied (n) values (default)",
    )
    asked = "select seqrelid::regclass::text, seqtypid::regtype::text, seqmax from pg_sequence order by 1"
    before = run(fresh_database, asked)
    restore(snapshot(fresh_database, store, "public.t"), store, fresh_database, RestoreRequest(swap=True))
    after = run(fresh_database, asked)
    assert [each for each in after if "_before_" not in each[0]] == before
    # PostgreSQL itself makes the sequences of such a copy bigint, which a dump does not say.
    manifest = snapshot(fresh_database, store, "public.t", "public.copied")
    drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)


def test_a_swap_that_cannot_succeed_is_refused_before_anything_is_loaded(fresh_database: str, store: Store) -> None:
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    restore(manifest, store, fresh_database, RestoreRequest(swap=True))
    with pytest.raises(RestoreRefused, match=r"t_before_\w+ is there already, from an earlier swap"):
        plan_restore(manifest, fresh_database, RestoreRequest(swap=True))
    run(fresh_database, f"drop table {kept_name('t', manifest.snapshot_id)}")
    run(fresh_database, "revoke create on schema public from pg_database_owner")
    with pytest.raises(RestoreRefused, match=r"may not create in schema public \(GRANT CREATE ON SCHEMA public TO "):
        plan_restore(manifest, fresh_database, RestoreRequest(swap=True))
    plan_restore(manifest, fresh_database, RestoreRequest())


def test_a_role_that_may_not_rebuild_is_told_so_and_never_to_drop_a_database(
    fresh_database: str, empty: str, store: Store, stack: Stack
) -> None:
    run(fresh_database, "create table t (id int primary key)")
    manifest = snapshot(fresh_database, store, "public.t")
    name = str(psycopg.conninfo.conninfo_to_dict(empty)["dbname"])
    for attempt in (
        lambda conninfo: plan_rebuild(manifest, conninfo),
        lambda conninfo: rebuild(manifest, store, conninfo),
    ):
        with pytest.raises(RestoreRefused, match="may not create schemas in database") as caught:
            attempt(stack.postgres_conninfo("mindguard_drill", name))
        assert "GRANT CREATE ON DATABASE" in str(caught.value)
        assert "DROP DATABASE" not in str(caught.value)


def test_a_rebuild_that_left_nothing_says_so(
    fresh_database: str, empty: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(fresh_database, "create table t (id int primary key)")
    manifest = snapshot(fresh_database, store, "public.t")

    def fail(*_: object, **__: object) -> None:
        raise MindGuardError("the disk is full", hint="make room")

    monkeypatch.setattr(whole, "fetch", fail)
    with pytest.raises(MindGuardError, match=r"is empty, as before") as caught:
        rebuild(manifest, store, empty)
    assert "DROP DATABASE" not in str(caught.value)
    monkeypatch.undo()
    rebuild(manifest, store, empty)


def test_a_swap_that_breaks_a_foreign_key_changes_nothing(library: str, books: Manifest, shelf: Store) -> None:
    run(library, "insert into book (title) values ('late')", "insert into outsider values (99, 12001)")
    before = shape(library, "public.book"), as_text(library, "public.book"), schemas(library)
    with pytest.raises(MindGuardError, match=r"swap undone, nothing has changed.*outsider_book_fkey") as caught:
        restore(books, shelf, library, RestoreRequest(("book",), swap=True))
    assert "12001" not in "".join(traceback.format_exception(caught.value))
    assert (shape(library, "public.book"), as_text(library, "public.book"), schemas(library)) == before


@pytest.mark.parametrize(
    ("hanging", "says"),
    [
        ("create view v as select id from book", r"view public\.v reads it"),
        ("create function f() returns bigint return (select count(*) from book)", r"function public\.f\(\) uses it"),
        ("create table shelf (b book)", r"column b of table public\.shelf has its row type"),
        ("create table shelves (b book[])", r"column b of table public\.shelves has its row type"),
        ("create domain good_book as book check (value is not null)", r"type public\.good_book has its row type"),
        ("create rule kept as on delete to book where old.id < 0 do instead nothing", "rule kept is on it"),
        ("alter table book enable row level security", "row-level security is on"),
        ("alter table book force row level security", "row-level security is forced for its owner, although it is off"),
        ("create policy p on book", "policy p protects it"),
        ("create table more () inherits (book)", "in an inheritance tree"),
        ("alter table book add column extra int", "has other columns than in the snapshot"),
    ],
)
def test_a_swap_is_refused_where_something_would_go_on_using_the_old_table(
    hanging: str, says: str, library: str, books: Manifest, shelf: Store
) -> None:
    run(library, hanging)
    before = schemas(library)
    with pytest.raises(RestoreRefused, match=rf"no swap: public\.book.*{says}"):
        restore(books, shelf, library, RestoreRequest(("book",), swap=True))
    assert schemas(library) == before
    done = restore(books, shelf, library, RestoreRequest(("book",)))
    assert done.tables["public.book"].read.rows == 12000


def test_a_swap_of_a_table_that_is_gone_puts_it_back(library: str, books: Manifest, shelf: Store) -> None:
    run(library, "drop table loan")
    done = restore(books, shelf, library, RestoreRequest(("loan",), swap=True))
    assert done.tables["public.loan"].kept_as is None
    assert run(library, "insert into loan (back) values (true) returning id") == [(101,)]


def test_the_command_line_restores_and_says_what_it_did(
    library: str, books: Manifest, shelf: Store, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "mindguard.yaml"
    settings.write_text(f"snapshot:\n  bucket: {shelf.bucket}\n  tables: [{{name: public.book}}]\n", "utf-8")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(settings))
    monkeypatch.setenv("AIRFLOW_CONN_MINDGUARD_BACKUP", stack.environment()["AIRFLOW_CONN_MINDGUARD_BACKUP"])
    here = psycopg.conninfo.conninfo_to_dict(library)
    address = f"{here['host']}:{here['port']}/{here['dbname']}"
    monkeypatch.setenv("AIRFLOW_CONN_HERE", f"postgresql://{here['user']}:{here['password']}@{address}")

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["snapshot", "restore", books.snapshot_id, "--to", "here", *arguments])

    planned = call("--table", "book", "--swap", "--dry-run")
    assert "the restored public.book takes the live one's place" in planned.stdout
    done = call("--table", "book", "--where-key", "user_id=7", "--into", "chosen", "--json")
    assert json.loads(done.stdout)["tables"]["public.book"]["read"]["rows"] == 12
    assert "rows loaded, part" in done.stderr
    assert run(library, "select count(*) from chosen.book") == [(12,)]
    assert call("--whole", "--swap").exit_code == 2
    refused = call("--table", "book", "--into", "chosen")
    assert isinstance(refused.exception, RestoreRefused)


def test_loaded_rows_survive_a_crash_of_the_server(library: str, books: Manifest, shelf: Store, stack: Stack) -> None:
    (loan,) = [table for table in books.tables if table.name == "public.loan"]
    run(library, "create table durable (like loan)")
    load([Job(loan, identifier("public", "durable"), loan.parts)], shelf, library, connections=2, progress=print)
    stack.kill("postgres")
    stack.wait_ready()
    assert run(library, "select count(*) from durable") == [(100,)]


def test_a_swap_names_a_sequence_that_stands_before_the_restored_rows(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    """A function or trigger may feed the table from it: then the first insert after the swap would fail."""
    run(
        fresh_database,
        "create sequence hidden; create sequence turning maxvalue 9 cycle; create function next_no() returns bigint "
        "language sql as $$ select nextval('public.hidden') $$",
        "create table t (id bigint default next_no() primary key)",
        "insert into t select from generate_series(1, 5); select nextval('turning')",
        """create schema "another's"; create sequence "another's"."No_seq" """,
    )
    manifest = snapshot(fresh_database, store, "public.t")
    run(fresh_database, "truncate t; select setval('hidden', 1, false), setval('turning', 1, false)")
    run(as_superuser(stack, fresh_database), """alter schema "another's" owner to postgres""")
    done = restore(manifest, store, fresh_database, RestoreRequest(swap=True))
    note = "sequence public.hidden stands before its position in the snapshot"
    assert [each.partition(";")[0] for each in done.notes] == [note]
    run(fresh_database, done.notes[0].rpartition(": ")[2])
    assert run(fresh_database, "insert into t default values returning id") == [(6,)]
