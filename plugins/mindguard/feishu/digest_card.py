"""Render a digest as a Feishu card: a storm in one message, the handover between shifts, reviews that are due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Digest, DigestLine
from mindguard.feishu.blocks import buttons, caption, escape, markdown, moment, people, plain
from mindguard.feishu.card import COLOURS
from mindguard.feishu.message import Json, fits, hook_message
from mindguard.feishu.safe import Cleaner
from mindguard.feishu.texts import Words
from mindguard.texts import Locale


def render_digest(
    digest: Digest, *, locale: Locale, zone: ZoneInfo, secrets: Iterable[str] = (), mentions: bool = True
) -> Json:
    """Return the digest as a card within `BUDGET_BYTES`; groups that do not fit are left out and counted.

    A handover or review without groups is green. For the arguments see `card.render_card`.
    """
    card: Json = {}
    for smaller in fewer(Cleaner(tuple(secrets)).digest(digest)):
        left_out = len(digest.groups) - len(smaller.groups)
        card = _card(smaller, left_out, Words(locale), zone, mentions=mentions)
        if fits(hook_message(card)):
            break
    return card


def fewer(digest: Digest) -> Iterator[Digest]:
    """Yield the digest with fewer and fewer groups."""
    for count in (60, 40, 25, 15, 8, 0):
        yield replace(digest, groups=digest.groups[:count])


def line_of(group: DigestLine, words: Words) -> str:
    """Return a group in one line, without its severity."""
    parts = [group.title, group.subject, group.incident_id, words.name_of("state", group.state)]
    count = f" ×{group.count:,}" if group.count > 1 else ""
    return " · ".join(part for part in parts if part) + count


def _card(digest: Digest, left_out: int, words: Words, zone: ZoneInfo, *, mentions: bool) -> Json:
    empty = not digest.groups and not left_out
    colour = "green" if empty else COLOURS[digest.severity]
    kind = words.name_of("digest", digest.kind)
    elements = [caption(escape(moment(digest.happened_at, words, zone)))]
    if digest.duty:
        names = people(digest.duty, words, mention=digest.mention and mentions)
        elements.append(markdown(f"{escape(words('on_duty') + words('separator'))}{names}"))
    if empty:
        elements.append(markdown(escape(words("nothing_open"))))
    elements += [markdown(_group(group, words)) for group in digest.groups]
    if left_out:
        elements.append(caption(escape(words("more_facts", count=left_out))))
    if digest.links:
        elements.append(buttons(digest.links))
    elements.append(caption(escape(words("times_in", zone=zone.key))))
    return {
        "schema": "2.0",
        "config": {"summary": {"content": f"{kind}{words('separator')}{digest.title}"}},
        "header": {
            "template": colour,
            "title": plain(digest.title),
            "text_tag_list": [{"tag": "text_tag", "text": plain(kind), "color": colour}],
        },
        "body": {"vertical_spacing": "8px", "elements": elements},
    }


def _group(group: DigestLine, words: Words) -> str:
    colour = "green" if group.state in ("resolved", "silenced_over") else COLOURS[group.severity]
    name = f"<font color='{colour}'>**{group.severity}**</font> **{escape(group.title)}**"
    count = f" **×{group.count:,}**" if group.count > 1 else ""
    rest = [group.subject, group.incident_id, words.name_of("state", group.state)]
    return f"{name}{count}\n<font color='grey'>{escape(' · '.join(part for part in rest if part))}</font>"
