"""The forms of a message, from the best to the plainest, so that no alert is lost because of its formatting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Digest
from mindguard.feishu.blocks import calls_anyone
from mindguard.feishu.card import render_card
from mindguard.feishu.digest_card import render_digest
from mindguard.feishu.message import Json, hook_message, text_message
from mindguard.feishu.plain_text import render_digest_text, render_text
from mindguard.feishu.safe import Cleaner
from mindguard.texts import Locale

_TITLE = 120

log = logging.getLogger(__name__)

Form = Literal["card", "card without mentions", "text"]


def forms(
    item: Alert | Digest, *, locale: Locale, zone: ZoneInfo, now: datetime, secrets: tuple[str, ...]
) -> Iterator[tuple[Form, Json]]:
    """Yield each form with its message body for a custom bot; a form is rendered only when it is needed."""
    common: dict[str, Any] = {"locale": locale, "zone": zone, "secrets": secrets}

    def card(item: Alert | Digest, *, mentions: bool) -> Json:
        if isinstance(item, Digest):
            return hook_message(render_digest(item, mentions=mentions, **common))
        return hook_message(render_card(item, mentions=mentions, now=now, **common))

    def text(item: Alert | Digest) -> Json:
        render: Callable[..., str] = render_digest_text if isinstance(item, Digest) else render_text
        return text_message(render(item, **common))

    yield from _shown("card", partial(card, mentions=True), item)
    if item.mention and calls_anyone(item.duty):
        yield from _shown("card without mentions", partial(card, mentions=False), item)
    found = [*_shown("text", text, item)]
    yield from found or [("text", text_message(f"{item.severity} {Cleaner(secrets).line(item.title, _TITLE)}"))]


def _shown(form: Form, render: Callable[[Alert | Digest], Json], item: Alert | Digest) -> Iterator[tuple[Form, Json]]:
    """Yield the form, without what decorates it if that cannot be shown; nothing if the rest cannot be shown either."""
    bare = replace(item, releases=(), chart=None, table=None, links=()) if isinstance(item, Alert) else item
    for shown in (item, bare):
        try:
            message = render(shown)
        except Exception:  # one release or chart that cannot be shown must not cost anybody the alert
            log.exception("the %s of %s cannot be shown", form, item.title)
        else:
            yield form, message
            return
