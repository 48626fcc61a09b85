"""A large schema of somebody else's: taken, verified, drilled and rebuilt, value for value."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from devstack.stack import Stack
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.restore import whole
from mindguard.snapshots.restore.drill import DrillBroke, NotAllProven, drill
from mindguard.snapshots.restore.tables import RestoreRequest, restore
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.large_schema import EXTENSIONS, statements
from tests.integration.restoring import NOW, empty_database, run, snapshot, take

# A setting names `schema.table`: a name that has a dot or a line break itself cannot be told from it.
NOT_NAMEABLE = {("a.b", "c.d"), ("public", "public.dotted"), ("public", "new\nline")}

LEFT_OUT = {
    "SERVER away: it leads to another database",
    "USER MAPPING USER MAPPING public SERVER away: it holds another database's credentials",
    "FOREIGN TABLE public far: its rows are in another database",
    "PUBLICATION chosen: it would replicate rows of a copy",
    "PUBLICATION everything: it would replicate rows of a copy",
    "PUBLICATION TABLE public chosen triggered: it would replicate rows of a copy",
    "EVENT TRIGGER watch_ddl: it needs a superuser",
    "COMMENT PUBLICATION chosen: it needs PUBLICATION chosen, which is left out",
    "COMMENT EVENT TRIGGER watch_ddl: it needs EVENT TRIGGER watch_ddl, which is left out",
    "MATERIALIZED VIEW public mv: a plain table holds its rows as they were",
    "MATERIALIZED VIEW public mv 2: a plain table holds its rows as they were",
    "MATERIALIZED VIEW public mv_on_view: a plain table holds its rows as they were",
    "foreign key plain_id_fkey of a.plain: the snapshot does not hold a.b.c.d",
}
# The source took the key for valid, since its table was empty when it was made; the orphan came with triggers off.
ORPHAN = "FK CONSTRAINT public tree weak: made as NOT VALID, since 1 row contradicts it"

# What the catalog says of a database. Without: what becomes a table (materialized views), and what is left out.
CATALOG = {
    "constraints": "select conrelid::regclass::text, contypid::regtype::text, conname, pg_get_constraintdef(oid), "
    "convalidated, condeferrable, condeferred, conislocal, coninhcount from pg_constraint "
    "where oid > 16384 and (conrelid, conname) not in (select c.oid, n from pg_class as c, "
    "(values ('plain', 'plain_id_fkey'), ('tree', 'weak')) as v (t, n) where relname = t)",
    "indexes": "select pg_get_indexdef(indexrelid), indisvalid, indisready, indisclustered, indisreplident, (select "
    "array_agg((attnum, attstattarget)) from pg_attribute where attrelid = indexrelid and attstattarget >= 0) "
    "from pg_index join pg_class as c on c.oid = indexrelid where indexrelid > 16384 and relname !~ '^pg_toast'",
    "columns": "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, "
    "attgenerated, attstorage, attcompression, attstattarget, attislocal, attinhcount, attoptions, "
    "attcollation::regcollation::text, pg_get_expr(adbin, adrelid) from pg_attribute left join pg_attrdef on "
    "adrelid = attrelid and adnum = attnum join pg_class as c on c.oid = attrelid where attrelid > 16384 "
    "and attnum > 0 and not attisdropped and relkind in ('r', 'p', 'v', 'm', 'c') and relname !~ '^pg_toast'",
    "relations": "select oid::regclass::text, relkind, relpersistence, reloptions, relreplident, relrowsecurity, "
    "relforcerowsecurity, pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid), reloftype::regtype::text, "
    "(select reloptions from pg_class as t where t.oid = c.reltoastrelid) from pg_class as c where oid > 16384 "
    "and relname not in ('mv', 'mv 2', 'mv_on_view', 'far') and relname !~ '^pg_toast'",
    "triggers": "select tgenabled, pg_get_triggerdef(oid), tgparentid <> 0 from pg_trigger where not tgisinternal",
    "rules": "select ev_enabled, pg_get_ruledef(r.oid) from pg_rewrite as r join pg_class as c on c.oid = ev_class "
    "where ev_class > 16384 and relkind <> 'm'",
    "policies": "select polrelid::regclass::text, polname, polcmd, polpermissive, pg_get_expr(polqual, polrelid), "
    "pg_get_expr(polwithcheck, polrelid) from pg_policy",
    "sequences": "select seqrelid::regclass::text, seqtypid::regtype::text, seqstart, seqincrement, seqmax, seqmin, "
    "seqcache, seqcycle, last_value from pg_sequence join pg_class as c on c.oid = seqrelid "
    "join pg_sequences on sequencename = relname and schemaname = relnamespace::regnamespace::text",
    "functions": "select pg_get_functiondef(oid) from pg_proc where oid > 16384 and prokind <> 'a'",
    "aggregates": "select aggfnoid::text, aggtransfn::text, agginitval from pg_aggregate where aggfnoid > 16384",
    "types": "select oid::regtype::text, typtype, typlen, typdefault, typnotnull from pg_type where oid > 16384 "
    "and typname !~ '^_?far$'",
    "enums": "select enumtypid::regtype::text, array_agg(enumlabel order by enumsortorder) from pg_enum group by 1",
    "operators": "select oid::regoperator::text, oprcode::text from pg_operator where oid > 16384",
    "operator classes": "select opcname, opcnamespace::regnamespace::text from pg_opclass where oid > 16384",
    "casts": "select castsource::regtype::text, casttarget::regtype::text, castcontext, castmethod from pg_cast "
    "where oid > 16384",
    "collations": "select oid::regcollation::text, collprovider, colllocale from pg_collation where oid > 16384",
    "statistics": "select pg_get_statisticsobjdef(oid) from pg_statistic_ext",
    "configurations": "select cfgname, maptokentype, mapseqno, mapdict::regdictionary::text from pg_ts_config_map "
    "join pg_ts_config as c on c.oid = mapcfg where c.oid > 16384",
    "inheritance": "select inhrelid::regclass::text, inhparent::regclass::text, inhseqno from pg_inherits",
    "comments": "select replace(o.type, 'materialized view', 'table'), o.identity, description from pg_description, "
    "pg_identify_object(classoid, objoid, objsubid) as o where objoid > 16384 "
    "and o.type not in ('event trigger', 'publication')",
    "views": "select schemaname, viewname, definition from pg_views where schemaname !~ '^pg_|^information_schema'",
    "schemas and extensions": "select nspname::text from pg_namespace union all select extname from pg_extension",
}


class Relation(NamedTuple):
    """A table or materialized view, and its columns in an order that no database decides."""

    schema: str
    name: str
    kind: str
    columns: list[str]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


@pytest.fixture(scope="module")
def source(stack: Stack) -> Iterator[str]:
    """The database, as its superuser: it has base types and operator classes."""
    with empty_database(stack, "postgres") as owned:
        name = str(psycopg.conninfo.conninfo_to_dict(owned)["dbname"])
        conninfo = stack.postgres_conninfo("postgres", name)
        for extension in EXTENSIONS:
            run(conninfo, f"create extension {extension}")
        for statement in statements():
            run(conninfo, statement)
        yield conninfo


@pytest.fixture(scope="module")
def shelf(stack: Stack) -> Store:
    bucket = f"large-{uuid.uuid4().hex[:12]}"
    stack.seaweedfs.client().create_bucket(Bucket=bucket)
    return Store(stack.seaweedfs.client(), bucket=bucket, prefix="key-tables", sse="AES256")


def relations(conninfo: str) -> list[Relation]:
    """Return all tables and filled materialized views that are not partitions."""
    rows = run(
        conninfo,
        "select n.nspname, c.relname, c.relkind::text, array(select attname::text from pg_attribute as a "
        "where a.attrelid = c.oid and attnum > 0 and not attisdropped order by attname) from pg_class as c "
        "join pg_namespace as n on n.oid = relnamespace where relkind in ('r', 'p', 'm') and relispopulated "
        "and not relispartition and nspname !~ '^pg_|^information_schema$' order by 1, 2",
    )
    return [Relation(*row) for row in rows if row[:2] not in NOT_NAMEABLE]


@pytest.fixture(scope="module")
def taken(source: str, shelf: Store) -> Manifest:
    return snapshot(source, shelf, *everything(source))


def everything(source: str) -> list[dict[str, Any]]:
    # In descending order: what is taken must not hang on the order of the settings.
    return [{"name": each.full_name, "inherited": "own"} for each in reversed(relations(source))]


def digests(conninfo: str, tables: list[Relation], schema: str | None = None) -> dict[str, tuple[int, str]]:
    """Return the row count and a digest of every row's text, for each table, without any code of MindGuard."""
    found = {}
    with psycopg.connect(conninfo) as connection:
        connection.execute("set search_path = ''; set timezone = 'UTC'; set lc_monetary = 'C'")
        for each in tables:
            only = sql.SQL("" if each.kind == "p" and not schema else "only ")
            query = sql.SQL(
                "select count(*), md5(string_agg(r, '|' order by r collate \"C\")) from "
                "(select row({})::text as r from {}{} as q) as z"
            ).format(
                sql.SQL(", ").join(map(sql.Identifier, each.columns)),
                only,
                sql.Identifier(schema or each.schema, each.name),
            )
            row = connection.execute(query).fetchone()
            assert row
            found[each.full_name] = (row[0], row[1])
    return found


