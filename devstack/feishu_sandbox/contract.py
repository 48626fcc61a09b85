"""What Feishu accepts, as pure functions: its codes, its signature window, its card JSON 2.0.

Source: Feishu's custom bot and card JSON 2.0 documentation. The wording of refusals is Feishu's where known.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_BODY_BYTES = 20 * 1024
SIGNATURE_WINDOW_S = 3600
MAX_ELEMENTS = 200
MAX_TEXT_TAGS = 3
MAX_TABLES = 5

# fmt: off
TEMPLATES = frozenset({
    "blue", "wathet", "turquoise", "green", "yellow", "orange", "red", "carmine", "violet", "purple", "indigo",
    "grey", "default",
})
CONTAINERS = frozenset({"column_set", "column", "form", "interactive_container", "collapsible_panel"})
TAGS = CONTAINERS | {
    "markdown", "div", "hr", "img", "img_combination", "person", "person_list", "chart", "table", "audio",
    "button", "input", "overflow", "select_static", "multi_select_static", "select_person",
    "multi_select_person", "date_picker", "picker_time", "picker_datetime", "select_img", "checker",
}
# fmt: on
MESSAGE_TYPES = frozenset({"text", "post", "image", "share_chat"})


@dataclass(frozen=True)
class Answer:
    """Feishu's code, its words and the HTTP status that goes with them."""

    code: int
    msg: str
    status: int = 200

    def body(self) -> dict[str, Any]:
        legacy = {"StatusCode": 0, "StatusMessage": "success"} if self.code == 0 else {}
        return {**legacy, "code": self.code, "data": {}, "msg": self.msg}


SUCCESS = Answer(0, "success")
WRONG_TOKEN = Answer(19001, "param invalid: incoming webhook access token invalid")
WRONG_SIGNATURE = Answer(19021, "sign match fail or timestamp is not within one hour from current time")
NO_TYPE = Answer(19002, "params error, msg_type need")
THROTTLED = Answer(11232, "frequency limited")
BAD_REQUEST = Answer(9499, "Bad Request", 400)
TOO_LARGE = Answer(9499, "Bad Request: request body exceeds 20 KB", 400)


def card_refusal(reason: str) -> Answer:
    """How a custom bot refuses a card."""
    return Answer(11246, f"ErrCode: 11310; ErrMsg: {reason}; ")


def check_signature(message: dict[str, Any], secret: str, now: float) -> bool:
    """Whether `timestamp` and `sign` in the body are right at `now` (Unix seconds). True without a secret."""
    if not secret:
        return True
    stamp = str(message.get("timestamp", ""))
    if not stamp.isdecimal() or abs(now - int(stamp)) > SIGNATURE_WINDOW_S:
        return False
    digest = hmac.new(f"{stamp}\n{secret}".encode(), digestmod=hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest).decode(), str(message.get("sign", "")))


@dataclass
class RateLimit:
    """5 in a second and 100 in a minute; `allow` counts what it allows."""

    per_second: int = 5
    per_minute: int = 100
    _times: deque[float] = field(default_factory=deque)

    def allow(self, now: float) -> bool:
        while self._times and now - self._times[0] >= 60:
            self._times.popleft()
        if len(self._times) >= self.per_minute or sum(now - t < 1 for t in self._times) >= self.per_second:
            return False
        self._times.append(now)
        return True


def check_message(message: dict[str, Any]) -> Answer:
    """Whether the content of a message is acceptable."""
    kind = message.get("msg_type")
    if not isinstance(kind, str):
        return NO_TYPE
    if kind == "interactive":
        card = message.get("card")
        if not isinstance(card, dict):
            return Answer(19002, "params error, unknown card value")
        reason = card_fault(card)
        return card_refusal(reason) if reason else SUCCESS
    if kind not in MESSAGE_TYPES:
        return Answer(19002, "params error, msg_type invalid")
    content = message.get("content")
    if not isinstance(content, dict) or (kind == "text" and not str(content.get("text", "")).strip()):
        return Answer(19002, "params error, content need")
    return SUCCESS


def card_fault(card: dict[str, Any]) -> str:
    """Why a card JSON 2.0 would be refused; empty when it would not."""
    if card.get("schema") != "2.0":
        return "schema is not 2.0"
    header = card.get("header")
    if header is not None and (fault := _header_fault(header)):
        return fault
    body = card.get("body")
    elements = body.get("elements") if isinstance(body, dict) else None
    if not isinstance(elements, list):
        return "body.elements need"
    return _elements_fault(elements)


def _header_fault(header: Any) -> str:
    if not isinstance(header, dict) or not isinstance(header.get("title"), dict):
        return "header.title need"
    if header.get("template", "default") not in TEMPLATES:
        return "header.template is invalid"
    tags = header.get("text_tag_list", [])
    if not isinstance(tags, list) or len(tags) > MAX_TEXT_TAGS:
        return "text_tag_list over limit"
    if any(not isinstance(tag, dict) or tag.get("tag") != "text_tag" for tag in tags):
        return "text_tag_list is invalid"
    return ""


def _elements_fault(elements: list[Any]) -> str:
    found = list(walk(elements))
    if len(found) > MAX_ELEMENTS:
        return "element exceeds the limit"
    for element in found:
        if not isinstance(element, dict) or element.get("tag") not in TAGS:
            tag = element.get("tag") if isinstance(element, dict) else element
            return f"unsupported type of block; ErrorValue: {tag}"
        if fault := _element_fault(element):
            return fault
    ids = [element["element_id"] for element in found if "element_id" in element]
    if len(ids) != len(set(ids)):
        return "element_id is repeated"
    tables = [element for element in found if element["tag"] == "table"]
    if len(tables) > MAX_TABLES:
        return "card table number over limit"
    if any(table not in elements for table in tables):
        return "table is only allowed at the root"
    return ""


def _element_fault(element: dict[str, Any]) -> str:
    tag = element["tag"]
    if tag == "markdown" and not isinstance(element.get("content"), str):
        return "markdown content need"
    if tag == "column_set" and any(
        not isinstance(column, dict) or column.get("tag") != "column" for column in element.get("columns", [])
    ):
        return "column_set takes columns only"
    if tag == "button":
        for behaviour in element.get("behaviors", []):
            if behaviour.get("type") not in ("open_url", "callback", "form_action"):
                return "behaviors type is invalid"
    name = element.get("element_id")
    if name is not None and not (isinstance(name, str) and name[:1].isalpha() and len(name) <= 20):
        return "element_id is invalid"
    return ""


def walk(elements: list[Any]) -> Iterator[Any]:
    """Every element, those inside containers too."""
    for element in elements:
        yield element
        if isinstance(element, dict):
            for key in ("elements", "columns") if element.get("tag") in CONTAINERS else ():
                if isinstance(element.get(key), list):
                    yield from walk(element[key])
