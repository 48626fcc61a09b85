"""Blocks that cards are built of, and how they put times and names. All text handed in is safe already.

Source: Feishu's card JSON 2.0 documentation; charts are VChart specifications.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Chart, Link, Person, Table
from mindguard.feishu.texts import Texts

Json = dict[str, Any]

_MARKUP = re.compile(r"[&><\-!*/\\\[\]()#:+\"'`$_~|]")

_MENTIONED = re.compile(r"ou_[0-9a-zA-Z]{1,64}|all")


def escape(text: str) -> str:
    """The text as Feishu's markdown shows it literally: no markup, no mention, no link.

    Feishu's list of characters, and three more that it treats as markup: `&`, `~` and `|`.
    """
    return _MARKUP.sub(lambda match: f"&#{ord(match.group())};", text)


def people(duty: Iterable[Person], texts: Texts, *, mention: bool) -> str:
    """Names as markdown, or mentions of those who have an open_id; `all` is everyone."""
    return texts.list_separator.join(
        (f"<at id={person.feishu_id}></at>" if mention and _mentionable(person) else escape(person.name))
        + escape(role_of(person, texts))
        for person in duty
    )


def role_of(person: Person, texts: Texts) -> str:
    """The person's role in brackets; empty for a person without one."""
    return texts.in_brackets.format(text=texts.roles.get(person.role, person.role)) if person.role else ""


def calls_anyone(duty: Iterable[Person]) -> bool:
    """Whether `people` mentions anyone."""
    return any(_mentionable(person) for person in duty)


def _mentionable(person: Person) -> bool:
    return _MENTIONED.fullmatch(person.feishu_id) is not None


def markdown(content: str, *, text_size: str = "normal") -> Json:
    """A paragraph of Feishu's markdown."""
    return {"tag": "markdown", "content": content, "text_size": text_size}


def caption(content: str) -> Json:
    """Small and grey; the content is markdown."""
    return markdown(f"<font color='grey'>{content}</font>", text_size="notation")


def plain(content: str) -> Json:
    """Text that knows no markup."""
    return {"tag": "plain_text", "content": content}


def moment(moment: datetime, texts: Texts, zone: ZoneInfo) -> str:
    """Day, weekday and minute in the zone."""
    local = moment.astimezone(zone)
    return f"{local:%m-%d} {texts.weekdays[local.weekday()]} {local:%H:%M}"


def duration(span: timedelta, texts: Texts) -> str:
    """In hours and minutes."""
    hours, minutes = divmod(max(int(span.total_seconds()), 0) // 60, 60)
    template = texts.minutes if not hours else texts.hours_minutes if minutes else texts.hours
    return template.format(hours=hours, minutes=minutes)


def pair(name: str, value: str) -> list[Json]:
    """A small grey name above its value, which is markdown already."""
    return [caption(escape(name)), markdown(value)]


def columns(columns: list[list[Json]], *, background_style: str = "default") -> Json:
    """Lists of elements side by side."""
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


def folded(title: str, text: str) -> Json:
    """A closed panel that a reader may open."""
    # Plain text, not a code block: nothing in it can become a mention, a link or the end of the block.
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
    """Links as buttons in a row; the first stands out."""
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
    """Rows under their column names; Feishu shows five a page."""
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


def chart(content: Chart, texts: Texts) -> Json:
    """A line, the expected line beside it, and the marked place as a labelled point."""
    lines = ((texts.expected_line, content.expected), (texts.actual_line, content.points))
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
