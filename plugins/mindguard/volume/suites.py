"""Suites of expectations: files in `expectations/` that people edit, judged by Great Expectations over small frames.

Great Expectations passes silently if it could not check something: it drops an expectation whose type or severity it
does not know, and reports success if there was no row, no number or no answer. Here each of these is an error, and
never a pass.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from mindguard.documents import lines_below, meant, parsed
from mindguard.errors import MindGuardError, first_few
from mindguard.fetch import explained
from mindguard.masking import mask_secrets
from mindguard.resources import include_dir
from mindguard.settings import Settings
from mindguard.volume.refute import irrefutable

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

log = logging.getLogger(__name__)

Level = Literal["critical", "warning", "info"]
FrameName = Literal["key_events", "all_traffic", "funnels"]

_KEYS: dict[FrameName, tuple[str, ...]] = {
    "key_events": ("event_name",),
    "all_traffic": ("event_name",),
    "funnels": ("funnel", "step"),
}
_ENDINGS = (".yaml", ".yml")
MAX_ROWS = 10_000
"""The largest number of rows that a suite judges."""

_ABOUT_NULLS = {"expect_column_values_to_be_null", "expect_column_values_to_not_be_null"}


class SuiteUnsound(MindGuardError):
    """A suite's file would not check what it declares."""

    permanent = True


class SuiteUnchecked(MindGuardError):
    """A suite could not be checked, so nothing is known: it has neither passed nor failed."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)


class DeclaredExpectation(_Part):
    """One expectation, as Great Expectations writes it."""

    type: str = Field(description="name of the expectation, for instance expect_column_values_to_be_between")
    kwargs: dict[str, Any] = {}
    severity: Level = Field(description="critical, warning and info become P0, P1 and P2")
    meta: dict[str, Any] = {}


class SuiteMeta(_Part):
    """The subject of a suite: one of the package's frames, or the answer to a query."""

    frame: FrameName | None = Field(None, description="see docs/volume.md")
    query: str | None = Field(
        None, description="SQL file below `include`; binds the day's bounds, since and until; returns a small frame"
    )
    connection: Literal["app", "events"] | None = Field(None, description="for a query: a key of `connections`")
    key: tuple[str, ...] = Field((), description="for a query: the columns that identify a row")
    owner: str | None = None
    runbook: str | None = Field(None, description="page to open when the suite fails")

    @model_validator(mode="after")
    def _one_source(self) -> SuiteMeta:
        if (self.frame is None) == (self.query is None):
            raise ValueError("write either frame or query")
        if (self.query is not None) != bool(self.connection and self.key):
            raise ValueError("connection and key belong to a query, and a query needs both")
        return self

    @property
    def database(self) -> Literal["app", "events"]:
        """The key under `connections` of the database that is judged: all frames are of product events."""
        return self.connection or "events"

    @property
    def index(self) -> tuple[str, ...]:
        """The columns that identify a row of the frame."""
        return _KEYS[self.frame] if self.frame else self.key


class Suite(_Part):
    """One file of `expectations/`."""

    name: str = Field(description="the same as the file's name")
    notes: str | None = None
    meta: SuiteMeta
    expectations: tuple[DeclaredExpectation, ...] = Field(min_length=1)
    _file: str = PrivateAttr("")
    _lines: tuple[int, ...] = PrivateAttr(())

    def read_from(self, file: str, lines: Sequence[int]) -> None:
        """Remember the name of the file that the suite was read from, and the line of each expectation."""
        self._file, self._lines = file, tuple(lines)

    def where(self, number: int | None = None) -> str:
        """Return the place of the suite or of one of its expectations, as an error names it."""
        if number is None:
            return self._file or self.name
        line = f"{self._file} line {self._lines[number]}" if number < len(self._lines) else self.name
        return f"{line}: expectations[#{number + 1}]"


@dataclass(frozen=True)
class Failure:
    """One row that fails an expectation, or the frame as a whole.

    Attributes:
        expectation: the type of the expectation.
        severity: the severity that the expectation declares.
        key: identifies the row; empty for the frame as a whole.
        value: the value that was found.
        column: the judged column; empty if the expectation judges no column, or several.
        allowed: the allowed values, for instance `0 … 6`; empty if the expectation's arguments state no bounds.
    """

    expectation: str
    severity: Level
    key: tuple[str, ...]
    value: str
    column: str = ""
    allowed: str = ""


@dataclass(frozen=True)
class ValidationResult:
    """The result of one suite.

    Attributes:
        suite: the suite's name.
        evaluated: number of expectations.
        rows: number of rows of the frame.
        failures: rows that fail an expectation.
        severity: severity of the worst failure; None if nothing failed.
    """

    suite: str
    evaluated: int
    rows: int
    failures: tuple[Failure, ...]
    severity: Level | None

    @property
    def failed(self) -> int:
        """The number of expectations that failed."""
        return len({(each.expectation, each.column, each.allowed, each.severity) for each in self.failures})


