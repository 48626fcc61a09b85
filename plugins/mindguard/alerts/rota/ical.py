"""Rotas that are kept in a calendar: read from an iCal file or address, and written for people's own calendars.

An event names people as attendees (by `CN` or the person's `email`) or otherwise in its summary, primary first:
`值班A, 值班B` or `Night: 值班A`. The shift's name is the event's first category, or the text before the colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mindguard.alerts.rota.rota import Plan, Rota, Slot, duties
from mindguard.errors import MindGuardError
from mindguard.fetch import FetchFailed, download
from mindguard.settings import Settings, settings_path
from mindguard.settings.rota import PersonSettings

_DAY = timedelta(days=1)
_BETWEEN_NAMES = re.compile(r"[,，、;；/]")
_BEFORE_NAMES = re.compile(r"[:：]")


class RotaUnreadable(MindGuardError):
    """The calendar in `rota.ical` cannot be read or is not a valid one."""


def load_rota(settings: Settings) -> Rota | None:
    """Return the rota that the settings describe, or None if they have none. A calendar is read again each time.

    Raises:
        RotaUnreadable: its calendar cannot be read.
    """
    rota = settings.rota
    if rota is None:
        return None
    if rota.ical is None:
        return Rota.of(rota, settings.zone)
    return Rota.of(rota, settings.zone, plan_of(_read(rota.ical), rota.people, settings.zone))


def _read(place: str) -> bytes:
    if place.startswith(("http://", "https://")):
        try:
            return download(place)
        except FetchFailed as error:
            raise RotaUnreadable(f"rota.ical: {error}") from error
    path = settings_path().parent / place
    try:
        return path.read_bytes()
    except OSError as error:
        raise RotaUnreadable(
            f"rota.ical: {path}: {error.strerror}", hint="the path is relative to the settings file"
        ) from error


def plan_of(ical: bytes, people: Iterable[PersonSettings], zone: ZoneInfo) -> Plan:
    """Return what a calendar plans, including recurring events. If events overlap, the shortest one counts.

    Args:
        ical: content of the calendar.
        people: the people who may be named.
        zone: time zone of whole days and of times without a zone.

    Raises:
        RotaUnreadable: it is not a valid calendar, or one of its events has no valid time.
    """
    from icalendar import Calendar
    from recurring_ical_events import of

    emails = {person.email.casefold(): person.name for person in people if person.email}
    known = {person.name: person.name for person in people} | emails
    try:
        calendar: Any = Calendar.from_ical(ical)
        events = of(calendar)
        for event in calendar.walk("VEVENT"):
            _moment(event.start, zone), _moment(event.end, zone)
    except Exception as error:  # An invalid file can fail anywhere inside the two libraries.
        # It must fail here, not while an alert is being sent.
        raise RotaUnreadable(
            f"rota.ical: not a valid calendar: {error}", hint="export it again as iCal (.ics)"
        ) from error

    def planned(day: date) -> list[Slot]:
        begins, ends = (_moment(each, zone) for each in (day, day + _DAY))
        # One more day on either side, since the library compares times without a zone as if they had the other's zone.
        slots = [_slot(event, known, zone) for event in events.between(begins - _DAY, ends + _DAY)]
        return [slot for slot in slots if slot and slot.begins < ends and slot.ends > begins]

    return planned


def _slot(event: Any, known: Mapping[str, str], zone: ZoneInfo) -> Slot | None:
    begins, ends = _moment(event.start, zone), _moment(event.end, zone)
    if str(event.get("STATUS", "")).upper() == "CANCELLED" or begins >= ends:
        return None
    summary = str(event.get("SUMMARY", ""))
    *before, after = _BEFORE_NAMES.split(summary)
    shift = next(iter(event.categories), before[0].strip() if before else "")
    named = tuple(name for part in _BETWEEN_NAMES.split(after) if (name := part.strip()))
    names = _attendees(event, known) or named or ("(no name)",)
    return Slot(begins, ends, str(shift), names, (ends - begins).total_seconds())


def _attendees(event: Any, known: Mapping[str, str]) -> tuple[str, ...]:
    # Python's sort is stable: optional attendees come last, in the event's order.
    invited = sorted(event.attendees, key=lambda each: each.params.get("ROLE") == "OPT-PARTICIPANT")
    coming = (each for each in invited if each.params.get("PARTSTAT") != "DECLINED")
    keys = ((str(each.params.get("CN", "")), str(each).casefold().removeprefix("mailto:")) for each in coming)
    return tuple(dict.fromkeys(known[key] for pair in keys for key in pair if key in known))


def _moment(when: date, zone: ZoneInfo) -> datetime:
    if not isinstance(when, datetime):
        when = datetime.combine(when, time(), zone)
    return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)


def to_ical(rota: Rota, start: datetime, end: datetime, *, now: datetime) -> str:
    """Return everybody's duties in a period as a calendar that `load_rota` can read.

    Args:
        rota: the rota.
        start: beginning of the period, aware.
        end: end of the period, aware.
        now: when the calendar is written, aware.
    """
    from icalendar import Calendar, Event

    calendar = Calendar()
    calendar.add("prodid", "-//MindGuard Ops//rota//EN")
    calendar.add("version", "2.0")
    for duty in duties(rota, start, end):
        if not duty.people:
            continue
        begins = duty.since.astimezone(UTC)
        event = Event()
        event.add("uid", f"{begins:%Y%m%dT%H%M%SZ}-{duty.shift}@mindguard")
        event.add("dtstamp", now.astimezone(UTC))
        event.add("dtstart", begins)
        event.add("dtend", duty.until.astimezone(UTC))
        event.add("summary", ", ".join(person.name for person in duty.people))
        if duty.shift:
            event.add("categories", [duty.shift])
        calendar.add_component(event)
    return str(calendar.to_ical(), "utf-8")
