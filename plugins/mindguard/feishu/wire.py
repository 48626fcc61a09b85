"""HTTP exchanges with Feishu: repeated while that may help and the time budget lasts, without revealing credentials.

Addresses, tokens and bodies may be credentials: none appears in an exception, repr or log line of this process.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from mindguard.connections import Connection, http_address
from mindguard.errors import MindGuardError
from mindguard.feishu.answers import FeishuRefused, FeishuUnreachable, code_and_msg, error_of, parsed
from mindguard.fetch import FetchFailed, in_words, within
from mindguard.masking import fold, mask_secrets, printable

if TYPE_CHECKING:
    import httpx

BUDGET_S = 12.0
"""Time limit in seconds of one delivery with all its attempts: Airflow kills a callback after 20 s."""

_LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True)
class ApiRequest:
    """An HTTP request to Feishu."""

    method: str
    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def endpoint(connection: Connection, default: str) -> SplitResult:
    """Return the address that a connection's host, port and schema form; `default` if it names no host."""
    return http_address(connection, protocol="https") if connection.host.strip() else urlsplit(default)


class Wire:
    """Carries requests to one host. Safe to print; not tied to a thread.

    Args:
        host: the host, for error messages.
        secrets: values that must not appear in an error.
        timeout_s: seconds for each step (connect, write, read) of one attempt.
        budget_s: seconds for a delivery with all its attempts. It does not bound the lookup of a host name.
        transport: replaces the network in tests.
        clock: returns seconds on a clock that only goes forward.
        sleep: waits for a number of seconds.
        jitter: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        host: str,
        secrets: tuple[str, ...],
        *,
        timeout_s: float = 5.0,
        budget_s: float = BUDGET_S,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._host = host
        self._secrets = secrets
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    def deadline(self) -> float:
        """Return when a delivery that begins now must be done, on this wire's clock."""
        return self._clock() + self._budget_s

    def clock(self) -> float:
        """Return seconds on a clock that only goes forward."""
        return self._clock()

    def exchange(self, request: ApiRequest, deadline: float) -> dict[str, Any]:
        """Send the request until Feishu confirms it, and return its answer. The waits between attempts grow.

        Raises:
            FeishuRefused: Feishu refused the request; it is not sent again.
            FeishuThrottled: Feishu throttled all attempts until the deadline.
            FeishuUnreachable: There was no usable answer until the deadline.
        """
        tries = 0
        before: MindGuardError | None = None
        while True:
            tries += 1
            outcome = self._try(request, deadline, tries)
            if not isinstance(outcome, MindGuardError):
                return outcome
            if before and isinstance(outcome, FeishuUnreachable) and self._clock() >= deadline:
                raise before  # The deadline ended this attempt, so that it says nothing about Feishu.
            before = outcome
            wait_s = min(0.5 * 2 ** (tries - 1), 4.0) * (0.5 + self._jitter() / 2)
            if isinstance(outcome, FeishuRefused) or self._clock() + wait_s >= deadline:
                raise outcome
            self._sleep(wait_s)

    def _try(self, request: ApiRequest, deadline: float, tries: int) -> dict[str, Any] | MindGuardError:
        """Send once. An error is returned, not raised: its context, an httpx error, would contain the address."""
        import httpx

        remaining_s = max(deadline - self._clock(), 0.1)
        try:
            # The time limit of the client begins anew with each byte of the headers.
            send = partial(self._send, request, min(self._timeout_s, remaining_s), deadline)
            status, answer = within(remaining_s, send)
        except FetchFailed as error:
            return FeishuUnreachable(self._host, str(error), tries)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return FeishuUnreachable(self._host, in_words(error), tries)
        code, msg = code_and_msg(answer)
        return error_of(self._host, status, code, self._masked(msg), tries) or parsed(answer)

    def _send(self, request: ApiRequest, timeout_s: float, deadline: float) -> tuple[int, bytes]:
        import httpx

        answer = b""
        headers = {"Content-Type": "application/json; charset=utf-8", **request.headers}
        with (
            _request_lines_unlogged(),
            httpx.Client(timeout=timeout_s, transport=self._transport) as client,
            client.stream(request.method, request.url, content=request.body, headers=headers) as response,
        ):
            for piece in response.iter_bytes():
                answer += piece
                if len(answer) > _LARGEST_ANSWER or self._clock() > deadline:
                    break
        return response.status_code, answer

    def _masked(self, text: str) -> str:
        return fold(" ".join(mask_secrets(printable(text), self._secrets).split()), 300)


class _NotFromThread(logging.Filter):
    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        return threading.get_ident() != self._thread


@contextmanager
def _request_lines_unlogged() -> Iterator[None]:
    """Keep httpx from logging the address to which this thread posts, at any level."""
    log = logging.getLogger("httpx")
    not_this_thread = _NotFromThread(threading.get_ident())
    log.addFilter(not_this_thread)
    try:
        yield
    finally:
        log.removeFilter(not_this_thread)
