"""What doctor says of Airflow's own programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from mindguard.alerts.dag_runs.rest_api import AirflowRest
from mindguard.connections import Connection
from mindguard.doctor import airflow
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.settings import Settings

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SETTINGS = Settings.model_validate({"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}})
WELL: dict[str, Any] = {
    "metadatabase": {"status": "healthy"},
    **{
        name: {"status": "healthy", f"latest_{name}_heartbeat": NOW.isoformat()}
        for name in ("scheduler", "dag_processor", "triggerer")
    },
}


def examined(health: httpx.Response, monkeypatch: pytest.MonkeyPatch) -> list[Diagnosis]:
    """Return what doctor says if Airflow answers so about its health, and everything else is as it should be."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v2/monitor/health":
            return health
        known: dict[str, Any] = {
            "/auth/token": {"access_token": "t"},
            "/api/v2/dags": {"dags": [{"dag_id": "d", "tags": []}], "total_entries": 1},
        }
        nothing = {"dag_runs": [], "task_instances": [], "total_entries": 0}
        return httpx.Response(200, json=known.get(request.url.path, nothing))

    api = AirflowRest("http://airflow", "u", "p", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(AirflowRest, "of", lambda _: api)
    found = list(airflow.examine_airflow(SETTINGS, lambda name: Connection(name, "http"), lambda: NOW))
    assert found[0] == Diagnosis("pass", "mindguard_airflow", "runs", "the runs of 1 DAGs can be read")
    return found[1:]


def silent(program: str, at: str | None) -> dict[str, Any]:
    return WELL | {program: {"status": "unhealthy", f"latest_{program}_heartbeat": at}}


@pytest.mark.parametrize(
    ("health", "status", "english", "chinese"),
    [
        (WELL, "pass", "scheduler, dag_processor, triggerer give heartbeats", "都有心跳"),
        (
            silent("scheduler", "2026-11-24T02:10:00+00:00"),
            "error",
            "the scheduler has not given a heartbeat since 2026-11-24 10:10: no DAG runs – start it",
            "scheduler 自 2026-11-24 10:10 起没有心跳，没有任何 DAG 运行",
        ),
        (silent("dag_processor", None), "error", "the dag_processor has never given a heartbeat", "从未有过心跳"),
        (silent("triggerer", None), "warn", "approvals of restore_tables", "一直等待"),
    ],
)
def test_a_program_that_does_not_run_is_said(
    health: dict[str, Any], status: str, english: str, chinese: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the scheduler stopped, doctor said only that the runs can be read."""
    (found,) = examined(httpx.Response(200, json=health), monkeypatch)
    assert (found.status, found.check) == (status, "heartbeats")
    assert english in found.text
    assert chinese in found.within("zh").text


@pytest.mark.parametrize(
    "health",
    [
        httpx.Response(500, text="x"),
        httpx.Response(403),
        httpx.Response(200, json={}),
        httpx.Response(200, json=WELL | {"scheduler": None}),
        httpx.Response(200, json=silent("scheduler", "yesterday")),
        httpx.Response(200, json=silent("scheduler", None) | {"metadatabase": {"status": "unhealthy"}}),
    ],
)
def test_an_answer_that_says_nothing_is_unknown(health: httpx.Response, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = examined(health, monkeypatch)
    assert (found.status, found.check) == ("unknown", "heartbeats")
    assert len(found.text.splitlines()) == 1
