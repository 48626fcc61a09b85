"""Tuple digests: unchanged rows are recognised without being read, and where a digest alone would be fooled, it is not.

In each of the cases, `written` shows that a digest of the transaction numbers finds no change although the values have
changed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.source import Chosen, open_source
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.storage.catalog import list_snapshots
from mindguard.snapshots.storage.doubt import doubtful_tables
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, new_key_ring
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.manifest import Table
from mindguard.snapshots.storage.state import state_of, states
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.connections import answers
from tests.integration.other_postgres import Cluster, cluster, other_postgres, standby_of
from tests.integration.restoring import as_superuser, empty_database
from tests.stored_objects import overwrite, remove
from tests.waiting import wait_until

NOW = datetime(2026, 11, 1, 18, tzinfo=UTC)
SOON = NOW + timedelta(hours=1)  # so soon that no part is due to be read again
ALL = {"bucket": "x", "part_mb": 1, "tables": [{"name": "public.t"}]}


@pytest.fixture
def database(fresh_database: str, stack: Stack) -> str:
    """An empty database, with the rights of a superuser."""
    return as_superuser(stack, fresh_database)


@pytest.fixture
def own() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def execute(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def take(conninfo: str, store: Store, now: datetime = NOW, *, recheck: bool = False, **settings: Any) -> Taken:
    asked = SnapshotSettings.model_validate(ALL | settings)
    return take_snapshot(conninfo, store, asked, now=now, zone=ZoneInfo("Asia/Shanghai"), recheck=recheck)


def table(taken: Taken, name: str = "public.t") -> Table:
    (found,) = [each for each in taken.manifest.tables if each.name == name]
    return found


def read_now(taken: Taken) -> list[bool]:
    """Return for each part of `t` whether its values were read for this snapshot."""
    return [part.values_read_at == taken.manifest.taken_at for part in table(taken).parts]


def written(conninfo: str) -> tuple[Any, ...]:
    """Return count and digest of the rows of `t` by the transactions that wrote them."""
    with psycopg.connect(conninfo) as connection:
        found = connection.execute("select count(*), sum(hash_record_extended(row(xmin), 1)) from t").fetchone()
    assert found
    return found


def values(conninfo: str, name: str = "public.t", inherited: Literal["own", "all"] = "own") -> tuple[int, str]:
    """Return row count and value digest of the table as it is now."""
    with open_source(conninfo, max_age_s=60) as source:
        (described,) = source.describe_all([Chosen(name, None, inherited)])
        return source.fingerprint(described)


FILLED = (
    "create table t (id int primary key, v text);"
    "insert into t select i, repeat('x', 400) from generate_series(1, 20000) i"
)


def test_unchanged_rows_are_not_read(database: str, store: Store) -> None:
    execute(database, FILLED)
    first = take(database, store)
    assert len(read_now(first)) > 5
    assert all(read_now(first))
    second = take(database, store, SOON)
    assert not any(read_now(second))
    assert second.tables["public.t"].parts_written == 0
    changed = {"key", "values_read_at"}
    assert table(second).model_dump(exclude={"parts": {"__all__": changed}}) == table(first).model_dump(
        exclude={"parts": {"__all__": changed}}
    )
    execute(database, "vacuum full t", "cluster t using t_pkey", "vacuum freeze t", "analyze t")
    assert not any(read_now(take(database, store, SOON))), "no row has changed"


def test_a_changed_row_has_its_part_read_alone(database: str, store: Store) -> None:
    execute(database, FILLED)
    take(database, store)
    execute(database, "update t set v = 'new' where id = 10000")
    second = take(database, store, SOON)
    assert sum(read_now(second)) == 1
    assert second.tables["public.t"].parts_written == 1
    execute(database, "delete from t where id = 1")
    third = take(database, store, SOON + timedelta(seconds=1))
    assert read_now(third)[0]
    assert sum(read_now(third)) == 1
    assert (table(third).rows, table(third).fingerprint) == values(database)


@pytest.mark.parametrize("partitioned", [False, True])
def test_settled_rows_follow_what_changes(database: str, store: Store, *, partitioned: bool) -> None:
    """Only rows above the lowest part that changed are counted by part the next day, whatever changed below it."""
    if partitioned:
        execute(
            database,
            "create table t (id int, v text) partition by range (id)",
            "create table low partition of t for values from (minvalue) to (7000)",
            "create table high partition of t for values from (7000) to (maxvalue)",
            "insert into t select i, repeat('x', 400) from generate_series(1, 20000) i",
        )
    else:
        execute(database, FILLED)
    tables = [{"name": "public.t", "part_by": "id"}]
    days = iter(range(1, 20))

    def next_day(*changes: str) -> tuple[int, int]:
        """Return which part is the first above the settled rows, counted from the last, and how many were read."""
        execute(database, *changes)
        taken = take(database, store, NOW + timedelta(minutes=next(days)), tables=tables)
        found = table(taken)
        assert (found.rows, found.fingerprint) == values(database)
        assert found.settled
        lowers = [part.lower for part in found.parts]
        return len(lowers) - lowers.index(found.settled.upper), sum(read_now(taken))

    append = "insert into t select i, repeat('y', 400) from generate_series({}, {}) i"
    take(database, store, NOW, tables=tables)
    assert next_day() == (1, 0)
    assert next_day(append.format(20001, 20010)) == (1, 1)
    # An old row changes, beside new ones.
    low, read = next_day("update t set v = 'new' where id = 3000", "delete from t where id = 20001")
    assert (low > 10, read) == (True, 2)
    assert next_day("update t set v = 'newer' where id = 20002") == (1, 1)
    assert next_day("delete from t where id = 5001")[1] == 1
    # A row leaves the settled ones for the others, and another one takes its place.
    assert next_day("update t set id = 30000 where id = 6000")[1] == 2
    assert next_day("update t set id = 6000 where id = 30000")[1] == 2
    assert next_day() == (next_day()[0], 0)


def test_a_snapshot_without_settled_rows_is_compared_by_part(database: str, store: Store) -> None:
    """So are those of earlier versions, whose bounds are lost, or whose first part changes every day."""
    execute(database, FILLED)
    for number in range(3):
        taken = take(database, store, NOW + timedelta(minutes=number))
        execute(database, "update t set v = v || 'z' where id = 1")
        later = take(database, store, NOW + timedelta(minutes=number, seconds=1))
        assert read_now(later) == [True, *[False] * (len(taken.manifest.parts) - 1)]
        assert table(later).settled is None
        assert (table(later).rows, table(later).fingerprint) == values(database)


def test_a_row_that_an_older_transaction_adds_later_is_found(database: str, store: Store) -> None:
    execute(database, FILLED)
    with psycopg.connect(database) as slow:
        slow.execute("insert into t values (0, 'late')")
        take(database, store)
        execute(database, "insert into t values (-1, 'early')")
        take(database, store, SOON)
    third = take(database, store, SOON + timedelta(seconds=1))
    assert (table(third).rows, table(third).fingerprint) == values(database)


def test_a_transaction_that_replaces_rows_of_two_others_is_found(database: str, store: Store) -> None:
    """Its number lies in the middle of theirs, so a plain sum of the numbers would stay as it was."""
    execute(database, "create table t (id int primary key, v text)", "insert into t values (1, 'a')")
    with psycopg.connect(database) as slow:
        slow.execute("select pg_current_xact_id()")
        execute(database, "insert into t values (2, 'b')")
        first, before = take(database, store), numbers(database)
        slow.execute("update t set v = 'c'")
    assert sum(numbers(database)) == sum(before)
    second = take(database, store, SOON)
    assert (table(second).rows, table(second).fingerprint) == values(database)
    assert table(second).fingerprint != table(first).fingerprint


def numbers(conninfo: str) -> list[int]:
    with psycopg.connect(conninfo) as connection:
        return [number for (number,) in connection.execute("select xmin::text::int from t")]


@pytest.mark.parametrize("asked", [{"detect": "values"}, {"recheck": True}])
def test_values_are_read_on_request(database: str, store: Store, asked: dict[str, Any]) -> None:
    execute(database, FILLED)
    take(database, store)
    assert all(read_now(take(database, store, SOON, **asked)))


def test_every_part_is_read_again_in_turn(database: str, store: Store) -> None:
    """No day reads everything, and after a week every part was read."""
    execute(database, FILLED)
    days = [take(database, store, NOW + timedelta(days=day)) for day in range(15)]
    parts = len(table(days[0]).parts)
    read = [sum(read_now(each)) for each in days[1:]]
    assert max(read) < parts
    assert sum(read[:7]) >= parts
    for each in days:
        oldest = table(each).values_read_at
        assert oldest
        assert each.manifest.taken_at - oldest < timedelta(days=7)


# What changes values without writing a row

DEFAULTS = (
    "create table t (id int primary key); insert into t select generate_series(1, 100);"
    "alter table t add column v int default 1; alter table t alter column v drop default",
    "alter table t drop column v; alter table t add column v int default 2; alter table t alter column v drop default",
)
LABELS = (
    "create type mood as enum ('a', 'b'); create table t (id int primary key, v mood);"
    "insert into t select i, case when i < 40 then 'a'::mood else 'b' end from generate_series(1, 100) i",
    "alter type mood rename value 'a' to 'x'; alter type mood rename value 'b' to 'a';"
    "alter type mood rename value 'x' to 'b'",
)
NAMES = (
    "create table named (); create table t (id int primary key, v regclass); insert into t values (1, 'named')",
    "alter table named rename to renamed",
)
ROLES = (
    "create table t (id int primary key, v aclitem);"
    "insert into t values (1, makeaclitem('pg_monitor'::regrole, 'pg_monitor'::regrole, 'SELECT', false))",
    "",
)
TABLES = (
    "create table t (id int primary key, v text); create table other (like t including all); begin;"
    "insert into t values (1, 'a'); insert into other values (1, 'b'); commit",
    "alter table t rename to old; alter table other rename to t",
)
PARTITIONS = (
    "create table t (id int, v text) partition by range (id); create table p partition of t for values from (1) to (9);"
    "create table q (like p); begin; insert into p values (1, 'a'); insert into q values (1, 'b'); commit",
    "alter table t detach partition p; alter table p rename to old; alter table q rename to p;"
    "alter table t attach partition p for values from (1) to (9); alter table old rename to q",
)
PARTITION_DEFAULTS = (
    "create table t (id int, v int) partition by range (id); create table p (id int);"
    "insert into p values (1); alter table p add column v int default 1; alter table p alter column v drop default;"
    "alter table t attach partition p for values from (1) to (9)",
    "alter table t detach partition p; alter table p drop column v; alter table p add column v int default 2;"
    "alter table p alter column v drop default; alter table t attach partition p for values from (1) to (9)",
)
VIRTUAL = (
    "create table t (id int primary key, v int generated always as (id + 1) virtual);"
    "insert into t select generate_series(1, 100)",
    "alter table t alter column v set expression as (id + 2)",
)


@pytest.mark.parametrize(
    ("before", "change"),
    [
        pytest.param(*DEFAULTS, id="another default of a column that came later"),
        pytest.param(*PARTITION_DEFAULTS, id="another default in a partition"),
        pytest.param(*LABELS, id="labels exchanged"),
        pytest.param(*NAMES, id="the name of another table"),
        pytest.param(*TABLES, id="tables exchanged"),
        pytest.param(*PARTITIONS, id="partitions exchanged"),
        pytest.param(*VIRTUAL, id="another expression"),
    ],
)
def test_what_changes_values_without_writing_a_row(database: str, store: Store, before: str, change: str) -> None:
    execute(database, before)
    first, tuples_then = take(database, store), written(database)
    execute(database, change)
    assert written(database) == tuples_then, "the digest alone is fooled"
    second = take(database, store, SOON)
    assert (table(second).rows, table(second).fingerprint) == values(database)
    assert table(second).fingerprint != table(first).fingerprint
    assert all(read_now(second))


def test_rows_that_move_are_not_taken_for_those_that_were_there(database: str, store: Store) -> None:
    """Without a key, parts are cut by position; all rows were written by one transaction."""
    execute(
        database,
        "create table t (v text); insert into t select i::text || repeat('x', 400) from generate_series(1, 20000) i",
    )
    first = take(database, store)
    execute(database, "delete from t where v like '5x%'", "vacuum full t")
    second = take(database, store, SOON)
    assert table(second).part_by == "ctid"
    same = [
        one.rows == other.rows and one.fingerprint != other.fingerprint
        for one, other in zip(table(first).parts, table(second).parts, strict=False)
    ]
    assert any(same), "the count of rows, and who wrote them, is as it was in a part whose values are others"
    assert (table(second).rows, table(second).fingerprint) == values(database)


def test_a_copy_of_the_database_under_its_name_is_another_one(stack: Stack, fresh_database: str, store: Store) -> None:
    execute(fresh_database, "create table t (id int primary key, v text)")
    execute(fresh_database, "insert into t select i, i::text from generate_series(1, 9) i")
    name = psycopg.conninfo.conninfo_to_dict(fresh_database)["dbname"]
    admin = stack.postgres_conninfo("postgres", "postgres")
    with empty_database(stack, template=fresh_database) as copied:
        copy_name = psycopg.conninfo.conninfo_to_dict(copied)["dbname"]
        execute(fresh_database, "delete from t where id = 1")
        execute(copied, "delete from t where id = 2")
        assert written(fresh_database) == written(copied)
        take(fresh_database, store)
        exchange = (
            f'alter database "{name}" rename to old_{name}',
            f'alter database "{copy_name}" rename to "{name}"',
            f'alter database old_{name} rename to "{copy_name}"',
        )
        execute(admin, *exchange)
        second = take(fresh_database, store, SOON)
        assert (table(second).rows, table(second).fingerprint) == values(fresh_database)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (NAMES[0], "type regclass"),
        (ROLES[0], "type aclitem"),
        (
            "create access method own_heap type table handler heap_tableam_handler;"
            "create table t (id int primary key) using own_heap; insert into t values (1)",
            "table public.t with access method own_heap",
        ),
        (
            "create type own; create function own_in(cstring) returns own language internal strict immutable as "
            "'textin'; create function own_out(own) returns cstring language internal strict immutable as 'textout';"
            "create type own (input = own_in, output = own_out, like = text);"
            "create table t (id int primary key, v own); insert into t values (1, 'a')",
            "type public.own",
        ),
    ],
)
def test_tables_of_which_only_values_can_be_compared(database: str, store: Store, made: str, why: str) -> None:
    execute(database, made)
    with open_source(database, max_age_s=60) as source:
        state = source.describe("public.t").read_state
        assert state
        assert state.obstacle == why
    take(database, store)
    second = take(database, store, SOON)
    assert all(read_now(second))
    assert table(second).read_state is None


def test_a_new_partition_leaves_the_others_unread(database: str, store: Store) -> None:
    execute(
        database,
        "create table t (id int, v text) partition by range (id);"
        "create table p1 partition of t for values from (1) to (10001);"
        "create table p2 partition of t for values from (10001) to (20001);"
        "insert into t select i, repeat('x', 400) from generate_series(1, 20000) i",
    )
    tables = [{"name": "public.t", "part_by": "id"}]
    take(database, store, tables=tables)
    execute(
        database,
        "create table p3 partition of t for values from (20001) to (30001)",
        "insert into t select i, repeat('x', 400) from generate_series(20001, 21000) i",
    )
    second = take(database, store, SOON, tables=tables)
    assert sum(read_now(second)) == 1
    assert (table(second).rows, table(second).fingerprint) == values(database)


def test_an_unchanged_part_that_was_lost_is_read_and_digested_again(database: str, store: Store) -> None:
    execute(database, DEFAULTS[0])
    (lost,) = take(database, store).manifest.parts
    remove(store, lost.key)
    execute(database, *FOOLED)
    second = take(database, store, SOON)
    assert read_now(second) == [True]
    assert (table(second).rows, table(second).fingerprint) == values(database)
    verify_snapshot(second.manifest, store).check()


# Values that were read again

FOOLED = (
    "create table u (id int); alter table u add column v int default 2",
    "update pg_attribute set attmissingval = (select attmissingval from pg_attribute where attrelid = 'u'::regclass "
    "and attname = 'v') where attrelid = 't'::regclass and attname = 'v'",
)


def test_values_that_contradict_are_found_and_the_snapshot_is_right(database: str, store: Store) -> None:
    """A superuser changes values where no digest of transactions can see it: in the catalog."""
    execute(database, DEFAULTS[0])
    execute(database, "create table other (id int primary key); insert into other select generate_series(1, 100)")
    tables = [{"name": "public.other"}, {"name": "public.t"}]
    take(database, store, tables=tables)
    execute(database, *FOOLED)
    late = take(database, store, NOW + timedelta(days=7), tables=tables)
    assert late.contradicted == "public.t"
    assert late.summary()["contradicted"] == "public.t"
    assert all(part.values_read_at == late.manifest.taken_at for part in late.manifest.parts)
    assert (table(late).rows, table(late).fingerprint) == values(database)
    assert take(database, store, NOW + timedelta(days=7, hours=1), tables=tables).contradicted is None


def test_snapshots_that_may_hold_older_values_are_marked(database: str, store: Store) -> None:
    execute(database, DEFAULTS[0])
    execute(database, "create table other (id int primary key); insert into other select generate_series(1, 100)")
    tables = [{"name": "public.other"}, {"name": "public.t"}]
    read = take(database, store, tables=tables)
    trusting = take(database, store, SOON, tables=tables)
    assert doubtful(store) == {}
    execute(database, *FOOLED)
    late = take(database, store, NOW + timedelta(days=7), tables=tables)
    assert late.contradicted
    doubted = {trusting.manifest.snapshot_id: ("public.other", "public.t")}
    assert doubtful(store) == doubted
    take(database, store, NOW + timedelta(days=7, hours=1), detect="values", tables=tables)
    assert doubtful(store) == doubted
    states_now = states(store, list_snapshots(store), now=NOW)
    assert states_now[trusting.manifest.snapshot_id].doubtful == ("public.other", "public.t")
    assert state_of(store, read.manifest, now=NOW).doubtful == ()
    overwrite(store, Layout.beside(trusting.key, "doubt"), b"not a doubt")
    assert doubtful(store) == doubted, "what cannot be read is a doubt all the same"


def doubtful(store: Store) -> dict[str, tuple[str, ...]]:
    return doubtful_tables(store, list_snapshots(store))


# Servers whose transaction numbers mean something else now

Change = Callable[[str], None]


def prepared(conninfo: str) -> None:
    execute(
        conninfo,
        "create table t (id int primary key, v text)",
        "insert into t select i, i::text from generate_series(1, 9) i",
        "checkpoint",
    )


def test_a_promoted_standby_has_another_timeline(own: Cluster, store: Store) -> None:
    """The last transaction of the primary never arrived; the first one of the new primary has its number."""
    with own.serving() as primary:
        prepared(primary)
        with standby_of(primary, own.programs) as standby:
            wait_until(lambda: written(standby) == written(primary), 30, "the standby lags behind")
            execute(standby, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
            wait_until(lambda: not _receives(standby), 30, "the standby goes on to receive")
            execute(primary, "update t set v = 'lost' where id = 1")
            first = take(primary, store)
            execute(standby, "select pg_promote()")
            execute(standby, "update t set v = 'kept' where id = 1")
            assert written(standby) == written(primary)
            second = take(standby, store, SOON)
            assert second.manifest.source.timeline == 2
            assert first.manifest.source.timeline == 1
            assert (table(second).rows, table(second).fingerprint) == values(standby)


def _receives(standby: str) -> bool:
    with psycopg.connect(standby) as connection:
        return bool(connection.execute("select 1 from pg_stat_wal_receiver").fetchall())


def test_a_standby_that_became_the_primary_has_another_timeline(own: Cluster, store: Store) -> None:
    with own.serving() as primary:
        prepared(primary)
        with standby_of(primary, own.programs) as standby:
            wait_until(lambda: written(standby) == written(primary), 30, "the standby lags behind")
            wait_until(lambda: _receives(standby), 30, "the standby receives nothing")
            take(standby, store)
            assert not any(read_now(take(standby, store, SOON)))
            execute(standby, "select pg_promote()")
            assert all(read_now(take(standby, store, SOON)))


def test_a_data_directory_that_was_put_back(own: Cluster, store: Store) -> None:
    with own.serving() as server:
        prepared(server)
    copied = own.copy()
    with own.serving() as server:
        execute(server, "update t set v = 'then' where id = 1")
        take(server, store)
        digest = written(server)
    own.put_back(copied)
    with own.serving() as server:
        execute(server, "update t set v = 'now' where id = 1")
        assert written(server) == digest
        second = take(server, store, SOON)
        assert (table(second).rows, table(second).fingerprint) == values(server)


def test_another_server_at_the_same_address(own: Cluster, store: Store) -> None:
    with cluster() as other:
        digests = []
        for made in (own, other):
            with made.serving() as server:
                prepared(server)
                execute(server, f"update t set v = '{made.data}' where id = 1")
                digests.append(written(server))
                taken = take(server, store, SOON)
                assert (table(taken).rows, table(taken).fingerprint) == values(server)
        assert digests[0] == digests[1]


def test_numbers_that_begin_again(own: Cluster, store: Store) -> None:
    """Four billion transactions later, a transaction has the number of the one whose row it replaces."""
    with own.serving() as server:
        prepared(server)
        execute(server, "vacuum freeze t")
        take(server, store)
        digest = written(server)
        with psycopg.connect(server) as connection:
            (writer,) = connection.execute("select distinct xmin::text from t").fetchall()[0]
        for name in ("postgres", "template1"):
            execute(psycopg.conninfo.make_conninfo(server, dbname=name), "vacuum freeze")
    own.run("pg_resetwal", "-D", own.data, "--epoch=1", f"--next-transaction-id={writer}", "--force")
    with own.serving() as server:
        execute(server, "update t set v = 'later'")
        assert written(server) == digest
        second = take(server, store, SOON)
        assert (table(second).rows, table(second).fingerprint) == values(server)


# What a boundary, a key without a value, and the order of keys may do


def same_values(taken: Taken, conninfo: str) -> bool:
    """Return whether the snapshot has the rows and values that the table has now."""
    found = table(taken)
    return (found.rows, found.fingerprint) == values(conninfo, inherited=found.inherited or "own")


@pytest.mark.parametrize(
    ("kind", "key", "other_spelling"),
    [
        ("numeric", "i", "{}.00".format),
        ("interval", "make_interval(days => i)", lambda lower: f"{24 * int(lower.removesuffix(' days'))} hours"),
        ("citext", "'k' || lpad(i::text, 6, '0')", str.upper),
    ],
)
def test_a_boundary_that_is_spelled_otherwise_loses_no_row(
    database: str, store: Store, kind: str, key: str, other_spelling: Callable[[str], str]
) -> None:
    """A part that grew by rows with the key of its lower bound was cut there, and all its rows were left out."""
    if kind == "citext":
        execute(database, "create extension citext")
    execute(
        database,
        f"create table t (k {kind}, v text)",
        f"insert into t select {key}, repeat('x', 400) from generate_series(1, 9000) i",
    )
    tables = [{"name": "public.t", "part_by": "k"}]
    other = other_spelling(str(table(take(database, store, tables=tables)).parts[2].lower))
    execute(database, f"insert into t select '{other}', repeat('y', 400) from generate_series(1, 6000) i")
    for number in range(1, 4):
        taken = take(database, store, NOW + timedelta(minutes=number), tables=tables)
        assert table(taken).rows == 15_000
        assert same_values(taken, database)
    execute(database, "update t set v = 'new' where ctid = (select max(ctid) from t)")
    assert same_values(take(database, store, SOON, tables=tables), database)


def nulls_come(conninfo: str, store: Store, made: str, changes: tuple[str, ...], **settings: Any) -> None:
    execute(conninfo, *made.split(";"))
    tables = [{"name": "public.t", "part_by": "k"} | settings]
    assert same_values(take(conninfo, store, tables=tables), conninfo)
    for number, change in enumerate(changes, 1):
        execute(conninfo, change)
        assert same_values(take(conninfo, store, NOW + timedelta(minutes=number), tables=tables), conninfo)


@pytest.mark.parametrize(
    ("made", "changes", "settings"),
    [
        (
            "create table t (id int primary key, k int, v text); insert into t select i, "
            "case when i % 20 <> 0 then i end, repeat('x', 400) from generate_series(1, 9000) i",
            ("alter table t add constraint nn not null k not valid", "update t set v = 'new' where id = 8999"),
            {},
        ),
        (
            "create table t (k int not null no inherit, v text); create table c () inherits (t);"
            "insert into t select i, repeat('x', 400) from generate_series(1, 9000) i",
            ("insert into c select null, 'child' from generate_series(1, 50)", "update t set v = 'new' where k = 9000"),
            {"inherited": "all"},
        ),
    ],
)
def test_a_key_that_must_not_be_null_may_be_null(
    database: str, store: Store, made: str, changes: tuple[str, ...], settings: dict[str, Any]
) -> None:
    with psycopg.connect(database) as connection:
        if connection.info.server_version < 18_00_00:
            pytest.skip("before PostgreSQL 18, NOT NULL is always valid and inherited")
    nulls_come(database, store, made, changes, **settings)


def test_a_child_may_have_keys_that_are_null(store: Store) -> None:
    with other_postgres() as old:
        nulls_come(
            old,
            store,
            "create table t (k int not null, v text); create table c () inherits (t);"
            "alter table c alter k drop not null;"
            "insert into t select i, repeat('x', 400) from generate_series(1, 9000) i",
            ("insert into c select null, 'child' from generate_series(1, 30)", "update t set v = 'new' where k = 9000"),
            inherited="all",
        )


ORDERED = """
    create type mood as enum ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
    {functions};
    create function mcmp(mood, mood) returns int language sql immutable strict as 'select pg_catalog.enum_cmp($1, $2)';
    create operator public.< (function = mlt, leftarg = mood, rightarg = mood);
    create operator public.<= (function = mle, leftarg = mood, rightarg = mood);
    create operator public.= (function = meq, leftarg = mood, rightarg = mood);
    create operator public.>= (function = mge, leftarg = mood, rightarg = mood);
    create operator public.> (function = mgt, leftarg = mood, rightarg = mood);
    create operator class ord default for type mood using btree as
        operator 1 public.<(mood, mood), operator 2 public.<=(mood, mood), operator 3 public.=(mood, mood),
        operator 4 public.>=(mood, mood), operator 5 public.>(mood, mood), function 1 mcmp(mood, mood)
