"""Days of one time zone as UTC instants, and what kind of day each is. Pure: no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from mindguard.workdays import Workdays

_SATURDAY = 5


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


def is_over(day: date, at: datetime, zone: ZoneInfo) -> bool:
    """Whether the day has ended at a moment (aware)."""
    return at >= day_start(day + timedelta(days=1), zone)


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


def kind_of(day: date, calendar: Workdays) -> Kind:
    """What kind of day this is; a year that is not published has no holidays but those of the settings."""
    kind = calendar.kind(day)
    if kind == "holiday":
        return Kind.HOLIDAY
    return Kind.EXCHANGED if kind == "workday" and day.weekday() >= _SATURDAY else Kind.ORDINARY
