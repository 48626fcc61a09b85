"""Failed tasks and runs as alerts: the words, and which failures are one incident."""

from __future__ import annotations

from datetime import datetime

from mindguard.alerts.alert import Alert, Fact, Link, fingerprint
from mindguard.alerts.severity import Locale, Severity

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
    "open_run": {"zh": "打开运行", "en": "Open the run"},
}


def task_failure(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    severity: Severity,
    happened_at: datetime,
    log_url: str,
    locale: Locale,
    error: str = "",
    detail: str = "",
    tries: int | None = None,
) -> Alert:
    """The alert for a task that failed for good.

    Args:
        happened_at: aware.
        log_url: page that opens the failing task with its log.
        error: the exception as one line; empty when the task could not say why it ended.
        detail: traceback.
        tries: how often the task was tried, where that is known.
    """
    facts = [
        Fact(_say("error", locale), error or _say("killed", locale), wrong=True),
        Fact(_say("run", locale), run_id),
    ]
    if tries:
        facts.append(Fact(_say("try", locale), str(tries)))
    return Alert(
        title=_say("task_failed", locale, task=task_id),
        severity=severity,
        subject=f"{dag_id}.{task_id}",
        happened_at=happened_at,
        fingerprint=task_fingerprint(dag_id, run_id, task_id),
        facts=tuple(facts),
        detail=detail,
        links=(Link(_say("open_log", locale), log_url),),
    )


def run_failure(
    *, dag_id: str, run_id: str, reason: str, severity: Severity, happened_at: datetime, run_url: str, locale: Locale
) -> Alert:
    """The alert for a run that failed without a failed task, for instance by its time limit."""
    title = "run_timed_out" if reason == "timed_out" else "run_failed"
    return Alert(
        title=_say(title, locale, dag=dag_id),
        severity=severity,
        subject=dag_id,
        happened_at=happened_at,
        fingerprint=task_fingerprint(dag_id, run_id, ""),  # no task has an empty name
        facts=(Fact(_say("error", locale), reason, wrong=True), Fact(_say("run", locale), run_id)),
        links=(Link(_say("open_run", locale), run_url),),
    )


def task_fingerprint(dag_id: str, run_id: str, task_id: str) -> str:
    """One incident for each run and task, whichever callback reports it; mapped instances share it."""
    return fingerprint(dag_id, task_id, run=run_id)


def _say(key: str, locale: Locale, **values: str) -> str:
    return _TEXTS[key][locale].format(**values)
