"""Message bodies that Feishu accepts, and their permitted size."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

BUDGET_BYTES = 18 * 1024
"""Size of the whole request body. Feishu refuses more than 20 KB; the difference is a margin if it counts otherwise."""

_SIGNATURE_BYTES = len('"timestamp":"1234567890","sign":"",') + 44


def hook_message(card: Json) -> Json:
    """Return a custom bot's body for a card; the sender adds `timestamp` and `sign`."""
    return {"msg_type": "interactive", "card": card}


def text_message(text: str) -> Json:
    """Return a custom bot's body for plain text."""
    return {"msg_type": "text", "content": {"text": text}}


def encode(message: Json) -> bytes:
    """Return the message as it is sent; the size budget applies to this form."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def fits(message: Json) -> bool:
    """Return whether the message, once signed, stays within the budget."""
    return len(encode(message)) + _SIGNATURE_BYTES <= BUDGET_BYTES
