"""Constraints of restored tables: rows first, constraints after.

A database can hold rows that its own constraints refuse today: a check may look at another table or at the clock, it
may have been added as NOT VALID, or rows were written while triggers were off. A restore must bring such rows back. It
adds what holds, adds as NOT VALID what does not, and reports the difference with the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindguard import postgres_session
from mindguard.snapshots.database_errors import described
from mindguard.snapshots.restore import target
from mindguard.sql import fragment, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable


LEFT_OUT = "left out"

_ASIDE = "mindguard_aside"
_MAX_COUNT_S = 60
KEY_BROKEN = ("23505", "23P01")
"""SQLSTATEs of a unique key and of an exclusion constraint that rows contradict."""


@dataclass(frozen=True)
class Check:
    """A check that is added after the rows.

    Attributes:
        kind: `table` or `domain`.
        owner: the quoted name of the table or domain.
        name: the constraint's name, unquoted.
        definition: its definition, as the catalog spells it.
        validated: whether it held for all rows of the source.
        comment: the comment on it; None if there is none.
        expression: the condition alone.
    """

    kind: str
    owner: str
    name: str
    definition: str
    validated: bool
    comment: str | None
    expression: str


def set_aside(connection: psycopg.Connection[dict[str, Any]]) -> list[Check]:
    """Drop the checks that rows of the source can fail here, and return them for `add_check`."""
    checks = [Check(**row) for row in connection.execute(statement("select_uncertain_checks"))]
    for check in reversed(checks):  # a check that a child inherits goes with its parent's
        connection.execute(statement("drop_constraint", **_names(check), constraint=identifier(check.name)))
    return checks


def add_check(connection: psycopg.Connection[dict[str, Any]], check: Check) -> str | None:
    """Add a check after the rows; return one line if rows contradict it, so that it had to be added as NOT VALID."""
    import psycopg

    name = identifier(check.name)
    unchecked = check.definition.endswith((" NOT VALID", " NOT ENFORCED"))
    definition = raw(check.definition if unchecked else f"{check.definition} NOT VALID")
    constraint = fragment("constraint {name} {definition}", name=name, definition=definition)
    made = False
    try:
        connection.execute(statement("create_constraint", **_names(check), constrained=constraint))
        made = True
        if check.comment:
            on = fragment("{kind} {owner}", **_names(check)) if check.kind == "domain" else raw(check.owner)
            connection.execute(
                statement("set_constraint_comment", constraint=name, owner=on, comment=literal(check.comment))
            )
        if check.validated and not unchecked:
            connection.execute(statement("set_validated", **_names(check), constraint=name))
    except psycopg.Error as error:
        if target.is_about_server(error):
            raise
        why = described(error)
        if check.kind == "table" and error.sqlstate == "23514":
            condition = fragment("not ({expression})", expression=raw(check.expression))
            why = _count(connection, raw(check.owner), condition)
        return f"check {check.name} of {check.owner}: {'made as NOT VALID' if made else LEFT_OUT}, since {why}"
    return None


def add_live_constraints(
    connection: psycopg.Connection[dict[str, Any]], oid: int, relation: Composable, search_path: str
) -> list[str]:
    """Add a live table's checks and NOT NULL to a restored table.

    Args:
        connection: a connection to the target.
        oid: the live table's object identifier.
        relation: quoted name of the restored table, which has its rows.
        search_path: the path under which the checks' functions run.

    Returns:
        One line for each that restored rows contradict: such a check holds for new rows only, and NOT NULL is left out.
    """
    notes: list[str | None] = []
    rows = connection.execute(statement("select_live_checks", oid=literal(oid))).fetchall()
    with target.under_path(connection, search_path):
        for row in rows:
            if column := row.pop("not_null"):
                constraint = None
                if row["name"]:
                    definition = raw(row["definition"])
                    constraint = fragment(
                        "constraint {name} {definition}", name=identifier(row["name"]), definition=definition
                    )
                notes.append(add_not_null(connection, relation, column, constraint))
            else:
                notes.append(add_check(connection, Check(kind="table", owner=relation.as_string(), **row)))
    return [note for note in notes if note]


def add_not_null(
    connection: psycopg.Connection[dict[str, Any]],
    relation: Composable,
    column: str,
    constraint: Composable | None = None,
) -> str | None:
    """Forbid null in a column; return one line if rows have null in it, so that it is left out.

    Args:
        connection: a connection to the target.
        relation: quoted name of the table.
        column: the column's name.
        constraint: the constraint with its name, which servers from version 18 on can add.
    """
    import psycopg

    try:
        if constraint:
            connection.execute(
                statement("create_constraint", kind=raw("table"), owner=relation, constrained=constraint)
            )
        else:
            connection.execute(statement("set_not_null", table=relation, column=identifier(column)))
    except psycopg.errors.NotNullViolation:
        nulls = _count(connection, relation, fragment("{column} is null", column=identifier(column)))
        return f"NOT NULL of {relation.as_string()}.{column}: {LEFT_OUT}, since {nulls}"
    return None


def drop_not_null(connection: psycopg.Connection[dict[str, Any]], relation: Composable) -> None:
    """Let the table's columns hold null until `add_not_null`; an identity column cannot."""
    found = connection.execute(statement("select_not_null", relation=literal(relation.as_string()))).fetchall()
    for row in found:
        connection.execute(statement("set_nullable", table=relation, column=identifier(row["name"])))


