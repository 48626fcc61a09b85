"""Cards as HTML, much as Feishu shows them. Cards are untrusted: every text is escaped, links are http(s) only."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from devstack.feishu_sandbox.contract import TEMPLATES

_ZONE = ZoneInfo("Asia/Shanghai")
_COLOURS = TEMPLATES | {"neutral", "lime"}
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
    """The whole page around `messages`."""
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8"><title>飞书沙箱 · MindGuard</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<style nonce="{nonce}">{_CSS}</style>'
        '<header class="top"><span class="avatar">MG</span><div><h1>MindGuard 值班群</h1>'
        "<p>飞书沙箱 · 最新在上 · 自动刷新</p></div></header>"
        f'<main id="cards">{cards}</main><script nonce="{nonce}">{_SCRIPT}</script></html>'
    )


def messages(records: list[dict[str, Any]]) -> str:
    """The received messages as HTML, newest first."""
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
        f"<time>{received:%m-%d %H:%M:%S}</time></p>{refused}{body}</div></article>"
    )


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
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


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
}


def markdown(text: str) -> str:
    """Feishu's markdown as HTML. `&#NN;` becomes the character it names, escaped, and is never markup."""
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
    return f'<span class="at">@{"所有人" if who == "all" else escape(who)}</span>'


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


# name: (header background, strong text, tag background)
_PALETTE = {
    "red": ("#fde2e2", "#a8201a", "#f9c9c7", "#d83931"),
    "carmine": ("#fce0ee", "#92154f", "#f8c2dc", "#c01b6a"),
    "orange": ("#feead2", "#8f4600", "#fdd3a3", "#c25705"),
    "yellow": ("#faf1d1", "#6f4e00", "#f5e08f", "#aa7803"),
    "lime": ("#eef6c6", "#4b5e00", "#dbe98a", "#667901"),
    "green": ("#d9f5d6", "#186010", "#b7edb1", "#2b7d1f"),
    "turquoise": ("#d5f6f2", "#04615b", "#a9efe6", "#078372"),
    "wathet": ("#d9f3fd", "#05576e", "#b1e8fc", "#037eaa"),
    "blue": ("#e1eaff", "#0c3aa0", "#c5d5ff", "#245bdb"),
    "indigo": ("#e0e2fa", "#2c32a8", "#c7cbf5", "#4954e6"),
    "violet": ("#fae1fa", "#7b1c83", "#f3c3f3", "#9b2fa6"),
    "purple": ("#ece2fe", "#4a1fa0", "#dacbfd", "#6425d0"),
    "grey": ("#eff0f1", "#51565d", "#dee0e3", "#8f959e"),
    "neutral": ("#eff0f1", "#51565d", "#dee0e3", "#646a73"),
    "default": ("#ffffff", "#1f2329", "#eff0f1", "#1f2329"),
}

