"""A rebuilt database is as its source in all that is not a value, or the drill says that this is not proven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.snapshots.restore.drill import NotAllProven, drill
from mindguard.snapshots.restore.schema_dump import SchemaDump
from mindguard.snapshots.restore.structure import differences
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.catalog import proven
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from tests.integration.restoring import NOW, empty_database, run, snapshot


@pytest.fixture
def scratch(stack: Stack) -> str:
    """The connection that drills work on."""
    return stack.postgres_conninfo("mindguard_drill")


@pytest.fixture
def empty(stack: Stack) -> Iterator[str]:
    with empty_database(stack) as conninfo:
        yield conninfo


def as_superuser(stack: Stack, conninfo: str) -> str:
    return stack.postgres_conninfo("postgres", str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]))


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
