"""Find out when something is due and for which period: a pure calendar, in the settings' time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mindguard.monitors.judge import Reading
from mindguard.settings.monitors import DeadlineMonitor

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Due:
    """The latest deadline that has come.

    Attributes:
        at: the deadline, UTC.
        starts: first day of the period that is due.
        ends: first day after that period.
    """

    at: datetime
    starts: date
    ends: date

    def params(self) -> dict[str, str]:
        """Return the values that a query may bind: both days, and the ISO week of the first day."""
        year, week, _ = self.starts.isocalendar()
        return {
            "period_start": self.starts.isoformat(),
            "period_end": self.ends.isoformat(),
            "iso_week": f"{year}-W{week:02}",
        }


def latest_due(monitor: DeadlineMonitor, *, now: datetime, zone: ZoneInfo) -> Due:
    """Return the latest deadline at or before `now` (aware).

    Days are counted on the calendar, so a change of clocks does not move the deadline's local time.
    """
    day = now.astimezone(zone).date()
    if monitor.weekday:
        day -= timedelta(days=(day.weekday() - _WEEKDAYS.index(monitor.weekday)) % 7)
    step = timedelta(days=7 if monitor.weekday else 1)
    at = _instant(day, monitor.at, zone)
    if at > now:
        day -= step
        at = _instant(day, monitor.at, zone)
    # The week that is due is the ISO week before the week of the deadline.
    ends = day - timedelta(days=day.weekday()) if monitor.weekday else day
    return Due(at, ends - step, ends)


def lateness(due: Due, *, state: str, rows: float | None, now: datetime) -> Reading:
    """Return a reading whose value is the delay in seconds; 0 once the work is done.

    Args:
        due: the deadline that has come.
        state: the state that the query returned: `done`, `running`, or anything else for not started.
        rows: number of rows that the work produced; finished work without rows counts as not done. None: not counted.
        now: the present time, aware; when the state was queried.
    """
    if state == "done" and (rows is None or rows > 0):
        return Reading(value=0.0, note="done")
    late_s = max(0.0, (now - due.at).total_seconds())
    note = "empty" if state == "done" else "running" if state == "running" else "not started"
    return Reading(value=late_s, note=note)


def _instant(day: date, at: str, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.fromisoformat(at), tzinfo=zone).astimezone(UTC)
