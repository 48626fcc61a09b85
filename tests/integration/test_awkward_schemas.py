"""Schemas that real databases have: functions without schemas, constraints that rows contradict, columns in odd order.

Each is taken, drilled and rebuilt. All values come back; what cannot be as it was is said, and never makes the values
look lost.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.doctor.database import examine_restore
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.drill import NotAllProven, drill
from mindguard.snapshots.restore.load import load
from mindguard.snapshots.restore.tables import RestoreRequest, plan_restore, restore
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault, TargetError
from mindguard.snapshots.restore.whole import plan_rebuild, rebuild
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from tests.connections import connection_of
from tests.integration.other_postgres import DEBIAN, other_postgres
from tests.integration.restoring import NOW, as_superuser, as_text, run, snapshot
from tests.stored_objects import remove

SETTINGS = Settings.model_validate({"snapshot": {"bucket": "x", "tables": [{"name": "public.t"}]}})

FACTOR = (
    "create table factor (f int); insert into factor values (2);"
    "create function scaled(x int) returns int language plpgsql immutable as "
    "$$ begin return x * (select max(f) from factor); end $$;"
)

# Statements of the source; what the drill says is not proven, each the beginning of a line.
SCHEMAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a generated column whose function names a table": (
        FACTOR + "create table t (id int primary key, g int generated always as (scaled(id)) stored);"
        "insert into t select generate_series(1, 9)",
        (),
    ),
    "a check whose function reads another table": (
        FACTOR + "create table t (id int primary key check (scaled(id) > 0)); insert into t values (1), (2)",
        (),
    ),
    "a domain whose check reads another table": (
        FACTOR + "create domain scalable as int check (scaled(value) > 0); create table t (id scalable primary key);"
        "insert into t values (1), (2)",
        (),
    ),
    "a check that reads a table of the snapshot which is loaded later": (
        "create table z_allowed (id int primary key); insert into z_allowed values (1);"
        "create function allowed(x int) returns bool language sql stable as "
        "$$ select exists (select from z_allowed as a where a.id = x) $$;"
        "create table t (id int primary key check (allowed(id))); insert into t values (1)",
        (),
    ),
    "an index whose function names a table": (
        FACTOR + "create table t (id int primary key); create index t_scaled on t (scaled(id));"
        "insert into t values (1)",
        (),
    ),
    "a key over a function that names a table": (
        FACTOR + "create table t (id int, r int4range, exclude using gist (int4range(scaled(id), scaled(id), '[]') "
        "with &&)); insert into t values (1), (2)",
        (),
    ),
    "an index whose function cannot run at all": (
        "create function broken(x int) returns int language plpgsql immutable as $$ begin return x; end $$;"
        "create table t (id int primary key); create index t_broken on t (broken(id)); insert into t values (1);"
        "create or replace function broken(x int) returns int language plpgsql immutable as "
        "$$ begin return (select x from nowhere); end $$",
        ('INDEX public t_broken: relation "nowhere" does not exist',),
    ),
    "a trigger whose function names a table": (
        FACTOR + "create function scale_it() returns trigger language plpgsql as "
        "$$ begin new.v = scaled(new.v); return new; end $$; create table t (id serial primary key, v int);"
        "create trigger scaling before insert or update on t for each row execute function scale_it();"
        "insert into t (v) select generate_series(1, 5)",
        (),
    ),
    "a check that was added as NOT VALID": (
        "create table t (id int primary key, v int); insert into t values (1, -1);"
        "alter table t add constraint positive check (v > 0) not valid",
        (),
    ),
    "NOT NULL that was added as NOT VALID": (
        "create table t (id int primary key, v int); insert into t values (1, null);"
        "alter table t add constraint present not null v not valid",
        (),
    ),
    "a domain's check that was added as NOT VALID": (
        "create domain small as int; create table t (id int primary key, v small); insert into t values (1, 100);"
        "alter domain small add constraint below check (value < 10) not valid",
        (),
    ),
    "a foreign key that was added as NOT VALID": (
        "create table t (id int primary key, t int); insert into t values (1, 7);"
        "alter table t add constraint up foreign key (t) references t not valid",
        (),
    ),
    "a check that looks at the clock": (
        "create table t (id int primary key, at timestamptz constraint ahead check (at > now() - interval '1 s'));"
        "insert into t values (1, now()), (2, now() + interval '1 day'); select pg_sleep(1.1)",
        ("check ahead of public.t: made as NOT VALID, since 1 row contradicts it",),
    ),
    "a check whose function has changed": (
        "create function fine(x int) returns bool language sql immutable as $$ select x < 10 $$;"
        "create table t (id int primary key constraint fine check (fine(id))); insert into t values (1), (5), (7);"
        "create or replace function fine(x int) returns bool language sql immutable as $$ select x < 5 $$",
        ("check fine of public.t: made as NOT VALID, since 2 rows contradict it",),
    ),
    "unique keys whose function has changed": (
        "create function same(x int) returns int language sql immutable as $$ select x $$;"
        "create table t (id int primary key, r int4range); create unique index t_same on t (same(id)) where id > 0;"
        "alter table t add constraint apart exclude using gist (int4range(same(id), same(id), '[]') with &&);"
        "insert into t values (1), (2), (3);"
        "create or replace function same(x int) returns int language sql immutable as $$ select x / 2 $$",
        (
            "CONSTRAINT public t apart: restored rows contradict it: 2 rows conflict with another row",
            "INDEX public t_same: restored rows contradict it: 1 value occurs in several rows",
        ),
    ),
    "a check over the whole row": (
        "create table t (id int primary key, v int);"
        "create function whole(r t) returns bool language sql immutable as $$ select (r).v > 0 $$;"
        "alter table t add constraint whole check (whole(t)), add constraint filled check (t is not null);"
        "insert into t values (1, 1)",
        (),
    ),
    "a child whose columns have another order": (
        "create table p (a int, z text); create table t (own text) inherits (p); alter table p add column later int;"
        "insert into t values (1, 'z', 'own', 3); alter table p alter z set default 'q'",
        (),
    ),
    "an identity that kept the sequence of its serial": (
        "create table t (id serial primary key, v int); insert into t (v) select generate_series(1, 5);"
        "alter table t alter id drop default; alter table t alter id add generated by default as identity "
        "(start with 6)",
        (),
    ),
    "a sequence that stood behind its rows in the source": (
        "create table t (id serial primary key); insert into t values (100), (1)",
        (),
    ),
    "a sequence that was never used": (
        "create table t (id serial primary key, o int generated by default as identity);"
        "insert into t values (1, 1), (2, 2)",
        (),
    ),
    "types whose output function is another type's": (
        "create table t (id int primary key, c refcursor, v oidvector, n int2vector);"
        "insert into t values (1, 'cursor \"1\"', '1 2', '3 4'), (2, null, null, null), (3, '', '', '')",
        (),
    ),
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_all_values_are_proven_and_the_rest_is_as_in_the_source_or_named(
    schema: str, fresh_database: str, empty: str, store: Store, scratch: str, stack: Stack
) -> None:
    statements, not_proven = SCHEMAS[schema]
    run(fresh_database, statements)
    source = as_superuser(stack, fresh_database)
    names = [
        f"public.{name}"
        for (name,) in run(
            source, "select relname from pg_class where relkind = 'r' and relnamespace = 2200 order by 1"
        )
        if name in {"t", "factor", "z_allowed"}
    ]
    manifest = snapshot(source, store, *reversed(names) if "factor" in names[0] else names)
    rebuilt = rebuild(manifest, store, empty)
    assert [any(line.startswith(says) for says in not_proven) for line in rebuilt.not_proven] == [True] * len(
        not_proven
    )
    for table in names:
        assert sorted(as_text(empty, table)) == sorted(as_text(source, table)) or "order" in schema
    if not_proven:
        with pytest.raises(NotAllProven, match=r"all values of .* are proven"):
            drill(manifest, store, scratch, now=NOW)
    else:
        proof = drill(manifest, store, scratch, now=NOW, progress=print)
        assert proof.not_proven == ()


def test_views_on_a_listed_materialized_view_come_back(
    fresh_database: str, empty: str, store: Store, scratch: str
) -> None:
    run(
        fresh_database,
        "create table t (id int primary key, v int); insert into t values (1, 2), (2, 3);"
        "create materialized view seen as select id, v from t; create unique index on seen (id);"
        "create view above as select * from seen; create materialized view further as select count(*) from above;"
        "create view topmost as select * from above; comment on materialized view seen is 'seen\n\n-- by id'; "
        "comment on column seen.v is 'a number'; comment on index seen_id_idx is 'of ids'; "
        "comment on view above is 'above'; create function reads() returns bigint "
        "begin atomic select count(*) from seen; end",
    )
    manifest = snapshot(fresh_database, store, "public.seen", "public.t")
    rebuilt = rebuild(manifest, store, empty)
    assert rebuilt.not_proven == ()
    assert rebuilt.skipped == ("MATERIALIZED VIEW public seen: a plain table holds its rows as they were",)
    assert run(empty, "select * from topmost order by 1") == [(1, 2), (2, 3)]
    assert run(empty, "select * from further") == [(2,)]
    assert run(
        empty,
        "select obj_description('seen'::regclass), col_description('seen'::regclass, 2), "
        "obj_description('seen_id_idx'::regclass)",
    ) == [("seen\n\n-- by id", "a number", "of ids")]
    assert run(empty, "select reads()") == [(2,)]
    assert drill(manifest, store, scratch, now=NOW).not_proven == ()


MATERIALIZED = (
    "create table t (id int primary key, v int); insert into t values (1, 2), (2, 3);"
    "create table other (id int); insert into other values (7);"
    "create table parent (id int); create table child () inherits (parent); insert into child values (1);"
    "create table kept (id int); insert into kept values (1); alter table kept enable row level security;"
    "create function adds(x int) returns int language sql immutable return x + 1;"
    "create function reads() returns bigint language sql as $$ select count(*) from public.other $$;"
    "create function known() returns bigint language sql begin atomic select count(*) from t; end;"
)
# The view's query; whether the rebuild fills it; the beginning of the line that names it.
FILLED: dict[str, tuple[str, str]] = {
    "a held table": ("select count(*) from t", ""),
    "a held table through a view and an operator": ("select id || 'x' as x from v_t", ""),
    "a function whose body is known": ("select adds(id), known() from t", ""),
    "no table": ("select 1 as one", ""),
    "a table that is not held": (
        "select * from other",
        "rows of materialized view public.m: it reads public.other, whose rows the snapshot does not hold; "
        "when all is there: REFRESH MATERIALIZED VIEW public.m",
    ),
    "a table that is not held through a view": (
        "select * from v_other",
        "rows of materialized view public.m: it reads public.other, whose rows",
    ),
    "a parent whose child is not held": (
        "select * from parent",
        "rows of materialized view public.m: it reads public.child, whose rows",
    ),
    "a function that may read anything": (
        "select reads()",
        "rows of materialized view public.m: it calls public.reads(), which may read",
    ),
    "a table whose rows were hidden": (
        "select * from kept",
        "rows of materialized view public.m: it reads public.kept, of which row-level security",
    ),
    "a view that is not filled": (
        "select * from unfilled",
        "rows of materialized view public.m: it reads public.unfilled, which has none either",
    ),
}


@pytest.mark.parametrize("reads", FILLED)
def test_a_materialized_view_is_refreshed_if_all_that_it_reads_is_held_and_else_named(
    reads: str, fresh_database: str, empty: str, store: Store
) -> None:
    query, named = FILLED[reads]
    run(fresh_database, MATERIALIZED)
    run(fresh_database, "create view v_t as select * from t; create view v_other as select * from other")
    run(fresh_database, "create materialized view unfilled as select * from other")
    # The one that reads another comes first by its name, and last by what it needs.
    run(fresh_database, f"create materialized view m as {query}; create materialized view a as select * from m")
    tables = [{"name": "public.parent", "inherited": "own"}, {"name": "public.kept"}, {"name": "public.t"}]
    manifest = snapshot(fresh_database, store, *tables)
    progress: list[str] = []
    rebuilt = rebuild(manifest, store, empty, progress=progress.append)
    assert rebuilt.not_proven == ()
    lines = [line for line in rebuilt.skipped if line.startswith("rows of materialized view public.m:")]
    above = [line for line in rebuilt.skipped if line.startswith("rows of materialized view public.a:")]
    if named:
        assert [line[: len(named)] for line in lines] == [named]
        assert ["public.m" in line or "public.other" in line or "public.k" in line for line in above] == [True]
    else:
        assert (lines, above) == ([], [])
        assert "refreshed: public.m, public.a" in progress
        assert run(empty, "select * from a") == run(fresh_database, "select * from a")


def test_a_refresh_that_fails_is_named_and_no_value_is_in_it(
    fresh_database: str, empty: str, store: Store, scratch: str
) -> None:
    run(
        fresh_database,
        "create table t (id int primary key, v text); insert into t values (1, '4711');"
        "create materialized view m as select v::int from t; create view above as select * from m;"
        f"update t set v = '{SECRET}'",
    )
    manifest = snapshot(fresh_database, store, "public.t")
    rebuilt = rebuild(manifest, store, empty)
    assert len(rebuilt.not_proven) == 1
    assert rebuilt.not_proven[0].startswith(
        "materialized view public.m: it has no rows, since its refresh failed: invalid text representation"
    )
    assert SECRET not in rebuilt.not_proven[0]
    with pytest.raises(NotAllProven, match="its refresh failed"):
        drill(manifest, store, scratch, now=NOW)


@pytest.mark.parametrize("path", ['app, public, "$user", "Odd ""name"', "''"])
def test_a_rebuild_says_how_to_give_the_database_the_sources_search_path(
    path: str, fresh_database: str, empty: str, store: Store
) -> None:
    name, copy = (str(psycopg.conninfo.conninfo_to_dict(each)["dbname"]) for each in (fresh_database, empty))
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    run(fresh_database, f'alter database "{name}" set search_path = {path}')
    manifest = snapshot(fresh_database, store, "public.t")
    (note,) = rebuild(manifest, store, empty).notes
    _, found, statement = note.partition("schema need it: ")
    assert found
    assert statement.startswith(f'ALTER DATABASE "{copy}" SET search_path = ')
    run(empty, statement)
    with psycopg.connect(empty) as there, psycopg.connect(fresh_database) as here:
        show = "select current_schemas(false), string_to_array(replace(current_setting('search_path'), '\"', ''), ', ')"
        assert there.execute(show).fetchall() == here.execute(show).fetchall()
        with target.connect(empty) as connection:
            assert target.other_path(connection, manifest) == ""


# What has happened to the live table since the snapshot was taken; what a restore says, each the beginning of a note.
SINCE: dict[str, tuple[str, tuple[str, ...]]] = {
    "nothing": ("", ()),
    "a check that old rows violate": (
        "update t set v = 1; alter table t add constraint positive check (v > 0)",
        ('check positive of "back"."t": made as NOT VALID, since 2 rows contradict it',),
    ),
    "a check for new rows only": ("alter table t add constraint positive check (v > 0) not valid", ()),
    "NOT NULL": (
        "update t set note = ''; alter table t alter note set not null",
        ('NOT NULL of "back"."t".note: left out, since 2 rows contradict it',),
    ),
    "a unique index": (
        "update t set v = id; create unique index once on t (v) where v is not null",
        ('index once of "back"."t": left out, since 1 value occurs in several rows',),
    ),
    "a unique constraint on an expression": (
        "update t set note = id; create unique index lowered on t (lower(note), (v + 1))",
        (),
    ),
    "another primary key": (
        "update t set v = id; alter table t drop constraint t_pkey, add primary key (v)",
        ('NOT NULL of "back"."t".v: left out, since 1 row contradicts it', 'index t_pkey of "back"."t": left out'),
    ),
    "an exclusion constraint": (
        "update t set v = id; alter table t add constraint apart exclude using btree (v with =)",
        ('index apart of "back"."t": left out, since 2 rows conflict with another row',),
    ),
    "a check whose function names another table": (
        FACTOR + "alter table t add constraint scaled check (scaled(id) > 0)",
        (),
    ),
    "a check over the whole row": (
        "create function whole(r t) returns bool language sql immutable as $$ select (r).id > 1 $$;"
        "delete from t where id = 1; alter table t add constraint whole check (whole(t))",
        ('check whole of "back"."t": left out, since function public.whole(back.t) does not exist',),
    ),
    "an index whose function names another table": (
        FACTOR + "truncate t; create index t_scaled on t (scaled(id))",
        ('index t_scaled of "back"."t": left out, since relation "factor" does not exist',),
    ),
    "a sequence that was moved back": ("truncate t restart identity", ()),
    "an identity in place of a serial": (
        "alter table t alter id drop default; alter table t alter id add generated always as identity (start with 6)",
        (),
    ),
}


@pytest.mark.parametrize("since", SINCE)
def test_rows_of_yesterday_come_back_under_the_constraints_of_today(
    since: str, fresh_database: str, store: Store
) -> None:
    """`v` is -1, -1 and null, `note` is null and empty."""
    run(
        fresh_database,
        "create table t (id serial primary key, v int, note text); comment on table t is 'of persons';"
        "insert into t (v, note) values (-1, null), (-1, ''), (null, null)",
    )
    rows = as_text(fresh_database, "public.t")
    manifest = snapshot(fresh_database, store, "public.t")
    change, notes = SINCE[since]
    if change:
        run(fresh_database, change)
    done = restore(manifest, store, fresh_database, RestoreRequest(schema="back"))
    assert as_text(fresh_database, "back.t") == rows
    assert len(done.notes) == len(notes), done.notes
    for note, beginning in zip(done.notes, notes, strict=True):
        assert note.startswith(beginning)
    assert done.tables["public.t"].shape == "live"
    assert [line for line in done.lines() if "made as NOT VALID" in line and "left out" in line] == []
    assert run(fresh_database, "select obj_description('back.t'::regclass)") == [("of persons",)]
    if not any("left out" in note for note in notes):
        swapped = restore(manifest, store, fresh_database, RestoreRequest(swap=True))
        assert swapped.tables["public.t"].kept_as
        assert as_text(fresh_database, "public.t") == rows
        assert run(fresh_database, "insert into t (v, note) values (9, 'x') returning id")[0][0] > 3
    else:
        with pytest.raises(RestoreRefused, match=r"no swap: .*(left out|whole)"):
            restore(manifest, store, fresh_database, RestoreRequest(swap=True))
        assert run(fresh_database, "select count(*) from pg_namespace where nspname like 'restored%'") == [(0,)]


SECRET = "patient-4711"

# Statements after the snapshot, or None where it is the stored rows that are refused.
REFUSALS: dict[str, tuple[str, str]] = {
    "a value that a type refuses": (
        "create table t (id int primary key, e mood); insert into t values (1, 'patient-4711')",
        "drop table t; alter type mood rename to other; create type mood as enum ('calm');",
    ),
    "a trigger that raises": (
        "create table t (id int primary key, e text); insert into t values (1, 'patient-4711')",
        "create function no() returns int language plpgsql immutable as "
        "$$ begin raise exception 'not %', (select max(e) from t) using errcode = '42P01'; end $$;"
        "create or replace function checked(x text) returns text language plpgsql immutable as "
        "$$ begin perform no(); return x; end $$; alter table t alter e set default checked('x');"
        "create domain strict as text check (checked(value) is not null); alter table t rename to old;"
        "create table t (id int primary key, e strict)",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_no_value_of_a_row_is_in_an_error_or_its_traceback(refusal: str, fresh_database: str, store: Store) -> None:
    before, after = REFUSALS[refusal]
    run(fresh_database, f"create type mood as enum ('calm', '{SECRET}')")
    run(fresh_database, before)
    manifest = snapshot(fresh_database, store, "public.t")
    run(fresh_database, after)
    if "strict" in after:  # the snapshot's column is made to have the live column's type
        body = manifest.model_dump(mode="json")
        body["tables"][0]["columns"][1] |= {"type": "public.strict"}
        manifest = type(manifest).model_validate(body)
    schemas = run(fresh_database, "select nspname from pg_namespace order by 1")
    with pytest.raises(MindGuardError, match="the target ") as caught:
        restore(manifest, store, fresh_database, RestoreRequest())
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "mindguard/snapshots/restore/load.py" in shown
    assert run(fresh_database, "select nspname from pg_namespace order by 1") == schemas


def test_a_killed_restore_is_marked_and_the_next_one_removes_it(
    fresh_database: str, store: Store, tmp_path: Path
) -> None:
    run(
        fresh_database,
        "create table t (id int primary key, v text); insert into t select i, 'v' from "
        "generate_series(1, 1000) as i; create table u (id int); insert into u values (1)",
    )
    manifest = snapshot(fresh_database, store, "public.t", "public.u")
    with interrupted_restore(manifest, fresh_database, tables=("t", "u")):
        pass
    left = "select relname from pg_class where relnamespace::regnamespace::text like 'restored%' and relkind = 'r'"
    assert {name for (name,) in run(fresh_database, left)} == {"t", "u"}
    request = RestoreRequest(("t",))
    plan = plan_restore(manifest, fresh_database, request)
    assert any(line.startswith(f"first remove schema {plan.schema} with ") for line in plan.lines())
    done = restore(manifest, store, fresh_database, request)
    assert run(fresh_database, left) == [("t",)]
    assert run(
        fresh_database, f"select count(*), obj_description('{done.schema}.t'::regclass) from {done.schema}.t"
    ) == [(1000, None)]
    with pytest.raises(RestoreRefused, match="has t already"):
        restore(manifest, store, fresh_database, request)


def test_a_running_restore_is_not_taken_for_a_killed_one(fresh_database: str, store: Store) -> None:
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    refused: list[str] = []

    def another(line: str) -> None:
        if "rows loaded, part" in line:
            with pytest.raises(RestoreRefused, match="another restore into schema back is running") as caught:
                restore(manifest, store, fresh_database, RestoreRequest(schema="back"))
            refused.append(str(caught.value))

    restore(manifest, store, fresh_database, RestoreRequest(schema="back"), progress=another)
    assert len(refused) == 1
    assert run(fresh_database, "select count(*) from back.t") == [(1,)]


def test_tables_that_a_killed_restore_left_in_a_schema_of_the_users_are_removed_alone(
    fresh_database: str, store: Store
) -> None:
    run(
        fresh_database,
        "create table t (id int primary key); insert into t values (1); create schema mine; create table mine.own ()",
    )
    manifest = snapshot(fresh_database, store, "public.t")
    with interrupted_restore(manifest, fresh_database, schema="mine"):
        pass
    restore(manifest, store, fresh_database, RestoreRequest(schema="mine"))
    assert run(fresh_database, "select count(*) from mine.t") == [(1,)]
    assert run(fresh_database, "select count(*) from mine.own") == [(0,)]


@contextmanager
def interrupted_restore(
    manifest: Manifest, conninfo: str, *, tables: tuple[str, ...] = (), schema: str = ""
) -> Iterator[None]:
    """Make the tables as a restore does, and end without cleaning up, as a process that is killed does."""
    from mindguard.snapshots.restore import tables as restores

    request = RestoreRequest(tables, schema=schema)
    with target.connect(conninfo) as connection:
        plan = restores._plan(connection, manifest, request)
        restores._create(connection, manifest, plan, "public", avoided=False)
    yield


def test_what_cannot_be_removed_is_named_with_the_command_that_removes_it(
    fresh_database: str, store: Store, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    remove(store, manifest.parts[0].key)
    source = as_superuser(stack, fresh_database)

    def forbid_drops(*arguments: Any, **more: Any) -> Any:
        run(
            source,
            "create function no_drops() returns event_trigger language plpgsql as "
            "$$ begin raise exception 'no drops'; end $$",
            "create event trigger no_drops on sql_drop execute function no_drops()",
        )
        return load(*arguments, **more)

    def attempt(says: str) -> None:
        with pytest.raises(SnapshotAtFault, match=says):
            restore(manifest, store, fresh_database, RestoreRequest(schema="back"))

    with monkeypatch.context() as patch:
        patch.setattr("mindguard.snapshots.restore.tables.load", forbid_drops)
        attempt(
            r'is missing in the store – schema back with back\.t may be left: DROP SCHEMA "back" CASCADE, or run the'
        )
    run(source, "drop event trigger no_drops")
    attempt(r"is missing in the store$")
    assert run(source, "select count(*) from pg_namespace where nspname = 'back'") == [(0,)]


def test_event_triggers_do_not_block_a_restore_of_a_superuser_and_are_named_to_others(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    source = as_superuser(stack, fresh_database)
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    run(
        source,
        "create function no_tables() returns event_trigger language plpgsql as "
        "$$ begin raise exception 'by the migration tool only'; end $$",
        "create event trigger guarded on ddl_command_start execute function no_tables()",
    )
    with pytest.raises(RestoreRefused, match=r"nothing was made: .*event triggers guarded – ALTER EVENT TRIGGER"):
        restore(manifest, store, fresh_database, RestoreRequest(schema="back"))
    assert run(source, "select count(*) from pg_namespace where nspname = 'back'") == [(0,)]
    restore(manifest, store, source, RestoreRequest(schema="back"))
    assert run(source, "select count(*) from back.t") == [(1,)]


GUARDED = (
    "create function no_tables() returns event_trigger language plpgsql as "
    "$$ begin raise exception 'by the migration tool only' using errcode = '42501'; end $$",
    "create event trigger guarded on ddl_command_start execute function no_tables()",
)


@pytest.mark.parametrize("version", [14, DEBIAN, 16, 17])
def test_event_triggers_of_older_servers_do_not_block_a_restore_of_a_superuser(version: int, store: Store) -> None:
    with other_postgres(version) as conninfo:
        run(conninfo, "create table t (id int primary key, v int not null); insert into t values (1, 2)")
        manifest = snapshot(conninfo, store, "public.t")
        run(conninfo, *GUARDED)
        found = {each.check: each for each in examine_restore(SETTINGS, lambda _: connection_of(conninfo), lambda: NOW)}
        assert "run when a swap alters" in found["event triggers"].text
        restore(manifest, store, conninfo, RestoreRequest(schema="back"))
        assert as_text(conninfo, "back.t") == ["(1,2)"]
        run(conninfo, "drop event trigger guarded; create role other login; grant create on database postgres to other")
        run(conninfo, "grant select on t to other", GUARDED[1])
        other = psycopg.conninfo.make_conninfo(conninfo, user="other")
        found = {each.check: each for each in examine_restore(SETTINGS, lambda _: connection_of(other), lambda: NOW)}
        assert found["event triggers"].text.endswith("while you restore, or connect as a superuser")
        says = r"event triggers guarded – ALTER EVENT TRIGGER … DISABLE while you restore, or connect as a superuser$"
        with pytest.raises(RestoreRefused, match=says):
            restore(manifest, store, other, RestoreRequest(schema="again"))
        run(conninfo, "alter event trigger guarded enable always")
        with pytest.raises(RestoreRefused, match=r"SQLSTATE 42501\); .*guarded – ALTER .* while you restore"):
            restore(manifest, store, other, RestoreRequest(schema="again"))
        assert run(conninfo, "show session_replication_role") == [("origin",)]


def test_a_swap_that_event_triggers_forbid_says_so(fresh_database: str, store: Store, stack: Stack) -> None:
    source = as_superuser(stack, fresh_database)
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    run(source, *GUARDED)
    found = {each.check: each for each in examine_restore(SETTINGS, lambda _: connection_of(source), lambda: NOW)}
    assert found["event triggers"].status == "warn"
    says = r"swap undone, nothing has changed: .*42501.* guarded – ALTER EVENT TRIGGER … DISABLE while you swap$"
    with pytest.raises(TargetError, match=says):
        restore(manifest, store, source, RestoreRequest(swap=True))
    assert run(source, "select count(*) from pg_namespace where nspname like 'restored%'") == [(0,)]
    run(source, "drop event trigger guarded")
    run(
        source,
        "create or replace function no_tables() returns event_trigger language plpgsql as $$ begin if exists (select "
        "from pg_event_trigger_dropped_objects() where object_type = 'schema') then raise 'no'; end if; end $$",
        "create event trigger guarded on sql_drop execute function no_tables()",
    )
    run(source, "grant create on schema public to mindguard_app_owner")
    done = restore(manifest, store, fresh_database, RestoreRequest(swap=True))
    assert done.swapped
    assert len(done.notes) == 1
    assert done.notes[0].endswith(f': DROP SCHEMA "{done.schema}"')


def test_an_event_trigger_that_names_a_table_without_its_schema_does_not_block_a_restore(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    source = as_superuser(stack, fresh_database)
    run(fresh_database, "create table t (id int primary key); insert into t values (1); create table ddl (at text)")
    manifest = snapshot(fresh_database, store, "public.t")
    run(
        source,
        "create function note_it() returns event_trigger language plpgsql as "
        "$$ begin insert into ddl values (tg_tag); end $$",
        "create event trigger audit on ddl_command_end execute function note_it()",
        "grant all on ddl to public",
    )
    restore(manifest, store, fresh_database, RestoreRequest(schema="back"))
    assert run(source, "select count(*) from back.t") == [(1,)]


def test_a_rebuild_that_fails_says_what_is_left_and_how_to_remove_it(
    fresh_database: str, empty: str, store: Store, stack: Stack
) -> None:
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    remove(store, manifest.parts[0].key)
    name = str(psycopg.conninfo.conninfo_to_dict(empty)["dbname"])
    remedy = f'DROP DATABASE "{name}"; CREATE DATABASE "{name}"; then run again'
    lines: list[str] = []
    with pytest.raises(SnapshotAtFault, match=f"is missing in the store – database {name} holds part .*{remedy}"):
        rebuild(manifest, store, empty, progress=lines.append)
    assert lines[-1].endswith(remedy)
    with pytest.raises(
        RestoreRefused, match=f"holds an unfinished restore of snapshot {manifest.snapshot_id}, .*{remedy}"
    ):
        plan_rebuild(manifest, empty)
    admin = stack.postgres_conninfo("postgres", "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'drop database "{name}"')
        connection.execute(f'create database "{name}" owner mindguard_app_owner')
    manifest = snapshot(fresh_database, store, "public.t")
    rebuild(manifest, store, empty)
    assert run(
        empty, "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
    ) == [(None,)]


LIMITS = ("statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout")


def test_time_limits_of_roles_and_databases_do_not_end_a_restore(
    fresh_database: str, empty: str, store: Store, scratch: str, stack: Stack
) -> None:
    run(
        fresh_database,
        "create table t (id int primary key, v text); insert into t select i, 'v' from "
        "generate_series(1, 20000) as i; create index on t (v)",
    )
    manifest = snapshot(fresh_database, store, "public.t")
    with limited(stack, "mindguard_app_owner"), limited(stack, "mindguard_drill"):
        assert rebuild(manifest, store, empty).not_proven == ()
        assert drill(manifest, store, scratch, now=NOW).not_proven == ()
        restore(manifest, store, fresh_database, RestoreRequest(swap=True))


@contextmanager
def limited(stack: Stack, role: str) -> Iterator[None]:
    """Let the server end whatever the role's sessions do after a few milliseconds."""
    admin = stack.postgres_conninfo("postgres", "postgres")
    names = (*LIMITS, "transaction_timeout")
    run(admin, *(f"alter role {role} set {name} = '30ms'" for name in names))
    try:
        yield
    finally:
        run(admin, *(f"alter role {role} reset {name}" for name in names))


