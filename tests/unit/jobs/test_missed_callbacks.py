"""How far a sweep looks back, and what it asks failed tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from unittest.mock import create_autospec

import httpx
import pytest

from mindguard.alerts.dag_runs.failures import Run
from mindguard.alerts.dag_runs.outcomes import EndedRun, EndedTask, failures
from mindguard.alerts.dag_runs.rest_api import AirflowRest
from mindguard.alerts.direct import Told, Unstored
from mindguard.alerts.severity import Severity
from mindguard.jobs import missed_callbacks
from mindguard.jobs.missed_callbacks import look_back_to

NOW = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("swept_before", "looks_back"),
    [
        pytest.param(None, timedelta(hours=1), id="the first sweep"),
        pytest.param(timedelta(minutes=1), timedelta(minutes=6), id="a minute ago: what was committed late is found"),
        pytest.param(timedelta(hours=7), timedelta(hours=7, minutes=5), id="after an outage of hours"),
        pytest.param(timedelta(days=9), timedelta(days=2), id="after more days than anybody needs"),
    ],
)
def test_a_sweep_looks_back_to_the_last_good_one(swept_before: timedelta | None, looks_back: timedelta) -> None:
    swept_until = NOW - swept_before if swept_before is not None else None
    assert NOW - look_back_to(swept_until, now=NOW) == looks_back


RUN = Run("d", "r/1", "scheduled", NOW, run_after=NOW)
ENDED = EndedRun(
    RUN,
    failed=True,
    ended_at=NOW,
    tasks=tuple(EndedTask("t", "failed", NOW, map_index=index) for index in range(3)),
    severity=Severity.P1,
)


def kept_with_tasks(answers: list[str]) -> list[Unstored]:
    api = create_autospec(AirflowRest, instance=True)
    api.xcom.side_effect = answers
    found = failures([ENDED], base_url="https://airflow.example", locale="en")
    assert [each.alert.error_unknown for each in found] == [True]
    return missed_callbacks._kept_with_tasks(api, [ENDED], found)


def test_what_a_task_knew_of_its_failure_is_adopted_and_nothing_else() -> None:
    (found,) = failures([ENDED], base_url="https://airflow.example", locale="en")
    known = Unstored(found, Told(NOW, "om_1"))
    of_another_run = Unstored(replace(found, occurrence="another run"))
    assert kept_with_tasks([of_another_run.to_text(), "not JSON", known.to_text()]) == [known]


def test_asking_tasks_takes_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=15)
    monkeypatch.setattr(missed_callbacks.time, "monotonic", lambda: float(next(clock)))
    assert kept_with_tasks([""]) == []


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (200, {"value": "kept"}, "kept"),
        (200, {"value": {"not": "text"}}, ""),
        (200, {}, ""),
        (403, {}, ""),
        (404, {}, ""),
        (500, [], ""),
    ],
)
def test_a_record_that_cannot_be_read_is_no_error(status: int, body: object, text: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(200, json={"access_token": "t"})
        assert request.url.raw_path.startswith(
            b"/api/v2/dags/d/dagRuns/r%2F1/taskInstances/t/xcomEntries/k?map_index=2"
        )
        return httpx.Response(status, json=body)

    with AirflowRest("http://airflow", "u", "p", transport=httpx.MockTransport(answer)) as api:
        assert api.xcom(RUN, ENDED.tasks[2], "k") == text
