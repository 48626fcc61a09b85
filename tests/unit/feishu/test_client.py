from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from mindguard.connections import Connection, from_environment
from mindguard.errors import MindGuardError
from mindguard.feishu.answers import FeishuRefused, FeishuThrottled, FeishuUnreachable
from mindguard.feishu.cases import sample
from mindguard.feishu.client import HookClient, hook_from_connection, sign

NOW = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
TOKEN = "hook-token-0123456789"
SECRET = "signing-secret-0123456789"
URL = f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}"
MESSAGE = {"msg_type": "text", "content": {"text": "x"}}
ZONE = ZoneInfo("Asia/Shanghai")


class Bot:
    """Answers in turn; an exception is raised. The clock moves with sleeps only."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.now_s = 0.0
        self.client = HookClient(
            URL, SECRET, transport=httpx.MockTransport(self.answer), clock=lambda: self.now_s, sleep=self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json={"code": answer, "msg": f"echo {TOKEN} {SECRET}"})


def test_sign_is_feishus_own_example() -> None:
    assert sign(1599360473, "demo") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


def test_a_signed_message_carries_time_and_signature() -> None:
    bot = Bot(0)
    bot.client.send(MESSAGE, NOW)
    stamp = int(NOW.timestamp())
    assert bot.bodies == [{"timestamp": str(stamp), "sign": sign(stamp, SECRET), **MESSAGE}]


@pytest.mark.parametrize("code", [19001, 19021, 19022, 19024])
def test_a_wrong_set_up_is_raised_at_once_and_says_what_to_do(code: int) -> None:
    bot = Bot(code)
    with pytest.raises(FeishuRefused) as caught:
        bot.client.deliver(sample("p0-sos", "zh"), now=NOW, locale="zh", zone=ZONE)
    assert (caught.value.code, len(bot.bodies)) == (code, 1)
    assert caught.value.hint
    assert not caught.value.about_content


@pytest.mark.parametrize(
    "first",
    [
        11232,
        230020,
        httpx.Response(400, json={"code": 9499, "msg": "too many request"}),
        httpx.Response(429, text="slow down"),
        httpx.Response(500, json={"code": 2200, "msg": "Internal Error"}),
        httpx.Response(502, text="<html>"),
        httpx.Response(200, text="<html>a captive portal</html>"),
        httpx.Response(200, json=["not", "an", "object"]),
        httpx.ReadTimeout("timed out"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("peer closed"),
    ],
)
def test_what_passes_is_tried_again(first: Any) -> None:
    bot = Bot(first, first, 0)
    bot.client.send(MESSAGE, NOW)
    assert len(bot.bodies) == 3
    assert bot.now_s > 0


@pytest.mark.parametrize(
    ("answer", "error"),
    [(11232, FeishuThrottled), (httpx.ReadTimeout("t"), FeishuUnreachable), (httpx.Response(503), FeishuUnreachable)],
)
def test_trying_ends_with_the_budget(answer: Any, error: type[MindGuardError]) -> None:
    bot = Bot(answer)
    with pytest.raises(error):
        bot.client.send(MESSAGE, NOW)
    assert 3 <= len(bot.bodies) <= 12
    assert bot.now_s <= 12


def test_an_attempt_that_the_deadline_ends_hides_no_answer() -> None:
    bot = Bot(11232)
    answered = bot.answer

    def late(request: httpx.Request) -> httpx.Response:
        if bot.now_s > 8:
            bot.now_s = 13
            raise httpx.ReadTimeout("no answer in what was left")
        return answered(request)

    bot.client._wire._transport = httpx.MockTransport(late)
    with pytest.raises(FeishuThrottled):
        bot.client.send(MESSAGE, NOW)
    assert bot.now_s == 13


def test_card_and_text_share_one_budget() -> None:
    bot = Bot(11232, 11246, httpx.ReadTimeout("t"))
    with pytest.raises(FeishuUnreachable):
        bot.client.deliver(sample("p0-sos", "zh"), now=NOW, locale="zh", zone=ZONE)
    assert bot.now_s <= 12


@pytest.mark.parametrize(
    "refusal",
    [11246, 19002, 230099, httpx.Response(400, json={"code": 9499, "msg": "Bad Request"}), httpx.Response(413)],
)
def test_a_refused_card_is_sent_as_text(refusal: Any) -> None:
    bot = Bot(refusal, 0)
    assert bot.client.deliver(sample("p1-task-failed", "zh"), now=NOW, locale="zh", zone=ZONE) == "text"
    assert [body["msg_type"] for body in bot.bodies] == ["interactive", "text"]
    assert "任务失败" in bot.bodies[1]["content"]["text"]


def test_the_older_success_is_understood() -> None:
    Bot(httpx.Response(200, json={"StatusCode": 0, "StatusMessage": "success"})).client.send(MESSAGE, NOW)


@pytest.mark.parametrize(
    "failure",
    [
        19001,
        11232,
        httpx.ConnectError(f"cannot connect to {URL}"),
        httpx.InvalidURL(f"bad {URL}"),
        httpx.Response(302, headers={"location": URL}),
    ],
)
def test_the_credential_shows_nowhere(failure: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    bot = Bot(failure)
    with pytest.raises(MindGuardError) as caught:
        bot.client.send(MESSAGE, NOW)
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    seen = f"{error} {error!r} {vars(error)} {bot.client!r} {bot.client} {caplog.text}"
    assert TOKEN not in seen
    assert SECRET not in seen


def test_httpx_logs_again_afterwards(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, logger="httpx")
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", False)
    Bot(0).client.send(MESSAGE, NOW)
    assert not caplog.records
    logging.getLogger("httpx").info("another client")
    assert caplog.messages == ["another client"]


def _url_of(connection: Connection) -> str:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"code": 0})

    client = hook_from_connection(connection)
    client._wire._transport = httpx.MockTransport(answer)
    client.send(MESSAGE, NOW)
    return asked[0]


HOOKS = "/open-apis/bot/v2/hook/"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, f"https://open.feishu.cn{HOOKS}{TOKEN}"),
        ({"host": "open.larksuite.com"}, f"https://open.larksuite.com{HOOKS}{TOKEN}"),
        ({"host": f"https://open.larksuite.com{HOOKS}"}, f"https://open.larksuite.com{HOOKS}{TOKEN}"),
        ({"host": "127.0.0.1", "port": 8123, "schema": "http"}, f"http://127.0.0.1:8123{HOOKS}{TOKEN}"),
        ({"host": "http://127.0.0.1", "port": 8123}, f"http://127.0.0.1:8123{HOOKS}{TOKEN}"),
        ({"host": "http://127.0.0.1:8123/"}, f"http://127.0.0.1:8123{HOOKS}{TOKEN}"),
        ({"host": "gateway.example/feishu", "port": 8443}, f"https://gateway.example:8443/feishu/{TOKEN}"),
        ({"password": f"http://127.0.0.1:9{HOOKS}{TOKEN}", "host": "ignored"}, f"http://127.0.0.1:9{HOOKS}{TOKEN}"),
    ],
)
def test_a_connection_says_where_the_hook_is(fields: dict[str, Any], url: str) -> None:
    assert _url_of(Connection(**{"conn_id": "c", "conn_type": "feishu", "password": TOKEN, **fields})) == url


def test_a_connection_from_the_environment() -> None:
    variable = {"AIRFLOW_CONN_MINDGUARD_FEISHU": f"feishu://:{TOKEN}@127.0.0.1:8123/http?secret={SECRET}"}
    connection = from_environment("mindguard_feishu", variable)
    assert _url_of(connection) == f"http://127.0.0.1:8123{HOOKS}{TOKEN}"
    assert "signed=True" in repr(hook_from_connection(connection))


@pytest.mark.parametrize(
    "fields",
    [
        {"password": ""},
        {"password": "https://"},
        {"password": f"https://h:99999/{TOKEN}"},
        {"password": f"{TOKEN}\n/x"},
        {"host": "ftp://h"},
    ],
)
def test_an_unusable_connection_is_refused_without_quoting_it(fields: dict[str, Any]) -> None:
    with pytest.raises(MindGuardError) as caught:
        hook_from_connection(Connection(**{"conn_id": "c", "conn_type": "feishu", "password": TOKEN, **fields}))
    assert TOKEN not in str(caught.value)


def test_importing_the_client_does_not_import_httpx() -> None:
    # Every callback imports it; httpx costs 0.2 s.
    program = "import sys, mindguard.feishu.client; sys.exit('httpx' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
