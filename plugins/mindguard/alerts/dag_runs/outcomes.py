"""Findings and recoveries from Airflow's records, including failures whose callbacks never ran.

A process that is killed runs no callback, nor does a run that somebody marks as failed. Airflow's records contain
both. Reporting a failure that is known already is harmless, since the store counts each occurrence once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from mindguard.alerts.dag_runs.failures import Run, marked_failed, run_failure, success, task_failure
from mindguard.alerts.finding import Finding, Order, Recovery
from mindguard.alerts.severity import Severity
from mindguard.texts import Locale

_WELL = frozenset({"success", "skipped", "removed"})
"""States beside which a success counts. An instance is removed if a mapped task runs again over a shorter list."""


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, with its task instances.

    Attributes:
        run: the run.
        failed: whether Airflow calls it failed; a run with failed tasks may count as successful.
        ended_at: when it ended, aware.
        tasks: its task instances; only the failed ones if the run was found through its failed tasks.
        severity: the severity of a failure of its DAG.
        reason: the reason why Airflow calls it failed, in Airflow's words.
        whole: whether none of its failed tasks is missing.
        marked_by: who marked it as failed; empty if nobody did, or if it is not known.
        documented: whether its DAG has a runbook.
    """

    run: Run
    failed: bool
    ended_at: datetime
    tasks: tuple[EndedTask, ...]
    severity: Severity
    reason: str = "failed"
    whole: bool = True
    marked_by: str = ""
    documented: bool = False


@dataclass(frozen=True)
class EndedTask:
    """One instance of a task in Airflow's record; mapped tasks have several.

    Attributes:
        task_id: the task.
        state: its state, as Airflow names it; empty if the task was never scheduled.
        ended_at: when it ended, aware; None if it never ran, or if the time is not known.
        tries: number of tries; 0 if it is not known.
        severity: the severity of its failure; None if the DAG's severity applies.
        map_index: -1 if the task is not mapped.
        marked_by: who marked it as failed; empty if nobody did, or if it is not known.
    """

    task_id: str
    state: str
    ended_at: datetime | None
    tries: int = 0
    severity: Severity | None = None
    map_index: int = -1
    marked_by: str = ""


def failures(runs: Iterable[EndedRun], *, base_url: str, locale: Locale) -> list[Finding]:
    """Return a finding for each failed task, and for each failed run without a failed task; oldest first.

    Args:
        runs: the ended runs, with at least their failed tasks.
        base_url: address of Airflow's pages.
        locale: language of the alerts.
    """
    found: list[Finding] = []
    for ended in runs:
        runbook_url = dag_page(base_url, ended.run.dag_id) if ended.documented else ""
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
                    runbook_url=runbook_url,
                    error=marked_failed(next((task.marked_by for task in tasks if _failed(task)), ""), locale),
                    tries=max(task.tries for task in tasks if _failed(task)),
                    instances=sorted(task.map_index for task in tasks if _failed(task) and task.map_index >= 0),
                    whole=ended.whole,
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
                    runbook_url=runbook_url,
                    marked_by=ended.marked_by,
                )
            )
    return sorted(found, key=lambda finding: finding.alert.happened_at)


def recoveries(runs: Iterable[EndedRun]) -> list[Recovery]:
    """Return a recovery for each task and run whose newest outcome is success.

    Args:
        runs: the ended runs with all task instances. A task that did not run (skipped, upstream failed) has no outcome.
    """
    newest: dict[str, tuple[Order, Recovery | None]] = {}

    def note(ended: EndedRun, task_id: str, at: datetime, *, failed: bool) -> None:
        recovery = success(ended.run, task_id, at=at)
        key, order = recovery.recovery_key, recovery.order
        if key not in newest or order >= newest[key][0]:
            newest[key] = (order, None if failed else recovery)

    for ended in runs:
        note(ended, "", ended.ended_at, failed=ended.failed)
        for task_id, tasks in _by_task(ended).items():
            at = max(task.ended_at or ended.ended_at for task in tasks)
            if any(map(_failed, tasks)):
                note(ended, task_id, at, failed=True)
            elif "success" in (states := {task.state for task in tasks}) and states <= _WELL:
                note(ended, task_id, at, failed=False)
    return [outcome for _, outcome in newest.values() if outcome]


def dag_page(base_url: str, dag_id: str) -> str:
    """Return the address of the DAG in Airflow's UI, whose button *Dag Docs* shows its runbook."""
    return f"{base_url.rstrip('/')}/dags/{quote(dag_id)}"


def run_page(base_url: str, run: Run) -> str:
    """Return the address of the run in Airflow's UI."""
    return f"{dag_page(base_url, run.dag_id)}/runs/{quote(run.run_id)}"


def task_page(base_url: str, run: Run, task_id: str) -> str:
    """Return the address of the task in Airflow's UI, with its log."""
    return f"{run_page(base_url, run)}/tasks/{quote(task_id)}"


def _failed(task: EndedTask) -> bool:
    return task.state == "failed"


def _by_task(ended: EndedRun) -> dict[str, list[EndedTask]]:
    by_task: dict[str, list[EndedTask]] = defaultdict(list)
    for task in ended.tasks:
        by_task[task.task_id].append(task)
    return by_task
