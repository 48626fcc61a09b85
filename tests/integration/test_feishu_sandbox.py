"""The client against a sandbox process: Feishu's contract, its failures, and what a restart keeps."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from mindguard.connections import Connection
from mindguard.errors import MindGuardError
from mindguard.feishu.answers import FeishuRefused, FeishuThrottled, FeishuUnreachable
from mindguard.feishu.card import render_card
from mindguard.feishu.cases import CASES, sample
from mindguard.feishu.client import hook_from_connection
from mindguard.feishu.message import encode, hook_message, text_message
from tests.sandbox import SECRET, TOKEN, Running

ZONE = ZoneInfo("Asia/Shanghai")
HELLO = text_message("hello")


def now() -> datetime:
    return datetime.now(UTC)


def test_every_sample_is_delivered_as_a_card(sandbox: Running) -> None:
    for case in CASES:
        alert, at = sample(case, "zh"), now()
        assert sandbox.client().deliver(alert, now=at, locale="zh", zone=ZONE) == "card"
        last = sandbox.received()[-1]
        assert (last["code"], last["fingerprint"]) == (0, alert.fingerprint)
        assert last["message"]["card"] == render_card(alert, locale="zh", zone=ZONE, now=at)


@pytest.mark.parametrize(
    ("client", "sent_at", "code"),
    [
        ({"token": "another-token"}, timedelta(), 19001),
        ({"secret": "another-secret"}, timedelta(), 19021),
        ({"secret": ""}, timedelta(), 19021),
        ({}, timedelta(seconds=-3700), 19021),
        ({}, timedelta(seconds=3700), 19021),
    ],
)
def test_a_wrong_token_signature_or_clock_is_refused(
    sandbox: Running, client: dict[str, str], sent_at: timedelta, code: int
) -> None:
    with pytest.raises(FeishuRefused) as caught:
        sandbox.client(**client).send(HELLO, now() + sent_at)
    assert caught.value.code == code
    assert [record["code"] for record in sandbox.received()] == [code]


def test_a_clock_that_is_off_by_less_than_an_hour_passes(sandbox: Running) -> None:
    sandbox.client().send(HELLO, now() - timedelta(seconds=3500))


@pytest.mark.parametrize("mode", ["throttle", "http500", "drop"])
def test_what_fails_for_a_moment_is_sent_again(sandbox: Running, mode: str) -> None:
    sandbox.fail(mode, 2)
    sandbox.client().send(HELLO, now())
    codes = [record["code"] for record in sandbox.received()]
    assert (len(codes), codes[-1]) == (3, 0)


def test_a_silent_server_is_given_up_within_the_budget(sandbox: Running) -> None:
    sandbox.fail("slow", 20)
    started = time.monotonic()
    with pytest.raises(FeishuUnreachable):
        sandbox.client(timeout_s=1, budget_s=3).send(HELLO, now())
    assert time.monotonic() - started < 5


def test_lasting_throttling_is_named(sandbox: Running) -> None:
    sandbox.fail("throttle", 20)
    with pytest.raises(FeishuThrottled) as caught:
        sandbox.client(budget_s=4).send(HELLO, now())
    assert caught.value.tries >= 2


def test_a_dead_server_is_named_by_host_only(sandbox: Running) -> None:
    sandbox.stop()
    with pytest.raises(FeishuUnreachable, match=r"127\.0\.0\.1") as caught:
        sandbox.client(budget_s=1).send(HELLO, now())
    assert TOKEN not in str(caught.value)


def test_a_refused_card_arrives_as_text(sandbox: Running) -> None:
    sandbox.fail("refuse_card")
    assert sandbox.client().deliver(sample("p0-sos", "zh"), now=now(), locale="zh", zone=ZONE) == "text"
    refused, text = sandbox.received()
    assert (refused["code"], text["code"]) == (11246, 0)
    assert "SOS 求助正在失败" in text["message"]["content"]["text"]


def test_the_real_limit_of_five_a_second_is_kept(sandbox: Running) -> None:
    for _ in range(8):
        sandbox.client().send(HELLO, now())
    assert [record["code"] for record in sandbox.received()].count(0) == 8


@pytest.mark.parametrize(
    "card",
    [
        {"schema": "2.0", "body": {"elements": [{"tag": "note", "elements": []}]}},
        {"schema": "2.0", "body": {"elements": [{"tag": "action", "actions": []}]}},
        {"schema": "2.0", "body": {"elements": [{"tag": "hr"}] * 201}},
        {"schema": "2.0", "header": {"title": {}, "template": "pink"}, "body": {"elements": []}},
        {
            "schema": "2.0",
            "header": {"title": {}, "text_tag_list": [{"tag": "text_tag"}] * 4},
            "body": {"elements": []},
        },
        {"elements": []},
    ],
    ids=["note", "action", "201 elements", "colour", "four tags", "not 2.0"],
)
def test_a_card_that_feishu_would_refuse_is_refused(sandbox: Running, card: dict[str, Any]) -> None:
    with pytest.raises(FeishuRefused) as caught:
        sandbox.client().send(hook_message(card), now())
    assert caught.value.code == 11246
    assert httpx.get(sandbox.base).status_code == 200


def test_more_than_20_kb_is_refused(sandbox: Running) -> None:
    with pytest.raises(FeishuRefused) as caught:
        sandbox.client().send(text_message("x" * 20 * 1024), now())
    assert caught.value.code == 9499
    fitting = text_message("x" * (20 * 1024 - len(encode(HELLO)) - 200))
    sandbox.client().send(fitting, now())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_what_was_received(sandbox: Running, how: signal.Signals) -> None:
    sandbox.client().send(HELLO, now())
    status = sandbox.stop(how)
    assert how is signal.SIGKILL or status in (0, -how)
    with sandbox.state.open("a") as file:
        file.write('{"cut off')
    sandbox.process = sandbox.start()
    sandbox.client().send(text_message("again"), now())
    sandbox.stop(signal.SIGKILL)
    sandbox.process = sandbox.start()
    texts = [record["message"]["content"]["text"] for record in sandbox.received()]
    assert texts == ["hello", "again"]


def test_the_page_shows_cards_and_runs_nothing_of_theirs(sandbox: Running) -> None:
    sandbox.client().deliver(sample("hostile", "zh"), now=now(), locale="zh", zone=ZONE)
    page = httpx.get(sandbox.base)
    assert "script-src 'nonce-" in page.headers["content-security-policy"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script>alert" not in page.text
    assert "@所有人" not in page.text
    assert 'href="javascript' not in page.text
    assert httpx.get(sandbox.base, headers={"host": "elsewhere.example"}).status_code == 400


def test_neither_token_nor_secret_shows_anywhere(
    sandbox: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    port = sandbox.port
    connection = Connection("c", "feishu", host=f"http://127.0.0.1:{port}", password=TOKEN, extra={"secret": SECRET})
    client = hook_from_connection(connection)
    client.send(HELLO, now())
    errors: list[MindGuardError] = []
    actions: list[Callable[[], object]] = [
        lambda: sandbox.client(secret="another-secret").send(HELLO, now()),
        lambda: client.send(hook_message({}), now()),
        lambda: (sandbox.stop(), sandbox.client(budget_s=1).send(HELLO, now())),
    ]
    for action in actions:
        with pytest.raises(MindGuardError) as caught:
            action()
        errors.append(caught.value)
    printed = capfd.readouterr()
    seen = [caplog.text, repr(client), printed.out, printed.err, sandbox.state.read_text("utf-8")]
    seen += [f"{error} {error!r} {vars(error)} {error.__context__!r}" for error in errors]
    assert len(errors) == 3
    for text in seen:
        assert TOKEN not in text
        assert SECRET not in text


def test_an_invalid_mention_costs_the_mention_only(sandbox: Running) -> None:
    sandbox.fail("invalid_mention", 9)
    form = sandbox.client().deliver(sample("p1-full", "zh"), now=now(), locale="zh", zone=ZONE)
    assert form == "card without mentions"
    assert [record["code"] for record in sandbox.received()] == [11246, 0]


@pytest.mark.parametrize("kind", ["storm", "handover", "handover-quiet", "review"])
def test_digests_are_taken_as_cards(sandbox: Running, kind: str) -> None:
    assert sandbox.client().deliver(sample(kind, "zh"), now=now(), locale="zh", zone=ZONE) == "card"


def test_the_command_sends_text_and_says_which_form_arrived(
    sandbox: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mindguard.cli import main

    monkeypatch.setenv(
        "AIRFLOW_CONN_MINDGUARD_FEISHU",
        json.dumps({"conn_type": "feishu", "host": sandbox.base, "password": TOKEN, "extra": {"secret": SECRET}}),
    )
    sandbox.fail("refuse_card")
    for arguments in (["p0-sos"], ["--text", "password=example-password <at"]):
        monkeypatch.setattr(sys, "argv", ["mindguard", "feishu", "send", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == ["delivered p0-sos as text", "delivered the text as text"]
    assert sandbox.received()[-1]["message"]["content"]["text"] == "password=*** ＜at"
    assert "【示例】SOS" in sandbox.received()[-2]["message"]["content"]["text"]
    monkeypatch.setattr(sys, "argv", ["mindguard", "feishu", "send"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
