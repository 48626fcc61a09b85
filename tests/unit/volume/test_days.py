"""Days of Asia/Shanghai as UTC instants, the age of a comparison, and holidays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mindguard.resources import include_dir
from mindguard.settings import load_settings
from mindguard.settings.rota import CalendarSettings
from mindguard.volume.days import Kind, day_start, kind_of, windows
from mindguard.volume.event_day import calendar_of
from mindguard.workdays import Workdays

SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_a_day_in_shanghai_begins_at_sixteen_utc_the_day_before() -> None:
    assert day_start(date(2026, 11, 24), SHANGHAI) == datetime(2026, 11, 23, 16, tzinfo=UTC)


def test_earlier_days_are_looked_at_at_the_same_age() -> None:
    now = datetime(2026, 11, 24, 10, 30, tzinfo=SHANGHAI)
    found = windows(date(2026, 11, 24), as_of=now, count=2, zone=SHANGHAI)
    assert [each.day for each in found] == [date(2026, 11, 22), date(2026, 11, 23), date(2026, 11, 24)]
    assert [now - each.cutoff for each in found] == [timedelta(days=2), timedelta(days=1), timedelta(0)]
    assert [each.end for each in found[:-1]] == [each.start for each in found[1:]]


def test_a_zone_with_summer_time_keeps_the_time_of_day() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    before, after = windows(date(2026, 3, 29), as_of=datetime(2026, 3, 29, 10, tzinfo=berlin), count=1, zone=berlin)
    assert before.cutoff == datetime(2026, 3, 28, 9, tzinfo=UTC)
    assert after.cutoff == datetime(2026, 3, 29, 8, tzinfo=UTC)
    assert after.end - after.start == timedelta(hours=23)


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        (date(2026, 10, 1), Kind.HOLIDAY),
        (date(2026, 10, 10), Kind.EXCHANGED),  # a Saturday worked for the holiday week
        (date(2026, 10, 12), Kind.ORDINARY),
        (date(2026, 10, 17), Kind.ORDINARY),  # weekends are no holidays
    ],
)
def test_the_calendar_of_mainland_china(day: date, kind: Kind) -> None:
    assert kind_of(day, Workdays.of(CalendarSettings())) is kind


def test_settings_overrule_the_calendar() -> None:
    own = CalendarSettings(holidays=(date(2026, 12, 24),), workdays=(date(2026, 10, 1), date(2026, 12, 26)))
    calendar = Workdays.of(own)
    assert kind_of(date(2026, 12, 24), calendar) is Kind.HOLIDAY
    assert kind_of(date(2026, 10, 1), calendar) is Kind.ORDINARY
    assert kind_of(date(2026, 12, 26), calendar) is Kind.EXCHANGED


def test_an_unpublished_year_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(include_dir() / "config" / "mindguard.yaml")
    calendar_of(settings, date(2026, 3, 1))
    assert not caplog.records
    calendar_of(settings, date(2099, 6, 1))
    assert [record.getMessage() for record in caplog.records] == [
        "the holidays of 2099 are not known: update chinesecalendar, or list them in volume.calendar"
    ]


def test_an_unpublished_year_is_named_until_the_settings_know_it() -> None:
    days = [date(2026, 12, 31), date(2099, 1, 1)]
    assert Workdays.of(CalendarSettings()).unpublished(days) == [2099]
    assert Workdays.of(CalendarSettings(holidays=(date(2099, 1, 1),))).unpublished(days) == []
