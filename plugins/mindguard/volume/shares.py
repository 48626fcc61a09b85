"""Shares that a suite judges however few rows they are of: 1 of 10 rows is 10 percent, and often chance."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mindguard.volume.suites import DeclaredExpectation, Suite

_SHARE = re.compile(r"(^|_)(share|ratio|rate|fraction|proportion|percent|percentage|pct)(_|$)", re.IGNORECASE)
# `confirmed_…` of the package's frames, and the lower bounds in the queries of its own suites: both allow for chance.
_INTERVAL = re.compile(r"^confirmed_|_at_(least|most)$|_(lower|upper)(_bound)?$", re.IGNORECASE)
_WHOLE = (0, 1, 100)


def shares_without_base(suite: Suite) -> Iterator[str]:
    """Yield one sentence for each expectation that judges a share without a base and without an interval.

    Names tell a share: a column such as `error_rate`, or `mostly`. An expectation about the whole (0, 1 or 100 percent)
    needs neither, and a `row_condition` or an expectation of a least number of rows is a base.
    """
    if any(map(_is_least_number_of_rows, suite.expectations)):
        return
    for number, entry in enumerate(suite.expectations):
        column = str(entry.kwargs.get("column") or "")
        mostly = "" if entry.kwargs.get("mostly") in (None, *_WHOLE) else "`mostly`"
        what = f"`{column}`" if _judges_share(column, entry) else mostly
        if what and not entry.kwargs.get("row_condition"):
            yield (
                f"{suite.where(number)}: {what} is a share of any number of rows, so a few rows can fail "
                "it by chance; add a row_condition with a least number, or judge the lower bound of an interval"
            )


def _judges_share(column: str, entry: DeclaredExpectation) -> bool:
    bounds = [entry.kwargs[name] for name in ("min_value", "max_value") if entry.kwargs.get(name) is not None]
    return bool(_SHARE.search(column) and not _INTERVAL.search(column) and any(bound not in _WHOLE for bound in bounds))


def _is_least_number_of_rows(entry: DeclaredExpectation) -> bool:
    return entry.type == "expect_table_row_count_to_be_between" and entry.kwargs.get("min_value", 0) > 1
