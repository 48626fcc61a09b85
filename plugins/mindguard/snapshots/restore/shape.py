"""Create restored tables: like the live table if it still has the snapshot's columns, else as the manifest records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.database_errors import cause, described
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.constraints import KEY_BROKEN, LEFT_OUT, add_not_null, count_broken, drop_not_null
from mindguard.snapshots.restore.target import RestoreRefused
from mindguard.snapshots.storage.manifest import Column, Manifest, Sequence, Table, as_arrays
from mindguard.sql import fragment, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable


@dataclass(frozen=True)
class Live:
    """The table that has the snapshot's table name in the target now.

    Attributes:
        oid: its object identifier.
        relation: its quoted name.
        same_columns: whether names, types and generation of its columns are those in the snapshot.
    """

    oid: int
    relation: Composable
    same_columns: bool


def find_live(connection: psycopg.Connection[dict[str, Any]], table: Table) -> Live | None:
    """Return the live table, or None if there is none."""
    with target.locking(table.name):
        found = connection.execute(statement("select_table"), as_arrays([table.name])).fetchone()
    if not found:
        return None
    columns = connection.execute(statement("select_columns"), {"tables": [found["oid"]]}).fetchall()
    current = [(column["name"], column["type"], column["generated"]) for column in columns]
    recorded = [(column.name, column.type, column.generated) for column in table.columns]
    return Live(found["oid"], identifier(*table.table_name), same_columns=current == recorded)


def create_like(connection: psycopg.Connection[dict[str, Any]], live: Live, relation: Composable) -> None:
    """Create a table with the live one's columns and defaults. What can refuse rows is added after them."""
    connection.execute(statement("create_table_like", table=relation, live=live.relation))
    types = statement("select_identity_types", oid=literal(live.oid), relation=literal(relation.as_string()))
    for row in connection.execute(types).fetchall():
        connection.execute(raw(row["step"]))
    drop_not_null(connection, relation)


def add_indexes(
    connection: psycopg.Connection[dict[str, Any]], live: Live, relation: Composable, search_path: str
) -> list[str]:
    """Create the live table's keys and indexes under the same names.

    Args:
        connection: a connection to the target.
        live: the live table.
        relation: quoted name of the restored table, which has its rows.
        search_path: the path under which the functions of indexes run.

    Returns:
        One line for each that could not be made.
    """
    import psycopg

    steps = connection.execute(
        statement("select_indexes", oid=literal(live.oid), relation=literal(relation.as_string()))
    ).fetchall()
    notes = []
    with target.under_path(connection, search_path):
        for step in steps:
            try:
                connection.execute(raw(step["step"]))
            except psycopg.Error as error:
                if target.is_about_server(error):
                    raise
                why = described(error)
                if error.sqlstate in KEY_BROKEN:
                    why = count_broken(connection, relation, step["keys"], step["predicate"], step["operators"])
                notes.append(f"index {step['name']} of {relation.as_string()}: {LEFT_OUT}, since {why}")
    return notes


def create_from_manifest(
    connection: psycopg.Connection[dict[str, Any]], manifest: Manifest, table: Table, schema: str, name: str
) -> list[str]:
    """Create a table with the recorded columns and defaults.

    Args:
        connection: a connection to the target.
        manifest: the snapshot.
        table: the snapshot's table.
        schema: schema of the new table.
        name: bare name of the new table.

    Returns:
        One line for each default that could not be set.

    Raises:
        RestoreRefused: a column's type is missing in the database.
    """
    import psycopg

    relation = identifier(schema, name)
    try:
        connection.execute(
            statement("create_table", table=relation, definitions=joined(", ", map(_definition, table.columns)))
        )
    except psycopg.errors.UndefinedObject as error:
        raise RestoreRefused(
            f"{table.name} cannot be made from the manifest: {described(error)}",
            hint="create it first, or rebuild the whole snapshot in an empty database: its schema dump has it",
        ) from cause(error)
    lost = []
    for column in table.columns:
        if column.default and not column.generated:
            default = _own_sequence(connection, manifest.sequences, column, schema, relation) or column.default
            try:
                with connection.transaction():
                    connection.execute(
                        statement("set_default", table=relation, column=identifier(column.name), default=raw(default))
                    )
            except psycopg.errors.ProgrammingError as error:
                lost.append(f"default of {table.name}.{column.name}: not set, since {described(error)}")
    return lost


def add_recorded_constraints(
    connection: psycopg.Connection[dict[str, Any]], table: Table, relation: Composable
) -> list[str]:
    """Add NOT NULL and the primary key as recorded; return one line for each that the rows contradict."""
    import psycopg

    names = [column.name for column in table.columns if column.not_null and not column.identity]
    notes = [note for name in names if (note := add_not_null(connection, relation, name))]
    if table.primary_key:
        columns = joined(", ", map(identifier, table.primary_key))
        try:
            connection.execute(statement("create_primary_key", table=relation, names=columns))
        except psycopg.Error as error:
            if target.is_about_server(error):
                raise
            why = described(error)
            if error.sqlstate in KEY_BROKEN:
                keys = [identifier(name).as_string() for name in table.primary_key]
                why = count_broken(connection, relation, keys, None, [])
            notes.append(f"primary key of {table.name}: {LEFT_OUT}, since {why}")
    return notes


