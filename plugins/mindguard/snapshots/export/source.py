"""The source database: one exported snapshot, and through it the tables, their fingerprints and their rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from itertools import chain, groupby, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard import postgres_session
from mindguard.connections import conn_id_of
from mindguard.errors import MindGuardError, about, first_few
from mindguard.postgres_session import pinned
from mindguard.snapshots import pgtools
from mindguard.snapshots.database_errors import cause
from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.reader import Reader
from mindguard.snapshots.export.source_errors import (
    ColumnMissing,
    SourceError,
    TableMissing,
    TuplesContradicted,
    explained,
)
from mindguard.snapshots.export.source_table import (
    LARGE_OBJECTS,
    PHYSICAL_POSITION,
    POSITION_ORDER,
    KeyOrder,
    PlannedPart,
    ReadState,
    SourceColumn,
    SourceTable,
)
from mindguard.snapshots.export.statements import above, digested, part_number, range_test, row_bytes, time_out_of_range
from mindguard.snapshots.export.watch import Watch
from mindguard.snapshots.pgtools import DumpedSchema
from mindguard.snapshots.storage import manifest
from mindguard.snapshots.storage.manifest import Enum, Part, Settled
from mindguard.snapshots.texts import TEXTS
from mindguard.sql import fragment, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Composed

_KINDS: dict[str, Literal["table", "partitioned table", "materialized view"]] = {
    "r": "table",
    "p": "partitioned table",
    "m": "materialized view",
}
_OTHER_KINDS = {"v": "a view", "f": "a foreign table", "S": "a sequence", "i": "an index", "c": "a type"}
_SYSTEM_SCHEMAS = ("pg_catalog", "information_schema", "pg_toast")
_MINIMUM_VERSION = 14_00_00
_TRIES = 3
_SEQUENCES_AT_ONCE = 500
_LARGEST_ROW = 64_000_000  # bytes
# The server writes its log at the latest after three times `wal_writer_delay`, which is at most 10 s.
_DURABLE_S = 35.0
_LOOK_S = 0.1


class TableFingerprint(NamedTuple):
    """A table's row count and the digest of all its values."""

    rows: int
    fingerprint: str


class Chosen(NamedTuple):
    """A table to read, as the settings name it.

    Attributes:
        name: `schema.table`, unquoted.
        part_by: the column that cuts the table into parts. None takes the first column of the primary key, or the
            physical position if there is no primary key. A column whose type has no order counts as None.
        inherited: for a table that others inherit from: read its `own` rows or `all`; None refuses such a table.
    """

    name: str
    part_by: str | None = None
    inherited: Literal["own", "all"] | None = None


class Known(NamedTuple):
    """What an earlier snapshot tells about a table.

    Attributes:
        tuples: tuple digest of the whole table; with the same one, all of it is unchanged.
        parts: its parts whose rows are the table's if the tuple digest is, by key range.
        settled: rows that are not counted by part if they are still the same; None: there are none.
        is_due: whether the values of such a part are to be read again nevertheless.
    """

    tuples: str | None
    parts: Mapping[KeyRange, Part]
    settled: Settled | None
    is_due: Callable[[Part], bool]


class Planned(NamedTuple):
    """How a table is stored.

    Attributes:
        parts: its parts in key order; ranges without rows are left out.
        tuples: tuple digest of the whole table; None if equal digests would not mean equal rows.
        settled: its rows below the first part that has changed; None if there are none, or equal digests would not mean
            equal rows.
    """

    parts: list[PlannedPart]
    tuples: str | None
    settled: Settled | None


_Rows = Sequence[dict[str, Any]]
"""What a statement that counts by part gives for one part: a row for each partition or child that has rows in it."""
_Counted = dict[KeyRange, _Rows]
"""What such a statement gives, by key range, ascending; ranges without rows are left out."""


class _Count(NamedTuple):
    """Row count and tuple digest of one part or of several; no digest if equal ones would not mean equal rows."""

    rows: int
    tuples: str | None

    @classmethod
    def of(cls, table: SourceTable, *counted: _Rows) -> _Count:
        """Return the sum of what was counted."""
        sums: dict[int, tuple[int, int]] = {}
        for row in chain.from_iterable(counted):
            rows, total = sums.get(row["member"], (0, 0))
            sums[row["member"]] = (rows + row["row_count"], total + int(row["tuples"] or 0))
        rows = sum(each for each, _ in sums.values())
        state = table.comparable_state
        if not state or not sums.keys() <= state.members.keys():
            # A partition that came while the snapshot was taken has no state; `check_unchanged` will say so.
            return cls(rows, None)
        return cls(rows, manifest.tuple_digest((state.members[each], *sums[each]) for each in sums))

    def is_of(self, part: Part | None) -> bool:
        """Return whether these are those of the part."""
        return part is not None and self.tuples is not None and (part.rows, part.tuples) == self


class _Read(NamedTuple):
    """Parts that were counted or read, and what was counted of them."""

    parts: list[PlannedPart]
    counted: _Counted


