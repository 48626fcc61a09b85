"""The rota: who is on duty at a moment, who is next, and whether somebody is on duty in every minute. Pure.

Source: operations document, section 4.3: workdays 09:00 to 23:00 in turn, the night from 23:00 to 09:00 by the night
team, weekends on call with a backup.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Person
from mindguard.alerts.texts import TEXTS
from mindguard.settings.rota import Day, OverrideSettings, RotaSettings, ShiftSettings
from mindguard.workdays import Workdays

_WEEKDAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_LOOK_AHEAD = timedelta(days=31)
"""The span in which the next turn is searched: longer than any holiday."""


@dataclass(frozen=True)
class Slot:
    """A period for which people are planned, from `begins` until just before `ends` (both UTC).

    Attributes:
        shift: name of the shift; empty if it has none.
        names: names of the people, primary first; the rota may not know all of them.
        precedence: if slots overlap, the one with the lowest value counts.
        declined: those of the people who declined, or gave the slot away. They are never called for it.
    """

    begins: datetime
    ends: datetime
    shift: str
    names: tuple[str, ...]
    precedence: float
    declined: tuple[str, ...] = ()


Plan = Callable[[date], Sequence[Slot]]
"""A function that returns the slots that overlap a day of the rota's time zone."""


@dataclass(frozen=True)
class Duty:
    """The people on duty, and the period for which they are.

    Attributes:
        people: the people on duty, primary first, then backups; empty if nobody is on duty.
        shift: name of the shift.
        since, until: aware, in the rota's time zone. If no shift is planned, `since` is the moment in question, and
            `until` is when one begins, or how far the search went.
        declined: names of those who declined it. They are never called for it.
        vacant: whether a shift is planned of which nobody is left or known. The whole group is called then.
    """

    people: tuple[Person, ...]
    shift: str
    since: datetime
    until: datetime
    declined: tuple[str, ...] = ()
    vacant: bool = False


@dataclass(frozen=True)
class Gap:
    """A period in which the rota does not say clearly who is on duty. Both times are aware, in the rota's time zone."""

    kind: Literal["nobody", "overlap", "unknown person"]
    begins: datetime
    ends: datetime
    text: str

    def __str__(self) -> str:
        return f"{self.begins:%Y-%m-%d %H:%M} to {self.ends:%Y-%m-%d %H:%M}: {self.text}"


