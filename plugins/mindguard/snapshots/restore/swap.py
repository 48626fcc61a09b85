"""Put restored tables in the place of live ones, all in one transaction. See docs/adr/0009 for the decision."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mindguard.errors import first_few
from mindguard.snapshots.database_errors import cause, described, is_raised
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.shape import Live, find_live
from mindguard.snapshots.restore.target import RestoreRefused, TargetError
from mindguard.snapshots.storage.manifest import Table
from mindguard.sql import fragment, identifier, literal, raw, statement

if TYPE_CHECKING:
    import psycopg

_LONGEST_NAME = 63
_MOVE = 6  # the number that select_swap.sql gives to the step that moves the restored table


class _Step(NamedTuple):
    """A statement of a swap. Steps are carried out in the order of their numbers, over all tables."""

    number: int
    sql: str


def kept_name(name: str, snapshot_id: str) -> str:
    """Return the live table's name after a swap; a long name is cut to PostgreSQL's 63 bytes."""
    return name_with(name, _suffix(snapshot_id))


def name_with(name: str, suffix: str) -> str:
    """Return the name with a suffix of ASCII characters; a long name is cut to PostgreSQL's 63 bytes."""
    return name.encode()[: _LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix


def name_part(snapshot_id: str) -> str:
    """Return the snapshot's id in a form that can be part of an unquoted name."""
    return re.sub(r"[^a-z0-9]", "_", snapshot_id.lower())


def _suffix(snapshot_id: str) -> str:
    return f"_before_{name_part(snapshot_id)}"


def obstacles(connection: psycopg.Connection[dict[str, Any]], table: Table, live: Live, snapshot_id: str) -> list[str]:
    """Return the reasons against a swap, for instance each object that would continue to use the former table."""
    kept = kept_name(table.table_name.name, snapshot_id)
    found = connection.execute(statement("select_obstacles", oid=literal(live.oid), kept=literal(kept)))
    return [f"{table.name}: {row['what']}" for row in found]


def refuse_obstacles(lines: list[str]) -> None:
    """Raise RestoreRefused if there are any obstacles."""
    if lines:
        raise RestoreRefused(
            f"no swap: {first_few(lines, separator='; ')}",
            hint="restore without a swap, then put the rows back into the live table (mindguard snapshot put-back)",
        )


def swap(
    connection: psycopg.Connection[dict[str, Any]],
    restored: Mapping[str, Table],
    schema: str,
    snapshot_id: str,
    progress: Callable[[str], None],
    *,
    search_path: str = "",
) -> dict[str, str]:
    """Put the tables of a schema in the place of live ones.

    Afterwards keys, indexes, defaults, triggers, grants, owner and foreign keys in both directions are those of the
    former live table. If the restored rows violate a foreign key, the transaction is rolled back.

    Args:
        connection: a connection to the target, in autocommit mode.
        restored: the snapshot's tables to swap in, by their bare name in `schema`.
        schema: schema of the restored tables.
        snapshot_id: the snapshot's id, which becomes part of the names of the former tables.
        progress: called with one line for each step.
        search_path: the path under which functions that the steps call run.

    Returns:
        The new name of each former live table, by its old name.

    Raises:
        RestoreRefused: an object depends on a live table and would continue to use it after the swap.
        TargetError: the database refused a step; all steps are undone.
    """
    import psycopg

    suffix = _suffix(snapshot_id)
    kept: dict[str, str] = {}
    with connection.transaction():
        places = {name: (table, find_live(connection, table)) for name, table in restored.items()}
        lives = [live for _, live in places.values() if live]
        for each in lives:
            with target.locking(each.relation.as_string()):
                connection.execute(statement("lock_table", table=each.relation))
        steps: list[_Step] = []
        for name, (table, live) in places.items():
            home, bare = table.table_name
            new = identifier(schema, name)
            if live is None:
                move = fragment("alter table {table} set schema {schema}", table=new, schema=identifier(home))
                steps.append(_Step(_MOVE, move.as_string()))
                continue
            refuse_obstacles(obstacles(connection, table, live, snapshot_id))
            found = connection.execute(
                statement(
                    "select_swap",
                    oid=literal(live.oid),
                    together=literal([each.oid for each in lives]),
                    relation=literal(new.as_string()),
                    kept=literal(kept_name(bare, snapshot_id)),
                    suffix=literal(suffix),
                    room=literal(_LONGEST_NAME - len(suffix)),
                )
            )
            steps += [_Step(row["number"], row["step"]) for row in found]
            kept[table.name] = f"{home}.{kept_name(bare, snapshot_id)}"
        watching = target.event_triggers(connection)
        with target.under_path(connection, search_path):
            for step in sorted(steps):
                progress(f"swap: {step.sql}")
                try:
                    with target.locking(f"a table of this step: {step.sql}"):
                        connection.execute(raw(step.sql))
                except psycopg.Error as error:
                    if watching and (is_raised(error) or not _is_explained(error)):
                        raise TargetError(
                            f"swap undone, nothing has changed: {described(error)}; it may come from the database's "
                            f"event triggers {first_few(watching)}",
                            hint="ALTER EVENT TRIGGER … DISABLE while you swap",
                        ) from cause(error)
                    if target.is_about_rows(error):
                        raise TargetError(
                            f"swap undone, nothing has changed: {described(error)}",
                            hint="restore the other table from the same snapshot too, in the same swap",
                        ) from cause(error)
                    raise
    return kept


def _is_explained(error: psycopg.Error) -> bool:
    """Return whether the error says by itself what to do about it."""
    return target.is_about_rows(error) or target.is_about_server(error) or error.sqlstate == "42501"
