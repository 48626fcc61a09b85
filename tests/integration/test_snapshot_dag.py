"""`snapshot_tables` under the real scheduler: its run, its failures, and the cards that they send."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest

from devstack.airflow_api import AirflowAPI
from devstack.data.sample_data import load_tables
from devstack.stack import Stack
from mindguard.alerts.dag_runs.failures import Run
from mindguard.settings import load_settings
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.take import take_snapshot
from mindguard.snapshots.storage.catalog import find_snapshot, list_snapshots
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.cards import about, as_text
from tests.integration.restoring import run
from tests.integration.scheduled import DAG, own_snapshots, ready
from tests.stored_objects import remove
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(420)

ROWS = 150_000


@pytest.fixture(scope="module")
def api(airflow_stack: Stack) -> AirflowAPI:
    """Airflow with the sample tables in the application's database."""
    load_tables(
        airflow_stack.postgres_conninfo("mindguard_app_owner"),
        rows=ROWS,
        seed=1,
        today=datetime.now(UTC).date(),
        progress=print,
    )
    # Each test is to see its own run alone.
    return ready(airflow_stack)


@pytest.fixture
def snapshots(airflow_stack: Stack) -> Store:
    """The store that the DAG writes to; its parts are removed first, so that each run has to export all of them."""
    client = airflow_stack.seaweedfs.client()
    store = Store.of(client, SnapshotSettings(bucket="mindguard-backup", tables=[{"name": "public.checkins"}]))
    for key in part_keys(store):
        remove(store, key)
    return store


def part_keys(store: Store) -> list[str]:
    pages = store._client.get_paginator("list_objects_v2").paginate(
        Bucket=store.bucket, Prefix=f"{store.prefix}/parts/"
    )
    return [found["Key"] for page in pages for found in page.get("Contents", ())]


def cards_of(stack: Stack, dag_id: str, run_id: str, task_id: str) -> list[str]:
    """Return the cards about this run's task, as JSON with Feishu's escapes undone."""
    fingerprint = Run(dag_id, run_id, "manual", None).fingerprint(task_id)
    return [as_text(record) for record in about(stack.feishu.url, fingerprint)]


def test_the_scheduler_takes_a_verified_snapshot_with_the_sources_rows(
    api: AirflowAPI, airflow_stack: Stack, snapshots: Store
) -> None:
    run_id = api.trigger(DAG)
    assert api.wait_for_run(DAG, run_id) == "success", api.log(DAG, run_id, "take_snapshot")
    taken = api.xcom(DAG, run_id, "take_snapshot")
    manifest = find_snapshot(snapshots, taken["snapshot_id"])
    verify_snapshot(manifest, snapshots).check()
    with psycopg.connect(airflow_stack.postgres_conninfo("mindguard_reader")) as connection:
        for table in manifest.tables:
            name = psycopg.sql.Identifier(*table.name.split("."))
            row = connection.execute(psycopg.sql.SQL("select count(*) from {}").format(name)).fetchone()
            assert row == (table.rows,), table.name
    assert manifest.rows == ROWS
    assert cards_of(airflow_stack, DAG, run_id, "take_snapshot") == []


def test_the_asset_carries_the_snapshots_id(api: AirflowAPI, snapshots: Store) -> None:
    newest = find_snapshot(snapshots, "latest").snapshot_id
    events = api.call("GET", "/assets/events", params={"order_by": "-timestamp", "limit": 1})["asset_events"]
    assert events[0]["extra"]["snapshot_id"] == newest


def test_a_rerun_of_an_old_date_takes_a_snapshot_of_now_and_says_so(api: AirflowAPI, snapshots: Store) -> None:
    before = len(snapshots.manifest_keys())
    run_id = api.trigger(DAG, logical_date="2026-03-01T02:00:00+08:00")
    assert api.wait_for_run(DAG, run_id) == "success"
    assert "this snapshot holds the rows of now" in api.log(DAG, run_id, "take_snapshot")
    manifest = list_snapshots(snapshots)[-1]
    assert len(snapshots.manifest_keys()) == before + 1
    assert manifest.logical_date is not None
    assert manifest.taken_at - manifest.logical_date > (datetime.now(UTC) - datetime(2026, 6, 1, tzinfo=UTC))


def kill_the_exporting_process(stack: Stack) -> None:
    """SIGKILL to the process that reads the source for the snapshot: the Airflow task itself."""
    with psycopg.connect(stack.postgres_conninfo("postgres", "postgres")) as connection:
        ports = {
            row[0]
            for row in connection.execute("select client_port from pg_stat_activity where usename = 'mindguard_reader'")
        }
    owners = {
        each.pid for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port in ports and each.pid
    }
    owners -= {os.getpid()}
    assert owners, "no process reads the source"
    for pid in owners:
        os.kill(pid, signal.SIGKILL)


def outage_of(part: str) -> Callable[[Stack], None]:
    """Killed, and away for longer than any client's own retries bridge."""

    def outage(stack: Stack) -> None:
        with stack.down(part):
            time.sleep(OUTAGE_S[part])

    return outage


