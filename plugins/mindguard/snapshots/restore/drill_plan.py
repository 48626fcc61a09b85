"""Drills in parts, as pure decisions: which snapshot is worked through, and which of its tables are rebuilt today."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mindguard.settings.snapshot import DrillSettings
from mindguard.snapshots.storage.drills import DrillPart, since_fault
from mindguard.snapshots.storage.manifest import Manifest, Table

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DayPlan:
    """What one day's drill rebuilds.

    Attributes:
        tables: names of the tables.
        bytes: their stored bytes.
        days: days that the rest and this will take, this one included.
        days_left: days that are left for it.
        exceeds: whether more than the limit is rebuilt, or the rest would take too long.
    """

    tables: tuple[str, ...]
    bytes: int
    days: int
    days_left: int
    exceeds: bool


def standing(
    parts: Sequence[DrillPart], *, now: datetime, every_days: int, damaged_at: datetime | None
) -> list[DrillPart]:
    """Return those parts of a snapshot's drill that still say something about it, oldest first.

    Nothing counts from before a table could not be restored or an object was found damaged; nor if the work was begun
    so long ago that its proof would be about stored bytes of another time: more than twice `every_days`.

    Args:
        parts: what drills have recorded about the snapshot, oldest first.
        now: the present time, aware.
        every_days: days within which every table is rebuilt.
        damaged_at: when an object of the snapshot was last found damaged, aware; None: none was.
    """
    earliest = max(now - 2 * every_days * _DAY, damaged_at or now - 2 * every_days * _DAY)
    return [part for part in since_fault(parts) if earliest <= part.drilled_at <= now and part.drilled_at != damaged_at]


def choose_snapshot(newest: str, begun: Mapping[str, Sequence[DrillPart]], proven: Collection[str]) -> str:
    """Choose the newest snapshot that is being worked through, or else the newest of all.

    Args:
        newest: id of the newest snapshot.
        begun: what is `standing` of the drills of snapshots that are there.
        proven: ids of the snapshots that are proven.
    """
    return max((each for each, parts in begun.items() if parts and each not in proven), default=newest)


def plan_day(
    manifest: Manifest, done: Collection[str], settings: DrillSettings, *, begun: datetime | None, now: datetime
) -> DayPlan:
    """Plan which tables are rebuilt today.

    As many tables as fit into `max_gb` are rebuilt together, the largest first; one that does not fit is rebuilt
    alone. If the rest would then not be done within `every_days` since the work was begun, as much more is rebuilt
    each day as is needed for that.

    Args:
        manifest: the snapshot.
        done: names of the tables that are rebuilt already.
        settings: the limits; `max_gb` must be given.
        begun: when the first part was rebuilt, aware; None: today's is the first.
        now: the present time, aware.
    """
    units = [unit for unit in _units(manifest) if not {table.name for table in unit} <= set(done)]
    past = round((now - begun) / _DAY) if begun else 0
    days_left = max(1, settings.every_days - past)
    limit = int((settings.max_gb or 0) * 1e9)
    packed = _packed(units, limit)
    if len(packed) > days_left:
        low, high = limit, sum(map(_size, units))  # what does not suffice, and what does
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if len(_packed(units, middle)) <= days_left else (middle, high)
        packed = _packed(units, high)
    today = [table for unit in packed[0] for table in unit] if packed else []
    size = _size(today)
    return DayPlan(tuple(table.name for table in today), size, len(packed), days_left, size > limit)


def _units(manifest: Manifest) -> list[list[Table]]:
    """Return the tables that must be rebuilt together, each list largest first.

    Which large objects belong to the snapshot is known only from the tables that may refer to them.
    """
    if not manifest.large_objects:
        return [[table] for table in manifest.tables]
    referring = [table for table in manifest.tables if any(_may_refer(column.type) for column in table.columns)]
    others = [table for table in manifest.tables if table not in referring]
    return [[*referring, manifest.large_objects], *([table] for table in others)]


def _may_refer(column_type: str) -> bool:
    """Return whether a column of this type may refer to a large object; a domain, whose name has a schema, may."""
    return column_type == "oid" or "." in column_type


def _size(tables: Sequence[Table]) -> int:
    return sum(table.stored_bytes for table in tables)


def _packed(units: Sequence[list[Table]], limit: int) -> list[list[list[Table]]]:
    """Put units into as many days as the limit needs: each, largest first, into the first day that has room for it.

    A day's units do not decide where the others go, so the plan of the next day is the rest of this one.
    """
    days: list[list[list[Table]]] = []
    room: list[int] = []
    for unit in sorted(units, key=lambda each: (-_size(each), each[0].name)):
        size = _size(unit)
        number = next((number for number, left in enumerate(room) if size <= max(left, 0)), None)
        if number is None:
            number = len(days)
            days.append([])
            room.append(limit)
        days[number].append(unit)
        room[number] -= size
    return days