class _Compared(NamedTuple):
    """How a table compares with an earlier snapshot.

    Attributes:
        same: ranges of the parts that are unchanged.
        changed: the other ranges that have rows, ascending.
        counted: what was counted: all rows, by part, but unchanged ones perhaps as one.
    """

    same: list[KeyRange]
    changed: list[KeyRange]
    counted: _Counted


class _Member(NamedTuple):
    """A table, partition or inheritance child whose rows are read, and the file that holds them."""

    oid: int
    filenode: int
    kind: str
    persistence: str
    name: str


class _TypeState(NamedTuple):
    """A label of an enum, or the attributes of a composite type, in a form that changes if they do."""

    name: str
    state: str


class SourceSnapshot:
    """An open REPEATABLE READ, READ ONLY transaction whose snapshot other connections can join.

    `open_source` makes one. All methods see the database as it was at that one instant.
    """

    def __init__(
        self,
        conninfo: str,
        connection: psycopg.Connection[dict[str, Any]],
        *,
        max_age_s: float,
        lock_timeout_s: float,
        watch: Watch | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._connection = connection
        self._ends = time.monotonic() + max_age_s
        self._lock_timeout_s = lock_timeout_s
        self._watch = watch
        self._max_age_s = max_age_s
        self.tables: list[SourceTable] = []
        """The tables that `open_source` has locked, in the order in which they were asked for."""
        self._connection.execute(self._pin_statement())
        facts = self._one("select_source")
        self.server_version: int = facts["server_version"]
        _refuse_unfit(facts)
        if watch:
            watch.require_name(facts["application_name"])
        self._utf8 = facts["encoding"] == "UTF8"
        self.standby: bool = facts["standby"]
        self._position: str | None = None
        self.identity = manifest.SourceIdentity(
            database=facts["database"],
            server_version=facts["server_version"],
            system_identifier=self._system_identifier(),
            search_path=facts["search_path"],
            lsn=facts["lsn"],
            timeline=self._timeline(),
            next_transaction=facts["next_transaction"],
            started_at=facts["started_at"],
            exported_snapshot=self._one("export_snapshot")["pg_export_snapshot"],
        )

    def check_open(self) -> None:
        """Raise the watch's verdict if it has ended this snapshot's sessions.

        Raises:
            SourceError: the run had to give up.
        """
        if self._watch and self._watch.verdict:
            raise copy(self._watch.verdict)  # several threads raise it, and some add what they were doing

    def _pin_statement(self) -> Composed:
        return pinned(self._max_age_s, lock_timeout_s=self._lock_timeout_s)

    def _one(self, name: str, **values: Any) -> dict[str, Any]:
        row = self._connection.execute(statement(name), values).fetchone()
        if row is None:  # pragma: no cover - each of these statements gives exactly one row
            raise SourceError(f"{name} gave no row")
        return row

    def _system_identifier(self) -> str | None:
        import psycopg

        found: str | None = self._if_possible("select_system_identifier", psycopg.errors.InsufficientPrivilege)
        return found

    def _timeline(self) -> int | None:
        import psycopg

        # Some services offer the function without an answer, each with an error of its own.
        found: int | None = self._if_possible("select_timeline", psycopg.DatabaseError)
        return found

    def _if_possible(self, name: str, refusal: type[Exception], **values: Any) -> Any:
        """Return the one value of the statement; None if the server refuses to tell it."""
        try:
            with self._connection.transaction():
                (value,) = self._one(name, **values).values()
        except refusal:
            self.check_open()
            return None
        return value

    def describe(self, full_name: str, part_by: str | None = None) -> SourceTable:
        """Look one table up; see `describe_all`. Of a table that others inherit from, only its own rows count."""
        return self.describe_all([Chosen(full_name, part_by, "own")])[0]

    def describe_all(self, chosen: Sequence[Chosen]) -> list[SourceTable]:
        """Look the tables up in the catalog.

        Raises:
            TableMissing: a table does not exist, or is of a kind that has no rows of its own.
            ColumnMissing: a table has no column `part_by`.
            SourceError: the role may not read a table, or its rows cannot be taken and restored as asked.
        """
        found = {
            f"{row['schema']}.{row['name']}": row
            for row in self._connection.execute(
                statement("select_table"), manifest.as_arrays(each.name for each in chosen)
            )
        }
        for each in chosen:
            self._refuse_unreadable(each.name, found.get(each.name))
        oids = [found[each.name]["oid"] for each in chosen]
        columns = self._by_table("select_columns", oids)
        primary_keys = {
            oid: tuple(row["name"] for row in rows) for oid, rows in self._by_table("select_primary_key", oids).items()
        }
        keys: dict[int, str] = {}
        for each, oid in zip(chosen, oids, strict=True):
            known = [row["name"] for row in columns.get(oid, ())]
            if each.part_by and each.part_by not in known:
                raise ColumnMissing(
                    f"{each.name} has no column {each.part_by!r}", hint=f"part_by can be one of {first_few(known)}"
                )
            if key := each.part_by or next(iter(primary_keys.get(oid, ())), None):
                keys[oid] = key
        orders = {
            row["table_oid"]: KeyOrder.from_catalog(row)
            for row in self._connection.execute(
                statement("select_key_order"), {"tables": list(keys), "names": list(keys.values())}
            )
        }
        trees = self._trees(oids)
        states = self._by_table(
            "select_read_states",
            oids,
            tops=[top for top, tree in trees.items() for _ in tree],
            members=[member.oid for tree in trees.values() for member in tree],
            positioned=[oid for oid in oids if oid not in orders],
        )
        described, asked = [], {each.name for each in chosen}
        for each, oid in zip(chosen, oids, strict=True):
            rows = columns.get(oid, [])
            key_row = next((row for row in rows if oid in orders and row["name"] == keys[oid]), None)
            has_children = found[each.name]["kind"] == "r" and len(trees[oid]) > 1
            if has_children and not each.inherited:
                raise _inherited_not_set(each.name, trees[oid])
            described.append(
                SourceTable(
                    schema=found[each.name]["schema"],
                    name=found[each.name]["name"],
                    oid=oid,
                    kind=_KINDS[found[each.name]["kind"]],
                    inherited=each.inherited if has_children else None,
                    bytes=found[each.name]["bytes"],
                    source_columns=tuple(map(SourceColumn.from_catalog, rows)),
                    primary_key=primary_keys.get(oid, ()),
                    part_by=keys[oid] if key_row else PHYSICAL_POSITION,
                    order=orders[oid] if key_row else POSITION_ORDER,
                    # A NOT NULL constraint need not be valid, nor hold for partitions and children.
                    part_by_nullable=key_row is not None,
                    part_by_indexed=bool(key_row is None or key_row["indexed"]),
                    unlogged=found[each.name]["persistence"] == "u",
                    may_have_long_rows=found[each.name]["out_of_line"] is not False or each.inherited == "all",
                    read_state=ReadState.from_catalog(states[oid]),
                    children_left_out=tuple(
                        member.name
                        for member in trees[oid][1:]
                        if has_children and each.inherited == "own" and member.name not in asked
                    ),
                )
            )
        self._refuse_rows_elsewhere(described, trees)
        return described

    def _refuse_unreadable(self, name: str, found: dict[str, Any] | None) -> None:
        if found is None:
            raise TableMissing(
                f"table {name} does not exist in database {self.identity.database}",
                hint="correct snapshot.tables in the settings",
            )
        if found["kind"] not in _KINDS:
            raise TableMissing(
                f"{name} is {_OTHER_KINDS.get(found['kind'], 'not a table')}",
                hint="name the base tables in snapshot.tables",
            )
        if not found["readable"]:
            raise SourceError(f"no right to read {name}", hint="GRANT pg_read_all_data to the connection's role")
        if found["schema"] in _SYSTEM_SCHEMAS:
            raise TableMissing(
                f"{name} is a table of PostgreSQL itself, which a restore could not fill",
                hint="name the application's tables in snapshot.tables",
            )
        if not found["filled"]:
            raise SourceError(
                f"{name} is a materialized view that is not filled",
                hint=f"REFRESH MATERIALIZED VIEW {identifier(found['schema'], found['name']).as_string()}, "
                "or remove it from snapshot.tables",
            )
        if found["extension"]:
            raise SourceError(
                f"{name} belongs to extension {found['extension']}, which fills it itself when it is created; "
                "a restore could not put these rows in place",
                hint="copy what you need into a table of your own, and name that one in snapshot.tables",
            )

    def _refuse_rows_elsewhere(self, tables: list[SourceTable], trees: dict[int, list[_Member]]) -> None:
        """Raise SourceError for rows that are in another database, that a standby lacks, or that would come twice."""
        owners: dict[int, SourceTable] = {}
        for table in tables:
            members = trees[table.oid] if table.has_rows_below else trees[table.oid][:1]
            for member in members:
                if member.kind == "f":
                    raise SourceError(
                        f"{member.name}, a part of {table.full_name}, is a foreign table: its rows are elsewhere",
                        hint="detach it, or name the other partitions in snapshot.tables instead of the whole table",
                    )
                if member.persistence == "u" and self.standby:
                    raise SourceError(
                        f"{member.name} is unlogged, and this server is a standby, which does not have its rows",
                        hint="take snapshots of unlogged tables from the primary",
                    )
                if member.oid in owners:
                    raise SourceError(
                        f"the rows of {member.name} would be in the snapshot twice: in {owners[member.oid].full_name} "
                        f"and in {table.full_name}",
                        hint="remove one of the two from snapshot.tables",
                    )
                owners[member.oid] = table

    def _by_table(self, name: str, oids: Sequence[int], **more: list[int]) -> dict[int, list[dict[str, Any]]]:
        grouped: dict[int, list[dict[str, Any]]] = {}
        for row in self._connection.execute(statement(name), {"tables": list(oids), **more}):
            grouped.setdefault(row["table_oid"], []).append(row)
        return grouped

    def _trees(self, oids: Sequence[int]) -> dict[int, list[_Member]]:
        """Return each table with its partitions or inheritance children, itself first."""
        return _trees(self._connection, oids)

    def changed(self, tables: Sequence[SourceTable]) -> str | None:
        """Return what has changed since this snapshot's instant, although the snapshot should not have seen it.

        TRUNCATE and a rewrite of the table are not subject to the snapshot: afterwards it sees no rows, or others. A
        partition or child that is attached brings its old rows along. A label of an enum is written as it is now, and a
        composite value with the attributes of now.

        Returns:
            The name of a relation or type that has changed; None if all are as they were.
        """
        from psycopg.rows import dict_row

        oids = [table.oid for table in tables]
        then, types_then = self._trees(oids), _type_states(self._connection, oids)
        with postgres_session.connect(self._conninfo, row_factory=dict_row) as connection:
            connection.execute(self._pin_statement())
            now, types_now = _trees(connection, oids), _type_states(connection, oids)
        for table in tables:
            read_then, read_now = (
                set(trees.get(table.oid, ())[: None if table.has_rows_below else 1]) for trees in (then, now)
            )
            if read_then != read_now:
                return min(member.name for member in read_then ^ read_now)
        # A label that was added is in no row of the snapshot.
        altered = types_then - types_now
        return f"type {min(altered).name}" if altered else None

    def check_unchanged(self, tables: Sequence[SourceTable]) -> None:
        """Check, after the last row was read, that what was read is what was locked.

        Raises:
            SourceError: a table was rewritten, or got another partition or child, since the snapshot's instant.
        """
        if name := self.changed(tables):
            raise SourceError(
                f"{name} was changed, attached or detached while the snapshot was taken; nothing was published",
                hint="run again when no migration runs",
            )

    def hasten_durability(self) -> None:
        """Make the server write its log up to here soon: an idle server might leave it unwritten for minutes.

        The role need not be allowed to write anything. A transaction with a number and without changes is enough.
        """
        import psycopg

        if self.standby:
            return
        try:
            with postgres_session.connect(self._conninfo, autocommit=True) as other:
                found = other.execute(statement("select_own_transaction")).fetchone()
        except psycopg.DatabaseError:
            self.check_open()
        else:
            self._position = found[0] if found else None

    def wait_until_durable(self, wait_s: float = _DURABLE_S) -> bool:
        """Wait until no crash can take back what the snapshot has seen; return whether that is certain.

        With `synchronous_commit = off`, and for unlogged tables always, a transaction is visible before it is on the
        disk. If the server crashes then, another one gets its number, and rows that differ have equal tuple digests.

        Args:
            wait_s: seconds to wait at most. `hasten_durability` must have been called, else nothing is certain.
        """
        import psycopg

        if self.standby:
            return True
        deadline = time.monotonic() + wait_s
        while self._position:
            if self._if_possible("select_flushed", psycopg.DatabaseError, position=self._position):
                return True
            if time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_S)
        return False

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

    def enums(self, tables: Sequence[SourceTable]) -> tuple[Enum, ...]:
        """Return the enum types that the tables' columns use, directly or inside arrays and domains."""
        return _enums(self._connection, [table.oid for table in tables])

    def sequences(self, tables: Sequence[SourceTable]) -> tuple[manifest.Sequence, ...]:
        """Return the positions of the database's sequences: a function or the application may feed a column from any.

        Call it after the rows were read: sequences are not part of the transaction's snapshot, so one that is read
        later is never behind the rows.
        """
        found = self._connection.execute(
            statement("select_sequences"), {"tables": [table.oid for table in tables]}
        ).fetchall()
        read: list[manifest.Sequence] = []
        for first in range(0, len(found), _SEQUENCES_AT_ONCE):
            states = [
                statement(
                    "read_sequence",
                    relation=literal(row["name"]),
                    sequence=identifier(row["schema"], row["relation"]),
                )
                for row in found[first : first + _SEQUENCES_AT_ONCE]
            ]
            rows = self._connection.execute(fragment("{states}", states=joined(" union all ", states)))
            read += [manifest.Sequence.model_validate(row) for row in rows]
        return tuple(read)

    def large_objects(self, tables: Sequence[SourceTable]) -> SourceTable | None:
        """Return the large objects that the tables' columns refer to, as a table of number and content.

        Returns:
            None if no column could refer to one.

        Raises:
            SourceError: the role may not read all of them.
        """
        references = _references(tables)
        if not references:
            return None
        unreadable = self._connection.execute(
            statement("count_unreadable_objects", references=joined(" union all ", references))
        ).fetchall()[0]["objects"]
        if unreadable:
            raise SourceError(
                f"there is no right to read {unreadable:,} of the large objects that the tables refer to",
                hint="GRANT the role that owns them to the connection's role, GRANT SELECT ON LARGE OBJECT … for each, "
                "or take snapshot.large_objects out of the settings; pg_read_all_data does not cover large objects",
            )
        size = self._one("measure_objects")["bytes"]
        query = statement(
            "select_objects", most=literal(_LARGEST_ROW + 1), references=joined(" union all ", references)
        )
        return SourceTable(**LARGE_OBJECTS, bytes=size, query=query)

    def not_held(self, tables: Sequence[SourceTable], *, large_objects: bool = False) -> tuple[str, ...]:
        """Return a line for each thing that a reader of the snapshot would miss.

        Args:
            tables: the tables of the snapshot.
            large_objects: whether the snapshot holds those that columns of type oid or lo refer to.
        """
        lines: list[str] = []
        for table in tables:
            if table.children_left_out:
                children = first_few(table.children_left_out)
                lines.append(TEXTS.said("children_left_out", table=table.full_name, children=children))
            for each in () if large_objects else table.source_columns:
                if not each.may_be_large_object:
                    continue
                found = self._connection.execute(
                    statement("count_references", column=identifier(each.column.name), table=table.relation)
                ).fetchone()
                if found and found["objects"]:
                    column = f"{table.full_name}.{each.column.name}"
                    lines.append(TEXTS.said("large_objects", column=column, count=found["objects"]))
        references = _references(tables) or [fragment("select null::oid")]
        others = self._connection.execute(
            statement("count_other_objects", references=joined(" union all ", references))
        ).fetchone()
        if others and others["objects"]:
            lines.append(TEXTS.said("other_large_objects", count=others["objects"]))
        closed = [row["name"] for row in self._connection.execute(statement("select_closed_sequences"))]
        if closed:
            lines.append(TEXTS.said("closed_sequences", sequences=first_few(closed)))
        return tuple(lines)

    def plan(
        self,
        table: SourceTable,
        previous: list[str],
        part_bytes: int,
        known: Known | None = None,
        *,
        one_pass: bool = False,
    ) -> Planned:
        """Cut the table into parts, and count and digest the rows of each.

        Args:
            table: the table to cut.
            previous: boundaries of the previous snapshot, ascending. They are kept, so that unchanged rows keep
                their parts. If there are none, the table is cut for the first time.
            part_bytes: bytes of the source's heap that a part aims at; a part more than twice as large is split.
            known: what the previous snapshot tells about unchanged parts; None: nothing that can be trusted.
            one_pass: whether to leave the digest of values that are probably not stored yet to their export.

        Raises:
            TuplesContradicted: the values of a part have changed, although its tuple digest has not.
            SourceError: a row is too large.
        """
        kept = self._sorted(table, previous) if previous else []
        ranges = plan.ranges(kept or self._first_boundaries(table, part_bytes))
        read_new = self._unread if one_pass and table.fits_one_pass else self._fingerprint
        if known and known.parts.keys() <= set(ranges):
            same, changed, counted = self._compared(table, ranges, known)
            parts = self._with_known(table, ranges, known, same)
            if changed:
                parts |= {part.key_range: part for part in read_new(table, ranges, changed).parts}
        else:
            read, counted = self._fingerprint(table, ranges) if kept else read_new(table, ranges)
            parts, changed = {part.key_range: part for part in read}, []
        _check_complete(table, parts.values(), counted)
        row_bytes = table.bytes / max(sum(part.rows for part in parts.values()), 1)
        planned: list[PlannedPart] = []
        for part in (parts[each] for each in ranges if each in parts):
            pieces = plan.pieces(part.rows * row_bytes, part_bytes)
            within = self._boundaries_within(table, part.key_range, pieces) if pieces > 1 else []
            planned.extend(read_new(table, plan.ranges(within, part.key_range)).parts if within else [part])
        return Planned(planned, _Count.of(table, *counted.values()).tuples, _settled(table, counted, changed))

    def _compared(self, table: SourceTable, ranges: list[KeyRange], known: Known) -> _Compared:
        """Compare a table with what is known of it.

        Most applications change the newest rows alone. So the settled ones are counted as one, which is faster, and all
        are counted by part only if those have changed too.
        """
        same: list[KeyRange] = []
        below: _Counted = {}
        newer_ranges = ranges
        by_part: _Counted = {}
        if known.settled and known.settled.upper in (cuts := plan.cuts(ranges)):
            older, newer = plan.ranges([known.settled.upper])
            both = self._count_settled(table, older, newer)
            if _Count.of(table, *both.values()) == (sum(part.rows for part in known.parts.values()), known.tuples):
                return _Compared(list(known.parts), [], both)
            first_newer = cuts.index(known.settled.upper) + 1
            settled = [each for each in ranges[:first_newer] if each in known.parts]
            rows = sum(known.parts[each].rows for each in settled)
            older_rows = both.pop(older, [])
            if _Count.of(table, older_rows) == (rows, known.settled.tuples):
                same, newer_ranges = settled, ranges[first_newer:]
                below = {older: older_rows} if older_rows else {}
                by_part = both if newer_ranges == [newer] else {}
        if not by_part:
            by_part = self._count_tuples(table, ranges, newer_ranges)
        changed = [each for each, rows in by_part.items() if not _Count.of(table, rows).is_of(known.parts.get(each))]
        return _Compared([*same, *(each for each in by_part if each not in changed)], changed, below | by_part)

    def _with_known(
        self, table: SourceTable, ranges: list[KeyRange], known: Known, same: list[KeyRange]
    ) -> dict[KeyRange, PlannedPart]:
        """Return the known parts with these ranges, whose rows are unchanged; those that are due are read again.

        Raises:
            TuplesContradicted: the values of one have changed.
        """
        parts = {each: PlannedPart.unchanged(table, each, known.parts[each]) for each in same}
        due = [each for each in ranges if each in parts and known.is_due(known.parts[each])]
        if due:
            read = {part.key_range: part for part in self._fingerprint(table, ranges, due).parts}
            if {each: part.fingerprint for each, part in read.items()} != {
                each: parts[each].fingerprint for each in due
            }:
                raise TuplesContradicted(table.full_name)
            parts |= read
        return parts

    def fingerprint(self, table: SourceTable) -> TableFingerprint:
        """Count and digest the rows of the whole table."""
        parts = self._fingerprint(table, [plan.WHOLE]).parts
        digests = (part.fingerprint for part in parts if part.fingerprint)
        return TableFingerprint(sum(part.rows for part in parts), manifest.combine(digests))

    def _sorted(self, table: SourceTable, boundaries: list[str]) -> list[str]:
        """Return the boundaries in the key's present order, each once; none if they are no keys any more.

        The database's default collation, or its version, may have changed since the previous snapshot.
        """
        import psycopg

        order = table.order
        try:
            with self._connection.transaction():
                found = self._connection.execute(
                    statement(
                        "sort_boundaries",
                        type=raw(order.type),
                        collation=order.collate,
                        boundaries=literal(boundaries),
                    )
                ).fetchall()
        except (psycopg.DataError, psycopg.ProgrammingError):
            return []
        return [row["boundary"] for row in found]

    def _first_boundaries(self, table: SourceTable, part_bytes: int) -> list[str]:
        pieces = plan.pieces(table.bytes, part_bytes)
        if pieces == 1:
            return []
        if table.query:  # which cannot be sampled
            return self._boundaries_within(table, plan.WHOLE, pieces)
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
        """Return boundaries strictly inside the range; there are none if all its rows share one key.

        A key that equals the lower bound may have another text: 2.0 and 2.00, or `a` and `A` in a citext.
        """
        found = self._connection.execute(
            statement(
                "split_range",
                key=identifier(table.part_by),
                table=table.relation,
                fractions=literal(plan.fractions(pieces)),
                range=range_test(table, key_range),
                above=above("quantiles.cut", table, key_range.lower),
            )
        )
        return [row["boundary"] for row in found]

    def _count_tuples(
        self,
        table: SourceTable,
        ranges: Sequence[KeyRange],
        within: Sequence[KeyRange] | None = None,
        *,
        lengths: bool = False,
    ) -> _Counted:
        """Count and digest the rows of each range, in one scan that reads the key alone.

        Args:
            table: the table.
            ranges: the ranges, ascending and without gaps.
            within: those of them whose rows are counted; None: all.
            lengths: whether the rows will be read, so that none must be too large.
        """
        lengths = lengths and table.may_have_long_rows
        found = self._connection.execute(
            statement(
                "count_tuples",
                part=part_number(table, plan.cuts(ranges)),
                member=table.member,
                tuple_hash=table.tuple_hash,
                row_bytes=row_bytes(table.source_columns) if lengths else raw("0"),
                largest_row=raw("max(bytes)" if lengths else "0"),
                table=table.relation,
                range=_any_of(table, ranges if within is None else within),
            )
        )
        return _by_range(table, ranges, found)

    def _count_settled(self, table: SourceTable, older: KeyRange, newer: KeyRange) -> _Counted:
        """Count and digest the rows of two ranges that together are the table."""
        found = self._connection.execute(
            statement(
                "count_settled",
                member=table.member,
                tuple_hash=table.tuple_hash,
                table=table.relation,
                range=range_test(table, older),
            )
        ).fetchall()
        counted = {
            key_range: [
                {"member": row["member"], "row_count": row[f"{name}_rows"], "tuples": row[f"{name}_tuples"]}
                for row in found
                if row[f"{name}_rows"]
            ]
            for key_range, name in ((older, "settled"), (newer, "newer"))
        }
        return {each: rows for each, rows in counted.items() if rows}

    def _unread(
        self, table: SourceTable, ranges: Sequence[KeyRange], within: Sequence[KeyRange] | None = None
    ) -> _Read:
        """Count the rows of each range, and leave their fingerprint to the export. For the arguments see above."""
        counted = self._count_tuples(table, ranges, within, lengths=True)
        parts = [
            PlannedPart(table, each, count.rows, None, times_as_text=False, tuples=count.tuples)
            for each, rows in counted.items()
            for count in [_Count.of(table, rows)]
        ]
        return _Read(parts, counted)

    def _fingerprint(
        self, table: SourceTable, ranges: Sequence[KeyRange], within: Sequence[KeyRange] | None = None
    ) -> _Read:
        """Count and digest the rows of each range, and their values, in one scan. For the arguments see above."""
        found = self._connection.execute(
            statement(
                "fingerprint_parts",
                part=part_number(table, plan.cuts(ranges)),
                member=table.member,
                values=joined(", ", [digested(each, utf8=self._utf8) for each in table.source_columns]),
                time_out_of_range=time_out_of_range(table.columns),
                row_bytes=row_bytes(table.source_columns),
                tuple_hash=table.tuple_hash,
                table=table.relation,
                range=_any_of(table, ranges if within is None else within),
            )
        )
        counted = _by_range(table, ranges, found)
        parts = [
            PlannedPart(
                table=table,
                key_range=each,
                rows=count.rows,
                fingerprint=manifest.fingerprint(
                    sum(int(row["sum_1"]) for row in rows), sum(int(row["sum_2"]) for row in rows)
                ),
                times_as_text=any(row["times_as_text"] for row in rows),
                tuples=count.tuples,
            )
            for each, rows in counted.items()
            for count in [_Count.of(table, rows)]
        ]
        return _Read(parts, counted)

    def dump_schema(self) -> DumpedSchema:
        """Dump the whole database's schema."""
        return pgtools.dump_schema(
            self._conninfo,
            self.identity.exported_snapshot,
            lock_timeout_s=self._lock_timeout_s,
            timeout_s=max(self._ends - time.monotonic(), 1),
        )

    def reader(self) -> Reader:
        """Open another connection that sees the same instant. Each thread needs its own, and closes it."""
        return Reader(
            self._conninfo,
            (
                fragment("begin isolation level repeatable read read only"),
                fragment("set transaction snapshot {id}", id=literal(self.identity.exported_snapshot)),
                pinned(self._max_age_s),
            ),
            utf8=self._utf8,
        )


