"""Choose rows by the values of columns: find the parts and row groups that can hold them, and the rows that match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mindguard.errors import first_few
from mindguard.snapshots.database_errors import cause, described
from mindguard.snapshots.restore.target import RestoreRefused
from mindguard.snapshots.storage.manifest import Column, Enum, Part, Table
from mindguard.sql import fragment, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa
    import pyarrow.parquet as pq
    from psycopg.sql import Composable

# The order of these types depends on the source's collation, which the target may lack, so key ranges exclude nothing.
_COLLATED = ("text", "character varying")
_DIFFERING = ("real", "double", "numeric", "jsonb", "interval", "character(")


@dataclass(frozen=True)
class Choice:
    """A column and the values that are accepted in it, each as PostgreSQL writes it as text."""

    column: Column
    values: tuple[str, ...]


def parse_where(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of each column in `COLUMN=VALUE …`; a column that is named twice may have either value.

    Raises:
        RestoreRefused: a pair has no `=`, or nothing before it.
    """
    where: dict[str, tuple[str, ...]] = {}
    for number, pair in enumerate(pairs, 1):
        column, separator, value = pair.partition("=")
        if not (column and separator):
            # It is not quoted: it may be a value that identifies a person.
            raise RestoreRefused(f"condition {number} is not COLUMN=VALUE", hint="for instance user_id=42")
        where[column] = (*where.get(column, ()), value)
    return where


@dataclass(frozen=True)
class RowFilter:
    """The rows that match every choice."""

    choices: tuple[Choice, ...]

    def row_groups(self, stored: pq.ParquetFile) -> list[int]:
        """Return the numbers of the row groups that can hold matching rows, by Parquet's statistics."""
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
        """Return the matching rows of a batch."""
        import pyarrow.compute as pc

        for choice, values in self._typed(batch.schema):
            column = batch.column(choice.column.name)
            batch = batch.filter(pc.is_in(getattr(column, "storage", column), value_set=values))
        return batch

    def _typed(self, schema: pa.Schema) -> list[tuple[Choice, pa.Array[Any]]]:
        """Return each choice with its values converted to the type in which the part stores the column."""
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
    """Return whether one of the values can be in a column chunk, by its statistics."""
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return True
    low, high = statistics.min, statistics.max
    try:
        return any(low <= value <= high for value in values.to_pylist())
    except TypeError:
        return True


class Chosen(NamedTuple):
    """The rows of a table that are restored.

    Attributes:
        row_filter: selects the rows; None: all rows.
        parts: the parts whose key range can hold such rows.
    """

    row_filter: RowFilter | None
    parts: tuple[Part, ...]


def choose(
    connection: psycopg.Connection[dict[str, Any]],
    table: Table,
    where: dict[str, tuple[str, ...]],
    enums: Iterable[Enum] = (),
) -> Chosen:
    """Find the rows of a table that have the given values.

    The target's server normalises the values (` 7` → `7`, `2026-01-01` → `2026-01-01 00:00:00+00`) and compares
    them with the key ranges, because it knows the types.

    Args:
        connection: a connection to the target.
        table: the snapshot's table.
        where: accepted values by column name, as text; empty: all rows.
        enums: the snapshot's enum types. Their labels are compared as they were then, whatever the target has now.

    Raises:
        RestoreRefused: the table lacks a column, stores it in a form in which equal values can differ, or a value
            is not valid for the column's type.
    """
    if not where:
        return Chosen(None, table.parts)
    columns = {column.name: column for column in table.columns}
    known = {enum.name: enum.labels for enum in enums}
    choices, parts = [], table.parts
    for name, texts in where.items():
        if name not in columns:
            raise RestoreRefused(f"{table.name} has no column {name!r}", hint=f"it has {first_few(columns)}")
        column = columns[name]
        if labels := known.get(column.type):
            if not set(texts) <= set(labels):
                raise RestoreRefused(
                    f"{name} is of type {column.type}, which has no such label", hint=f"it has {first_few(labels)}"
                )
            choices.append(Choice(column, texts))
            if name == table.part_by:
                parts = _in_label_range(labels, texts, parts)
            continue
        if column.encoding != "native" or column.type.startswith(("real", "double")):
            why = (
                f"equal values of {column.type} can differ as text"
                if column.type.startswith(_DIFFERING)
                else f"{column.type} is compared as text here, and equal values need not have equal text"
            )
            raise RestoreRefused(
                f"rows of {table.name} cannot be chosen by {name}: {why}",
                hint="restore the table and choose in SQL",
            )
        values = _normalised(connection, column, texts)
        choices.append(Choice(column, values))
        if name == table.part_by and not column.type.startswith(_COLLATED):
            parts = _in_range(connection, column, values, parts)
    return Chosen(RowFilter(tuple(choices)), parts)


def _normalised(
    connection: psycopg.Connection[dict[str, Any]], column: Column, values: tuple[str, ...]
) -> tuple[str, ...]:
    import psycopg

    try:
        found = connection.execute(statement("select_values", type=raw(column.type), values=_texts(values))).fetchall()
    except psycopg.DataError as error:
        raise RestoreRefused(f"{column.name} is of type {column.type}: {described(error)}") from cause(error)
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
    numbers = {row["number"] for row in found}
    return tuple(part for number, part in enumerate(parts, 1) if number in numbers)


def _in_label_range(labels: Sequence[str], values: Sequence[str], parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts whose range can hold one of these labels, in the order that they had in the source."""
    order = {label: number for number, label in enumerate(labels)}
    wanted = [order[value] for value in values]

    def may_hold(part: Part) -> bool:
        low = order.get(part.lower or "", -1)
        high = order.get(part.upper or "", len(labels))  # a bound that is no label any longer excludes nothing
        return any(low <= number < high for number in wanted)

    return tuple(part for part in parts if may_hold(part))


def _texts(values: Sequence[str | None]) -> Composable:
    return fragment("{values}::text[]", values=literal(list(values)))
