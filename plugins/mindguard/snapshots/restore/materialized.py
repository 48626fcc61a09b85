"""Fill the materialized views of a rebuilt database that are not tables of the snapshot.

A schema dump makes them without rows, and then every query on them fails. A refresh is right only where everything
that they read is there, so the others are named.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from mindguard.errors import first_few
from mindguard.snapshots.database_errors import described
from mindguard.snapshots.restore import target
from mindguard.snapshots.storage.manifest import Manifest, TableName
from mindguard.sql import raw, statement

if TYPE_CHECKING:
    import psycopg

UNFILLED = "rows of materialized view "
"""How a line begins about a view that has no rows."""

_REASONS = {
    "view": "it reads {}, which has none either",
    "rows": "it reads {}, whose rows the snapshot does not hold",
    "security": "it reads {}, of which row-level security may have hidden rows in the source",
    "function": "it calls {}, which may read what the snapshot does not hold",
}


class Filled(NamedTuple):
    """What became of the materialized views that the schema dump makes without rows.

    Attributes:
        refreshed: the quoted name of each that has rows now.
        unfilled: one line for each that a refresh would fill with other rows than in the source.
        failed: one line for each that could not be refreshed.
    """

    refreshed: list[str]
    unfilled: list[str]
    failed: list[str]


def fill(
    connection: psycopg.Connection[dict[str, Any]],
    manifest: Manifest,
    filled: Collection[TableName],
    search_path: str,
    *,
    foreign_tables: bool,
) -> Filled:
    """Refresh the materialized views that have no rows, in the order in which they read each other.

    Args:
        connection: a connection to the rebuilt database, which has its rows, keys and sequences.
        manifest: the snapshot.
        filled: every table that has its rows.
        search_path: the path under which the views' functions run.
        foreign_tables: whether the rebuild has left foreign tables out. A partitioned table or a parent may lack rows
            of them.
    """
    import psycopg

    lacking = {table.table_name for table in manifest.tables if foreign_tables and table.inherited == "own"}
    held = [each for each in filled if each not in lacking]
    whole = [table.table_name for table in manifest.tables if table.inherited == "all"]
    rows = connection.execute(
        statement("select_unfilled_views"),
        {
            "schemas": [each.schema for each in held],
            "relations": [each.name for each in held],
            # Rows of a partitioned table are in its partitions, which count by themselves if all of them are there.
            "kinds": ["r", "f", *("p" if foreign_tables else "")],
            "whole_schemas": [each.schema for each in whole],
            "whole_relations": [each.name for each in whole],
        },
    ).fetchall()
    result = Filled([], [], [])
    waiting = {row["view"]: list(zip(row["kinds"] or (), row["names"] or (), strict=True)) for row in rows}
    with target.under_path(connection, search_path):
        while ready := [view for view, needs in waiting.items() if not needs]:
            for view in ready:
                del waiting[view]
                try:
                    connection.execute(statement("refresh_view", view=raw(view)))
                except psycopg.Error as error:
                    if target.is_about_server(error):
                        raise
                    result.failed.append(
                        f"materialized view {view}: it has no rows, since its refresh failed: {described(error)}"
                    )
                    continue
                result.refreshed.append(view)
                for name, needs in waiting.items():
                    waiting[name] = [need for need in needs if need != ("view", view)]
    for view, needs in waiting.items():
        kind = next((each for each, _ in needs if each != "view"), "view")
        why = _REASONS[kind].format(first_few([name for each, name in needs if each == kind]))
        result.unfilled.append(f"{UNFILLED}{view}: {why}; when all is there: REFRESH MATERIALIZED VIEW {view}")
    return result
