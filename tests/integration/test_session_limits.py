"""Time limits that a role or a database sets for its own purposes: a snapshot, a drill and a restore outlast them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text

from devstack.stack import Stack
from mindguard.alerts.finding import Recovery
from mindguard.alerts.releases import read_releases
from mindguard.alerts.unresolved import ends_an_incident
from mindguard.database.session import OpsDatabase
from mindguard.monitors.run import run_monitors
from mindguard.settings import Settings
from mindguard.snapshots.restore.drill import drill
from mindguard.snapshots.restore.tables import RestoreRequest, restore
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.store import Store
from tests.connections import connection_of
from tests.integration.pooling import pgbouncer, through
from tests.integration.restoring import NOW, empty_database, fingerprints, run, snapshot

TABLE = """
create table t (id int generated always as identity primary key, v text unique);
insert into t (v) select repeat(md5(i::text), 4) from generate_series(1, 50000) i;
create index on t (reverse(v));
"""
SETTINGS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)


@pytest.fixture(params=["role", "database"])
def limited(request: pytest.FixtureRequest, stack: Stack) -> Iterator[str]:
    """A database whose sessions may do nothing for longer than a moment."""
    name = f"limited_{request.param}"
    admin = stack.postgres_conninfo("postgres", "postgres")

    def administer(*statements: str) -> None:
        with psycopg.connect(admin, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    administer(f"create role {name} superuser login password 'x'")
    try:
        with empty_database(stack) as conninfo:
            run(conninfo, TABLE)
            database = conninfo_to_dict(conninfo)["dbname"]
            what = f"role {name}" if request.param == "role" else f"database {database}"
            # A transaction's time runs before its first statement can lift this limit.
            moments = dict.fromkeys(SETTINGS, "1ms") | {"transaction_timeout": "200ms"}
            administer(*(f"alter {what} set {each} = '{moment}'" for each, moment in moments.items()))
            yield make_conninfo(conninfo, user=name, password="x")
    finally:
        administer(f"drop role {name}")


def test_a_snapshot_a_drill_and_restores_take_their_time(limited: str, store: Store, stack: Stack) -> None:
    manifest = snapshot(limited, store, "public.t", connections=3)
    assert drill(manifest, store, limited, now=NOW).tables["public.t"].rows == 50_000
    restored = restore(manifest, store, limited, RestoreRequest(swap=True))
    assert restored.tables["public.t"].read.rows == 50_000
    with empty_database(stack) as empty:
        whole = make_conninfo(limited, dbname=str(conninfo_to_dict(empty)["dbname"]))
        rebuild(manifest, store, whole)
        assert fingerprints(whole, "public.t") == fingerprints(limited, "public.t")


def test_short_connections_keep_their_own_limits(limited: str, tmp_path: Path) -> None:
    connection = connection_of(limited)
    assert not ends_an_incident([Recovery("airflow:etl", at=NOW)], connection)
    (tmp_path / "releases.sql").write_text("select '1.0' as version, now() as released_at, pg_sleep(0.3)::text as note")
    plain = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}
    settings = Settings.model_validate(
        {
            **plain,
            "releases": {"query": str(tmp_path / "releases.sql")},
            "monitors": [
                {"name": "m", "kind": "freshness", "source": "postgres", "query": str(tmp_path / "measure.sql")}
            ],
        }
    )
    (tmp_path / "measure.sql").write_text("select now() as newest from pg_sleep(0.3)")
    assert len(read_releases(settings.releases, settings, lambda _: connection)) == 1
    (result,) = run_monitors(settings, lambda _: connection, now=datetime.now(UTC), memory=None)
    assert result.status == "pass", result
    database = OpsDatabase.of(connection)
    try:
        with database.session() as session:
            session.execute(text("select pg_sleep(0.3)"))
        with database.session() as session:
            assert session.scalar(text("show statement_timeout")) == "5s"
    finally:
        database.engine.dispose()


def test_a_pool_of_whole_sessions_that_refuses_options(limited: str, store: Store, stack: Stack) -> None:
    """The pool's idle sessions have the limits of the role; those of a client are lifted by its first statement."""
    user = str(conninfo_to_dict(limited)["user"])
    admin = stack.postgres_conninfo("postgres", "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        database = conninfo_to_dict(limited)["dbname"]
        what = f"role {user}" if user.endswith("role") else f"database {database}"
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"alter {what} set {name} = '100ms'")
        connection.execute(f"alter {what} set idle_session_timeout = '2s'")
    with pgbouncer(stack, "session", default_pool_size="12", passwords={user: "x"}) as port:
        manifest = snapshot(through(port, limited), store, "public.t", connections=3)
        restored = restore(manifest, store, through(port, limited), RestoreRequest())
        assert restored.tables["public.t"].read.rows == 50_000
        assert drill(manifest, store, through(port, limited), now=NOW).tables["public.t"].rows == 50_000
