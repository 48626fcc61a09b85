"""Settings for the rota: people, shifts, overrides and the calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mindguard.documents import at_place
from mindguard.settings.section import Section, distinct_names


def _from_text(written: object) -> object:
    return date.fromisoformat(written) if isinstance(written, str) else written


# YAML has dates, but a quoted date, or one in JSON, is text.
Date = Annotated[date, BeforeValidator(_from_text, json_schema_input_type=date)]


class CalendarSettings(Section):
    """Days that differ from the calendar of mainland China."""

    holidays: tuple[Date, ...] = Field(
        (), strict=False, description="days off, which may be in years that are not published yet"
    )
    workdays: tuple[Date, ...] = Field(
        (), strict=False, description="days that are not holidays, whatever the calendar says"
    )


Day = Literal["everyday", "workday", "weekend", "holiday", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]


Names = Annotated[tuple[str, ...], Field(strict=False)]


_OPEN_ID = r"^ou_[A-Za-z0-9_-]+$"


_PHONE = r"^\+?[0-9][0-9 -]{2,}$"


_TIME_OF_DAY = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"


class PersonSettings(Section):
    """Somebody who can be on duty."""

    name: str = Field(pattern=r"^[^,，、;；/:：]+$", description="name as written in shifts and shown on cards")
    feishu_id: str | None = Field(None, pattern=_OPEN_ID, description="open_id, for mentions and urgent messages")
    phone: str | None = Field(
        None, pattern=_PHONE, description="number in quotes, for instance '+86 …'; `mindguard rota who` shows it"
    )
    email: str | None = Field(None, description="address that identifies the person among the attendees of iCal events")


class ShiftSettings(Section):
    """Hours that people cover in turn. A shift belongs to the day on which it begins."""

    name: str = Field(description="name shown on cards")
    days: Annotated[tuple[Day, ...], BeforeValidator(lambda days: (days,) if isinstance(days, str) else days)] = Field(
        ("everyday",),
        min_length=1,
        strict=False,
        description="one or a list of everyday, workday, weekend, holiday, mon … sun; a make-up workday is a workday, "
        "a holiday on a weekend is only a holiday",
    )
    begins: str = Field(alias="from", pattern=_TIME_OF_DAY, description="HH:MM in `timezone`")
    ends: str = Field(
        alias="to", pattern=_TIME_OF_DAY, description="HH:MM; a time at or before `from` is on the next day"
    )
    rotation: tuple[str | Annotated[Names, Field(min_length=1)], ...] = Field(
        min_length=1, strict=False, description="turns in order; each is a name, or a list of a primary and backups"
    )
    rotate: Literal["daily", "weekly"] = Field(
        "weekly", description="whether the next turn begins with each day of this shift, or with each week that has one"
    )
    starting: Date = Field(
        date(2026, 1, 5),
        ge=date(1900, 1, 1),
        le=date(2200, 12, 31),
        description="day of the first turn; weeks begin on the weekday of this date",
    )
    backup: Literal["next"] | Names = Field(
        (), description="people called after the primary, in this order; `next` means the person with the next turn"
    )


class OverrideSettings(Section):
    """Days on which somebody else is on duty. If several overrides apply, each changes what the earlier ones left."""

    first: Date = Field(alias="from", description="first day; the shifts that begin on it are changed")
    last: Date | None = Field(None, alias="to", description="last day; default: the first day")
    shift: str | None = Field(None, description="the shift that is changed; default: all shifts")
    person: str | None = Field(None, description="the person who takes over")
    instead_of: str | None = Field(
        None, description="replace only this person where they would be on duty; default: replace the primary"
    )
    swap: Annotated[Names, Field(min_length=2, max_length=2)] | None = Field(
        None, description="two people who take each other's place; given instead of `person`"
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
    """The rota: people, and either `shifts` or a calendar in `ical`; `overrides` apply to both."""

    people: tuple[PersonSettings, ...] = Field(min_length=1, strict=False, description="everybody who can be on duty")
    shifts: tuple[ShiftSettings, ...] = Field(
        (), strict=False, description="the shifts; if two overlap, the one listed first counts"
    )
    overrides: tuple[OverrideSettings, ...] = Field((), strict=False, description="exceptions on single days")
    ical: str | None = Field(
        None,
        description="calendar file or http(s) address; its events name people as attendees, or in the summary, "
        "separated by commas",
    )
    calendar: CalendarSettings = CalendarSettings()

    @model_validator(mode="after")
    def _whole(self) -> RotaSettings:
        if bool(self.shifts) == (self.ical is not None):
            raise ValueError("write either shifts or ical")
        people = distinct_names([person.name for person in self.people], "people")
        shifts = distinct_names([shift.name for shift in self.shifts], "shifts")
        for place, name in self._used():
            if name not in people:
                raise at_place(f"{name} is not among people", *place)
        for number, override in enumerate(self.overrides):
            if self.shifts and override.shift and override.shift not in shifts:
                raise at_place(f"there is no shift {override.shift}", "overrides", number, "shift")
        return self

    def _used(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield every name of a person in shifts and overrides, after its place."""
        for number, shift in enumerate(self.shifts):
            for turn, names in enumerate(shift.rotation):
                for name in (names,) if isinstance(names, str) else names:
                    yield ("shifts", number, "rotation", turn), name
            for name in () if shift.backup == "next" else shift.backup:
                yield ("shifts", number, "backup"), name
        for number, override in enumerate(self.overrides):
            for key, person in (("person", override.person), ("instead_of", override.instead_of)):
                if person:
                    yield ("overrides", number, key), person
            for name in override.swap or ():
                yield ("overrides", number, "swap"), name