def set_identities(
    connection: psycopg.Connection[dict[str, Any]], table: Table, sequences: Iterable[Sequence], relation: Composable
) -> None:
    """Let identity columns continue after the rows, and after the positions of their sequences in the snapshot."""
    last_values = {sequence.name: sequence.last_value for sequence in sequences if sequence.is_called}
    for column in table.columns:
        if column.identity:
            names = connection.execute(
                statement("select_sequence_name", table=literal(table.name), column=literal(column.name))
            ).fetchone()
            last = max((last_values.get(name, 0) for name in (names or {}).values() if name), default=0)
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


def advance_sequences(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest, table: Table) -> None:
    """Let the live sequences in the columns' defaults continue after the restored rows.

    A live sequence can be behind them: TRUNCATE … RESTART IDENTITY moves it back.
    """
    defaults = {column.default for column in table.columns}
    for sequence in manifest.sequences:
        there = connection.execute(statement("select_sequence", sequence=literal(sequence.name))).fetchone()
        if _nextval(sequence.name) in defaults and there and there["there"]:
            connection.execute(
                statement(
                    "set_sequence_forward",
                    sequence=raw(sequence.name),
                    label=literal(sequence.name),
                    value=literal(sequence.last_value),
                    called=literal(sequence.is_called),
                )
            )


def sequences_behind(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest) -> list[str]:
    """Return one line for each live sequence that stands before its position in the snapshot.

    A function, a trigger or the application may feed the restored tables from it. It is not moved, because it may
    as well feed others.
    """
    import psycopg

    lines = []
    for sequence in manifest.sequences:
        there = connection.execute(statement("select_sequence", sequence=literal(sequence.name))).fetchone()
        if not (there and there["there"]):
            continue
        name, value, called = (literal(each) for each in (sequence.name, sequence.last_value, sequence.is_called))
        behind = statement("select_behind", sequence=raw(sequence.name), label=name, value=value, called=called)
        try:
            with connection.transaction():
                found = connection.execute(behind).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            continue  # then this role does not own what it feeds
        if found:
            setval = f"SELECT setval({name.as_string()}, {sequence.last_value}, {str(sequence.is_called).lower()})"
            lines.append(
                f"sequence {sequence.name} stands before its position in the snapshot; if a function, a trigger or "
                f"the application feeds the restored tables from it: {setval}"
            )
    return lines


def _definition(column: Column) -> Composable:
    """Return the column's definition for CREATE TABLE. Types and expressions are SQL as the catalog spells it.

    NOT NULL is added after the rows.
    """
    parts: list[Composable] = [identifier(column.name), raw(column.type)]
    if column.collation:
        parts.append(fragment("collate {name}", name=identifier(*column.collation.split(".", 1))))
    if column.generated:
        expression = raw(column.default or "")
        kind = raw("stored" if column.generated == "s" else "virtual")
        parts.append(fragment("generated always as ({expression}) {kind}", expression=expression, kind=kind))
    if column.identity:
        kind = raw("always" if column.identity == "a" else "by default")
        parts.append(fragment("generated {kind} as identity", kind=kind))
    return joined(" ", parts)


def _own_sequence(
    connection: psycopg.Connection[dict[str, Any]],
    sequences: Iterable[Sequence],
    column: Column,
    schema: str,
    relation: Composable,
) -> str | None:
    """Create a sequence for the column if its default uses a recorded one that is missing in the database.

    Returns:
        The default that uses the new sequence; None if the recorded default can stay.
    """
    for sequence in sequences:
        if column.default != _nextval(sequence.name):
            continue
        found = connection.execute(statement("select_sequence", sequence=literal(sequence.name))).fetchone()
        if found is None or found["there"]:
            return None
        own = identifier(schema, found["relation"])
        owner = fragment("{table}.{column}", table=relation, column=identifier(column.name))
        connection.execute(statement("create_sequence", sequence=own, column=owner))
        connection.execute(
            statement(
                "set_sequence",
                sequence=literal(own.as_string()),
                value=literal(sequence.last_value),
                called=literal(sequence.is_called),
            )
        )
        return _nextval(own.as_string())
    return None


def _nextval(sequence: str) -> str:
    """Return the default of a column that a sequence feeds, as the catalog spells it.

    Args:
        sequence: its name, quoted where PostgreSQL would quote it.
    """
    # A literal that needs an E prefix is rendered with a space before it.
    return f"nextval({literal(sequence).as_string().strip()}::regclass)"
