"""Notifiers that turn Airflow's callbacks into findings and recoveries.

Attach them to a DAG and, through `default_args`, to its tasks: the task's own callback knows the exception, and the
DAG's callback also runs if the task's process was killed and could not run its own. Both name the same occurrence,
which the incident store counts once (docs/adr/0013). `alert_delivery` finds the failures that neither reports.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from mindguard.airflow.exception_text import text_of
from mindguard.alerts.alert import Question
from mindguard.alerts.dag_runs.approval import Asked, approval_request
from mindguard.alerts.dag_runs.failures import Run, has_own_values, success, task_failure
from mindguard.alerts.dag_runs.outcomes import EndedRun, EndedTask, dag_page, failures, recoveries
from mindguard.alerts.direct import KEY_OF_UNSTORED, Unstored
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.fetch import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from mindguard.alerts.alert import Alert
    from mindguard.alerts.finding import Finding, Recovery
    from mindguard.feishu.transport import Sent
    from mindguard.settings import Settings

log = logging.getLogger(__name__)

_SEVERITIES = frozenset(each.value for each in Severity)
_MAPPED_INSTANCE = re.compile(r"(.+)_(\d+)", re.DOTALL)

BUDGET_S = 12.0
"""Time limit in seconds of one callback, which Airflow kills after 20 s."""

_XCOM_S = 4.0

_KEY_OF_CARD = "approval_card"
"""Key in XCom under which a task that waits for an answer keeps which card asks for it."""


class FeishuNotifier(BaseNotifier):
    """Reports a failed task or run.

    Args:
        severity: the severity of a failure. A Param named `severity` in the run takes precedence.
        repeats: whether to report a failure if the previous run failed too. False for DAGs that run every minute:
            such a DAG must not send an alert every minute while it is broken.
    """

    def __init__(self, *, severity: Severity | str, repeats: bool = True) -> None:
        super().__init__()
        self.severity = Severity(severity)
        self.repeats = repeats

    def notify(self, context: Context) -> None:
        """Report the failure in the context: of a run if the context has a reason, otherwise of a task."""
        if not self.repeats and _failed_before(context):
            self.log.info("the previous run failed too, so this failure is not reported again")
        elif "reason" in context:
            self._report_run(context)
        else:
            self._report_failed_task(context)

    def _report_failed_task(self, context: Context) -> None:
        from mindguard.settings import settings_for_alerts

        settings = settings_for_alerts()
        task_instance: Any = context["ti"]
        error = text_of(context.get("exception"), settings.locale)
        finding = task_failure(
            _run(context),
            task_instance.task_id,
            severity=self._severity(context),
            happened_at=_ended_at(task_instance),
            log_url=task_instance.log_url,
            locale=settings.locale,
            runbook_url=_runbook(context),
            error=error.line,
            detail=error.traceback,
            tries=task_instance.try_number,
            instances=[task_instance.map_index] if task_instance.map_index >= 0 else (),
        )
        try:
            unstored = self._report([finding], [], settings)
        except Exception:
            _keep_with_task(task_instance, Unstored(finding))
            raise
        for each in unstored:
            _keep_with_task(task_instance, each)

    def _report_run(self, context: Context) -> None:
        """Report how a run and each of its tasks ended, successes as well as failures."""
        from mindguard.airflow.clients import airflow_pages
        from mindguard.settings import settings_for_alerts

        settings = settings_for_alerts()
        run = _run(context)
        reason = str(context.get("reason") or "failed")
        ended = EndedRun(
            run,
            failed=reason != "success",
            ended_at=_ended_at(context.get("dag_run")),
            tasks=self._tasks(context),
            severity=self._severity(context),
            reason=reason,
            documented=bool(_runbook(context)),
        )
        found = failures([ended], base_url=airflow_pages(), locale=settings.locale)
        kept = [_kept_with_task(run, finding, ended.tasks) for finding in found]
        fresh = [finding for finding, unstored in zip(found, kept, strict=True) if unstored is None]
        # Without Airflow's record of the run, it is not known whether a newer run has failed since; a sweep finds out.
        recovered = recoveries([ended]) if context.get("dag_run") else []
        self._report(fresh, recovered, settings, [unstored for unstored in kept if unstored])

    def _tasks(self, context: Context) -> tuple[EndedTask, ...]:
        """Return the run's task instances, each with the severity of its own notifier."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        dag: Any = context["dag"]
        run_id: str = context["run_id"]
        states = RuntimeTaskInstance.get_task_states(dag_id=dag.dag_id, run_ids=[run_id]).get(run_id, {})
        tasks: list[EndedTask] = []
        for name, state in states.items():
            # Airflow calls an instance of a mapped task `<task_id>_<map index>` here. A task that is no longer in the
            # DAG may have any name.
            mapped = None if name in dag.task_ids else _MAPPED_INSTANCE.fullmatch(name)
            task_id, index = (mapped[1], mapped[2]) if mapped else (name, "-1")
            own = None if _asked_severity(context) else _own_severity(dag, task_id)
            tasks.append(EndedTask(task_id, str(state or ""), None, severity=own, map_index=int(index)))
        return tuple(tasks)

    def _severity(self, context: Context) -> Severity:
        """Return the severity of a Param named `severity`, else that of the error, else the notifier's own."""
        error = context.get("exception")
        # Exceptions of others may have an attribute of this name with another meaning, such as asyncpg's `ERROR`.
        own = _severity_or_none(error.severity) if isinstance(error, MindGuardError) else None
        return _asked_severity(context) or own or self.severity

    def _report(
        self,
        findings: Sequence[Finding],
        recovered: Sequence[Recovery],
        settings: Settings,
        unstored: Sequence[Unstored] = (),
    ) -> Sequence[Unstored]:
        """Report to the store and to Feishu. Return the findings that the store could not take."""
        from mindguard.airflow.clients import connection
        from mindguard.alerts.unresolved import ends_an_incident

        if not findings and not unstored and not ends_an_incident(recovered, connection(settings.connections.ops)):
            return ()  # Most successes end no incident, and loading the store takes half a second.
        from mindguard.jobs.alerting import report

        reported = report(
            findings,
            recovered,
            settings=settings,
            resolve=connection,
            now=datetime.now(UTC),
            budget_s=BUDGET_S,
            unstored=unstored,
        )
        return reported.direct


