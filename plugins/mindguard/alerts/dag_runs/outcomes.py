"""What Airflow's records say against what was reported: failures whose callbacks never ran, and their ends.

A process that is killed calls nothing, and a run that somebody marks failed neither. Whoever asks Airflow
afterwards finds them all. Reporting one that is known already is harmless: the store takes each occurrence once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from mindguard.alerts.dag_runs.failures import Run, run_failure, success, task_failure
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.severity import Severity
from mindguard.texts import Locale


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, with its task instances.

    Attributes:
        failed: whether Airflow calls it failed; a run with failed tasks may be called successful.
        ended_at: aware.
        tasks: its task instances; of a run that is known from its failed tasks alone, only those.
        severity: of a failure of its DAG.
        reason: why Airflow calls it failed, in its words.
    """

    run: Run
    failed: bool
    ended_at: datetime
    tasks: tuple[EndedTask, ...]
    severity: Severity
    reason: str = "failed"


@dataclass(frozen=True)
class EndedTask:
    """One instance of a task in Airflow's record; mapped tasks have several.

    Attributes:
        state: as Airflow names it; empty where the task never was scheduled.
        ended_at: aware; None where it never ran, or where that is not known.
        severity: of its failure, where that is not its DAG's.
        map_index: -1 where the task is not mapped.
    """

    task_id: str
    state: str
    ended_at: datetime | None
    tries: int = 0
    severity: Severity | None = None
    map_index: int = -1


def failures(runs: Iterable[EndedRun], *, base_url: str, locale: Locale) -> list[Finding]:
    """A finding for each task that failed, and for each failed run without one; oldest first.

    Args:
        base_url: of Airflow's pages.
    """
    found: list[Finding] = []
    for ended in runs:
        failed = {task_id: tasks for task_id, tasks in _by_task(ended).items() if any(map(_failed, tasks))}
        for task_id, tasks in failed.items():
            found.append(
                task_failure(
                    ended.run,
                    task_id,
                    severity=tasks[0].severity or ended.severity,
                    happened_at=max(task.ended_at or ended.ended_at for task in tasks if _failed(task)),
                    log_url=task_page(base_url, ended.run, task_id),
                    locale=locale,
                    tries=max(task.tries for task in tasks if _failed(task)),
                )
            )
        if ended.failed and not failed:
            found.append(
                run_failure(
                    ended.run,
                    reason=ended.reason,
                    severity=ended.severity,
                    happened_at=ended.ended_at,
                    run_url=run_page(base_url, ended.run),
                    locale=locale,
                )
            )
    return sorted(found, key=lambda finding: finding.alert.happened_at)


def recoveries(runs: Iterable[EndedRun]) -> list[Recovery]:
    """The tasks and runs whose newest outcome is success; those whose newest outcome is failure are not well.

    Args:
        runs: with all of their task instances. A task that did not run (skipped, upstream failed) has no outcome.
    """
    newest: dict[str, tuple[datetime, Recovery | None]] = {}

    def note(key: str, at: datetime, outcome: Recovery | None) -> None:
        if key not in newest or at >= newest[key][0]:
            newest[key] = (at, outcome)

    for ended in runs:
        well = not ended.failed
        note(ended.run.recovery_key(), ended.ended_at, success(ended.run, at=ended.ended_at) if well else None)
        for task_id, tasks in _by_task(ended).items():
            at = max(task.ended_at or ended.ended_at for task in tasks)
            if any(map(_failed, tasks)):
                note(ended.run.recovery_key(task_id), at, None)
            elif "success" in (states := {task.state for task in tasks}) and states <= {"success", "skipped"}:
                note(ended.run.recovery_key(task_id), at, success(ended.run, task_id, at=at))
    return [outcome for _, outcome in newest.values() if outcome]


def run_page(base_url: str, run: Run) -> str:
    """Address of the run in Airflow's UI."""
    return f"{base_url.rstrip('/')}/dags/{quote(run.dag_id)}/runs/{quote(run.run_id)}"


def task_page(base_url: str, run: Run, task_id: str) -> str:
    """Address of the task in Airflow's UI, with its log."""
    return f"{run_page(base_url, run)}/tasks/{quote(task_id)}"


def _failed(task: EndedTask) -> bool:
    return task.state == "failed"


def _by_task(ended: EndedRun) -> dict[str, list[EndedTask]]:
    by_task: dict[str, list[EndedTask]] = defaultdict(list)
    for task in ended.tasks:
        by_task[task.task_id].append(task)
    return by_task
