"""Rotas that are kept in a calendar: read from an iCal file or address, and written for people's own calendars.

An event names people as attendees (by `CN` or the person's `email`) or otherwise in its summary, primary first:
`值班A, 值班B` or `Night: 值班A`. The shift's name is the event's first category, or the text before the colon.
Nobody who declined is called for the event; docs/rota.md says who counts.
"""

from __future__ import annotations

import re
import time as clock
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mindguard.alerts.rota.rota import Plan, Rota, Slot, duties
from mindguard.errors import MindGuardError, one_line
from mindguard.fetch import FetchFailed, download
from mindguard.settings import Settings, settings_path
from mindguard.settings.rota import PersonSettings
from mindguard.work_limit import within_work

_DAY = timedelta(days=1)
WORK_S = 2.0
"""Processor time in seconds for all days of a calendar, while an alert waits for it. To read it may take twice that,
which is enough for some 8,000 events."""

_MOST_A_DAY = 96
"""Number of events that may overlap one day: more than any rota has, and what a gap check can compare."""

_SEARCH_S = 0.3
"""Processor time in seconds for each event, when one is at fault and the search for it goes through them."""

_TENTATIVE, _VACANT = (timedelta(days=days).total_seconds() for days in (36500, 73000))
"""Added to the precedence of events that are not certain yet, or of which nobody is left: any other counts before."""

_BETWEEN_NAMES = re.compile(r"[,，、;；/]")
_BEFORE_NAMES = re.compile(r"[:：]")


class RotaUnreadable(MindGuardError):
    """The calendar in `rota.ical` cannot be read or is not a valid one."""


def load_rota(settings: Settings, *, work_s: float = WORK_S) -> Rota | None:
    """Return the rota that the settings describe, or None if they have none. A calendar is read again each time.

    Args:
        settings: the settings.
        work_s: see `plan_of`.

    Raises:
        RotaUnreadable: its calendar cannot be read. The rota's own questions raise it too; see `plan_of`.
    """
    rota = settings.rota
    if rota is None:
        return None
    if rota.ical is None:
        return Rota.of(rota, settings.zone)
    return Rota.of(rota, settings.zone, plan_of(_read(rota.ical), rota.people, settings.zone, work_s=work_s))


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


def plan_of(ical: bytes, people: Iterable[PersonSettings], zone: ZoneInfo, *, work_s: float = WORK_S) -> Plan:
    """Return the plan in a calendar, including recurring events. If events overlap, the shortest one counts.

    Some events show only on some days that they cannot be expanded. The plan then raises `RotaUnreadable`, which names
    the event, for that day and, since the library may be stuck after it, for every other day.

    Args:
        ical: content of the calendar.
        people: the people who may be named.
        zone: time zone of whole days and of times without a zone.
        work_s: processor time in seconds for all days together; reading the calendar may take twice that.

    Raises:
        RotaUnreadable: it is not a valid calendar, or one of its events has no valid time.
    """
    emails = {person.email.casefold(): person.name for person in people if person.email}
    known = {person.name: person.name for person in people} | emails
    try:
        events, calendar = within_work(2 * work_s, lambda: _opened(ical, zone))
    except Exception as error:  # An invalid file can fail anywhere inside the two libraries.
        # It must fail here, not while an alert is being sent.
        raise RotaUnreadable(
            f"rota.ical: not a valid calendar: {one_line(str(error))}", hint="export it again as iCal (.ics)"
        ) from error
    left_s = work_s
    failed: RotaUnreadable | None = None

    def planned(day: date) -> list[Slot]:
        nonlocal left_s, failed
        if failed:
            raise failed
        began = clock.thread_time()
        try:
            return within_work(left_s, lambda: _of_day(events, known, zone, day))
        except Exception as error:
            # The library keeps a lock when an expansion fails, so it must not be asked again.
            failed = RotaUnreadable(
                f"rota.ical: {_culprit(calendar, known, zone, day) or 'the events'} cannot be expanded "
                f"for {day}: {one_line(str(error)) or type(error).__name__}",
                hint="correct the event's times or its recurrence rule",
            )
            raise failed from error
        finally:
            left_s -= clock.thread_time() - began

    return planned


def _opened(ical: bytes, zone: ZoneInfo) -> tuple[Any, Any]:
    """Return the query for a calendar's events, and the calendar."""
    from icalendar import Calendar
    from recurring_ical_events import of

    calendar: Any = Calendar.from_ical(ical)
    for event in calendar.walk("VEVENT"):
        _moment(event.start, zone), _moment(event.end, zone)
    return of(calendar), calendar