def _any_of(table: SourceTable, key_ranges: Sequence[KeyRange]) -> Composable:
    """Return a condition that holds for the rows in one of the ranges, which are ascending."""
    tests = [range_test(table, each) for each in plan.merged(key_ranges)]
    return fragment("({tests})", tests=joined(" or ", tests))


def _check_complete(table: SourceTable, parts: Iterable[PlannedPart], counted: _Counted) -> None:
    """Raise SourceError if the parts have another number of rows than was counted, whatever the reason may be."""
    planned, found = sum(part.rows for part in parts), _Count.of(table, *counted.values()).rows
    if planned != found:
        raise SourceError(
            f"{table.full_name} has {found:,} rows, but its parts have {planned:,}; nothing was published",
            hint="choose another part_by for this table, and report this as a fault of MindGuard",
            permanent=True,
        )


def _by_range(table: SourceTable, ranges: Sequence[KeyRange], found: Iterable[dict[str, Any]]) -> _Counted:
    """Return the rows of a statement that counts by part, grouped by key range.

    Raises:
        SourceError: a row is too large.
    """
    found = list(found)
    _refuse_unrestorable(table, max((row["largest_row"] for row in found), default=0))
    return {ranges[number]: list(rows) for number, rows in groupby(found, key=itemgetter("part"))}


