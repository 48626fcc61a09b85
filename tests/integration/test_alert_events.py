"""Each way in which a task or run can end badly, under the real scheduler: one incident, one card, green afterwards.

All runs start at once; then each test looks at its own. The DAGs are in `dags/event_table.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack.airflow_api import AirflowAPI
from devstack.stack import Stack
from mindguard.alerts.dag_runs import rest_api as airflow_rest
from mindguard.alerts.dag_runs.rest_api import AirflowRefused, AirflowRest, AirflowUnreachable
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.connections import Connection, from_environment
from mindguard.settings import load_settings
from mindguard.snapshots.pgtools import tool
from tests.cards import as_text, colour, messages
from tests.integration.outage import incident_store_down
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(420)

# DAG → what its incident is about: the task, or the run itself.
INCIDENTS = {
    "event_exception": "event_exception.work",
    "event_execution_timeout": "event_execution_timeout.work",
    "event_killed": "event_killed.work",
    "event_killed_twice": "event_killed_twice.work",
    "event_worker_killed": "event_worker_killed.work",
    "event_run_timeout": "event_run_timeout",
    "event_task_marked_failed": "event_task_marked_failed.work",
    "event_run_marked_failed": "event_run_marked_failed.work",
    "event_run_marked_failed_early": "event_run_marked_failed_early",
    "event_upstream_failed": "event_upstream_failed.work",
    "event_all_done_leaf": "event_all_done_leaf.work",
    "event_all_done_leaf_killed": "event_all_done_leaf_killed.work",
    "event_mapped": "event_mapped.work",
}
TOLD_MORE = {"event_mapped", "event_task_marked_failed"}  # by one more card, if it became known later
QUIET = "event_killed_once"  # its retry succeeds
OUTAGE = "event_outage"  # it fails when PostgreSQL is away
DELIVERY = "alert_delivery"
WITHIN_S = 120


class Events:
    """The runs of the table, with their incidents and cards."""

    def __init__(self, api: AirflowAPI, stack: Stack, store: IncidentStore) -> None:
        self.api = api
        self.stack = stack
        self.store = store
        self.runs: dict[str, str] = {}

    def incidents(self, dag_id: str) -> list[Any]:
        """Return all incidents about the DAG or one of its tasks, with their timelines."""
        found = self.store.list(states=("open", "acknowledged", "resolved"), limit=500)
        return [self.store.get(each.id) for each in found if each.alert.subject.split(".")[0] == dag_id]

    def cards(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the records of the cards about the DAG that are in the group now, oldest first."""
        fingerprints = {incident.alert.fingerprint for incident in self.incidents(dag_id)}
        return [record for record in self.messages() if record["fingerprint"] in fingerprints]

    def messages(self) -> list[dict[str, Any]]:
        """Return the records of the messages that are in the group now, oldest first."""
        return messages(self.stack.feishu.url)

    def states(self, dag_id: str) -> list[str]:
        """Return the states of the run's task instances."""
        return [str(each["state"]) for each in self.api.task_instances(dag_id, self.runs[dag_id])]


def kill_with_its_worker(events: Events) -> None:
    """Send SIGKILL to the task's process and to the worker that watches it."""
    dag_id = "event_worker_killed"
    (instance,) = events.api.task_instances(dag_id, events.runs[dag_id])
    process = psutil.Process(instance["pid"])
    worker = process.parent()
    for each in (worker, process):
        if each:
            os.kill(each.pid, signal.SIGKILL)


def mark_task_failed(events: Events) -> None:
    dag_id = "event_task_marked_failed"
    path = f"/dags/{dag_id}/dagRuns/{events.runs[dag_id]}/taskInstances/work"
    events.api.call("PATCH", path, json={"new_state": "failed"})


def mark_run_failed(events: Events, dag_id: str) -> None:
    events.api.call("PATCH", f"/dags/{dag_id}/dagRuns/{events.runs[dag_id]}", json={"state": "failed"})


