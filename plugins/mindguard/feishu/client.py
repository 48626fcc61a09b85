"""Sends messages through a Feishu custom bot, and says honestly whether they arrived.

Feishu answers HTTP 200 with an error code in the body, so the code decides, not the status. The hook's address
is a credential: it stands in no exception, no repr and no log line of this process.

Source: Feishu's custom bot documentation (signature, limits, error codes).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert
from mindguard.alerts.masking import fold, mask_secrets, printable
from mindguard.alerts.severity import Locale
from mindguard.connections import Connection
from mindguard.errors import MindGuardError
from mindguard.feishu.card import Json, encode, hook_message, render_card, render_text, text_message

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE = "https://open.feishu.cn/open-apis/bot/v2/hook/"

BUDGET_S = 12.0
"""Seconds for one delivery with all its tries: Airflow kills a callback after 20 s."""

# Set up wrongly: neither another try nor another form of the message helps.
_HINTS = {
    19001: "the hook token is wrong or the bot was removed: copy the webhook address into the connection",
    19021: "the signing secret is wrong (bot settings, 签名校验) or a clock is off by over an hour",
    19022: "this machine's address is not on the bot's IP allowlist: add it in the bot's security settings",
    19024: "the message lacks the bot's keyword: add 告警 to its keywords, or use the signature instead",
}
_THROTTLED_CODES = {11232, 230020}
_BAD_REQUEST = 9499  # also "too many request"

_LARGEST_ANSWER = 64 * 1024


class FeishuRefused(MindGuardError):
    """Feishu will not take this message, however often it is sent.

    Attributes:
        code: Feishu's code, or the HTTP status of an answer without one.
        msg: Feishu's own words.
    """

    def __init__(self, code: int, msg: str) -> None:
        hint = _HINTS.get(code, "the content is at fault: `mindguard feishu preview CASE` shows what is sent")
        super().__init__(f"Feishu refused the message: code {code}, {msg or 'no reason given'}", hint=hint)
        self.code = code
        self.msg = msg

    @property
    def about_content(self) -> bool:
        """Whether the same news in another form may be taken."""
        return self.code not in _HINTS


class FeishuThrottled(MindGuardError):
    """Feishu's limits (5 per second, 100 per minute and bot) were still exceeded after all tries."""

    def __init__(self, code: int, msg: str, tries: int) -> None:
        super().__init__(
            f"Feishu still throttles after {tries} tries: code {code}, {msg or 'no reason given'}",
            hint="send again in a minute; if this is usual, give the alerts a bot of their own",
        )
        self.code = code
        self.tries = tries


class FeishuUnreachable(MindGuardError):
    """No usable answer came: connection, timeout, or a server's error. The message may have arrived."""

    def __init__(self, host: str, reason: str, tries: int) -> None:
        super().__init__(
            f"{host} gave no usable answer in {tries} tries: {reason}",
            hint="check the connection's host, DNS, proxy and firewall from this machine",
        )
        self.host = host
        self.reason = reason
        self.tries = tries


def sign(timestamp: int, secret: str) -> str:
    """Signature of a custom bot's message: base64 of HMAC-SHA256, keyed by time and secret, of nothing.

    Args:
        timestamp: Unix seconds; Feishu takes it for 3600 s.
    """
    return base64.b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)).decode()


