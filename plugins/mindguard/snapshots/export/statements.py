"""The pieces of SQL that read a source table: its columns, digests and key ranges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.source_table import PlannedPart, QualifiedName, SourceColumn, SourceTable
from mindguard.snapshots.storage.manifest import Column
from mindguard.sql import fragment, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed

_MEASURED_FROM = 4_000  # stored bytes


def _as_text(source_column: SourceColumn) -> Composable:
    """Return the value as the type's own output function writes it, which is what COPY would write.

    A cast to text gives something else for some types (char(n), inet).
    """
    if source_column.output_function is None:  # `format` calls the output function whatever type that takes
        return fragment(
            "case when {column} is not null then pg_catalog.format('%s', {column}) end",
            column=identifier(source_column.column.name),
        )
    return fragment(
        "pg_catalog.textin({output}({column}))",
        output=identifier(*source_column.output_function),
        column=identifier(source_column.column.name),
    )


def digested(source_column: SourceColumn, *, utf8: bool = True) -> Composable:
    """Return an expression for the column whose hash distinguishes all of its values.

    The hash of a text is that of its bytes in UTF-8, whatever encoding the server has: a drill on a server with
    another encoding must find the same.

    Args:
        source_column: the column.
        utf8: whether the server's own encoding is UTF-8, so that texts need no conversion.
    """
    column = source_column.column
    is_text = column.encoding == "native" and column.type.startswith(("text", "character varying"))
    if source_column.hash_is_bytewise and (utf8 or not is_text):
        return identifier(column.name)
    text = identifier(column.name) if is_text else _as_text(source_column)
    # textsend converts to the client's encoding, which is UTF-8.
    return fragment("pg_catalog.textsend({text})", text=text) if is_text or not utf8 else text


def time_out_of_range(columns: Iterable[Column]) -> Composable:
    """Return a condition that holds for rows with a time that Parquet cannot hold: outside years 1 to 9999."""
    tests = [
        fragment("{time} < '0001-01-01' or {time} >= '10000-01-01'", time=identifier(column.name))
        for column in columns
        if plan.is_time(column)
    ]
    return joined(" or ", tests) if tests else raw("false")


def row_bytes(source_columns: Iterable[SourceColumn]) -> Composable:
    """Return an expression for the bytes of the row's values that can be long, as they are read.

    A text or bytea tells its length without being decompressed. Any other value is measured as text, but only where its
    stored form is large enough that the text could matter: compression shrinks no value to less than 1/255.
    """
    lengths = []
    for each in source_columns:
        column = identifier(each.column.name)
        if each.column.encoding == "text":
            text = _as_text(each)
            length = fragment(
                "case when pg_column_size({column}) > {least} then octet_length({text}) end",
                column=column,
                least=literal(_MEASURED_FROM),
                text=text,
            )
        elif each.column.type.startswith(("text", "character varying", "bytea")):
            length = fragment("octet_length({column})", column=column)
        else:
            continue
        lengths.append(fragment("coalesce({length}, 0)", length=length))
    return joined(" + ", lengths) if lengths else raw("0")


def part_number(table: SourceTable, boundaries: list[str]) -> Composable:
    """Return an expression for the number of the part, counted from 0, that a row belongs to.

    It is a binary search with the operator that `range_test` uses, so that a part is read as it was counted.
    PostgreSQL's width_bucket orders citext, macaddr and others in another way than their operators.

    Args:
        table: the table that the boundaries cut.
        boundaries: PostgreSQL's text of the keys, ascending.
    """
    number = _search(table, boundaries, 0)
    if not (boundaries and table.part_by_nullable):
        return number
    key = identifier(table.part_by)
    return fragment(
        "case when {key} is null then {last} else {number} end", key=key, last=literal(len(boundaries)), number=number
    )


def _search(table: SourceTable, boundaries: list[str], first: int) -> Composable:
    if not boundaries:
        return literal(first)
    middle = len(boundaries) // 2
    return fragment(
        # A subquery is evaluated once. The bare cast would be evaluated for every row if it is only stable.
        "case when {key} {less} (select {boundary}) then {below} else {above} end",
        key=identifier(table.part_by),
        less=_operator(table.order.less),
        boundary=table.order.boundary(boundaries[middle]),
        below=_search(table, boundaries[:middle], first),
        above=_search(table, boundaries[middle + 1 :], first + middle + 1),
    )


def _operator(name: QualifiedName) -> Composable:
    return fragment("operator({schema}.{name})", schema=identifier(name.schema), name=raw(name.name))


def export_statement(part: PlannedPart, *, utf8: bool = True) -> Composed:
    """Return the query for the rows of a part; a table without columns gives one column of `true`.

    If the part's fingerprint is not known yet, two columns of digests follow.

    Args:
        part: the part.
        utf8: see `digested`.
    """
    table = part.table
    columns = [
        (
            _as_text(each)
            if each.column.encoding == "text" or (part.times_as_text and plan.is_time(each.column))
            else identifier(each.column.name),
            identifier(each.column.name),
        )
        for each in table.source_columns
    ]
    where = {"table": table.relation, "range": range_test(table, part.key_range)}
    if part.fingerprint is not None:
        return statement("export_part", columns=_named(columns) if columns else raw("true as row"), **where)
    read: dict[str, tuple[Composable, Composable]] = {}
    digests = [_numbered(read, digested(each, utf8=utf8)) for each in table.source_columns]
    return statement(
        "export_and_digest",
        columns=_named([(_numbered(read, value), name) for value, name in columns]),
        values=joined(", ", digests),
        read=_named(read.values()),
        **where,
    )


def _named(values: Iterable[tuple[Composable, Composable]]) -> Composable:
    named = (
        value if value == name else fragment("{value} as {name}", value=value, name=name) for value, name in values
    )
    return joined(", ", list(named))


def _numbered(read: dict[str, tuple[Composable, Composable]], value: Composable) -> Composable:
    """Return the name under which a subquery reads the value; equal values have one."""
    _, name = read.setdefault(value.as_string(), (value, raw(f"v{len(read)}")))
    return name


def above(expression: str, table: SourceTable, lower: str | None) -> Composable:
    """Return a condition that holds where the expression, in the key's type, is greater than the lower bound."""
    if lower is None:
        return raw("true")
    less = _operator(table.order.less)
    return fragment("{bound} {less} {value}", bound=table.order.boundary(lower), less=less, value=raw(expression))


def range_test(table: SourceTable, key_range: KeyRange) -> Composable:
    """Return a condition that holds for the rows in a key range."""
    key, order = identifier(table.part_by), table.order
    edges = ((order.at_least, key_range.lower), (order.less, key_range.upper))
    tests: list[Composable] = [
        fragment("{key} {operator} {edge}", key=key, operator=_operator(operator), edge=order.boundary(edge))
        for operator, edge in edges
        if edge is not None
    ]
    if not tests:
        return raw("true")
    within = joined(" and ", tests)
    if key_range.upper is None and table.part_by_nullable:
        return fragment("({within} or {key} is null)", within=within, key=key)
    return within
