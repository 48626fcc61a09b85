"""Callbacks of Airflow in the order of a dag-processor that stood still: what a late success may end.

Task callbacks run in the task's own process, those of runs in the dag-processor, so they come late together.
"""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom

from mindguard.airflow.notifier import FeishuNotifier, RecoveryNotifier
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.store import IncidentStore
from tests.connections import connection_of
from tests.incidents import MINUTE, NOW

FAILED, SUCCEEDED = FeishuNotifier(severity="P1"), RecoveryNotifier(severity="P1")


class Replay:
    """Callbacks of a DAG whose reports go into a store of their own."""

    def __init__(self, store: IncidentStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.states: dict[str, str] = {}
        self.run_type = "scheduled"
        self.conf: dict[str, Any] = {}
        monkeypatch.setattr(FeishuNotifier, "_report", self._report)
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **of: {of["run_ids"][0]: self.states})
        monkeypatch.setattr(XCom, "get_one", lambda **_: None)

    def _report(self, findings: Any, recovered: Any, settings: Any, unstored: Any = ()) -> tuple[()]:
        assert not unstored
        self.store.record(findings, now=NOW)
        self.store.recover(recovered, now=NOW)
        return ()

    def task(self, run: int, *, error: Exception | None = None, map_index: int = -1, ended: float = 1) -> None:
        """Run the callback of a task of the run that began in this minute."""
        instance = {"task_id": "work", "map_index": map_index, "try_number": 1, "log_url": "https://airflow.example"}
        context = self._context(run) | {"ti": SimpleNamespace(**instance, end_date=NOW + (run + ended) * MINUTE)}
        (FAILED if error else SUCCEEDED).notify(context | ({"exception": error} if error else {}))

    def run(self, run: int, *, states: dict[str, str], ended: float = 1, dag_run: bool = True) -> None:
        """Run the callback of a run with these states of its tasks."""
        self.states = states
        failed = "failed" in states.values()
        context = self._context(run, ended) | {"reason": "task_failure" if failed else "success"}
        (FAILED if failed else SUCCEEDED).notify(context | ({} if dag_run else {"dag_run": None}))

    def _context(self, run: int, ended: float = 1) -> Any:
        begun: datetime = NOW + run * MINUTE
        return {
            "run_id": f"{self.run_type}__{run}",
            "dag": SimpleNamespace(
                dag_id="etl",
                doc_md=None,
                params=ParamsDict({"date": None}),
                task_ids=["work"],
                get_task=lambda _: SimpleNamespace(on_failure_callback=None),
            ),
            "dag_run": SimpleNamespace(
                run_type=SimpleNamespace(value=self.run_type),
                conf=self.conf,
                start_date=begun,
                run_after=begun,
                end_date=begun + ended * MINUTE,
            ),
        }

    def incidents(self) -> list[Incident]:
        return self.store.list(states=("open", "resolved"))

    def state(self) -> list[str]:
        return [incident.state for incident in self.incidents()]


@pytest.fixture
def replay(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Replay:
    return Replay(IncidentStore.of(connection_of(fresh_database)), monkeypatch)


@pytest.mark.parametrize("ended", [1, 5], ids=["before", "after"])
@pytest.mark.parametrize("dag_run", [True, False], ids=["with its record", "without its record"])
def test_the_late_success_of_an_older_run_ends_nothing(replay: Replay, ended: float, dag_run: bool) -> None:
    """It may have ended before the newer one failed, or after it; or Airflow may say nothing about it."""
    replay.task(1, error=ValueError("x"))
    replay.run(1, states={"work": "failed"})
    replay.run(0, states={"work": "success"}, ended=ended, dag_run=dag_run)
    replay.task(0, ended=ended)
    assert replay.state() == ["open"]
    replay.run(2, states={"work": "success"})
    assert replay.state() == ["resolved"]


def test_one_instance_that_recovers_ends_nothing_while_others_fail(replay: Replay) -> None:
    for index in (0, 2, 4):
        replay.task(0, error=ValueError(str(index)), map_index=index)
    states = {f"work_{index}": "success" if index % 2 else "failed" for index in range(5)}
    replay.run(0, states=states)
    replay.task(0, map_index=2, ended=2)
    replay.run(0, states=states | {"work_2": "success"}, ended=2)
    (incident,) = replay.incidents()
    assert (incident.state, incident.occurrences) == ("open", 1)
    assert "2 个：0, 4" in [fact.value for fact in incident.alert.facts]
    replay.run(0, states=dict.fromkeys(states, "success"), ended=3)
    assert replay.state() == ["resolved"]


def test_two_tasks_of_a_run_are_two_incidents_and_end_by_themselves(replay: Replay) -> None:
    replay.run(0, states={"work": "failed", "other": "failed"})
    replay.run(1, states={"work": "success", "other": "failed"})
    assert sorted((each.alert.subject, each.state) for each in replay.incidents()) == [
        ("etl.other", "open"),
        ("etl.work", "resolved"),
    ]


@pytest.mark.parametrize("by", ["manual", "scheduled"])
def test_a_failure_by_hand_ends_with_a_later_success_and_not_with_an_older_one(replay: Replay, by: str) -> None:
    replay.run_type = "manual"
    replay.task(1, error=ValueError("x"))
    replay.run(1, states={"work": "failed"})
    replay.run_type = by
    replay.run(0, states={"work": "success"}, ended=5)
    replay.conf = {"date": "2026-11-01"}
    replay.run(2, states={"work": "success"})
    assert replay.state() == ["open"], "an older run, and one that was asked for something else"
    replay.conf = {"date": None}
    replay.run(3, states={"work": "success"})
    assert replay.state() == ["resolved"]


def test_a_request_with_values_of_its_own_ends_with_its_rerun_alone(replay: Replay) -> None:
    replay.run_type, replay.conf = "manual", {"date": "2026-11-01"}
    replay.task(1, error=ValueError("x"))
    replay.run(2, states={"work": "success"})
    replay.conf = {}
    replay.run(3, states={"work": "success"})
    (incident,) = replay.incidents()
    assert incident.state == "open"
    assert "其他运行成功不算" in incident.alert.facts[-1].value
    replay.conf = {"date": "2026-11-01"}
    replay.run(1, states={"work": "success"}, ended=9)
    assert replay.state() == ["resolved"]
