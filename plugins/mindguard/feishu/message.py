"""Bodies that Feishu takes, and the size that they may have."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

BUDGET_BYTES = 18 * 1024
"""Of the whole request body. Feishu refuses above 20 KB; the rest is for what it may count differently."""

_SIGNATURE_BYTES = len('"timestamp":"1234567890","sign":"",') + 44


def hook_message(card: Json) -> Json:
    """The body that a custom bot takes for a card; the sender adds `timestamp` and `sign`."""
    return {"msg_type": "interactive", "card": card}


def text_message(text: str) -> Json:
    """The body that a custom bot takes for plain text."""
    return {"msg_type": "text", "content": {"text": text}}


def encode(message: Json) -> bytes:
    """The message as it goes over the wire; the size budget is measured on this form."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def fits(message: Json) -> bool:
    """Whether the message, once signed, stays within the budget."""
    return len(encode(message)) + _SIGNATURE_BYTES <= BUDGET_BYTES
