"""Cards as HTML, much as Feishu shows them.

Cards are not trusted: every text is escaped, and links are http(s) only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from devstack.feishu_sandbox.card_contract import TEMPLATES
from devstack.feishu_sandbox.chart import line_chart
from devstack.feishu_sandbox.page_style import CSS

_ZONE = ZoneInfo("Asia/Shanghai")
_COLOURS = TEMPLATES | {"neutral", "lime"}
_MEANS = {"app": "应用内", "sms": "短信", "phone": "电话"}
_LONGEST_ID = 16
_SIZES = frozenset({f"heading-{n}" for n in range(5)} | {"heading", "normal", "notation"})

_INLINE = re.compile(
    r"&#(?P<entity>\d{1,7});"
    r"|\*\*(?P<strong>.+?)\*\*"
    r"|~~(?P<del>.+?)~~"
    r"|`(?P<code>[^`\n]+)`"
    r"|\[(?P<label>[^\]\n]+)\]\((?P<url>[^)\s]+)\)"
    r"|<at id=[\"']?(?P<at>[\w-]+)[\"']?>[^<]*</at>"
    r"|<font color=[\"']?(?P<colour>[\w-]+)[\"']?>(?P<font>.*?)</font>"
    r"|<text_tag color=[\"']?(?P<tag_colour>[\w-]+)[\"']?>(?P<tag>.*?)</text_tag>"
    r"|\*(?P<em>[^*\n]+)\*"
    r"|(?P<br><br\s*/?>|\n)",
    re.DOTALL,
)
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$\n?", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"(?P<head>#{1,6}) +(?P<title>.+)|(?P<item>[-*]) +(?P<text>.+)|(?P<rule>---+)\s*")


def document(cards: str, nonce: str) -> str:
    """Make the whole page around `messages`.

    Args:
        cards: the messages as HTML.
        nonce: the nonce of the page's content security policy.
    """
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8"><title>飞书沙箱 · MindGuard</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<style nonce="{nonce}">{CSS}</style>'
        '<header class="top"><span class="avatar">MG</span><div><h1>MindGuard 值班群</h1>'
        "<p>飞书沙箱 · 最新在上 · 自动刷新</p></div></header>"
        f'<main id="cards">{cards}</main><script nonce="{nonce}">{_SCRIPT}</script></html>'
    )


def messages(records: list[dict[str, Any]]) -> str:
    """Show the received messages as HTML, newest first."""
    if not records:
        return '<p class="empty">还没有收到消息 · nothing received yet</p>'
    numbered = list(enumerate(records))
    return "".join(_message(record, number) for number, record in reversed(numbered))


def _message(record: dict[str, Any], number: int) -> str:
    received = datetime.fromisoformat(record["received_at"]).astimezone(_ZONE)
    refused = ""
    if record["code"]:
        refused = f'<p class="refused">未送达 · code {escape(str(record["code"]))} · {escape(record["msg"])}</p>'
    try:
        body = _body(record["message"])
    except Exception as error:  # a card that Feishu refused may have any shape
        body = f'<div class="bubble">{escape(type(error).__name__)}: 无法显示的内容</div>'
    return (
        f'<article data-key="{escape(record["received_at"])}-{number}" class="{"bad" if refused else ""}">'
        '<span class="avatar">MG</span><div class="said">'
        f'<p class="who">MindGuard 告警 <span class="bot">机器人</span>'
        f"<time>{received:%m-%d %H:%M:%S}</time></p>{refused}{_thread(record)}{body}{_after(record)}</div></article>"
    )


def _thread(record: dict[str, Any]) -> str:
    return '<p class="thread">↳ 在话题中回复较早的卡片</p>' if record.get("thread") else ""


def _after(record: dict[str, Any]) -> str:
    """Show who was called to the message, and what the message showed before."""
    calls = "".join(
        f'<span class="urgent">加急 · {_MEANS[call["means"]]} → {" ".join(_mention(each) for each in call["people"])}'
        f" · {_clock(call['at'])}</span>"
        for call in record.get("urgent", [])
    )
    former = record.get("history", [])
    if not former:
        return calls
    shown = "".join(f"<li>{_clock(each['at'])} {_title(each['message'])}</li>" for each in former)
    summary = f"原卡片已更新 {len(former)} 次，最近 {_clock(record['changed_at'])}"
    return f'{calls}<details class="after"><summary>{summary}</summary><ol>{shown}</ol></details>'


def _title(message: dict[str, Any]) -> str:
    header = message["card"].get("header") or {}
    tags = "".join(
        f'<span class="tag c-{_colour(tag.get("color"))}">{_plain(tag.get("text"))}</span>'
        for tag in header.get("text_tag_list", [])
    )
    return f"{_plain(header.get('title'))}{tags}"


def _clock(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(_ZONE):%H:%M:%S}"


def _body(message: dict[str, Any] | None) -> str:
    if message is None:
        return ""
    if message.get("msg_type") == "interactive":
        return _card(message["card"])
    text = str(message.get("content", {}).get("text", ""))
    shown = re.sub(
        r"&lt;at user_id=&quot;([\w-]+)&quot;&gt;.*?&lt;/at&gt;",
        lambda match: _mention(match.group(1)),
        escape(text),
    )
    return f'<div class="bubble">{shown}</div>'


def _card(card: dict[str, Any]) -> str:
    header = card.get("header") or {}
    top = ""
    if header:
        tags = "".join(
            f'<span class="tag c-{_colour(tag.get("color"))}">{_plain(tag.get("text"))}</span>'
            for tag in header.get("text_tag_list", [])
        )
        subtitle = f'<p class="subtitle">{_plain(header["subtitle"])}</p>' if header.get("subtitle") else ""
        top = (
            f'<div class="head t-{_colour(header.get("template"))}">'
            f"<h2>{_plain(header['title'])}{tags}</h2>{subtitle}</div>"
        )
    return f'<section class="card">{top}<div class="body">{_elements(card["body"]["elements"])}</div></section>'


def _elements(elements: list[dict[str, Any]]) -> str:
    return "".join(_ELEMENTS.get(element["tag"], _unknown)(element) for element in elements)


def _unknown(element: dict[str, Any]) -> str:
    return f'<div class="placeholder">〔{escape(str(element["tag"]))}〕</div>'


def _markdown_element(element: dict[str, Any]) -> str:
    return f'<div class="{_size(element)}">{markdown(element["content"])}</div>'


def _div(element: dict[str, Any]) -> str:
    text = element["text"]
    shown = markdown(text["content"]) if text.get("tag") == "lark_md" else _plain(text)
    return f'<div class="pre {_size(text)}">{shown}</div>'


def _column_set(element: dict[str, Any]) -> str:
    columns = "".join(
        f'<div class="column w-{"auto" if column.get("width") == "auto" else _weight(column)}">'
        f"{_elements(column.get('elements', []))}</div>"
        for column in element.get("columns", [])
    )
    grey = "" if element.get("background_style", "default") == "default" else "grey"
    flow = "flow" if element.get("flex_mode") == "flow" else ""
    return f'<div class="columns {grey} {flow}">{columns}</div>'


def _collapsible(element: dict[str, Any]) -> str:
    return (
        f"<details{' open' if element.get('expanded') else ''}>"
        f"<summary>{_plain(element['header']['title'])}</summary>"
        f'<div class="inside">{_elements(element["elements"])}</div></details>'
    )


def _button(element: dict[str, Any]) -> str:
    kind = str(element.get("type", ""))
    style = next((style for style in ("primary_filled", "primary", "danger") if kind.startswith(style)), "default")
    url = next((b.get("default_url", "") for b in element.get("behaviors", []) if b.get("type") == "open_url"), "")
    label = _plain(element["text"])
    if not _linkable(url):
        return f'<span class="button {style} dead">{label}</span>'
    return f'<a class="button {style}" href="{escape(url)}" target="_blank" rel="noopener noreferrer">{label}</a>'


def _table(element: dict[str, Any]) -> str:
    columns = element.get("columns", [])
    head = "".join(f"<th>{escape(str(column.get('display_name', '')))}</th>" for column in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(row.get(column['name']), column)}</td>" for column in columns) + "</tr>"
        for row in element.get("rows", [])
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(value: Any, column: dict[str, Any]) -> str:
    kind = column.get("data_type")
    if kind in ("lark_md", "markdown"):
        return markdown(str(value or ""))
    if kind == "options" and isinstance(value, list):
        return "".join(
            f'<span class="tag c-{_colour(option.get("color"))}">{escape(str(option.get("text", "")))}</span>'
            for option in value
        )
    return escape("" if value is None else str(value))


_ELEMENTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "markdown": _markdown_element,
    "div": _div,
    "hr": lambda _: "<hr>",
    "column_set": _column_set,
    "collapsible_panel": _collapsible,
    "button": _button,
    "table": _table,
    "chart": lambda element: line_chart(element["chart_spec"]),
}


def markdown(text: str) -> str:
    """Convert Feishu's markdown to HTML. `&#NN;` becomes the character it names, escaped, and is never markup."""
    parts = _FENCE.split(text)
    return "".join(
        f"<pre>{escape(part.rstrip())}</pre>" if position % 2 else _blocks(part) for position, part in enumerate(parts)
    )


