"""The database roles in docs/existing-airflow.md have every right that is needed, and its statements make them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.snapshots.restore.drill import drill
from mindguard.snapshots.restore.tables import RestoreRequest, restore
from mindguard.snapshots.storage.store import Store
from tests.integration.restoring import NOW, run, snapshot

PAGE = Path(__file__).parents[2] / "docs/existing-airflow.md"
NAMES = ("reader", "drill", "restore")


@pytest.fixture
def roles(stack: Stack, fresh_database: str) -> Iterator[dict[str, str]]:
    """Connection strings of the page's roles, to the test's database."""
    database = str(psycopg.conninfo.conninfo_to_dict(fresh_database)["dbname"])
    admin = stack.postgres_conninfo("postgres", database)
    (statements,) = re.findall(r"^```sql\n(.*?create role.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for written, meant in {
        "mindguard_": f"{database}_",
        "'…'": "'secret'",
        " app ": f" {database} ",
        "app_owner": "mindguard_app_owner",
    }.items():
        assert written in statements
        statements = statements.replace(written, meant)
    run(admin, statements)
    yield {
        name: psycopg.conninfo.make_conninfo(fresh_database, user=f"{database}_{name}", password="secret")
        for name in NAMES
    }
    for name in NAMES:
        run(admin, f"drop owned by {database}_{name}", f"drop role {database}_{name}")


def test_each_role_can_do_its_work(roles: dict[str, str], fresh_database: str, store: Store) -> None:
    run(
        fresh_database,
        "create table t (id bigint generated always as identity primary key, v text)",
        "insert into t (v) select 'v' || i from generate_series(1, 500) i",
        "create table guarded (id int primary key)",
        "insert into guarded select generate_series(1, 9)",
        "alter table guarded enable row level security",
        "alter table guarded force row level security",
    )
    manifest = snapshot(roles["reader"], store, "public.t", "public.guarded")
    assert manifest.rows == 509
    scratch = psycopg.conninfo.make_conninfo(roles["drill"], dbname="postgres")
    assert drill(manifest, store, scratch, now=NOW).tables["public.t"].rows == 500

    run(fresh_database, "update t set v = 'changed' where id = 7", "delete from t where id > 400")
    beside = restore(manifest, store, roles["restore"], RestoreRequest(("public.t",), schema="beside"))
    assert beside.tables["public.t"].difference is not None
    swapped = restore(manifest, store, roles["restore"], RestoreRequest(("public.t",), schema="swapped", swap=True))
    assert swapped.swapped
    assert run(fresh_database, "select count(*), count(*) filter (where v = 'changed') from t") == [(500, 0)]
    owner = "select tableowner from pg_tables where schemaname = 'public' and tablename = 't'"
    assert run(fresh_database, owner) == [("mindguard_app_owner",)]
