"""What every source has in common: its shape, its errors, and how rows of a query become readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Protocol

from mindguard.errors import MindGuardError
from mindguard.monitors.judge import Reading
from mindguard.resources import include_dir
from mindguard.settings.monitors import Monitor

MAX_ROWS = 200
"""More dimensions than people can look at are a mistake in a query."""

_TIMES = ("newest", "source_now", "upstream_newest")
_TEXTS = ("dimension", "note", "state")
_COMMON = ("dimension", "base", "source_now", "note")
_COLUMNS = {
    "freshness": (("newest", "value"), ("upstream_newest", *_COMMON)),
    "rate": (("value",), _COMMON),
    "latency": (("value",), _COMMON),
    "deadline": (("state",), ("rows",)),
}
"""By kind of monitor: the columns of which its query gives one, and those that it may give beside."""


Row = Mapping[str, Any]
"""By column: aware times, numbers as float, texts."""


class SourceUnreachable(MindGuardError):
    """The source cannot be reached; nobody needs to try again in this run."""


class SourceTimeout(MindGuardError):
    """The source did not answer within the monitor's time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="raise `timeout_s`, or make it faster")


class MeasurementFailed(MindGuardError):
    """The query fails, or what it gives cannot be read as a measurement."""


class MonitorSource(Protocol):
    """One open source, used by one thread."""

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Row] | Sequence[Reading]:
        """Rows of a query, as `table` gives them, or readings where there is none.

        Raises:
            SourceUnreachable, SourceTimeout, MeasurementFailed: each with one line for people.
        """

    def close(self) -> None:
        """Let go of what is open."""


@cache
def query_text(name: str) -> str:
    """The text of a query's file, absolute or below `include`.

    Raises:
        MeasurementFailed: it cannot be read.
    """
    try:
        return (include_dir() / name).read_text("utf-8")
    except OSError as error:
        raise MeasurementFailed(f"cannot read the query {name}: {error.strerror}", hint="correct `query`") from error


def table(monitor: Monitor, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Row]:
    """What a query gave, with its columns checked even if there is no row, and its values' types.

    Raises:
        MeasurementFailed: an unknown column, a missing one, a value of another type, or too many rows.
    """
    first, more = _COLUMNS[monitor.kind]
    known = (*first, *more)
    if unknown := [name for name in columns if name not in known]:
        raise MeasurementFailed(
            f"the query gives {', '.join(unknown)}", hint=f"a {monitor.kind} query may give {', '.join(known)}"
        )
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise MeasurementFailed(f"the query gives {twice[0]} twice", hint="name each column once")
    if not set(first) & set(columns):
        raise MeasurementFailed(f"the query does not give {' or '.join(first)}", hint="name its column so")
    found: list[Row] = []
    for row in rows:
        found.append({name: _value(name, value) for name, value in zip(columns, row, strict=True)})
        if len(found) > MAX_ROWS:
            raise MeasurementFailed(f"the query gives more than {MAX_ROWS} rows", hint="give one row, or a few")
    return found


def readings(rows: Iterable[Row]) -> list[Reading]:
    """Readings of a query's rows; none at all is one reading of nothing.

    Raises:
        MeasurementFailed: two rows have the same dimension.
    """
    found = [Reading(**row) for row in rows]
    names = [reading.dimension for reading in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MeasurementFailed(
            f"the query gives several rows for dimension {twice[0]!r}", hint="give one row for each `dimension`"
        )
    return found or [Reading(base=0)]


def _value(name: str, value: Any) -> Any:
    if name in _TEXTS:
        return "" if value is None else str(value)
    if value is None:
        return None
    if name in _TIMES:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise MeasurementFailed(f"{name} is no time with a time zone: {value!r}"[:200], hint="cast it in the query")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise MeasurementFailed(f"{name} is no number: {value!r}"[:200], hint="cast it in the query")
    return float(value)
