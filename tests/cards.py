"""Read from the Feishu sandbox what the chat group shows."""

from __future__ import annotations

import html
import json
from typing import Any

import httpx


def messages(url: str) -> list[dict[str, Any]]:
    """Return the records of all messages that the sandbox at `url` has accepted, oldest first."""
    feed = httpx.get(f"{url}/_messages", trust_env=False, timeout=10).json()["messages"]
    return [record for record in feed if record["code"] == 0]


def about(url: str, fingerprint: str) -> list[dict[str, Any]]:
    """Return the records of the accepted messages with this alert fingerprint, oldest first."""
    return [record for record in messages(url) if record["fingerprint"] == fingerprint]


def as_text(record: dict[str, Any]) -> str:
    """Return the message as JSON in which Feishu's escapes are undone, so that it holds what a person reads."""
    return html.unescape(json.dumps(record["message"], ensure_ascii=False))


def colour(record: dict[str, Any]) -> str:
    """Return the colour of the card's header, for example `red`."""
    return str(record["message"]["card"]["header"]["template"])
