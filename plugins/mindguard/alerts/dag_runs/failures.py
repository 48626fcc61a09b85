"""Failed tasks and runs as findings, and which failures are one incident (docs/adr/0013)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mindguard.alerts.alert import Alert, Fact, FailedInstance, FailedInstances, Link, fingerprint
from mindguard.alerts.finding import Finding, Recovery, RecoveryKey
from mindguard.alerts.instances import failed_instance, with_instances
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.texts import Locale

SOURCE = "airflow"

TAG = "mindguard"
"""The tag of the DAGs whose runs are watched."""

_ASKED_FOR_BY_A_PERSON = frozenset({"manual", "backfill", "asset_materialization"})
"""Run types whose runs have incidents of their own. Runs of other types share those of the runs before them."""


@dataclass(frozen=True)
class Run:
    """The facts about a run of a DAG that an incident's identity needs.

    Attributes:
        dag_id: the DAG.
        run_id: the run.
        run_type: its type as Airflow names it, for instance `scheduled`.
        started_at: when it started, aware; None before the start. A run that is cleared gets a new time.
        own_values: whether it was started with other values than those of its DAG's form, so that it is a request by
            itself; see `has_own_values`.
        run_after: the earliest time at which Airflow may start it, aware, by which runs of a DAG have an order; None if
            it is not known.
    """

    dag_id: str
    run_id: str
    run_type: str
    started_at: datetime | None
    own_values: bool = False
    run_after: datetime | None = None

    @property
    def occurrence(self) -> str:
        """The identity of one failure: the same text in each report of it, and another text once the run was cleared.

        The DAG's callback does not learn a task's number of tries, so the run's start takes its place.
        """
        return f"{self.run_id} {self.started_at.astimezone(UTC).isoformat()}" if self.started_at else self.run_id

    def fingerprint(self, task_id: str = "") -> str:
        """Return the identity of a failed task's incident, whoever reports it; without a task, of the run's."""
        own = {"run": self.run_id} if self.own_values or self.run_type in _ASKED_FOR_BY_A_PERSON else {}
        return fingerprint(self.dag_id, task_id, **own)

    def recovery_key(self, task_id: str = "") -> str:
        """Return the key of the incident that a success of the task ends; without a task, of the run itself.

        All runs without values of their own ask for the same, so any later one can end it. What a run with values of
        its own has asked for, only the same run can do, cleared and run again.
        """
        subject = f"{self.dag_id}.{task_id}" if task_id else self.dag_id
        return str(RecoveryKey(SOURCE, f"{subject} {self.run_id}" if self.own_values else subject))


def has_own_values(conf: Mapping[str, Any] | None, defaults: Mapping[str, Any]) -> bool:
    """Return whether a run was started with other values than its DAG's form offers by default."""
    return any(name not in defaults or value != defaults[name] for name, value in (conf or {}).items())


def is_key_of(recovery_key: str, dag_id: str) -> bool:
    """Return whether a recovery key may belong to this DAG, one of its tasks or one of its runs.

    Names of DAGs may contain dots, so a key of the DAG `a.b` may also be one of the task `b` in the DAG `a`.
    """
    of_dag = str(RecoveryKey(SOURCE, dag_id))
    return recovery_key == of_dag or recovery_key.startswith((f"{of_dag}.", f"{of_dag} "))


