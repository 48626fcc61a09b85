"""A rebuilt database is as its source in all that is not a value, or the drill says that this is not proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from mindguard.snapshots.restore.drill import NotAllProven, drill
from mindguard.snapshots.restore.schema_dump import SchemaDump
from mindguard.snapshots.restore.structure import differences
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.catalog import proven
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from tests.integration.restoring import NOW, as_superuser, empty_database, run, snapshot


def partitioned(levels: int, leaves: int) -> str:
    """A table partitioned twice, with keys and indexes on all levels, and tables that refer to it."""
    statements = ["create table big (id int, day int, v text, primary key (id, day)) partition by list (day)"]
    for level in range(levels):
        days = [level * leaves + leaf for leaf in range(leaves)]
        statements.append(
            f"create table big_{level} partition of big for values in ({', '.join(map(str, days))}) "
            "partition by range (id)"
        )
        statements += [
            f"create table big_{level}_{leaf} partition of big_{level} for values from ({leaf}) to ({leaf + 1})"
            for leaf in range(leaves)
        ]
    statements += [
        "create index on big (v)",
        "create unique index on big (day, id)",
        f"insert into big select i % {leaves}, i % {levels * leaves}, 'v' from generate_series(1, 1000) i "
        "on conflict do nothing",
    ]
    for number in range(3):
        statements += [
            f"create table refers_{number} (id int primary key, big int, day int, "
            "foreign key (big, day) references big (id, day))",
            f"insert into refers_{number} select row_number() over (), id, day from big",
        ]
    return ";".join(statements)


CATALOG = {
    "indexes": "select indexrelid::regclass::text, indisvalid, indisunique, indisprimary from pg_index as i "
    "join pg_class as c on c.oid = indrelid where relnamespace = 'public'::regnamespace order by 1",
    "constraints": "select conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid), "
    "obj_description(oid) from pg_constraint where connamespace = 'public'::regnamespace order by 1, 2",
    "triggers": "select tgrelid::regclass::text, tgname, tgenabled from pg_trigger where not tgisinternal "
    "order by 1, 2",
}


def catalog(conninfo: str) -> dict[str, list[tuple[Any, ...]]]:
    return {name: run(conninfo, query) for name, query in CATALOG.items()}


def test_partitioned_keys_and_the_keys_that_refer_to_them_come_back_valid(
    fresh_database: str, store: Store, stack: Stack
) -> None:
    run(fresh_database, partitioned(12, 2))
    manifest = snapshot(fresh_database, store, "public.big", *(f"public.refers_{number}" for number in range(3)))
    before = catalog(fresh_database)
    assert len(before["constraints"]) > 50
    for _ in range(4):  # sessions that race do not do so each time
        with empty_database(stack) as conninfo:
            rebuilt = rebuild(manifest, store, conninfo, connections=3)
            assert (rebuilt.skipped, rebuilt.not_proven) == ((), ())
            assert catalog(conninfo) == before


DIFFERENCES: dict[str, tuple[str, str]] = {
    "a missing index": ("drop index t_a", "INDEX public t_a: missing"),
    "a missing key": ("alter table t drop constraint t_pkey cascade", "CONSTRAINT public t t_pkey: missing"),
    "a constraint that was not checked": (
        "alter table other drop constraint to_t, add constraint to_t foreign key (t) references t not valid",
        "FK CONSTRAINT public other to_t: differs",
    ),
    "a check with another condition": (
        "alter table t drop constraint few, add constraint few check (v in ('a', 'c'))",
        "TABLE public t: differs",
    ),
    "a trigger that is on": ("alter table t enable trigger watch", "TRIGGER public t watch: differs"),
    "a trigger that is gone": ("drop trigger watch on t", "TRIGGER public t watch: missing"),
    "another comment": ("comment on column t.v is 'new'", "COMMENT public COLUMN t.v: differs"),
    "another default": ("alter table t alter v set default 'b'", "TABLE public t: differs"),
    "another order of columns": (
        "drop table ordered; create table ordered (b int, a int)",
        "TABLE public ordered: diff",
    ),
    "an unattached index": (
        "drop index parted_v; create index parted_v on only parted (v)",
        "INDEX ATTACH public parted_1_v_idx: missing",
    ),
    "another increment": ("alter sequence alone increment 7", "SEQUENCE public alone: differs"),
    "row-level security that binds the owner": (
        "alter table t no force row level security",
        "TABLE public t: differs",
    ),
    "another view": ("create or replace view seen as select a, v from t where a > 1", "VIEW public seen: differs"),
    "other statistics": ("drop statistics counted", "STATISTICS public counted: missing"),
    "another policy": ("alter policy own on t using (a > 7)", "POLICY public t own: differs"),
    "a function with another body": (
        "create or replace function note_it() returns trigger language plpgsql as $$ begin return null; end $$",
        "FUNCTION public note_it(): differs",
    ),
}
SHAPES = """
create table t (a int primary key, v varchar(5) default 'a' constraint few check (v in ('a', 'b')),
    day date check (day between '2026-01-01' and '2027-01-01'), amount numeric check (amount > 0 or amount is null));