@pytest.fixture(scope="module")
def events(airflow_stack: Stack) -> Iterator[Events]:
    """Start every DAG of the table, and do to some of them what a person or a broken machine does."""
    api = airflow_stack.airflow_api()
    ops = from_environment("mindguard_ops", airflow_stack.environment())
    started = Events(api, airflow_stack, IncidentStore.of(ops))
    api.wait_for_dags(*INCIDENTS, QUIET, OUTAGE, DELIVERY)
    api.set_paused(DELIVERY, paused=False)
    for dag_id in (QUIET, *INCIDENTS):
        if dag_id == "event_run_marked_failed_early":
            body = {"logical_date": None, "conf": {}}  # paused, so it never starts
            started.runs[dag_id] = api.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        else:
            started.runs[dag_id] = api.trigger(dag_id)
    mark_run_failed(started, "event_run_marked_failed_early")
    for dag_id, act in (
        ("event_task_marked_failed", mark_task_failed),
        ("event_run_marked_failed", lambda events: mark_run_failed(events, "event_run_marked_failed")),
        ("event_worker_killed", kill_with_its_worker),
    ):
        running = lambda dag_id=dag_id: started.states(dag_id) == ["running"]  # noqa: E731
        wait_until(running, 90, lambda dag_id=dag_id: f"{dag_id}: {started.states(dag_id)}")
        act(started)
    yield started
    api.set_paused(DELIVERY, paused=True)


@pytest.fixture(scope="module")
def ended(events: Events) -> Events:
    """All runs have ended."""
    for dag_id, run_id in events.runs.items():
        events.api.wait_for_run(dag_id, run_id, timeout_s=WITHIN_S)
    return events


def test_no_alarm_while_a_retry_remains(ended: Events) -> None:
    """The task is killed at the first and at the second try; the incident begins with the second."""
    dag_id = "event_killed_twice"
    path = f"/dags/{dag_id}/dagRuns/{ended.runs[dag_id]}/taskInstances/work/tries"
    first, second = ended.api.call("GET", path)["task_instances"]
    assert (first["state"], second["state"]) == ("failed", "failed")
    (incident,) = wait_until(lambda: ended.incidents(dag_id), WITHIN_S, "no incident")
    assert incident.opened_at > datetime.fromisoformat(second["start_date"])


@pytest.mark.parametrize("dag_id", INCIDENTS)
def test_each_event_gives_one_incident_and_one_card(dag_id: str, ended: Events) -> None:
    (incident,) = wait_until(lambda: ended.incidents(dag_id), WITHIN_S, f"no incident of {dag_id}")
    assert incident.alert.subject == INCIDENTS[dag_id]
    assert incident.state == "open"
    assert incident.alert.severity == "P1"
    card, *more = wait_until(lambda: ended.cards(dag_id), WITHIN_S, f"no card of {dag_id}")
    assert len(more) <= (dag_id in TOLD_MORE), "see the next tests"
    assert "not-a-real-password" not in json.dumps(card)
    assert ended.runs[dag_id] in json.dumps(incident.alert.to_json(), ensure_ascii=False)


def test_a_mapped_tasks_card_names_all_failed_instances(ended: Events) -> None:
    """A webhook cannot change a card: if the first one named too few, another one followed when the run had ended."""
    named = lambda: "2 个：1-2" in as_text(ended.cards("event_mapped")[-1])  # noqa: E731
    wait_until(named, WITHIN_S, lambda: as_text(ended.cards("event_mapped")[-1]))


@pytest.mark.parametrize("dag_id", [each for each in INCIDENTS if "marked_failed" in each])
def test_a_card_names_who_marked_it_as_failed(dag_id: str, ended: Events) -> None:
    """The callback of a run does not know it, so that a webhook gets one more card once Airflow was asked."""
    named = lambda: "由 admin 在 Airflow 中标记为失败" in as_text(ended.cards(dag_id)[-1])  # noqa: E731
    wait_until(named, WITHIN_S, lambda: as_text(ended.cards(dag_id)[-1]))


