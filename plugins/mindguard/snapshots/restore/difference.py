"""How restored rows differ from the live table's, counted in SQL; no value leaves the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.restore.rows import RowFilter
from mindguard.snapshots.storage.manifest import Table
from mindguard.sql import identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable


@dataclass(frozen=True)
class Difference:
    """Counts of rows. `changed` is None without a primary key: then a changed row counts on either side."""

    only_restored: int
    only_live: int
    changed: int | None
    equal: int

    def __str__(self) -> str:
        changed = "" if self.changed is None else f", {self.changed:,} changed"
        return f"{self.only_restored:,} rows only restored, {self.only_live:,} only live{changed}, {self.equal:,} equal"


def count_difference(
    connection: psycopg.Connection[dict[str, Any]],
    table: Table,
    wanted: RowFilter | None,
    *,
    restored: Composable,
    live: Composable,
) -> Difference:
    """Compare by primary key, and by whole rows where there is none; with `wanted` only the live rows that match."""
    columns = joined(", ", [identifier(column.name) for column in table.columns])
    parts = {"columns": columns, "table": restored, "live": live, "range": _condition(wanted)}
    if table.primary_key:
        key = joined(", ", map(identifier, table.primary_key))
        row = connection.execute(statement("count_difference", key=key, **parts)).fetchone()
    else:
        row = connection.execute(statement("count_difference_keyless", **parts)).fetchone()
    return Difference(**(row or {}))


def _condition(wanted: RowFilter | None) -> Composable:
    """The filter's choices as SQL."""
    tests = [
        identifier(choice.column.name)
        + raw(" = any(")
        + literal(list(choice.values))
        + raw(f"::text[]::{choice.column.type}[])")
        for choice in (wanted.choices if wanted else ())
    ]
    return joined(" and ", tests) if tests else raw("true")
