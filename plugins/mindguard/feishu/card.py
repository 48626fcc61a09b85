"""Alert → Feishu message, as pure functions: card JSON 2.0, and plain text for when a card is refused.

Made to be read in three seconds: the header's colour is the severity, its tags say how soon to answer, the
strip below says until when and since when, then the numbers that are wrong in red, then where to go. A stack
trace stays folded.

Source: Feishu's card JSON 2.0 documentation and custom bot limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Fact, Link
from mindguard.alerts.masking import fold, mask_secrets, printable
from mindguard.alerts.severity import Locale, Severity
from mindguard.feishu.texts import TEXTS, Texts

Json = dict[str, Any]

BUDGET_BYTES = 18 * 1024
"""Of the whole request body. Feishu refuses above 20 KB; the rest is for what it may count differently."""

_SIGNATURE_BYTES = len('"timestamp":"1234567890","sign":"",') + 44

_COLOURS = {Severity.P0: "red", Severity.P1: "orange", Severity.P2: "blue"}

# Characters, each at most 6 bytes once escaped: title, subject, footer and links alone stay in the budget.
_TITLE, _SUBJECT, _FACT_NAME, _FACT_VALUE, _LABEL, _URL, _LINKS = 120, 200, 60, 300, 30, 900, 5

# (characters of detail, number of facts), from generous to bare.
_SIZES = ((6000, 12), (3000, 12), (1500, 12), (600, 12), (0, 12), (0, 6), (0, 3), (0, 0))

_LONGEST_HALF_ROW = 36

_FINGERPRINT = re.compile("[0-9a-f]{16}")

_MARKUP = re.compile(r"[&><\-!*/\\\[\]()#:+\"'`$_~|]")


def escape(text: str) -> str:
    """The text as Feishu's markdown shows it literally: no markup, no mention, no link.

    Feishu's list of characters, and three more that it treats as markup: `&`, `~` and `|`.
    """
    return _MARKUP.sub(lambda match: f"&#{ord(match.group())};", text)


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


def render_card(alert: Alert, *, locale: Locale, zone: ZoneInfo, secrets: Iterable[str] = ()) -> Json:
    """The alert as a card JSON 2.0 whose message stays within `BUDGET_BYTES`.

    Secrets are masked first. What does not fit is left out: first of the detail, then of the facts.

    Args:
        zone: in which all times are shown.
        secrets: known values to mask, besides those recognisable by their form.
    """
    card: Json = {}
    for smaller in _ever_smaller(_made_safe(alert, tuple(secrets))):
        card = _card(smaller, len(alert.facts) - len(smaller.facts), TEXTS[locale], locale, zone)
        if fits(hook_message(card)):
            break
    return card


def render_text(alert: Alert, *, locale: Locale, zone: ZoneInfo, secrets: Iterable[str] = ()) -> str:
    """The same as plain text, for when a card is not taken; same masking and budget."""
    text = ""
    for smaller in _ever_smaller(_made_safe(alert, tuple(secrets))):
        text = _text(smaller, len(alert.facts) - len(smaller.facts), TEXTS[locale], zone)
        if fits(text_message(text)):
            break
    return text


def _ever_smaller(alert: Alert) -> Iterator[Alert]:
    for detail, facts in _SIZES:
        yield replace(alert, detail=fold(alert.detail, detail), facts=alert.facts[:facts])


def _made_safe(alert: Alert, secrets: tuple[str, ...]) -> Alert:
    """The alert with every text masked, printable and of bounded length."""

    def line(text: str, limit: int) -> str:
        masked = " ".join(mask_secrets(printable(text), secrets).split())
        return fold(masked, limit).replace("\n", " ")

    def address(url: str) -> str:
        return mask_secrets(printable(url).strip(), secrets)

    return replace(
        alert,
        title=line(alert.title, _TITLE),
        subject=line(alert.subject, _SUBJECT),
        fingerprint=line(alert.fingerprint, _LABEL),
        facts=tuple(
            replace(
                fact,
                name=line(fact.name, _FACT_NAME),
                value=line(fact.value, _FACT_VALUE),
                expected=line(fact.expected, _FACT_NAME),
            )
            for fact in alert.facts
        ),
        detail=mask_secrets(printable(alert.detail), secrets).strip(),
        links=tuple(
            Link(line(link.label, _LABEL), address(link.url))
            for link in alert.links
            if link.url.startswith(("https://", "http://")) and len(address(link.url)) <= _URL
        )[:_LINKS],
    )


def _card(alert: Alert, facts_left_out: int, texts: Texts, locale: Locale, zone: ZoneInfo) -> Json:
    colour = "green" if alert.resolved else _COLOURS[alert.severity]
    promise = (
        texts.resolved
        if alert.resolved
        else texts.respond_within.format(duration=_duration(alert.severity.respond_within, texts))
    )
    elements = [
        _markdown(f"**{escape(alert.subject)}**", text_size="heading"),
        _columns(_strip(alert, texts, locale, zone), background_style="grey"),
        *_facts(alert.facts, texts),
    ]
    if facts_left_out:
        elements.append(_caption(escape(texts.more_facts.format(count=facts_left_out))))
    if alert.detail:
        elements.append(_folded(texts.detail, alert.detail))
    if alert.links:
        elements.append(_buttons(alert.links))
    elements.append(_footer(alert, texts, locale, zone))
    return {
        "schema": "2.0",
        # The preview in the chat list and on a locked phone.
        "config": {"summary": {"content": f"{alert.severity} {promise}{texts.separator}{alert.title}"}},
        "header": {
            "template": colour,
            "title": _plain(alert.title),
            "text_tag_list": [
                {"tag": "text_tag", "text": _plain(text), "color": colour} for text in (alert.severity.value, promise)
            ],
        },
        "body": {"vertical_spacing": "12px", "elements": elements},
    }


def _strip(alert: Alert, texts: Texts, locale: Locale, zone: ZoneInfo) -> list[list[Json]]:
    """Columns: how bad, until when, since when; once resolved: how bad, for how long, until when."""
    since = _moment(alert.happened_at, texts, zone)
    how_bad = _pair(texts.severity, f"**{alert.severity}** {escape(alert.severity.label(locale))}")
    if alert.resolved_at:
        duration = _duration(alert.resolved_at - alert.happened_at, texts)
        return [
            how_bad,
            _pair(texts.lasted, f"**{escape(duration)}**"),
            _pair(texts.ended, f"**{escape(_moment(alert.resolved_at, texts, zone))}**"),
        ]
    same_day = alert.respond_by.astimezone(zone).date() == alert.happened_at.astimezone(zone).date()
    limit = alert.respond_by.astimezone(zone).strftime("%H:%M") if same_day else _moment(alert.respond_by, texts, zone)
    respond_by = escape(texts.respond_by_time.format(time=limit))
    return [
        how_bad,
        _pair(texts.respond_by, f"<font color='{_COLOURS[alert.severity]}'>**{respond_by}**</font>"),
        _pair(texts.since, f"**{escape(since)}**"),
    ]


def _facts(facts: tuple[Fact, ...], texts: Texts) -> list[Json]:
    """Two facts in a row; a long one has a row of its own."""
    rows: list[list[list[Json]]] = []
    open_row = False
    for fact in facts:
        value = f"**{escape(fact.value)}**"
        if fact.wrong:
            value = f"<font color='red'>{value}</font>"
        cell = _pair(fact.name, value)
        if fact.expected:
            cell.append(_caption(escape(texts.expected.format(value=fact.expected))))
        short = len(fact.value) <= _LONGEST_HALF_ROW
        if open_row and short:
            rows[-1].append(cell)
            open_row = False
        else:
            rows.append([cell])
            open_row = short
    return [_columns(row) for row in rows]


def _pair(name: str, value: str) -> list[Json]:
    """A small grey name above its value, which is markdown already."""
    return [_caption(escape(name)), _markdown(value)]


def _columns(columns: list[list[Json]], *, background_style: str = "default") -> Json:
    return {
        "tag": "column_set",
        "flex_mode": "stretch",  # one below the other on a phone
        "horizontal_spacing": "12px",
        "background_style": background_style,
        "columns": [
            {
                "tag": "column",
                "width": "weighted",
                "weight": 1,
                "vertical_spacing": "2px",
                "elements": elements,
            }
            for elements in columns
        ],
    }


def _folded(title: str, text: str) -> Json:
    # Plain text, not a code block: nothing in it can become a mention, a link or the end of the block.
    body = {"tag": "div", "text": {**_plain(text), "text_size": "notation"}}
    return {
        "tag": "collapsible_panel",
        "expanded": False,
        "header": {
            "title": _plain(title),
            "icon": {"tag": "standard_icon", "token": "down-small-ccm_outlined", "size": "16px 16px"},
            "icon_position": "right",
            "icon_expanded_angle": -180,
        },
        "border": {"color": "grey", "corner_radius": "6px"},
        "elements": [body],
    }


def _buttons(links: tuple[Link, ...]) -> Json:
    return {
        "tag": "column_set",
        "flex_mode": "flow",
        "horizontal_spacing": "8px",
        "columns": [
            {
                "tag": "column",
                "width": "auto",
                "elements": [
                    {
                        "tag": "button",
                        "type": "default" if position else "primary_filled",
                        "text": _plain(link.label),
                        "behaviors": [{"type": "open_url", "default_url": link.url}],
                    }
                ],
            }
            for position, link in enumerate(links)
        ],
    }


def _footer(alert: Alert, texts: Texts, locale: Locale, zone: ZoneInfo) -> Json:
    footer = _caption(
        escape(
            texts.includes.format(severity=alert.severity, meaning=alert.severity.meaning(locale))
            + " · "
            + texts.footer.format(zone=zone.key, fingerprint=alert.fingerprint)
        )
    )
    if _FINGERPRINT.fullmatch(alert.fingerprint):
        footer["element_id"] = f"fp_{alert.fingerprint}"
    return footer


def _markdown(content: str, *, text_size: str = "normal") -> Json:
    return {"tag": "markdown", "content": content, "text_size": text_size}


def _caption(content: str) -> Json:
    return _markdown(f"<font color='grey'>{content}</font>", text_size="notation")


def _plain(content: str) -> Json:
    return {"tag": "plain_text", "content": content}


def _moment(moment: datetime, texts: Texts, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%m-%d} {texts.weekdays[local.weekday()]} {local:%H:%M}"


def _duration(span: timedelta, texts: Texts) -> str:
    hours, minutes = divmod(max(int(span.total_seconds()), 0) // 60, 60)
    template = texts.minutes if not hours else texts.hours_minutes if minutes else texts.hours
    return template.format(hours=hours, minutes=minutes)


def _text(alert: Alert, facts_left_out: int, texts: Texts, zone: ZoneInfo) -> str:
    def named(name: str, value: str) -> str:
        return f"{name}{texts.separator}{value}"

    title = texts.plain_resolved if alert.resolved else texts.plain_alert
    lines = [
        title.format(severity=alert.severity, title=alert.title),
        named(texts.subject, alert.subject),
        named(texts.since, _moment(alert.happened_at, texts, zone)),
    ]
    if alert.resolved_at:
        lines.append(named(texts.ended, _moment(alert.resolved_at, texts, zone)))
    else:
        lines.append(named(texts.respond_by, texts.respond_by_time.format(time=_moment(alert.respond_by, texts, zone))))
    for fact in alert.facts:
        expected = f" ({texts.expected.format(value=fact.expected)})" if fact.expected else ""
        lines.append(f"- {named(fact.name, fact.value)}{expected}")
    if facts_left_out:
        lines.append(texts.more_facts.format(count=facts_left_out))
    lines += [named(link.label, link.url) for link in alert.links]
    if alert.detail:
        lines.append(f"{texts.detail}{texts.separator}\n{alert.detail}")
    lines.append(texts.footer.format(zone=zone.key, fingerprint=alert.fingerprint))
    # Text messages know mentions (<at user_id="all">) and no escapes.
    return "\n".join(lines).replace("<", "＜")
