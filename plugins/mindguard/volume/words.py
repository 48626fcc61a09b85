"""What a failing row shows, in the figures and units that a person reads: for logs and the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mindguard.errors import first_few
from mindguard.units import of_column
from mindguard.volume.suites import Failure, Suite, ValidationResult

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 8
_WORST_FIRST = ("critical", "warning", "info")


def in_words(suite: Suite, failure: Failure, row: Mapping[Any, Any]) -> str:
    """Return the actual and the expected value, for instance `1,200, expected 2,000 (-40 %)` or `30 h, not 0 … 6`."""
    if not failure.key:
        return " ".join(filter(None, (failure.value, failure.allowed and f"not {failure.allowed}")))
    if suite.meta.frame == "funnels":
        usual, actual = (_finite(row.get(name)) for name in ("usual_conversion", "conversion"))
        if usual is not None and actual is not None:
            return f"{actual:.1%} of {row['upstream']}, usually {usual:.1%}; {row['gap']:,.0f} missing"
    elif suite.meta.frame:
        return _of_event(row)
    value = _finite(row.get(failure.column))
    measured = failure.value if value is None else of_column(failure.column, value)
    return (
        f"{failure.column} {measured}, not {_allowed(failure)}" if failure.allowed else f"{failure.column} {measured}"
    )


def _of_event(row: Mapping[Any, Any]) -> str:
    actual, median, fleet = (_finite(row.get(name)) for name in ("actual", "weekday_median", "fleet_move"))
    yesterday = _finite(row.get("yesterday"))
    told = f"{actual or 0:,.0f}"
    if median is not None:
        expected = median * (1.0 if fleet is None else fleet)
        told += f", expected {expected:,.0f}{_change(actual, expected)}"
    if yesterday is not None:
        told += f", the day before {yesterday:,.0f}{_change(actual, yesterday)}"
    return told


def _change(actual: float | None, base: float) -> str:
    return f" ({(actual or 0) / base - 1:+.0%})" if base else ""


def _allowed(failure: Failure) -> str:
    """Return the bounds in the unit of the column."""
    words = []
    for word in failure.allowed.split(" "):
        try:
            words.append(of_column(failure.column, float(word)))
        except ValueError:  # between the bounds
            words.append(word)
    return " ".join(words)


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def rows_by_key(suite: Suite, frame: pd.DataFrame) -> dict[tuple[str, ...], dict[Any, Any]]:
    """Return the frame's rows by the key that a failure names."""
    rows: list[dict[Any, Any]] = frame.to_dict("records")
    return {tuple(str(row[column]) for column in suite.meta.index): row for row in rows}


def summary_line(suite: Suite, judged: ValidationResult, frame: pd.DataFrame) -> str:
    """Return one line on a suite's result: each failing row once, the worst first."""
    line = f"{suite.name}: {judged.failed} of {judged.evaluated} expectations failed, rows: {judged.rows}"
    rows = rows_by_key(suite, frame)
    told: dict[str, None] = {}
    for failure in sorted(judged.failures, key=lambda each: _WORST_FIRST.index(each.severity)):
        about = "/".join(failure.key) or "all rows"
        words = in_words(suite, failure, rows.get(failure.key, {}))
        if not any(line.endswith(f" {about}: {words}") for line in told):
            told[f"{failure.severity} {about}: {words}"] = None
    return f"{line}; {first_few(list(told), most=_MOST_ROWS, separator='; ')}" if told else line