def _settled(table: SourceTable, counted: _Counted, changed: Sequence[KeyRange]) -> Settled | None:
    """Return the rows below the first part that has changed; where none has, the last part is taken for what will."""
    newest = changed[0] if changed else next(reversed(counted), plan.WHOLE)
    if newest.lower is None:
        return None
    count = _Count.of(table, *(counted[each] for each in takewhile(newest.__ne__, counted)))
    return Settled(upper=newest.lower, tuples=count.tuples) if count.tuples else None


def _references(tables: Sequence[SourceTable]) -> list[Composable]:
    """Return a query for each column that may refer to large objects."""
    return [
        fragment("select {column}::oid from {table}", column=identifier(each.column.name), table=table.relation)
        for table in tables
        for each in table.source_columns
        if each.may_be_large_object
    ]


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


def _trees(connection: psycopg.Connection[dict[str, Any]], oids: Sequence[int]) -> dict[int, list[_Member]]:
    trees: dict[int, list[_Member]] = {oid: [] for oid in oids}
    for row in connection.execute(statement("select_tree"), {"tables": list(oids)}):
        member = _Member(**{name: row[name] for name in _Member._fields})
        trees[row["top"]].insert(0 if member.oid == row["top"] else len(trees[row["top"]]), member)
    return trees


