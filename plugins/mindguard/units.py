"""Amounts in the units that people read: 26 h, not 93,600.0 s. The abbreviations suit both languages."""

from __future__ import annotations

import re

_LONGEST_SPAN_S = 1e10  # 300 years; a query can return any number
_TWO_DAYS_S = 2 * 86400

_SECONDS = {
    "s": 1,
    "ms": 0.001,
    "min": 60,
    "h": 3600,
    "hours": 3600,
    "minutes": 60,
    "seconds": 1,
    "days": 86400,
    "d": 86400,
}
_SHARE = re.compile(r"(^|_)(share|ratio|fraction|proportion|conversion)(_|$)")


def amount(value: float, unit: str) -> str:
    """Return a value with its unit: `s`, `ratio` (0.01 is 1.00%), or a number of something."""
    if unit == "s":
        return span(value) if value >= 60 else f"{value:.1f} s"
    return f"{value:.2%}" if unit == "ratio" else f"{value:,.0f}"


def counted(count: int, noun: str) -> str:
    """Return a number of things in English: `1 part`, `1,200 parts`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Return a number of bytes in the largest unit of which there is at least one: `812 bytes`, `3.1 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return counted(round(count), "byte")


def span(seconds: float) -> str:
    """Return a span in its two largest units, for instance `6 min 12 s`; of less than two days, in hours."""
    if not abs(seconds) < _LONGEST_SPAN_S:
        return f"{seconds:.1e} s"
    left = round(max(seconds, 0))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if unit == "d" and left < _TWO_DAYS_S:
            continue
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def of_column(column: str, value: float) -> str:
    """Return a value of a column whose name tells its unit, such as `newest_age_h` or `null_user_share`."""
    size = _SECONDS.get(column.rpartition("_")[2])
    if size and value > 0:
        return amount(value * size, "s")
    if _SHARE.search(column) and abs(value) <= 100:
        return f"{value:.3g}" if value > 1 else f"{value * 100:.3g} %"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
