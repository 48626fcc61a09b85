"""Cases that Great Expectations by itself would let pass silently."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from great_expectations.expectations.core import ExpectColumnValuesToBeInSet
from ruamel.yaml import YAML

import mindguard.volume.run as volume_run
from mindguard.volume.days import Moment
from mindguard.volume.findings import Context, findings
from mindguard.volume.run import Checked, Run, outcome_of, run_suites, sections
from mindguard.volume.suites import (
    Suite,
    SuiteUnchecked,
    SuiteUnsound,
    build,
    find_suite,
    load_suites,
    read_suite,
    validate,
)

from .worlds import DAY, history
from .worlds import judge as judged_frame

FORBIDDEN = {"type": "expect_column_values_to_not_be_in_set"}
TRACKED = {"row_condition": 'state == "tracked"', "condition_parser": "pandas"}
BETWEEN = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "ratio", "min_value": 0.8}}


def frame(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {"event_name": ["a", "b", "c"], "state": ["tracked", "tracked", "new"], "ratio": [1.0, 0.5, 0.9]} | columns
    )


def suite(*expectations: dict[str, Any], **meta: Any) -> Suite:
    entries = [{"severity": "warning"} | each for each in expectations or (BETWEEN,)]
    return Suite.model_validate({"name": "s", "meta": meta or {"frame": "key_events"}, "expectations": entries})


def write(folder: Path, **changed: Any) -> Path:
    content = suite().model_dump(exclude_unset=True, mode="json") | changed
    path = folder / "s.yaml"
    with path.open("w", encoding="utf-8") as opened:
        YAML().dump({key: value for key, value in content.items() if value is not None}, opened)
    return path


AGGREGATES = ("max", "min", "mean", "median", "sum", "stdev", "unique_value_count")
OPEN_QUANTILES = {"quantiles": [0.5, 0.9], "value_ranges": [[None, None], [None, None]]}

CLOSED_QUANTILES = {"quantiles": [0.5, 0.9], "value_ranges": [[None, None], [None, 0.5]]}


def test_a_row_that_fails_is_named() -> None:
    found = validate(suite(), frame())
    assert [(each.key, each.value, each.severity) for each in found.failures] == [(("b",), "0.5", "warning")]
    assert (found.evaluated, found.failed, found.rows, found.severity) == (1, 1, 3, "warning")


def test_the_worst_severity_counts_and_a_pass_has_none() -> None:
    info, critical = BETWEEN | {"severity": "info"}, BETWEEN | {"severity": "critical"}
    assert validate(suite(info, critical), frame()).severity == "critical"
    assert validate(suite(info), frame()).severity == "info"
    passed = validate(suite(info), frame(ratio=[1.0, 1.0, 1.0]))
    assert (passed.severity, passed.failures, passed.failed) == (None, (), 0)


def test_what_is_about_the_whole_frame_names_no_row() -> None:
    found = validate(suite({"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 4}}), frame())
    assert [(each.key, each.value) for each in found.failures] == [((), "3")]


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_values_to_be_betwen", {"column": "ratio", "min_value": 0.8}),
        ("expect_column_values_to_be_between", {"column": "ratio", "min_valeu": 0.8, "max_value": 2}),
        ("expect_column_values_to_be_between", {"column": "ratio"}),
        ("expect_column_values_to_be_between", {"column": "ratio", "min_value": -math.inf}),
        ("expect_column_values_to_be_between", {"column": "ratio", "min_value": 0.8, "mostly": 0}),
        ("expect_column_values_to_be_in_set", {"column": "state", "value_set": []}),
        *((f"expect_column_{name}_to_be_between", {"column": "ratio"}) for name in AGGREGATES),
        ("expect_column_quantile_values_to_be_between", {"column": "ratio", "quantile_ranges": OPEN_QUANTILES}),
        ("expect_column_proportion_of_unique_values_to_be_between", {"column": "ratio", "max_value": 1}),
        ("expect_table_row_count_to_be_between", {}),
        ("expect_table_row_count_to_be_between", {"min_value": 0}),
        ("expect_table_column_count_to_be_between", {}),
        ("expect_column_values_to_be_between", {"column": "ratio", "min_value": 0.8, "mostly": "0"}),
        ("expect_column_values_to_be_between", {"column": "ratio", "min_value": "-Infinity"}),
        ("expect_column_values_to_be_between", {"column": "ratio", "min_value": "0.8"}),
        ("expect_column_values_to_be_between", {"column": "ratio", "min_value": -1e308}),
        ("expect_column_values_to_be_between", {"column": "ratio", "max_value": {"$PARAMETER": "most"}}),
        ("expect_column_values_to_match_regex", {"column": "state", "regex": ""}),
        *(
            ("expect_column_values_to_not_match_regex", {"column": "state", "regex": regex})
            for regex in ("(?!)", "a^", "$a", r"\b\B", r"[^\s\S]", "x(?<!x)", "(?=a)b", r"\Zx")
        ),
        ("expect_column_values_to_not_match_regex_list", {"column": "state", "regex_list": ["(?!)", "a^"]}),
        ("expect_column_values_to_match_regex", {"column": "state", "regex": "[^x]*|.*"}),
        ("expect_column_values_to_match_regex_list", {"column": "state", "regex_list": ["", "a"]}),
        ("expect_column_value_z_scores_to_be_less_than", {"column": "ratio", "threshold": 1e9, "double_sided": True}),
        ("expect_column_values_to_be_in_type_list", {"column": "state"}),
        ("expect_column_values_to_match_json_schema", {"column": "state", "json_schema": {}}),
        (
            "expect_column_kl_divergence_to_be_less_than",
            {"column": "state", "partition_object": {"values": ["new"], "weights": [1.0]}, "threshold": None},
        ),
    ],
)
def test_an_expectation_that_would_check_nothing_is_unsound(kind: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(SuiteUnsound):
        build(suite(BETWEEN, {"type": kind, "kwargs": kwargs}))


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        *((f"expect_column_{name}_to_be_between", {"column": "ratio", "min_value": 0}) for name in AGGREGATES[:-3]),
        *((f"expect_column_{name}_to_be_between", {"column": "ratio", "max_value": 9}) for name in AGGREGATES),
        ("expect_column_quantile_values_to_be_between", {"column": "ratio", "quantile_ranges": CLOSED_QUANTILES}),
        ("expect_table_row_count_to_be_between", {"min_value": 1}),
        ("expect_table_row_count_to_be_between", {"max_value": 500}),
        ("expect_table_row_count_to_equal", {"value": 3}),
        ("expect_table_column_count_to_equal", {"value": 3}),
        ("expect_table_columns_to_match_set", {"column_set": ["ratio"], "exact_match": False}),
        ("expect_column_to_exist", {"column": "ratio"}),
        ("expect_column_values_to_not_be_null", {"column": "ratio", "mostly": 0.5}),
        ("expect_column_values_to_be_null", {"column": "ratio"}),
        ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "ratio", "min_value": 0.9}),
        ("expect_column_values_to_be_unique", {"column": "event_name"}),
        ("expect_column_values_to_not_be_in_set", {"column": "state", "value_set": ["gone", "lost"]}),
        ("expect_column_values_to_not_match_regex", {"column": "state", "regex": "^error [0-9]+ timeout$"}),
        ("expect_column_values_to_not_match_regex_list", {"column": "state", "regex_list": ["^error [0-9]+$"]}),
        ("expect_column_values_to_not_match_regex_list", {"column": "state", "regex_list": ["(?!)", "^error"]}),
        *(
            ("expect_column_values_to_not_match_regex", {"column": "state", "regex": regex})
            for regex in (
                r"(?i)\b(null|none|n/a)\b",
                r"^(?!ok)",
                r"^(?=.*\d)(?=.*[a-z]).{8,}$",
                r"(?<=id=)\w{32}(?!\w)",
                r"(\w)\1{3}",
                r"[^\x00-\x7f]",
                r"^\s|\s$",
                r"^(\d{1,3}\.){3}\d{1,3}$",
                r"<(?P<tag>\w+)[^>]*>.*</(?P=tag)>",
                r"[\u4e00-\u9fff]+",
                r"^$",
                ".{1000,}",
                "",
            )
        ),
        ("expect_column_values_to_match_regex", {"column": "state", "regex": "^[a-z]+$"}),
        ("expect_column_values_to_match_regex", {"column": "state", "regex": "^.{0,200}$"}),
        ("expect_column_value_lengths_to_be_between", {"column": "state", "min_value": 1}),
        ("expect_column_value_lengths_to_be_between", {"column": "state", "max_value": 1000}),
        ("expect_column_values_to_be_of_type", {"column": "ratio", "type_": "float64"}),
        ("expect_column_values_to_be_in_type_list", {"column": "ratio", "type_list": ["float64", "int64"]}),
        ("expect_column_values_to_be_increasing", {"column": "ratio"}),
        ("expect_column_values_to_be_decreasing", {"column": "ratio"}),
        ("expect_column_value_z_scores_to_be_less_than", {"column": "ratio", "threshold": 4, "double_sided": True}),
        ("expect_column_pair_values_to_be_equal", {"column_A": "ratio", "column_B": "other"}),
        ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "ratio", "column_B": "other"}),
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            {"column_A": "other", "column_B": "ratio", "or_equal": True},
        ),
        ("expect_compound_columns_to_be_unique", {"column_list": ["ratio", "state"]}),
        ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["ratio", "state"]}),
        ("expect_multicolumn_sum_to_equal", {"column_list": ["ratio", "other"], "sum_total": 1}),
        ("expect_column_distinct_values_to_contain_set", {"column": "state", "value_set": ["new"]}),
        ("expect_column_distinct_values_to_be_in_set", {"column": "state", "value_set": ["new", "tracked"]}),
        ("expect_column_most_common_value_to_be_in_set", {"column": "state", "value_set": ["tracked"]}),
        ("expect_column_values_to_be_dateutil_parseable", {"column": "state"}),
        ("expect_column_values_to_match_strftime_format", {"column": "state", "strftime_format": "%Y"}),
        ("expect_column_values_to_be_json_parseable", {"column": "state"}),
        ("expect_column_values_to_match_json_schema", {"column": "state", "json_schema": {"type": "object"}}),
        ("expect_event_volume_falls_unconfirmed", {**TRACKED}),
    ],
)
def test_an_expectation_that_some_data_refutes_is_sound(kind: str, kwargs: dict[str, Any]) -> None:
    build(suite({"type": kind, "kwargs": kwargs}))


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "other"},
        {"name": None},
        {"expectations": []},
        {"expectations": [BETWEEN | {"severity": "wanring"}]},
        {"expectations": [BETWEEN]},
        {"expectations": [BETWEEN | {"severity": "info", "sevrity": "critical"}]},
        {"expectation": []},
        {"meta": {}},
        {"meta": {"frame": "events"}},
        {"meta": {"frame": "key_events", "query": "sql/x.sql"}},
        {"meta": {"query": "sql/clickhouse/select_event_counts.sql"}},
        {"meta": {"query": "sql/postgres/no_such_file.sql", "connection": "app", "key": ["table_name"]}},
    ],
    ids=str,
)
def test_a_file_that_does_not_say_what_it_means_is_unsound(tmp_path: Path, changed: dict[str, Any]) -> None:
    read_suite(write(tmp_path))  # it is sound without the change
    with pytest.raises(SuiteUnsound):
        read_suite(write(tmp_path, **changed))


@pytest.mark.parametrize("text", ["name: s\nname: s\n", "name: [", "- a\n", "", "\x00"])
def test_no_yaml_or_a_key_twice_is_unsound(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SuiteUnsound):
        read_suite(tmp_path / "s.yaml")


def test_a_folder_without_suites_is_no_pass(tmp_path: Path) -> None:
    with pytest.raises(SuiteUnsound, match="contains no suite"):
        load_suites(tmp_path)
    with pytest.raises(SuiteUnsound, match="no suite 'nothing'"):
        find_suite("nothing")


@pytest.mark.parametrize(
    ("expectation", "columns", "why"),
    [
        (BETWEEN, {"ratio": [1.0, math.nan, 1.0]}, "null or infinite in 1 of 3"),
        (BETWEEN, {"ratio": [1.0, math.inf, 1.0]}, "null or infinite in 1 of 3"),
        (BETWEEN, {"ratio": [1.0, -math.inf, 1.0]}, "null or infinite in 1 of 3"),
        (BETWEEN, {"event_name": ["a", None, "c"]}, "'event_name' is null"),
        (
            {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "ratio", "min_value": 0}},
            {"ratio": [1.0, math.nan, 1.0]},
            "null",
        ),
        (
            BETWEEN | {"kwargs": {**BETWEEN["kwargs"], **TRACKED, "row_condition": 'state == "gone"'}},
            {},
            "no row meets",
        ),
        (
            {
                "type": "expect_column_pair_values_a_to_be_greater_than_b",
                "kwargs": {"column_A": "ratio", "column_B": "other", "or_equal": True},
            },
            {"other": [0.0, math.nan, 0.0]},
            "'other' is null",
        ),
        (BETWEEN, {"ratio": [Decimal(1), Decimal("Infinity"), Decimal(1)]}, "null or infinite in 1 of 3"),
        (BETWEEN, {"ratio": [Decimal(1), Decimal("NaN"), Decimal(1)]}, "null or infinite in 1 of 3"),
        (FORBIDDEN | {"kwargs": {"column": "other", "value_set": [2]}}, {"other": [1, "2", 3]}, "mixes numbers and t"),
        (FORBIDDEN | {"kwargs": {"column": "ratio", "value_set": ["0.5"]}}, {}, "holds texts, and 'ratio' numbers"),
        (FORBIDDEN | {"kwargs": {"column": "state", "value_set": ["new", 1]}}, {}, "holds numbers, and 'state' texts"),
        (
            {
                "type": "unexpected_rows_expectation",
                "kwargs": {"unexpected_rows_query": "SELECT * FROM {batch} WHERE 1 = 0"},
            },
            {},
            "raised an error",
        ),
    ],
)
def test_what_cannot_be_checked_is_no_pass(expectation: dict[str, Any], columns: dict[str, Any], why: str) -> None:
    with pytest.raises(SuiteUnchecked, match=why):
        validate(suite(expectation), frame(**columns))


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({**BETWEEN["kwargs"], **TRACKED, "row_condition": "stat == 1"}, "name 'stat' is not defined"),
        ({**BETWEEN["kwargs"], **TRACKED, "row_condition": "state =="}, "row_condition"),
        ({"column": "ratoi", "min_value": 0.8}, "no column 'ratoi'; did you mean ratio?"),
    ],
)
def test_what_names_no_column_is_a_fault_of_the_suite(kwargs: dict[str, Any], why: str) -> None:
    with pytest.raises(SuiteUnsound, match=re.escape(why)):
        validate(suite(BETWEEN | {"kwargs": kwargs}), frame())


DAYS = [date(2026, 1, day) for day in (1, 2, 3)]
NAIVE = [datetime(2026, 1, day) for day in (1, 2, 3)]  # noqa: DTZ001
AWARE = [each.replace(tzinfo=UTC) for each in NAIVE]


@pytest.mark.parametrize("column", [DAYS, NAIVE, AWARE], ids=["days", "naive", "aware"])
@pytest.mark.parametrize("forbidden", ["2026-01-02", DAYS[1], NAIVE[1], AWARE[1]], ids=str)
def test_a_forbidden_time_is_found_or_cannot_occur(column: list[Any], forbidden: Any) -> None:
    judged = suite(FORBIDDEN | {"kwargs": {"column": "ratio", "value_set": [forbidden]}})
    if forbidden in column and type(forbidden) is type(column[0]):
        assert [each.key for each in validate(judged, frame(ratio=column)).failures] == [("b",)]
    else:
        with pytest.raises(SuiteUnchecked, match="value_set holds"):
            validate(judged, frame(ratio=column))


def test_a_forbidden_value_is_found_in_a_column_of_its_kind() -> None:
    forbidden = FORBIDDEN | {"kwargs": {"column": "ratio", "value_set": [0.5, 7]}}
    assert [each.key for each in validate(suite(forbidden), frame()).failures] == [("b",)]
    assert [each.key for each in validate(suite(forbidden), frame(ratio=[Decimal("0.5"), 1, 2])).failures] == [("a",)]


def test_a_column_that_comes_twice_is_no_pass() -> None:
    twice = frame()
    twice.columns = pd.Index(["event_name", "ratio", "ratio"])
    with pytest.raises(SuiteUnchecked, match="the column 'ratio' twice"):
        validate(suite(), twice)


def test_anything_that_a_suite_raises_leaves_the_other_suites_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answers:
        settings = SimpleNamespace(suites=None, zone=UTC, locale="en")
        moment = Moment(date(2026, 11, 24), datetime(2026, 11, 25, tzinfo=UTC))

        def of(self, asked: Suite) -> pd.DataFrame:
            if asked.name == "checkins":
                raise KeyError("no such parameter")
            return frame()

        def details(self, asked: Suite) -> dict[str, Any]:
            return {}

    monkeypatch.setattr(
        "mindguard.volume.run.sound_suite", lambda name, settings: suite().model_copy(update={"name": name})
    )
    done = run_suites(["checkins", "funnels"], Answers())  # type: ignore[arg-type]
    assert [each.suite.name for each in done.checked] == ["funnels"]
    assert str(done.broken["checkins"]) == "checkins: KeyError: 'no such parameter'"


def checked(name: str, **columns: Any) -> Checked:
    meta = {"query": "q.sql", "connection": "app", "key": ["event_name"]}
    own, judged = suite(**meta).model_copy(update={"name": name}), frame(**columns)
    return Checked(own, validate(own, judged), judged)


def test_what_cannot_be_told_or_shown_of_one_suite_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(real: Any) -> Any:
        def call(asked: Suite, *facts: Any) -> Any:
            if asked.name == "one":
                raise ValueError("\ud800 of postgres://u:s3cr3t@h/d")
            return real(asked, *facts)

        return call

    for name in ("recoveries", "section"):
        monkeypatch.setattr(f"mindguard.volume.run.{name}", broken(getattr(volume_run, name)))
    moment = Moment(date(2026, 11, 24), datetime(2026, 11, 25, tzinfo=UTC))
    settings: Any = SimpleNamespace(suites=None, zone=UTC, locale="en")
    run = Run(moment, (checked("one"), checked("two")))
    told = outcome_of(run, settings)
    assert {each.recovery_key for each in told.findings} == {"volume:two:b"}
    assert "volume:two:a" in {each.recovery_key for each in told.recoveries}
    one, two = sections(run, settings)
    assert (one.suite, one.frame, two.suite) == ("one", "unchecked", "two")
    assert "it cannot be shown: ValueError" in one.unchecked
    assert "s3cr3t" not in one.unchecked


def test_a_finding_whose_details_fail_is_told_without_them() -> None:
    """The frame of key events has columns that are not here."""
    context = Context(date(2026, 11, 24), datetime(2026, 11, 25, tzinfo=UTC), UTC, "en")  # type: ignore[arg-type]
    (found,) = findings(suite(), validate(suite(), frame()), frame(), context)
    assert found.recovery_key == "volume:s:b"
    assert [(fact.name, fact.value, fact.expected) for fact in found.alert.facts] == [("ratio", "0.5", "≥ 0.8")]


def test_a_suite_whose_findings_cannot_be_told_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*facts: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("mindguard.volume.run.recoveries", broken)
    monkeypatch.setattr("mindguard.volume.run.sound_suite", lambda name, settings: suite())
    frames: Any = SimpleNamespace(
        settings=SimpleNamespace(suites=None, zone=UTC, locale="en"),
        moment=Moment(date(2026, 11, 24), datetime(2026, 11, 25, tzinfo=UTC)),
        of=lambda asked: frame(),
        details=lambda asked: {},
    )
    done = run_suites(["one"], frames)
    assert (done.checked, str(done.broken["one"])) == ((), "one: ZeroDivisionError")


def test_numbers_outside_the_condition_may_be_missing() -> None:
    entry = BETWEEN | {"kwargs": {**BETWEEN["kwargs"], **TRACKED}}
    assert validate(suite(entry), frame(ratio=[1.0, 0.9, math.nan])).failures == ()


def test_an_empty_frame_and_a_large_one_are_no_pass() -> None:
    with pytest.raises(SuiteUnchecked, match="0 rows"):
        validate(suite(), frame()[:0])
    with pytest.raises(SuiteUnchecked, match="more than 10,000 rows"):
        validate(suite(), pd.concat([frame(ratio=[1.0] * 3)] * 4_000))


class ExpectColumnValuesToRaise(ExpectColumnValuesToBeInSet):
    """Passes by itself, and fails while it does."""

    def _validate(self, *args: Any, **kwargs: Any) -> Any:
        raise ArithmeticError("in the middle")


def test_an_exception_inside_an_expectation_is_no_pass() -> None:
    entry = {"type": "expect_column_values_to_raise", "kwargs": {"column": "state", "value_set": ["new"]}}
    with pytest.raises(SuiteUnchecked, match="in the middle"):
        validate(suite(entry), frame())


def test_the_shipped_suites_are_sound_and_load_whole() -> None:
    loaded = load_suites()
    assert {"event_volume", "total_volume", "funnels"} <= {each.name for each in loaded}
    for each in loaded:
        assert len(build(each).expectations) == len(each.expectations)


def test_a_vanished_event_fails_the_shipped_suite_and_a_quiet_day_passes() -> None:
    world = history()
    quiet = judged_frame(world).reset_index()
    world["submit"][DAY] = 0
    vanished = judged_frame(world).reset_index()
    events = find_suite("event_volume")
    assert validate(events, quiet[quiet["scope"] == "event"]).failures == ()
    found = validate(events, vanished[vanished["scope"] == "event"])
    assert {each.key for each in found.failures} == {("submit",)}
    assert (found.severity, found.evaluated, found.failed) == ("warning", 3, 3)


def test_an_outage_of_everything_is_critical() -> None:
    world = history()
    for days in world.values():
        days[DAY] = 0
    outage = judged_frame(world).reset_index()
    assert validate(find_suite("total_volume"), outage[outage["scope"] == "total"]).severity == "critical"
