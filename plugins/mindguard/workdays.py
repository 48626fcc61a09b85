"""Workdays, weekends and holidays of mainland China, as a pure decision.

Holidays, and the weekend days that are worked in exchange for them, come from the package `chinesecalendar`, which
knows the years that the State Council has published. The settings add to them or override them.
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
    """Tells what kind of day a date is. In a year that is not published, Monday to Friday are workdays.

    Attributes:
        holidays: days off.
        worked: days that are worked whatever their weekday.
        years: years whose holidays are known.
    """

    holidays: frozenset[date]
    worked: frozenset[date]
    years: frozenset[int]

    @classmethod
    def of(cls, settings: CalendarSettings) -> Workdays:
        """Combine the published days with those in the settings. The year of a holiday in the settings is known."""
        from chinese_calendar.constants import holidays, workdays

        own_holidays, own_workdays = frozenset(settings.holidays), frozenset(settings.workdays)
        return cls(
            holidays=(frozenset(holidays) - own_workdays) | own_holidays,
            worked=(frozenset(workdays) | own_workdays) - own_holidays,
            years=frozenset(day.year for day in (*holidays, *own_holidays)),
        )

    def kind(self, day: date) -> Literal["workday", "weekend", "holiday"]:
        """Return the kind of a day: a holiday on a weekend is a holiday, a make-up day on a weekend is a workday."""
        if day in self.holidays:
            return "holiday"
        return "weekend" if day.weekday() >= _SATURDAY and day not in self.worked else "workday"

    def unpublished(self, days: Iterable[date]) -> list[int]:
        """Return the years of these days whose holidays are not known, and so would count as ordinary days."""
        return sorted({day.year for day in days} - self.years)