class RecoveryNotifier(FeishuNotifier):
    """Reports a task or run that succeeded, which ends its incident if there is one.

    A run that Airflow calls successful may have a failed task, which is reported with this notifier's severity.
    """

    def notify(self, context: Context) -> None:
        """Report the success. An error is only logged, since the work is done and a sweep follows in a minute."""
        try:
            if "reason" in context:
                self._report_run(context)
            else:
                self._report_task_success(context)
        except Exception as error:  # noqa: BLE001 - the work is done
            self.log.warning("the recovery was not reported: %s", text_of(error).line)

    def _report_task_success(self, context: Context) -> None:
        from mindguard.settings import settings_for_alerts

        task_instance: Any = context["ti"]
        if task_instance.map_index >= 0:
            return  # Another instance of the task may have failed; only the run's callback sees all instances.
        recovered = success(_run(context), task_instance.task_id, at=_ended_at(task_instance))
        self._report([], [recovered], settings_for_alerts())


class ApprovalNotifier(FeishuNotifier):
    """Asks a person for approval, with a link to the page that takes the answer; for an operator's `notifiers`.

    If the operator has `asked`, as `Approval` has, the card shows its facts, otherwise the operator's body as the plan.
    """

    def notify(self, context: Context) -> None:
        """Send the card. If Feishu fails, the approval can still be given in Airflow, so an error is only logged."""
        limit: timedelta | None = getattr(context["task"], "response_timeout", None)
        now = datetime.now(UTC)
        try:
            alert = self._alert(context, now, Question(now + limit if limit else None))
            sent = self._send(alert, uuid=_uuid(context, alert))
            kept = {"message_id": sent.message_id or "", "asked_at": now.isoformat()}
            context["ti"].xcom_push(_KEY_OF_CARD, kept)
        except Exception as error:  # noqa: BLE001 - the task waits for the answer, whoever was told
            self.log.warning("the request for approval did not reach Feishu: %s", text_of(error).line)

    def answered(self, context: Context, answer: Question) -> None:
        """Say what was answered: in the card if the channel can change it, otherwise by another card.

        If nobody has answered, a channel that cannot change cards gets none: the failure of the task has its own.

        Raises:
            MindGuardError: the card was neither changed nor sent.
        """
        task_instance: Any = context["ti"]
        kept = task_instance.xcom_pull(task_ids=task_instance.task_id, key=_KEY_OF_CARD) or {}
        asked_at = datetime.fromisoformat(kept["asked_at"]) if kept else answer.answered_at or datetime.now(UTC)
        alert = self._alert(context, asked_at, answer)
        message_id = str(kept.get("message_id") or "")
        if message_id or answer.answer != "expired":
            self._send(alert, message_id, uuid=f"{_uuid(context, alert)}-{answer.answer}")

    def _alert(self, context: Context, asked_at: datetime, question: Question) -> Alert:
        from mindguard.settings import settings_for_alerts

        operator: Any = context["task"]
        task_instance: Any = context["ti"]
        asked: Asked | None = getattr(operator, "asked", None)
        return approval_request(
            dag_id=task_instance.dag_id,
            run_id=task_instance.run_id,
            task_id=task_instance.task_id,
            question=asked.question if asked else operator.subject,
            facts=asked.facts if asked else (),
            plan="" if asked else operator.body or "",
            severity=self._severity(context),
            happened_at=asked_at,
            page_url=f"{task_instance.log_url.partition('?')[0]}/required_actions",
            locale=settings_for_alerts().locale,
            runbook_url=_runbook(context),
            answer=question,
        )

    def _send(self, alert: Alert, message_id: str = "", *, uuid: str) -> Sent:
        """Send an alert that is not an incident, or change its card."""
        from mindguard.airflow.clients import connection
        from mindguard.feishu.transport import transport_of
        from mindguard.settings import settings_for_alerts

        transport, now = transport_of(settings_for_alerts(), connection), datetime.now(UTC)
        if message_id and transport.updates:
            return transport.update(message_id, alert, now=now)
        return transport.send(alert, uuid=uuid, now=now)


