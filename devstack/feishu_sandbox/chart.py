"""A line chart of VChart as inline SVG, much as Feishu draws it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 40, 56
_COLOURS = ("#8f959e", "#3370ff", "#ff8800", "#2b7d1f")
_MOST_LABELS = 8


def line_chart(spec: dict[str, Any]) -> str:
    """Draw the chart as SVG; anything but a line chart becomes a box with its type."""
    x_field, y_field, series = str(spec.get("xField")), str(spec.get("yField")), str(spec.get("seriesField"))
    values = _values(spec.get("data"))
    points = [(str(v.get(x_field)), float(v.get(y_field, "nan")), str(v.get(series, ""))) for v in values]
    points = [point for point in points if math.isfinite(point[1])]
    if spec.get("type") != "line" or not points:
        return f'<div class="placeholder">〔chart {escape(str(spec.get("type")))}〕</div>'
    labels = list(dict.fromkeys(x for x, _, _ in points))
    names = list(dict.fromkeys(name for _, _, name in points))
    place = _Place(labels, [y for _, y, _ in points])
    title = escape(str((spec.get("title") or {}).get("text", "")))
    # A single line shows the actual values, so it gets their colour.
    colours = dict(zip(names, _COLOURS[2 - min(len(names), 2) :], strict=False))
    return "".join(
        [
            f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">',
            f'<text x="12" y="22" font-size="14" font-weight="600" fill="#1f2329">{title}</text>',
            *_grid(place),
            *_x_labels(place, labels),
            *(_line(place, [(x, y) for x, y, name in points if name == each], colours[each]) for each in names),
            *_marks(place, spec.get("markPoint") or [], x_field, y_field),
            *(_legend(names, colours) if len(names) > 1 else ()),
            "</svg>",
        ]
    )


class _Place:
    """Computes the position of a value in the picture."""

    def __init__(self, labels: list[str], ys: list[float]) -> None:
        low, high = min(ys), max(ys)
        margin = (high - low or abs(high) or 1) * 0.12
        # The axis begins at zero, unless the line would then be flat.
        self.low = 0.0 if 0 <= low < (high - low) * 1.5 else low - margin
        self.high = high + margin
        self._at = {label: index for index, label in enumerate(labels)}

    def x(self, label: str) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (self._at[label] + 0.5) / len(self._at)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    def has(self, label: str) -> bool:
        return label in self._at


def _values(data: Any) -> list[dict[str, Any]]:
    if isinstance(data, list):
        data = data[0] if data else {}
    values = data.get("values") if isinstance(data, dict) else None
    return [value for value in values or [] if isinstance(value, dict)]


def _grid(place: _Place) -> Iterable[str]:
    for step in range(5):
        value = place.low + (place.high - place.low) * step / 4
        y = place.y(value)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eff0f1"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:,.4g}", "end")


def _x_labels(place: _Place, labels: list[str]) -> Iterable[str]:
    every = math.ceil(len(labels) / _MOST_LABELS)
    for index, label in enumerate(labels):
        # Labels are counted back from the newest, which matters most.
        if (len(labels) - 1 - index) % every == 0:
            yield _text(place.x(label), _HEIGHT - _BOTTOM + 18, label, "middle")


def _line(place: _Place, points: list[tuple[str, float]], colour: str) -> str:
    path = " ".join(f"{place.x(x):.1f},{place.y(y):.1f}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if colour == _COLOURS[0] else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'


def _marks(place: _Place, marks: list[Any], x_field: str, y_field: str) -> Iterable[str]:
    for mark in marks:
        at = mark.get("coordinate") or {}
        if place.has(str(at.get(x_field))) and isinstance(at.get(y_field), int | float):
            x, y = place.x(str(at[x_field])), place.y(at[y_field])
            text = str(((mark.get("itemContent") or {}).get("text") or {}).get("text", ""))
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#f54a45" stroke="#fff" stroke-width="1.5"/>'
            yield _text(x - 12, y + 5, text, "end", "#f54a45")


def _legend(names: list[str], colours: dict[str, str]) -> Iterable[str]:
    for index, name in enumerate(names):
        x = _WIDTH / 2 + (index - len(names) / 2) * 90
        yield f'<rect x="{x}" y="{_HEIGHT - 20}" width="14" height="4" rx="2" fill="{colours[name]}"/>'
        yield _text(x + 20, _HEIGHT - 13, name, "start")


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#646a73") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
