"""The client of Airflow's API, in situations that a real server does not repeat on demand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from mindguard.alerts.dag_runs.outcomes import EndedRun, failures
from mindguard.alerts.dag_runs.rest_api import AirflowRest, DagFacts
from mindguard.alerts.severity import Severity

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
RUN = {
    "dag_id": "d",
    "dag_run_id": "r",
    "run_type": "manual",
    "start_date": NOW.isoformat(),
    "run_after": NOW.isoformat(),
    "conf": {"date": None},
}
DETAILS = {"doc_md": "### d: …", "dag_run_timeout": None, "params": {"date": {"value": None}}}


def failed_since(
    run_now: dict[str, Any],
    tasks: tuple[dict[str, Any], ...] = (),
    log: httpx.Response | None = None,
    details: httpx.Response | None = None,
) -> list[EndedRun]:
    """Return the runs found if a failed run is listed, with these failed tasks, and is as given when it is read again.

    Args:
        run_now: what is read again.
        tasks: its failed tasks.
        log: the answer about Airflow's audit log.
        details: the answer about the DAG.
    """

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/auth/token":
            return httpx.Response(200, json={"access_token": "t"})
        if path == "/api/v2/dags/~/dagRuns":
            listed = RUN | {"state": "failed", "end_date": NOW.isoformat()}
            return httpx.Response(200, json={"dag_runs": [listed], "total_entries": 1})
        if path.startswith("/api/v2/dags/~/dagRuns/~/taskInstances"):
            return httpx.Response(200, json={"task_instances": tasks, "total_entries": len(tasks)})
        if path == "/api/v2/eventLogs":
            return log or httpx.Response(403)
        if path == "/api/v2/dags/d/details":
            return details or httpx.Response(200, json=DETAILS)
        assert path == "/api/v2/dags/d/dagRuns/r"
        return httpx.Response(200, json=RUN | run_now)

    with AirflowRest("http://airflow", "u", "p", transport=httpx.MockTransport(answer)) as api:
        found = api.failed_since(NOW, {"d": DagFacts(Severity.P1)})
    return [each for each in found if each.failed]


def test_a_run_that_is_cleared_while_its_tasks_are_read_is_not_failed() -> None:
    assert failed_since({"state": "queued", "end_date": None}) == []


def test_a_run_that_somebody_marked_as_failed_is_failed() -> None:
    assert failed_since({"state": "failed", "end_date": NOW.isoformat()}) != []


def event(after_s: float = 0, **changes: Any) -> dict[str, Any]:
    """Return an entry of the audit log: somebody has marked the run as failed."""
    known = {"event": "patch_dag_run", "dag_id": "d", "run_id": "r", "task_id": None, "owner": "zhou"}
    when = (NOW + timedelta(seconds=after_s)).isoformat()
    return {**known, "when": when, "extra": json.dumps({"state": "failed", "method": "PATCH"}), **changes}


OF_TASK = {"event": "patch_task_instance", "task_id": "t", "extra": json.dumps({"new_state": "failed"})}
IN_BULK = {
    "event": "bulk_task_instances",
    "extra": json.dumps({"actions": [{"entities": ["x", {"task_id": "t", "new_state": "failed"}]}]}),
}


@pytest.mark.parametrize(
    ("log", "with_task", "error"),
    [
        ([event()], False, "marked as failed in Airflow by zhou"),
        ([event(owner="li"), event()], False, "marked as failed in Airflow by zhou"),
        ([event(-600)], False, "no task failed"),  # before the run was cleared
        ([event(extra=json.dumps({"state": "success"}))], False, "no task failed"),
        ([event(run_id="r2")], False, "no task failed"),
        ([event(extra="not JSON")], False, "no task failed"),
        (None, False, "no task failed"),  # the log may not be read
        ([event()], True, "marked as failed in Airflow by zhou"),  # which ends the task at this moment
        ([event(900)], True, "no error was received"),  # it had failed before
        ([event(900, **OF_TASK)], True, "marked as failed in Airflow by zhou"),
        ([event(**IN_BULK)], True, "marked as failed in Airflow by zhou"),
        ([event(**OF_TASK | {"task_id": "u"})], True, "no error was received"),
        (None, True, "no error was received"),
    ],
)
def test_who_marked_a_run_or_a_task_as_failed_is_named_where_airflow_knows(
    log: list[dict[str, Any]] | None, with_task: bool, error: str
) -> None:
    end = {"end_date": NOW.isoformat()}
    names = {"dag_id": "d", "dag_run_id": "r", "task_id": "t", "map_index": -1}
    task = {**names, "state": "failed", "try_number": 1, **end}
    answer = httpx.Response(200, json={"event_logs": log, "total_entries": len(log)}) if log else None
    ended = failed_since({"state": "failed", **end}, (task,) if with_task else (), answer)
    (finding,) = failures(ended, base_url="http://airflow", locale="en")
    assert finding.alert.facts[0].value.startswith(error)
    assert finding.alert.error_unknown == (not error.startswith("marked"))


@pytest.mark.parametrize(
    ("conf", "details", "own_values", "documented"),
    [
        ({"date": None}, None, False, True),
        ({"date": "2026-03-01"}, None, True, True),
        (None, httpx.Response(200, json=DETAILS | {"doc_md": None, "params": None}), False, False),
        ({"date": None}, httpx.Response(404, json={}), True, False),  # the DAG is gone: who knows what it means
    ],
)
def test_what_a_run_was_started_with_is_compared_with_the_dags_form(
    conf: dict[str, Any] | None, details: httpx.Response | None, own_values: bool, documented: bool
) -> None:
    (ended,) = failed_since({"state": "failed", "end_date": NOW.isoformat(), "conf": conf}, details=details)
    assert (ended.run.own_values, ended.documented) == (own_values, documented)


@pytest.mark.parametrize(("after_s", "reason"), [(14, "failed"), (15, "timed_out")])
def test_a_run_that_ended_at_its_time_limit_is_known_as_such_without_its_callback(after_s: int, reason: str) -> None:
    """Otherwise the callback, which comes later, would be news, and a webhook would send a second card."""
    end = (NOW + timedelta(seconds=after_s)).isoformat()
    details = httpx.Response(200, json=DETAILS | {"dag_run_timeout": "PT15S"})
    (ended,) = failed_since({"state": "failed", "end_date": end}, details=details)
    assert ended.reason == reason
