"""The page on one day's checks: what fell and why, as one HTML file that loads nothing else. Pure.

A suite's result becomes a `Section` of plain data, which is stored. The page is rendered from sections when somebody
opens it, in the language of the settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from mindguard.masking import mask_secrets, printable
from mindguard.texts import Locale
from mindguard.volume.findings import SEVERITIES, Context
from mindguard.volume.lenses import HOLIDAY_SPREAD, STRONG_Z_GATE, Z_GATE
from mindguard.volume.page.texts import TEXTS
from mindguard.volume.series import BASELINE_DAYS
from mindguard.volume.suites import Level, Suite, ValidationResult, allowed

if TYPE_CHECKING:
    import pandas as pd

_TEMPLATES = Path(__file__).with_name("templates")
_ORDER = ("unchecked", "all_traffic", "key_events", "funnels", "query")
_NO_CAUSE: dict[str, Any] = {"main": None, "losses": {}, "co_moving": [], "release": None, "misdated": 0}
_CHART_W, _CHART_H, _CHART_TOP, _CHART_BOTTOM, _CHART_SIDE = 720, 200, 26, 26, 6


class Rule(NamedTuple):
    """An expectation on one column: what it allows, and how severe a failure is."""

    column: str
    allowed: str
    severity: Level


@dataclass(frozen=True)
class Section:
    """The part of the page on one suite.

    Attributes:
        suite: the suite's name.
        frame: the kind of its rows: `key_events`, `all_traffic`, `funnels` or `query`; `unchecked` if there are none.
        as_of: when the day was judged, aware.
        evaluated: number of expectations.
        severity: severity of the worst failure; None if nothing failed.
        unchecked: the reason why the suite could not be checked.
        rows: the frame's rows by column, in types that JSON has; a number that is not finite is None. Added are
            `failures` (`expectation, column, value, allowed, severity`) and `cause` as an object, and for rows that
            fell `history` (`[day, count]`, oldest first) and `history_baseline` (the days compared with).
        rules: the suite's expectations on one column.
        whole: failures of the frame as a whole.
    """

    suite: str
    frame: str
    as_of: datetime
    evaluated: int = 0
    severity: Level | None = None
    unchecked: str = ""
    rows: tuple[dict[str, Any], ...] = ()
    rules: tuple[Rule, ...] = ()
    whole: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the section as JSON for a store, without possible secrets and characters that jsonb refuses."""
        return dict(_storable(asdict(self)))


def section(suite: Suite, judged: ValidationResult, frame: pd.DataFrame, context: Context) -> Section:
    """Return the section of a suite that was judged."""
    rows = []
    failures: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for failure in judged.failures:
        plain = asdict(failure)
        failures.setdefault(plain.pop("key"), []).append(plain)
    for record in frame.to_dict("records"):
        row = {str(name): _plain(value) for name, value in record.items()}
        key = tuple(str(record[column]) for column in suite.meta.index)
        details = context.details_of(record)
        row["failures"] = failures.get(key, [])
        row["severity"] = worst([failure["severity"] for failure in row["failures"]])
        row["cause"] = details.cause.to_json() if details.cause else _NO_CAUSE
        if details.cause:
            row["onset"] = details.cause.onset.isoformat()
        fell = bool(row["failures"] or row.get("investigate"))
        row["history"] = [[each.day.isoformat(), each.count] for each in details.counts] if fell else []
        row["history_baseline"] = [day.isoformat() for day in details.baseline] if fell else []
        rows.append(row)
    rules = tuple(
        Rule(str(entry.kwargs["column"]), allowed(entry.kwargs), entry.severity)
        for entry in suite.expectations
        if "column" in entry.kwargs
    )
    return Section(
        suite.name,
        suite.meta.frame or "query",
        context.as_of,
        judged.evaluated,
        judged.severity,
        rows=tuple(rows),
        rules=rules,
        whole=tuple(failures.get((), [])),
    )


