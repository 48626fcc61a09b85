"""What logs and the command line say of failing rows."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
import pytest

from mindguard.volume.suites import Failure, Suite, ValidationResult, find_suite, validate
from mindguard.volume.words import in_words, rows_by_key, summary_line

from .falls import events, world

AGE = Failure("expect_column_values_to_be_between", "warning", ("public.checkins",), "30.25", "newest_age_h", "0 … 6")


def test_a_tables_age_is_told_in_hours_with_what_is_allowed() -> None:
    suite = find_suite("checkins")
    row = {"table_name": "public.checkins", "newest_age_h": 30.25}
    assert in_words(suite, AGE, row) == "newest_age_h 30 h 15 min, not 0 … 6 h"
    judged = ValidationResult("checkins", 7, 1, (AGE,), "warning")
    assert summary_line(suite, judged, pd.DataFrame([row])) == (
        "checkins: 1 of 7 expectations failed, rows: 1; warning public.checkins: newest_age_h 30 h 15 min, not 0 … 6 h"
    )


def test_a_fall_is_told_once_with_actual_and_expected_counts() -> None:
    suite = find_suite("event_volume")
    frame = events(world(submit=0.6))
    found = {failure.key: in_words(suite, failure, rows_by_key(suite, frame)[failure.key]) for failure in FALLS}
    assert found == {("submit",): "1,200, expected 2,000 (-40%), the day before 2,000 (-40%)"}
    judged = ValidationResult("event_volume", 3, len(frame), FALLS, "warning")
    assert summary_line(suite, judged, frame) == (
        "event_volume: 2 of 3 expectations failed, rows: 6; "
        "warning submit: 1,200, expected 2,000 (-40%), the day before 2,000 (-40%)"
    )


FALLS = (
    Failure("expect_event_volume_within_day_over_day_tolerance", "info", ("submit",), "below"),
    Failure("expect_event_volume_falls_unconfirmed", "warning", ("submit",), "True"),
)


def test_a_funnels_step_is_told_with_its_usual_share() -> None:
    suite = find_suite("funnels")
    failure = Failure("expect_funnel_steps_within_usual_conversion", "info", ("checkin", "submit"), "below")
    row = {"upstream": "start", "conversion": 0.12, "usual_conversion": 0.3, "gap": 1800.0}
    assert in_words(suite, failure, row) == "12.0% of start, usually 30.0%; 1,800 missing"


@pytest.mark.parametrize("row", [{}, {"actual": None, "weekday_median": float("nan"), "yesterday": 0}])
def test_what_is_not_known_is_left_out(row: dict[str, Any]) -> None:
    assert in_words(find_suite("event_volume"), FALLS[0], row).startswith("0")
    whole = Failure("expect_table_row_count_to_be_between", "info", (), "3", "", "≥ 4")
    assert in_words(find_suite("event_volume"), whole, row) == "3 not ≥ 4"


def test_great_expectations_logs_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    entry = {"type": "expect_column_values_to_not_be_null", "severity": "info", "kwargs": {"column": "a"}}
    meta = {"query": "q.sql", "connection": "app", "key": ["a"]}
    suite = Suite.model_validate({"name": "s", "meta": meta, "expectations": [entry]})
    with caplog.at_level(logging.INFO):
        assert validate(suite, pd.DataFrame({"a": [1]})).failures == ()
    assert [record.name for record in caplog.records if record.name.startswith("great_expectations")] == []
