"""Tries expectations on data that must fail: what refuses none of it checks nothing, whatever its name and arguments.

Great Expectations has dozens of arguments with which an expectation always passes: bounds that are left out, a pattern
that matches every text, `mostly` of zero. To list them would be to miss some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from mindguard.volume.matching import matching_text

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

_OUTLIER_IN = 1_000
_MANY_ROWS = 10_001  # more than a frame may have
_MANY_COLUMNS = 1_000
_OWN_VALUES = 5
_FORBIDDEN_TEXTS = ("not_match_regex", "not_match_like_pattern")
"""Parts of the names of expectations that only a text of their own refutes."""


def irrefutable(
    built: ExpectationSuite,
    declared: Sequence[Mapping[str, Any]],
    judge: Callable[[ExpectationSuite, pd.DataFrame], ExpectationSuiteValidationResult],
) -> list[int]:
    """Return the numbers of the expectations that were judged on hostile data and passed all of it.

    An expectation that raises an error on all of it is not among them: it will raise one on real data, and that is
    never a pass.

    Args:
        built: any suite; gives the class.
        declared: each expectation's type and arguments.
        judge: judges a frame by a suite.
    """
    import pandas as pd

    left = {number: _bare(number, entry) for number, entry in enumerate(declared)}
    passed: set[int] = set()
    # Nulls and a frame without rows refute nothing else, since nothing else is judged on them.
    about_nulls = {number for number, entry in left.items() if "null" in entry["type"]}
    about_rows = {number for number, entry in left.items() if entry["type"].startswith("expect_table_")}
    columns = sorted({column for entry in left.values() for column in _columns(entry["kwargs"])})
    own = [value for entry in left.values() for value in islice(_own_values(entry), _OWN_VALUES)]
    frames = [
        *((frame, set(left)) for frame in _hostile(columns, own)),
        (pd.DataFrame({column: [None, None] for column in columns}), about_nulls),
        (pd.DataFrame({"another": []}), about_rows),
    ]
    for frame, concerned in frames:
        numbers = [number for number in left if number in concerned]
        if not numbers:
            continue
        tried = type(built)(name="tried", expectations=[left[number] for number in numbers])
        for result in judge(tried, frame).results:  # not in the order of the expectations
            if result.expectation_config is None or _raised(result.exception_info):
                continue
            number = result.expectation_config.meta["number"]
            passed.add(number)
            if not result.success:
                del left[number]
    return sorted(passed & set(left))


def _bare(number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the expectation without its condition, which hostile rows need not meet."""
    without = ("row_condition", "condition_parser")
    kwargs = {name: value for name, value in entry["kwargs"].items() if name not in without}
    return {"type": entry["type"], "kwargs": kwargs, "severity": entry["severity"], "meta": {"number": number}}


def _columns(kwargs: Mapping[str, Any]) -> Iterator[str]:
    for name in ("column", "column_A", "column_B"):
        if kwargs.get(name):
            yield str(kwargs[name])
    for name in ("column_list", "column_set"):
        yield from map(str, kwargs.get(name) or ())


def _own_values(entry: Mapping[str, Any]) -> Iterator[Any]:
    """Yield values of a set, or texts that a pattern matches, which refute that none of them occurs."""
    kwargs = entry["kwargs"]
    values = kwargs.get("value_set")
    yield from values if isinstance(values, list | tuple | set) else ()
    if not any(part in entry["type"] for part in _FORBIDDEN_TEXTS):
        return
    for name in ("like_pattern", "like_pattern_list"):
        yield from (pattern.replace("%", "").replace("_", "a") for pattern in _patterns(kwargs.get(name)))
    for name in ("regex", "regex_list"):
        texts = (matching_text(pattern) for pattern in _patterns(kwargs.get(name)))
        yield from (text for text in texts if text is not None)


def _patterns(given: Any) -> list[str]:
    return [each for each in (given if isinstance(given, list | tuple) else [given]) if isinstance(each, str)]


def _raised(info: Mapping[str, Any] | None) -> bool:
    found = (info or {}, *(value for value in (info or {}).values() if isinstance(value, Mapping)))
    return any(each.get("raised_exception") for each in found)


def _hostile(columns: Sequence[str], own: Sequence[Any]) -> Iterator[pd.DataFrame]:
    """Return frames with these columns, the likeliest to refute something first."""
    import pandas as pd

    times = [datetime(year, 1, 1, tzinfo=UTC) for year in (1700, 1970, 2250)]
    shapes: list[list[Any]] = [
        [1e300, -1e300, 0.5, 0.5],
        ["", "\x00", "\uffff" * 5_000, "not a value", "not a value"],
        [1e300, 1e300],
        [-1e300, -1e300],
        [-1, 0, 3],
        [3, 0, -1],
        [*[0.0] * _OUTLIER_IN, 1e6],
        [True, False],
        ["null", "{}", "[]", "1", '"text"'],
        times,
        [each.replace(tzinfo=None) for each in times],
        ["a" * number for number in range(1, 50)],
    ]
    for values in shapes:
        yield pd.DataFrame(dict.fromkeys(columns, values) or {"another": values})
    for step in (1, -1):  # columns that differ from each other
        ranged = {column: [step * place * 1000 + each for each in range(3)] for place, column in enumerate(columns)}
        yield pd.DataFrame(ranged or {"another": [0]})
    for value in own:
        yield pd.DataFrame({column: [value, value] for column in columns})
    yield pd.DataFrame({"another": range(_MANY_ROWS)} | {column: range(_MANY_ROWS) for column in columns})
    yield pd.DataFrame({f"another{number}": [0] for number in range(_MANY_COLUMNS)})