def unchecked(suite: str, why: Exception, as_of: datetime) -> Section:
    """Return the section of a suite that could not be checked, or not even be read."""
    return Section(suite, "unchecked", as_of, unchecked=str(why))


def render_page(
    sections: Sequence[dict[str, Any]],
    *,
    day: date,
    locale: Locale,
    zone: ZoneInfo,
    nonce: str = "",
    all_days: str = "",
) -> str:
    """Render the page as one HTML document.

    Args:
        sections: the results of `Section.to_json`.
        day: the day of the checks.
        locale: the language of the page.
        zone: the time zone of shown times.
        nonce: allows the page's style if the server sends a content security policy.
        all_days: address of the list of days; empty if the page is a file of its own.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "change": lambda ratio: _number(None if ratio is None else ratio - 1, "+.0%"),
        "moment": lambda written: f"{datetime.fromisoformat(written).astimezone(zone):%Y-%m-%d %H:%M}",
        "value": _value,
    }
    ordered = sorted(sections, key=lambda each: (_ORDER.index(each["frame"]), each["suite"]))
    return environment.get_template("report.html").render(
        say=TEXTS.of(locale),
        locale=locale,
        nonce=nonce,
        all_days=all_days,
        day=day,
        sections=ordered,
        worst=worst([each["severity"] for each in ordered if each["severity"]]),
        missing=[each["suite"] for each in ordered if each["unchecked"]],
        severities=SEVERITIES,
        chart=chart,
        z_gate=Z_GATE,
        strong_z=STRONG_Z_GATE,
        baseline=BASELINE_DAYS,
        holiday=HOLIDAY_SPREAD,
    )


def worst(levels: Sequence[Level]) -> Level | None:
    """Return the most severe level; None if there are no levels."""
    return min(levels, key=SEVERITIES.__getitem__, default=None)


def chart(row: dict[str, Any]) -> dict[str, Any]:
    """Return the positions of a chart's marks, in pixels of a drawing of 720 x 200.

    Args:
        row: a row of a `Section` with a history.

    Returns:
        `points` (x, y, day, count; oldest first), `line` (the points as SVG writes them), `expected` (y, or None),
        `baseline` (the points of the days compared with), `top` (the count at the upper edge), and the edges.
    """
    history = row["history"]
    expected = None
    if row.get("weekday_median") is not None:
        expected = row["weekday_median"] * (row["fleet_move"] if row.get("fleet_move") is not None else 1.0)
    top = max([1.0, *(count for _, count in history), expected or 0.0])
    step = (_CHART_W - 2 * _CHART_SIDE) / max(1, len(history) - 1)

    def height(count: float) -> float:
        return round(float(_CHART_TOP + (_CHART_H - _CHART_TOP - _CHART_BOTTOM) * (1 - count / top)), 1)

    points = [
        (round(_CHART_SIDE + number * step, 1), height(count), day, count)
        for number, (day, count) in enumerate(history)
    ]
    return {
        "points": points,
        "line": " ".join(f"{x},{y}" for x, y, _, _ in points),
        "expected": None if expected is None else height(expected),
        "baseline": [point for point in points if point[2] in row.get("history_baseline", ())],
        "top": top,
        "width": _CHART_W,
        "height": _CHART_H,
        "floor": _CHART_H - _CHART_BOTTOM,
    }


def _plain(value: Any) -> Any:
    """Return a frame's cell in a type that JSON has."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value != value:  # NaN and NaT are not equal to themselves
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | str) else str(value)


def _number(value: float | None, form: str = ",.0f") -> str:
    return "–" if value is None else format(value, form)


def _value(value: Any) -> str:
    if isinstance(value, int | float):
        return _number(value, ",.3g" if isinstance(value, float) else ",")
    return "–" if value is None else str(value)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return mask_secrets(printable(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _storable(inner) for key, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list | tuple) else value
