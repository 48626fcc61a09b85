"""The contract of Feishu as pure functions: its codes, its signature window, its limits.

Source: Feishu's documentation of custom bots and messages. Refusals have Feishu's wording where it is known.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from devstack.feishu_sandbox.card_contract import card_fault, mention_fault

MAX_BODY_BYTES = 20 * 1024
SIGNATURE_WINDOW_S = 3600
MESSAGE_TYPES = frozenset({"text", "post", "image", "share_chat"})


@dataclass(frozen=True)
class Answer:
    """Feishu's code, its message and the HTTP status that goes with them."""

    code: int
    msg: str
    status: int = 200
    data: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """Return the answer as the JSON that Feishu sends."""
        legacy = {"StatusCode": 0, "StatusMessage": "success"} if self.code == 0 else {}
        return {**legacy, "code": self.code, "data": self.data or {}, "msg": self.msg}


SUCCESS = Answer(0, "success")
WRONG_TOKEN = Answer(19001, "param invalid: incoming webhook access token invalid")
WRONG_SIGNATURE = Answer(19021, "sign match fail or timestamp is not within one hour from current time")
NO_TYPE = Answer(19002, "params error, msg_type need")
THROTTLED = Answer(11232, "frequency limited")
BAD_REQUEST = Answer(9499, "Bad Request", 400)
TOO_LARGE = Answer(9499, "Bad Request: request body exceeds 20 KB", 400)


def card_refusal(reason: str) -> Answer:
    """Make the answer with which a custom bot refuses a card."""
    return Answer(11246, f"ErrCode: 11310; ErrMsg: {reason}; ")


APP_CARD_BYTES = 30 * 1024
APP_TEXT_BYTES = 150 * 1024
CHANGES_FOR_S = 14 * 24 * 3600
SHOWN_ONCE_FOR_S = 3600
TOKEN_LASTS_S = 7200

WRONG_APP = Answer(10003, "invalid param")
WRONG_APP_SECRET = Answer(10014, "app secret invalid")
NO_ACCESS_TOKEN = Answer(99991661, "Missing access token for authorization.", 400)
WRONG_ACCESS_TOKEN = Answer(99991663, "Invalid access token for authorization. Please make a test attempt.", 400)
NOT_IN_CHAT = Answer(230002, "Bot/User can NOT be out of the chat.", 400)
APP_THROTTLED = Answer(230020, "This operation triggers the frequency limit.", 400)
APP_TOO_LARGE = Answer(230025, "The length of the message content reaches its limit.", 400)
TOO_OLD = Answer(230031, "The message is beyond the time limit for this operation.", 400)
QUOTA = Answer(230024, "Reach the upper limit of urgent message.", 400)
POLICY = Answer(230052, "The urgent message is restricted by policy.", 400)


def invalid(what: str) -> Answer:
    """Make the answer to an app's request with a wrong parameter."""
    return Answer(230001, f"Your request contains an invalid request parameter, ext={what}", 400)


def app_card_refusal(code: int, reason: str) -> Answer:
    """Make the answer that refuses an app's card."""
    return Answer(230099, f"Failed to create card content, ext=ErrCode: {code}; ErrMsg: {reason}; ", 400)


def check_app_content(kind: Any, content: Any) -> tuple[dict[str, Any] | None, Answer]:
    """Check an app's message.

    Args:
        kind: its `msg_type`.
        content: its `content`, which should be JSON in a string.

    Returns:
        The message in a custom bot's form (None when it cannot be read or is too large), and Feishu's answer.
    """
    if kind not in {"interactive", *MESSAGE_TYPES}:
        return None, invalid("msg_type")
    if not isinstance(content, str):
        return None, invalid("content is not a string")
    try:
        parsed = json.loads(content)
    except ValueError:
        return None, invalid("content is not a string in json format")
    message = {"msg_type": kind, "card" if kind == "interactive" else "content": parsed}
    if len(content.encode()) > (APP_CARD_BYTES if kind == "interactive" else APP_TEXT_BYTES):
        return None, APP_TOO_LARGE
    if kind != "interactive":
        answer = check_message(message)
        return message, answer if answer is SUCCESS else invalid("content")
    if not isinstance(parsed, dict):
        return None, app_card_refusal(200621, "parse card json err")
    if fault := card_fault(parsed):
        return message, app_card_refusal(11310, fault)
    if fault := mention_fault(parsed):
        return message, app_card_refusal(100290, fault)
    return message, SUCCESS


def check_signature(message: dict[str, Any], secret: str, now: float) -> bool:
    """Return whether `timestamp` and `sign` in the body are valid.

    Args:
        message: the body.
        secret: the signing secret; without one, everything is valid.
        now: Unix seconds.
    """
    if not secret:
        return True
    stamp = str(message.get("timestamp", ""))
    if not stamp.isdecimal() or abs(now - int(stamp)) > SIGNATURE_WINDOW_S:
        return False
    digest = hmac.new(f"{stamp}\n{secret}".encode(), digestmod=hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest).decode(), str(message.get("sign", "")))


@dataclass
class RateLimit:
    """At most 5 requests in a second and 100 in a minute."""

    per_second: int = 5
    per_minute: int = 100
    _times: deque[float] = field(default_factory=deque)

    def allow(self, now: float) -> bool:
        """Return whether one more request is allowed at `now` (Unix seconds), and count it if it is."""
        while self._times and now - self._times[0] >= 60:
            self._times.popleft()
        if len(self._times) >= self.per_minute or sum(now - t < 1 for t in self._times) >= self.per_second:
            return False
        self._times.append(now)
        return True


def check_message(message: dict[str, Any]) -> Answer:
    """Return Feishu's answer to the content of a custom bot's message."""
    kind = message.get("msg_type")
    if not isinstance(kind, str):
        return NO_TYPE
    if kind == "interactive":
        card = message.get("card")
        if not isinstance(card, dict):
            return Answer(19002, "params error, unknown card value")
        reason = card_fault(card) or mention_fault(card)
        return card_refusal(reason) if reason else SUCCESS
    if kind not in MESSAGE_TYPES:
        return Answer(19002, "params error, msg_type invalid")
    content = message.get("content")
    if not isinstance(content, dict) or (kind == "text" and not str(content.get("text", "")).strip()):
        return Answer(19002, "params error, content need")
    return SUCCESS
