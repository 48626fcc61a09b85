"""What changes a table behind a snapshot's back, and a snapshot that must not stand in the application's way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from mindguard.errors import MindGuardError
from mindguard.snapshots.export.source import Chosen, open_source
from mindguard.snapshots.export.source_errors import SourceError, Stopped
from mindguard.snapshots.export.watch import Blocking, Watch
from mindguard.snapshots.storage.store import Store
from tests.integration.restoring import fingerprints, run, snapshot, take
from tests.waiting import wait_until

SCHEMA = (
    "create table public.first as select i, repeat('x', 50) as v from generate_series(1, 1000) i;"
    "create table public.small (v varchar(20)); insert into public.small values ('a'), ('b'), ('c');"
    "create index on public.small (v);"
    "create table public.parted (id int, v text) partition by list (id);"
    "create table public.parted_1 partition of public.parted for values in (1);"
    "create table public.parted_2 partition of public.parted for values in (2);"
    "insert into public.parted values (1, 'one'), (2, 'two');"
    "create table public.loose (id int, v text); insert into public.loose values (3, 'old');"
    "create table public.parent (id int, v text); create table public.child () inherits (public.parent);"
    "insert into public.child values (1, 'of the child');"
    "create table public.stray (id int, v text); insert into public.stray values (2, 'old');"
    "create type public.mood as enum ('calm', 'low'); alter table public.small add mood public.mood;"
    "create type public.moods as range (subtype = public.mood); create type public.pair as (x int);"
    "create type public.kept as enum ('one'); create type public.nested as (k public.kept);"
    "create table public.typed (m public.moods, p public.pair, n public.nested[]);"
    "insert into public.typed values ('[calm,low]', row(1), array[row('one')::public.nested]);"
    "create materialized view public.seen as select * from public.small;"
)
PARENT = {"name": "public.parent", "inherited": "all"}
TABLES = ("public.first", "public.small", "public.parted", PARENT, "public.seen", "public.typed")


@pytest.fixture
def database(fresh_database: str) -> str:
    run(fresh_database, SCHEMA)
    return fresh_database


def during_the_first_table(conninfo: str, *statements: str) -> Callable[[str], None]:
    """Return a progress function that runs the statements once the first table was read, and the others were not."""

    def progress(line: str) -> None:
        if line.startswith("public.first:") and "read by value" in line:
            with psycopg.connect(conninfo, autocommit=True) as application:
                application.execute("set lock_timeout = '300ms'")
                for statement in statements:
                    application.execute(statement)

    return progress


STOPPED_BY_LOCKS = {
    "truncated and filled": "truncate public.small; insert into public.small values ('new')",
    "rewritten by another type": "alter table public.small alter v type varchar(50) using v || 'x'",
    "rewritten as it is": "vacuum full public.small",
    "sorted": "cluster public.small using small_v_idx",
    "replaced": "drop table public.small cascade; create table public.small (v varchar(20))",
    "renamed": "alter table public.small rename to tiny",
    "a truncated partition": "truncate public.parted_1",
    "a rewritten partition": "vacuum full public.parted_2",
    "a detached partition": "alter table public.parted detach partition public.parted_1",
    "a truncated child": "truncate public.child",
    "a child that leaves": "alter table public.child no inherit public.parent",
}


@pytest.mark.parametrize("change", STOPPED_BY_LOCKS)
def test_a_table_that_is_read_later_cannot_be_emptied_or_rewritten_before(
    change: str, database: str, store: Store
) -> None:
    before = fingerprints(database, "public.small", "public.parted")
    changing = during_the_first_table(database, STOPPED_BY_LOCKS[change])

    def progress(line: str) -> None:
        try:
            changing(line)
        except psycopg.errors.LockNotAvailable:
            stopped.append(line)

    stopped: list[str] = []
    manifest = snapshot(database, store, *TABLES, progress=progress)
    assert stopped, "the change had to wait for the snapshot"
    rows = {table.name: table.rows for table in manifest.tables}
    assert rows == {
        "public.first": 1000,
        "public.small": 3,
        "public.parted": 2,
        "public.parent": 1,
        "public.seen": 3,
        "public.typed": 1,
    }
    assert fingerprints(database, "public.small", "public.parted") == before


NOT_STOPPED = {
    "a partition with old rows": (
        "alter table public.parted attach partition public.loose for values in (3)",
        "public.loose",
    ),
    "a child with old rows": ("alter table public.stray inherit public.parent", "public.stray"),
    "a refreshed view": ("refresh materialized view public.seen", "public.seen"),
    "a renamed label": ("alter type public.mood rename value 'calm' to 'still'", "type public.mood"),
    "labels that change places": (
        "alter type public.mood rename value 'calm' to 'x'; alter type public.mood rename value 'low' to 'calm';"
        "alter type public.mood rename value 'x' to 'low'",
        "type public.mood",
    ),
    "a renamed label inside other types": ("alter type public.kept rename value 'one' to 'two'", "type public.kept"),
    "an attribute that is added": ("alter type public.pair add attribute y int", "type public.pair"),
    "an attribute that is dropped": ("alter type public.pair drop attribute x", "type public.pair"),
}


@pytest.mark.parametrize("change", NOT_STOPPED)
def test_what_no_lock_stops_is_noticed_before_anything_is_published(change: str, database: str, store: Store) -> None:
    statement, name = NOT_STOPPED[change]
    with pytest.raises(SourceError, match=f"^{name} was changed, attached or detached while the snapshot was taken"):
        snapshot(database, store, *TABLES, progress=during_the_first_table(database, statement))
    assert store.manifest_keys() == []
    assert snapshot(database, store, *TABLES).rows > 0


def test_a_label_that_is_added_does_not_end_a_snapshot(database: str, store: Store) -> None:
    adding = during_the_first_table(database, "alter type public.mood add value 'new' before 'calm'")
    assert snapshot(database, store, *TABLES, progress=adding).rows > 0


def test_a_migration_that_commits_while_the_snapshot_waits_for_its_lock_is_in_it(database: str, store: Store) -> None:
    """The snapshot's instant is after the locks: an instant before would see neither the old rows nor the new ones."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database) as migration:
        migration.execute("truncate public.small; insert into public.small values ('new')")
        taking = pool.submit(snapshot, database, store, *TABLES, lock_timeout_s=60)
        wait_until(lambda: waiting_sessions(database), 30, "the snapshot does not wait for the lock")
        migration.commit()
        manifest = taking.result()
    assert {table.name: table.rows for table in manifest.tables}["public.small"] == 1