def catalog(conninfo: str, of: str) -> set[str]:
    return {repr(row) for row in run(conninfo, "set search_path = ''", CATALOG[of])}


@pytest.fixture(scope="module")
def rebuilt(taken: Manifest, shelf: Store, stack: Stack) -> Iterator[tuple[str, whole.Rebuilt]]:
    with empty_database(stack, "postgres") as target:
        yield target, rebuild(taken, shelf, target)


def test_every_value_of_every_table_comes_back(
    source: str, taken: Manifest, shelf: Store, rebuilt: tuple[str, whole.Rebuilt]
) -> None:
    verify_snapshot(taken, shelf).check()
    tables = relations(source)
    assert len(tables) > 300
    assert sum(table.rows for table in taken.tables) > 13000
    assert digests(rebuilt[0], tables) == digests(source, tables)


def test_everything_else_comes_back_or_is_named(rebuilt: tuple[str, whole.Rebuilt]) -> None:
    assert set(rebuilt[1].skipped) == LEFT_OUT
    assert rebuilt[1].not_proven == (ORPHAN,)


@pytest.mark.parametrize("of", CATALOG)
def test_the_catalog_is_as_in_the_source(of: str, source: str, rebuilt: tuple[str, whole.Rebuilt]) -> None:
    assert catalog(rebuilt[0], of) == catalog(source, of)


