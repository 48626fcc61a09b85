"""The source database: one exported snapshot, and through it the tables, their fingerprints and their rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard.snapshots import pgtools
from mindguard.snapshots.database_errors import cause
from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.reader import Reader
from mindguard.snapshots.export.source_errors import ColumnMissing, SourceError, TableMissing, explained
from mindguard.snapshots.export.source_table import PHYSICAL_POSITION, PlannedPart, SourceColumn, SourceTable
from mindguard.snapshots.export.statements import digested, part_number, range_test, time_out_of_range
from mindguard.snapshots.pgtools import DumpedSchema
from mindguard.snapshots.storage import manifest
from mindguard.snapshots.storage.manifest import Enum, Sequence
from mindguard.sql import fragment, identifier, joined, literal, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

_KINDS: dict[str, Literal["table", "partitioned table", "materialized view"]] = {
    "r": "table",
    "p": "partitioned table",
    "m": "materialized view",
}
_OTHER_KINDS = {"v": "a view", "f": "a foreign table", "S": "a sequence", "i": "an index", "c": "a type"}
_MINIMUM_VERSION = 14_00_00


class TableFingerprint(NamedTuple):
    """A table's row count and the digest of all its values."""

    rows: int
    fingerprint: str


class SourceSnapshot:
    """An open REPEATABLE READ, READ ONLY transaction whose snapshot other connections can join.

    `open_source` makes one. All methods see the database as it was at that one instant.
    """

    def __init__(self, conninfo: str, connection: psycopg.Connection[dict[str, Any]], max_age_s: int) -> None:
        self._conninfo = conninfo
        self._connection = connection
        self._max_age_s = max_age_s
        self._connection.execute(self._pin_statement())
        facts = self._one("select_source")
        self.server_version: int = facts["server_version"]
        _refuse_unfit(facts)
        self.identity = manifest.SourceIdentity(
            database=facts["database"],
            server_version=facts["server_version"],
            system_identifier=self._system_identifier(),
            lsn=facts["lsn"],
            exported_snapshot=self._one("export_snapshot")["pg_export_snapshot"],
        )

    def _pin_statement(self) -> Composed:
        return statement("pin_session", statement_timeout=literal(f"{self._max_age_s}s"))

    def _one(self, name: str, **values: Any) -> dict[str, Any]:
        row = self._connection.execute(statement(name), values).fetchone()
        if row is None:  # pragma: no cover - each of these statements gives exactly one row
            raise SourceError(f"{name} gave no row")
        return row

    def _system_identifier(self) -> str | None:
        import psycopg

        try:
            with self._connection.transaction():
                return str(self._one("select_system_identifier")["system_identifier"])
        except psycopg.errors.InsufficientPrivilege:
            return None

    def describe(self, full_name: str, part_by: str | None) -> SourceTable:
        """Look a table up in the catalog.

        Args:
            full_name: `schema.table`, unquoted.
            part_by: the column that cuts the table into parts. None takes the first column of the primary key, or
                the physical position if there is no primary key.

        Raises:
            TableMissing: the table does not exist, or is of a kind that has no rows of its own.
            ColumnMissing: the table has no column `part_by`.
            SourceError: the role may not read the table.
        """
        schema, _, name = full_name.partition(".")
        found = self._connection.execute(statement("select_table"), {"schema": schema, "name": name}).fetchone()
        if found is None:
            raise TableMissing(
                f"table {full_name} does not exist in database {self.identity.database}",
                hint="correct snapshot.tables in the settings",
            )
        if found["kind"] not in _KINDS:
            raise TableMissing(
                f"{full_name} is {_OTHER_KINDS.get(found['kind'], 'not a table')}",
                hint="name the base tables in snapshot.tables",
            )
        if not found["readable"]:
            raise SourceError(f"no right to read {full_name}", hint="GRANT pg_read_all_data to the connection's role")
        rows = self._connection.execute(statement("select_columns"), {"oid": found["oid"]}).fetchall()
        primary_key = tuple(
            row["attname"] for row in self._connection.execute(statement("select_primary_key"), {"oid": found["oid"]})
        )
        key = part_by or (primary_key[0] if primary_key else PHYSICAL_POSITION)
        key_row = next((row for row in rows if row["name"] == key), None)
        if key_row is None and key != PHYSICAL_POSITION:
            raise ColumnMissing(
                f"{full_name} has no column {key!r}",
                hint=f"part_by can be one of {', '.join(row['name'] for row in rows)}",
            )
        return SourceTable(
            schema=schema,
            name=name,
            oid=found["oid"],
            kind=_KINDS[found["kind"]],
            bytes=found["bytes"],
            source_columns=tuple(map(SourceColumn.from_catalog, rows)),
            primary_key=primary_key,
            part_by=key,
            part_by_type=key_row["type"] if key_row else "tid",
            part_by_nullable=bool(key_row and not key_row["not_null"]),
            part_by_indexed=bool(key_row is None or key_row["indexed"]),
        )

    def probe(self, table: SourceTable) -> None:
        """Read one row, so that what would stop an export is found now.

        Raises:
            SourceError: the table cannot be read, for instance because row-level security would hide rows.
        """
        import psycopg

        try:
            with self._connection.transaction():
                self._connection.execute(statement("probe_table", table=table.relation))
        except psycopg.Error as error:
            raise explained(error) from cause(error)

    def enums(self, tables: list[SourceTable]) -> tuple[Enum, ...]:
        """Return the enum types that the tables' columns use, directly or inside arrays and domains."""
        found = self._connection.execute(statement("select_enums"), {"tables": [table.oid for table in tables]})
        return tuple(Enum(name=row["name"], labels=tuple(row["labels"])) for row in found)

    def sequences(self, tables: list[SourceTable]) -> tuple[Sequence, ...]:
        """Return the positions of the sequences that feed the tables' columns.

        Call it after the rows were read: sequences are not part of the transaction's snapshot, so one that is read
        later is never behind the rows.
        """
        found = self._connection.execute(
            statement("select_sequences"), {"tables": [table.oid for table in tables]}
        ).fetchall()
        states = [
            self._connection.execute(
                statement("read_sequence", sequence=identifier(row["schema"], row["relation"]))
            ).fetchone()
            for row in found
        ]
        return tuple(
            Sequence(name=row["name"], last_value=state["last_value"], is_called=state["is_called"])
            for row, state in zip(found, states, strict=True)
            if state
        )

    def plan(self, table: SourceTable, previous: list[str], part_bytes: int) -> list[PlannedPart]:
        """Cut the table into parts, and count and digest the rows of each.

        Args:
            table: the table to cut.
            previous: boundaries of the previous snapshot, ascending. They are kept, so that unchanged rows keep
                their parts. If there are none, the table is cut for the first time.
            part_bytes: bytes of the source's heap that a part aims at; a part more than twice as large is split.

        Returns:
            The parts in key order; ranges without rows are left out.
        """
        parts = self._fingerprint(table, plan.WHOLE, previous or self._first_boundaries(table, part_bytes))
        row_bytes = table.bytes / max(sum(part.rows for part in parts), 1)
        planned: list[PlannedPart] = []
        for part in parts:
            pieces = plan.pieces(part.rows * row_bytes, part_bytes)
            within = self._boundaries_within(table, part.key_range, pieces) if pieces > 1 else []
            planned.extend(self._fingerprint(table, part.key_range, within) if within else [part])
        return planned

    def fingerprint(self, table: SourceTable) -> TableFingerprint:
        """Count and digest the rows of the whole table."""
        parts = self._fingerprint(table, plan.WHOLE, [])
        return TableFingerprint(sum(part.rows for part in parts), manifest.combine(part.fingerprint for part in parts))

    def _first_boundaries(self, table: SourceTable, part_bytes: int) -> list[str]:
        pieces = plan.pieces(table.bytes, part_bytes)
        if pieces == 1:
            return []
        if table.part_by == PHYSICAL_POSITION:
            return plan.block_boundaries(table.bytes, part_bytes)
        found = self._connection.execute(
            statement(
                "sample_boundaries",
                key=identifier(table.part_by),
                table=table.relation,
                fractions=literal(plan.fractions(pieces)),
                percent=literal(plan.sample_percent(table.bytes)),
            )
        )
        return [row["boundary"] for row in found]

    def _boundaries_within(self, table: SourceTable, key_range: KeyRange, pieces: int) -> list[str]:
        """Return boundaries strictly inside the range; there are none if all its rows share one key."""
        found = self._connection.execute(
            statement(
                "split_range",
                key=identifier(table.part_by),
                table=table.relation,
                fractions=literal(plan.fractions(pieces)),
                range=range_test(table, key_range),
            )
        )
        return [row["boundary"] for row in found if row["boundary"] != key_range.lower]

    def _fingerprint(self, table: SourceTable, within: KeyRange, boundaries: list[str]) -> list[PlannedPart]:
        """Cut the range at the boundaries, and count and digest the rows of each part in one scan of the range."""
        ranges = plan.ranges(boundaries, within)
        found = self._connection.execute(
            statement(
                "fingerprint_parts",
                part=part_number(table, boundaries),
                values=joined(", ", map(digested, table.source_columns)),
                time_out_of_range=time_out_of_range(table.columns),
                table=table.relation,
                range=range_test(table, within),
            )
        )
        return [
            PlannedPart(
                table=table,
                key_range=ranges[row["part"]],
                rows=row["row_count"],
                fingerprint=manifest.fingerprint(int(row["sum_1"]), int(row["sum_2"])),
                times_as_text=row["times_as_text"],
            )
            for row in found
        ]

    def dump_schema(self) -> DumpedSchema:
        """Dump the whole database's schema."""
        return pgtools.dump_schema(self._conninfo, self.identity.exported_snapshot)

    def reader(self) -> Reader:
        """Open another connection that sees the same instant. Each thread needs its own, and closes it."""
        return Reader(
            self._conninfo,
            (
                fragment("begin isolation level repeatable read read only"),
                fragment("set transaction snapshot {id}", id=literal(self.identity.exported_snapshot)),
                self._pin_statement(),
            ),
        )