_CSS = (
    """
*{box-sizing:border-box}
body{margin:0;background:#f2f3f5;color:#1f2329;font:14px/1.6 -apple-system,"Segoe UI","PingFang SC",
"Microsoft YaHei","Noto Sans CJK SC","Source Han Sans SC","WenQuanYi Micro Hei",sans-serif}
.top{position:sticky;top:0;z-index:1;display:flex;gap:12px;align-items:center;padding:12px 24px;background:#fff;
border-bottom:1px solid #dee0e3}
.top h1{margin:0;font-size:16px}.top p{margin:0;font-size:12px;color:#8f959e}
.avatar{flex:none;width:36px;height:36px;border-radius:50%;background:linear-gradient(135deg,#3370ff,#14c0ff);
color:#fff;font-size:13px;font-weight:600;display:grid;place-items:center}
main{max-width:720px;margin:0 auto;padding:20px 16px 60px}
article{display:flex;gap:10px;margin-bottom:22px}.said{flex:1;min-width:0}
.who{margin:0 0 4px;font-size:12px;color:#646a73}.who time{margin-left:8px;color:#8f959e}
.bot{padding:0 4px;border-radius:3px;background:#fdf1d8;color:#aa7803}
.empty{text-align:center;color:#8f959e;padding:80px 0}
.refused{margin:0 0 6px;padding:4px 10px;border-radius:6px;background:#fde2e2;color:#a8201a;font-size:12px;
overflow-wrap:anywhere}
.bad .card,.bad .bubble{opacity:.55}
.card{max-width:600px;background:#fff;border:1px solid #dee0e3;border-radius:8px;overflow:hidden;
box-shadow:0 1px 3px rgba(31,35,41,.06)}
.head{padding:12px 16px}.head h2{margin:0;font-size:16px;line-height:24px;overflow-wrap:anywhere}
.subtitle{margin:2px 0 0;font-size:13px}
.tag{display:inline-block;margin-left:6px;padding:0 6px;border-radius:4px;font-size:12px;line-height:18px;
font-weight:500;vertical-align:2px;white-space:nowrap}
.body{display:flex;flex-direction:column;gap:12px;padding:12px 16px 16px;overflow-wrap:anywhere}
.columns{display:flex;gap:12px;align-items:flex-start}.columns.flow{flex-wrap:wrap;gap:8px}
.columns.grey{background:#f5f6f7;border-radius:6px;padding:10px 12px}
.column{min-width:0;display:flex;flex-direction:column;gap:2px}.w-auto{flex:none}
.w-1{flex:1}.w-2{flex:2}.w-3{flex:3}.w-4{flex:4}.w-5{flex:5}
.s-notation{font-size:12px;line-height:20px}.s-heading,.s-heading-4{font-size:16px;line-height:24px}
.s-heading-3{font-size:18px}.s-heading-2{font-size:20px}.s-heading-1{font-size:24px}.s-heading-0{font-size:30px}
.pre{white-space:pre-wrap}
details{border:1px solid #dee0e3;border-radius:6px}
summary{padding:6px 12px;cursor:pointer;display:flex;justify-content:space-between;list-style:none}
summary::after{content:"▾";color:#8f959e}details[open] summary::after{content:"▴"}
.inside{padding:8px 12px;border-top:1px solid #eff0f1;max-height:320px;overflow:auto}
.button{display:inline-block;padding:4px 14px;border-radius:6px;border:1px solid #d0d3d6;color:#1f2329;
text-decoration:none;background:#fff}
.button:hover{background:#f5f6f7}.button.primary{color:#245bdb;border-color:#3370ff}
.button.primary_filled{background:#3370ff;border-color:#3370ff;color:#fff}
.button.danger{color:#d83931;border-color:#f54a45}.dead{opacity:.5}
table{border-collapse:collapse;width:100%;font-size:13px}th,td{border:1px solid #dee0e3;padding:6px 10px;
text-align:left}th{background:#f5f6f7;font-weight:500}
pre,code{font:12px/1.5 ui-monospace,Menlo,Consolas,monospace;background:#f5f6f7;border-radius:4px}
pre{padding:8px 10px;margin:0;overflow:auto}code{padding:1px 4px}
hr{border:0;border-top:1px solid #dee0e3;width:100%;margin:0}h3,h4,h5,h6{margin:0}
.item::before{content:"• ";color:#8f959e}.at,a{color:#245bdb}a{text-decoration:none}
.bubble{display:inline-block;max-width:600px;padding:10px 14px;background:#fff;border:1px solid #dee0e3;
border-radius:8px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:420px;overflow:auto}
.placeholder{padding:16px;text-align:center;color:#8f959e;background:#f5f6f7;border-radius:6px}
@media(max-width:520px){.columns{flex-direction:column;gap:8px}.columns.flow{flex-direction:row}
.column{width:100%}.w-auto{width:auto}.top{padding:10px 14px}}
"""
    + "".join(
        f".t-{name}{{background:{light};color:{strong}}}.c-{name}{{background:{tag};color:{strong}}}"
        f".f-{name}{{color:{text}}}"
        for name, (light, strong, tag, text) in _PALETTE.items()
    )
).replace("\n", "")

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
