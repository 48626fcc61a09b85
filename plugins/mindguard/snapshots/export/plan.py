"""Decisions of a snapshot, as pure functions: where a table is cut, what a part's content id is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mindguard.snapshots.storage.manifest import FORMAT, Column, Part

_SMALLEST_PART = 512_000
_PARTS = 96
_SAMPLE_BYTES = 16 * 1024 * 1024
_BLOCK = 8192
_NATIVE_NUMBERS = {"bool", "int2", "int4", "int8", "float4", "float8"}
_NATIVE_STRINGS = {"text", "varchar", "uuid", "bytea"}
_NATIVE_TIMES = {"date", "timestamp", "timestamptz"}
_NATIVE_TYPES = _NATIVE_NUMBERS | _NATIVE_STRINGS | _NATIVE_TIMES


@dataclass(frozen=True)
class KeyRange:
    """Rows whose key lies in [lower, upper). None is unbounded; rows without a key go to the last range."""

    lower: str | None
    upper: str | None


WHOLE = KeyRange(None, None)


def is_native(builtin_type: str | None) -> bool:
    """Whether this built-in type reaches Parquet without loss; any other (also every domain) is kept as text."""
    return builtin_type in _NATIVE_TYPES


def is_time(column: Column) -> bool:
    """Whether Parquet holds the column's values only when they are finite and of years 1 to 9999."""
    return column.encoding == "native" and (column.type == "date" or column.type.startswith("timestamp"))


def part_bytes(table_bytes: int, largest: int) -> int:
    """Bytes of the source's heap that one part of this table aims at.

    A part is the unit of reuse, so a table is cut into some 96 parts as soon as they are worth an object each:
    with a part for the whole table, one new row would cost all of it.

    Args:
        largest: the setting `part_mb`, in bytes.
    """
    return min(largest, max(_SMALLEST_PART, table_bytes // _PARTS))


def pieces(size: float, part_bytes: int) -> int:
    """Into how many pieces so many bytes are cut: one, until a part would be twice what it aims at."""
    return 1 if size <= 2 * part_bytes else round(size / part_bytes)


def fractions(parts: int) -> list[float]:
    """The quantiles that cut a table into so many parts."""
    return [step / parts for step in range(1, parts)]


def sample_percent(table_bytes: int) -> float:
    """Share of blocks to sample for quantiles: about 16 MB, whatever the table's size."""
    return min(100.0, 100.0 * _SAMPLE_BYTES / max(table_bytes, 1))


def block_boundaries(table_bytes: int, part_bytes: int) -> list[str]:
    """Boundaries by physical position, for a table without a key: every `part_bytes` of its heap."""
    step = max(1, part_bytes // _BLOCK)
    return [f"({block},0)" for block in range(step, table_bytes // _BLOCK + 1, step)]


def ranges(boundaries: Sequence[str], within: KeyRange = WHOLE) -> list[KeyRange]:
    """The ranges between boundaries; one more than there are boundaries, together covering `within`."""
    edges = [within.lower, *boundaries, within.upper]
    return [KeyRange(lower, upper) for lower, upper in pairwise(edges)]


def boundaries_of(parts: Sequence[Part]) -> list[str]:
    """The boundaries that a snapshot's parts were cut at, ascending, gaps where rows are gone included."""
    edges = (edge for part in parts for edge in (part.lower, part.upper) if edge is not None)
    return list(dict.fromkeys(edges))


def content_id(
    table: str,
    columns: Sequence[Column],
    *,
    part_by: str,
    key_range: KeyRange,
    rows: int,
    fingerprint: str,
    times_as_text: bool,
) -> str:
    """The name of a part by what it holds: equal rows under equal encoding and range have equal names.

    Anything that changes how the bytes are to be read is in here, so that a stored part is either exactly what
    a snapshot needs or has another name.
    """
    content = {
        "format": FORMAT,
        "table": table,
        "columns": [[c.name, c.type, c.encoding, c.collation] for c in columns],
        "range": [part_by, key_range.lower, key_range.upper],
        "rows": rows,
        "fingerprint": fingerprint,
        "times_as_text": times_as_text,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]
