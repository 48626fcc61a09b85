"""The gate: what a table must not lose from one snapshot to the next, and when it may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mindguard.settings.snapshot import GateSettings
from mindguard.snapshots.export.gate import suspicions
from mindguard.snapshots.storage.manifest import Column, Manifest, SourceIdentity, StoredObject, Table

ID = Column(name="id", type="bigint", encoding="native")
NOTE = Column(name="note", type="text", encoding="native")
DEFAULT = GateSettings()


def table(rows: int = 1000, columns: tuple[Column, ...] = (ID, NOTE), name: str = "public.t") -> Table:
    return Table(name=name, kind="table", columns=columns, part_by="id", rows=rows, fingerprint="0" * 32, parts=())


def last_good(*tables: Table) -> Manifest:
    return Manifest(
        snapshot_id="20261118T180003Z-5f0c1d",
        taken_at=datetime(2026, 11, 18, 18, 0, 3, tzinfo=UTC),
        source=SourceIdentity(
            database="d", server_version=180006, system_identifier=None, lsn="0/1", exported_snapshot="3-1"
        ),
        tables=tables,
        schema_dump=StoredObject(key="c", sha256="c3" * 32, bytes=5),
    )


def changed(**changes: Any) -> Column:
    return NOTE.model_copy(update=changes)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (1000, 0, "public.t is empty, it had 1,000 rows"),
        (1, 0, "public.t is empty, it had 1 rows"),
        (1000, 499, "public.t has 499 rows, it had 1,000"),
        (12345, 1, "public.t has 1 rows, it had 12,345"),
    ],
)
def test_rows_that_are_gone_are_suspicious(before: int, now: int, message: str) -> None:
    assert suspicions([table(now)], last_good(table(before)), DEFAULT) == (message,)


@pytest.mark.parametrize(("before", "now"), [(1000, 500), (1000, 1000), (1000, 10**9), (0, 0), (0, 5), (1, 1)])
def test_growth_and_a_share_that_may_go_are_not(before: int, now: int) -> None:
    assert suspicions([table(now)], last_good(table(before)), DEFAULT) == ()


@pytest.mark.parametrize(("max_shrink", "suspicious"), [(0.09, True), (0.1, False), (1, False)])
def test_the_share_is_a_setting(max_shrink: float, *, suspicious: bool) -> None:
    found = suspicions([table(900)], last_good(table(1000)), GateSettings(max_shrink=max_shrink))
    assert bool(found) is suspicious


def test_an_empty_table_is_suspicious_whatever_may_shrink() -> None:
    assert suspicions([table(0)], last_good(table()), GateSettings(max_shrink=1)) != ()


@pytest.mark.parametrize(
    ("columns", "gone", "new"),
    [
        ((ID,), "note text", "none"),
        ((ID, NOTE, changed(name="more")), "none", "more text"),
        ((ID, changed(type="character varying(9)")), "note text", "note character varying(9)"),
        ((ID, changed(name="remark")), "note text", "remark text"),
        ((), "id bigint, note text", "none"),
    ],
)
def test_other_columns_are_suspicious(columns: tuple[Column, ...], gone: str, new: str) -> None:
    found = suspicions([table(columns=columns)], last_good(table()), DEFAULT)
    assert found == (f"public.t has other columns: gone {gone}; new {new}",)


def test_what_leaves_name_and_type_is_not() -> None:
    columns = (changed(not_null=True, default="''", collation="public.german", encoding="text"), ID)
    assert suspicions([table(columns=columns)], last_good(table()), DEFAULT) == ()


def test_a_table_may_be_suspicious_for_both_and_each_for_itself() -> None:
    now = [table(0, (ID,)), table(name="public.fine"), table(1, name="public.u")]
    found = suspicions(now, last_good(table(), table(name="public.fine"), table(name="public.u")), DEFAULT)
    assert [line.split(",")[0] for line in found] == [
        "public.t is empty",
        "public.t has other columns: gone note text; new none",
        "public.u has 1 rows",
    ]


def test_an_expected_change_is_let_through_and_no_other() -> None:
    now = [table(0, (ID,)), table(0, name="public.u")]
    before = last_good(table(), table(name="public.u"))
    assert suspicions(now, before, GateSettings(expected=("public.t",))) == ("public.u is empty, it had 1,000 rows",)


def test_nothing_to_compare_with_is_not_suspicious() -> None:
    assert suspicions([table(0)], None, DEFAULT) == ()
    assert suspicions([table(0, name="public.new")], last_good(table()), DEFAULT) == ()
