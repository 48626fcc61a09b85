"""An object store with faults: a proxy on loopback in front of the real one."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import unquote

How = Literal[
    "reset", "swallow", "truncate", "break", "shorten", "rot", "page", "mask", "blank", "accept", "stall", "drip"
]
"""How an exchange goes wrong.

`reset`: the connection is reset before the store is asked. `swallow`: the store does what it is asked, but the answer
is lost. `truncate`, `break`, `shorten`: only half of the answer's body arrives, and then the connection is closed, or
reset, or all seems well. `rot`: one bit of the body is wrong, while the store's checksum of it stays the right one.
`page`: the answer is an HTML page with status 200, as of a proxy's login, and the store is not asked. `mask`: the same
page, but the store does what it is asked. `blank`: the answer has status 200 and nothing else, and the store is not
asked. `accept`: the answer is that to a successful write, and the store is not asked. `stall`: the store is asked, but
nothing of its answer arrives. `drip`: the body of its answer arrives, a byte each second.
"""

PAGE: tuple[dict[str, str], bytes] = {"Content-Type": "text/html"}, b"<html><body>Please sign in.</body></html>"
INSTEAD: dict[Any, tuple[dict[str, str], bytes]] = {"page": PAGE, "blank": ({}, b""), "accept": ({"ETag": "0"}, b"")}

Answer = tuple[int, str] | How | Callable[[bytes], bytes] | None
Fault = Callable[[str, str, dict[str, str]], Answer]
"""`fault(method, path, headers)` returns a status and an S3 code, or how the exchange goes wrong, or a function that
changes the body of the store's answer, or None: no fault."""


class Some:
    """A fault of some requests: those whose decoded path contains a text.

    Args:
        answer: what happens to them.
        method: the HTTP method of the requests; None: any.
        within: the text that their path contains.
        after: how many of them succeed first.
        times: how many then fail; None: all.
    """

    def __init__(
        self, answer: Answer, method: str | None = None, within: str = "", *, after: int = 0, times: int | None = None
    ) -> None:
        self._answer = answer
        self._method = method
        self._within = within
        self._wrong = range(after, after + times if times is not None else 1_000_000)
        self._lock = threading.Lock()
        self.matching = 0

    @property
    def happened(self) -> int:
        """How many requests failed."""
        return len(range(self._wrong.start, min(self._wrong.stop, self.matching)))

    def __call__(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        if self._method not in (None, method) or self._within not in unquote(path):
            return None
        with self._lock:
            number, self.matching = self.matching, self.matching + 1
        return self._answer if number in self._wrong else None


class _Handler(BaseHTTPRequestHandler):
    endpoint: str
    fault: Fault
    skew: timedelta
    ended: threading.Event
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def date_time_string(self, timestamp: Any = None) -> str:
        return format_datetime(datetime.now(UTC) + self.skew, usegmt=True)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.fault(self.command, self.path, headers)
        if isinstance(answer, tuple):
            status, code = answer
            self.reply(status, {}, f"<Error><Code>{code}</Code></Error>".encode() if code else b"")
            return
        if answer in INSTEAD:
            self.reply(200, *INSTEAD[answer])
            return
        if answer == "reset":
            self.reset()
            return
        request = urllib.request.Request(
            self.endpoint + self.path, body or None, dict(self.headers), method=self.command
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as real:
                status, given, body = real.status, dict(real.headers), real.read()
        except HTTPError as error:
            status, given, body = error.code, dict(error.headers), error.read()
        self.distort(answer, status, given, body)

    def distort(self, answer: Answer, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send the store's answer, or what is left of it."""
        if answer == "swallow":
            self.reset()
            return
        if answer == "mask":
            status, (headers, body) = 200, PAGE
        if answer == "stall":
            self.ended.wait()
            self.close_connection = True
            return
        if callable(answer):
            body = answer(body)
        if answer == "rot":
            body = body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]
        if answer == "shorten":
            body = body[: len(body) // 2]
            # As a store that gives no checksums: else botocore would notice.
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("x-amz-checksum")}
        self.reply(status, headers, body, cut=answer)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def reply(self, status: int, headers: dict[str, str], body: bytes, *, cut: Answer = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"date", "content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        half = body[: len(body) // 2] if cut in ("truncate", "break") else body
        if cut == "drip":
            self.close_connection = True
            for byte in body:
                if self.ended.wait(1):
                    return
                with suppress(OSError):
                    self.wfile.write(bytes([byte]))
            return
        self.wfile.write(b"" if self.command == "HEAD" else half)
        if cut == "truncate":
            self.close_connection = True
        elif cut == "break":
            self.reset()

    def reset(self) -> None:
        """End the connection by a reset instead of an orderly close."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()


@contextmanager
def s3_proxy(
    endpoint: str, fault: Fault, skew: timedelta = timedelta(), *, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Put a proxy with this fault in front of a store, and yield the proxy's endpoint.

    The Host header is passed on as it came, so that signatures stay valid.

    Args:
        endpoint: endpoint of the real store.
        fault: what goes wrong.
        skew: by how much the store's clock seems to be fast.
        tls: with which the proxy speaks; None: plain HTTP.
    """
    ended = threading.Event()
    of_this_proxy = {"endpoint": endpoint, "fault": staticmethod(fault), "skew": skew, "ended": ended}
    handler = type("Handler", (_Handler,), of_this_proxy)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            ended.set()
            server.shutdown()
