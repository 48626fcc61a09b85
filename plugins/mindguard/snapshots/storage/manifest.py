"""The manifest describes a snapshot. It is written last and never changes; without it, the snapshot does not exist.

The models below are the format; `docs/manifest.schema.json` is generated from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mindguard.errors import MindGuardError
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.layout import below_prefix

FORMAT: Final = 3
"""Format 2 lacks what tuple digests need. In format 1, keys also begin with the prefix of the snapshot's store."""

_READABLE = (1, 2, FORMAT)
_NEW_IN_FORMAT_3 = {"tuples", "settled", "values_read_at", "read_state", "timeline", "next_transaction", "started_at"}


class ManifestInvalid(MindGuardError):
    """A manifest cannot be trusted: it was altered or cut off, or has a format that this version cannot read."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Record):
    """One column, with what its exact restore needs."""

    name: str
    type: str = Field(description="exact SQL type with its modifier; a user-defined type is schema-qualified")
    encoding: Literal["native", "text"] = Field(
        description="native: a Parquet type; text: PostgreSQL's own output under pinned settings"
    )
    collation: str | None = Field(None, description="only if it is not the type's default")
    not_null: bool = False
    identity: Literal["a", "d"] | None = Field(None, description="a: GENERATED ALWAYS, d: BY DEFAULT")
    generated: Literal["s", "v"] | None = Field(None, description="s: stored, v: virtual")
    default: str | None = Field(None, description="default or generation expression, as SQL")


class StoredObject(_Record):
    """An immutable object: a part, or another object that is stored beside the parts."""

    key: str = Field(description="below the prefix of the snapshots, for instance parts/public.t/….parquet")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the stored bytes")
    bytes: int = Field(ge=1)

    @property
    def content(self) -> Content:
        """The content that the store must return for the key."""
        return Content(self.sha256, self.bytes)


class Part(StoredObject):
    """One immutable Parquet object: the rows of one table whose key lies in [lower, upper)."""

    rows: int = Field(ge=1)
    fingerprint: str = Field(pattern="^[0-9a-f]{32}$", description="value digest, computed inside PostgreSQL")
    lower: str | None = Field(None, description="inclusive; null: unbounded. PostgreSQL's text of the key")
    upper: str | None = Field(
        None, description="exclusive; null: unbounded, and the part contains the rows without a key"
    )
    times_as_text: bool = Field(
        default=False,
        description="date and timestamp columns are text, because a value is infinite or outside years 1 to 9999",
    )
    tuples: str | None = Field(
        None,
        pattern="^[0-9a-f]{32}$",
        description="tuple digest: of the transactions that wrote the rows; null: not recorded",
    )
    values_read_at: AwareDatetime | None = Field(
        None,
        description="when the values were last read from the source; since then, the tuple digest says that they have "
        "not changed. Null: not recorded",
    )


class Settled(_Record):
    """The rows of a table whose key is below a bound: those that had not changed since the snapshot before."""

    upper: str = Field(description="exclusive, the lower bound of a part")
    tuples: str = Field(pattern="^[0-9a-f]{32}$", description="their tuple digest")


class TableName(NamedTuple):
    """The name of a table, unquoted."""

    schema: str
    name: str


def as_arrays(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names of the form `schema.table` as the two arrays that the statements for many tables bind."""
    parts = [name.partition(".") for name in names]
    return {"schemas": [schema for schema, _, _ in parts], "relations": [relation for _, _, relation in parts]}


class Table(_Record):
    """One table of the snapshot; its rows are those of its parts, each exactly once."""

    name: str = Field(description="schema.table, unquoted")
    kind: Literal["table", "partitioned table", "materialized view", "large objects"]
    inherited: Literal["own", "all"] | None = Field(
        None,
        description="for a table that others inherit from: own rows only, or also those of its children, which are "
        "then rows of this table; null: none inherits from it",
    )
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    part_by: str = Field(description="column (or ctid) whose ranges cut the table into parts")
    rows: int = Field(ge=0)
    fingerprint: str = Field(pattern="^[0-9a-f]{32}$", description="sum of the parts' fingerprints")
    read_state: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="digest of the identities of database and types, on which tuple digests rest; null: the rows can "
        "only be compared by their values",
    )
    tuples: str | None = Field(None, pattern="^[0-9a-f]{32}$", description="tuple digest of the whole table")
    settled: Settled | None = Field(None, description="rows that the next snapshot can compare as one; null: none")
    parts: tuple[Part, ...]

    @property
    def table_name(self) -> TableName:
        """The schema and the bare name."""
        schema, _, name = self.name.partition(".")
        return TableName(schema, name)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def values_read_at(self) -> datetime | None:
        """When the values were last read that were not read for the longest time; None: no rows, or not recorded."""
        times = [part.values_read_at for part in self.parts]
        return min((time for time in times if time), default=None) if None not in times else None