NO_SUITES = "none"
"""The value of `suites` in the settings with which there are none."""


def suites_dir(settings: Settings | None = None) -> Path:
    """Return the folder of the suites: that of the settings, or `expectations` beside `include`."""
    return Path(settings.suites) if settings and settings.suites else include_dir().parent / "expectations"


def own_suites(settings: Settings) -> list[Path]:
    """Return the files of all suites that the settings name, sorted by name; none if they say `suites: none`.

    Raises:
        SuiteUnsound: the folder holds none.
    """
    return [] if settings.suites == NO_SUITES else suite_files(suites_dir(settings))


def load_suites(folder: Path | None = None) -> list[Suite]:
    """Return all suites of the folder, sorted by name.

    Raises:
        SuiteUnsound: There is no suite, or one would not check what it declares.
    """
    return [read_suite(path) for path in suite_files(folder or suites_dir())]


def suite_files(folder: Path) -> list[Path]:
    """Return the files of all suites of the folder, sorted by name.

    Raises:
        SuiteUnsound: There is none.
    """
    found = sorted(path for ending in _ENDINGS for path in folder.glob(f"*{ending}"))
    if not found:
        raise SuiteUnsound(
            f"{folder} contains no suite",
            hint=f"write one there (docs/suites.md), or `suites: {NO_SUITES}` in the settings, so that nothing is "
            "checked",
        )
    return found


def find_suite(name: str, folder: Path | None = None) -> Suite:
    """Return the suite with this name.

    Raises:
        SuiteUnsound: There is no suite with this name, or it would not check what it declares.
    """
    folder = folder or suites_dir()
    paths = [path for ending in _ENDINGS if (path := folder / f"{name}{ending}").is_file()]
    if not paths:
        known = sorted(path.stem for path in suite_files(folder))
        raise SuiteUnsound(
            f"there is no suite {name!r}{meant(name, known)}", hint=f"known: {first_few(known, most=20)}"
        )
    if len(paths) > 1:
        raise SuiteUnsound(f"{name} is written twice, in {paths[0].name} and {paths[1].name}", hint="remove one")
    return read_suite(paths[0])


def read_suite(path: Path) -> Suite:
    """Read and check one file, without Great Expectations.

    Raises:
        SuiteUnsound: The file cannot be read, is not YAML, or breaks a rule; the message names every place.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise SuiteUnsound(f"{path.name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SuiteUnsound(f"{path.name} is not YAML: it is not text in UTF-8") from error
    suite = parsed(text, Suite, name=path.name, error=SuiteUnsound)
    suite.read_from(path.name, lines_below(text, "expectations"))
    if suite.name != path.stem:
        raise SuiteUnsound(
            f"{path.name}: its name is {suite.name!r}", hint=f"file and suite must have the same name: {path.stem}"
        )
    if suite.meta.query and not (include_dir() / suite.meta.query).is_file():
        raise SuiteUnsound(f"{path.name}: there is no file {suite.meta.query} below {include_dir()}")
    return suite


def build(suite: Suite) -> ExpectationSuite:
    """Return the suite as Great Expectations understands it, with everything that it declares.

    Raises:
        SuiteUnsound: An expectation is unknown, has a wrong argument, or would always pass.
    """
    _quieten()
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations.registry import get_expectation_impl

    import mindguard.volume.expectations  # noqa: F401 - registers its expectations

    for number, entry in enumerate(suite.expectations):
        where = suite.where(number)
        try:
            get_expectation_impl(entry.type)
        except ExpectationNotFoundError as error:
            raise SuiteUnsound(f"{where}: Great Expectations does not know {entry.type!r}") from error
        _refuse_what_always_passes(where, entry)
    declared = [entry.model_dump() for entry in suite.expectations]
    try:
        built = ExpectationSuite(name=suite.name, expectations=[_with_condition(entry) for entry in declared])
    except (GreatExpectationsError, TypeError, ValueError) as error:
        raise SuiteUnsound(f"{suite.name}: {' '.join(str(error).split())}") from error
    if len(built.expectations) != len(declared):
        raise SuiteUnsound(
            f"{suite.name}: Great Expectations accepted {len(built.expectations)} of {len(declared)} expectations"
        )
    _refuse_what_refutes_nothing(suite, built, declared)
    return built


def _with_condition(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the expectation with its row condition for pandas as the object into which Great Expectations turns it.

    Great Expectations warns of the text itself, which is how a suite's file writes it.
    """
    from great_expectations.expectations.row_conditions import PassThroughCondition

    kwargs = dict(entry["kwargs"])
    text = kwargs.get("row_condition")
    if isinstance(text, str) and kwargs.get("condition_parser") == "pandas":
        del kwargs["condition_parser"]
        kwargs["row_condition"] = PassThroughCondition(pass_through_filter=text)
    return {**entry, "kwargs": kwargs}