def waiting_sessions(conninfo: str) -> list[Any]:
    return _waiting(conninfo, "relation")


def _waiting(conninfo: str, locktype: str) -> list[Any]:
    return run(conninfo, f"select pid from pg_locks where not granted and locktype = '{locktype}'")


def test_a_session_that_waits_for_the_snapshot_ends_it_and_reads_go_on(database: str, store: Store) -> None:
    """The ALTER waits for the snapshot, and every read of the table queues behind the ALTER."""
    read = threading.Event()

    def alter() -> None:
        run(database, "alter table public.small add added int")

    def count() -> None:
        run(database, "select count(*) from public.small")
        read.set()

    with ThreadPoolExecutor(2) as pool:

        def progress(line: str) -> None:
            if line.startswith("public.first:") and "read by value" in line:
                pool.submit(alter)
                wait_until(lambda: waiting_sessions(database), 30, "the ALTER does not wait")
                pool.submit(count)
                assert read.wait(60), "the application's read waits as long as the snapshot lives"

        with pytest.raises(
            Blocking,
            match=r"^session \d+ of role mindguard_app_owner waited \d+ s for public\.small because of this snapshot; "
            r"nothing was published – take the snapshot when no migration runs$",
        ):
            snapshot(database, store, *TABLES, progress=progress, lock_timeout_s=1)
    assert store.manifest_keys() == []
    wait_until(lambda: not sessions(database), 30, "a session of the snapshot is left")


