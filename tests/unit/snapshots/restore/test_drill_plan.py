"""Drills in parts: which snapshot is worked through, and what is rebuilt on which day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mindguard.settings.snapshot import DrillSettings
from mindguard.snapshots.restore.drill_plan import DayPlan, choose_snapshot, plan_day, standing
from mindguard.snapshots.storage.drills import DrillPart
from mindguard.snapshots.storage.manifest import Column, Manifest, Part, StoredObject, Table
from tests.unit.snapshots.fakes import IDENTITY, NOW

DAY = timedelta(days=1)
MB = 1_000_000


def table(name: str, mb: int, *, kind: Any = "table", type: str = "bigint") -> Table:
    part = Part(key=f"p/parts/{name}/x.parquet", sha256="0" * 64, bytes=max(mb, 1) * MB, rows=1, fingerprint="0" * 32)
    return Table(
        name=name,
        kind=kind,
        columns=(Column(name="id", type=type, encoding="native"),),
        part_by="id",
        rows=1,
        fingerprint="0" * 32,
        parts=(part,) if mb else (),
    )


def snapshot(*sizes: int, **more: Any) -> Manifest:
    """A snapshot whose tables t0, t1, … have these megabytes."""
    tables = tuple(table(f"public.t{number}", mb) for number, mb in enumerate(sizes))
    dump = StoredObject(key="p/schema/x.dump", sha256="0" * 64, bytes=1)
    known = {"snapshot_id": "s", "taken_at": NOW, "source": IDENTITY, "tables": tables, "schema_dump": dump}
    return Manifest(**known | more)


def limits(mb: float, every_days: int = 7) -> DrillSettings:
    return DrillSettings(max_gb=mb / 1000, every_days=every_days)


def work_through(manifest: Manifest, drill: DrillSettings, *, failing: frozenset[int] = frozenset()) -> list[DayPlan]:
    """The plans of successive days, of which some do not come to anything."""
    done: set[str] = set()
    begun, plans = None, []
    for day in range(60):
        now = NOW + day * DAY
        plan = plan_day(manifest, done, drill, begun=begun, now=now)
        if not plan.tables:
            return plans
        if day not in failing:
            done |= set(plan.tables)
            begun = begun or now
            plans.append(plan)
    raise AssertionError("it never ends")


def short(plans: list[DayPlan]) -> list[list[str]]:
    return [[name.removeprefix("public.") for name in plan.tables] for plan in plans]


def test_whole_tables_fill_each_day_the_largest_first() -> None:
    plans = work_through(snapshot(30, 50, 20, 60, 40), limits(100))
    assert short(plans) == [["t3", "t4"], ["t1", "t0", "t2"]]
    assert [(plan.bytes, plan.exceeds) for plan in plans] == [(100 * MB, False)] * 2
    assert [(plan.days, plan.days_left) for plan in plans] == [(2, 7), (1, 6)]


def test_a_table_beyond_the_limit_is_rebuilt_alone() -> None:
    plans = work_through(snapshot(500, 50, 20), limits(100))
    assert short(plans) == [["t0"], ["t1", "t2"]]
    assert [plan.exceeds for plan in plans] == [True, False]


def test_if_it_takes_too_long_more_is_rebuilt_each_day() -> None:
    plans = work_through(snapshot(*[50] * 20), limits(60, 5))
    assert [len(plan.tables) for plan in plans] == [4] * 5
    assert all(plan.exceeds for plan in plans)


def test_what_failed_days_leave_is_made_up_for_in_time() -> None:
    plans = work_through(snapshot(*[50] * 6), limits(60, 6), failing=frozenset({1, 2, 3}))
    assert [len(plan.tables) for plan in plans] == [1, 3, 2]
    late = work_through(snapshot(*[50] * 6), limits(60, 6), failing=frozenset(range(1, 9)))
    assert [len(plan.tables) for plan in late] == [1, 5], "all at once when the time is over"


def test_an_empty_table_is_rebuilt_with_the_others() -> None:
    assert short(work_through(snapshot(50, 0), limits(60))) == [["t0", "t1"]]
    assert short(work_through(snapshot(90, 0), limits(60))) == [["t0", "t1"]]
    assert short(work_through(snapshot(0), limits(60))) == [["t0"]]


def test_large_objects_are_rebuilt_with_the_tables_that_may_refer_to_them() -> None:
    tables = (table("public.a", 10, type="oid"), table("public.b", 10), table("public.c", 10, type="public.lo"))
    objects = table("pg_catalog.pg_largeobject", 10, kind="large objects", type="oid")
    (first, second) = work_through(snapshot(tables=tables, large_objects=objects), limits(15))
    assert set(first.tables) == {"public.a", "public.c", "pg_catalog.pg_largeobject"}
    assert second.tables == ("public.b",)


@settings(max_examples=200, deadline=None)
@example(sizes=[1, 1, 1, 1], mb=1, every_days=3)
@given(
    sizes=st.lists(st.integers(0, 200), min_size=1, max_size=25), mb=st.integers(1, 300), every_days=st.integers(1, 10)
)
def test_every_table_is_rebuilt_once_within_every_days(sizes: list[int], mb: int, every_days: int) -> None:
    plans = work_through(snapshot(*sizes), limits(mb, every_days))
    rebuilt = [name for plan in plans for name in plan.tables]
    assert len(plans) <= every_days
    assert sorted(rebuilt) == sorted(f"public.t{number}" for number in range(len(sizes)))
    done: list[str] = []
    for plan in plans:
        if plan.exceeds:
            # Only if one table is larger, or the days would not suffice.
            alone = sum(bool(sizes[int(name.removeprefix("public.t"))]) for name in plan.tables) == 1
            unhurried = plan_day(snapshot(*sizes), done, limits(mb, 90), begun=None, now=NOW)
            assert alone or unhurried.days > plan.days_left
        else:
            assert plan.bytes <= mb * MB
        done += plan.tables


def part(days_ago: float, fault: str | None = None) -> DrillPart:
    return DrillPart(
        snapshot_id="s", drilled_at=NOW - days_ago * DAY, seconds=1, tables={}, server_version=1, fault=fault
    )


@pytest.mark.parametrize(
    ("parts", "damaged", "standing_since"),
    [
        ([], None, []),
        ([part(3), part(2)], None, [3, 2]),
        ([part(3), part(2), part(1, "damaged")], None, []),
        ([part(3), part(2, "damaged"), part(1)], None, [1]),
        ([part(3), part(1)], 2, [1]),
        ([part(3), part(1)], 0.5, []),
        ([part(3), part(1)], 9, [3, 1]),
        ([part(14.1), part(14), part(1)], None, [14, 1]),
        ([part(1), part(-1)], None, [1]),
    ],
)
def test_nothing_counts_from_before_a_fault_or_damage_or_from_long_ago(
    parts: list[DrillPart], damaged: float | None, standing_since: list[float]
) -> None:
    damaged_at = None if damaged is None else NOW - damaged * DAY
    found = standing(parts, now=NOW, every_days=7, damaged_at=damaged_at)
    assert [(NOW - each.drilled_at) / DAY for each in found] == pytest.approx(standing_since)


@pytest.mark.parametrize(
    ("begun", "proven", "chosen"),
    [
        ({}, (), "c"),
        ({"a": [part(3)]}, (), "a"),
        ({"a": [part(3)], "b": [part(2)]}, (), "b"),
        ({"a": [part(3)]}, ("a",), "c"),
        ({"a": [], "c": []}, (), "c"),
    ],
)
def test_what_was_begun_is_worked_through_before_the_newest(
    begun: dict[str, list[DrillPart]], proven: tuple[str, ...], chosen: str
) -> None:
    assert choose_snapshot("c", begun, proven) == chosen
