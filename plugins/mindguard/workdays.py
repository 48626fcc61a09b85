"""Workdays, weekends and holidays of mainland China; pure.

Holidays and the weekend days worked in exchange come from `chinesecalendar`, which knows the years that the State
Council has published; settings add to it or overrule it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from mindguard.settings.rota import CalendarSettings

_SATURDAY = 5


@dataclass(frozen=True)
class Workdays:
    """What kind of day a date is. In a year that is not published, Monday to Friday are workdays."""

    holidays: frozenset[date]
    worked: frozenset[date]
    """Days worked whatever their weekday."""
    years: frozenset[int]
    """Years whose holidays are known."""

    @classmethod
    def of(cls, settings: CalendarSettings) -> Workdays:
        """The published days with the settings' own; holidays in the settings make their year a known one."""
        from chinese_calendar.constants import holidays, workdays

        own_holidays, own_workdays = frozenset(settings.holidays), frozenset(settings.workdays)
        return cls(
            holidays=(frozenset(holidays) - own_workdays) | own_holidays,
            worked=(frozenset(workdays) | own_workdays) - own_holidays,
            years=frozenset(day.year for day in (*holidays, *own_holidays)),
        )

    def kind(self, day: date) -> Literal["workday", "weekend", "holiday"]:
        """A holiday on a weekend is a holiday, a weekend day worked in exchange is a workday."""
        if day in self.holidays:
            return "holiday"
        return "weekend" if day.weekday() >= _SATURDAY and day not in self.worked else "workday"

    def unpublished(self, days: Iterable[date]) -> list[int]:
        """Years of these days whose holidays are not known, and so would be counted as ordinary days."""
        return sorted({day.year for day in days} - self.years)
