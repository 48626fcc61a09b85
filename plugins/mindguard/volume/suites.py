"""Suites of expectations: files in `expectations/` that people edit, judged by Great Expectations over small frames.

Great Expectations passes silently where it could not check: it drops an expectation whose type or severity it does not
know, and calls success what had no row, no number or no answer. Here each of these is an error, and never a pass.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mindguard.errors import MindGuardError
from mindguard.resources import include_dir
from mindguard.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

Level = Literal["critical", "warning", "info"]
FrameName = Literal["key_events", "all_traffic", "funnels"]

_KEYS: dict[FrameName, tuple[str, ...]] = {
    "key_events": ("event_name",),
    "all_traffic": ("event_name",),
    "funnels": ("funnel", "step"),
}
_MOST_ROWS = 10_000
_ABOUT_NULLS = {"expect_column_values_to_be_null", "expect_column_values_to_not_be_null"}


class SuiteUnsound(MindGuardError):
    """A suite's file would not check what it says."""


class SuiteUnchecked(MindGuardError):
    """A suite could not be checked, so nothing is known: this is neither a pass nor a failure."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)


class DeclaredExpectation(_Part):
    """One expectation, as Great Expectations writes it."""

    type: str = Field(description="name of the expectation, for instance expect_column_values_to_be_between")
    kwargs: dict[str, Any] = {}
    severity: Level = Field(description="critical, warning and info become P0, P1 and P2")
    meta: dict[str, Any] = {}


class SuiteMeta(_Part):
    """What the suite judges: one of the package's own frames, or the answer to a query."""

    frame: FrameName | None = Field(None, description="see docs/volume.md")
    query: str | None = Field(
        None, description="SQL file below `include`; binds since and until, the day's bounds; gives a small frame"
    )
    connection: Literal["app", "events"] | None = Field(None, description="of the query: a key of `connections`")
    key: tuple[str, ...] = Field((), description="of the query: columns that tell its rows apart")
    owner: str | None = None
    runbook: str | None = Field(None, description="page to open when it fails")

    @model_validator(mode="after")
    def _one_source(self) -> SuiteMeta:
        if (self.frame is None) == (self.query is None):
            raise ValueError("write either frame or query")
        if (self.query is not None) != bool(self.connection and self.key):
            raise ValueError("connection and key belong to a query, and a query needs both")
        return self

    @property
    def index(self) -> tuple[str, ...]:
        """Columns that tell the frame's rows apart."""
        return _KEYS[self.frame] if self.frame else self.key


