"""`restore_drill` and `restore_tables` under the real scheduler: proofs, verdicts, approvals, and their cards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from devstack.airflow_api import AirflowAPI
from devstack.stack import Stack
from mindguard.snapshots.storage.catalog import find_snapshot, proven
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, new_key_ring
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from tests.cards import as_text, messages
from tests.integration import restoring
from tests.integration.restoring import run
from tests.integration.scheduled import own_snapshots, ready
from tests.stored_objects import overwrite
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(420)

TABLES = """
create schema clinic;
create table clinic.checkins (
    id bigint generated always as identity primary key, user_id int, mood text, created_at timestamptz
);
create table clinic.risk_signals (id bigint generated always as identity primary key, detected_at timestamptz);
insert into clinic.checkins (user_id, mood, created_at)
select i % 100, 'm' || i, '2026-01-01'::timestamptz + i * interval '1 minute' from generate_series(1, 3000) i;
insert into clinic.risk_signals (detected_at) select '2026-01-01' from generate_series(1, 50);
"""


@pytest.fixture(scope="module")
def owner(stack: Stack) -> str:
    return stack.postgres_conninfo("mindguard_app_owner")


@pytest.fixture(scope="module")
def store(airflow_stack: Stack, owner: str) -> Iterator[Store]:
    """Where the DAGs put snapshots of this module's tables."""
    ready(airflow_stack)
    run(owner, TABLES)
    with own_snapshots(airflow_stack, "clinic.checkins", "clinic.risk_signals") as store:
        yield store
    run(owner, "drop schema clinic cascade", "drop schema if exists approved cascade")


@pytest.fixture(scope="module")
def api(airflow_stack: Stack, store: Store) -> Iterator[AirflowAPI]:
    api = airflow_stack.airflow_api()
    api.wait_for_dags("restore_drill", "restore_tables")
    api.set_paused("restore_drill", paused=False)
    yield api
    # Other tests take and damage snapshots: those must not be drilled.
    api.set_paused("restore_drill", paused=True)


@pytest.fixture(scope="module")
def taken(api: AirflowAPI, store: Store) -> Manifest:
    """One snapshot that the scheduler has taken; nothing else is running when it is given."""
    return taken_and_drilled(api, store)


def taken_and_drilled(api: AirflowAPI, store: Store) -> Manifest:
    drills = len(api.runs("restore_drill"))
    run_id = api.trigger("snapshot_tables")
    assert api.wait_for_run("snapshot_tables", run_id) == "success", api.log("snapshot_tables", run_id, "take_snapshot")
    wait_until(lambda: len(api.runs("restore_drill")) > drills, 60, "no drill was started")
    for drill in api.runs("restore_drill"):
        api.wait_for_run("restore_drill", drill["dag_run_id"])
    return find_snapshot(store, api.xcom("snapshot_tables", run_id, "take_snapshot")["snapshot_id"])


def cards(stack: Stack, run_id: str) -> list[str]:
    """The cards that name the run, as JSON with Feishu's escapes undone."""
    return [text for record in messages(stack.feishu.url) if run_id in (text := as_text(record))]


def test_each_snapshot_is_drilled_and_leaves_a_proof(api: AirflowAPI, taken: Manifest, store: Store) -> None:
    newest = api.runs("restore_drill")[0]
    assert newest["state"] == "success", api.log("restore_drill", newest["dag_run_id"], "drill_snapshot", map_index=0)
    assert newest["run_type"] == "asset_triggered"
    assert proven(store)[taken.snapshot_id].tables["clinic.checkins"].rows == 3000


def test_a_drill_in_parts_goes_on_until_the_snapshot_is_proven(
    api: AirflowAPI, taken: Manifest, airflow_stack: Stack
) -> None:
    names = [table.name for table in taken.tables]
    with own_snapshots(airflow_stack, *names, drill={"max_gb": 1e-9}) as own:
        begun = taken_and_drilled(api, own)
        newest = api.runs("restore_drill")[0]["dag_run_id"]
        counts = [api.xcom("restore_drill", newest, "drill_snapshot", map_index=0)["rebuilt_tables"]]
        assert 0 < counts[0] < len(names)
        assert proven(own) == {}
        while counts[-1] < len(names):
            run_id = api.trigger("restore_drill")
            assert api.wait_for_run("restore_drill", run_id) == "success"
            part = api.xcom("restore_drill", run_id, "drill_snapshot", map_index=0)
            counts.append(part["rebuilt_tables"])
        assert (part["snapshot_id"], set(part["tables"])) == (begun.snapshot_id, set(names))
        assert list(proven(own)) == [begun.snapshot_id]


