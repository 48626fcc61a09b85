"""Settings of the rota: people, shifts, overrides and the calendar."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mindguard.settings.section import Section, distinct_names


def _from_text(written: object) -> object:
    return date.fromisoformat(written) if isinstance(written, str) else written


# YAML has dates; one in quotes, and one of JSON, is text.
Date = Annotated[date, BeforeValidator(_from_text, json_schema_input_type=date)]


class CalendarSettings(Section):
    """Days that differ from what the calendar of mainland China says."""

    holidays: tuple[Date, ...] = Field((), strict=False, description="days off, also of years not published yet")
    workdays: tuple[Date, ...] = Field((), strict=False, description="no holidays, whatever the calendar says")


Day = Literal["everyday", "workday", "weekend", "holiday", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]


Names = Annotated[tuple[str, ...], Field(strict=False)]


_OPEN_ID = r"^ou_[A-Za-z0-9_-]+$"


_PHONE = r"^\+?[0-9][0-9 -]{2,}$"


_TIME_OF_DAY = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"


class PersonSettings(Section):
    """Somebody who can be on duty."""

    name: str = Field(pattern=r"^[^,，、;；/:：]+$", description="as written in shifts and shown on cards")
    feishu_id: str | None = Field(None, pattern=_OPEN_ID, description="open_id, for mentions and urgent messages")
    phone: str | None = Field(
        None, pattern=_PHONE, description="in quotes, for instance '+86 …'; `mindguard rota who` shows it"
    )
    email: str | None = Field(None, description="finds the person among an iCal event's attendees")


class ShiftSettings(Section):
    """Hours that one person after the other covers. It belongs to the day on which it begins."""

    name: str
    days: Annotated[tuple[Day, ...], BeforeValidator(lambda days: (days,) if isinstance(days, str) else days)] = Field(
        ("everyday",),
        min_length=1,
        strict=False,
        description="one or a list of everyday, workday, weekend, holiday, mon … sun; a make-up workday is a workday, "
        "a holiday on a weekend is a holiday only",
    )
    begins: str = Field(alias="from", pattern=_TIME_OF_DAY, description="HH:MM in `timezone`")
    ends: str = Field(alias="to", pattern=_TIME_OF_DAY, description="HH:MM; at or before `from`: on the next day")
    rotation: tuple[str | Annotated[Names, Field(min_length=1)], ...] = Field(
        min_length=1, strict=False, description="whose turn it is, in order: names, or lists of a primary and backups"
    )
    rotate: Literal["daily", "weekly"] = Field(
        "weekly", description="to the next turn each day of this shift, or each week that has one"
    )
    starting: Date = Field(date(2026, 1, 5), description="day of the first turn; its weekday is where weeks begin")
    backup: Literal["next"] | Names = Field(
        (), description="who is called after the primary, in this order; `next`: who has the next turn"
    )


class OverrideSettings(Section):
    """Days on which somebody else is on duty. Of several that apply, each changes what the earlier ones left."""

    first: Date = Field(alias="from", description="first day on which shifts begin that it changes")
    last: Date | None = Field(None, alias="to", description="last day; default: the first")
    shift: str | None = Field(None, description="only this shift; default: all")
    person: str | None = Field(None, description="who takes over")
    instead_of: str | None = Field(None, description="only where this person would be on duty; default: the primary")
    swap: Annotated[Names, Field(min_length=2, max_length=2)] | None = Field(
        None, description="two people who take each other's place, instead of `person`"
    )

    @model_validator(mode="after")
    def _one_change(self) -> OverrideSettings:
        if (self.person is None) == (self.swap is None):
            raise ValueError("write either person or swap")
        if self.swap and self.instead_of:
            raise ValueError("instead_of goes with person, not with swap")
        if self.last and self.last < self.first:
            raise ValueError("`to` is before `from`")
        return self


class RotaSettings(Section):
    """Who is on duty when: either `shifts`, or a calendar in `ical`; `overrides` go for both."""

    people: tuple[PersonSettings, ...] = Field(min_length=1, strict=False)
    shifts: tuple[ShiftSettings, ...] = Field((), strict=False, description="where two overlap, the first counts")
    overrides: tuple[OverrideSettings, ...] = Field((), strict=False)
    ical: str | None = Field(
        None, description="file or http(s) address; events name people as attendees, or in their summary by comma"
    )
    calendar: CalendarSettings = CalendarSettings()

    @model_validator(mode="after")
    def _whole(self) -> RotaSettings:
        if bool(self.shifts) == (self.ical is not None):
            raise ValueError("write either shifts or ical")
        people = distinct_names(person.name for person in self.people)
        shifts = distinct_names(shift.name for shift in self.shifts)
        used = [name for shift in self.shifts for name in _names_of(shift)]
        for override in self.overrides:
            used += [name for name in (override.person, override.instead_of, *(override.swap or ())) if name]
            if self.shifts and override.shift and override.shift not in shifts:
                raise ValueError(f"an override names no shift of the rota: {override.shift}")
        if unknown := sorted(set(used) - people):
            raise ValueError(f"not among people: {', '.join(unknown)}")
        return self


def _names_of(shift: ShiftSettings) -> list[str]:
    turns = [name for turn in shift.rotation for name in ((turn,) if isinstance(turn, str) else turn)]
    return turns if shift.backup == "next" else [*turns, *shift.backup]
