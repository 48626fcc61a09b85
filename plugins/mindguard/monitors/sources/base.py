"""What every source has in common: its shape, its errors, and how rows of a query become readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Protocol

from mindguard.errors import MindGuardError
from mindguard.monitors.judge import Reading
from mindguard.settings import include_dir
from mindguard.settings_monitors import Monitor

MAX_ROWS = 200
"""More dimensions than people can look at are a mistake in a query."""

_TIMES = ("newest", "source_now", "upstream_newest")
_NUMBERS = ("value", "base", "rows")
_TEXTS = ("dimension", "note", "state")


class SourceUnreachable(MindGuardError):
    """The source cannot be reached; nobody needs to try again in this run."""


class SourceTimeout(MindGuardError):
    """The source did not answer within the monitor's time."""


class MeasurementFailed(MindGuardError):
    """The query fails, or what it gives cannot be read as a measurement."""


class Source(Protocol):
    """One open source, used by one thread."""

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | Sequence[Reading]:
        """Rows of a query, or readings where there is none.

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


def checked(row: Mapping[str, Any], first: str) -> dict[str, Any]:
    """A query's row with its types checked.

    Args:
        first: the column that must be there, or one of several with `|` between them.

    Raises:
        MeasurementFailed: an unknown column, a missing one, or a value of another type.
    """
    known = (*_TIMES, *_NUMBERS, *_TEXTS)
    if strangers := sorted(set(row) - set(known)):
        raise MeasurementFailed(f"the query gives {', '.join(strangers)}", hint=f"it may give {', '.join(known)}")
    if not set(first.split("|")) & set(row):
        raise MeasurementFailed(f"the query does not give {first.replace('|', ' or ')}")
    return {name: _value(name, value) for name, value in row.items()}


def readings(rows: Iterable[Mapping[str, Any]]) -> list[Reading]:
    """Readings of a query's rows; none at all is one reading of nothing.

    Raises:
        MeasurementFailed: see `checked`; also two rows with the same dimension, or too many.
    """
    found = []
    for row in rows:
        found.append(Reading(**checked(row, "value|newest")))
        if len(found) > MAX_ROWS:
            raise MeasurementFailed(f"the query gives more than {MAX_ROWS} rows", hint="give one row, or a few")
    names = [reading.dimension for reading in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MeasurementFailed(f"the query gives several rows for dimension {twice[0]!r}")
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