def _refuse_what_refutes_nothing(suite: Suite, built: ExpectationSuite, declared: list[dict[str, Any]]) -> None:
    batch = _batches()
    try:
        passing = irrefutable(built, declared, lambda tried, frame: batch(frame).validate(tried))
    except Exception as error:
        raise SuiteUnsound(f"{suite.name}: it cannot be tried: {_line(error)}") from error
    for number in passing:
        kind = suite.expectations[number].type
        raise SuiteUnsound(f"{suite.where(number)}: {kind} would pass on any data", hint="add or correct its arguments")


def _refuse_what_always_passes(where: str, entry: DeclaredExpectation) -> None:
    if entry.kwargs.get("mostly") == 0:
        raise SuiteUnsound(f"{where}: mostly 0 would always pass")
    for name in ("value_set", "regex_list", "column_list", "column_set", "like_pattern_list"):
        if name in entry.kwargs and not entry.kwargs[name]:
            raise SuiteUnsound(f"{where}: an empty {name} would always pass")
    for name in ("min_value", "max_value"):
        value = entry.kwargs.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            raise SuiteUnsound(f"{where}: {name} {value} is not a bound")
        if isinstance(value, str) and _is_number(value):
            raise SuiteUnsound(f"{where}: {name} {value!r} is a text", hint="write the number without quotes")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _line(error: Exception) -> str:
    """Return an error of Great Expectations or pandas as one short line."""
    return mask_secrets(explained(error))


def validate(suite: Suite, frame: pd.DataFrame) -> ValidationResult:
    """Let Great Expectations judge the frame.

    Raises:
        SuiteUnsound: The suite is not valid; see `build`.
        SuiteUnchecked: The frame is empty or too large, or has a column twice; an expectation names a column that does
            not exist, a column with nulls or infinite numbers, or a row condition that no row meets; or anything
            raised an error.
    """
    try:
        return _validated(suite, frame)
    except MindGuardError:
        raise
    except Exception as error:  # its kind is known only to Great Expectations, pandas or a custom expectation
        raise SuiteUnchecked(f"{suite.name}: {_line(error)}") from error


def _validated(suite: Suite, frame: pd.DataFrame) -> ValidationResult:
    built = build(suite)
    if repeated := sorted({str(name) for name in frame.columns[frame.columns.duplicated()]}):
        raise SuiteUnchecked(f"{suite.name}: the frame has the column {repeated[0]!r} twice")
    if not 0 < len(frame) <= MAX_ROWS:
        rows = f"more than {MAX_ROWS:,}" if len(frame) else "0"
        raise SuiteUnchecked(f"{suite.name}: the frame has {rows} rows, and must have 1 to {MAX_ROWS:,}")
    for expectation in built.expectations:
        _require_checkable(suite, expectation, frame)
    answer = _batches()(frame).validate(
        built,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": list(suite.meta.index),
            "include_unexpected_rows": False,
        },
    )
    if len(answer.results) != len(suite.expectations):
        raise SuiteUnchecked(
            f"{suite.name}: {len(answer.results)} of {len(suite.expectations)} expectations have a result"
        )
    failures: list[Failure] = []
    for result in answer.results:
        config = result.expectation_config
        if config is None:
            raise SuiteUnchecked(f"{suite.name}: a result belongs to no expectation")
        kind = config.type
        if why := _exception(result.exception_info):
            raise SuiteUnchecked(f"{suite.name}: {kind} raised an error: {why}")
        if not result.success:
            failures += _failures(config, result.result, suite.meta.index)
    worst = answer.get_max_severity_failure()
    if bool(failures) != (worst is not None) or answer.success is bool(failures):
        raise SuiteUnchecked(f"{suite.name}: Great Expectations contradicts itself")
    return ValidationResult(
        suite.name, len(answer.results), len(frame), tuple(failures), _level(worst) if worst else None
    )


def _level(severity: Any) -> Level:
    levels: tuple[Level, ...] = ("critical", "warning", "info")
    return next(level for level in levels if level == severity)


