"""The blocks that cards are built from, and the form of times and names in cards. All texts passed in are safe already.

Source: Feishu's card JSON 2.0 documentation; charts are VChart specifications.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Chart, Link, Person, Table
from mindguard.feishu.texts import Words

Json = dict[str, Any]

_MARKUP = re.compile(r"[&><\-!*/\\\[\]()#:+\"'`$_~|]")

_MENTIONED = re.compile(r"ou_[0-9a-zA-Z]{1,64}|all")


def escape(text: str) -> str:
    """Escape the text so that Feishu's markdown shows it literally: no markup, no mention, no link.

    The characters are those that Feishu lists, and three more that it treats as markup: `&`, `~` and `|`.
    """
    return _MARKUP.sub(lambda match: f"&#{ord(match.group())};", text)


def people(duty: Iterable[Person], words: Words, *, mention: bool) -> str:
    """Return names as markdown, or as mentions of people who have an open_id; the id `all` mentions everyone."""
    return words("list_separator").join(
        (f"<at id={person.feishu_id}></at>" if mention and _mentionable(person) else escape(person.name))
        + escape(role_of(person, words))
        for person in duty
    )


def role_of(person: Person, words: Words) -> str:
    """Return the person's role in brackets; empty for a person without a role."""
    return words("in_brackets", text=words.name_of("role", person.role)) if person.role else ""


def calls_anyone(duty: Iterable[Person]) -> bool:
    """Return whether `people` mentions anyone."""
    return any(_mentionable(person) for person in duty)


def _mentionable(person: Person) -> bool:
    return _MENTIONED.fullmatch(person.feishu_id) is not None


def markdown(content: str, *, text_size: str = "normal") -> Json:
    """Return a paragraph of Feishu's markdown."""
    return {"tag": "markdown", "content": content, "text_size": text_size}


def caption(content: str) -> Json:
    """Return small grey text; the content is markdown."""
    return markdown(f"<font color='grey'>{content}</font>", text_size="notation")


def plain(content: str) -> Json:
    """Return text without markup."""
    return {"tag": "plain_text", "content": content}


def moment(moment: datetime, words: Words, zone: ZoneInfo) -> str:
    """Return the day, weekday and minute in the zone."""
    local = moment.astimezone(zone)
    return f"{local:%m-%d} {words(f'weekday_{local.weekday()}')} {local:%H:%M}"


def duration(span: timedelta, words: Words) -> str:
    """Return the span in hours and minutes."""
    hours, minutes = divmod(max(int(span.total_seconds()), 0) // 60, 60)
    key = "minutes" if not hours else "hours_minutes" if minutes else "hours"
    return words(key, hours=hours, minutes=minutes)


def pair(name: str, value: str) -> list[Json]:
    """Return a small grey name above its value, which is markdown already."""
    return [caption(escape(name)), markdown(value)]


def columns(columns: list[list[Json]], *, background_style: str = "default") -> Json:
    """Return lists of elements side by side."""
    return {
        "tag": "column_set",
        "flex_mode": "stretch",  # On a phone, the elements are one below the other.
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


def folded(title: str, text: str) -> Json:
    """Return a closed panel that a reader may open."""
    # Plain text, not a code block, so that nothing in it can become a mention, a link or the end of the block.
    body = {"tag": "div", "text": {**plain(text), "text_size": "notation"}}
    return {
        "tag": "collapsible_panel",
        "expanded": False,
        "header": {
            "title": plain(title),
            "icon": {"tag": "standard_icon", "token": "down-small-ccm_outlined", "size": "16px 16px"},
            "icon_position": "right",
            "icon_expanded_angle": -180,
        },
        "border": {"color": "grey", "corner_radius": "6px"},
        "elements": [body],
    }


def buttons(links: Iterable[Link]) -> Json:
    """Return links as buttons in a row; the first is highlighted."""
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
                        "text": plain(link.label),
                        "behaviors": [{"type": "open_url", "default_url": link.url}],
                    }
                ],
            }
            for position, link in enumerate(links)
        ],
    }


def table(content: Table) -> Json:
    """Return a table; Feishu shows five rows a page."""
    return {
        "tag": "table",
        "page_size": 5,
        "row_height": "low",
        "header_style": {"text_align": "left", "background_style": "grey", "bold": True, "lines": 1},
        "columns": [
            {"name": f"c{position}", "display_name": name, "data_type": "text", "width": "auto"}
            for position, name in enumerate(content.columns)
        ],
        "rows": [{f"c{position}": cell for position, cell in enumerate(row)} for row in content.rows],
    }


def chart(content: Chart, words: Words) -> Json:
    """Return a line chart with the expected line, if any, and the marked place as a labelled point."""
    lines = ((words("expected_line"), content.expected), (words("actual_line"), content.points))
    spec: Json = {
        "type": "line",
        "title": {"text": content.title},
        "data": {"values": [{"x": x, "y": y, "line": line} for line, points in lines for x, y in points]},
        "xField": "x",
        "yField": "y",
        "seriesField": "line",
        "legends": {"visible": bool(content.expected), "orient": "bottom"},
    }
    marked = [{"x": x, "y": y} for x, y in content.points if x == content.mark][-1:]
    if marked:
        spec["markPoint"] = [{"coordinate": marked[0], "itemContent": {"text": {"text": f"{marked[0]['y']:,g}"}}}]
    return {"tag": "chart", "aspect_ratio": "16:9", "chart_spec": spec}
