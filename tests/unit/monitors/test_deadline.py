"""Deadlines on the calendar: weeks, year ends, changes of clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from mindguard.monitors.deadline import Due, lateness, latest_due
from mindguard.monitors.judge import State, judge
from mindguard.settings.monitors import DeadlineMonitor

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def monitor(**changed: Any) -> DeadlineMonitor:
    plain = {"kind": "deadline", "name": "m", "source": "postgres", "query": "m.sql", "at": "09:00", "recover_for_s": 0}
    return TypeAdapter(DeadlineMonitor).validate_python({**plain, **changed})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("now", "at", "week"),
    [
        (utc(2026, 11, 23, 1, 0), utc(2026, 11, 23, 1, 0), "2026-W47"),  # Monday 09:00 in Shanghai
        (utc(2026, 11, 23, 0, 59), utc(2026, 11, 16, 1, 0), "2026-W46"),
        (utc(2026, 11, 22, 23, 0), utc(2026, 11, 16, 1, 0), "2026-W46"),  # Sunday in UTC, Monday in Shanghai
        (utc(2026, 11, 29, 10, 0), utc(2026, 11, 23, 1, 0), "2026-W47"),
        (utc(2027, 1, 4, 2, 0), utc(2027, 1, 4, 1, 0), "2026-W53"),
    ],
)
def test_the_week_that_is_due(now: datetime, at: datetime, week: str) -> None:
    due = latest_due(monitor(weekday="mon"), now=now, zone=SHANGHAI)
    assert due.at == at
    assert due.params()["iso_week"] == week
    assert (due.ends - due.starts).days == 7


def test_a_week_due_later_in_the_next_one_is_still_the_week_before() -> None:
    due = latest_due(monitor(weekday="wed"), now=utc(2026, 11, 26, 0, 0), zone=SHANGHAI)
    assert due == Due(utc(2026, 11, 25, 1, 0), date(2026, 11, 16), date(2026, 11, 23))


def test_a_day_is_due_the_day_after() -> None:
    due = latest_due(monitor(), now=utc(2026, 11, 24, 0, 30), zone=SHANGHAI)
    assert due == Due(utc(2026, 11, 23, 1, 0), date(2026, 11, 22), date(2026, 11, 23))


def test_a_change_of_clocks_moves_the_instant_and_not_the_day() -> None:
    winter = latest_due(monitor(), now=utc(2026, 3, 28, 12, 0), zone=BERLIN)
    summer = latest_due(monitor(), now=utc(2026, 3, 29, 12, 0), zone=BERLIN)
    assert (winter.at, summer.at) == (utc(2026, 3, 28, 8, 0), utc(2026, 3, 29, 7, 0))
    assert summer.starts == date(2026, 3, 28)
    skipped = latest_due(monitor(at="02:30"), now=utc(2026, 3, 29, 12, 0), zone=BERLIN)
    assert skipped.at == utc(2026, 3, 29, 1, 30)  # 02:30 does not exist on that day: 03:30 in summer time


@pytest.mark.parametrize(
    ("state", "rows", "minutes", "status", "note"),
    [
        ("done", 10.0, 60, "pass", "done"),
        ("done", None, 60, "pass", "done"),
        ("done", 0.0, 60, "error", "empty"),
        ("running", 0.0, 3, "warn", "running"),
        ("running", 0.0, 6, "error", "running"),
        ("", None, 6, "error", "not started"),
        ("", None, 5, "warn", "not started"),
        ("", None, 0, "pass", "not started"),
    ],
)
def test_states(state: str, rows: float | None, minutes: int, status: str, note: str) -> None:
    due = latest_due(monitor(weekday="mon"), now=utc(2026, 11, 23, 1, 0), zone=SHANGHAI)
    now = utc(2026, 11, 23, 1 + minutes // 60, minutes % 60)
    verdict = judge(monitor(weekday="mon"), lateness(due, state=state, rows=rows, now=now), State(), now=now)
    assert (verdict.status, verdict.note) == (status, note)