def test_a_session_that_waits_for_whoever_waits_for_the_snapshot_ends_it(database: str, store: Store) -> None:
    """The new index waits for older snapshots, an ALTER of the same table for the index, and reads for the ALTER."""
    run(database, "create table public.other (id int)")
    read = threading.Event()

    def index() -> None:
        with psycopg.connect(database, autocommit=True) as migration:
            migration.execute("create index concurrently on public.other (id)")

    def alter() -> None:
        run(database, "alter table public.other add added int")

    def count() -> None:
        run(database, "select count(*) from public.other")
        read.set()

    with ThreadPoolExecutor(3) as pool:

        def progress(line: str) -> None:
            if line.startswith("public.first:") and "read by value" in line:
                pool.submit(index)
                wait_until(lambda: _waiting(database, "virtualxid"), 30, "the new index does not wait")
                pool.submit(alter)
                wait_until(lambda: _waiting(database, "relation"), 30, "the ALTER does not wait")
                pool.submit(count)
                assert read.wait(60), "the application's read waits as long as the snapshot lives"

        with pytest.raises(Blocking, match=r"waited \d+ s for public\.other because of this snapshot"):
            snapshot(database, store, *TABLES, progress=progress, lock_timeout_s=1)
    assert store.manifest_keys() == []


def test_a_lock_on_a_table_outside_the_settings_does_not_hang_the_schema_dump(database: str, store: Store) -> None:
    run(database, "create table public.other (id int)")
    with psycopg.connect(database) as migration:
        migration.execute("lock table public.other")
        with pytest.raises(MindGuardError, match="another session holds a lock on a table of the database"):
            snapshot(database, store, *TABLES, lock_timeout_s=1)
    assert snapshot(database, store, *TABLES, lock_timeout_s=1).rows > 0


def test_three_that_wait_for_each_other_in_a_circle_are_parted(database: str, store: Store) -> None:
    """The migration has the other table; the dump waits for it; the ALTER waits for the dump; a read for the ALTER."""
    run(database, "create table public.other (id int)")
    with ThreadPoolExecutor(3) as pool, psycopg.connect(database) as migration:
        migration.execute("alter table public.other add added int")
        taking = pool.submit(snapshot, database, store, *TABLES, lock_timeout_s=1)
        wait_until(lambda: waiting_sessions(database) or taking.done(), 30, "the dump does not wait")
        altering = pool.submit(run, database, "alter table public.small add added int")
        reading = pool.submit(run, database, "select count(*) from public.small")
        assert reading.result(60) == [(3,)]
        altering.result(60)
        assert isinstance(taking.exception(60), MindGuardError)
    assert store.manifest_keys() == []


def test_a_snapshot_is_ended_when_its_time_is_over_whatever_it_is_doing(database: str) -> None:
    def sleep_in_a_snapshot() -> None:
        with open_source(database, [Chosen("public.small")], max_age_s=1) as source:
            source._connection.execute("set local statement_timeout = 0")
            source._connection.execute("select pg_sleep(600)")

    with pytest.raises(
        Stopped, match=r"^not complete after .* minutes; nothing was published – raise snapshot\.max_age"
    ):
        sleep_in_a_snapshot()


def test_a_snapshot_whose_watch_was_ended_gives_up(database: str, store: Store) -> None:
    """Nobody would end it if it stood in the application's way."""

    def progress(line: str) -> None:
        if line.startswith("public.first:") and "read by value" in line:
            wait_until(lambda: end_the_watch(database), 30, "the watch is never idle")
            wait_until(lambda: not sessions(database), 30, "the snapshot's sessions do not end")

    with pytest.raises(SourceError, match="terminating connection"):
        take(database, store, tables=[{"name": "public.first"}, {"name": "public.small"}], progress=progress)
    assert store.manifest_keys() == []


def test_a_session_that_the_watch_would_not_recognise_is_refused(database: str) -> None:
    with Watch(database, lock_timeout_s=1, max_age_s=60) as watch:
        name = psycopg.conninfo.conninfo_to_dict(watch.conninfo)["application_name"]
        watch.require_name(f"{name} - 10.0.0.1:5432")  # as pgbouncer's application_name_add_host writes it
        with pytest.raises(SourceError, match="a pooler replaces application_name"):
            watch.require_name("pgbouncer")


def end_the_watch(conninfo: str) -> list[Any]:
    """End the one session that holds no transaction open."""
    return run(
        conninfo,
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where application_name like 'mindguard-snapshot-%' and state = 'idle'",
    )


def sessions(conninfo: str) -> list[Any]:
    return run(conninfo, "select pid from pg_stat_activity where application_name like 'mindguard-snapshot-%'")
