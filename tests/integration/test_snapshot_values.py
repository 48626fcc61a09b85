"""Snapshots hold PostgreSQL's values: a hostile corpus, odd tables, and changes that a digest could miss."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.storage.manifest import Table
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.hostile import HOSTILE_ROWS, HOSTILE_SCHEMA, ODD_TABLES

NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def unquoted(name: str) -> str:
    """`public."a b"` → `public.a b`, as settings and manifests spell it."""
    return name.replace('"', "")


def settings_for(*tables: str, **more: Any) -> SnapshotSettings:
    return SnapshotSettings(
        bucket="set-by-store", tables=[{"name": unquoted(name)} for name in tables], part_mb=1, **more
    )


def take(conninfo: str, store: Store, settings: SnapshotSettings) -> Taken:
    return take_snapshot(conninfo, store, settings, now=NOW, zone=ZONE)


def read_back(store: Store, table: Table) -> list[dict[str, Any]]:
    """Every stored row, as Python values of what Parquet holds."""
    rows: list[dict[str, Any]] = []
    for part in table.parts:
        rows.extend(pq.read_table(io.BytesIO(store.read(part.key))).to_pylist())
    return rows


def assert_equal_as_text(conninfo: str, quoted_name: str, rows: list[dict[str, Any]], table: Table) -> None:
    """Load the stored rows beside the table and compare both as PostgreSQL's own text, row by row."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("set search_path = '', pg_catalog; set lc_monetary = 'C'; set timezone = 'UTC'")
        name = sql.SQL(quoted_name)
        connection.execute(sql.SQL("create temp table copy as select * from only {} limit 0").format(name))
        columns = [column.name for column in table.columns]
        types = {column.name: column.type for column in table.columns}
        for row in rows:
            values = [
                # As a literal number, -0.0 would lose its sign before it is stored.
                sql.SQL("cast(cast({} as text) as {})").format(sql.Literal(str(row[c])), sql.SQL(types[c]))
                if isinstance(row[c], str | float)
                else sql.Literal(row[c])
                for c in columns
            ]
            statement = sql.SQL("insert into copy values ({})").format(sql.SQL(", ").join(values))
            connection.execute(statement)
        source = sql.SQL("select format('%s', t) from {} as t").format(name)
        difference = connection.execute(
            sql.SQL("({s} except all {c}) union all ({c} except all {s})").format(
                s=source, c=sql.SQL("select format('%s', t) from copy as t")
            )
        ).fetchall()
    assert [text[:300] for (text,) in difference] == []


def test_hostile_values_come_back_equal_as_postgres_text(fresh_database: str, store: Store) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(HOSTILE_SCHEMA)
        for row in HOSTILE_ROWS:
            names = sql.SQL(", ").join(map(sql.Identifier, row))
            values = sql.SQL(", ").join(map(sql.Literal, row.values()))
            connection.execute(
                sql.SQL("insert into hostile ({}) values ({})").format(names, values)
                if row
                else sql.SQL("insert into hostile default values")
            )
    taken = take(fresh_database, store, settings_for("public.hostile"))
    (table,) = taken.manifest.tables
    assert table.rows == len(HOSTILE_ROWS)
    rows = read_back(store, table)
    assert_equal_as_text(fresh_database, "public.hostile", rows, table)
    assert [each.model_dump() for each in taken.manifest.enums] == [
        {"name": "public.mood", "labels": ("calm", "анxious", "低落", "quo'te", "with space")}
    ]


@pytest.mark.parametrize("name", ODD_TABLES)
def test_odd_tables_come_back_equal(name: str, fresh_database: str, store: Store) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(ODD_TABLES[name])
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("vacuum analyze")
        (expected,) = connection.execute(f"select count(*) from {'' if 'parted' in name else 'only'} {name}").fetchone()
    asked = {
        "name": unquoted(name),
        "part_by": "k" if "null_keys" in name else None,
        "inherited": "own" if "parent" in name else None,
    }
    settings = SnapshotSettings(bucket="x", tables=[asked], part_mb=1)
    taken = take(fresh_database, store, settings)
    (table,) = taken.manifest.tables
    assert table.rows == expected
    verify_snapshot(taken.manifest, store).check()
    if expected > 1000:
        assert len(table.parts) > 2, "a table of several megabytes must be cut"
    with psycopg.connect(fresh_database) as connection:
        source = digest_of_rows(connection, name)
    assert stored_digest(fresh_database, name, read_back(store, table), table) == source