def test_a_comparison_that_fails_does_not_undo_the_restore(fresh_database: str, store: Store) -> None:
    """The names are those that the comparison gives to its own columns."""
    run(
        fresh_database,
        "create table t (mindguard_image int primary key, mindguard_present int); insert into t values (1, 2)",
    )
    manifest = snapshot(fresh_database, store, "public.t")
    done = restore(manifest, store, fresh_database, RestoreRequest(schema="back"))
    assert as_text(fresh_database, "back.t") == ["(1,2)"]
    assert done.tables["public.t"].difference is None
    assert [note.partition(":")[0] for note in done.notes] == ["public.t"]
    assert "could not be compared with the live table" in done.notes[0]


def test_a_restore_whose_sessions_are_ended_leaves_nothing_and_a_retry_works(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    run(fresh_database, "create table t (id int primary key); insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    source = as_superuser(stack, fresh_database)

    def end_sessions(line: str) -> None:
        if "rows loaded, part" in line:
            run(
                source,
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()",
            )

    with pytest.raises(TargetError, match="the target database failed"):
        restore(manifest, store, fresh_database, RestoreRequest(schema="back"), progress=end_sessions)
    assert run(source, "select count(*) from pg_namespace where nspname = 'back'") == [(0,)]
    restore(manifest, store, fresh_database, RestoreRequest(schema="back"))
    assert run(source, "select count(*) from back.t") == [(1,)]


def test_the_rows_of_a_child_are_drilled_in_the_order_of_the_source(
    fresh_database: str, store: Store, scratch: str
) -> None:
    """Columns of other types in each place, so that a comparison by place would fail or see other values."""
    run(
        fresh_database,
        "create table p (a int); create table q (b numeric); create table t (c jsonb, d bytea) inherits (p, q);"
        "alter table p add e float8; alter table q add f uuid; alter table t add g text;"
        "alter table p drop column a; insert into t values (1.10, '{}', '\\x00', -0.0, gen_random_uuid(), 'g')",
    )
    manifest = snapshot(fresh_database, store, "public.t")
    assert drill(manifest, store, scratch, now=NOW).not_proven == ()


def test_what_the_scratch_role_may_not_make_is_left_out_with_what_needs_it(
    fresh_database: str, store: Store, scratch: str, stack: Stack
) -> None:
    source = as_superuser(stack, fresh_database)
    run(
        source,
        "create table t (id int primary key); insert into t values (1); create extension pageinspect;"
        "create view pages as select * from page_header(get_raw_page('t', 0));"
        "create view above as select * from pages;"
        "create operator family odd using btree; grant all on t to public",
    )
    manifest = snapshot(source, store, "public.t")
    proof = drill(manifest, store, scratch, now=NOW)
    assert proof.not_proven == ()
    assert {line.partition(": ")[0] for line in proof.skipped} == {
        "EXTENSION pageinspect",
        "COMMENT EXTENSION pageinspect",
        "OPERATOR FAMILY public odd",
        "VIEW public pages",
        "VIEW public above",
    }
