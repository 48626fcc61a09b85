"""Days of a time zone as UTC instants, and the kind of each day. Pure: no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from mindguard.workdays import Workdays

_SATURDAY = 5


class Kind(StrEnum):
    """The kind of a day, as far as it affects traffic."""

    ORDINARY = "ordinary"
    HOLIDAY = "holiday"
    EXCHANGED = "exchanged"
    """A weekend day that is a working day, in exchange for a holiday."""


@dataclass(frozen=True)
class Moment:
    """The judged day, and the moment (aware) at which it is judged: events that landed later do not count."""

    day: date
    as_of: datetime


@dataclass(frozen=True)
class Window:
    """One day, and the moment until which its events are counted. All three instants are UTC."""

    day: date
    start: datetime
    end: datetime
    cutoff: datetime
    """Events that landed later are not counted."""


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which the day begins, UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def is_over(day: date, at: datetime, zone: ZoneInfo) -> bool:
    """Return whether the day has ended at a moment (aware)."""
    return at >= day_start(day + timedelta(days=1), zone)


def windows(day: date, *, as_of: datetime, count: int, zone: ZoneInfo) -> list[Window]:
    """Return the day and the days before it, oldest first, each as it was when it was as old as `day` is at `as_of`.

    So today until ten o'clock is compared with yesterday as it was known at ten o'clock.

    Args:
        day: the latest day.
        as_of: the moment at which `day` is judged, aware.
        count: number of days before it that are returned.
        zone: the time zone of the days.
    """
    local = as_of.astimezone(zone)
    found = []
    for back in range(count, -1, -1):
        # Arithmetic on local time keeps the time of day when a zone changes to or from summer time.
        then = day - timedelta(days=back)
        cutoff = (local - timedelta(days=back)).astimezone(UTC)
        found.append(Window(then, day_start(then, zone), day_start(then + timedelta(days=1), zone), cutoff))
    return found


def kind_of(day: date, calendar: Workdays) -> Kind:
    """Return the kind of the day. A year whose holidays are not published has only the holidays of the settings."""
    kind = calendar.kind(day)
    if kind == "holiday":
        return Kind.HOLIDAY
    return Kind.EXCHANGED if kind == "workday" and day.weekday() >= _SATURDAY else Kind.ORDINARY
