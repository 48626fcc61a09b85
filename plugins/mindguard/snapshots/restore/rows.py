"""Rows chosen by the values of columns: which parts and row groups can hold them, and which rows they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.restore.target import RestoreRefused
from mindguard.snapshots.storage.manifest import Column, Part, Table
from mindguard.sql import raw, statement

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa
    import pyarrow.parquet as pq

# Their order depends on the collation of the source, which the target may not have: key ranges tell nothing here.
_COLLATED = ("text", "character varying")


@dataclass(frozen=True)
class Choice:
    """Rows whose column has one of the values (PostgreSQL's text of them)."""

    column: Column
    values: tuple[str, ...]


def parse_where(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`COLUMN=VALUE …` by column; a column that is named twice may have either value.

    Raises:
        RestoreRefused: no `=` in it.
    """
    wanted: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        column, separator, value = pair.partition("=")
        if not (column and separator):
            raise RestoreRefused(f"{pair!r} is not COLUMN=VALUE", hint="for instance user_id=42")
        wanted[column] = (*wanted.get(column, ()), value)
    return wanted


@dataclass(frozen=True)
class RowFilter:
    """The rows that match every choice."""

    choices: tuple[Choice, ...]

    def row_groups(self, stored: pq.ParquetFile) -> list[int]:
        """Row groups that can hold such rows, by Parquet's statistics."""
        metadata = stored.metadata
        names = stored.schema_arrow.names
        return [
            number
            for number in range(metadata.num_row_groups)
            if all(
                _may_hold(metadata.row_group(number).column(names.index(choice.column.name)), values)
                for choice, values in self._typed(stored.schema_arrow)
            )
        ]

    def select(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The matching rows of a batch."""
        import pyarrow.compute as pc

        for choice, values in self._typed(batch.schema):
            column = batch.column(choice.column.name)
            batch = batch.filter(pc.is_in(getattr(column, "storage", column), value_set=values))
        return batch

    def _typed(self, schema: pa.Schema) -> list[tuple[Choice, pa.Array[Any]]]:
        """The choices with their values in the type that the part stores the column in."""
        import pyarrow as pa

        typed: list[tuple[Choice, pa.Array[Any]]] = []
        values: pa.Array[Any]
        for choice in self.choices:
            kind: Any = schema.field(choice.column.name).type
            kind = getattr(kind, "storage_type", kind)
            if pa.types.is_binary(kind):
                values = pa.array([bytes.fromhex(value.removeprefix("\\x")) for value in choice.values], kind)
            elif pa.types.is_fixed_size_binary(kind):
                values = pa.array([bytes.fromhex(value.replace("-", "")) for value in choice.values], kind)
            elif pa.types.is_boolean(kind):
                values = pa.array([value == "t" for value in choice.values])
            else:
                values = pa.array(choice.values).cast(kind)
            typed.append((choice, values))
        return typed


def _may_hold(column: Any, values: pa.Array[Any]) -> bool:
    """Whether a column chunk's statistics leave room for one of the values."""
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return True
    low, high = statistics.min, statistics.max
    try:
        return any(low <= value <= high for value in values.to_pylist())
    except TypeError:
        return True


def choose(
    connection: psycopg.Connection[dict[str, Any]], table: Table, where: dict[str, tuple[str, ...]]
) -> tuple[RowFilter | None, tuple[Part, ...]]:
    """The filter for a table, and the parts whose key range leaves room for its rows.

    The target's server normalises the values (` 7` → `7`, `2026-01-01` → `2026-01-01 00:00:00+00`) and compares
    them with the ranges: it knows the types.

    Raises:
        RestoreRefused: the table lacks a column, or keeps it in a form in which equal values can differ.
        SnapshotAtFault: a value is not of its column's type.
    """
    if not where:
        return None, table.parts
    columns = {column.name: column for column in table.columns}
    choices, parts = [], table.parts
    for name, texts in where.items():
        if name not in columns:
            raise RestoreRefused(f"{table.name} has no column {name!r}", hint=f"it has {', '.join(columns)}")
        column = columns[name]
        if column.encoding != "native" or column.type.startswith(("real", "double")):
            raise RestoreRefused(
                f"rows of {table.name} cannot be chosen by {name}: equal values of {column.type} can be spelt apart",
                hint="restore the table and choose in SQL",
            )
        values = _normalised(connection, column, texts)
        choices.append(Choice(column, values))
        if name == table.part_by and not column.type.startswith(_COLLATED):
            parts = _in_range(connection, column, values, parts)
    return RowFilter(tuple(choices)), parts


def _normalised(
    connection: psycopg.Connection[dict[str, Any]], column: Column, values: tuple[str, ...]
) -> tuple[str, ...]:
    import psycopg

    try:
        found = connection.execute(statement("select_values", type=raw(column.type), values=_texts(values))).fetchall()
    except psycopg.DataError as error:
        raise RestoreRefused(f"{column.name} is of type {column.type}: {error.diag.message_primary}") from error
    return tuple(row["value"] for row in found)


def _in_range(
    connection: psycopg.Connection[dict[str, Any]], column: Column, values: tuple[str, ...], parts: tuple[Part, ...]
) -> tuple[Part, ...]:
    found = connection.execute(
        statement(
            "select_ranges",
            type=raw(column.type),
            values=_texts(values),
            lowers=_texts([part.lower for part in parts]),
            uppers=_texts([part.upper for part in parts]),
        )
    )
    wanted = {row["number"] for row in found}
    return tuple(part for number, part in enumerate(parts, 1) if number in wanted)


def _texts(values: Sequence[str | None]) -> Any:
    from mindguard.sql import literal

    return literal(list(values)) + raw("::text[]")