"""


def compared_by(**meanings: str) -> str:
    return ";".join(
        f"create or replace function m{name}(mood, mood) returns bool language sql immutable strict as "
        f"'select pg_catalog.enum_{meaning}($1, $2)'"
        for name, meaning in meanings.items()
    )


@pytest.mark.parametrize("change", ["select 1", "update t set v = 'new' where id = 5"])
def test_an_order_of_keys_that_changes_loses_no_row(database: str, store: Store, change: str) -> None:
    forward = compared_by(lt="lt", le="le", eq="eq", ge="ge", gt="gt")
    execute(
        database,
        ORDERED.format(functions=forward),
        "create table t (id int primary key, k mood, v text)",
        "insert into t select i, (enum_range(null::mood))[1 + i % 8], repeat('x', 400) from generate_series(1, 9000) i",
    )
    tables = [{"name": "public.t", "part_by": "k"}]
    take(database, store, tables=tables)
    backward = compared_by(lt="gt", le="ge", ge="le", gt="lt")
    execute(
        database,
        backward,
        "create or replace function mcmp(mood, mood) returns int language sql immutable strict as "
        "'select pg_catalog.enum_cmp($2, $1)'",
        change,
    )
    assert same_values(take(database, store, SOON, tables=tables), database)


# A crash that takes back what a snapshot has seen


@pytest.mark.parametrize("kind", ["", "unlogged"])
def test_a_crash_takes_back_nothing_that_a_snapshot_has_seen(own: Cluster, store: Store, kind: str) -> None:
    """The number of a transaction that a crash takes back is given to another one, and the server's start stays."""
    with own.serving(wal_writer_delay="3s") as conninfo:
        execute(
            conninfo,
            f"create {kind} table t (id int primary key, v text)",
            "insert into t select i, 'old' from generate_series(1, 1000) i",
            "checkpoint",
            "set synchronous_commit = off; update t set v = 'before'",
        )
        with open_source(conninfo, max_age_s=60) as source:
            source.hasten_durability()
            assert not source.wait_until_durable(0.05)
        first = take(conninfo, store)
        assert same_values(first, conninfo)
        with psycopg.connect(conninfo) as victim, psycopg.connect(conninfo, autocommit=True) as witness:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            wait_until(lambda: crashed(witness), 60, "the server did not notice")
        wait_until(lambda: answers(conninfo), 60, "the server did not come back")
        with psycopg.connect(conninfo) as connection:
            (left,) = connection.execute("select array_agg(distinct v) from t").fetchone() or ()
        assert left == (["before"] if not kind else None), "a crash empties an unlogged table"
        execute(
            conninfo,
            "insert into t select i from generate_series(1, 1000) i on conflict do nothing",
            "update t set v = 'after'",
            *["create table if not exists z (a int)", "insert into z values (1)"] * 3,
        )
        second = take(conninfo, store, SOON)
        assert same_values(second, conninfo)