@dataclass(frozen=True)
class Rota:
    """People, what is planned for them, and changes to the plan. Days that were looked up are remembered."""

    zone: ZoneInfo
    people: dict[str, Person]
    plan: Plan
    overrides: tuple[OverrideSettings, ...] = ()
    workdays: Workdays | None = None
    """Set if the plan depends on the kind of day."""
    _days: dict[date, tuple[Slot, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: RotaSettings, zone: ZoneInfo, plan: Plan | None = None) -> Rota:
        """Return the rota of the settings' shifts, or of another plan."""
        people = {
            person.name: Person(person.name, person.feishu_id or "", person.phone or "") for person in settings.people
        }
        if plan:
            return cls(zone, people, plan, settings.overrides)
        workdays = Workdays.of(settings.calendar)
        shifts = [_Shift(shift, workdays, zone, order) for order, shift in enumerate(settings.shifts)]

        def planned(day: date) -> list[Slot]:
            begun = ((shift, begins) for shift in shifts for begins in (day - _DAY, day))
            return [slot for shift, begins in begun if (slot := shift.slot(begins))]

        by_kind = any(not {"workday", "weekend", "holiday"}.isdisjoint(shift.days) for shift in settings.shifts)
        return cls(zone, people, planned, settings.overrides, workdays if by_kind else None)

    def slots(self, start: datetime, end: datetime) -> list[Slot]:
        """Return the slots that overlap a period; if several overlap each other, the one that counts comes first."""
        day, last = start.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        found: dict[Slot, None] = {}
        while day <= last:
            found.update(dict.fromkeys(self._of_day(day)))
            day += _DAY
        overlapping = (slot for slot in found if slot.begins < end and slot.ends > start)
        return sorted(overlapping, key=lambda slot: (slot.precedence, slot.begins, slot.names))

    def _of_day(self, day: date) -> tuple[Slot, ...]:
        if day not in self._days:
            self._days[day] = tuple(self._overridden(slot) for slot in self.plan(day))
        return self._days[day]

    def _overridden(self, slot: Slot) -> Slot:
        day = slot.begins.astimezone(self.zone).date()
        names = slot.names
        for override in self.overrides:
            if override.first <= day <= (override.last or override.first) and override.shift in (None, slot.shift):
                names = _changed(names, override)
        return replace(slot, names=names)


def _changed(names: tuple[str, ...], override: OverrideSettings) -> tuple[str, ...]:
    """Return the names after an override; those who declined are among them, so that somebody can replace them."""
    if override.swap:
        one, other = override.swap
        places = {one: other, other: one}
        return tuple(places.get(name, name) for name in names)
    replaced = override.instead_of or names[0]
    if override.person is None or replaced not in names:
        return names
    changed = [override.person if name == replaced else name for name in names]
    return tuple(dict.fromkeys(changed))  # a backup who takes over is named once


class _Shift:
    """One shift of the settings: its slots, and whose turn each of them is."""

    def __init__(self, settings: ShiftSettings, workdays: Workdays, zone: ZoneInfo, order: int) -> None:
        self._settings = settings
        self._workdays = workdays
        self._zone = zone
        self._order = order
        self._rotation = [(turn,) if isinstance(turn, str) else turn for turn in settings.rotation]
        self._begins = time.fromisoformat(settings.begins)
        self._ends = time.fromisoformat(settings.ends.replace("24:00", "00:00"))
        self._years: dict[int, list[date]] = {}

    def slot(self, day: date) -> Slot | None:
        """Return the slot that begins on this day; None if there is none, or if the clocks skip it."""
        if not self._has(day):
            return None
        last = day if self._ends > self._begins else day + _DAY
        begins, ends = _instant(day, self._begins, self._zone), _instant(last, self._ends, self._zone)
        return Slot(begins, ends, self._settings.name, self._names(day), self._order) if begins < ends else None

    def _has(self, day: date) -> bool:
        return not {"everyday", self._workdays.kind(day), _WEEKDAYS[day.weekday()]}.isdisjoint(self._settings.days)

    def _names(self, day: date) -> tuple[str, ...]:
        turn = self._position(day) - self._position(self._settings.starting)
        names = self._rotation[turn % len(self._rotation)]
        if self._settings.backup == "next":
            backups: tuple[str, ...] = self._rotation[(turn + 1) % len(self._rotation)]
        else:
            backups = self._settings.backup
        return tuple(dict.fromkeys((*names, *backups)))

    def _position(self, day: date) -> int:
        """Return how many turns lie between the beginning of the first turn's year and this day.

        Turns are counted, not days, so that everybody has equally many of them, whenever the holidays are.
        """
        first = self._settings.starting
        begins = day if self._settings.rotate == "daily" else day - timedelta(days=(day - first).days % 7)
        whole = sum(len(self._turns(year)) for year in range(first.year, begins.year))
        whole -= sum(len(self._turns(year)) for year in range(begins.year, first.year))
        return whole + bisect_left(self._turns(begins.year), begins)

    def _turns(self, year: int) -> list[date]:
        """Return the days of a year on which a turn begins: days of the shift, or first days of weeks that have one."""
        if year not in self._years:
            length = 1 if self._settings.rotate == "daily" else 7
            day = date(year, 1, 1)
            if length > 1:
                day += timedelta(days=(self._settings.starting - day).days % 7)
            turns = []
            while day.year == year:
                if any(self._has(day + timedelta(days=n)) for n in range(length)):
                    turns.append(day)
                day += timedelta(days=length)
            self._years[year] = turns
        return self._years[year]


def _instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """Return the first moment (UTC) at which the clocks of a zone show this time or a later one."""
    local = datetime.combine(day, clock, zone)
    found = local.astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return found
    # The clocks skip this time, between these two moments and at a full minute.
    early, late = local.replace(fold=1).astimezone(UTC), found
    while late - early >= timedelta(minutes=2):
        middle = early + (late - early) // timedelta(minutes=2) * timedelta(minutes=1)
        if middle.astimezone(zone).replace(tzinfo=None) < local.replace(tzinfo=None):
            early = middle
        else:
            late = middle
    return late


def on_duty(rota: Rota, at: datetime) -> Duty:
    """Return who is on duty at a moment.

    Args:
        rota: the rota.
        at: the moment, aware.

    Raises:
        ValueError: the moment has no time zone.
    """
    if at.utcoffset() is None:
        raise ValueError(f"{at!r} has no time zone")
    at = at.astimezone(UTC)
    present = next((slot for slot in rota.slots(at, at + timedelta.resolution)), None)
    if present is None:
        until = min((slot.begins for slot in rota.slots(at, at + _LOOK_AHEAD)), default=at + _LOOK_AHEAD)
        return Duty((), "", at.astimezone(rota.zone), until.astimezone(rota.zone))
    since, until = present.begins, present.ends
    for slot in rota.slots(since, until):
        if slot == present:
            break
        # A slot that takes precedence over the present one and overlaps it is over already, or begins later.
        since, until = (max(since, slot.ends), until) if slot.ends <= at else (since, min(until, slot.begins))
    known = [rota.people[name] for name in present.names if name in rota.people and name not in present.declined]
    people = tuple(replace(person, role="backup" if n else "primary") for n, person in enumerate(known))
    since, until = since.astimezone(rota.zone), until.astimezone(rota.zone)
    return Duty(people, present.shift, since, until, present.declined, vacant=not people)


def duties(rota: Rota, start: datetime, end: datetime) -> Iterator[Duty]:
    """Yield every duty that overlaps a period, in order and without gaps; a duty without people means nobody."""
    # In UTC, since Python compares times of the same zone by the clock, which shows one hour twice in autumn.
    at, end = start.astimezone(UTC), end.astimezone(UTC)
    while at < end:
        duty = on_duty(rota, at)
        yield duty
        at = duty.until.astimezone(UTC)


def next_in_line(rota: Rota, at: datetime, step: int) -> tuple[Person, ...]:
    """Return whom to call: at step 0 the person on duty, then the backups, then those with the next turns, and so on.

    Who declined the present duty is not called for it, even with the next turn. The result is empty if nobody is left
    of the present duty, or has a turn within a month.
    """
    line: dict[str, Person] = {}
    declined: tuple[str, ...] = ()
    for number, duty in enumerate(duties(rota, at, at + _LOOK_AHEAD)):
        if not number:
            declined = duty.declined
            if duty.vacant:
                return ()
        for person in duty.people[: 1 if number else None]:
            if person.name not in declined:
                line.setdefault(person.name, person)
        if len(line) > step:
            break
    called = list(line.values())
    return (called[step % len(called)],) if called else ()


def handover_moments(rota: Rota, start: datetime, end: datetime) -> tuple[datetime, ...]:
    """Return when somebody takes over, from `start` until before `end`; aware, in the rota's time zone."""
    found = []
    before: Duty | None = None
    for duty in duties(rota, start.astimezone(UTC) - timedelta.resolution, end):
        changed = before is not None and (duty.people, duty.shift) != (before.people, before.shift)
        if changed and duty.people:
            found.append(duty.since)
        before = duty
    return tuple(found)


def gaps(rota: Rota, start: datetime, days: int = 7) -> tuple[Gap, ...]:
    """Return the faults of the rota from `start` on: nobody on duty, two shifts at the same time, an unknown person."""
    end = (start.astimezone(rota.zone) + timedelta(days=days)).astimezone(UTC)
    slots = rota.slots(start, end)
    found = [
        _gap(rota, "nobody", duty.since, min(duty.until, end), vacancy(duty))
        for duty in duties(rota, start, end)
        if not duty.people
    ]
    for slot in slots:
        if unknown := [name for name in slot.names if name not in rota.people]:
            text = TEXTS.said("gap_unknown", shift=_named(slot.shift), names=", ".join(unknown))
            found.append(_gap(rota, "unknown person", slot.begins, slot.ends, text))
    for one, other in _overlapping(slots):
        begins, ends = max(one.begins, other.begins), min(one.ends, other.ends)
        first, second = (slot.shift or ", ".join(slot.names) for slot in (one, other))
        found.append(_gap(rota, "overlap", begins, ends, TEXTS.said("gap_overlap", one=first, other=second)))
    return tuple(sorted(found, key=lambda gap: (gap.begins, gap.kind)))


def vacancy(duty: Duty) -> str:
    """Return in words why nobody is on duty."""
    if not duty.vacant:
        return TEXTS.said("vacant")
    if not duty.declined:
        return TEXTS.said("vacant_unknown")
    return TEXTS.said("vacant_declined", shift=_named(duty.shift), names=", ".join(duty.declined))


def _named(shift: str) -> str:
    return shift or TEXTS.said("some_event")


def _overlapping(slots: Sequence[Slot]) -> Iterator[tuple[Slot, Slot]]:
    """Yield the pairs of slots that overlap, the one that counts first; only slots of the same time are compared."""
    places = {slot: place for place, slot in enumerate(slots)}
    lasting: list[Slot] = []
    for slot in sorted(slots, key=lambda each: each.begins):
        lasting = [each for each in lasting if each.ends > slot.begins]
        for each in lasting:
            one, other = sorted((each, slot), key=places.__getitem__)
            yield one, other
        lasting.append(slot)


def unpublished_years(rota: Rota, start: datetime, days: int = 7) -> list[int]:
    """Return the years whose holidays are not known yet, so that the rota treats them as ordinary days."""
    first = start.astimezone(rota.zone).date()
    return rota.workdays.unpublished([first, first + timedelta(days=days)]) if rota.workdays else []


def unpublished(year: int) -> str:
    """Return the advice for the author of the rota about a year whose holidays are not known."""
    return f"holidays of {year} are not known – update chinesecalendar, or list them in rota.calendar.holidays"


def _gap(
    rota: Rota, kind: Literal["nobody", "overlap", "unknown person"], begins: datetime, ends: datetime, text: str
) -> Gap:
    return Gap(kind, begins.astimezone(rota.zone), ends.astimezone(rota.zone), text)