def _uuid(context: Context, alert: Alert) -> str:
    """Return what identifies the card of a question: a task that was cleared asks again, by another card."""
    return f"{alert.fingerprint}-{context['ti'].try_number}"


def _run(context: Context) -> Run:
    dag: Any = context["dag"]
    run_id: str = context["run_id"]
    dag_run: Any = context.get("dag_run")  # It is missing if Airflow had no task from which to build the context.
    run_type = str(dag_run.run_type.value) if dag_run else run_id.partition("__")[0]
    defaults = _defaults(dag)
    if dag_run:
        own_values = has_own_values(getattr(dag_run, "conf", None), defaults)
    else:
        own_values = run_type == "manual" and bool(defaults)  # somebody may have filled in the form
    return Run(
        dag_id=dag.dag_id,
        run_id=run_id,
        run_type=run_type,
        started_at=dag_run.start_date if dag_run else None,
        own_values=own_values,
        run_after=getattr(dag_run, "run_after", None),
    )


def _defaults(dag: Any) -> dict[str, Any]:
    """Return the values that the DAG's form offers by default; those that cannot be read are left out."""
    try:
        return dict(dag.params.dump())
    except Exception:
        log.exception("the DAG's Params cannot be read")
        return {}


def _runbook(context: Context) -> str:
    """Return the address of the page with the DAG's runbook; empty if it has none."""
    from mindguard.airflow.clients import airflow_pages

    dag: Any = context.get("dag")
    return dag_page(airflow_pages(), dag.dag_id) if getattr(dag, "doc_md", None) else ""


def _ended_at(record: Any) -> datetime:
    """Return when a run or task ended; a callback may come much later."""
    return getattr(record, "end_date", None) or datetime.now(UTC)


def _failed_before(context: Context) -> bool:
    """Return whether the previous run failed; False if Airflow does not say, since one alert too many is better."""
    task_instance: Any = context.get("ti")
    try:
        previous = task_instance.get_previous_dagrun() if task_instance else None
    except Exception:
        log.exception("Airflow does not say how the previous run ended")
        return False
    return previous is not None and previous.state == "failed"


def _asked_severity(context: Context) -> Severity | None:
    """Return the severity that the run's Params ask for; None if they do not, or mean something else by the name."""
    try:
        return _severity_or_none((context.get("params") or {}).get("severity"))
    except Exception:
        log.exception("the run's Params cannot be read")
        return None


def _severity_or_none(value: object) -> Severity | None:
    return Severity(value) if isinstance(value, str) and value in _SEVERITIES else None


def _own_severity(dag: Any, task_id: str) -> Severity | None:
    callbacks = dag.get_task(task_id).on_failure_callback if task_id in dag.task_ids else ()
    return next((callback.severity for callback in callbacks or () if isinstance(callback, FeishuNotifier)), None)


def _keep_with_task(task_instance: Any, unstored: Unstored) -> None:
    """Keep a failure in the task's own record, which other machines can read."""
    try:
        # Airflow's client repeats for minutes if its own database is away too.
        within(_XCOM_S, lambda: task_instance.xcom_push(KEY_OF_UNSTORED, unstored.to_text()))
    except Exception as error:  # noqa: BLE001 - this machine's disk keeps it too
        log.warning("a failure is not kept in the task's record: %s", text_of(error).line)


def _kept_with_task(run: Run, finding: Finding, tasks: Sequence[EndedTask]) -> Unstored | None:
    """Return what the task's own callback knew of this failure, if the store was down."""
    from airflow.sdk.execution_time.xcom import XCom

    for task in tasks:
        if task.state != "failed" or run.fingerprint(task.task_id) != finding.alert.fingerprint:
            continue
        try:
            kept = XCom.get_one(
                key=KEY_OF_UNSTORED,
                dag_id=run.dag_id,
                task_id=task.task_id,
                run_id=run.run_id,
                map_index=task.map_index,
            )
            unstored = Unstored.from_text(kept) if isinstance(kept, str) else None
        except Exception as error:  # noqa: BLE001 - the failure is reported without what the task knew
            log.warning("what the task knew of its failure cannot be read: %s", text_of(error).line)
            continue
        if unstored and unstored.is_about(finding):
            return unstored
    return None