def crashed(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return True
    return False


def test_a_recheck_compares_what_it_reads(database: str, store: Store) -> None:
    execute(database, DEFAULTS[0])
    take(database, store)
    assert take(database, store, SOON, recheck=True).contradicted is None
    execute(database, *FOOLED)
    late = take(database, store, SOON + timedelta(minutes=1), recheck=True)
    assert late.contradicted == "public.t"
    assert same_values(late, database)


def test_names_in_quotes_change_no_type(database: str, store: Store) -> None:
    """With this setting, the driver would take each integer for bytes that it does not know."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = psycopg.sql.Identifier(connection.info.dbname)
        connection.execute(psycopg.sql.SQL("alter database {} set quote_all_identifiers = on").format(name))
    execute(
        database,
        "create table t (id int primary key, b bigint, at timestamptz, v text)",
        "insert into t select i, i, now(), 'x' from generate_series(1, 51) i",
    )
    assert same_values(take(database, store), database)


def test_a_lost_part_of_an_encrypted_snapshot_gets_the_digest_of_its_values(database: str, store: Store) -> None:
    execute(database, DEFAULTS[0])
    ring = KeyRing.from_json(new_key_ring("2026-05"), origin="test")
    settings = SnapshotSettings.model_validate(ALL | {"bucket": store.bucket})
    sealed = Store.of(store._client, settings, Encryption(ring))
    (lost,) = take(database, sealed).manifest.parts
    remove(sealed, lost.key)
    execute(database, *FOOLED)
    second = take(database, sealed, SOON)
    assert read_now(second) == [True]
    assert same_values(second, database)
    verify_snapshot(second.manifest, sealed).check()
