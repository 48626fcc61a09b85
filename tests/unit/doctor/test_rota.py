"""What `mindguard doctor` says of the rota and the releases; the connections are missing here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mindguard.alerts.alert import Person
from mindguard.alerts.rota.rota import Rota, Slot, gaps
from mindguard.connections import Connection
from mindguard.doctor import examine
from mindguard.errors import ConnectionMissing
from mindguard.settings import Settings
from mindguard.texts import within

NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
DAY = {"name": "day", "from": "09:00", "to": "23:00", "rotation": ["A"]}
NIGHT = {"name": "night", "days": ["workday", "weekend", "holiday"], "from": "23:00", "to": "09:00", "rotation": ["A"]}


def missing(conn_id: str) -> Connection:
    raise ConnectionMissing(conn_id)


def said(what: str, now: datetime = NOW, **sections: Any) -> list[tuple[str, str]]:
    settings = Settings.model_validate({"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}, **sections})
    return [(each.status, each.text) for each in examine(settings, missing, now=lambda: now) if each.what == what]


def test_a_whole_rota_is_well() -> None:
    rota = {"people": [{"name": "A"}], "shifts": [DAY, NIGHT]}
    assert said("rota", rota=rota) == [("pass", "every minute of the next 7 days has somebody on duty")]
    assert [status for status, _ in said("rota", NOW.replace(year=2999), rota=rota)] == ["pass", "warn"]


def test_gaps_are_errors_and_the_first_are_named() -> None:
    found = said("rota", rota={"people": [{"name": "A"}], "shifts": [DAY]})
    assert [status for status, _ in found] == ["error", "error", "error", "warn"]
    assert found[0][1] == "2026-11-24 23:00 to 2026-11-25 09:00: nobody is on duty"
    assert found[-1][1].startswith("4 more")


def test_an_overlap_is_a_warning() -> None:
    shifts = [DAY, {**NIGHT, "to": "09:01"}]
    assert said("rota", rota={"people": [{"name": "A"}], "shifts": shifts})[0][0] == "warn"


def test_every_gap_is_said_in_chinese_too() -> None:
    declined = Slot(NOW, NOW + timedelta(hours=2), "early", ("A",), 0, declined=("A",))
    unknown = Slot(NOW + timedelta(hours=4), NOW + timedelta(hours=6), "", ("Z",), 0)
    overlapping = Slot(NOW + timedelta(hours=5), NOW + timedelta(hours=7), "late", ("A",), 1)
    rota = Rota(ZoneInfo("UTC"), {"A": Person("A")}, lambda _: (declined, unknown, overlapping))
    found = {within(gap.text, "zh") for gap in gaps(rota, NOW, 1)}
    assert found == {
        "A 拒绝了 early，没有其他人值班，因此会通知全组",
        "Z 与 late 重叠，以前者为准",
        "某个日程里有人不在 rota.people 中：Z",
        "值班的人都不在值班表名单里，因此会通知全组",
        "无人值班",
    }


def test_a_calendar_that_cannot_be_read_is_an_error() -> None:
    ((status, text),) = said("rota", rota={"people": [{"name": "A"}], "ical": "/nowhere.ics"})
    assert status == "error"
    assert "/nowhere.ics" in text


def test_releases_that_cannot_be_had_are_an_error() -> None:
    ((status, text),) = said("releases", releases={"query": "q.sql", "connection": "elsewhere"})
    assert status == "error"
    assert "AIRFLOW_CONN_ELSEWHERE" in text


@pytest.mark.parametrize("what", ["rota", "releases"])
def test_nothing_is_said_of_what_the_settings_do_not_have(what: str) -> None:
    assert said(what) == []
