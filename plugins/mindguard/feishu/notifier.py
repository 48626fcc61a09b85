"""Airflow's failure callbacks as Feishu cards.

Attach one notifier to a DAG and, through `default_args`, to its tasks: the task's own callback knows the exception,
the DAG's runs also when a task's process was killed and could not call anything. A mark in XCom tells the second
that the first has delivered, so that a failure gives one card.
"""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier
from airflow.sdk.configuration import conf

from mindguard.alerts.alert import Alert
from mindguard.alerts.approval import approval_request
from mindguard.alerts.failures import run_failure, task_failure
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mindguard.settings import Settings

REPORTED = "mindguard_reported"
"""XCom key of a failed task: the fingerprint under which its failure has reached Feishu."""


class FeishuNotifier(BaseNotifier):
    """Sends a card for a failed task or run.

    Args:
        severity: of a failure. A run with a Param named `severity` has that one instead.
    """

    def __init__(self, *, severity: Severity | str) -> None:
        super().__init__()
        self.severity = Severity(severity)

    def notify(self, context: Context) -> None:
        """Send what the context tells of; a task's context has an exception or a try, a run's has a reason."""
        from mindguard.settings import load_settings

        settings = load_settings()
        if "reason" in context:
            self._notify_of_run(context, settings)
        else:
            self._notify_of_task(context, settings)

    def _notify_of_task(self, context: Context, settings: Settings) -> None:
        task_instance: Any = context["ti"]
        error = context.get("exception")
        alert = task_failure(
            dag_id=task_instance.dag_id,
            run_id=task_instance.run_id,
            task_id=task_instance.task_id,
            severity=self._severity(context),
            happened_at=datetime.now(UTC),
            log_url=task_instance.log_url,
            locale=settings.locale,
            error=_one_line(error),
            detail=_traceback(error),
            tries=task_instance.try_number,
        )
        self._deliver(alert, settings)
        task_instance.xcom_push(REPORTED, alert.fingerprint)

    def _notify_of_run(self, context: Context, settings: Settings) -> None:
        run_id: str = context["run_id"]
        dag_id: str = context["dag"].dag_id
        run_url = f"{conf.get('api', 'base_url').rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id)}"
        failed = _failed_tasks(context["dag"], run_id)
        for task_id, map_indexes in failed.items():
            if not all(_was_reported(dag_id, run_id, task_id, map_index) for map_index in map_indexes):
                alert = task_failure(
                    dag_id=dag_id,
                    run_id=run_id,
                    task_id=task_id,
                    severity=self._severity(context),
                    happened_at=datetime.now(UTC),
                    log_url=f"{run_url}/tasks/{quote(task_id)}",
                    locale=settings.locale,
                )
                self._deliver(alert, settings)
        if not failed:
            alert = run_failure(
                dag_id=dag_id,
                run_id=run_id,
                reason=str(context.get("reason") or "failed"),
                severity=self._severity(context),
                happened_at=datetime.now(UTC),
                run_url=run_url,
                locale=settings.locale,
            )
            self._deliver(alert, settings)

    def _severity(self, context: Context) -> Severity:
        """What a Param named `severity` asked for, else what the error says of itself, else the notifier's own."""
        asked = (context.get("params") or {}).get("severity")
        return Severity(asked or getattr(context.get("exception"), "severity", None) or self.severity)

    def _deliver(self, alert: Alert, settings: Settings) -> None:
        from mindguard.airflow_clients import connection
        from mindguard.feishu.client import hook_from_connection

        client = hook_from_connection(connection(settings.connections.feishu))
        form = client.deliver(alert, now=datetime.now(UTC), locale=settings.locale, zone=settings.zone)
        self.log.info("Feishu took the alert %s (%s) as %s", alert.fingerprint, alert.subject, form)


class ApprovalNotifier(FeishuNotifier):
    """Asks for a person's approval, with a link to the page that takes it. For an operator's `notifiers`."""

    def notify(self, context: Context) -> None:
        """Send the card. Without Feishu the approval can still be given in Airflow, so a failure is only logged."""
        from mindguard.settings import load_settings

        operator: Any = context["task"]
        task_instance: Any = context["ti"]
        settings = load_settings()
        alert = approval_request(
            dag_id=task_instance.dag_id,
            run_id=task_instance.run_id,
            question=operator.subject,
            plan=operator.body or "",
            severity=self._severity(context),
            happened_at=datetime.now(UTC),
            page_url=f"{task_instance.log_url.partition('?')[0]}/required_actions",
            locale=settings.locale,
        )
        try:
            self._deliver(alert, settings)
        except MindGuardError as error:
            self.log.warning("the request for approval did not reach Feishu: %s", error)


def _one_line(error: object) -> str:
    """The whole error: the renderer masks secrets before it cuts, which must not be the other way round."""
    if error is None:
        return ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if isinstance(error, BaseException) else text


def _traceback(error: object) -> str:
    if isinstance(error, BaseException):
        return "".join(traceback.format_exception(error))
    return ""


def _failed_tasks(dag: Any, run_id: str) -> dict[str, list[int]]:
    """Tasks of the run that failed themselves, in order, with the map indexes that did; -1 where it is not mapped."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=dag.dag_id, run_ids=[run_id]).get(run_id, {})
    failed: dict[str, list[int]] = {}
    for name, state in states.items():
        if state == "failed":
            # Airflow calls an instance of a mapped task `<task_id>_<map index>` here.
            task_id, _, map_index = (name, "", "-1") if name in dag.task_ids else name.rpartition("_")
            failed.setdefault(task_id, []).append(int(map_index))
    return failed


def _was_reported(dag_id: str, run_id: str, task_id: str, map_index: int) -> bool:
    from airflow.sdk.execution_time.xcom import XCom

    found = XCom.get_one(key=REPORTED, dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
    return found is not None
