"""Failed tasks and runs as findings: the words, and which failures are one incident (docs/adr/0013)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mindguard.alerts.alert import Alert, Fact, Link, fingerprint
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.severity import Severity
from mindguard.texts import Locale

SOURCE = "airflow"

_ASKED_FOR_BY_A_PERSON = frozenset({"manual", "backfill", "asset_materialization"})
"""Run types whose runs have incidents of their own; the others continue what the run before them did."""

_TEXTS: dict[str, dict[Locale, str]] = {
    "task_failed": {"zh": "任务失败：{task}", "en": "Task failed: {task}"},
    "run_failed": {"zh": "运行失败：{dag}", "en": "Run failed: {dag}"},
    "run_timed_out": {"zh": "运行超时：{dag}", "en": "Run timed out: {dag}"},
    "error": {"zh": "错误", "en": "Error"},
    "run": {"zh": "运行", "en": "Run"},
    "try": {"zh": "尝试次数", "en": "Tries"},
    "killed": {
        "zh": "任务没有留下错误：进程可能被强制结束，或被人标记为失败",
        "en": "the task left no error: its process was probably killed, or someone marked it failed",
    },
    "open_log": {"zh": "打开失败任务的日志", "en": "Open the failing task's log"},
    "open_run": {"zh": "查看本次运行", "en": "Open the run"},
}


@dataclass(frozen=True)
class Run:
    """A run of a DAG, as far as an incident's identity depends on it.

    Attributes:
        run_type: as Airflow names it, for instance `scheduled`.
        started_at: aware; None before the start. Clearing a run gives it a new one.
        scheduled: whether the DAG has a schedule; without one each run is a request of its own.
    """

    dag_id: str
    run_id: str
    run_type: str
    started_at: datetime | None
    scheduled: bool

    @property
    def occurrence(self) -> str:
        """The same for every report of one failure, and another one once the run was cleared.

        The DAG's callback does not learn a task's number of tries, so the run's start stands for it.
        """
        return f"{self.run_id} {self.started_at.astimezone(UTC).isoformat()}" if self.started_at else self.run_id

    def fingerprint(self, task_id: str = "") -> str:
        """Identity of the incident of a failed task, whoever reports it; without a task that of the run itself."""
        own = {"run": self.run_id} if self.run_type in _ASKED_FOR_BY_A_PERSON else {}
        return fingerprint(self.dag_id, task_id, **own)

    def recovery_key(self, task_id: str = "") -> str:
        """What a success of the task, or of the run itself, ends.

        Where a DAG has a schedule, any later run can; else only the same run, cleared and rerun: that another
        request went well says nothing of this one.
        """
        subject = f"{self.dag_id}.{task_id}" if task_id else self.dag_id
        return f"{SOURCE}:{subject}" if self.scheduled else f"{SOURCE}:{subject} {self.run_id}"


def task_failure(
    run: Run,
    task_id: str,
    *,
    severity: Severity,
    happened_at: datetime,
    log_url: str,
    locale: Locale,
    error: str = "",
    detail: str = "",
    tries: int | None = None,
) -> Finding:
    """A task that failed for good.

    Args:
        happened_at: aware.
        log_url: page that opens the failing task with its log.
        error: the exception as one line; empty when the task could not say why it ended.
        detail: traceback.
        tries: how often the task was tried, where that is known.
    """
    facts = [
        Fact(_say("error", locale), error or _say("killed", locale), wrong=True),
        Fact(_say("run", locale), run.run_id),
    ]
    if tries:
        facts.append(Fact(_say("try", locale), str(tries)))
    alert = Alert(
        title=_say("task_failed", locale, task=task_id),
        severity=severity,
        subject=f"{run.dag_id}.{task_id}",
        happened_at=happened_at,
        fingerprint=run.fingerprint(task_id),
        facts=tuple(facts),
        detail=detail,
        links=(Link(_say("open_log", locale), log_url),),
    )
    return Finding(alert, source=SOURCE, recovery_key=run.recovery_key(task_id), occurrence=run.occurrence)


def run_failure(
    run: Run, *, reason: str, severity: Severity, happened_at: datetime, run_url: str, locale: Locale
) -> Finding:
    """A run that failed without a failed task, for instance by its time limit."""
    title = "run_timed_out" if reason == "timed_out" else "run_failed"
    alert = Alert(
        title=_say(title, locale, dag=run.dag_id),
        severity=severity,
        subject=run.dag_id,
        happened_at=happened_at,
        fingerprint=run.fingerprint(),
        facts=(Fact(_say("error", locale), reason, wrong=True), Fact(_say("run", locale), run.run_id)),
        links=(Link(_say("open_run", locale), run_url),),
    )
    return Finding(alert, source=SOURCE, recovery_key=run.recovery_key(), occurrence=run.occurrence)


def success(run: Run, task_id: str = "", *, at: datetime) -> Recovery:
    """The task is well again; without a task, the run itself."""
    return Recovery(recovery_key=run.recovery_key(task_id), at=at)


def _say(key: str, locale: Locale, **values: str) -> str:
    return _TEXTS[key][locale].format(**values)