def digest_of_rows(connection: psycopg.Connection[Any], name: str) -> list[Any]:
    only = "" if "parted" in name else "only"
    return connection.execute(
        "select count(*), md5(string_agg(r, '\n' order by r)) "
        f"from (select md5(format('%s', t)) r from {only} {name} t) x"
    ).fetchall()


def stored_digest(conninfo: str, name: str, rows: list[dict[str, Any]], table: Table) -> list[Any]:
    """The same digest over the stored rows, loaded into a temporary table of the source's shape."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(f"create temp table copy as select * from {name} limit 0")
        columns = [column.name for column in table.columns]
        if not columns:
            connection.execute(f"insert into copy select from generate_series(1, {len(rows)})")
        else:
            with connection.cursor().copy("copy copy from stdin") as copy:
                for row in rows:
                    copy.write_row([row[column] for column in columns])
        return digest_of_rows(connection, "copy")


FINGERPRINT_CHANGES = {
    "one value": "update t set v = 'other' where id = 1",
    "values swapped between two rows": (
        "update t set v = case id when 1 then (select v from t where id = 2) else (select v from t where id = 1) end "
        "where id in (1, 2)"
    ),
    "null becomes empty": "update t set v = '' where id = 3",
    "1.10 becomes 1.1": "update t set n = 1.1 where id = 1",
    "0 becomes -0": "update t set f = '-0' where id = 1",
    "json key order": """update t set j = '{"b":1,"a":2}' where id = 1""",
    "interval 1 day becomes 24 hours": "update t set i = '24:00:00' where id = 1",
    "padding": "update t set c = 'ab' where id = 1",
    "one row less": "delete from t where id = 4",
    "equal under a loose collation": "update t set l = 'ABC' where id = 1",
}


@pytest.mark.parametrize("change", FINGERPRINT_CHANGES)
def test_the_fingerprint_notices(change: str, fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(
            "create table t (id int primary key, v text, n numeric, f float8, j json, i interval, c varchar(8), "
            "l text);"
            "insert into t select k, case when k <> 3 then 'v' || k end, 1.10, 0, "
            "'{\"a\":2,\"b\":1}', '1 day', 'ab ', 'abc' "
            "from generate_series(1, 5) k"
        )
        if "collation" in change:
            try:
                connection.execute(
                    "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                    "alter table t alter l type text collate loose"
                )
            except psycopg.errors.FeatureNotSupported as error:
                pytest.skip(f"this build of PostgreSQL has no nondeterministic collation: {error}")

    def fingerprint() -> str:
        with open_source(fresh_database, max_age_s=60) as source:
            table = source.describe("public.t", None)
            return source.fingerprint(table)[1]

    before = fingerprint()
    assert fingerprint() == before
    with psycopg.connect(fresh_database) as connection:
        connection.execute(FINGERPRINT_CHANGES[change])
    assert fingerprint() != before


def test_all_tables_are_of_one_instant(fresh_database: str, store: Store) -> None:
    """A row that commits while the snapshot is taken is in neither table."""
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("create table a (id int primary key); create table b (id int primary key)")
        connection.execute("insert into a values (1); insert into b values (1)")
        with open_source(fresh_database, max_age_s=60) as source:
            connection.execute("insert into a values (2); insert into b values (2)")
            tables = [source.describe(f"public.{name}", None) for name in ("a", "b")]
            assert [source.fingerprint(table)[0] for table in tables] == [1, 1]


def test_a_second_snapshot_reuses_every_unchanged_part(fresh_database: str, store: Store) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(ODD_TABLES["public.uuid_key"])
    settings = settings_for("public.uuid_key")
    first = take(fresh_database, store, settings)
    second = take(fresh_database, store, settings)
    report = second.tables["public.uuid_key"]
    assert (report.parts_written, report.parts_reused) == (0, len(first.manifest.parts))
    assert [part.key for part in first.manifest.parts] == [part.key for part in second.manifest.parts]
    assert first.manifest.snapshot_id != second.manifest.snapshot_id