OUTAGE_S = {"seaweedfs": 25.0, "postgres": 5.0}
FAULTS: dict[str, Callable[[Stack], None]] = {
    "the exporting process": kill_the_exporting_process,
    "seaweedfs": outage_of("seaweedfs"),
    "postgres": outage_of("postgres"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_kill_9_in_the_middle_gives_a_failed_run_a_card_and_no_manifest(
    fault: str, api: AirflowAPI, airflow_stack: Stack, snapshots: Store
) -> None:
    manifests = snapshots.manifest_keys()
    run_id = api.trigger(DAG)
    wait_until(lambda: part_keys(snapshots), 60, "no part was stored", poll_s=0.05)
    FAULTS[fault](airflow_stack)
    assert api.wait_for_run(DAG, run_id, timeout_s=180) == "failed"
    (card,) = wait_until(lambda: cards_of(airflow_stack, DAG, run_id, "take_snapshot"), 60, "no card came")
    assert run_id in card
    assert snapshots.manifest_keys() == manifests

    again = api.trigger(DAG)
    assert api.wait_for_run(DAG, again, timeout_s=180) == "success", api.log(DAG, again, "take_snapshot")
    assert len(snapshots.manifest_keys()) == len(manifests) + 1
    verify_snapshot(find_snapshot(snapshots, "latest"), snapshots).check()
    # By now the failed run's DAG callback, which comes a second or two after the task's, has reported as well; and the
    # success may have ended the incident.
    shown = cards_of(airflow_stack, DAG, run_id, "take_snapshot")
    assert [each for each in shown if '"template": "green"' not in each] == [card]


def test_the_cards_show_no_secret_and_open_the_failing_task(api: AirflowAPI, airflow_stack: Stack) -> None:
    run_id = api.trigger("demo_failure", {"severity": "P0"})
    assert api.wait_for_run("demo_failure", run_id) == "failed"
    (card,) = wait_until(lambda: cards_of(airflow_stack, "demo_failure", run_id, "fail_on_purpose"), 30, "no card came")
    assert "not-a-real-password" not in card
    assert '"template": "red"' in card
    assert f"{api.url}/dags/demo_failure/runs/{quote(run_id)}/tasks/fail_on_purpose" in card


@pytest.mark.timeout(420)
def test_under_the_scheduler_a_quarantined_snapshot_fails_at_once_and_nothing_expires(airflow_stack: Stack) -> None:
    api = ready(airflow_stack)

    def states(wanted: str) -> tuple[str, dict[str, str]]:
        run_id = api.trigger("snapshot_tables")
        assert api.wait_for_run("snapshot_tables", run_id, timeout_s=180) == wanted
        tasks = api.task_instances("snapshot_tables", run_id)
        return run_id, {each["task_id"]: each["state"] for each in tasks}

    app = airflow_stack.postgres_conninfo("mindguard_app_owner")
    fill = "insert into gated.signals select generate_series(1, 99)"
    run(app, "create schema gated", "create table gated.signals (id int primary key)", fill)
    with own_snapshots(airflow_stack, "gated.signals"):
        good, tasks = states("success")
        assert set(tasks.values()) == {"success"}
        decisions = api.xcom("snapshot_tables", good, "expire_snapshots")["decisions"]
        assert {each["action"] for each in decisions} == {"keep"}
        run(app, "truncate gated.signals")
        bad, tasks = states("failed")
        assert tasks == {
            "take_snapshot": "success",
            "check_history": "success",
            "verify_snapshot": "failed",
            "expire_snapshots": "upstream_failed",
        }
        assert "is quarantined: gated.signals is empty" in api.log("snapshot_tables", bad, "verify_snapshot")
        events = api.call("GET", "/assets/events", params={"order_by": "-timestamp", "limit": 1})["asset_events"]
        taken = api.xcom("snapshot_tables", bad, "take_snapshot")["snapshot_id"]
        assert events[0]["extra"]["snapshot_id"] != taken
        run(app, fill)
        states("success")
    run(app, "drop schema gated cascade")


def test_values_that_contradict_send_a_card_beside_a_good_snapshot(airflow_stack: Stack) -> None:
    """A superuser alters values in the catalog, where no transaction seems to have written them."""
    api = ready(airflow_stack)
    run(
        airflow_stack.postgres_conninfo("mindguard_app_owner"),
        "create schema fooled",
        "create table fooled.t (id int primary key)",
        "insert into fooled.t select generate_series(1, 99)",
        "alter table fooled.t add column v int default 1",
        "create table fooled.u (id int)",
        "alter table fooled.u add column v int default 2",
    )
    with own_snapshots(airflow_stack, "fooled.t") as store:
        settings = load_settings(Path(airflow_stack.environment()["MINDGUARD_SETTINGS"]))
        take_snapshot(
            airflow_stack.postgres_conninfo("mindguard_reader"),
            store,
            settings.snapshot,
            now=datetime.now(UTC) - timedelta(days=settings.snapshot.recheck_days),
            zone=settings.zone,
        )
        run(
            airflow_stack.postgres_conninfo("postgres"),
            "update pg_attribute set attmissingval = (select attmissingval from pg_attribute "
            "where attrelid = 'fooled.u'::regclass and attname = 'v') "
            "where attrelid = 'fooled.t'::regclass and attname = 'v'",
        )
        run_id = api.trigger(DAG)
        assert api.wait_for_run(DAG, run_id, timeout_s=180) == "failed"
        states = {each["task_id"]: each["state"] for each in api.task_instances(DAG, run_id)}
        assert states.pop("check_history") == "failed"
        assert set(states.values()) == {"success"}
        (card,) = wait_until(lambda: cards_of(airflow_stack, DAG, run_id, "check_history"), 60, "no card came")
        assert "values of fooled.t have changed although no transaction" in card
        assert '"template": "orange"' in card  # P1
        taken = api.xcom(DAG, run_id, "take_snapshot")
        assert taken["contradicted"] == "fooled.t"
        verify_snapshot(find_snapshot(store, taken["snapshot_id"]), store).check()
        again = api.trigger(DAG)
        assert api.wait_for_run(DAG, again, timeout_s=180) == "success"
    run(airflow_stack.postgres_conninfo("mindguard_app_owner"), "drop schema fooled cascade")
