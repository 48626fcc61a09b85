"""Send messages as a Feishu app: cards that change after they were sent, answers in a thread, urgent messages.

Source: Feishu's documentation of `auth/v3/tenant_access_token/internal` and `im/v1/messages`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from mindguard.connections import Connection
from mindguard.errors import MindGuardError
from mindguard.feishu.answers import TOKEN_EXPIRED, FeishuRefused
from mindguard.feishu.message import Json, encode
from mindguard.feishu.wire import ApiRequest, Wire, endpoint

DEFAULT_BASE = "https://open.feishu.cn"

Means = Literal["app", "sms", "phone"]

_RENEW_BEFORE_S = 600
"""Feishu returns the same token until half an hour before it expires, then a new one while the old is still valid."""


class AppClient:
    """An app's bot in one group. Safe to print; may be used by several threads.

    Args:
        base: address of the API, for instance `https://open.feishu.cn`.
        app_id: the app's id.
        app_secret: the app's secret.
        chat_id: the id of the group.
        wire: options of `Wire`.

    Raises:
        MindGuardError: `base` is not an http or https address.
    """

    def __init__(self, base: str, app_id: str, app_secret: str, chat_id: str, **wire: Any) -> None:
        self.host = urlsplit(base).hostname or ""
        if not self.host or urlsplit(base).scheme not in ("http", "https"):
            raise MindGuardError("the Feishu API's address is not usable", hint=f"leave it empty for {DEFAULT_BASE}")
        self._base = base.rstrip("/") + "/open-apis"
        self.app_id = app_id
        self._app_secret = app_secret
        self._chat_id = chat_id
        self.secrets = (app_secret,)
        self._wire_options = wire
        self.wire = Wire(self.host, self.secrets, **wire)
        self._lock = threading.Lock()
        self._token = ""
        self._token_ends = 0.0

    def __repr__(self) -> str:
        return f"AppClient(host={self.host!r}, app_id={self.app_id!r})"

    def send(self, message: Json, *, uuid: str, deadline: float) -> str:
        """Send a message to the group and return its id.

        Args:
            message: see `message.hook_message` and `message.text_message`.
            uuid: at most 50 characters; Feishu shows messages with the same one only once an hour.
            deadline: end of the time budget, on the clock of `Wire`.

        Raises:
            FeishuRefused, FeishuThrottled, FeishuUnreachable: see `Wire.exchange`.
        """
        body = {"receive_id": self._chat_id, **_app_form(message), "uuid": uuid}
        answer = self._call("POST", "/im/v1/messages?receive_id_type=chat_id", body, deadline)
        return _message_id(answer)

    def reply(self, message_id: str, message: Json, *, uuid: str, deadline: float) -> str:
        """Answer in the message's thread and return the answer's id. Raises the errors of `send`."""
        body = {**_app_form(message), "reply_in_thread": True, "uuid": uuid}
        return _message_id(self._call("POST", f"/im/v1/messages/{quote(message_id, safe='')}/reply", body, deadline))

    def change(self, message_id: str, message: Json, *, deadline: float) -> None:
        """Replace the card of a message. Raises the errors of `send`; after 14 days FeishuRefused with code 230031."""
        body = {"content": _app_form(message)["content"]}
        self._call("PATCH", f"/im/v1/messages/{quote(message_id, safe='')}", body, deadline)

    def urge(self, message_id: str, open_ids: Sequence[str], means: Means, *, deadline: float) -> list[str]:
        """Call people to a message and return the ids of those who could not be called. Raises the errors of `send`."""
        path = f"/im/v1/messages/{quote(message_id, safe='')}/urgent_{means}?user_id_type=open_id"
        answer = self._call("PATCH", path, {"user_id_list": list(open_ids)}, deadline)
        return [str(each) for each in (answer.get("data") or {}).get("invalid_user_id_list") or []]

    def _call(self, method: str, path: str, body: Json, deadline: float) -> dict[str, Any]:
        """Send a request with the token; send it again with a new one if Feishu says that the token has expired."""
        token = self._current_token(deadline)
        try:
            return self._exchange(method, path, body, token, deadline)
        except FeishuRefused as refused:
            if refused.code not in TOKEN_EXPIRED:
                raise
        with self._lock:
            if self._token == token:
                self._token = ""
        return self._exchange(method, path, body, self._current_token(deadline), deadline)

    def _exchange(self, method: str, path: str, body: Json, token: str, deadline: float) -> dict[str, Any]:
        wire = Wire(self.host, (*self.secrets, token), **self._wire_options)
        headers = {"Authorization": f"Bearer {token}"}
        return wire.exchange(ApiRequest(method, self._base + path, encode(body), headers), deadline)

    def _current_token(self, deadline: float) -> str:
        with self._lock:
            if not self._token or self.wire.clock() >= self._token_ends:
                body = encode({"app_id": self.app_id, "app_secret": self._app_secret})
                url = f"{self._base}/auth/v3/tenant_access_token/internal"
                answer = self.wire.exchange(ApiRequest("POST", url, body), deadline)
                self._token = str(answer.get("tenant_access_token") or "")
                lasts_s = float(answer.get("expire") or 0)
                self._token_ends = self.wire.clock() + max(lasts_s - _RENEW_BEFORE_S, lasts_s / 2)
            return self._token


def app_from_connection(connection: Connection, **wire: Any) -> AppClient:
    """Return the app that a connection describes.

    `app_id` and `app_secret` are its login and password, or are in its extras; `chat_id` is in its extras.

    Raises:
        MindGuardError: One of them is missing.
    """
    app_id = connection.login.strip() or str(connection.extra.get("app_id") or "")
    app_secret = str(connection.extra.get("app_secret") or "") or connection.password.strip()
    chat_id = str(connection.extra.get("chat_id") or "")
    for name, value in (("app_id", app_id), ("app_secret", app_secret), ("chat_id", chat_id)):
        if not value:
            raise MindGuardError(
                f"connection {connection.conn_id!r} has no {name}",
                hint="an app needs app_id, app_secret and the chat_id (oc_…) of the group that its bot is in",
            )
    parts = endpoint(connection, DEFAULT_BASE)
    return AppClient(f"{parts.scheme}://{parts.netloc}", app_id, app_secret, chat_id, **wire)


def is_app(connection: Connection) -> bool:
    """Return whether the connection describes an app, not a custom bot."""
    return connection.login.strip().startswith("cli_") or bool(connection.extra.get("app_id"))


def _app_form(message: Json) -> Json:
    """Return a custom bot's body as an app sends it: the content is JSON in a string, and a card may change later."""
    if message["msg_type"] != "interactive":
        return {"msg_type": message["msg_type"], "content": encode(message["content"]).decode()}
    card = message["card"]
    shared = {**card, "config": {**card["config"], "update_multi": True}}
    return {"msg_type": "interactive", "content": encode(shared).decode()}


def _message_id(answer: dict[str, Any]) -> str:
    return str((answer.get("data") or {}).get("message_id") or "")
