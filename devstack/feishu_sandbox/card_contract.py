"""The rules by which Feishu accepts a card (JSON 2.0). Source: Feishu's documentation of cards and their components."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MAX_ELEMENTS = 200
MAX_TEXT_TAGS = 3
MAX_TABLES = 5
MAX_CHARTS = 5
MAX_COLUMNS = 50

# fmt: off
TEMPLATES = frozenset({
    "blue", "wathet", "turquoise", "green", "yellow", "orange", "red", "carmine", "violet", "purple", "indigo",
    "grey", "default",
})
CONTAINERS = frozenset({"column_set", "column", "form", "interactive_container", "collapsible_panel"})
TAGS = CONTAINERS | {
    "markdown", "div", "hr", "img", "img_combination", "person", "person_list", "chart", "table", "audio",
    "button", "input", "overflow", "select_static", "multi_select_static", "select_person",
    "multi_select_person", "date_picker", "picker_time", "picker_datetime", "select_img", "checker",
}
# fmt: on
DATA_TYPES = frozenset({"text", "lark_md", "markdown", "options", "number", "persons", "date"})

_MENTION = re.compile(r"<at id=[\"']?([^\s\"'>]*)[\"']?>")
_MENTIONED = re.compile("ou_[0-9a-zA-Z]+|all")


def card_fault(card: dict[str, Any]) -> str:
    """Say why Feishu would refuse a card JSON 2.0; empty when it would accept the card."""
    if card.get("schema") != "2.0":
        return "schema is not 2.0"
    header = card.get("header")
    if header is not None and (fault := _header_fault(header)):
        return fault
    body = card.get("body")
    elements = body.get("elements") if isinstance(body, dict) else None
    if not isinstance(elements, list):
        return "body.elements need"
    return _elements_fault(elements)


def _header_fault(header: Any) -> str:
    if not isinstance(header, dict) or not isinstance(header.get("title"), dict):
        return "header.title need"
    if header.get("template", "default") not in TEMPLATES:
        return "header.template is invalid"
    tags = header.get("text_tag_list", [])
    if not isinstance(tags, list) or len(tags) > MAX_TEXT_TAGS:
        return "text_tag_list over limit"
    if any(not isinstance(tag, dict) or tag.get("tag") != "text_tag" for tag in tags):
        return "text_tag_list is invalid"
    return ""


def _elements_fault(elements: list[Any]) -> str:
    found = list(walk(elements))
    if len(found) > MAX_ELEMENTS:
        return "element exceeds the limit"
    for element in found:
        if not isinstance(element, dict) or element.get("tag") not in TAGS:
            tag = element.get("tag") if isinstance(element, dict) else element
            return f"unsupported type of block; ErrorValue: {tag}"
        if fault := _element_fault(element):
            return fault
    ids = [element["element_id"] for element in found if "element_id" in element]
    if len(ids) != len(set(ids)):
        return "element_id is repeated"
    charts = [element for element in found if element["tag"] == "chart"]
    if len(charts) > MAX_CHARTS:
        return "card chart number over limit"
    tables = [element for element in found if element["tag"] == "table"]
    if len(tables) > MAX_TABLES:
        return "card table number over limit"
    if any(table not in elements for table in tables):
        return "table is only allowed at the root"
    return ""


def _element_fault(element: dict[str, Any]) -> str:
    tag = element["tag"]
    if tag == "markdown" and not isinstance(element.get("content"), str):
        return "markdown content need"
    if tag == "column_set" and any(
        not isinstance(column, dict) or column.get("tag") != "column" for column in element.get("columns", [])
    ):
        return "column_set takes columns only"
    if tag == "button":
        for behaviour in element.get("behaviors", []):
            if behaviour.get("type") not in ("open_url", "callback", "form_action"):
                return "behaviors type is invalid"
    if fault := _DATA_FAULTS.get(tag, lambda _: "")(element):
        return fault
    name = element.get("element_id")
    if name is not None and not (isinstance(name, str) and name[:1].isalpha() and len(name) <= 20):
        return "element_id is invalid"
    return ""


def _table_fault(element: dict[str, Any]) -> str:
    columns, rows = element.get("columns"), element.get("rows")
    if not isinstance(columns, list) or not 0 < len(columns) <= MAX_COLUMNS or not isinstance(rows, list):
        return "table columns or rows need"
    names = [column.get("name") for column in columns if isinstance(column, dict)]
    if len(names) != len(columns) or len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
        return "table column name is invalid"
    if any(column.get("data_type", "text") not in DATA_TYPES for column in columns):
        return "table data_type is invalid"
    if not 1 <= element.get("page_size", 5) <= 10:
        return "table page_size is invalid"
    if any(not isinstance(row, dict) or not set(row) <= set(names) for row in rows):
        return "table row is invalid"
    return ""


def _chart_fault(element: dict[str, Any]) -> str:
    spec = element.get("chart_spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str) or "data" not in spec:
        return "chart_spec is invalid"
    if element.get("aspect_ratio", "16:9") not in ("1:1", "2:1", "4:3", "16:9"):
        return "chart aspect_ratio is invalid"
    return ""


_DATA_FAULTS = {"table": _table_fault, "chart": _chart_fault}


def mention_fault(card: dict[str, Any]) -> str:
    """Say which mention of a card is not valid: its id is neither an open_id nor everyone. Empty when all are valid."""
    for element in walk(card["body"]["elements"]):
        for who in _MENTION.findall(str(element.get("content", ""))):
            if not _MENTIONED.fullmatch(who):
                return f"invalid user resource in at tag; ErrorValue: {who}"
    return ""


def mentions(card: dict[str, Any]) -> bool:
    """Return whether a card mentions anyone."""
    return any(_MENTION.search(str(element.get("content", ""))) for element in walk(card["body"]["elements"]))


def walk(elements: list[Any]) -> Iterator[Any]:
    """Yield every element, and those inside containers too."""
    for element in elements:
        yield element
        if isinstance(element, dict):
            for key in ("elements", "columns") if element.get("tag") in CONTAINERS else ():
                if isinstance(element.get(key), list):
                    yield from walk(element[key])
