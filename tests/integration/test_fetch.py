"""Answers that come byte by byte, or are larger than anybody needs, against each client that waits for one."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import httpx
import pytest

from mindguard.alerts.dag_runs import rest_api
from mindguard.alerts.dag_runs.rest_api import AirflowRest, AirflowUnreachable
from mindguard.feishu.answers import FeishuUnreachable
from mindguard.feishu.wire import ApiRequest, Wire
from mindguard.fetch import FetchFailed, download, read
from mindguard.monitors import heartbeat
from mindguard.settings import Settings


class Server:
    """Answers each connection with these bytes, one at a time, as long as the client listens."""

    def __init__(self, answer: bytes, pause_s: float = 0.05) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._answer = answer
        self._pause_s = pause_s
        self.close = self._listening.close
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._drip, args=[connection], daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65536)
            for byte in self._answer:
                connection.sendall(bytes([byte]))
                time.sleep(self._pause_s)


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n"


@pytest.fixture(params=[HEADERS + b"X-Slow: " + b"h" * 9999, HEADERS + b"\r\n" + b"b" * 9999], ids=["headers", "body"])
def dripping(request: pytest.FixtureRequest) -> Iterator[Server]:
    with closing(Server(request.param)) as server:
        yield server


def test_a_download_ends_in_time(dripping: Server) -> None:
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1: no answer within 0\.3 s"):
        download(dripping.url, timeout_s=0.3)


def test_a_download_has_a_largest_size() -> None:
    with closing(Server(b"HTTP/1.1 200 OK\r\n\r\n", pause_s=0)) as server:
        assert download(server.url, timeout_s=5) == b""
    answer = httpx.Response(200, content=iter([b"x" * 1_000_000] * 6))
    with pytest.raises(FetchFailed, match="larger than 5 MB"):
        read(answer)


def test_a_signal_of_life_ends_in_time(
    dripping: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat, "_TIMEOUT_S", 0.3)
    plain: dict[str, Any] = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}
    settings = Settings.model_validate({**plain, "watch": {"heartbeat_url": dripping.url}})
    with caplog.at_level(logging.WARNING):
        heartbeat.beat(settings, "freshness")
    # Nobody reads the body, so it may take as long as it likes.
    assert caplog.messages in ([], ["watch.heartbeat_url: no answer within 0.3 s"])


def test_a_message_to_feishu_ends_in_time(dripping: Server) -> None:
    wire = Wire("127.0.0.1", (), timeout_s=0.2, budget_s=0.4)
    with pytest.raises(FeishuUnreachable):
        wire.exchange(ApiRequest("POST", dripping.url, b"{}"), wire.deadline())


def test_a_question_to_airflow_ends_in_time(dripping: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_api, "_CALL_S", 0.3)
    with pytest.raises(AirflowUnreachable, match=r"no answer within 0\.3 s"), AirflowRest(dripping.url, "u", "p"):
        pass


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/", "the connection is refused"),
        ("http://no-such-host.invalid/", "its host name is not known"),
        ("ftp://127.0.0.1/", "the address does not begin with http"),
        ("http://127.0.0.1:x/", "the address is not valid"),
    ],
)
def test_why_a_call_failed_is_said_in_words(url: str, words: str) -> None:
    with pytest.raises(FetchFailed, match=words):
        download(url, timeout_s=10)


def test_a_server_without_http_or_tls_is_named_as_one() -> None:
    with closing(Server(b"220 mail ready\r\n\r\n", pause_s=0)) as server:
        with pytest.raises(FetchFailed, match="it does not speak HTTP"):
            download(server.url, timeout_s=5)
        with pytest.raises(FetchFailed, match="there is no TLS connection to it"):
            download(server.url.replace("http:", "https:"), timeout_s=5)
