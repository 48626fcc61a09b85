"""The forms of a message, from the best to the plainest, so that no alert is lost because of its formatting."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Digest
from mindguard.feishu.blocks import calls_anyone
from mindguard.feishu.card import render_card
from mindguard.feishu.digest_card import render_digest
from mindguard.feishu.message import Json, hook_message, text_message
from mindguard.feishu.plain_text import render_digest_text, render_text
from mindguard.texts import Locale

Form = Literal["card", "card without mentions", "text"]


def forms(
    item: Alert | Digest, *, locale: Locale, zone: ZoneInfo, now: datetime, secrets: tuple[str, ...]
) -> Iterator[tuple[Form, Json]]:
    """Yield each form with its message body for a custom bot; a form is rendered only when it is needed."""
    common: dict[str, Any] = {"locale": locale, "zone": zone, "secrets": secrets}

    def card(*, mentions: bool) -> Json:
        if isinstance(item, Digest):
            return hook_message(render_digest(item, mentions=mentions, **common))
        return hook_message(render_card(item, mentions=mentions, now=now, **common))

    yield "card", card(mentions=True)
    if item.mention and calls_anyone(item.duty):
        yield "card without mentions", card(mentions=False)
    text = render_digest_text(item, **common) if isinstance(item, Digest) else render_text(item, **common)
    yield "text", text_message(text)
