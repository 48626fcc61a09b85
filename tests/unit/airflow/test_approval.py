"""A task that waits for approval: what its page and its card say, and what follows an answer, or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from mindguard.airflow.approval import Approval, NobodyAnswered
from mindguard.airflow.notifier import ApprovalNotifier
from mindguard.alerts.alert import Alert, Fact, Question
from mindguard.alerts.dag_runs.approval import Asked
from mindguard.errors import MindGuardError

ASKED = Asked("恢复 public.t", (Fact("快照", "20261118T180000Z-3f9a1c"),))
AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)


class Cards:
    """A channel that keeps what was sent, and can change it if it is an app's."""

    def __init__(self, *, updates: bool) -> None:
        self.updates = updates
        self.sent: list[tuple[str, Alert]] = []
        self.uuids: list[str] = []

    def send(self, alert: Alert, *, uuid: str, **_: Any) -> SimpleNamespace:
        self.sent.append(("send", alert))
        self.uuids.append(uuid)
        return SimpleNamespace(message_id="om_1" if self.updates else None, form="card")

    def update(self, message_id: str, alert: Alert, **_: Any) -> SimpleNamespace:
        self.sent.append((message_id, alert))
        return SimpleNamespace(message_id=message_id, form="card")


class Instance(SimpleNamespace):
    """A task instance whose XComs outlast the process that asks."""

    def xcom_pull(self, *, task_ids: str, key: str = "return_value") -> Any:
        return self.kept.get((task_ids, key))

    def xcom_push(self, key: str, value: Any) -> None:
        self.kept["approve", key] = value


@pytest.fixture
def context() -> Any:
    log_url = "https://airflow.example/dags/d/runs/manual__1/tasks/approve?try_number=1"
    known = {"dag_id": "d", "run_id": "manual__1", "task_id": "approve", "log_url": log_url, "id": "1", "try_number": 1}
    kept = {("plan", "return_value"): {"asked": ASKED.to_json()}}
    ti = Instance(**known, kept=kept)
    return {"ti": ti, "task_instance": ti, "params": {"where_key": ["user_id=secret-7"]}}


def operator(context: Any) -> Approval:
    context["task"] = Approval(task_id="approve", planned_by="plan", values_in="where_key")
    return context["task"]  # type: ignore[no-any-return]


def use(monkeypatch: pytest.MonkeyPatch, cards: Cards) -> dict[str, Any]:
    """Let cards go to this channel, and return where the page's details will be."""
    page: dict[str, Any] = {}
    monkeypatch.setattr("mindguard.feishu.transport.transport_of", lambda *_: cards)
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **details: page.update(details))
    return page


def ask(context: Any) -> None:
    approval = operator(context)
    with pytest.raises(TaskAwaitingInput):
        Approval.execute.__wrapped__(approval, context)  # type: ignore[attr-defined]


def event(option: str) -> dict[str, Any]:
    person = {"id": "7", "name": "yu.li"}
    return {"chosen_options": [option], "params_input": {}, "responded_at": AT, "responded_by_user": person}


@pytest.mark.parametrize("updates", [True, False], ids=["app", "custom bot"])
@pytest.mark.parametrize(("option", "answer"), [("Approve", "approved"), ("Reject", "rejected")])
def test_the_card_says_who_answered_what(
    option: str, answer: Any, updates: bool, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = Cards(updates=updates)
    page = use(monkeypatch, cards)
    ask(context)
    assert page["subject"] == "恢复 public.t"
    assert "20261118T180000Z" in page["body"]
    assert "secret" in page["body"], "nobody can approve what is not shown"
    operator(context).execute_complete(context, event(option))
    (first, asking), (then, answered) = cards.sent
    assert (first, then) == ("send", "om_1" if updates else "send")
    assert asking.question
    assert asking.question.answer == ""
    assert asking.question.answer_by == asking.happened_at + timedelta(hours=12)
    assert answered.question == Question(answer=answer, answered_by="yu.li", answered_at=AT)
    assert (answered.happened_at, answered.fingerprint) == (asking.happened_at, asking.fingerprint)
    assert ASKED.facts[0] in answered.facts
    context["ti"].try_number = 2
    ask(context)
    assert len(set(cards.uuids)) == len(cards.uuids), "who clears the task is asked again, by another card"
    assert "secret" not in str(cards.sent), "a group reads the cards"


@pytest.mark.parametrize("updates", [True, False], ids=["app", "custom bot"])
def test_without_an_answer_the_run_fails_at_once_and_an_apps_card_says_so(
    updates: bool, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = Cards(updates=updates)
    use(monkeypatch, cards)
    ask(context)
    with pytest.raises(NobodyAnswered, match="12 小时内无人答复，未做任何改动") as raised:
        operator(context).execute_complete(context, {"error": "…", "error_type": "timeout"})
    assert isinstance(raised.value, AirflowFailException), "it is not retried"
    # The failure has a card of its own, so that a custom bot sends no third one.
    assert [where for where, _ in cards.sent] == (["send", "om_1"] if updates else ["send"])
    last = cards.sent[-1][1].question
    assert last
    assert last.answer == ("expired" if updates else "")


def test_the_answer_counts_though_feishu_is_away(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MindGuardError("Feishu is down")

    use(monkeypatch, Cards(updates=True))
    monkeypatch.setattr(ApprovalNotifier, "_send", fail)
    ask(context)
    assert operator(context).execute_complete(context, event("Approve"))["chosen_options"] == ["Approve"]
