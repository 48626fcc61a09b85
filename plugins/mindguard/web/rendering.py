"""Renders the pages' templates in the reader's language."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mindguard.masking import mask_secrets, printable
from mindguard.texts import Locale
from mindguard.web.texts import TEXTS

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, *, locale: Locale, zone: ZoneInfo, nonce: str, **values: Any) -> str:
    """Return a page as HTML.

    Args:
        template: file name of the template.
        locale: language of the page.
        zone: time zone of the times that it shows.
        nonce: random text that allows the page's own style sheet.
        **values: what the template needs.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["moment"] = lambda at: f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    environment.filters["safe_text"] = lambda text: mask_secrets(printable(text))
    return environment.get_template(template).render(say=TEXTS.of(locale), locale=locale, nonce=nonce, **values)
