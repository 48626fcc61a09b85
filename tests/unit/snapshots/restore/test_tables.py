"""What a restore refuses before it looks at the target, what its plan says, and how a swap is carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from mindguard.snapshots.restore import swap, tables
from mindguard.snapshots.restore.rows import RowFilter
from mindguard.snapshots.restore.shape import Live
from mindguard.snapshots.restore.swap import kept_name
from mindguard.snapshots.restore.tables import Plan, PlannedTable, RestoreRequest, choose_tables
from mindguard.snapshots.restore.target import RestoreRefused, TargetError
from mindguard.snapshots.storage.manifest import Manifest, Table
from mindguard.sql import identifier
from mindguard.units import size
from tests.unit.snapshots.fakes import memory_store, published


@pytest.fixture
def manifest() -> Manifest:
    """A snapshot with the tables public.t, other.t and public.u."""
    found = published(memory_store()[0])
    named = [found.tables[0].model_copy(update={"name": name}) for name in ("public.t", "other.t", "public.u")]
    return found.model_copy(update={"tables": tuple(named)})


def test_tables_are_chosen_by_name_in_the_snapshots_order(manifest: Manifest) -> None:
    chosen = [
        [table.name for table in choose_tables(manifest, names)] for names in ((), ("u", "public.t"), ("public.u", "u"))
    ]
    assert chosen == [["public.t", "other.t", "public.u"], ["public.t", "public.u"], ["public.u"]]


@pytest.mark.parametrize(("name", "why"), [("t", "more than one table t"), ("v", "no table v")])
def test_an_unclear_or_unknown_name_is_refused(name: str, why: str, manifest: Manifest) -> None:
    with pytest.raises(RestoreRefused, match=f"has {why} – it has public.t, other.t, public.u"):
        choose_tables(manifest, [name])


def test_an_error_names_only_the_first_of_many_tables(manifest: Manifest) -> None:
    many = [manifest.tables[0].model_copy(update={"name": f"{s}.t{n}"}) for n in range(300) for s in ("a", "b")]
    manifest = manifest.model_copy(update={"tables": tuple(many)})
    with pytest.raises(RestoreRefused, match=r"it has a.t0, b.t0, a.t1, b.t1, a.t2, and 595 more$"):
        choose_tables(manifest, ["v"])
    nobody: Any = None
    with pytest.raises(RestoreRefused, match="two tables called t0, t1, t10, t100, t101, and 295 more"):
        tables._plan(nobody, manifest, RestoreRequest())


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (RestoreRequest(), "two tables called t – restore them one after the other"),
        (RestoreRequest(("u",), ("id=1",), swap=True), "a swap with chosen rows would lose all others"),
        (RestoreRequest(("u",), ("id",)), "condition 1 is not COLUMN=VALUE"),
    ],
)
def test_a_contradictory_request_is_refused_before_the_target_is_asked(
    request_: RestoreRequest, why: str, manifest: Manifest
) -> None:
    nobody: Any = None
    with pytest.raises(RestoreRefused, match=why):
        tables._plan(nobody, manifest, request_)


def plan(table: Table, live: Live | None, row_filter: RowFilter | None = None, *, swapping: bool = False) -> list[str]:
    planned = PlannedTable(table, table.parts[:1], row_filter, live)
    return Plan("s1", "db", "restored_s1", swapping, (planned,), schema_exists=False).lines()


def test_a_plan_says_what_is_read_and_what_happens_to_the_live_table(manifest: Manifest) -> None:
    table = manifest.tables[0]
    live = Live(1, identifier("public", "t"), same_columns=True)
    first, read, last = plan(table, live)
    assert first == "snapshot s1 into schema restored_s1 of database db"
    assert read == f"public.t: read 1 of 2 parts, {size(table.parts[0].bytes)}, 2 rows; made like the live table"
    assert last == "live tables stay as they are"
    assert "choose among 2 rows; made from the manifest" in plan(table, None, RowFilter(()))[1]
    assert "which becomes t_before_s1" in plan(table, live, swapping=True)[-1]
    assert plan(table, None, swapping=True)[-1] == "then public.t is put in place, since there is no live table"


class Database:
    """Answers `select_swap` with fixed steps, and keeps what is executed."""

    def __init__(self, steps: list[tuple[int, str]], refused: str = "") -> None:
        self.steps, self.refused = steps, refused
        self.executed: list[str] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    def execute(self, query: Any) -> list[dict[str, Any]]:
        text = query.as_string()
        if "steps.number" in text:
            return [{"number": number, "step": step} for number, step in self.steps]
        if "found.what" in text or "pg_event_trigger" in text:
            return []
        if text == self.refused:
            raise psycopg.errors.ForeignKeyViolation("broken")
        self.executed.append(text.strip())
        return []


def swapped(database: Any, lines: list[str], monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> dict[str, str]:
    live = Live(1, identifier("public", "t"), same_columns=True)
    monkeypatch.setattr(swap, "find_live", lambda connection, table: live if table.name == "public.t" else None)
    restored = {"t": manifest.tables[0], "u": manifest.tables[2]}
    return swap.swap(database, restored, "s", "S-1", lines.append)


def test_steps_of_all_tables_are_carried_out_in_the_order_of_their_numbers(
    monkeypatch: pytest.MonkeyPatch, manifest: Manifest
) -> None:
    database = Database([(9, "grant"), (6, "move t"), (1, "drop constraint")])
    lines: list[str] = []
    kept = swapped(database, lines, monkeypatch, manifest)
    assert kept == {"public.t": f"public.{kept_name('t', 'S-1')}"} == {"public.t": "public.t_before_s_1"}
    lock, *steps = database.executed
    assert lock == 'lock table "public"."t" in access exclusive mode'
    assert steps == ["drop constraint", 'alter table "s"."u" set schema "public"', "move t", "grant"]
    assert lines == [f"swap: {step}" for step in steps]


def test_rows_that_break_a_foreign_key_undo_the_swap(monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> None:
    database = Database([(10, "add constraint")], refused="add constraint")
    monkeypatch.setattr(swap.target, "is_about_rows", lambda error: True)
    with pytest.raises(TargetError, match="swap undone, nothing has changed"):
        swapped(database, [], monkeypatch, manifest)
