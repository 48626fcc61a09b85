"""The client of Airflow's API, in situations that a real server does not repeat on demand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx

from mindguard.alerts.dag_runs.rest_api import AirflowRest, DagFacts
from mindguard.alerts.severity import Severity

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
RUN = {
    "dag_id": "d",
    "dag_run_id": "r",
    "run_type": "manual",
    "start_date": NOW.isoformat(),
    "run_after": NOW.isoformat(),
}


def failed_since(run_now: dict[str, Any]) -> list[str]:
    """Return the runs found if a failed run is listed, has no failed task, and is as given when it is read again."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/auth/token":
            return httpx.Response(200, json={"access_token": "t"})
        if path == "/api/v2/dags/~/dagRuns":
            listed = RUN | {"state": "failed", "end_date": NOW.isoformat()}
            return httpx.Response(200, json={"dag_runs": [listed], "total_entries": 1})
        if path.startswith("/api/v2/dags/~/dagRuns/~/taskInstances"):
            return httpx.Response(200, json={"task_instances": [], "total_entries": 0})
        assert path == "/api/v2/dags/d/dagRuns/r"
        return httpx.Response(200, json=RUN | run_now)

    with AirflowRest("http://airflow", "u", "p", transport=httpx.MockTransport(answer)) as api:
        found = api.failed_since(NOW, {"d": DagFacts(Severity.P1, scheduled=True)})
    return [each.run.run_id for each in found if each.failed]


def test_a_run_that_is_cleared_while_its_tasks_are_read_is_not_failed() -> None:
    assert failed_since({"state": "queued", "end_date": None}) == []


def test_a_run_that_somebody_marked_as_failed_is_failed() -> None:
    assert failed_since({"state": "failed", "end_date": NOW.isoformat()}) == ["r"]