def test_a_drill_proves_all_values_and_names_the_orphan(taken: Manifest, shelf: Store, stack: Stack) -> None:
    with pytest.raises(NotAllProven) as caught:
        drill(taken, shelf, stack.postgres_conninfo("postgres", "postgres"), now=NOW)
    assert str(caught.value).count(";") == 1
    assert ORPHAN in str(caught.value)


def test_a_drill_says_what_its_role_may_not_create(taken: Manifest, shelf: Store, stack: Stack) -> None:
    with pytest.raises(DrillBroke, match=r"v\d+ could not be created: SHELL TYPE odd complex: must be superuser"):
        drill(taken, shelf, stack.postgres_conninfo("mindguard_drill"), now=NOW)


def test_a_second_snapshot_reuses_every_part(source: str, taken: Manifest, shelf: Store) -> None:
    again = take(source, shelf, tables=everything(source))
    assert [name for name, progress in again.tables.items() if progress.parts_written] == []
    assert [part.key for part in again.manifest.parts] == [part.key for part in taken.parts]


def test_all_tables_are_restored_beside_the_live_ones(source: str, taken: Manifest, shelf: Store) -> None:
    tables = relations(source)
    restored = restore(taken, shelf, source, RestoreRequest(schema='Be.side "q"'))
    assert restored.notes == ()
    try:
        assert digests(source, tables, 'Be.side "q"') == digests(source, tables)
    finally:
        run(source, 'drop schema "Be.side ""q""" cascade')
    for name, table in restored.tables.items():
        found = table.difference
        assert found, name
        assert (found.only_restored, found.only_live, found.changed or 0) == (0, 0, 0), name


def test_a_materialized_view_that_is_not_filled_is_refused(source: str, shelf: Store) -> None:
    with pytest.raises(SourceError, match=r"^public\.unfilled is a materialized view that is not filled – REFRESH MAT"):
        snapshot(source, shelf, "public.unfilled")


@pytest.mark.parametrize("listed", [("mv",), ("mv 2", "mv"), ("mv", "mv 2")])
def test_a_view_is_not_taken_for_one_whose_name_begins_alike(
    listed: tuple[str, ...], fresh_database: str, store: Store, stack: Stack
) -> None:
    run(
        fresh_database,
        'create materialized view mv as select 1 as one; create materialized view "mv 2" as select 2 as two',
        "comment on materialized view mv is 'one'; comment on materialized view \"mv 2\" is 'two'",
    )
    manifest = snapshot(fresh_database, store, *(f"public.{name}" for name in listed))
    with empty_database(stack) as target:
        assert rebuild(manifest, store, target).not_proven == ()
        for name in listed:
            assert run(target, f'select count(*) from "{name}"') == [(1,)]
        assert run(target, "select count(*) from pg_class where relkind = 'm'") == [(2 - len(listed),)]


def test_a_sequence_at_another_position_is_not_proven(
    fresh_database: str, store: Store, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(fresh_database, "create table t (id int); create sequence s; select setval('s', 7)")
    manifest = snapshot(fresh_database, store, "public.t")
    monkeypatch.setattr(whole, "_set_sequences", lambda *_: [])
    with pytest.raises(NotAllProven, match=r"sequence public\.s: not at the source's position"):
        drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
