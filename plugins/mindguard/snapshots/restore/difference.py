"""Count in SQL how restored rows differ from those of the live table; no value leaves the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.restore.rows import RowFilter
from mindguard.snapshots.storage.manifest import Table
from mindguard.sql import fragment, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable


@dataclass(frozen=True)
class Difference:
    """Counts of rows.

    Attributes:
        only_restored: rows that only the restored table has.
        only_live: rows that only the live table has.
        changed: rows whose key is in both tables with other values. None without a primary key: then a changed row
            counts as one row that is only restored and one that is only live.
        equal: rows that both tables have.
    """

    only_restored: int
    only_live: int
    changed: int | None
    equal: int

    @property
    def to_put_back(self) -> bool:
        """Whether the live table lacks restored rows, or has them otherwise, and has a key by which to tell."""
        return self.changed is not None and bool(self.only_restored or self.changed)

    def __str__(self) -> str:
        changed = "" if self.changed is None else f", {self.changed:,} changed"
        return f"{self.only_restored:,} rows only restored, {self.only_live:,} only live{changed}, {self.equal:,} equal"


def count_difference(
    connection: psycopg.Connection[dict[str, Any]],
    table: Table,
    row_filter: RowFilter | None,
    *,
    restored: Composable,
    live: Composable,
) -> Difference:
    """Compare a restored table with the live one, by primary key if there is one, else by whole rows.

    Args:
        connection: a connection to the database that has both tables.
        table: the snapshot's table.
        row_filter: restricts the comparison to the live rows that match it; None: all rows.
        restored: quoted name of the restored table.
        live: quoted name of the live table.
    """
    columns = joined(", ", [identifier(column.name) for column in table.columns])
    if table.kind != "partitioned table" and table.inherited != "all":
        live = fragment("only {table}", table=live)
    parts = {"columns": columns, "table": restored, "live": live, "range": _condition(row_filter)}
    if table.primary_key:
        key = joined(", ", map(identifier, table.primary_key))
        row = connection.execute(statement("count_difference", key=key, **parts)).fetchone()
    else:
        row = connection.execute(statement("count_difference_keyless", **parts)).fetchone()
    return Difference(**(row or {}))


def _condition(row_filter: RowFilter | None) -> Composable:
    """Return the filter as a condition in SQL."""
    tests = [
        fragment(
            "{column} = any({values}::text[]::{type}[])",
            column=identifier(choice.column.name),
            values=literal(list(choice.values)),
            type=raw(choice.column.type),
        )
        for choice in (row_filter.choices if row_filter else ())
    ]
    return joined(" and ", tests) if tests else raw("true")
