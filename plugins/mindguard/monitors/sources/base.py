"""The interface and the errors of all sources, and the conversion of a query's rows to readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Protocol

from mindguard.errors import MindGuardError, one_line
from mindguard.masking import name_of, printable
from mindguard.monitors.judge import Reading
from mindguard.resources import include_dir
from mindguard.settings.monitors import Monitor

MAX_ROWS = 200
"""The largest number of rows: a query with more dimensions than people can look at is a mistake."""

_LONGEST_TEXT = 100_000
"""Number of characters of a text that are read at all: to clean a much longer one would take the time of a run."""

_CAST = "cast it in the query"
_TIME_COLUMNS = ("newest", "source_now", "upstream_newest")
_TEXT_COLUMNS = ("dimension", "note", "state")
_COMMON = ("dimension", "base", "source_now", "note")
_COLUMNS = {
    "freshness": (("newest", "value"), ("upstream_newest", *_COMMON)),
    "rate": (("value",), _COMMON),
    "latency": (("value",), _COMMON),
    "deadline": (("state",), ("rows",)),
}
"""For each kind of monitor, the columns of which its query must return at least one, and those that it may add."""


Row = Mapping[str, Any]
"""The values of a row by column: aware times, numbers as float, or texts."""


class SourceUnreachable(MindGuardError):
    """The source cannot be reached; another attempt in this run would be useless."""


class SourceTimeout(MindGuardError):
    """The source did not answer within the monitor's time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="raise `timeout_s`, or make the query faster")


class PartialAnswer(MindGuardError):
    """The source says that its answer lacks something, so the answer proves neither a failure nor a recovery."""

    def __init__(self, message: str) -> None:
        super().__init__(f"the answer is partial: {message}"[:300], hint="see the source's own log")


class MeasurementFailed(MindGuardError):
    """The query fails, or its result cannot be read as a measurement."""


class MonitorSource(Protocol):
    """One open source, used by one thread."""

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Row] | Sequence[Reading]:
        """Return the rows of a query, as `table` checks them, or readings if the source has no queries.

        Raises:
            SourceUnreachable, SourceTimeout, MeasurementFailed: each with one line for people.
        """

    def close(self) -> None:
        """Close connections and clients."""


@cache
def query_text(name: str) -> str:
    """Return the text of a query's file; a relative path is below `include`.

    Raises:
        MeasurementFailed: The file cannot be read.
    """
    try:
        return (include_dir() / name).read_text("utf-8")
    except OSError as error:
        raise MeasurementFailed(f"cannot read the query {name}: {error.strerror}", hint="correct `query`") from error


def table(monitor: Monitor, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Row]:
    """Check the columns of a query's result, even if it has no rows, and convert its values.

    Raises:
        MeasurementFailed: A column is unknown or missing, a value has the wrong type, or there are too many rows.
    """
    required, optional = _COLUMNS[monitor.kind]
    known = (*required, *optional)
    if unknown := [name for name in columns if name not in known]:
        raise MeasurementFailed(
            f"the query returns the unknown column {', '.join(unknown)}",
            hint=f"a {monitor.kind} query may return {', '.join(known)}",
        )
    if repeated := sorted({name for name in columns if columns.count(name) > 1}):
        raise MeasurementFailed(f"the query returns the column {repeated[0]} twice", hint="name each column once")
    measures = [name for name in required if name in columns]
    if not measures:
        raise MeasurementFailed(f"the query does not return {' or '.join(required)}", hint="give its column that name")
    if len(measures) > 1:  # one of them would have no effect
        raise MeasurementFailed(f"the query returns {' and '.join(measures)}", hint="return one of them")
    if monitor.base and "base" not in columns:
        raise MeasurementFailed("min_base has no effect, since the query does not return base", hint="return the base")
    checked: list[Row] = []
    for row in rows:
        checked.append({name: _value(name, value) for name, value in zip(columns, row, strict=True)})
        if len(checked) > MAX_ROWS:
            raise MeasurementFailed(f"the query returns more than {MAX_ROWS} rows", hint="return one or a few rows")
    if monitor.kind == "deadline" and len(checked) > 1:
        raise MeasurementFailed("the query returns more than one row", hint="return the row of the newest run")
    return checked


def require_used(params: Iterable[str], used: Callable[[str], bool]) -> None:
    """Refuse parameters of the settings that would have no effect.

    Raises:
        MeasurementFailed: The query does not contain one of them.
    """
    if unused := [name for name in params if not used(name)]:
        raise MeasurementFailed(f"the query does not use the parameter {unused[0]}", hint="correct `params`")


def readings(rows: Iterable[Row]) -> list[Reading]:
    """Return a reading for each row of a query; if there are no rows, one reading without traffic.

    Raises:
        MeasurementFailed: Two rows have the same dimension.
    """
    found = [cleaned(Reading(**row)) for row in rows]
    if len(found) > MAX_ROWS:
        raise MeasurementFailed(f"there are more than {MAX_ROWS} dimensions", hint="return one or a few")
    names = [reading.dimension for reading in found]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise MeasurementFailed(
            f"the query returns several rows for dimension {repeated[0]!r}", hint="return one row for each `dimension`"
        )
    return found or [Reading(base=0)]


def cleaned(reading: Reading) -> Reading:
    """Return the reading with texts that can be kept and shown, whatever the source sent."""
    return replace(reading, dimension=name_of(reading.dimension), note=one_line(printable(reading.note)))


def _value(name: str, value: Any) -> Any:
    if name in _TEXT_COLUMNS:
        return _text(name, value)
    if value is None:
        return 0.0 if name in ("base", "rows") else None  # the sum of no rows is NULL
    if name in _TIME_COLUMNS:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise MeasurementFailed(f"{name} is not a time with a time zone, but {_kind(value)}", hint=_CAST)
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise MeasurementFailed(f"{name} is not a number, but {_kind(value)}", hint=_CAST)
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _text(name: str, value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        text = bytes(value[: 4 * _LONGEST_TEXT]).decode("utf-8", "replace")
    else:
        text = "" if value is None else str(value)
    if len(text) > _LONGEST_TEXT and name == "dimension":  # what is cut might be all in which two of them differ
        raise MeasurementFailed(f"a dimension has more than {_LONGEST_TEXT:,} characters", hint="shorten it")
    return text[:_LONGEST_TEXT]


def _kind(value: Any) -> str:
    """Return what a value is without the value itself, which no log or card may show."""
    return "a time without zone" if isinstance(value, datetime) else f"of the type {type(value).__name__}"