def test_after_more_sweeps_there_is_still_one_of_each(ended: Events) -> None:
    """What a second callback or the sweeper reports late is known already."""
    for _ in range(2):
        run_id = ended.api.trigger(DELIVERY)
        assert ended.api.wait_for_run(DELIVERY, run_id, timeout_s=WITHIN_S) == "success"
    assert {run["state"] for run in ended.api.runs(DELIVERY)} <= {"success", "running", "queued"}
    counts = {dag_id: (len(ended.incidents(dag_id)), len(ended.cards(dag_id))) for dag_id in INCIDENTS}
    assert {counts.pop(dag_id) for dag_id in TOLD_MORE} <= {(1, 1), (1, 2)}
    assert counts == dict.fromkeys(INCIDENTS.keys() - TOLD_MORE, (1, 1))
    assert {dag_id: ended.incidents(dag_id)[0].occurrences for dag_id in INCIDENTS} == dict.fromkeys(INCIDENTS, 1)


def test_a_retry_that_succeeds_is_no_incident(ended: Events) -> None:
    assert ended.api.run(QUIET, ended.runs[QUIET])["state"] == "success"
    assert ended.incidents(QUIET) == []


def test_green_after_recovery(ended: Events) -> None:
    """Once the runs are cleared and succeed, each incident ends by itself, and its card changes in place."""
    ended.api.call("POST", "/variables", json={"key": "event_table_well", "value": "yes"})
    for dag_id in INCIDENTS:
        ended.api.set_paused(dag_id, paused=False)
        ended.api.call("POST", f"/dags/{dag_id}/dagRuns/{ended.runs[dag_id]}/clear", json={"dry_run": False})
    for dag_id in INCIDENTS:
        assert ended.api.wait_for_run(dag_id, ended.runs[dag_id], timeout_s=WITHIN_S) == "success"
    wait_until(
        lambda: all(state == ["resolved"] for state in now_of(ended, state_of).values()),
        WITHIN_S,
        lambda: str(now_of(ended, state_of)),
    )
    wait_until(
        lambda: all(colours[-1:] == ["green"] for colours in now_of(ended, colours_of).values()),
        WITHIN_S,
        lambda: str(now_of(ended, colours_of)),
    )


def now_of(events: Events, what: Callable[[Events, str], list[str]]) -> dict[str, list[str]]:
    return {dag_id: what(events, dag_id) for dag_id in INCIDENTS}


def state_of(events: Events, dag_id: str) -> list[str]:
    return [incident.state for incident in events.incidents(dag_id)]


def colours_of(events: Events, dag_id: str) -> list[str]:
    return [colour(card) for card in events.cards(dag_id)]


def test_what_is_sent_directly_while_the_store_is_away_is_recorded_afterwards_without_a_new_card(ended: Events) -> None:
    """First all of PostgreSQL is killed, Airflow's own tables too; then the store alone is away.

    Of the first failure only the disk knows; of the second only the task's record, as if the sweep ran elsewhere.
    """
    errors = {OUTAGE: "RuntimeError: PostgreSQL is away", "demo_failure": "RuntimeError: demo failure"}
    runs = {OUTAGE: ended.api.trigger(OUTAGE)}

    def sent(dag_id: str) -> list[str]:
        return [text for text in map(as_text, ended.messages()) if runs[dag_id] in text]

    def has_begun() -> bool:
        return any(each["key"] == OUTAGE for each in ended.api.call("GET", "/variables")["variables"])

    wait_until(has_begun, 60, "the task does not begin")
    with ended.stack.down("postgres"):
        wait_until(lambda: sent(OUTAGE), 30, "nothing was sent directly")
    with incident_store_down(ended.stack):
        runs["demo_failure"] = ended.api.trigger("demo_failure")
        assert ended.api.wait_for_run("demo_failure", runs["demo_failure"]) == "failed"
        wait_until(lambda: sent("demo_failure"), 30, "nothing was sent directly")
        # The DAG's callback comes some seconds after the task's, and leaves no trace while the store is down.
        time.sleep(8)
        kept = {path: path.read_text("utf-8") for path in spooled(ended)}
        assert [dag_id for dag_id in errors if not any(dag_id in text for text in kept.values())] == []
        for path, text in kept.items():
            if "demo_failure" in text:
                path.unlink()
    for dag_id, error in errors.items():
        assert ended.api.wait_for_run(dag_id, runs[dag_id], timeout_s=WITHIN_S) == "failed"
        (incident,) = wait_until(lambda dag_id=dag_id: ended.incidents(dag_id), WITHIN_S, f"nobody recorded {dag_id}")
        assert (incident.state, incident.occurrences) == ("open", 1)
        assert incident.alert.facts[0].value.startswith(error)
    sweep = ended.api.trigger(DELIVERY)
    assert ended.api.wait_for_run(DELIVERY, sweep, timeout_s=WITHIN_S) == "success"
    for dag_id, error in errors.items():
        (card,) = sent(dag_id)
        assert error in card
    assert spooled(ended) == []


