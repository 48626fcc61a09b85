"""Decisions of a snapshot as pure functions: where a table is cut, and what a part's content id is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mindguard.snapshots.storage.manifest import Column, Part

CONTENT_FORMAT = 1
"""How the bytes of parts are to be read. A change makes the next snapshot write every part anew."""

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
    """The rows whose key lies in [lower, upper).

    Attributes:
        lower: the inclusive lower bound, as PostgreSQL's text of the key; None: unbounded.
        upper: the exclusive upper bound; None: unbounded, and the range also contains the rows without a key.
    """

    lower: str | None
    upper: str | None


WHOLE = KeyRange(None, None)


def is_native(builtin_type: str | None) -> bool:
    """Return whether Parquet holds this built-in type without loss; any other type, and any domain, is kept as text."""
    return builtin_type in _NATIVE_TYPES


def is_time(column: Column) -> bool:
    """Return whether Parquet holds the column's values only if they are finite and lie in years 1 to 9999."""
    return column.encoding == "native" and (column.type == "date" or column.type.startswith("timestamp"))


def part_bytes(table_bytes: int, largest: int) -> int:
    """Return the size that one part of this table aims at, in bytes of the source's heap.

    A part is the unit of reuse, so a table is cut into about 96 parts as soon as each of them is worth an object:
    if the whole table were one part, one new row would mean storing all of it again.

    Args:
        table_bytes: size of the table's heap.
        largest: the setting `part_mb`, in bytes.
    """
    return min(largest, max(_SMALLEST_PART, table_bytes // _PARTS))


def pieces(size: float, part_bytes: int) -> int:
    """Return the number of pieces to cut `size` bytes into: one, unless `size` is over twice the size aimed at."""
    return 1 if size <= 2 * part_bytes else round(size / part_bytes)


def fractions(parts: int) -> list[float]:
    """Return the quantiles that cut a table into this many parts."""
    return [step / parts for step in range(1, parts)]


def sample_percent(table_bytes: int) -> float:
    """Return the share of blocks, in percent, to sample for quantiles: about 16 MB, whatever the table's size."""
    return min(100.0, 100.0 * _SAMPLE_BYTES / max(table_bytes, 1))


def block_boundaries(table_bytes: int, part_bytes: int) -> list[str]:
    """Return boundaries by physical position, one every `part_bytes` of the heap, for a table without a key."""
    step = max(1, part_bytes // _BLOCK)
    return [f"({block},0)" for block in range(step, table_bytes // _BLOCK + 1, step)]


def ranges(boundaries: Sequence[str], within: KeyRange = WHOLE) -> list[KeyRange]:
    """Return the ranges between boundaries: one more than there are boundaries, together covering `within`."""
    edges = [within.lower, *boundaries, within.upper]
    return [KeyRange(lower, upper) for lower, upper in pairwise(edges)]


def cuts(key_ranges: Sequence[KeyRange]) -> list[str]:
    """Return the boundaries between ranges that meet."""
    return [each.lower for each in key_ranges[1:] if each.lower is not None]


def merged(key_ranges: Iterable[KeyRange]) -> list[KeyRange]:
    """Return as few ranges as have the same rows: ranges that meet are one. The given ones are ascending."""
    result: list[KeyRange] = []
    for each in key_ranges:
        if result and result[-1].upper is not None and result[-1].upper == each.lower:
            result[-1] = KeyRange(result[-1].lower, each.upper)
        else:
            result.append(each)
    return result


def boundaries_of(parts: Sequence[Part]) -> list[str]:
    """Return the boundaries at which a snapshot's parts were cut, ascending.

    Both edges of a gap between two parts, where a range had no rows, are boundaries as well.
    """
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
    """Return the name of a part, derived from its content: equal rows with equal encoding and range have equal names.

    Everything that decides how the bytes are to be read goes into the name, so a stored part either is exactly
    the part that a snapshot needs or has another name.
    """
    content = {
        "format": CONTENT_FORMAT,
        "table": table,
        "columns": [[c.name, c.type, c.encoding, c.collation] for c in columns],
        "range": [part_by, key_range.lower, key_range.upper],
        "rows": rows,
        "fingerprint": fingerprint,
        "times_as_text": times_as_text,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]