class Enum(_Record):
    """An enum type that a column uses, with its labels in order."""

    name: str
    labels: tuple[str, ...]


class Sequence(_Record):
    """Position of a sequence. It is read after the rows, so never behind them."""

    name: str = Field(description="schema.sequence, quoted where PostgreSQL would quote it")
    last_value: int
    is_called: bool


class SourceIdentity(_Record):
    """The database from which the rows came. Host and user are left out, because the bucket need not know them."""

    database: str
    server_version: int = Field(description="server_version_num, for instance 180006")
    system_identifier: str | None = Field(description="null if the role may not read it")
    search_path: str | None = Field(
        None, description="search_path of the source's sessions by default; null: not recorded"
    )
    lsn: str = Field(description="position in the write-ahead log when the snapshot was taken")
    timeline: int | None = Field(None, description="timeline of the write-ahead log; null: could not be learned")
    next_transaction: int | None = Field(
        None, description="the first transaction number, with its epoch, that was not given out yet"
    )
    started_at: AwareDatetime | None = Field(None, description="when the server was started")
    exported_snapshot: str


class Manifest(_Record):
    """One snapshot: all tables as they were at one instant."""

    format: Literal[1, 2, 3] = FORMAT
    snapshot_id: str
    taken_at: AwareDatetime = Field(description="UTC")
    logical_date: AwareDatetime | None = Field(
        None, description="logical date of the scheduled run; the rows are those of taken_at nevertheless"
    )
    source: SourceIdentity
    tables: tuple[Table, ...] = Field(min_length=1)
    large_objects: Table | None = Field(
        None, description="the large objects that the tables refer to, as rows of number and content; null: not taken"
    )
    enums: tuple[Enum, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    schema_dump: StoredObject = Field(description="pg_dump --schema-only -Fc of the whole database at the same instant")
    quarantined_for: tuple[str, ...] = Field(
        (), description="why this snapshot does not count as good, one line for each reason; empty: it is good"
    )
    not_held: tuple[str, ...] = Field(
        (), description="what the tables refer to and the snapshot does not hold, one line each: large objects"
    )
    keys: tuple[str, ...] = Field(
        (), description="ids of the master keys that reading it needs; empty: it is not encrypted on the client's side"
    )

    @property
    def status(self) -> Literal["good", "quarantined"]:
        """Whether the gate let it count as good."""
        return "quarantined" if self.quarantined_for else "good"

    @property
    def contents(self) -> tuple[Table, ...]:
        """Everything that is stored in parts: the tables, and the large objects if they were taken."""
        return (*self.tables, self.large_objects) if self.large_objects else self.tables

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all parts, including those shared with other snapshots."""
        return sum(table.stored_bytes for table in self.contents)

    @property
    def unread(self) -> tuple[str, ...]:
        """The tables of which not all values were read for the snapshot: the others were taken for unchanged."""
        return tuple(each.name for each in self.contents if each.values_read_at not in (None, self.taken_at))

    @property
    def objects(self) -> tuple[StoredObject, ...]:
        """Every stored object that the snapshot needs."""
        return (*self.parts, self.schema_dump)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts of all tables and of the large objects."""
        return tuple(part for table in self.contents for part in table.parts)

    def to_bytes(self) -> bytes:
        """Return JSON for the store, with a digest over everything else so that an altered manifest is noticed."""
        body = _without_silent(self.model_dump(mode="json", exclude=None if self.keys else {"keys"}))
        if self.format != 1:
            body = _with_keys(body, lambda key: below_prefix(key) or key)
        return json.dumps(body | {"digest": _digest(body)}, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_bytes(cls, stored: bytes, *, origin: str, prefix: str = "") -> Manifest:
        """Read a manifest that `to_bytes` wrote.

        Args:
            stored: the bytes.
            origin: where they come from, for errors.
            prefix: the prefix under which they were found. All keys become keys under this prefix, whatever the one
                under which the snapshot was taken: a copy is never read from its original.

        Raises:
            ManifestInvalid: the bytes are not JSON, were altered, have another format, or are inconsistent.
        """
        try:
            body: dict[str, Any] = json.loads(stored)
            digest = body.pop("digest")
            digest_now = _digest(body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ManifestInvalid(f"manifest {origin} is not a manifest of this package") from None
        if body.get("format") not in _READABLE:
            raise ManifestInvalid(
                f"manifest {origin} has format {body.get('format')}, this version reads formats 1 to {FORMAT}",
                hint="use the version of mindguard that wrote it",
            )
        if digest != digest_now:
            raise ManifestInvalid(f"manifest {origin} was altered after it was published")
        if prefix:
            body = _with_keys(body, lambda key: f"{prefix}/{_below(key, origin)}")
        try:
            manifest = cls.model_validate(body)
        except ValidationError as error:
            fault = error.errors()[0]
            # The original error quotes what it was given, such as the keys at which a table is cut.
            raise ManifestInvalid(f"manifest {origin}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
        manifest.check_sums(origin)
        return manifest

    def check_sums(self, origin: str) -> None:
        """Check that each table's row count and fingerprint are the sums of those of its parts.

        Raises:
            ManifestInvalid: a table's row count or fingerprint is not that sum.
        """
        for table in self.contents:
            rows = sum(part.rows for part in table.parts)
            if rows != table.rows or table.fingerprint != combine(part.fingerprint for part in table.parts):
                raise ManifestInvalid(
                    f"manifest {origin}: the parts of {table.name} ({rows} rows) are not the table ({table.rows} rows)"
                )


def _without_silent(value: Any) -> Any:
    """Return the JSON value without the fields of format 3 that say nothing: older formats stay as they were."""
    if isinstance(value, list):
        return [_without_silent(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_silent(each) for name, each in value.items() if each is not None or name not in _NEW_IN_FORMAT_3
    }


def _with_keys(value: Any, change: Callable[[str], str]) -> Any:
    """Return the JSON value with another key for each stored object in it."""
    if isinstance(value, list):
        return [_with_keys(each, change) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {name: _with_keys(each, change) for name, each in value.items()}
    if "sha256" in value and isinstance(value.get("key"), str):
        changed["key"] = change(value["key"])
    return changed


def _below(key: str, origin: str) -> str:
    below = below_prefix(key)
    if below is None:
        raise ManifestInvalid(f"manifest {origin} names {key!r}, which is no key of this package")
    return below


def _digest(body: dict[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


_LANE = 1 << 64


def fingerprint(sum_1: int, sum_2: int) -> str:
    """Return the value digest made of the two sums that PostgreSQL computed: two lanes of 64 bits, in hexadecimal."""
    return f"{sum_1 % _LANE:016x}{sum_2 % _LANE:016x}"


def tuple_digest(written: Iterable[tuple[str, int, int]]) -> str:
    """Return the tuple digest of a part.

    Args:
        written: for each partition or child with rows in the part, the digest of its state, the number of its rows, and
            the sum of their hashed transaction numbers.
    """
    facts = ", ".join(sorted(f"{state} {rows} {total % _LANE}" for state, rows, total in written))
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def combine(fingerprints: Iterable[str]) -> str:
    """Return the fingerprint of all rows from the fingerprints of disjoint groups of them."""
    lanes = [(int(each[:16], 16), int(each[16:], 16)) for each in fingerprints]
    return fingerprint(sum(first for first, _ in lanes), sum(second for _, second in lanes))


def new_snapshot_id(taken_at: datetime, suffix: str) -> str:
    """Return an id that sorts by time; the suffix makes it unique, because two runs in one second must not collide."""
    return f"{taken_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{suffix}"