class HookClient:
    """A custom bot's webhook. Safe to print; not tied to a thread.

    Args:
        url: the whole webhook address, a credential.
        secret: signing secret; empty where the bot has no signature check.
        timeout_s: for each step (connect, write, read) of one try.
        budget_s: for a delivery with all its tries. Looking a host name up is not bounded by it.
        transport: replaces the network in tests.

    Raises:
        MindGuardError: the address is not http or https with a host and a token.
    """

    def __init__(
        self,
        url: str,
        secret: str = "",
        *,
        timeout_s: float = 5.0,
        budget_s: float = BUDGET_S,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.host, token = _host_and_token(url)
        self._url = url
        self._secret = secret
        self._secrets = (url, token, secret)
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    def __repr__(self) -> str:
        return f"HookClient(host={self.host!r}, signed={bool(self._secret)})"

    def send(self, message: Json, now: datetime) -> None:
        """Send one message body and return once Feishu has confirmed it.

        Tries again, with growing and jittered waits, when throttled, on a server's error and on timeouts, as
        long as the budget lasts. A message whose answer was lost may so arrive twice.

        Args:
            message: see `card.hook_message` and `card.text_message`.
            now: aware; goes into the signature.

        Raises:
            FeishuRefused: at once, without another try.
            FeishuThrottled: throttled until the budget was spent.
            FeishuUnreachable: no usable answer until the budget was spent.
        """
        self._send(message, now, self._clock() + self._budget_s)

    def deliver(self, alert: Alert, *, now: datetime, locale: Locale, zone: ZoneInfo) -> Literal["card", "text"]:
        """Send the alert as a card or, if Feishu refuses the card for its content, as plain text.

        Both together keep the budget. Raises as `send` does. Returns which form arrived.
        """
        deadline = self._clock() + self._budget_s
        card = render_card(alert, locale=locale, zone=zone, secrets=self._secrets)
        try:
            self._send(hook_message(card), now, deadline)
        except FeishuRefused as refused:
            if not refused.about_content:
                raise
        else:
            return "card"
        text = render_text(alert, locale=locale, zone=zone, secrets=self._secrets)
        self._send(text_message(text), now, deadline)
        return "text"

    def _send(self, message: Json, now: datetime, deadline: float) -> None:
        body = encode(self._signed(message, int(now.timestamp())))
        tries = 0
        while True:
            tries += 1
            failure = self._try(body, deadline, tries)
            if failure is None:
                return
            wait_s = min(0.5 * 2 ** (tries - 1), 4.0) * (0.5 + self._jitter() / 2)
            if isinstance(failure, FeishuRefused) or self._clock() + wait_s >= deadline:
                raise failure
            self._sleep(wait_s)

    def _signed(self, message: Json, timestamp: int) -> Json:
        if not self._secret:
            return message
        return {"timestamp": str(timestamp), "sign": sign(timestamp, self._secret), **message}

    def _try(self, body: bytes, deadline: float, tries: int) -> MindGuardError | None:
        """One try. Its error is returned, not raised: an httpx error as its context would hold the address."""
        import httpx

        left_s = max(deadline - self._clock(), 0.1)
        try:
            status, answer = self._post(body, min(self._timeout_s, left_s), deadline)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            reason = self._masked(f"{type(error).__name__} {error}")
            return FeishuUnreachable(self.host, reason, tries)
        return self._judge(status, answer, tries)

    def _post(self, body: bytes, timeout_s: float, deadline: float) -> tuple[int, bytes]:
        import httpx

        answer = b""
        with (
            _request_lines_unlogged(),
            httpx.Client(timeout=timeout_s, transport=self._transport) as client,
            client.stream(
                "POST", self._url, content=body, headers={"Content-Type": "application/json; charset=utf-8"}
            ) as response,
        ):
            for piece in response.iter_bytes():
                answer += piece
                if len(answer) > _LARGEST_ANSWER or self._clock() > deadline:
                    break
        return response.status_code, answer

    def _judge(self, status: int, answer: bytes, tries: int) -> MindGuardError | None:
        code, msg = _code_and_msg(answer)
        msg = self._masked(msg)
        if status == 429 or code in _THROTTLED_CODES or (code == _BAD_REQUEST and "too many" in msg.lower()):
            return FeishuThrottled(code or status, msg, tries)
        if status >= 500 or (code is None and status < 400):
            return FeishuUnreachable(self.host, f"HTTP {status} {msg}".rstrip(), tries)
        if code == 0 and status < 300:
            return None
        return FeishuRefused(code or status, msg)

    def _masked(self, text: str) -> str:
        return fold(" ".join(mask_secrets(printable(text), self._secrets).split()), 300)


def hook_from_connection(connection: Connection) -> HookClient:
    """The bot that a connection of type `feishu` (or `http`) describes.

    | field | meaning |
    |---|---|
    | password | the hook token, or the whole webhook address; then host, port and schema are not read |
    | host | where the hooks are; empty means Feishu. Without a path, Feishu's path is added |
    | schema | `http` or `https` (default), unless the host says it |
    | port | added to the host |
    | extra.secret | the signing secret, where the bot checks signatures |

    Raises:
        MindGuardError: no token, or no usable address.
    """
    token = connection.password.strip()
    if not token:
        raise MindGuardError(
            f"connection {connection.conn_id!r} has no hook token",
            hint="put the last part of the bot's webhook address, or all of it, into the password",
        )
    url = token if token.startswith(("https://", "http://")) else _base(connection) + token
    return HookClient(url, str(connection.extra.get("secret") or ""))


def _base(connection: Connection) -> str:
    host = connection.host.strip()
    if not host:
        return DEFAULT_BASE
    if "://" not in host:
        host = f"{connection.schema if connection.schema in ('http', 'https') else 'https'}://{host}"
    parts = urlsplit(host)
    port = f":{connection.port}" if connection.port and ":" not in parts.netloc else ""
    path = parts.path.strip("/") or urlsplit(DEFAULT_BASE).path.strip("/")
    return f"{parts.scheme}://{parts.netloc}{port}/{path}/"


def _host_and_token(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        usable = parts.scheme in ("http", "https") and bool(host) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url or not parts.path.strip("/"):
        raise MindGuardError(
            "the Feishu hook's address is not usable",
            hint="it reads like https://open.feishu.cn/open-apis/bot/v2/hook/TOKEN; check host and password",
        )
    return host, parts.path.rstrip("/").rsplit("/", 1)[-1]


def _code_and_msg(answer: bytes) -> tuple[int | None, str]:
    """Feishu's code and words; None where the answer is not Feishu's."""
    try:
        parsed: Any = json.loads(answer)
    except ValueError:
        return None, ""
    if not isinstance(parsed, dict):
        return None, ""
    code = parsed.get("code", parsed.get("StatusCode"))
    msg = parsed.get("msg", parsed.get("StatusMessage"))
    return (code if isinstance(code, int) else None), str(msg or "")


class _NotFromThread(logging.Filter):
    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        return threading.get_ident() != self._thread


@contextmanager
def _request_lines_unlogged() -> Iterator[None]:
    """Keep httpx from logging the address that this thread posts to, at whatever level."""
    log = logging.getLogger("httpx")
    quiet = _NotFromThread(threading.get_ident())
    log.addFilter(quiet)
    try:
        yield
    finally:
        log.removeFilter(quiet)