def _refuse_unrestorable(table: SourceTable, largest_row: int) -> None:
    """Raise SourceError if a row is too large to be taken and restored in the memory that a run may use."""
    if largest_row > _LARGEST_ROW:
        most = f"{_LARGEST_ROW / 1e6:,.0f} MB"
        raise SourceError(
            f"{table.full_name} has a row of {largest_row / 1e6:,.0f} MB or more; above {most}, taking or restoring it "
            "needs gigabytes of memory, and may fail",
            hint="keep such values in an object store, or take this table with pg_dump",
        )


def _enums(connection: psycopg.Connection[dict[str, Any]], oids: Sequence[int]) -> tuple[Enum, ...]:
    found = connection.execute(statement("select_enums"), {"tables": list(oids)})
    return tuple(Enum(name=row["name"], labels=tuple(row["labels"])) for row in found)


def _type_states(connection: psycopg.Connection[dict[str, Any]], oids: Sequence[int]) -> set[_TypeState]:
    return {_TypeState(**row) for row in connection.execute(statement("select_type_states"), {"tables": list(oids)})}


def _inherited_not_set(name: str, tree: Sequence[_Member]) -> SourceError:
    children = [member.name for member in tree[1:]]
    return SourceError(
        f"other tables inherit from {name}, so its rows may be in them: {first_few(children, most=3)}",
        hint="set `inherited: own` for it and name the children as tables, or `inherited: all` to take all as its rows",
    )


