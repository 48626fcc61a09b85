"""A table of the source as the catalog describes it, and the parts that it is cut into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.storage.manifest import Column, Part
from mindguard.sql import fragment, identifier, literal, raw

if TYPE_CHECKING:
    from psycopg.sql import Composable


PHYSICAL_POSITION = "ctid"
_MOST_COLUMNS = 800


class QualifiedName(NamedTuple):
    """The name of a function, operator or collation with its schema, unquoted."""

    schema: str
    name: str


@dataclass(frozen=True)
class KeyOrder:
    """The one order in which a table's rows are counted by part and read by part.

    Operators are named with their schemas: an extension's type would otherwise be compared as something else, citext
    for instance as text.

    Attributes:
        type: SQL type of the key, the base type of a domain.
        less: the operator `<`.
        at_least: the operator `>=`.
        collation: the column's collation; None for the database's default, or a type that has none.
    """

    type: str
    less: QualifiedName
    at_least: QualifiedName
    collation: QualifiedName | None = None

    @classmethod
    def from_catalog(cls, row: dict[str, Any]) -> KeyOrder:
        """Read a row of `select_key_order.sql`."""
        return cls(
            row["type"],
            QualifiedName(row["less_schema"], row["less_name"]),
            QualifiedName(row["at_least_schema"], row["at_least_name"]),
            QualifiedName(row["collation_schema"], row["collation_name"]) if row["collation_name"] else None,
        )

    @property
    def collate(self) -> Composable:
        """The clause that names the collation; empty if there is none to name."""
        return fragment("collate {name}", name=identifier(*self.collation)) if self.collation else raw("")

    def boundary(self, text: str) -> Composable:
        """Return a boundary as a value of the key's type and collation."""
        return fragment("{text}::{type} {collate}", text=literal(text), type=raw(self.type), collate=self.collate)


POSITION_ORDER = KeyOrder("tid", QualifiedName("pg_catalog", "<"), QualifiedName("pg_catalog", ">="))


@dataclass(frozen=True)
class SourceColumn:
    """A column, and how the source turns its values into text and into hashes.

    Attributes:
        column: the column as the manifest records it.
        output_function: the output function of its type; None if it cannot be called with the type itself.
        hash_is_bytewise: whether PostgreSQL's hash of the type distinguishes all values. It does not for floats
            (−0 and 0 have the same hash) and under a nondeterministic collation (different strings may have the
            same hash).
        may_be_large_object: whether its values may be identifiers of large objects.
    """

    column: Column
    output_function: QualifiedName | None
    hash_is_bytewise: bool
    may_be_large_object: bool = False

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
        output = QualifiedName(row["output_schema"], row["output_name"]) if row["output_fits"] else None
        return cls(column, output, bytewise, may_be_large_object=row["is_oid"])


@dataclass(frozen=True)
class ReadState:
    """What the values of a table's rows depend on although a change of it touches no row.

    Attributes:
        state: digest of the identities of database and types.
        members: digest of the own state of the table, and of each partition or child, by object identifier.
        obstacle: what makes the rows comparable by their values alone; None if tuple digests can be compared.
    """

    state: str
    members: Mapping[int, str]
    obstacle: str | None = None

    @classmethod
    def from_catalog(cls, rows: Sequence[dict[str, Any]]) -> ReadState:
        """Read the rows of `select_read_states.sql` for one table."""
        states = {row["member"]: row["state"] for row in rows}
        obstacles = (row["obstacle"] for row in rows if row["obstacle"])
        return cls(states.pop(0), states, min(obstacles, default=None))