def _quieten() -> None:
    """Keep Great Expectations from sending events about its use, and from logging each step of itself.

    Its 200 lines are logged if somebody asks for lines of level DEBUG.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    if not log.isEnabledFor(logging.DEBUG):
        logging.getLogger("great_expectations").setLevel(logging.WARNING)


def _batches() -> Callable[[pd.DataFrame], Batch]:
    """Return a function that makes a frame known to Great Expectations."""
    import great_expectations

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.NOTSET)  # it sets INFO itself
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment] # as its documentation writes it
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    definition = asset.add_batch_definition_whole_dataframe("whole")
    return lambda frame: definition.get_batch(batch_parameters={"dataframe": frame.reset_index(drop=True)})


def _require_checkable(suite: Suite, expectation: Expectation, frame: pd.DataFrame) -> None:
    kind = expectation.expectation_type
    where = f"{suite.name}: {kind}"
    condition = getattr(expectation, "row_condition", None)
    part = frame if condition is None else _rows(where, condition, frame)
    for column in (*named_columns(vars(expectation)), *suite.meta.index):
        if column not in frame.columns:
            known = list(map(str, frame.columns))
            raise SuiteUnsound(f"{where}: the frame has no column {column!r}{meant(column, known)}")
        if kind not in _ABOUT_NULLS:
            _require_values(where, column, part)
    if kind == "expect_column_values_to_not_be_in_set":
        _require_same_kind(where, expectation, part)


def _rows(where: str, condition: Any, frame: pd.DataFrame) -> pd.DataFrame:
    text = getattr(condition, "pass_through_filter", condition)
    try:
        part = frame.query(text)
    except Exception as error:  # nothing in the rows can mend a condition that names what does not exist
        kind = SuiteUnsound if isinstance(error, NameError | SyntaxError) else SuiteUnchecked
        raise kind(f"{where}: row_condition {text!r}: {error}") from error
    if part.empty:
        raise SuiteUnchecked(f"{where}: no row meets {text!r}")
    return part


def named_columns(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the columns that an expectation's arguments name."""
    single = [str(kwargs[name]) for name in ("column", "column_A", "column_B") if kwargs.get(name)]
    return [*single, *map(str, kwargs.get("column_list") or ())]


def _require_values(where: str, column: str, part: pd.DataFrame) -> None:
    import numpy as np
    import pandas as pd

    values = part[column]
    invalid = values.isna()
    if pd.api.types.is_numeric_dtype(values):
        invalid |= ~np.isfinite(values.astype(float))
    else:  # numeric of PostgreSQL is an object
        invalid |= values.map(lambda each: isinstance(each, float | Decimal) and not math.isfinite(each))
    if invalid.any():
        raise SuiteUnchecked(f"{where}: {column!r} is null or infinite in {int(invalid.sum())} of {len(part)} rows")


def _require_same_kind(where: str, expectation: Expectation, part: pd.DataFrame) -> None:
    """Refuse forbidden values that cannot occur because the column has others: 2 is never equal to '2', nor a date.

    A day is not equal to the moment at which it begins, nor is a moment with a zone to one without.
    """
    column = str(getattr(expectation, "column", ""))
    present = {_kind(value) for value in part[column]}
    forbidden = {_kind(value) for value in getattr(expectation, "value_set", None) or ()}
    if len(present) > 1:
        raise SuiteUnchecked(f"{where}: {column!r} mixes {' and '.join(sorted(present))}")
    if absent := sorted(forbidden - present):
        raise SuiteUnchecked(f"{where}: value_set holds {absent[0]}, and {column!r} {', '.join(present)}")


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "texts"
    if isinstance(value, datetime):
        return "times with a zone" if value.tzinfo else "times without zone"
    if isinstance(value, date):
        return "dates"
    return "numbers" if isinstance(value, Number) or hasattr(value, "dtype") else f"values of {type(value).__name__}"


def _exception(info: Mapping[str, Any] | None) -> str:
    """Return the error that an expectation raised; Great Expectations keeps it at the top level or by metric."""
    for each in (info or {}, *(value for value in (info or {}).values() if isinstance(value, Mapping))):
        if each.get("raised_exception"):
            return " ".join(str(each.get("exception_message")).split())[:300]
    return ""


def _failures(config: ExpectationConfiguration, result: Mapping[str, Any], index: tuple[str, ...]) -> Iterator[Failure]:
    kind, severity = config.type, _level(config.severity)
    about = {"column": str(config.kwargs.get("column") or ""), "allowed": allowed(config.kwargs)}
    rows = result.get("unexpected_index_list")
    if not rows:
        yield Failure(kind, severity, (), str(result.get("observed_value", "")), **about)
        return
    for row in rows:
        values = [_number(value, ".4g") for name, value in row.items() if name not in index]
        yield Failure(kind, severity, tuple(str(row[name]) for name in index), ", ".join(values), **about)


def allowed(kwargs: Mapping[str, Any]) -> str:
    """Return the values that an expectation's arguments allow, for instance `0 … 6`; empty if they state no bounds."""
    low, high = (_number(kwargs.get(name), "g") for name in ("min_value", "max_value"))
    if low and high:
        return f"{low} … {high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else ""


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form) if isinstance(value, float) else str(value)
