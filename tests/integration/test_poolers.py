"""Through a real pooler, pgbouncer: nothing of ours stays in its pool, and what needs a session says so first."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from devstack.stack import Stack
from mindguard.alerts.alert import Alert, fingerprint
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.releases import read_releases
from mindguard.alerts.severity import Severity
from mindguard.alerts.unresolved import ends_an_incident
from mindguard.doctor.database import examine_drill, examine_ops, examine_restore, examine_source
from mindguard.monitors.run import run_monitors
from mindguard.postgres_session import NoOwnSession
from mindguard.settings import Settings
from mindguard.snapshots.restore.drill import DrillBroke, drill
from mindguard.snapshots.restore.tables import RestoreRequest, plan_restore, restore
from mindguard.snapshots.restore.whole import plan_rebuild, rebuild
from mindguard.snapshots.storage.catalog import list_snapshots
from mindguard.snapshots.storage.store import Store
from mindguard.volume.days import Moment
from mindguard.volume.frames import Frames
from tests.connections import connection_of
from tests.integration.pooling import left_behind, pgbouncer, through
from tests.integration.restoring import NOW, empty_database, run, snapshot

TABLE = "create table t (id int primary key, v text); insert into t select i, 'v' || i from generate_series(1, 300) i"


@pytest.fixture
def database(fresh_database: str) -> str:
    run(fresh_database, TABLE)
    return fresh_database


@contextmanager
def busy(conninfo: str) -> Iterator[None]:
    """Let an application use the pool while the block runs; its unqualified queries must always work."""
    stop, errors = threading.Event(), list[str]()

    def application() -> None:
        with psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as connection:
            while not stop.is_set():
                try:
                    connection.execute("select count(*) from t")
                except psycopg.errors.UndefinedTable as error:
                    errors.append(str(error))

    threads = [threading.Thread(target=application) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors


@pytest.mark.parametrize("server_round_robin", ["0", "1"])
@pytest.mark.parametrize("ignore", ["extra_float_digits", "extra_float_digits, options"])
def test_a_pool_of_transactions_is_refused_and_stays_as_it_was(
    database: str, store: Store, stack: Stack, server_round_robin: str, ignore: str
) -> None:
    manifest = snapshot(database, store, "public.t")
    with pgbouncer(stack, "transaction", ignore=ignore, server_round_robin=server_round_robin) as port:
        pooled = through(port, database)
        with busy(pooled):
            for refused in (
                lambda: snapshot(pooled, store, "public.t"),
                lambda: plan_restore(manifest, pooled, RestoreRequest()),
                lambda: restore(manifest, store, pooled, RestoreRequest()),
                lambda: plan_rebuild(manifest, pooled),
                lambda: rebuild(manifest, store, pooled),
            ):
                with pytest.raises(NoOwnSession, match=r"shares server connections .* – connect to the server itself"):
                    refused()
            with pytest.raises(DrillBroke, match="shares server connections"):
                drill(manifest, store, pooled, now=NOW)
        assert left_behind(port, database) == set()
    assert [each.snapshot_id for each in list_snapshots(store)] == [manifest.snapshot_id]


@pytest.mark.parametrize(
    "settings",
    [
        {"server_reset_query_always": "1"},  # each transaction finds a session that was reset
        {"server_lifetime": "0"},  # each transaction has a new session
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_sessions_that_end_with_each_transaction_are_refused(
    database: str, store: Store, stack: Stack, settings: dict[str, str]
) -> None:
    with pgbouncer(stack, "transaction", **settings) as port:
        with pytest.raises(NoOwnSession):
            snapshot(through(port, database), store, "public.t")
        assert left_behind(port, database) == set()


def test_whole_sessions_that_nobody_resets_are_refused(database: str, store: Store, stack: Stack) -> None:
    with pgbouncer(stack, "session", server_reset_query="") as port, pytest.raises(NoOwnSession):
        snapshot(through(port, database), store, "public.t")


def test_a_pool_of_statements_is_refused_in_one_line(database: str, store: Store, stack: Stack) -> None:
    with pgbouncer(stack, "statement") as port:
        manifest = snapshot(database, store, "public.t")
        with pytest.raises(NoOwnSession):
            snapshot(through(port, database), store, "public.t")
        with pytest.raises(NoOwnSession):
            restore(manifest, store, through(port, database), RestoreRequest())


def test_a_pool_of_whole_sessions_is_as_good_as_the_server(database: str, store: Store, stack: Stack) -> None:
    with pgbouncer(stack, "session", default_pool_size="12") as port, empty_database(stack) as empty:
        manifest = snapshot(through(port, database), store, "public.t")
        proof = drill(manifest, store, through(port, stack.postgres_conninfo("mindguard_drill")), now=NOW)
        assert proof.tables["public.t"].rows == 300
        assert restore(manifest, store, through(port, database), RestoreRequest()).tables["public.t"].read.rows == 300
        rebuild(manifest, store, through(port, empty))
        assert run(empty, "select count(*) from t") == [(300,)]
        assert left_behind(port, database) == set()


def test_everything_else_works_through_a_pool_of_transactions(database: str, stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "releases.sql").write_text("select '1.0' as version, now() as released_at, 1::float as share")
    (tmp_path / "measure.sql").write_text("select now() as newest")
    monitor = {"source": "postgres", "query": str(tmp_path / "measure.sql"), "kind": "freshness"}
    settings = Settings.model_validate(
        {
            "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
            "releases": {"query": str(tmp_path / "releases.sql")},
            "monitors": [{"name": f"m{number}", **monitor} for number in range(12)],
        }
    )
    with pgbouncer(stack, "transaction") as port, busy(through(port, database)):
        connection = connection_of(through(port, database))
        store = IncidentStore.of(connection)
        try:
            well = [Recovery("airflow:etl", at=NOW)]
            assert not ends_an_incident(well, connection)
            for number in range(8):  # more often than a driver sends a statement before it prepares it
                alert = Alert("Task failed", Severity.P1, f"etl{number}", NOW, fingerprint("etl", str(number)))
                store.record([Finding(alert, source="airflow", recovery_key="airflow:etl")], now=NOW)
                assert ends_an_incident(well, connection)
        finally:
            store.database.engine.dispose()
        assert len(read_releases(settings.releases, settings, lambda _: connection)) == 1
        suite: Any = SimpleNamespace(
            name="s", meta=SimpleNamespace(query=str(tmp_path / "measure.sql"), connection="app")
        )
        moment = Moment(NOW.date(), NOW)
        assert len(Frames(settings, moment, resolve=lambda _: connection).of(suite)) == 1
        results = run_monitors(settings, lambda _: connection, now=datetime.now(UTC), memory=None)
        assert {result.status for result in results} == {"pass"}, results
        found = {each.check: each for each in examine_source(settings, lambda _: connection, lambda: datetime.now(UTC))}
        assert found["pooler"].status == "error"
        assert "connect to the server itself" in found["pooler"].text
        assert {each.status for each in examine_ops(settings, lambda _: connection, lambda: datetime.now(UTC))} == {
            "pass"
        }
        for examined in (examine_drill, examine_restore):
            with pytest.raises(NoOwnSession):
                list(examined(settings, lambda _: connection, lambda: datetime.now(UTC)))
        # If the busy pool does not give the probe that connection again, its lock stays: see docs/connections.md.
        assert left_behind(port, database) <= {"an advisory lock"}


def test_all_connections_of_a_run_lead_to_one_of_several_hosts(database: str, store: Store, stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gone = silent.getsockname()[1]
    several = make_conninfo(database, host="127.0.0.1,127.0.0.1", port=f"{gone},{stack.postgres.port}")
    several = make_conninfo(several, load_balance_hosts="random", target_session_attrs="any")
    manifest = snapshot(several, store, "public.t", connections=3)
    with pgbouncer(stack, "transaction") as pooled:
        mixed = make_conninfo(
            database, host="127.0.0.1,127.0.0.1", port=f"{pooled},{pooled}", load_balance_hosts="random"
        )
        with pytest.raises(NoOwnSession):
            snapshot(mixed, store, "public.t")
    with empty_database(stack) as empty:
        rebuild(manifest, store, make_conninfo(empty, host="127.0.0.1,127.0.0.1", port=f"{gone},{stack.postgres.port}"))
        assert run(empty, "select count(*) from t") == [(300,)]
