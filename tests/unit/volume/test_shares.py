"""Which shares are judged on any number of rows."""

from __future__ import annotations

from typing import Any

import pytest

from mindguard.volume.shares import shares_without_base
from mindguard.volume.suites import Suite, load_suites

BETWEEN = "expect_column_values_to_be_between"


def warnings(*expectations: tuple[str, dict[str, Any]]) -> list[str]:
    made = [{"type": kind, "severity": "info", "kwargs": kwargs} for kind, kwargs in expectations]
    suite = Suite.model_validate({"name": "own", "meta": {"frame": "funnels"}, "expectations": made})
    return list(shares_without_base(suite))


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (BETWEEN, {"column": "error_rate", "max_value": 0.1}),
        (BETWEEN, {"column": "null_share", "max_value": 0.1}),
        (BETWEEN, {"column": "FailedPercent_pct", "min_value": 0, "max_value": 5}),
        ("expect_column_max_to_be_between", {"column": "crash_ratio", "max_value": 0.01}),
        (BETWEEN, {"column": "errorRate", "max_value": 0.1}),
        (BETWEEN, {"column": "失败率", "max_value": 0.1}),
    ],
)
def test_a_share_in_a_column_without_base_is_told(kind: str, kwargs: dict[str, Any]) -> None:
    assert len(warnings((kind, kwargs))) == 1
    assert warnings((kind, {**kwargs, "row_condition": "row_count >= 100", "condition_parser": "pandas"})) == []
    of_one = {**kwargs, "row_condition": 'country == "CN"', "condition_parser": "pandas"}
    assert len(warnings((kind, of_one))) == 1, "it says which rows, and not of how many events each is"
    rows = ("expect_table_row_count_to_be_between", {"min_value": 100})
    assert len(warnings((kind, kwargs), rows)) == 1, "each row may stand for a few events"


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_values_to_not_be_null", {"column": "user_id", "mostly": 0.9}),
        ("expect_column_proportion_of_unique_values_to_be_between", {"column": "user_id", "min_value": 0.9}),
        ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "user_id", "min_value": 0.9}),
    ],
)
def test_a_share_of_the_rows_without_base_is_told(kind: str, kwargs: dict[str, Any]) -> None:
    assert len(warnings((kind, kwargs))) == 1
    assert warnings((kind, {**kwargs, "row_condition": "row_count >= 100", "condition_parser": "pandas"})) == []
    assert warnings((kind, kwargs), ("expect_table_row_count_to_be_between", {"min_value": 100})) == []
    for kwargs_of_count in ({"max_value": 100}, {"min_value": None, "max_value": 100}):
        assert warnings((kind, kwargs), ("expect_table_row_count_to_be_between", kwargs_of_count))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"column": "null_share_at_least", "max_value": 0.1},
        {"column": "confirmed_ratio", "min_value": 0.1},
        {"column": "error_rate", "max_value": 0},
        {"column": "share", "min_value": 0, "max_value": 1},
        {"column": "score", "min_value": 0.1, "max_value": 0.9},
        {"column": "generated_rows", "max_value": 3, "mostly": 1.0},
    ],
)
def test_an_interval_the_whole_and_what_is_no_share_need_no_base(kwargs: dict[str, Any]) -> None:
    assert warnings((BETWEEN, kwargs)) == []


def test_shipped_suites_judge_no_share_without_base() -> None:
    assert [line for suite in load_suites() for line in shares_without_base(suite)] == []
