"""The pieces of SQL that read a source table: its columns, digests and key ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.source_table import PlannedPart, SourceTable
from mindguard.snapshots.storage.manifest import Column
from mindguard.sql import identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed


def _as_text(column: Column, output_function: tuple[str, str]) -> Composable:
    """The type's own output function: what COPY would write. A cast to text is not the same (char(n), inet)."""
    return raw("pg_catalog.textin(") + identifier(*output_function) + raw("(") + identifier(column.name) + raw("))")


def digested(column: Column, output_function: tuple[str, str], bytewise: bool) -> Composable:
    if bytewise:
        return identifier(column.name)
    if column.encoding == "native" and column.type.startswith(("text", "character varying")):
        return raw("pg_catalog.textsend(") + identifier(column.name) + raw(")")
    return _as_text(column, output_function)


def time_out_of_range(columns: tuple[Column, ...]) -> Composable:
    times = [identifier(column.name) for column in columns if plan.is_time(column)]
    if not times:
        return raw("false")
    tests = [time + raw(" < '0001-01-01' or ") + time + raw(" >= '10000-01-01'") for time in times]
    return joined(" or ", tests)


def part_number(table: SourceTable, boundaries: list[str]) -> Composable:
    if not boundaries:
        return raw("0")
    # A subquery of its own is evaluated once; the cast in place would be for every row, since it is only stable.
    thresholds = raw("(select ") + literal(boundaries) + raw(f"::text[]::{table.part_by_type}[])")
    number = raw("width_bucket(") + identifier(table.part_by) + raw(", ") + thresholds + raw(")")
    return raw("coalesce(") + number + raw(f", {len(boundaries)})") if table.part_by_nullable else number


def export_statement(part: PlannedPart) -> Composed:
    table = part.table
    columns = [
        _as_text(column, output) + raw(" as ") + identifier(column.name)
        if column.encoding == "text" or (part.times_as_text and plan.is_time(column))
        else identifier(column.name)
        for column, output in zip(table.columns, table.output_functions, strict=True)
    ]
    return statement(
        "export_part",
        columns=joined(", ", columns or [raw("true as row")]),
        table=table.relation,
        range=range_test(table, part.key_range),
    )


def range_test(table: SourceTable, key_range: KeyRange) -> Composable:
    key = identifier(table.part_by)
    tests: list[Composable] = []
    if key_range.lower is not None:
        tests.append(key + raw(" >= ") + literal(key_range.lower) + raw(f"::{table.part_by_type}"))
    if key_range.upper is not None:
        tests.append(key + raw(" < ") + literal(key_range.upper) + raw(f"::{table.part_by_type}"))
    if not tests:
        return raw("true")
    within = joined(" and ", tests)
    if key_range.upper is None and table.part_by_nullable:
        return raw("(") + within + raw(" or ") + key + raw(" is null)")
    return within
