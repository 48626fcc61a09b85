"""Put restored tables in the place of live ones, all in one transaction. Decided in docs/adr/0009."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.shape import Live, find_live
from mindguard.snapshots.restore.target import RestoreRefused, TargetError
from mindguard.snapshots.storage.manifest import Table
from mindguard.sql import identifier, literal, statement

if TYPE_CHECKING:
    import psycopg

_LONGEST_NAME = 63


def kept_name(name: str, snapshot_id: str) -> str:
    """What the live table is called after a swap; a long name is cut to PostgreSQL's 63."""
    suffix = _suffix(snapshot_id)
    return name[: _LONGEST_NAME - len(suffix)] + suffix


def name_part(snapshot_id: str) -> str:
    """The snapshot's id as part of a name that needs no quotes."""
    return re.sub(r"[^a-z0-9]", "_", snapshot_id.lower())


def _suffix(snapshot_id: str) -> str:
    return f"_before_{name_part(snapshot_id)}"


def obstacles(connection: psycopg.Connection[dict[str, Any]], table: Table, live: Live) -> list[str]:
    """Why the live table must not be swapped, one line each: what would go on using the old one."""
    found = connection.execute(statement("select_obstacles", oid=literal(live.oid)))
    return [f"{table.name}: {row['what']}" for row in found]


def refuse_obstacles(lines: list[str]) -> None:
    """Raise RestoreRefused when there are any."""
    if lines:
        raise RestoreRefused(
            f"no swap: {'; '.join(lines)}",
            hint="restore without a swap, then move the rows with INSERT … SELECT from the new schema",
        )


def swap(
    connection: psycopg.Connection[dict[str, Any]],
    restored: Mapping[str, Table],
    schema: str,
    snapshot_id: str,
    progress: Callable[[str], None],
) -> dict[str, str]:
    """Swap the tables of a schema in; gives the new name of each table that was there before.

    Keys, indexes, defaults, triggers, grants, owner and foreign keys of both directions are those of the live table
    afterwards. A foreign key that the restored rows break ends the transaction: nothing has changed then.

    Args:
        restored: by its bare name in `schema`, the table of the snapshot whose place it takes.

    Raises:
        RestoreRefused: something hangs on a live table that would go on using the old one.
        TargetError: the database refused a step; all are undone.
    """
    import psycopg
    from psycopg.sql import SQL

    suffix = _suffix(snapshot_id)
    kept: dict[str, str] = {}
    with connection.transaction():
        places = {name: (table, find_live(connection, table)) for name, table in restored.items()}
        lives = [live for _, live in places.values() if live]
        for each in lives:
            connection.execute(statement("lock_table", table=each.relation))
        steps: list[tuple[int, str]] = []
        for name, (table, live) in places.items():
            home, _, bare = table.name.partition(".")
            new = identifier(schema, name)
            if live is None:
                steps.append((6, f"alter table {new.as_string()} set schema {identifier(home).as_string()}"))
                continue
            refuse_obstacles(obstacles(connection, table, live))
            found = connection.execute(
                statement(
                    "select_swap",
                    oid=literal(live.oid),
                    together=literal([each.oid for each in lives]),
                    relation=literal(new.as_string()),
                    suffix=literal(suffix),
                    room=literal(_LONGEST_NAME - len(suffix)),
                )
            )
            steps += [(row["number"], row["step"]) for row in found]
            kept[table.name] = f"{home}.{kept_name(bare, snapshot_id)}"
        for _, step in sorted(steps):
            progress(f"swap: {step}")
            try:
                connection.execute(SQL(step))
            except psycopg.Error as error:
                if target.is_about_rows(error):
                    raise TargetError(
                        f"swap undone, nothing has changed: {error.diag.message_primary} ({error.diag.message_detail})",
                        hint="restore the other table from the same snapshot too, in the same swap",
                    ) from error
                raise
    return kept