def task_failure(
    run: Run,
    task_id: str,
    *,
    severity: Severity,
    happened_at: datetime,
    log_url: str,
    locale: Locale,
    runbook_url: str = "",
    error: str = "",
    detail: str = "",
    tries: int | None = None,
    instances: Iterable[int] = (),
    whole: bool = False,
) -> Finding:
    """Return the finding for a task that failed and will not be retried.

    Args:
        run: the run of the task.
        task_id: the task.
        severity: the severity of the alert.
        happened_at: when the task failed, aware.
        log_url: address of the page with the failed task's log.
        locale: language of the alert.
        runbook_url: address of the page with the DAG's runbook; empty if it has none.
        error: the exception as one line; empty if the task could not say why it ended.
        detail: the traceback.
        tries: number of tries; None if it is not known.
        instances: map indexes of the instances that failed so; empty if the task is not mapped.
        whole: whether these are all the failed instances of the run.
    """
    failed = _failed_instances(run, [failed_instance(index, error) for index in instances], locale, whole=whole)
    facts = [Fact(TEXTS.say("run", locale), run.run_id)]
    if tries:
        facts.append(Fact(TEXTS.say("tries", locale), str(tries)))
    facts += _how_it_ends(run, locale)
    alert = Alert(
        title=TEXTS.say("task_failed", locale, task=task_id),
        severity=severity,
        subject=f"{run.dag_id}.{task_id}",
        happened_at=happened_at,
        fingerprint=run.fingerprint(task_id),
        facts=with_instances(facts, failed) if failed else (_error(error, locale), *facts),
        instances=failed,
        detail=detail,
        links=(Link(TEXTS.say("open_log", locale), log_url), *runbook(runbook_url, locale)),
        error_unknown=not error,
    )
    return Finding(
        alert, source=SOURCE, recovery_key=run.recovery_key(task_id), occurrence=run.occurrence, about=run.run_after
    )


def _failed_instances(run: Run, failed: list[FailedInstance], locale: Locale, *, whole: bool) -> FailedInstances | None:
    return FailedInstances(run.occurrence, tuple(failed), whole, locale) if failed else None


def _error(error: str, locale: Locale) -> Fact:
    return Fact(TEXTS.say("error", locale), error or TEXTS.say("no_error", locale), wrong=True)


def run_failure(
    run: Run,
    *,
    reason: str,
    severity: Severity,
    happened_at: datetime,
    run_url: str,
    locale: Locale,
    runbook_url: str = "",
    marked_by: str = "",
) -> Finding:
    """Return the finding for a run that failed without a failed task, for instance at its time limit.

    Args:
        run: the run.
        reason: the reason in Airflow's words; `failed` if it gives none.
        severity: the severity of the alert.
        happened_at: when it failed, aware.
        run_url: address of the run's page.
        locale: language of the alert.
        runbook_url: address of the page with the DAG's runbook; empty if it has none.
        marked_by: who marked it as failed; empty if nobody did, or if it is not known.
    """
    title = "run_timed_out" if reason == "timed_out" else "run_failed"
    error = marked_failed(marked_by, locale) or _reason(reason, locale)
    alert = Alert(
        title=TEXTS.say(title, locale, dag=run.dag_id),
        severity=severity,
        subject=run.dag_id,
        happened_at=happened_at,
        fingerprint=run.fingerprint(),
        facts=(_error(error, locale), Fact(TEXTS.say("run", locale), run.run_id), *_how_it_ends(run, locale)),
        links=(Link(TEXTS.say("open_run", locale), run_url), *runbook(runbook_url, locale)),
        error_unknown=reason == "failed" and not marked_by,
    )
    return Finding(
        alert, source=SOURCE, recovery_key=run.recovery_key(), occurrence=run.occurrence, about=run.run_after
    )


def marked_failed(who: str, locale: Locale) -> str:
    """Return the error of what somebody marked as failed; empty if nobody did, or if it is not known."""
    return TEXTS.say("marked_failed", locale, who=who) if who else ""


def runbook(url: str, locale: Locale) -> tuple[Link, ...]:
    """Return the link to a DAG's runbook; nothing if there is none."""
    return (Link(TEXTS.say("open_runbook", locale), url),) if url else ()


def _how_it_ends(run: Run, locale: Locale) -> tuple[Fact, ...]:
    """Return what a reader would not expect: that another success of the DAG does not end this incident."""
    return (Fact(TEXTS.say("ends", locale), TEXTS.say("ends_by_itself", locale)),) if run.own_values else ()


def _reason(reason: str, locale: Locale) -> str:
    """Return Airflow's reason in the reader's language; one that is not known stays as it is."""
    key = f"reason_{reason}"
    return TEXTS.say(key, locale) if key in TEXTS.words else reason


def success(run: Run, task_id: str = "", *, at: datetime) -> Recovery:
    """Return the recovery of a task; without a task, of the run itself."""
    return Recovery(recovery_key=run.recovery_key(task_id), at=at, about=run.run_after)