def _blocks(text: str) -> str:
    html: list[str] = []
    plain: list[str] = []

    def flush() -> None:
        if plain:
            html.append(_inline("\n".join(plain)))
            plain.clear()

    for line in text.split("\n"):
        block = _BLOCK.fullmatch(line)
        if block is None:
            plain.append(line)
            continue
        flush()
        if block["head"]:
            level = min(len(block["head"]) + 2, 6)
            html.append(f"<h{level}>{_inline(block['title'])}</h{level}>")
        elif block["item"]:
            html.append(f'<div class="item">{_inline(block["text"])}</div>')
        else:
            html.append("<hr>")
    flush()
    return "".join(html)


def _inline(text: str) -> str:
    html: list[str] = []
    position = 0
    for match in _INLINE.finditer(text):
        html += [escape(text[position : match.start()]), _span(match)]
        position = match.end()
    return "".join(html) + escape(text[position:])


def _span(match: re.Match[str]) -> str:
    kind, value = match.lastgroup or "", match.group(match.lastgroup or 0)
    if kind == "entity":
        number = int(value)
        return escape(chr(number)) if 31 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
    if kind in ("strong", "del", "em"):
        return f"<{kind}>{_inline(value)}</{kind}>"
    if kind == "code":
        return f"<code>{escape(value)}</code>"
    if kind == "url":
        label = _inline(match["label"])
        return (
            f'<a href="{escape(value)}" target="_blank" rel="noopener noreferrer">{label}</a>'
            if _linkable(value)
            else label
        )
    if kind == "at":
        return _mention(value)
    if kind == "font":
        return f'<span class="f-{_colour(match["colour"])}">{_inline(value)}</span>'
    if kind == "tag":
        return f'<span class="tag c-{_colour(match["tag_colour"])}">{_inline(value)}</span>'
    return "<br>"