create index t_a on t (lower(v), a) where v <> 'b';
create table other (t int constraint to_t references t);
create table ordered (a int, b int);
create table parted (a int, v int) partition by list (a);
create table parted_1 partition of parted for values in (1);
create index parted_v on parted (v);
create sequence alone increment 3;
create function note_it() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger watch before insert on t for each row when (new.v in ('a', 'b')) execute function note_it();
alter table t disable trigger watch;
alter table t enable row level security; alter table t force row level security;
create policy own on t using (a > 3 and v in ('a', 'b'));
create view seen as select a, v from t where v in ('a', 'b') and day > current_date;
create statistics counted on a, v from t;
comment on column t.v is 'a or b';
comment on index t_a is 'of an index'; comment on index t_pkey is 'of a key''s index';
comment on index parted_v is 'of a partitioned index';
comment on constraint t_pkey on t is 'of a key'; comment on constraint to_t on other is 'of a foreign key';
comment on trigger watch on t is 'of a trigger'; comment on policy own on t is 'of a policy';
create table parent (a int, b varchar(3) check (b in ('x', 'y')));
create table child (own int) inherits (parent);
alter table parent add column later int default 3;
create table empty_child () inherits (parent);
insert into ordered values (1, 2);
"""


def test_what_is_alike_is_not_said_to_differ_and_what_differs_is(
    fresh_database: str, empty: str, store: Store, stack: Stack, tmp_path: Path
) -> None:
    run(fresh_database, SHAPES)
    manifest = snapshot(as_superuser(stack, fresh_database), store, "public.ordered", "public.t")
    rebuilt = rebuild(manifest, store, empty)
    assert (rebuilt.skipped, rebuilt.not_proven) == ((), ())
    dump = dump_of(manifest, store, tmp_path)
    assert differences(dump, empty, tmp_path, without=()) == []
    for change, says in DIFFERENCES.values():
        with empty_database(stack, template=empty) as changed:
            run(changed, change)
            assert any(line.startswith(says) for line in differences(dump, changed, tmp_path, without=())), says


def dump_of(manifest: Manifest, store: Store, folder: Path) -> SchemaDump:
    file = folder / "source.dump"
    file.write_bytes(store.read(manifest.schema_dump.key))
    return SchemaDump(file)


def test_values_are_proven_although_a_constraint_is_not(
    fresh_database: str, store: Store, scratch: str, stack: Stack
) -> None:
    run(
        as_superuser(stack, fresh_database),
        "create table parent (id int primary key); create table child (id int references parent)",
        "insert into parent values (1); set session_replication_role = replica; insert into child values (1), (7), (8)",
    )
    manifest = snapshot(as_superuser(stack, fresh_database), store, "public.parent", "public.child")
    with pytest.raises(NotAllProven, match="child_id_fkey: made as NOT VALID, since 2 rows contradict it") as caught:
        drill(manifest, store, scratch, now=NOW)
    assert caught.value.severity == "P2"
    (proof,) = proven(store).values()
    assert set(proof.tables) == {"public.parent", "public.child"}
    assert len(proof.not_proven) == 1


# One of each, so that none is taken to differ only because it was dumped, restored and dumped again.
EVERYTHING = """
create schema app; create schema "Odd Schema";
create type app.mood as enum ('low', 'high'); create type app.pair as (a int, b text);
create type app.spans as range (subtype = float8, multirange_type_name = app.multispans);
create domain app.code as varchar(9) default 'x' not null check (value in ('x', 'y')) check (length(value) < 9);
comment on domain app.code is 'a code'; comment on constraint code_check on domain app.code is 'one of two';
create function app.twice(x int) returns int language sql immutable begin atomic select x * 2; end;
create function app.is_fine(x int) returns bool language plpgsql as $$
-- Name: t; Type: TABLE; Schema: public; Owner: -
begin return x > 0; end $$;
create procedure app.proc(out x int) language plpgsql as $$ begin x := 1; end $$;
create aggregate app.product(int) (sfunc = int4mul, stype = int, initcond = '1');
create operator app.%% (function = int4mul, leftarg = int, rightarg = int);
create collation app.binary (provider = libc, locale = 'C');
create text search configuration app.plain (copy = simple);
create table t (
    id int generated always as identity (start with 10 increment by 5) primary key,
    code app.code, mood app.mood default 'low', pair app.pair default row(1, 'b'), spans app.spans,
    v varchar(5) collate app.binary constraint "odd Name" check (v in ('a', 'b') or v is null),
    n int check (app.is_fine(n)) no inherit, big text storage external compression pglz,
    at timestamptz default now() check (at <= now() + interval '1 year'),
    g int generated always as (n + 1) stored, gv int generated always as (n * 2) virtual,
    constraint later unique (n) deferrable initially deferred,
    constraint loose check (n < 1000) not enforced, constraint nulls unique nulls not distinct (v, n) include (at)
);
comment on constraint "odd Name" on t is 'a check'; comment on constraint t_n_check on t is 'one that is set aside';
comment on table t is 'with ''quotes'' and
two lines'; comment on index t_pkey is 'the key'; alter table t cluster on t_pkey;
alter table t alter n set statistics 7;
alter table t set (fillfactor = 70, autovacuum_enabled = off); alter table t replica identity full;
create table "Odd Schema"."Odd Table" ("Odd Column" int primary key, "select" text);
comment on column "Odd Schema"."Odd Table"."select" is 'a word';
create unlogged table quick (a int, span int4range, constraint apart exclude using gist (span with &&));
create table typed of app.pair (a not null);
create table versions (id int4range, valid daterange, primary key (id, valid without overlaps));
create table parted (id int generated by default as identity, day date not null, v text, primary key (id, day))
    partition by range (day);
