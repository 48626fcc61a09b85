"""Days of one time zone as UTC instants, and what kind of day each is. Pure: no clock.

Holidays and the weekend days worked in exchange come from `chinesecalendar`, which knows the years that the State
Council has published; settings add to it or overrule it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from mindguard.settings import CalendarSettings


class Kind(StrEnum):
    """What people do on a day, as far as it moves the traffic."""

    ORDINARY = "ordinary"
    HOLIDAY = "holiday"
    EXCHANGED = "exchanged"
    """A weekend day that is worked, in exchange for a holiday."""


@dataclass(frozen=True)
class Window:
    """One day and the moment at which we look at it. All three instants are UTC."""

    day: date
    start: datetime
    end: datetime
    cutoff: datetime
    """What landed later is not counted."""


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which the day begins, UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def windows(day: date, *, as_of: datetime, count: int, zone: ZoneInfo) -> list[Window]:
    """The day and the `count` days before it, oldest first, each looked at as old as `day` is at `as_of`.

    So today until ten o'clock is compared with yesterday as it looked at ten o'clock.

    Args:
        as_of: aware.
    """
    local = as_of.astimezone(zone)
    found = []
    for back in range(count, -1, -1):
        # Arithmetic on local time keeps the time of day where a zone has summer time.
        then = day - timedelta(days=back)
        cutoff = (local - timedelta(days=back)).astimezone(UTC)
        found.append(Window(then, day_start(then, zone), day_start(then + timedelta(days=1), zone), cutoff))
    return found


@dataclass(frozen=True)
class Calendar:
    """Holidays and exchanged days, by date."""

    holidays: frozenset[date]
    exchanged: frozenset[date]
    years: frozenset[int]
    """Years whose holidays are published."""

    def kind(self, day: date) -> Kind:
        """What kind of day this is; an unpublished year has no holidays but those of the settings."""
        if day in self.holidays:
            return Kind.HOLIDAY
        return Kind.EXCHANGED if day in self.exchanged else Kind.ORDINARY

    def unpublished(self, days: Iterable[date]) -> list[int]:
        """Years of these days whose holidays are not known: a fall on one of them may be a holiday."""
        return sorted({day.year for day in days} - self.years)


def load_calendar(settings: CalendarSettings) -> Calendar:
    """The calendar of mainland China with the settings' own days. Days in the settings make their year a known one."""
    from chinese_calendar.constants import holidays, workdays

    off = (frozenset(holidays) - frozenset(settings.workdays)) | frozenset(settings.holidays)
    worked = frozenset(day for day in settings.workdays if day.weekday() >= 5) | (frozenset(workdays) - off)
    own = {day.year for day in settings.holidays}
    return Calendar(off, worked, frozenset({day.year for day in holidays} | own))