def test_with_encryption_a_snapshot_is_proven_as_well_and_the_bucket_tells_nothing(
    api: AirflowAPI, taken: Manifest, store: Store, airflow_stack: Stack
) -> None:
    def everything(bucket: Store) -> bytes:
        return b"".join(key.encode() + bucket.read(key) for key in bucket.keys())  # noqa: SIM118

    ring = new_key_ring("2026-11")
    connection = {"connection_id": "mindguard_keys", "conn_type": "generic", "password": ring}
    api.call("POST", "/connections", json=connection)
    encryption = Encryption(KeyRing.from_json(ring, origin="test"))
    names = [table.name for table in taken.tables]
    try:
        with own_snapshots(airflow_stack, *names, encryption=encryption) as vault:
            sealed = taken_and_drilled(api, vault)
            assert sealed.keys == encryption.needed_keys(())
            assert proven(vault)[sealed.snapshot_id].tables["clinic.checkins"].rows == 3000
            stored = everything(vault)
    finally:
        api.call("DELETE", "/connections/mindguard_keys")
    columns = [column.name for table in taken.tables for column in table.columns if column.name != "id"]
    words = [word.encode() for name in names for word in name.split(".")] + [name.encode() for name in columns]
    in_the_clear = everything(store)
    assert [word for word in words if word not in in_the_clear] == []
    assert [word for word in words if word in stored] == []


def test_a_damaged_snapshot_is_p0_and_a_broken_drill_p2(
    api: AirflowAPI, taken: Manifest, store: Store, airflow_stack: Stack
) -> None:
    name = f"mindguard_drill_{taken.snapshot_id.lower().replace('-', '_')}"
    admin = airflow_stack.postgres_conninfo("postgres", "postgres")
    with_database(admin, f"create database {name}")
    broke = api.trigger("restore_drill", {"snapshot_id": taken.snapshot_id})
    assert api.wait_for_run("restore_drill", broke) == "failed"
    with_database(admin, f"drop database {name}")
    key, body = taken.parts[0].key, store.read(taken.parts[0].key)
    overwrite(store, key, body[:-1])
    lost = api.trigger("restore_drill", {"snapshot_id": taken.snapshot_id})
    assert api.wait_for_run("restore_drill", lost) == "failed"
    overwrite(store, key, body)
    (blue,) = wait_until(lambda: cards(airflow_stack, broke), 60, "no card came")
    (red,) = wait_until(lambda: cards(airflow_stack, lost), 60, "no card came")
    assert '"template": "blue"' in blue
    assert "DrillBroke" in blue
    assert '"template": "red"' in red
    assert "Unrestorable" in red


@pytest.mark.parametrize(
    ("dag_id", "conf", "says", "template"),
    [
        ("restore_drill", {"snapshot_id": "nope"}, "there is no snapshot nope", "blue"),
        ("restore_drill", {"snapshot": "latest"}, "the form has no field snapshot", "blue"),
        ("restore_tables", {"table": ["clinic.checkins"]}, "the form has no field table", "orange"),
    ],
)
def test_a_mistaken_request_fails_at_once_and_is_no_loss(
    dag_id: str, conf: dict[str, Any], says: str, template: str, api: AirflowAPI, taken: Manifest, airflow_stack: Stack
) -> None:
    run_id = api.trigger(dag_id, conf)
    assert api.wait_for_run(dag_id, run_id) == "failed"
    assert {each["try_number"] for each in api.task_instances(dag_id, run_id) if each["state"] == "failed"} == {1}
    (card,) = wait_until(lambda: cards(airflow_stack, run_id), 60, "no card came")
    assert says in card
    assert f'"template": "{template}"' in card
    assert "take a new one" not in card


def with_database(conninfo: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement)


def answer(api: AirflowAPI, run_id: str, option: str, task_id: str = "approve_restore") -> dict[str, Any]:
    """Answer as a person does in the UI, once it asks; return what the page shows."""
    path = f"/dags/restore_tables/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"

    def asked() -> int | None:
        tasks = {task["task_id"]: task for task in api.task_instances("restore_tables", run_id)}
        return int(tasks[task_id]["pid"]) if tasks[task_id]["state"] == "awaiting_input" else None

    pid = wait_until(asked, 60, "nobody asks")
    # No person answers within milliseconds. An answer that comes before the scheduler has heard of the asking process's
    # end would make it take that end for a failure of the answered task. The scheduler looks every second or so, and
    # nothing shows that it has.
    wait_until(lambda: not psutil.pid_exists(pid), 60, "the asking process does not end")
    time.sleep(3)
    details: dict[str, Any] = api.call("GET", path)
    api.call("PATCH", path, json={"chosen_options": [option], "params_input": {}})
    return details