def count_orphans(connection: psycopg.Connection[dict[str, Any]]) -> str:
    """Return how many rows contradict the foreign key that was made last."""
    import psycopg

    found = connection.execute(statement("select_orphans")).fetchone()
    try:
        row = connection.execute(raw(found["query"])).fetchone() if found else None
    except psycopg.Error as error:
        if target.is_about_server(error):
            raise
        row = None
    return _contradicting(next(iter(row.values())) if row else None)


def count_broken(
    connection: psycopg.Connection[dict[str, Any]],
    relation: Composable,
    keys: list[str],
    predicate: str | None,
    operators: list[str],
) -> str:
    """Return how many values of a key several rows share, or how many rows another one excludes.

    Args:
        connection: a connection to the target.
        relation: quoted name of the table.
        keys: the key's columns or expressions, as SQL.
        predicate: the condition of a partial index, as SQL.
        operators: those of an exclusion constraint, one for each key; empty for a unique key.
    """
    import psycopg

    condition = joined(" and ", [raw(predicate or "true"), *(raw(f"({key}) is not null") for key in keys)])
    named = joined(", ", [raw(f"({key}) as k{number}") for number, key in enumerate(keys)])
    pairs = joined(" and ", [raw(f"one.k{number} {sign} other.k{number}") for number, sign in enumerate(operators)])
    query = (
        statement("count_excluded", table=relation, keys=named, condition=condition, pairs=pairs)
        if operators
        else statement("count_shared", table=relation, keys=joined(", ", map(raw, keys)), condition=condition)
    )
    try:
        with connection.transaction():
            postgres_session.limit_transaction(connection, _MAX_COUNT_S)  # overlaps are looked for without an index
            row = connection.execute(query).fetchone()
    except psycopg.errors.QueryCanceled:
        row = None
    except psycopg.Error as error:
        if target.is_about_server(error):
            raise
        row = None
    count = next(iter(row.values())) if row else 0
    what, verb = ("row", "conflict") if operators else ("value", "occur")
    rest = "with another row" if operators else "in several rows"
    if not count:
        return f"{what}s {verb} {rest}"
    return f"1 {what} {verb}s {rest}" if count == 1 else f"{count:,} {what}s {verb} {rest}"


def count_broken_by(
    connection: psycopg.Connection[dict[str, Any]], error: psycopg.Error, statements: str
) -> str | None:
    """Return `count_broken` of the key that these statements could not make; None if its table is not known.

    The key is made on an empty table in the place of the one with the rows, and read there; then all is rolled back.
    """
    import psycopg

    schema, name = error.diag.schema_name, error.diag.table_name
    if not (schema and name):
        return None
    relation = identifier(schema, name)
    oid = fragment("{relation}::regclass", relation=literal(relation.as_string()))
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement("set_table_name", table=relation, kept=identifier(_ASIDE)))
            connection.execute(statement("create_table_copy", table=relation, live=identifier(schema, _ASIDE)))
            connection.execute(statements.encode())
            found = connection.execute(
                statement("select_indexes", oid=oid, relation=literal(relation.as_string()))
            ).fetchone()
    except psycopg.Error as failure:
        if target.is_about_server(failure):
            raise
        return None
    return count_broken(connection, relation, found["keys"], found["predicate"], found["operators"]) if found else None


def _count(connection: psycopg.Connection[dict[str, Any]], table: Composable, condition: Composable) -> str:
    import psycopg

    try:
        row = connection.execute(statement("count_contradicting", table=table, condition=condition)).fetchone()
    except psycopg.Error as error:
        if target.is_about_server(error):
            raise
        row = None
    return _contradicting(row["contradicting"] if row else None)


def _contradicting(count: int | None) -> str:
    """Return how many rows contradict a constraint; None: they could not be counted."""
    if count is None:
        return "rows contradict it"
    return "1 row contradicts it" if count == 1 else f"{count:,} rows contradict it"


def _names(check: Check) -> dict[str, Composable]:
    return {"kind": raw(check.kind), "owner": raw(check.owner)}