def spooled(events: Events) -> list[Path]:
    """Return the files that the stack's processes keep for the incident store."""
    settings = load_settings(Path(events.stack.environment()["MINDGUARD_SETTINGS"]))
    assert settings.alerts.spool_folder
    return list(Path(settings.alerts.spool_folder).glob("*"))


def test_no_generated_secret_is_written_anywhere(ended: Events) -> None:
    """No log of a process or task, no message to Feishu and no table, XCom included, contains one."""
    state = ended.stack.state
    places = {
        str(path): path.read_bytes() for path in (*state.logs.rglob("*"), *log_files(ended.stack)) if path.is_file()
    }
    places["Feishu"] = json.dumps(ended.messages(), ensure_ascii=False).encode()
    for role, database in (("postgres", "airflow"), ("postgres", "mindguard_ops")):
        dump = [tool("pg_dump"), "--data-only", ended.stack.postgres_conninfo(role, database)]
        places[f"database {database}"] = subprocess.run(dump, capture_output=True, check=True).stdout
    assert any("alert_delivery" in place for place in places), "no task log was read"
    assert ended.runs["event_exception"].encode() in places["database airflow"]
    assert b"event_exception.work" in places["database mindguard_ops"]
    found = [
        (name, place)
        for name, secret in state.secrets.items()
        for place, content in places.items()
        if secret.encode() in content
    ]
    assert found == []


def log_files(stack: Stack) -> list[Path]:
    assert stack.site
    return list((stack.site.home / "logs").rglob("*.log"))


@pytest.fixture(scope="module")
def airflow(airflow_stack: Stack) -> Connection:
    return from_environment("mindguard_airflow", airflow_stack.environment())


def test_every_page_of_a_long_answer_is_read(
    ended: Events, airflow: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_rest, "_PAGE", 2)
    with AirflowRest.of(airflow) as api:
        dags = api.dags("event_table")
        assert set(dags) == {*INCIDENTS, QUIET, OUTAGE}
        assert {facts.severity for facts in dags.values()} == {"P1"}
        recent = {each.run.dag_id: each for each in api.recent(dags)}
        assert set(recent) == {*INCIDENTS, QUIET, OUTAGE}
        assert {task.map_index for task in recent["event_mapped"].tasks} == {0, 1, 2}
        assert {(each.documented, each.run.own_values) for each in recent.values()} == {(True, False)}
        form = api._with_details(["restore_tables"], api.dags("snapshots"))["restore_tables"].defaults
        assert (form["snapshot_id"], form["tables"], form["into"]) == ("latest", [], None)
        assert api.failed_since(datetime.now(UTC) + timedelta(hours=1), dags) == []


def test_a_wrong_password_is_said_and_not_shown(airflow: Connection) -> None:
    wrong = replace(airflow, password="wrong-password-5678")
    with pytest.raises(AirflowRefused, match=r"connections\.airflow") as refused, AirflowRest.of(wrong):
        pass
    assert "wrong-password-5678" not in str(refused.value)


def test_an_api_server_that_does_not_answer_is_said(airflow: Connection) -> None:
    nobody = replace(airflow, port=9)
    with pytest.raises(AirflowUnreachable, match="gave no answer"), AirflowRest.of(nobody):
        pass