create table parted_1 (v text, day date not null, id int not null);
alter table parted attach partition parted_1 for values from ('2026-01-01') to ('2027-01-01');
create table parted_2 partition of parted default partition by hash (id);
create table parted_2a partition of parted_2 for values with (modulus 2, remainder 0);
create table parted_2b partition of parted_2 for values with (modulus 2, remainder 1);
create index parted_v on parted (v); create index on only parted (day);
create table refers (id int primary key, pid int, pday date, up int references refers on delete cascade deferrable,
    foreign key (pid, pday) references parted match full on update cascade,
    constraint unenforced foreign key (up) references refers not enforced);
create function note_it() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger on_all before insert on parted for each row execute function note_it();
alter table parted_1 disable trigger on_all; alter table parted_2a enable always trigger on_all;
create constraint trigger late after insert on t deferrable initially deferred for each row execute function note_it();
comment on trigger late on t is 'late';
create trigger once after update on t referencing new table as fresh for each statement execute function note_it();
alter table t enable replica trigger once;
create rule quiet as on delete to quick do instead nothing; alter table quick disable rule quiet;
alter table t enable row level security; create policy own on t for select to public using (v in ('a', 'b'));
comment on policy own on t is 'own'; create statistics counted (ndistinct, mcv) on v, n from t;
create view seen with (security_barrier) as select id, v from t where v in ('a', 'b') with cascaded check option;
alter view seen alter v set default 'z';
create rule seen_in as on insert to seen do instead insert into t (v) values (new.v);
create view wide as select t.*, r.pid from t left join refers as r on r.id = t.id
where t.v like 'a%' or n between 1 and 2;
create recursive view counted_up (n) as values (1) union all select n + 1 from counted_up where n < 3;
create materialized view shelf as select v, count(*) as n from t group by v; create unique index on shelf (v);
create view by_key as select id, v, n from t group by id;
create sequence alone as smallint minvalue -5 increment -1 cycle; create sequence owned owned by quick.a;
alter table quick alter a set default nextval('alone');
create table parent (a int, b varchar(3) check (b in ('x', 'y')), constraint own check (a > 0) no inherit);
create table child (own int, check (own in (1, 2))) inherits (parent); alter table parent add c int default 3 not null;
alter table child add constraint only_child check (a < 9); alter table child alter b set default 'x';
insert into t (code, n, v) values ('x', 1, 'a'), ('y', 2, null);
insert into parted (day) values ('2026-05-05'), ('2030-01-01');
insert into refers values (1, 1, '2026-05-05', null); insert into quick values (1, '[1,2)'), (2, '[5,6)');
insert into child (a, b, own) values (1, 'x', 1);
"""


def test_nothing_of_a_large_schema_is_said_to_differ(
    fresh_database: str, empty: str, store: Store, scratch: str, stack: Stack
) -> None:
    source = as_superuser(stack, fresh_database)
    run(source, EVERYTHING)
    tables = ("public.t", "public.parted", "public.refers", "public.quick", "public.child", "public.shelf")
    manifest = snapshot(source, store, *tables)
    assert drill(manifest, store, scratch, now=NOW, progress=print).not_proven == ()
    rebuilt = rebuild(manifest, store, empty)
    assert rebuilt.not_proven == ()
    assert rebuilt.skipped == ("MATERIALIZED VIEW public shelf: a plain table holds its rows as they were",)
