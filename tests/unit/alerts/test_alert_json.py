from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.alerts.alert import Alert, Chart, Digest, FailedInstance, FailedInstances, Person, Release, Table
from mindguard.alerts.severity import Severity

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
PLAIN = Alert("t", Severity.P1, "s", AT, "f")

# Text that neither masking nor cleaning changes.
TEXT = st.text(st.sampled_from("abc 中文😀é-.%<>&\n"), max_size=12)
TIMES = st.integers(1_500_000_000, 2_200_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
POINTS = st.lists(st.tuples(TEXT, NUMBERS), max_size=4).map(tuple)
ALERTS = st.builds(
    Alert,
    title=TEXT,
    severity=st.sampled_from(Severity),
    subject=TEXT,
    happened_at=TIMES,
    fingerprint=TEXT,
    detail=TEXT,
    resolved_at=st.none() | TIMES,
    acknowledged_by=TEXT,
    acknowledged_at=st.none() | TIMES,
    occurrences=st.integers(1, 10**9),
    duty=st.lists(st.builds(Person, TEXT, TEXT, TEXT, TEXT), max_size=3).map(tuple),
    mention=st.booleans(),
    releases=st.lists(st.builds(Release, TEXT, TIMES, st.none() | NUMBERS, st.booleans(), TEXT), max_size=3).map(tuple),
    table=st.none() | st.builds(Table, st.tuples(TEXT, TEXT), st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)),
    chart=st.none() | st.builds(Chart, TEXT, POINTS, st.none() | TEXT, POINTS),
)


@given(ALERTS)
def test_an_alert_comes_back_from_json_as_it_was(alert: Alert) -> None:
    assert Alert.from_json(json.loads(json.dumps(alert.to_json()))) == alert


def test_the_instant_is_kept_from_any_zone() -> None:
    local = replace(PLAIN, happened_at=AT.astimezone(ZoneInfo("Asia/Shanghai")))
    assert Alert.from_json(local.to_json()).happened_at == AT


@pytest.mark.parametrize(
    "change",
    [{"surprise": 1}, {"severity": "P9"}, {"occurrences": "2"}, {"happened_at": "2026-11-19T06:02:00"}, {"mention": 1}],
    ids=str,
)
def test_what_to_json_did_not_write_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change)) if "happened_at" not in change else "time zone"):
        Alert.from_json(PLAIN.to_json() | change)


def test_what_jsonb_refuses_and_secrets_do_not_reach_the_store() -> None:
    hostile = replace(PLAIN, detail="a\x00b \ud800 password=example-password", acknowledge_url="https://h/a?token=x")
    stored = hostile.to_json()
    assert stored["detail"] == "ab ? password=***"
    assert stored["acknowledge_url"] == "https://h/a?token=x", "it is meant for whoever sees the card"


@pytest.mark.parametrize("field", ["acknowledged_at", "last_seen_at", "resolved_at"])
def test_a_time_without_zone_is_refused(field: str) -> None:
    naive = datetime(2026, 11, 19)  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        replace(PLAIN, **{field: naive})
    with pytest.raises(ValueError, match="time zone"):
        replace(PLAIN, releases=(Release("1", naive),))
    with pytest.raises(ValueError, match="time zone"):
        Digest("t", Severity.P0, naive, (), "storm")


def test_defaults_are_not_stored() -> None:
    assert sorted(PLAIN.to_json()) == ["fingerprint", "happened_at", "severity", "subject", "title"]
    assert replace(PLAIN, last_seen_at=AT + timedelta(hours=1)).to_json()["last_seen_at"] == "2026-11-19T07:02:00Z"


MAPPED = replace(
    PLAIN,
    instances=FailedInstances(
        "r0",
        (FailedInstance(3, "a"), FailedInstance(1, "a"), FailedInstance(0), FailedInstance(2, None)),
        whole=False,
        locale="en",
    ),
)


def test_each_error_of_a_mapped_task_is_stored_once() -> None:
    stored = json.loads(json.dumps(MAPPED.to_json()))
    assert stored["instances"]["failed"] == [
        {"indexes": [3, 1], "error": "a"},
        {"indexes": [0], "error": ""},
        {"indexes": [2], "error": None},
    ]
    assert Alert.from_json(stored) == MAPPED


def test_instances_that_were_stored_with_an_error_each_are_read() -> None:
    failed = [{"index": 3, "error": "a"}, {"index": 1, "error": "a"}, {"index": 0}, {"index": 2, "error": None}]
    stored = MAPPED.to_json() | {"instances": {"occurrence": "r0", "failed": failed, "whole": False, "locale": "en"}}
    assert Alert.from_json(stored) == MAPPED


@pytest.mark.parametrize(
    "failed", [3, None, [3], [{"indexes": 3}], [{"indexes": ["x"], "error": ""}], [{"surprise": 1}]], ids=str
)
def test_instances_that_to_json_did_not_write_are_refused(failed: Any) -> None:
    stored = MAPPED.to_json()
    stored["instances"]["failed"] = failed
    with pytest.raises(ValueError, match="instances"):
        Alert.from_json(stored)