class Suite(_Part):
    """One file of `expectations/`."""

    name: str = Field(description="as the file is called")
    notes: str | None = None
    meta: SuiteMeta
    expectations: tuple[DeclaredExpectation, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Failure:
    """One row that an expectation refuses; or the frame as a whole, and then there is no key.

    Attributes:
        column: the one that was judged; empty where the expectation is about none, or about several.
        allowed: what may stand there, for instance `0 … 6`; empty where the expectation does not say it by itself.
    """

    expectation: str
    severity: Level
    key: tuple[str, ...]
    value: str
    column: str = ""
    allowed: str = ""


@dataclass(frozen=True)
class ValidationResult:
    """What came of a suite.

    Attributes:
        evaluated: expectations.
        rows: of the frame.
        severity: the worst of the failures; None where there is none.
    """

    suite: str
    evaluated: int
    rows: int
    failures: tuple[Failure, ...]
    severity: Level | None

    @property
    def failed(self) -> int:
        """Expectations that failed."""
        return len({(each.expectation, each.column, each.allowed, each.severity) for each in self.failures})


def suites_dir(settings: Settings | None = None) -> Path:
    """Folder of the suites: the settings', or `expectations` beside `include`."""
    return Path(settings.suites) if settings and settings.suites else include_dir().parent / "expectations"


def load_suites(folder: Path | None = None) -> list[Suite]:
    """Every suite of the folder, by name.

    Raises:
        SuiteUnsound: there is none, or one would not check what it says.
    """
    folder = folder or suites_dir()
    found = [read_suite(path) for path in sorted(folder.glob("*.yaml"))]
    if not found:
        raise SuiteUnsound(f"{folder} holds no suite")
    return found


def find_suite(name: str, folder: Path | None = None) -> Suite:
    """One suite by its name.

    Raises:
        SuiteUnsound: there is none of this name, or it is not sound.
    """
    folder = folder or suites_dir()
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
        raise SuiteUnsound(f"there is no suite {name!r}", hint=f"known: {known or 'none'}")
    return read_suite(path)


def read_suite(path: Path) -> Suite:
    """Read and check one file, without Great Expectations.

    Raises:
        SuiteUnsound: it cannot be read, is not YAML, or breaks a rule; the message names every place.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        suite = Suite.model_validate(YAML(typ="safe").load(path.read_text("utf-8")))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise SuiteUnsound(f"{path.name}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())
        raise SuiteUnsound(f"{path.name}: {wrong}") from error
    if suite.name != path.stem:
        raise SuiteUnsound(f"{path.name}: its name is {suite.name!r}", hint=f"call one like the other: {path.stem}")
    if suite.meta.query and not (include_dir() / suite.meta.query).is_file():
        raise SuiteUnsound(f"{path.name}: there is no file {suite.meta.query} below {include_dir()}")
    return suite


def build(suite: Suite) -> ExpectationSuite:
    """The suite as Great Expectations understands it, with everything that it declares.

    Raises:
        SuiteUnsound: an expectation is unknown, has a wrong argument, or would pass whatever comes.
    """
    _quiet()
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations.registry import get_expectation_impl

    import mindguard.volume.expectations  # noqa: F401 - makes its names known

    for number, entry in enumerate(suite.expectations):
        where = f"{suite.name}: expectations.{number}"
        try:
            get_expectation_impl(entry.type)
        except ExpectationNotFoundError as error:
            raise SuiteUnsound(f"{where}: Great Expectations knows no {entry.type!r}") from error
        _refuse_what_always_passes(where, entry)
    declared = [entry.model_dump() for entry in suite.expectations]
    try:
        built = ExpectationSuite(name=suite.name, expectations=declared)
    except (GreatExpectationsError, TypeError, ValueError) as error:
        raise SuiteUnsound(f"{suite.name}: {' '.join(str(error).split())}") from error
    if len(built.expectations) != len(declared):
        raise SuiteUnsound(f"{suite.name}: Great Expectations took {len(built.expectations)} of {len(declared)}")
    return built


def _refuse_what_always_passes(where: str, entry: DeclaredExpectation) -> None:
    if entry.kwargs.get("mostly") == 0:
        raise SuiteUnsound(f"{where}: mostly 0 would pass whatever comes")
    for name in ("value_set", "regex_list", "column_list", "column_set", "like_pattern_list"):
        if name in entry.kwargs and not entry.kwargs[name]:
            raise SuiteUnsound(f"{where}: an empty {name} would pass whatever comes")
    for name in ("min_value", "max_value"):
        value = entry.kwargs.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            raise SuiteUnsound(f"{where}: {name} {value} bounds nothing")


def validate(suite: Suite, frame: pd.DataFrame) -> ValidationResult:
    """Let Great Expectations judge the frame.

    Raises:
        SuiteUnsound: the suite does not fit together.
        SuiteUnchecked: the frame is empty or too large; an expectation names a column that it has not, a row condition
            that no row meets, a column with nulls or infinite numbers; or an expectation failed to answer.
    """
    built = build(suite)
    if not 0 < len(frame) <= _MOST_ROWS:
        raise SuiteUnchecked(f"{suite.name}: the frame has {len(frame):,} rows, and must have 1 to {_MOST_ROWS:,}")
    for expectation in built.expectations:
        _require_checkable(suite, expectation, frame)
    found = _batch(frame).validate(
        built,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": list(suite.meta.index),
            "include_unexpected_rows": False,
        },
    )
    if len(found.results) != len(suite.expectations):
        raise SuiteUnchecked(f"{suite.name}: {len(found.results)} of {len(suite.expectations)} expectations answered")
    failures: list[Failure] = []
    for result in found.results:
        config = result.expectation_config
        if config is None:
            raise SuiteUnchecked(f"{suite.name}: an answer belongs to no expectation")
        kind = config.type
        if why := _exception(result.exception_info):
            raise SuiteUnchecked(f"{suite.name}: {kind} failed to answer: {why}")
        if not result.success:
            failures += _failures(config, result.result, suite.meta.index)
    worst = found.get_max_severity_failure()
    if bool(failures) != (worst is not None) or found.success is bool(failures):
        raise SuiteUnchecked(f"{suite.name}: Great Expectations contradicts itself")
    return ValidationResult(
        suite.name, len(found.results), len(frame), tuple(failures), _level(worst) if worst else None
    )


def _level(severity: Any) -> Level:
    levels: tuple[Level, ...] = ("critical", "warning", "info")
    return next(level for level in levels if level == severity)


def _quiet() -> None:
    """No telemetry: the context would send events about its use."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"


def _batch(frame: pd.DataFrame) -> Batch:
    import great_expectations

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment] # as its documentation writes it
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    definition = asset.add_batch_definition_whole_dataframe("whole")
    return definition.get_batch(batch_parameters={"dataframe": frame.reset_index(drop=True)})


def _require_checkable(suite: Suite, expectation: Expectation, frame: pd.DataFrame) -> None:
    kind = expectation.expectation_type
    where = f"{suite.name}: {kind}"
    condition = getattr(expectation, "row_condition", None)
    part = frame if condition is None else _rows(where, condition, frame)
    for column in (*_columns(expectation), *suite.meta.index):
        if column not in frame.columns:
            raise SuiteUnchecked(f"{where}: the frame has no column {column!r}")
        if kind not in _ABOUT_NULLS:
            _require_values(where, column, part)


def _rows(where: str, condition: Any, frame: pd.DataFrame) -> pd.DataFrame:
    text = getattr(condition, "pass_through_filter", condition)
    try:
        part = frame.query(text)
    except Exception as error:
        raise SuiteUnchecked(f"{where}: row_condition {text!r}: {error}") from error
    if part.empty:
        raise SuiteUnchecked(f"{where}: no row meets {text!r}")
    return part


def _columns(expectation: Expectation) -> Iterator[str]:
    for name in ("column", "column_A", "column_B"):
        if column := getattr(expectation, name, None):
            yield str(column)
    yield from map(str, getattr(expectation, "column_list", None) or ())


def _require_values(where: str, column: str, part: pd.DataFrame) -> None:
    import numpy as np
    import pandas as pd

    values = part[column]
    strange = values.isna()
    if pd.api.types.is_numeric_dtype(values):
        strange |= ~np.isfinite(values.astype(float))
    if strange.any():
        raise SuiteUnchecked(f"{where}: {column!r} is null or infinite in {int(strange.sum())} of {len(part)} rows")


def _exception(info: Mapping[str, Any] | None) -> str:
    """What an expectation raised; Great Expectations keeps it flat, or once more for each metric."""
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
    """What an expectation's arguments allow, for instance `0 … 6`; empty where they state no bounds."""
    least, most = (_number(kwargs.get(name), "g") for name in ("min_value", "max_value"))
    if least and most:
        return f"{least} … {most}"
    return f"≥ {least}" if least else f"≤ {most}" if most else ""


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form) if isinstance(value, float) else str(value)
