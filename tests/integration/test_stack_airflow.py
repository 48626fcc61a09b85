"""Airflow as a part of the stack: it runs tasks, listens on loopback only, and survives crashes."""

from __future__ import annotations

from devstack.stack import Stack
from tests.processes import listening


def test_airflow_runs_the_demo_failure(airflow_stack: Stack) -> None:
    api = airflow_stack.airflow_api()
    api.wait_for_dags("demo_failure")
    assert [name for name in api.import_errors() if "demo_failure" in name] == []
    run_id = api.trigger("demo_failure", {"severity": "P2"})
    assert api.wait_for_run("demo_failure", run_id, timeout_s=120) == "failed"
    assert [task["state"] for task in api.task_instances("demo_failure", run_id)] == ["failed"]
    assert "demo failure (P2)" in api.log("demo_failure", run_id, "fail_on_purpose")


def test_airflow_listens_on_loopback_only(airflow_stack: Stack) -> None:
    assert listening(airflow_stack) == {"127.0.0.1"}


def test_airflow_survives_the_death_of_its_database_and_of_each_process(airflow_stack: Stack) -> None:
    for part in ("postgres", "scheduler", "api-server"):
        airflow_stack.kill(part)
    airflow_stack.wait_ready()
    api = airflow_stack.airflow_api()
    run_id = api.trigger("demo_failure")
    assert api.wait_for_run("demo_failure", run_id, timeout_s=120) == "failed"