def _mention(who: str) -> str:
    """Show the first and last characters of an id in the place where Feishu shows the person's name."""
    if who == "all":
        return '<span class="at">@所有人</span>'
    short = who if len(who) <= _LONGEST_ID else f"{who[:6]}…{who[-4:]}"
    return f'<span class="at" title="{escape(who)}">@{escape(short)}</span>'


def _plain(text: Any) -> str:
    return escape(str(text.get("content", ""))) if isinstance(text, dict) else ""


def _colour(name: Any) -> str:
    return name if name in _COLOURS else "default"


def _size(element: dict[str, Any]) -> str:
    size = element.get("text_size", "normal")
    return f"s-{size if size in _SIZES else 'normal'}"


def _weight(column: dict[str, Any]) -> int:
    weight = column.get("weight", 1)
    return min(max(weight, 1), 5) if isinstance(weight, int) else 1


def _linkable(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(("https://", "http://"))


_SCRIPT = """
const main = document.getElementById("cards");
let last = main.innerHTML;
setInterval(async () => {
  try {
    const html = await (await fetch("/_cards")).text();
    if (html === last) return;
    last = html;
    const key = d => d.closest("article").dataset.key;
    const open = new Set([...main.querySelectorAll("details[open]")].map(key));
    main.innerHTML = html;
    main.querySelectorAll("details").forEach(d => { if (open.has(key(d))) d.open = true; });
  } catch { /* the sandbox is restarting */ }
}, 2000);
"""