@dataclass(frozen=True)
class SourceTable:
    """A table as the catalog describes it.

    Attributes:
        schema: its schema, unquoted.
        name: its name, unquoted and without the schema.
        oid: the table's object identifier in the source's catalog.
        kind: its kind, as the manifest records it.
        inherited: for a table that others inherit from, whether its rows are its `own` ones or `all`; None for any
            other table.
        bytes: size of the heap with all partitions.
        source_columns: all columns in order.
        primary_key: names of its columns, in the key's order; empty if there is no primary key.
        part_by: the column (or ctid) whose ranges cut the table into parts.
        order: the order of that column's values.
        part_by_nullable: whether that column can be null.
        part_by_indexed: whether an index begins with that column.
        unlogged: whether the server itself empties it after a crash.
        may_have_long_rows: whether values may be stored out of line. If none is, a row fits into a page of 8 kB, if
            compressed.
        query: what gives the rows, where no table of that name does; None: the table.
        read_state: what tuple digests rest on; None if the rows have none, because a query gives them.
        children_left_out: tables that inherit from it, and whose rows are neither its own nor asked for.
    """

    schema: str
    name: str
    oid: int
    kind: Literal["table", "partitioned table", "materialized view", "large objects"]
    inherited: Literal["own", "all"] | None
    bytes: int
    source_columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...]
    part_by: str
    order: KeyOrder
    part_by_nullable: bool
    part_by_indexed: bool
    unlogged: bool = False
    may_have_long_rows: bool = True
    query: Composable | None = None
    read_state: ReadState | None = None
    children_left_out: tuple[str, ...] = ()

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
        if self.query:
            return fragment("({query}) as rows_of", query=self.query)
        quoted = identifier(self.schema, self.name)
        return quoted if self.has_rows_below else fragment("only {table}", table=quoted)

    @property
    def member(self) -> Composable:
        """The object identifier of the partition or child that holds a row."""
        return raw("tableoid") if self.has_rows_below else literal(self.oid)

    @property
    def tuple_hash(self) -> Composable:
        """The hash of the number of the transaction that wrote a row; null where a query gives the rows."""
        return raw("null::bigint" if self.query else "hash_record_extended(row(xmin), 1)")

    @property
    def fits_one_pass(self) -> bool:
        """Whether one query can give the rows and their digests. It may read each column in two forms."""
        return 0 < len(self.source_columns) <= _MOST_COLUMNS

    @property
    def comparable_state(self) -> ReadState | None:
        """What tuple digests rest on; None if only values can be compared."""
        return self.read_state if self.read_state and not self.read_state.obstacle else None

    @property
    def has_rows_below(self) -> bool:
        """Whether its rows include those of its partitions or inheritance children."""
        return self.kind == "partitioned table" or self.inherited == "all"


LARGE_OBJECTS: dict[str, Any] = {
    "schema": "pg_catalog",
    "name": "pg_largeobject",
    "oid": 2613,  # the same in every database
    "kind": "large objects",
    "inherited": None,
    "source_columns": (
        SourceColumn(
            Column(name="loid", type="oid", encoding="text", not_null=True),
            QualifiedName("pg_catalog", "oidout"),
            hash_is_bytewise=False,
        ),
        SourceColumn(
            Column(name="data", type="bytea", encoding="native", not_null=True),
            QualifiedName("pg_catalog", "byteaout"),
            hash_is_bytewise=True,
        ),
    ),
    "primary_key": ("loid",),
    "part_by": "loid",
    "order": KeyOrder("oid", QualifiedName("pg_catalog", "<"), QualifiedName("pg_catalog", ">=")),
    "part_by_nullable": False,
    "part_by_indexed": True,
}
"""Large objects as a table of number and content; only size and query are missing."""


@dataclass(frozen=True)
class PlannedPart:
    """One part before it is read.

    Attributes:
        table: the table.
        key_range: which of its rows the part has.
        rows: their number.
        fingerprint: the digest of their values; None if it is made while they are exported, since nothing like them is
            stored yet.
        times_as_text: whether a time does not fit into Parquet's types.
        tuples: their tuple digest; None if equal digests would not mean equal rows.
        values_read_at: when the values were read; None: now.
    """

    table: SourceTable
    key_range: KeyRange
    rows: int
    fingerprint: str | None
    times_as_text: bool
    tuples: str | None = None
    values_read_at: datetime | None = None

    @classmethod
    def unchanged(cls, table: SourceTable, key_range: KeyRange, part: Part) -> PlannedPart:
        """Return a part whose rows are those of an earlier snapshot's part."""
        return cls(table, key_range, part.rows, part.fingerprint, part.times_as_text, part.tuples, part.values_read_at)

    @property
    def content_id(self) -> str:
        """See `plan.content_id`; only for a part whose fingerprint is known."""
        assert self.fingerprint is not None
        return plan.content_id(
            self.table.full_name,
            self.table.columns,
            part_by=self.table.part_by,
            key_range=self.key_range,
            rows=self.rows,
            fingerprint=self.fingerprint,
            times_as_text=self.times_as_text,
        )
