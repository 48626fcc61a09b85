"""The pieces of SQL that read a source table: its columns, digests and key ranges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.source_table import PlannedPart, SourceColumn, SourceTable
from mindguard.snapshots.storage.manifest import Column
from mindguard.sql import fragment, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed


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


def digested(source_column: SourceColumn) -> Composable:
    """Return an expression for the column whose hash distinguishes all of its values."""
    column = source_column.column
    if source_column.hash_is_bytewise:
        return identifier(column.name)
    if column.encoding == "native" and column.type.startswith(("text", "character varying")):
        return fragment("pg_catalog.textsend({column})", column=identifier(column.name))
    return _as_text(source_column)


def time_out_of_range(columns: Iterable[Column]) -> Composable:
    """Return a condition that holds for rows with a time that Parquet cannot hold: outside years 1 to 9999."""
    tests = [
        fragment("{time} < '0001-01-01' or {time} >= '10000-01-01'", time=identifier(column.name))
        for column in columns
        if plan.is_time(column)
    ]
    return joined(" or ", tests) if tests else raw("false")


def part_number(table: SourceTable, boundaries: list[str]) -> Composable:
    """Return an expression for the number of the part, counted from 0, that a row belongs to.

    Args:
        table: the table that the boundaries cut.
        boundaries: PostgreSQL's text of the keys, ascending.
    """
    if not boundaries:
        return raw("0")
    # A subquery is evaluated once. The bare cast would be evaluated for every row, because it is only stable.
    number = fragment(
        "width_bucket({key}, (select {boundaries}::text[]::{type}[]))",
        key=identifier(table.part_by),
        boundaries=literal(boundaries),
        type=raw(table.part_by_type),
    )
    if not table.part_by_nullable:
        return number
    return fragment("coalesce({number}, {last})", number=number, last=literal(len(boundaries)))


def export_statement(part: PlannedPart) -> Composed:
    """Return the query for the rows of a part; a table without columns gives one column of `true`."""
    table = part.table
    columns = [
        fragment("{text} as {name}", text=_as_text(each), name=identifier(each.column.name))
        if each.column.encoding == "text" or (part.times_as_text and plan.is_time(each.column))
        else identifier(each.column.name)
        for each in table.source_columns
    ]
    return statement(
        "export_part",
        columns=joined(", ", columns or [raw("true as row")]),
        table=table.relation,
        range=range_test(table, part.key_range),
    )


def range_test(table: SourceTable, key_range: KeyRange) -> Composable:
    """Return a condition that holds for the rows in a key range."""
    key, key_type = identifier(table.part_by), raw(table.part_by_type)
    tests: list[Composable] = []
    if key_range.lower is not None:
        tests.append(fragment("{key} >= {lower}::{type}", key=key, lower=literal(key_range.lower), type=key_type))
    if key_range.upper is not None:
        tests.append(fragment("{key} < {upper}::{type}", key=key, upper=literal(key_range.upper), type=key_type))
    if not tests:
        return raw("true")
    within = joined(" and ", tests)
    if key_range.upper is None and table.part_by_nullable:
        return fragment("({within} or {key} is null)", within=within, key=key)
    return within