def _refuse_unfit(facts: dict[str, Any]) -> None:
    """Raise SourceError if snapshots of this server or database would be impossible or worthless."""
    if facts["server_version"] < _MINIMUM_VERSION:
        raise SourceError(
            f"the source runs PostgreSQL {facts['server_version'] // 10_000}; 14 or newer is needed",
            hint="upgrade it: fingerprints rest on hash_record_extended, which PostgreSQL 14 introduced",
        )
    if facts["encoding"] == "SQL_ASCII":
        raise SourceError(
            f"database {facts['database']} has encoding SQL_ASCII: its text has no known meaning",
            hint="move it to a UTF8 database before you take snapshots of it",
        )


@contextmanager
def open_source(conninfo: str, *, max_age_s: int) -> Iterator[SourceSnapshot]:
    """Connect and export a snapshot, which lives until the block ends.

    Args:
        conninfo: libpq connection string.
        max_age_s: seconds after which the server ends any statement, so that a stuck run never holds back vacuum.

    Yields:
        The source as it is at this instant.

    Raises:
        SourceError: instead of any error of the database, also within the block; one line that says what to do.
    """
    import psycopg
    from psycopg.rows import dict_row

    try:
        with psycopg.connect(conninfo, row_factory=dict_row, autocommit=False) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield SourceSnapshot(conninfo, connection, max_age_s)
    except psycopg.Error as error:
        raise explained(error) from cause(error)