def test_an_approved_restore_brings_rows_back_and_a_refused_one_nothing(
    api: AirflowAPI, taken: Manifest, owner: str, airflow_stack: Stack
) -> None:
    before = restoring.as_text(owner, "clinic.checkins")
    asked: dict[str, Any] = {"tables": ["checkins"], "where_key": ["user_id=7"], "into": "refused"}
    refused = api.trigger("restore_tables", asked)
    details = answer(api, refused, "Reject")
    # The page says everything that the answer depends on, in the reader's language.
    assert details["subject"] == "恢复 clinic.checkins（按 user_id 筛选）"
    said = details["body"].replace("\\", "")
    for fact in (
        taken.snapshot_id,
        "距今",
        "恢复验证**：已通过",
        "clinic.checkins 30 行",
        "schema refused，线上表不变",
    ):
        assert fact in said
    for fact in ("连接 mindguard_restore，数据库 mindguard", "申请人**：admin", "筛选值 user_id**：`7`"):
        assert fact in said
    assert api.wait_for_run("restore_tables", refused) == "success", api.log(
        "restore_tables", refused, "approve_restore"
    )
    states = {task["task_id"]: task["state"] for task in api.task_instances("restore_tables", refused)}
    assert states["restore_tables"] == states["put_rows_back"] == "skipped"
    assert run(owner, "select count(*) from pg_namespace where nspname = 'refused'") == [(0,)]

    approved = api.trigger("restore_tables", asked | {"into": "approved"})
    answer(api, approved, "Approve")
    assert api.wait_for_run("restore_tables", approved) == "success", api.log(
        "restore_tables", approved, "restore_tables"
    )
    assert run(owner, "select count(*), min(user_id), max(user_id) from approved.checkins") == [(30, 7, 7)]
    assert restoring.as_text(owner, "clinic.checkins") == before
    # A group reads the card: it names the filter's columns, and no value. A custom bot's second card has the answer.
    (asking, answered) = cards(airflow_stack, approved)
    for card in (asking, answered):
        assert f"{api.url}/dags/restore_tables/runs/" in card
        assert "/tasks/approve_restore/required_actions" in card
        for fact in (taken.snapshot_id, "clinic.checkins 30 行", "user_id（1 个值）", "已通过", "申请人"):
            assert fact in card
        assert "错误详情" not in card
    assert '"template": "blue"' in asking
    assert "答复期限" in asking
    assert '"template": "green"' in answered
    assert "已批准" in answered
    assert "答复人" in answered
    log = api.log("restore_tables", approved, "plan_restore")
    assert "read 1 of 1 part" in log
    assert "恢复验证" in log
    assert '"template": "grey"' in cards(airflow_stack, refused)[1]


def test_rows_go_back_into_the_live_table_after_their_difference_was_approved(
    api: AirflowAPI, taken: Manifest, owner: str, airflow_stack: Stack
) -> None:
    before = restoring.as_text(owner, "clinic.checkins")
    run(owner, "delete from clinic.checkins where id = 7; update clinic.checkins set mood = 'x' where id in (107, 8)")
    form = {"tables": ["checkins"], "where_key": ["user_id=7"], "into": "again", "put_back": "changed"}
    run_id = api.trigger("restore_tables", form)
    answer(api, run_id, "Approve")
    details = answer(api, run_id, "Approve", "approve_put_back")
    assert details["subject"] == "写回线上表 clinic.checkins：补回 1 行，覆盖 1 行"
    assert "缺失 1 行、有变动 1 行、相同 28 行" in details["body"].replace("\\", "")
    assert api.wait_for_run("restore_tables", run_id) == "success", api.log("restore_tables", run_id, "put_rows_back")
    assert run(owner, "update clinic.checkins set mood = 'm8' where id = 8 and mood = 'x' returning id") == [(8,)]
    assert restoring.as_text(owner, "clinic.checkins") == before
    log = api.log("restore_tables", run_id, "put_rows_back")
    assert "delete from only" in log
    assert run(owner, "select mood from again.checkins_before_put_back_1 where id = 107") == [("x",)]
    assert len(cards(airflow_stack, run_id)) == 4, "two questions, and two answers"
    run(owner, "drop schema again cascade")


def test_an_approved_swap_puts_the_snapshot_in_the_live_tables_place(
    api: AirflowAPI, taken: Manifest, owner: str
) -> None:
    before = restoring.as_text(owner, "clinic.checkins")
    run(owner, "delete from clinic.checkins where id > 10")
    run_id = api.trigger("restore_tables", {"tables": ["clinic.checkins"], "swap": True})
    answer(api, run_id, "Approve")
    assert api.wait_for_run("restore_tables", run_id) == "success", api.log("restore_tables", run_id, "restore_tables")
    assert restoring.as_text(owner, "clinic.checkins") == before
    kept = api.xcom("restore_tables", run_id, "restore_tables")["tables"]["clinic.checkins"]["kept_as"]
    assert run(owner, f"select count(*) from {kept}") == [(10,)]


def test_a_snapshot_that_has_expired_is_skipped(api: AirflowAPI, taken: Manifest) -> None:
    """Only its id is left, in the list that `choose_snapshots` made before."""
    expired = "20250101T000000Z-abcdef"
    assert taken.snapshot_id > expired
    skipped = api.trigger("restore_drill", {"snapshot_id": expired})
    assert api.wait_for_run("restore_drill", skipped) == "success"
    states = {each["task_id"]: each["state"] for each in api.task_instances("restore_drill", skipped)}
    assert states == {"choose_snapshots": "success", "drill_snapshot": "skipped"}
    log = api.log("restore_drill", skipped, "drill_snapshot", map_index=0)
    assert f"snapshot {expired} has expired, so there is nothing to drill" in log
