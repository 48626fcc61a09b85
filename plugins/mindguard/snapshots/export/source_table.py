"""A table of the source as the catalog describes it, and the parts that it is cut into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.storage.manifest import Column
from mindguard.sql import fragment, identifier

if TYPE_CHECKING:
    from psycopg.sql import Composable


PHYSICAL_POSITION = "ctid"


class FunctionName(NamedTuple):
    """The name of a database function, unquoted."""

    schema: str
    name: str


@dataclass(frozen=True)
class SourceColumn:
    """A column, and how the source turns its values into text and into hashes.

    Attributes:
        column: the column as the manifest records it.
        output_function: the output function of its type; None if it cannot be called with the type itself.
        hash_is_bytewise: whether PostgreSQL's hash of the type distinguishes all values. It does not for floats
            (−0 and 0 have the same hash) and under a nondeterministic collation (different strings may have the
            same hash).
    """

    column: Column
    output_function: FunctionName | None
    hash_is_bytewise: bool

    @classmethod
    def from_catalog(cls, row: dict[str, Any]) -> SourceColumn:
        """Read a row of `select_columns.sql`."""
        native = plan.is_native(row["builtin"])
        column = Column(
            name=row["name"],
            type=row["type"],
            encoding="native" if native else "text",
            collation=row["collation"],
            not_null=row["not_null"],
            identity=row["identity"],
            generated=row["generated"],
            default=row["default_expression"],
        )
        bytewise = native and not row["builtin"].startswith("float") and row["deterministic"]
        output = FunctionName(row["output_schema"], row["output_name"]) if row["output_fits"] else None
        return cls(column, output, bytewise)


@dataclass(frozen=True)
class SourceTable:
    """A table as the catalog describes it.

    Attributes:
        schema: its schema, unquoted.
        name: its name, unquoted and without the schema.
        oid: the table's object identifier in the source's catalog.
        kind: its kind, as the manifest records it.
        bytes: size of the heap with all partitions.
        source_columns: all columns in order.
        primary_key: names of its columns, in the key's order; empty if there is no primary key.
        part_by: the column (or ctid) whose ranges cut the table into parts.
        part_by_type: SQL type of that column.
        part_by_nullable: whether that column can be null.
        part_by_indexed: whether an index begins with that column.
    """

    schema: str
    name: str
    oid: int
    kind: Literal["table", "partitioned table", "materialized view"]
    bytes: int
    source_columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...]
    part_by: str
    part_by_type: str
    part_by_nullable: bool
    part_by_indexed: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns as the manifest records them."""
        return tuple(each.column for each in self.source_columns)

    @property
    def full_name(self) -> str:
        """`schema.table`, unquoted: for people and for the manifest."""
        return f"{self.schema}.{self.name}"

    @property
    def relation(self) -> Composable:
        """The quoted name; ONLY excludes the rows of inheritance children, as pg_dump does."""
        quoted = identifier(self.schema, self.name)
        return quoted if self.kind == "partitioned table" else fragment("only {table}", table=quoted)


@dataclass(frozen=True)
class PlannedPart:
    """One part before it is read: which rows it has, how many, and the digest of their values."""

    table: SourceTable
    key_range: KeyRange
    rows: int
    fingerprint: str
    times_as_text: bool

    @property
    def content_id(self) -> str:
        """See `plan.content_id`."""
        return plan.content_id(
            self.table.full_name,
            self.table.columns,
            part_by=self.table.part_by,
            key_range=self.key_range,
            rows=self.rows,
            fingerprint=self.fingerprint,
            times_as_text=self.times_as_text,
        )
