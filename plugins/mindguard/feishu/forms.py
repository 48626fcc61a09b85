"""The forms in which one thing is said, from best to plainest: never lose an alert to its formatting."""

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
    what: Alert | Digest, *, locale: Locale, zone: ZoneInfo, now: datetime, secrets: tuple[str, ...]
) -> Iterator[tuple[Form, Json]]:
    """Message bodies as a custom bot takes them; each is rendered when it is asked for."""
    common: dict[str, Any] = {"locale": locale, "zone": zone, "secrets": secrets}

    def card(*, mentions: bool) -> Json:
        if isinstance(what, Digest):
            return hook_message(render_digest(what, mentions=mentions, **common))
        return hook_message(render_card(what, mentions=mentions, now=now, **common))

    yield "card", card(mentions=True)
    if what.mention and calls_anyone(what.duty):
        yield "card without mentions", card(mentions=False)
    text = render_digest_text(what, **common) if isinstance(what, Digest) else render_text(what, **common)
    yield "text", text_message(text)
