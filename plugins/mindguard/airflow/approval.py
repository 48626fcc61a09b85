"""A task that waits for approval: its page and its card say what is asked, and the card later what was answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException

from mindguard.airflow.exception_text import text_of
from mindguard.airflow.notifier import ApprovalNotifier
from mindguard.alerts.alert import Question
from mindguard.alerts.dag_runs.approval import Asked
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.errors import MindGuardError

if TYPE_CHECKING:
    from airflow.sdk import Context


class NobodyAnswered(MindGuardError, AirflowFailException):
    """The time to answer is over. The task is not retried, since whoever still needs it asks again."""


class Approval(ApprovalOperator):
    """Asks a person to approve what a task has planned.

    *Reject* skips what follows and is not a failure. Without an answer in time, the task fails, because somebody is
    waiting. In each case the card says so, and who has answered.

    Args:
        planned_by: the task that has planned it; under `asked`, its result has an `Asked` as JSON.
        values_in: the Param whose COLUMN=VALUE pairs only the page shows.
        severity: the severity of the card.
        answer_within: time limit of the answer.
    """

    def __init__(
        self,
        *,
        planned_by: str,
        values_in: str = "",
        severity: Severity = Severity.P2,
        answer_within: timedelta = timedelta(hours=12),
        **kwargs: Any,
    ) -> None:
        self.card = ApprovalNotifier(severity=severity)
        super().__init__(subject="", body="", notifiers=[self.card], response_timeout=answer_within, **kwargs)
        self.planned_by = planned_by
        self.values_in = values_in
        self.asked = Asked("")

    def execute(self, context: Context) -> Any:
        """Ask: on the page, and by a card."""
        from mindguard.settings import load_settings
        from mindguard.snapshots.restore.rows import parse_where

        self._recall(context)
        self.subject = self.asked.question
        pairs = (context["params"].get(self.values_in) or ()) if self.values_in else ()
        self.body = self.asked.page(parse_where(pairs), load_settings().locale)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Say on the card what was answered, and go on as answered."""
        self._recall(context)
        expired = event.get("error_type") == "timeout"
        if expired or "error" not in event:
            try:
                self.card.answered(context, _answer(event, expired=expired))
            except Exception as error:  # noqa: BLE001 - the answer counts, whoever is told of it
                self.log.warning("the answer did not reach Feishu: %s", text_of(error).line)
        if expired:
            from mindguard.settings import load_settings

            hours = (self.response_timeout or timedelta()) / timedelta(hours=1)
            raise NobodyAnswered(TEXTS.say("nobody_answered", load_settings().locale, hours=f"{hours:g}"))
        return super().execute_complete(context, event)

    def _recall(self, context: Context) -> None:
        """Read what is asked: the answer may come to another process than the one that asked."""
        task_instance: Any = context["ti"]
        self.asked = Asked.from_json(task_instance.xcom_pull(task_ids=self.planned_by)["asked"])


def _answer(event: dict[str, Any], *, expired: bool) -> Question:
    if expired:
        return Question(answer="expired", answered_at=datetime.now(UTC))
    person = event.get("responded_by_user") or {}
    at = event.get("responded_at")
    return Question(
        answer="approved" if event["chosen_options"] == [ApprovalOperator.APPROVE] else "rejected",
        answered_by=str(person.get("name") or person.get("id") or ""),
        answered_at=datetime.fromisoformat(at) if isinstance(at, str) else at,
    )
