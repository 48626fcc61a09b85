"""Send messages through a Feishu custom bot, and report whether they arrived.

The hook's address is a credential: it appears in no exception, repr or log line of this process.

Source: Feishu's custom bot documentation (signature, limits).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Digest
from mindguard.connections import Connection
from mindguard.errors import MindGuardError
from mindguard.feishu.answers import FeishuRefused
from mindguard.feishu.forms import Form, forms
from mindguard.feishu.message import Json, encode
from mindguard.feishu.wire import ApiRequest, Wire, endpoint
from mindguard.texts import Locale

DEFAULT_BASE = "https://open.feishu.cn/open-apis/bot/v2/hook/"


def sign(timestamp: int, secret: str) -> str:
    """Return the signature of a custom bot's message: base64 of the HMAC-SHA256 of an empty text, keyed by both.

    Args:
        timestamp: Unix seconds; Feishu accepts it for 3600 s.
        secret: the bot's signing secret.
    """
    return base64.b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)).decode()


class HookClient:
    """A custom bot's webhook. Safe to print; not tied to a thread.

    Args:
        url: the whole webhook address, a credential.
        secret: signing secret; empty if the bot does not check signatures.
        wire: options of `Wire`.

    Raises:
        MindGuardError: The address is not an http or https address with a host and a token.
    """

    def __init__(self, url: str, secret: str = "", **wire: Any) -> None:
        self.host, token = _host_and_token(url)
        self._url = url
        self._secret = secret
        self._secrets = (url, token, secret)
        self._wire = Wire(self.host, self._secrets, **wire)

    def __repr__(self) -> str:
        return f"HookClient(host={self.host!r}, signed={bool(self._secret)})"

    def send(self, message: Json, now: datetime) -> None:
        """Send one message body and return once Feishu has confirmed it.

        A message whose answer was lost may arrive twice.

        Args:
            message: see `message.hook_message` and `message.text_message`.
            now: the present time, aware; used in the signature.

        Raises:
            FeishuRefused, FeishuThrottled, FeishuUnreachable: see `Wire.exchange`.
        """
        self._send(message, now, self._wire.deadline())

    def deliver(self, item: Alert | Digest, *, now: datetime, locale: Locale, zone: ZoneInfo) -> Form:
        """Send a card or, if Feishu refuses its content, the card without mentions, and at last plain text.

        All attempts together keep the time budget. Return the form that arrived; raise the errors of `send`.
        """
        deadline = self._wire.deadline()
        for form, message in forms(item, locale=locale, zone=zone, now=now, secrets=self._secrets):
            try:
                self._send(message, now, deadline)
            except FeishuRefused as refused:
                if not refused.about_content or form == "text":
                    raise
            else:
                return form
        raise AssertionError("text is the last form")

    def _send(self, message: Json, now: datetime, deadline: float) -> None:
        body = encode(self._signed(message, int(now.timestamp())))
        self._wire.exchange(ApiRequest("POST", self._url, body), deadline)

    def _signed(self, message: Json, timestamp: int) -> Json:
        if not self._secret:
            return message
        return {"timestamp": str(timestamp), "sign": sign(timestamp, self._secret), **message}


def hook_from_connection(connection: Connection) -> HookClient:
    """Return the bot that a connection of type `feishu` (or `http`) describes.

    | field | meaning |
    |---|---|
    | password | the hook token, or the whole webhook address; then host, port and schema are ignored |
    | host | the host of the hooks; empty means Feishu. Without a path, Feishu's path is added |
    | schema | `http` or `https` (default), unless the host contains it |
    | port | added to the host |
    | extra.secret | the signing secret, if the bot checks signatures |

    Raises:
        MindGuardError: There is no token, or no usable address.
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
    parts = endpoint(connection, DEFAULT_BASE)
    path = parts.path.strip("/") or urlsplit(DEFAULT_BASE).path.strip("/")
    return f"{parts.scheme}://{parts.netloc}/{path}/"


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
            hint="it looks like https://open.feishu.cn/open-apis/bot/v2/hook/TOKEN; check host and password",
        )
    return host, parts.path.rstrip("/").rsplit("/", 1)[-1]
