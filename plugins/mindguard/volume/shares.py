"""Shares that a suite judges however few rows they are of: 1 of 10 rows is 10 percent, and often chance."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mindguard.volume.suites import DeclaredExpectation, Suite

_SHARE = re.compile(
    r"(^|_)(share|ratio|rate|fraction|proportion|percent|percentage|pct)(_|$)|率|占比|比例|百分比|份额", re.IGNORECASE
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# `confirmed_…` of the package's frames, and the lower bounds in the queries of its own suites: both allow for chance.
_INTERVAL = re.compile(r"^confirmed_|_at_(least|most)$|_(lower|upper)(_bound)?$", re.IGNORECASE)
_LEAST = re.compile(r"[<>]")
_WHOLE = (0, 1, 100)


def shares_without_base(suite: Suite) -> Iterator[str]:
    """Yield one sentence for each expectation that judges a share without a base and without an interval.

    Names tell a share: a column such as `error_rate`, an expectation of a proportion, or `mostly`. An expectation about
    the whole (0, 1 or 100 percent) needs neither. A `row_condition` that compares is a base, and so is, for a share of
    the frame's own rows, an expectation of a least number of rows.
    """
    enough_rows = any(map(_is_least_number_of_rows, suite.expectations))
    for number, entry in enumerate(suite.expectations):
        if _LEAST.search(str(entry.kwargs.get("row_condition") or "")):
            continue
        what = _share_in_column(entry) or ("" if enough_rows else _share_of_rows(entry))
        if what:
            yield (
                f"{suite.where(number)}: {what} is a share of any number of rows, so a few rows can fail "
                "it by chance; add a row_condition with a least number, or judge the lower bound of an interval"
            )


def _share_in_column(entry: DeclaredExpectation) -> str:
    column = str(entry.kwargs.get("column") or "")
    name = _CAPITAL.sub("_", column)
    return f"`{column}`" if _SHARE.search(name) and not _INTERVAL.search(name) and _is_bounded(entry) else ""


def _share_of_rows(entry: DeclaredExpectation) -> str:
    if "_proportion_of_" in entry.type and _is_bounded(entry):
        return f"the proportion in `{entry.kwargs.get('column')}`"
    return "" if entry.kwargs.get("mostly") in (None, *_WHOLE) else "`mostly`"


def _is_bounded(entry: DeclaredExpectation) -> bool:
    bounds = [entry.kwargs[name] for name in ("min_value", "max_value") if entry.kwargs.get(name) is not None]
    return any(bound not in _WHOLE for bound in bounds)


def _is_least_number_of_rows(entry: DeclaredExpectation) -> bool:
    least = entry.kwargs.get("min_value")
    return entry.type == "expect_table_row_count_to_be_between" and isinstance(least, int | float) and least > 1
