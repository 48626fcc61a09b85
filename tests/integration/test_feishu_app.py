"""The app's bot against a sandbox process: every answer of Feishu's that it must deal with."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from mindguard.alerts.alert import Alert, Digest, Person
from mindguard.connections import Connection
from mindguard.errors import MindGuardError
from mindguard.feishu.answers import FeishuRefused, FeishuThrottled, FeishuUnreachable
from mindguard.feishu.app_client import app_from_connection
from mindguard.feishu.cases import CASES, DIGESTS, sample
from mindguard.feishu.transport import AppTransport, transport_from_connection
from tests.cards import messages
from tests.sandbox import APP_ID, APP_SECRET, CHAT_ID, Running

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 19, 6, 15, tzinfo=UTC)
DUTY = (Person("A", "ou_a1"), Person("B", "ou_b2"))


def app(sandbox: Running, *, budget_s: float = 12.0, timeout_s: float = 5.0, **fields: Any) -> AppTransport:
    described: dict[str, Any] = {"login": APP_ID, "password": APP_SECRET, "extra": {"chat_id": CHAT_ID}, **fields}
    client = app_from_connection(
        Connection("c", "feishu", host=sandbox.base, **described), budget_s=budget_s, timeout_s=timeout_s
    )
    return AppTransport(client, locale="zh", zone=ZONE)


def alert(case: str = "p1-full") -> Alert:
    found = sample(case, "zh")
    assert isinstance(found, Alert)
    return found


@pytest.mark.parametrize("case", [*CASES, *DIGESTS])
def test_every_sample_is_taken_as_a_card(sandbox: Running, case: str) -> None:
    shown, transport = sample(case, "zh"), app(sandbox)
    if isinstance(shown, Digest):
        sent = transport.digest(shown, uuid=case, now=NOW)
    else:
        sent = transport.send(shown, uuid=case, now=NOW)
    assert sent.form == "card"
    assert [record["message_id"] for record in messages(sandbox.base)] == [sent.message_id]


def test_one_uuid_is_shown_once_an_hour(sandbox: Running) -> None:
    transport = app(sandbox)
    ids = {transport.send(alert(), uuid="u", now=NOW).message_id for _ in range(3)}
    assert (len(ids), len(messages(sandbox.base))) == (1, 1)
    sandbox.clock(3700)
    assert transport.send(alert(), uuid="u", now=NOW).message_id not in ids
    assert len(messages(sandbox.base)) == 2


def test_a_lost_answer_shows_nothing_twice(sandbox: Running) -> None:
    sandbox.fail("drop_stored")
    app(sandbox).send(alert(), uuid="u" * 80, now=NOW)
    assert len(messages(sandbox.base)) == 1


def test_the_same_card_turns_green(sandbox: Running) -> None:
    transport = app(sandbox)
    first = transport.send(alert(), uuid="u", now=NOW)
    assert first.message_id
    ended = replace(alert(), resolved_at=alert().happened_at + timedelta(minutes=47))
    assert transport.update(first.message_id, ended, now=NOW) == first
    (record,) = messages(sandbox.base)
    colours = [
        message["card"]["header"]["template"] for message in (record["history"][0]["message"], record["message"])
    ]
    assert colours == ["orange", "green"]
    page = httpx.get(sandbox.base).text
    assert "原卡片已更新 1 次" in page


def test_after_14_days_the_thread_is_answered_once(sandbox: Running) -> None:
    transport = app(sandbox)
    first = transport.send(alert(), uuid="u", now=NOW)
    assert first.message_id
    sandbox.clock(15 * 24 * 3600)
    for _ in range(2):
        answered = transport.update(first.message_id, alert(), now=NOW)
        assert answered.message_id != first.message_id
    assert [record.get("thread") for record in messages(sandbox.base)] == [None, first.message_id]


@pytest.mark.parametrize("mode", ["throttle", "http500", "drop", "token_expired"])
def test_what_fails_for_a_moment_is_done_again(sandbox: Running, mode: str) -> None:
    transport = app(sandbox)
    sandbox.fail(mode)
    first = transport.send(alert(), uuid="u", now=NOW)
    assert first.message_id
    sandbox.fail(mode)
    assert transport.update(first.message_id, alert("p1-taken"), now=NOW) == first
    sandbox.fail(mode)
    assert transport.urge(first.message_id, DUTY, "app", now=NOW) == "called by app: A, B"
    (record,) = messages(sandbox.base)
    assert len(record["history"]) == 1
    assert [call["people"] for call in record["urgent"]] == [["ou_a1", "ou_b2"]]


def test_lasting_failures_are_named(sandbox: Running) -> None:
    transport = app(sandbox, budget_s=2, timeout_s=1)
    sandbox.fail("throttle", seconds=60)
    with pytest.raises(FeishuThrottled):
        transport.send(alert(), uuid="u", now=NOW)
    sandbox.fail("", 0)
    sandbox.fail("slow", seconds=60)
    with pytest.raises(FeishuUnreachable):
        transport.send(alert(), uuid="u", now=NOW)
    sandbox.fail("", 0)
    sandbox.fail("token_expired", seconds=60)
    with pytest.raises(FeishuRefused) as caught:
        transport.send(alert(), uuid="u", now=NOW)
    assert caught.value.code == 99991663, "renewed once, not for ever"


def test_a_fault_ends_after_its_seconds(sandbox: Running) -> None:
    sandbox.fail("http500", seconds=100)
    sandbox.clock(101)
    app(sandbox).send(alert(), uuid="u", now=NOW)
    assert [record["code"] for record in sandbox.received()] == [0]


def test_an_invalid_mention_costs_the_mention_only(sandbox: Running) -> None:
    sandbox.fail("invalid_mention", 9)
    assert app(sandbox).send(alert(), uuid="u", now=NOW).form == "card without mentions"
    (record,) = messages(sandbox.base)
    shown = json.dumps(record["message"], ensure_ascii=False)
    assert "<at" not in shown
    assert "值班甲" in shown


def test_a_refused_card_arrives_as_text(sandbox: Running) -> None:
    sandbox.fail("refuse_card", 2)
    assert app(sandbox).send(alert(), uuid="u", now=NOW).form == "text"
    assert "checkin_submit" in messages(sandbox.base)[0]["message"]["content"]["text"]


def test_a_refused_change_is_answered_as_text(sandbox: Running) -> None:
    transport = app(sandbox)
    first = transport.send(alert(), uuid="u", now=NOW)
    sandbox.fail("refuse_card", 2)
    assert transport.update(first.message_id or "", alert(), now=NOW).form == "text"
    assert messages(sandbox.base)[1]["thread"] == first.message_id


@pytest.mark.parametrize("mode", ["quota", "policy"])
def test_a_call_that_is_not_allowed_falls_back_and_says_so(sandbox: Running, mode: str) -> None:
    transport = app(sandbox)
    sent = transport.send(alert(), uuid="u", now=NOW)
    sandbox.fail(mode, 2)
    line = transport.urge(sent.message_id or "", DUTY, "phone", now=NOW)
    assert line.startswith("called by app: A, B; phone not allowed: code 2300")
    assert "sms not allowed" in line
    assert [call["means"] for call in messages(sandbox.base)[0]["urgent"]] == ["app"]
    sandbox.fail(mode, 3)
    assert transport.urge(sent.message_id or "", DUTY, "phone", now=NOW).startswith("nobody called; phone not allowed")


def test_who_has_no_id_is_named(sandbox: Running) -> None:
    transport = app(sandbox)
    sent = transport.send(alert(), uuid="u", now=NOW)
    people = (*DUTY, Person("C"), Person("@all", "all"))
    line = transport.urge(sent.message_id or "", people, "sms", now=NOW)
    assert line == "called by sms: A, B; without a Feishu id: C, @all"
    assert transport.urge(sent.message_id or "", people[2:], "sms", now=NOW).startswith("nobody called")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"login": "cli_another"}, 10003),
        ({"password": "another-secret"}, 10014),
        ({"extra": {"chat_id": "oc_another"}}, 230002),
    ],
)
def test_a_wrong_set_up_says_what_to_do(sandbox: Running, fields: dict[str, Any], code: int) -> None:
    with pytest.raises(FeishuRefused) as caught:
        app(sandbox, **fields).send(alert(), uuid="u", now=NOW)
    assert caught.value.code == code
    assert not caught.value.about_content, "no other form of the message is tried"
    assert len([record for record in sandbox.received() if record["code"]]) <= 1


def test_a_killed_sandbox_remembers_messages_changes_and_calls(sandbox: Running) -> None:
    transport = app(sandbox)
    sent = transport.send(alert(), uuid="u", now=NOW)
    transport.update(sent.message_id or "", alert("p1-taken"), now=NOW)
    transport.urge(sent.message_id or "", DUTY, "app", now=NOW)
    before = sandbox.received()
    sandbox.restart()
    assert sandbox.received() == before
    transport.update(sent.message_id or "", alert("resolved"), now=NOW)
    assert transport.send(alert(), uuid="u", now=NOW) == sent
    assert len(messages(sandbox.base)) == 1


def test_the_limit_of_five_a_second_is_kept(sandbox: Running) -> None:
    transport = app(sandbox)
    for number in range(8):
        transport.send(alert("p0-sos"), uuid=str(number), now=NOW)
    assert len(messages(sandbox.base)) == 8


def test_neither_secret_nor_token_shows_anywhere(sandbox: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = app(sandbox, budget_s=1)
    transport.send(alert(), uuid="u", now=NOW)
    token = transport._client._token
    assert token
    sandbox.fail("refuse_card", 9)
    seen = [repr(transport._client), sandbox.state.read_text("utf-8"), httpx.get(sandbox.base).text]
    sandbox.end()
    with pytest.raises(MindGuardError) as caught:
        transport.send(alert(), uuid="v", now=NOW)
    seen += [caplog.text, f"{caught.value!r} {vars(caught.value)} {caught.value.__context__!r}"]
    for text in seen:
        assert token not in text
        assert APP_SECRET not in text


@pytest.mark.parametrize("missing", ["chat_id", "app_secret"])
def test_a_connection_without_a_field_is_named(missing: str) -> None:
    fields = {"chat_id": CHAT_ID, "app_secret": APP_SECRET}
    del fields[missing]
    connection = Connection("c", "feishu", login=APP_ID, extra=fields)
    with pytest.raises(MindGuardError, match=missing):
        transport_from_connection(connection, locale="zh", zone=ZONE)
