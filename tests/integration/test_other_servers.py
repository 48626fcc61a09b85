"""A source of another major version: taken, verified, proven there, and restored on a newer server, value for value."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.restore.drill import DrillBroke, drill
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.hostile import HOSTILE_SCHEMA, ODD_TABLES
from tests.integration.other_postgres import DEBIAN, other_postgres, standby_of
from tests.integration.restoring import NOW, as_settings, empty_database, fill_hostile, run, snapshot

TABLES = ("public.no_columns", "public.nothing", "public.parted", "public.null_keys", "public.parent", "odd.collated")


@pytest.fixture(scope="module", params=[14, DEBIAN, 16, 17])
def older(request: pytest.FixtureRequest) -> Iterator[str]:
    with other_postgres(request.param) as conninfo:
        fill_hostile(conninfo, HOSTILE_SCHEMA.replace("virtual", "stored"))
        for name in TABLES:
            run(conninfo, ODD_TABLES[name])
        yield conninfo


def taken(conninfo: str, store: Store) -> Manifest:
    manifest = snapshot(conninfo, store, *map(as_settings, ["public.hostile", *TABLES]))
    verify_snapshot(manifest, store).check()
    return manifest


def contents(conninfo: str) -> dict[str, tuple[int, str]]:
    """Return the row count and a digest of the text of all rows, which does not depend on the package."""
    found = {}
    with psycopg.connect(conninfo) as connection:
        connection.execute("set timezone = 'UTC'; set lc_monetary = 'C'; set extra_float_digits = 3")
        for name in ("public.hostile", *TABLES):
            only = "" if "parted" in name else "only"
            (row,) = connection.execute(
                f"select count(*), md5(coalesce(string_agg(r, '' order by r), '')) "
                f"from (select md5(format('%s', t)) as r from {only} {name} t) x"
            ).fetchall()
            found[name] = row
    return found


def test_an_older_source_is_proven_there_and_on_a_newer_server(older: str, store: Store, stack: Stack) -> None:
    manifest = taken(older, store)
    assert manifest.source.server_version // 10_000 < 18
    for scratch in (older, stack.postgres_conninfo("mindguard_drill")):
        proof = drill(manifest, store, scratch, now=NOW)
        assert {name: table.rows for name, table in proof.tables.items()} == {
            table.name: table.rows for table in manifest.tables
        }
        assert proof.not_proven == ()
    with empty_database(stack) as target:
        rebuild(manifest, store, target)
        assert contents(target) == contents(older)


def test_a_newer_source_is_not_proven_on_an_older_server_and_no_alarm_is_raised(
    older: str, fresh_database: str, store: Store
) -> None:
    """The scratch server is at fault, not the snapshot."""
    run(fresh_database, "create table t (id int primary key, twice int generated always as (id * 2) virtual)")
    run(fresh_database, "insert into t select generate_series(1, 10)")
    manifest = snapshot(fresh_database, store, "public.t")
    with pytest.raises(DrillBroke, match="says nothing about the snapshot"):
        drill(manifest, store, older, now=NOW)


@pytest.mark.parametrize("older", [DEBIAN], indirect=True)
def test_a_standby_can_be_the_source_of_all_but_unlogged_tables(older: str, store: Store) -> None:
    with psycopg.connect(older, autocommit=True) as connection:
        connection.execute("create database replicated")
    primary = psycopg.conninfo.make_conninfo(older, dbname="replicated")
    run(primary, "create table t (id int primary key); insert into t select generate_series(1, 1000)")
    run(primary, "create unlogged table u (id int); insert into u values (1)")
    with standby_of(older) as server:
        standby = psycopg.conninfo.make_conninfo(server, dbname="replicated")
        manifest = snapshot(standby, store, "public.t")
        with pytest.raises(SourceError, match=r"^public\.u is unlogged, and this server is a standby"):
            snapshot(standby, store, "public.t", "public.u")
    assert manifest.rows == 1000
    assert drill(manifest, store, older, now=NOW).tables["public.t"].rows == 1000
    assert snapshot(primary, store, "public.u").rows == 1
