"""Turn Feishu's answers into errors that say what to do and whether another attempt may succeed.

Feishu answers HTTP 200 with an error code in the body, so the code decides, not the status.

Source: Feishu's documentation of custom bots, of messages and of cards.
"""

from __future__ import annotations

from typing import Any

from mindguard.errors import MindGuardError
from mindguard.fetch import from_json
from mindguard.masking import printable

# The setup is wrong: neither another attempt nor another form of the message helps.
_HINTS = {
    19001: "the hook token is wrong or the bot was removed: copy the webhook address into the connection",
    19021: "the signing secret is wrong (bot settings, 签名校验) or a clock is off by over an hour",
    19022: "this machine's address is not on the bot's IP allowlist: add it in the bot's security settings",
    19024: "the message lacks the bot's keyword: add 告警 to its keywords, or use the signature instead",
    10003: "app_id or app_secret is wrong: copy both from the app's page 凭证与基础信息 into the connection",
    10014: "app_secret is wrong: copy it from the app's page 凭证与基础信息 into the connection's password",
    99991672: "the app lacks the permission im:message:send_as_bot: add it and publish a version of the app",
    230002: "the app's bot is not in the group of chat_id: add it to the group",
    230006: "the app has no bot: switch it on (应用能力, 机器人) and publish a version",
    230013: "the person is outside the app's availability: widen it in the app's settings",
    230001: "chat_id or another parameter is wrong: chat_id reads like oc_…",
    230024: "the quota of urgent messages is used up: buy more, or rely on the other means",
    230052: "the organisation's policy forbids this kind of urgent message: ask its administrator",
}
TOKEN_EXPIRED = frozenset({99991661, 99991663, 99991664, 99991668})
TOO_OLD = frozenset({230031})
URGENT_NOT_ALLOWED = frozenset({230024, 230052})

_THROTTLED_CODES = frozenset({11232, 230020, 99991400})
_LONGEST_MSG = 500
_BAD_REQUEST = 9499  # also "too many request"


class FeishuRefused(MindGuardError):
    """Feishu does not accept this message, however often it is sent.

    Attributes:
        code: Feishu's code, or the HTTP status of an answer without a code.
        msg: Feishu's own message.
    """

    def __init__(self, code: int, msg: str) -> None:
        hint = _HINTS.get(code, "the content is not valid: `mindguard feishu preview CASE` shows what is sent")
        super().__init__(f"Feishu refused the message: code {code}, {msg or 'no reason given'}", hint=hint)
        self.code = code
        self.msg = msg

    @property
    def about_content(self) -> bool:
        """Whether Feishu may accept the same content in another form."""
        return self.code not in _HINTS


class FeishuThrottled(MindGuardError):
    """Feishu's limits (5 per second and 100 per minute for each bot) were still exceeded after all attempts."""

    def __init__(self, code: int, msg: str, tries: int) -> None:
        super().__init__(
            f"Feishu still throttles after {tries} attempts: code {code}, {msg or 'no reason given'}",
            hint="send again in a minute; if this happens often, give the alerts a bot of their own",
        )
        self.code = code
        self.tries = tries


class FeishuUnreachable(MindGuardError):
    """No usable answer came: connection failure, timeout, or server error. The message may have arrived."""

    def __init__(self, host: str, reason: str, tries: int) -> None:
        super().__init__(
            f"{host} gave no usable answer in {tries} attempts: {reason}",
            hint="check the connection's host, DNS, proxy and firewall from this machine",
        )
        self.host = host
        self.reason = reason
        self.tries = tries


def error_of(host: str, status: int, code: int | None, msg: str, tries: int) -> MindGuardError | None:
    """Return the error that an answer means; None for success. `code_and_msg` returns `code` and `msg`."""
    if status == 429 or code in _THROTTLED_CODES or (code == _BAD_REQUEST and "too many" in msg.lower()):
        return FeishuThrottled(code or status, msg, tries)
    if status >= 500 or (code is None and status < 400):
        return FeishuUnreachable(host, f"HTTP {status} {msg}".rstrip(), tries)
    if code == 0 and status < 300:
        return None
    return FeishuRefused(code or status, msg)


def parsed(answer: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one if the answer is not a JSON object."""
    try:
        content: Any = from_json(answer)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def code_and_msg(answer: bytes) -> tuple[int | None, str]:
    """Return Feishu's code and message; the code is None if the answer does not come from Feishu."""
    content = parsed(answer)
    code = content.get("code", content.get("StatusCode"))
    msg = printable(str(content.get("msg", content.get("StatusMessage")) or ""))
    return (code if isinstance(code, int) else None), msg[:_LONGEST_MSG]