@contextmanager
def open_source(
    conninfo: str, chosen: Sequence[Chosen] = (), *, max_age_s: float, lock_timeout_s: float = 10
) -> Iterator[SourceSnapshot]:
    """Connect, lock the tables against changes that a snapshot does not survive, and export a snapshot.

    The snapshot and the locks live until the block ends. The locks stop no reader and no writer. If another session
    waits for one of them longer than `lock_timeout_s`, the snapshot is given up.

    Args:
        conninfo: libpq connection string.
        chosen: the tables to lock. Without any, nothing is locked or watched: then the caller must be sure that nobody
            else changes the database.
        max_age_s: seconds after which the sessions are ended, so that a stuck run never holds back vacuum.
        lock_timeout_s: seconds that this session waits for a lock, and others may wait for its locks.

    Yields:
        The source as it is at this instant.

    Raises:
        SourceError: instead of any error of the database, also within the block; one line that says what to do.
        NoOwnSession: a pooler is in between that shares server connections; nothing was read.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo
    from psycopg.rows import dict_row

    conninfo = make_conninfo(conninfo, client_encoding="UTF8")
    watch: Watch | None = None
    try:
        with ExitStack() as closing:
            if chosen:
                watch = closing.enter_context(Watch(conninfo, lock_timeout_s=lock_timeout_s, max_age_s=max_age_s))
                conninfo = watch.conninfo
            connection = closing.enter_context(
                postgres_session.connect(conninfo, row_factory=dict_row, autocommit=True)
            )
            postgres_session.require_own_session(connection)
            conninfo = postgres_session.unlimited(conninfo, connection)
            connection.set_autocommit(False)
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            for _ in range(_TRIES):
                _lock(connection, chosen, lock_timeout_s)
                source = SourceSnapshot(
                    conninfo, connection, max_age_s=max_age_s, lock_timeout_s=lock_timeout_s, watch=watch
                )
                if not chosen:
                    break
                source.tables = source.describe_all(chosen)
                if not (changed := source.changed(source.tables)):
                    break
                connection.rollback()
            else:
                raise SourceError(
                    f"{changed} was changed, attached or detached whenever it was to be locked",
                    hint="run again when no migration runs",
                )
            yield source
            source.check_open()
    except (psycopg.Error, MindGuardError) as error:
        with about(conn_id_of(conninfo), SourceError):
            if watch and watch.verdict:
                raise watch.verdict from None
            if isinstance(error, psycopg.Error):
                raise explained(error) from cause(error)
            raise


def _lock(connection: psycopg.Connection[dict[str, Any]], chosen: Sequence[Chosen], lock_timeout_s: float) -> None:
    """Lock the tables that can be locked, before any query gives the transaction its snapshot.

    A lock that is taken after the snapshot comes too late: the snapshot sees no rows in a table that was truncated or
    rewritten in between. What cannot be locked by name is left to `describe_all` and `changed`: a materialized view is
    locked when it is first read.
    """
    import psycopg

    if not chosen:
        return
    found = connection.execute(
        statement("select_lockable"), manifest.as_arrays(each.name for each in chosen)
    ).fetchall()
    connection.rollback()
    inherited = {each.name: each.inherited for each in chosen}
    tables = [
        fragment(
            "{only} {table}",
            only=raw("only" if inherited[f"{row['schema']}.{row['name']}"] == "own" else ""),
            table=identifier(row["schema"], row["name"]),
        )
        for row in found
    ]
    connection.execute(fragment("set local lock_timeout = {time}", time=literal(f"{lock_timeout_s * 1000:.0f}ms")))
    if tables:
        try:
            connection.execute(statement("lock_shared", table=joined(", ", tables)))
        except psycopg.errors.UndefinedTable:
            # It was dropped since it was found; `describe_all` says so.
            connection.rollback()