def _of_day(events: Any, known: Mapping[str, str], zone: ZoneInfo, day: date) -> list[Slot]:
    begins, ends = (_moment(each, zone) for each in (day, day + _DAY))
    # One more day on either side, since the library compares times without a zone as if they had the other's zone.
    slots = [_slot(event, known, zone) for event in events.between(begins - _DAY, ends + _DAY)]
    found = [slot for slot in slots if slot and slot.begins < ends and slot.ends > begins]
    if len(found) > _MOST_A_DAY:
        raise RotaUnreadable(f"{len(found)} events on one day, and at most {_MOST_A_DAY} are compared")
    return found


def _culprit(calendar: Any, known: Mapping[str, str], zone: ZoneInfo, day: date) -> str:
    """Return the name of the event that cannot be expanded by itself; empty if there is none."""
    from icalendar import Calendar
    from recurring_ical_events import of

    series: dict[str, list[Any]] = defaultdict(list)
    for event in calendar.walk("VEVENT"):
        series[str(event.get("UID", ""))].append(event)
    began = clock.thread_time()
    for uid, events in series.items():
        alone = Calendar()
        if "X-WR-TIMEZONE" in calendar:
            alone["X-WR-TIMEZONE"] = calendar["X-WR-TIMEZONE"]
        for event in events:
            alone.add_component(event)
        try:
            within_work(_SEARCH_S, lambda of_one=alone: _of_day(of(of_one), known, zone, day))  # type: ignore[misc]
        except Exception:  # noqa: BLE001 - this is what is looked for
            return f"the event “{one_line(str(events[0].get('SUMMARY', ''))) or one_line(uid)}”"
        if clock.thread_time() - began > WORK_S:
            break
    return ""


def _slot(event: Any, known: Mapping[str, str], zone: ZoneInfo) -> Slot | None:
    begins, ends = _moment(event.start, zone), _moment(event.end, zone)
    status = str(event.get("STATUS", "")).upper()
    if status == "CANCELLED" or begins >= ends:
        return None
    summary = str(event.get("SUMMARY", ""))
    *before, after = _BEFORE_NAMES.split(summary)
    shift = next(iter(event.categories), before[0].strip() if before else "")
    named = tuple(name for part in _BETWEEN_NAMES.split(after) if (name := part.strip()))
    invited, declined = _attendees(event, known)
    if invited and declined.issuperset(invited):
        in_summary = tuple(name for name in named if name in known.values() and name not in declined)
        invited = tuple(dict.fromkeys((*in_summary, *invited)))
    names = invited or named or ("(no name)",)
    # A swap that is not certain yet, or was declined, must not replace who is certainly on duty.
    later = (_TENTATIVE if status == "TENTATIVE" else 0) + (_VACANT if declined.issuperset(names) else 0)
    precedence = (ends - begins).total_seconds() + later
    return Slot(begins, ends, str(shift), names, precedence, tuple(name for name in names if name in declined))


def _attendees(event: Any, known: Mapping[str, str]) -> tuple[tuple[str, ...], set[str]]:
    """Return the known people who are invited, primary first, and those of them who are not to be called."""
    attendees = [each for each in event.attendees if _can_be_called(each, known)]
    # Python's sort is stable: optional attendees come last, in the event's order.
    attendees.sort(key=lambda each: _parameter(each, "ROLE") == "OPT-PARTICIPANT")
    by_address = {**known, **{_address(each): name for each in attendees if (name := _known_as(each, known))}}
    invited: dict[str, None] = {}
    declined: set[str] = set()
    for each in attendees:
        name = _known_as(each, known)
        if name:
            invited[name] = None
        state = _parameter(each, "PARTSTAT")
        if state in ("DECLINED", "DELEGATED") and name:
            declined.add(name)
        if state == "DELEGATED":
            # The delegate has the place of the other, unless there is an answer of the delegate's own.
            invited |= dict.fromkeys(by_address[to] for to in map(_address, _delegates(each)) if to in by_address)
    return tuple(invited), declined


def _can_be_called(attendee: Any, known: Mapping[str, str]) -> bool:
    """Return whether an attendee is a person, or a group that the rota knows as if it were one."""
    kind = _parameter(attendee, "CUTYPE")
    group = kind == "GROUP" and not _known_as(attendee, known)
    return kind not in ("ROOM", "RESOURCE") and not group and _parameter(attendee, "ROLE") != "NON-PARTICIPANT"


def _known_as(attendee: Any, known: Mapping[str, str]) -> str:
    """Return the person's name in the rota, by the address or otherwise by the name; empty if it is not known."""
    return known.get(_address(attendee)) or known.get(str(attendee.params.get("CN", "")).strip(), "")


def _address(attendee: Any) -> str:
    return str(attendee).strip().casefold().removeprefix("mailto:")


def _delegates(attendee: Any) -> list[Any]:
    to = attendee.params.get("DELEGATED-TO", [])
    return [to] if isinstance(to, str) else list(to)


def _parameter(attendee: Any, name: str) -> str:
    return str(attendee.params.get(name, "")).upper()


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
