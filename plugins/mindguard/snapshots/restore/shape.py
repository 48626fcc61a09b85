"""The shape of restored tables: like the live table where it still has the snapshot's columns, else as recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.restore.target import RestoreRefused
from mindguard.snapshots.storage.manifest import Column, Manifest, Sequence, Table
from mindguard.sql import identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable


@dataclass(frozen=True)
class Live:
    """The table that stands under the snapshot's name in the target now."""

    oid: int
    relation: Composable
    same_columns: bool


def find_live(connection: psycopg.Connection[dict[str, Any]], table: Table) -> Live | None:
    """The live table; None when there is none."""
    schema, _, name = table.name.partition(".")
    found = connection.execute(statement("select_table"), {"schema": schema, "name": name}).fetchone()
    if not found:
        return None
    columns = connection.execute(statement("select_columns"), {"oid": found["oid"]}).fetchall()
    there = [(column["name"], column["type"], column["generated"]) for column in columns]
    recorded = [(column.name, column.type, column.generated) for column in table.columns]
    return Live(found["oid"], identifier(schema, name), there == recorded)


def create_like(connection: psycopg.Connection[dict[str, Any]], live: Live, relation: Composable) -> None:
    """A table with the live one's columns, defaults and checks. Indexes come after the rows: see `add_indexes`."""
    connection.execute(statement("create_table_like", table=relation, live=live.relation))


def add_indexes(connection: psycopg.Connection[dict[str, Any]], live: Live, relation: Composable) -> None:
    """The live table's keys and indexes, under the same names.

    Raises:
        SnapshotAtFault: through `target.connect`, when the rows contradict one.
    """
    from psycopg.sql import SQL

    steps = connection.execute(
        statement("select_indexes", oid=literal(live.oid), relation=literal(relation.as_string()))
    ).fetchall()
    for step in steps:
        connection.execute(SQL(step["step"]))


def create_from_manifest(
    connection: psycopg.Connection[dict[str, Any]], manifest: Manifest, table: Table, schema: str, name: str
) -> list[str]:
    """A table with the recorded columns and defaults; gives one line for each default that cannot be had.

    Raises:
        RestoreRefused: a column's type is gone from the database.
    """
    import psycopg

    relation = identifier(schema, name)
    try:
        connection.execute(
            statement("create_table", table=relation, definitions=joined(", ", map(_definition, table.columns)))
        )
    except psycopg.errors.UndefinedObject as error:
        raise RestoreRefused(
            f"{table.name} cannot be made from the manifest: {error.diag.message_primary}",
            hint="create it first, or rebuild the whole snapshot in an empty database: its schema dump has it",
        ) from error
    lost = []
    for column in table.columns:
        if column.default and not column.generated:
            default = _own_sequence(connection, manifest.sequences, column, schema, relation) or column.default
            try:
                connection.execute(
                    statement("set_default", table=relation, column=identifier(column.name), default=raw(default))
                )
            except psycopg.errors.ProgrammingError as error:
                lost.append(f"default of {table.name}.{column.name}: {error.diag.message_primary}")
    return lost


def add_primary_key(connection: psycopg.Connection[dict[str, Any]], table: Table, relation: Composable) -> None:
    """The recorded primary key, where there is one."""
    if table.primary_key:
        columns = joined(", ", map(identifier, table.primary_key))
        connection.execute(statement("create_primary_key", table=relation, names=columns))


def set_identities(
    connection: psycopg.Connection[dict[str, Any]], table: Table, sequences: Iterable[Sequence], relation: Composable
) -> None:
    """Let identity columns go on after the rows, and after where their sequences stood in the snapshot."""
    stood = {sequence.name: sequence.last_value for sequence in sequences if sequence.is_called}
    for column in table.columns:
        if column.identity:
            names = connection.execute(
                statement("select_sequence_name", table=literal(table.name), column=literal(column.name))
            ).fetchone()
            last = max((stood.get(name, 0) for name in (names or {}).values() if name), default=0)
            connection.execute(
                statement(
                    "set_identity",
                    relation=literal(relation.as_string()),
                    column=literal(column.name),
                    key=identifier(column.name),
                    value=literal(last),
                    table=relation,
                )
            )


def _definition(column: Column) -> Composable:
    parts = [identifier(column.name), raw(column.type)]
    if column.collation:
        parts += [raw("collate"), identifier(*column.collation.split(".", 1))]
    if column.generated:
        kind = "stored" if column.generated == "s" else "virtual"
        parts.append(raw(f"generated always as ({column.default}) {kind}"))
    if column.identity:
        parts.append(raw(f"generated {'always' if column.identity == 'a' else 'by default'} as identity"))
    if column.not_null:
        parts.append(raw("not null"))
    return joined(" ", parts)


def _own_sequence(
    connection: psycopg.Connection[dict[str, Any]],
    sequences: Iterable[Sequence],
    column: Column,
    schema: str,
    relation: Composable,
) -> str | None:
    """The default with a sequence of its own, where the recorded one is gone from the database."""
    for sequence in sequences:
        recorded = f"nextval({literal(sequence.name).as_string().strip()}::regclass)"
        if column.default != recorded:
            continue
        found = connection.execute(statement("select_sequence", sequence=literal(sequence.name))).fetchone()
        if found is None or found["there"]:
            return None
        own = identifier(schema, found["relation"])
        owner = relation + raw(".") + identifier(column.name)
        connection.execute(statement("create_sequence", sequence=own, column=owner))
        name = literal(own.as_string())
        connection.execute(
            statement(
                "set_sequence",
                sequence=name,
                value=literal(sequence.last_value),
                called=literal(sequence.is_called),
            )
        )
        return f"nextval({name.as_string().strip()}::regclass)"
    return None
