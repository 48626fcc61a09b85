"""A table of the source as its catalog describes it, and the parts that it is cut into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.storage.manifest import Column
from mindguard.sql import identifier, raw

if TYPE_CHECKING:
    from psycopg.sql import Composable


PHYSICAL_POSITION = "ctid"


@dataclass(frozen=True)
class SourceTable:
    """A table as the catalog describes it, with the expressions that read its columns."""

    schema: str
    name: str
    oid: int
    kind: Literal["table", "partitioned table", "materialized view"]
    bytes: int
    columns: tuple[Column, ...]
    output_functions: tuple[tuple[str, str], ...]
    bytewise: tuple[bool, ...]
    primary_key: tuple[str, ...]
    part_by: str
    part_by_type: str
    part_by_nullable: bool
    part_by_indexed: bool

    @property
    def full_name(self) -> str:
        """`schema.table`, unquoted: for people and for the manifest."""
        return f"{self.schema}.{self.name}"

    @property
    def relation(self) -> Composable:
        """The quoted name; ONLY keeps the rows of inheritance children out, as pg_dump does."""
        quoted = identifier(self.schema, self.name)
        return quoted if self.kind == "partitioned table" else raw("only ") + quoted


@dataclass(frozen=True)
class PlannedPart:
    """One part before it is read: which rows, how many, and what their values digest to."""

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


def column_of(row: dict[str, Any]) -> Column:
    return Column(
        name=row["name"],
        type=row["type"],
        encoding="native" if plan.is_native(row["builtin"]) else "text",
        collation=row["collation"],
        not_null=row["not_null"],
        identity=row["identity"],
        generated=row["generated"],
        default=row["default_expression"],
    )


def hash_is_bytewise(row: dict[str, Any]) -> bool:
    """Whether PostgreSQL's hash of the type tells all values apart: floats hash −0 and 0 alike, and a
    nondeterministic collation hashes different strings alike."""
    return plan.is_native(row["builtin"]) and not row["builtin"].startswith("float") and row["deterministic"]
