"""Restore tables, or chosen rows of them, into a new schema; compare with the live ones; swap only on request.

A plan that changes nothing is made first, and then carried out.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from mindguard.errors import MindGuardError, first_few
from mindguard.snapshots.database_errors import cause, described, is_raised
from mindguard.snapshots.restore import shape, swap, target
from mindguard.snapshots.restore.constraints import LEFT_OUT, add_live_constraints
from mindguard.snapshots.restore.difference import Difference, count_difference
from mindguard.snapshots.restore.load import Job, Loaded, load
from mindguard.snapshots.restore.rows import RowFilter, choose, parse_where
from mindguard.snapshots.restore.shape import Live
from mindguard.snapshots.restore.target import RestoreRefused
from mindguard.snapshots.storage.manifest import Manifest, Part, Table
from mindguard.snapshots.storage.store import Store
from mindguard.sql import identifier, literal, statement
from mindguard.units import counted, size

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable


@dataclass(frozen=True)
class RestoreRequest:
    """A request to restore tables or rows.

    Attributes:
        tables: `schema.table`, or just the table if only one schema has it; empty: all tables of the snapshot.
        where: `COLUMN=VALUE`; a column named twice may have either value, several columns must all match.
        schema: the schema to restore into; by default `restored_<snapshot id>`.
        swap: whether to put the tables in the place of the live ones.
    """

    tables: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    schema: str = ""
    swap: bool = False


@dataclass(frozen=True)
class PlannedTable:
    """One table of a plan.

    Attributes:
        table: the snapshot's table.
        parts: the parts to read.
        row_filter: selects the rows to restore; None: all rows.
        live: the live table; None if there is none.
    """

    table: Table
    parts: tuple[Part, ...]
    row_filter: RowFilter | None
    live: Live | None

    @property
    def name(self) -> str:
        """The bare name, which the table keeps in the new schema."""
        return self.table.table_name.name

    def relation(self, schema: str) -> Composable:
        """Return the table's quoted name in the new schema."""
        return identifier(schema, self.name)

    @property
    def shape(self) -> Literal["live", "manifest"]:
        """The model of the new table: the live table, or the manifest if it is missing or has other columns."""
        return "live" if self.live and self.live.same_columns else "manifest"

    @property
    def uncompared(self) -> str:
        """Why a restored table is not compared with the live one, if it is not."""
        if not self.live:
            return "there is no live table"
        return "the comparison failed" if self.live.same_columns else "the live table has other columns"

    def __str__(self) -> str:
        rows = sum(part.rows for part in self.parts)
        return (
            f"{self.table.name}: read {len(self.parts)} of {counted(len(self.table.parts), 'part')}, "
            f"{size(sum(part.bytes for part in self.parts))}, "
            + (f"choose among {counted(rows, 'row')}" if self.row_filter else counted(rows, "row"))
            + f"; made {'like the live table' if self.shape == 'live' else 'from the manifest'}"
        )


@dataclass(frozen=True)
class Unfinished:
    """What an interrupted restore left.

    Attributes:
        schema: the schema.
        whole_schema: whether that restore made the schema too.
        tables: bare names of the tables that it made.
    """

    schema: str
    whole_schema: bool
    tables: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.whole_schema or bool(self.tables)

    def __str__(self) -> str:
        tables = ", ".join(f"{self.schema}.{name}" for name in self.tables)
        if not self.whole_schema:
            return tables
        return f"schema {self.schema}" + (f" with {tables}" if tables else "")

    @property
    def remedy(self) -> str:
        """The SQL that removes it."""
        if self.whole_schema:
            return f"DROP SCHEMA {identifier(self.schema).as_string()} CASCADE"
        return f"DROP TABLE {', '.join(identifier(self.schema, name).as_string() for name in self.tables)}"


_NOTHING = Unfinished("", whole_schema=False, tables=())


@dataclass(frozen=True)
class Plan:
    """The plan of a restore, made before anything is changed.

    Attributes:
        snapshot_id: the snapshot's id.
        database: name of the target database.
        schema: the schema to restore into.
        swap: whether the tables take the place of the live ones.
        tables: the tables to restore.
        schema_exists: whether the schema exists already, and is not one that an interrupted restore made.
        database_empty: whether the database holds nothing at all.
        unfinished: what an interrupted restore left in the schema; it is removed first.
    """

    snapshot_id: str
    database: str
    schema: str
    swap: bool
    tables: tuple[PlannedTable, ...]
    schema_exists: bool
    database_empty: bool = False
    unfinished: Unfinished = _NOTHING

    def lines(self) -> list[str]:
        """Return the plan as lines for the person who approves it."""
        lines = [f"snapshot {self.snapshot_id} into schema {self.schema} of database {self.database}"]
        if self.database_empty:
            lines.append(
                f"database {self.database} is empty: use --whole to rebuild everything in it, "
                "with constraints, views and functions"
            )
        if self.unfinished:
            lines.append(f"first remove {self.unfinished}, which an interrupted restore left")
        lines += [str(each) for each in self.tables]
        if self.swap:
            lines += [
                f"then the restored {each.table.name} takes the live one's place, which becomes "
                f"{swap.kept_name(each.name, self.snapshot_id)}; only this one has the rows written since the snapshot"
                if each.live
                else f"then {each.table.name} is put in place, since there is no live table"
                for each in self.tables
            ]
        else:
            lines.append("live tables stay as they are")
        return lines


@dataclass(frozen=True)
class RestoredTable:
    """A restored table.

    Attributes:
        shape: whether it was made like the live table or from the manifest.
        read: the amounts that were read and written.
        parts_in_all: number of the table's parts in the snapshot.
        difference: the differences from the live table; None if they could not be compared.
        kept_as: the former live table's name after the swap; None if there was no swap.
    """

    shape: Literal["live", "manifest"]
    read: Loaded
    parts_in_all: int
    difference: Difference | None
    kept_as: str | None = None

    def __str__(self) -> str:
        read = self.read
        line = (
            f"{counted(read.rows, 'row')} from {read.parts} of {counted(self.parts_in_all, 'part')}, "
            f"{read.row_groups} of {counted(read.row_groups_in_all, 'row group')}, {size(read.bytes)} read; "
            f"made {'like the live table' if self.shape == 'live' else 'from the manifest'}"
        )
        if self.difference:
            line += f"; {self.difference}"
        return f"{line}; the former table is {self.kept_as}" if self.kept_as else line


@dataclass(frozen=True)
class Restored:
    """A finished restore.

    Attributes:
        snapshot_id: the snapshot's id.
        schema: the schema that was restored into.
        tables: the restored tables by name.
        swapped: whether the tables took the place of the live ones.
        seconds: duration of the restore.
        notes: one line for each thing that is left out, is not as in the live table, or is left to do.
    """

    snapshot_id: str
    schema: str
    tables: dict[str, RestoredTable]
    swapped: bool
    seconds: float
    notes: tuple[str, ...] = field(default=())

    def summary(self) -> dict[str, Any]:
        """Return plain values for JSON and XCom: counts only, no rows."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}

    def lines(self, connection: str = "CONNECTION") -> list[str]:
        """Return the result as lines for a person.

        Args:
            connection: id of the connection that was restored into.
        """
        where = "swapped in" if self.swapped else f"in schema {self.schema}"
        lines = [f"{name}: {table}" for name, table in self.tables.items()]
        lines += [f"note: {note}" for note in self.notes]
        behind = [name for name, each in self.tables.items() if each.difference and each.difference.to_put_back]
        if behind and not self.swapped:
            command = ["mindguard", "snapshot", "put-back", self.snapshot_id, "--from", self.schema, "--to", connection]
            if len(behind) < len(self.tables):  # others may have no key by which to put rows back
                command += [part for name in behind for part in ("--table", name)]
            lines.append(f"to look at the rows that are missing or differ, and to put them back: {shlex.join(command)}")
        return [
            *lines,
            f"snapshot {self.snapshot_id}: {counted(len(self.tables), 'table')} {where}, {self.seconds:.1f} s",
        ]


def plan_restore(manifest: Manifest, conninfo: str, request: RestoreRequest) -> Plan:
    """Plan a restore from the snapshot and the target's current state; change nothing.

    Raises:
        RestoreRefused: a name is unknown, the schema has a table of that name already, or the swap is impossible.
        TargetError: the database could not be queried.
    """
    with target.connect(conninfo) as connection:
        return _plan(connection, manifest, request)


def restore(
    manifest: Manifest,
    store: Store,
    conninfo: str,
    request: RestoreRequest,
    *,
    connections: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> Restored:
    """Restore what is requested, and report how it differs from the live tables.

    After an error nothing is left behind: what was made in the new schema is dropped, and live tables are unchanged. If
    it cannot be dropped, the error says what is left and how to remove it, and the next restore removes it.

    Rows come first, constraints after them: the live table's constraints may be younger than the rows. The notes name
    each constraint that the rows contradict.

    Args:
        manifest: the snapshot.
        store: where its objects are.
        conninfo: libpq connection string of the target; for a swap, as the owner of the tables.
        request: the tables or rows to restore.
        connections: number of parts that are loaded at the same time.
        progress: called with one line for each step.

    Raises:
        KeyMissing: the key ring lacks a key; nothing was connected to.
        RestoreRefused, SnapshotAtFault, TargetError, StoreError, DiskFull: one line that says what to do.
    """
    store.encryption.require(manifest.keys, f"snapshot {manifest.snapshot_id}")
    began = time.monotonic()
    path = target.source_path(manifest)
    notes: list[str] = []
    with target.connect(conninfo) as connection:
        plan = _plan(connection, manifest, request)
        for line in plan.lines():
            progress(line)
        refuse_concurrent(connection, plan.schema)
        with target.without_event_triggers(connection) as avoided:
            notes += _create(connection, manifest, plan, path, avoided=avoided)
        with _undone_on_error(connection, conninfo, plan, path, progress):
            jobs = [Job(each.table, each.relation(plan.schema), each.parts, each.row_filter) for each in plan.tables]
            loaded = load(jobs, store, conninfo, connections=connections, progress=progress, search_path=path)
            with target.without_event_triggers(connection):
                for each in plan.tables:
                    notes += _finish(connection, manifest, plan, each, path)
            differences = {each.table.name: _compared(connection, plan, each, notes) for each in plan.tables}
            uncompared = {each.table.name: each.uncompared for each in plan.tables}
            for name, difference in differences.items():
                progress(f"{name}: {difference or f'not compared, because {uncompared[name]}'}")
            kept = {}
            with connection.transaction():
                with target.without_event_triggers(connection), target.under_path(connection, path):
                    _unmark(connection, plan)
                if plan.swap:
                    swap.refuse_obstacles([note for note in notes if LEFT_OUT in note])
                    for each in plan.tables:
                        with target.locking(f"a sequence of {each.table.name}"):
                            shape.advance_sequences(connection, manifest, each.table)
                    moved = {each.name: each.table for each in plan.tables}
                    kept = swap.swap(connection, moved, plan.schema, plan.snapshot_id, progress, search_path=path)
                    notes += shape.sequences_behind(connection, manifest)
        if plan.swap and not plan.schema_exists:
            notes += _drop_after_swap(connection, plan.schema, path)
    tables = {
        each.table.name: RestoredTable(
            each.shape,
            loaded[each.table.name],
            len(each.table.parts),
            differences[each.table.name],
            kept.get(each.table.name),
        )
        for each in plan.tables
    }
    return Restored(plan.snapshot_id, plan.schema, tables, plan.swap, time.monotonic() - began, tuple(notes))


def remains(manifest: Manifest, conninfo: str, request: RestoreRequest) -> str:
    """Return what a restore that was stopped has left, and how to remove it.

    Raises:
        RestoreRefused: the snapshot has no such table.
        TargetError: the database could not be asked.
    """
    names = [table.table_name for table in choose_tables(manifest, request.tables)]
    schema = _schema(manifest, request)

    def there(where: str, relations: list[str]) -> list[str]:
        found = connection.execute(statement("select_schema"), {"schema": where, "relations": relations})
        return [identifier(where, row["name"]).as_string() for row in found if row["name"]]

    with target.connect(conninfo) as connection:
        swapped = [
            former
            for home, name in (names if request.swap else ())
            for former in there(home, [swap.kept_name(name, manifest.snapshot_id)])
        ]
        left = there(schema, [each.name for each in names])
    if swapped:
        return f"the restored tables are in place, the former ones are {', '.join(swapped)}"
    if left:
        return f"live tables are unchanged; remove what was restored: DROP TABLE {', '.join(left)}"
    return "live tables are unchanged, and nothing is left of what was restored"


def _schema(manifest: Manifest, request: RestoreRequest) -> str:
    return request.schema or default_schema(manifest)


def default_schema(manifest: Manifest) -> str:
    """Return the schema into which a snapshot is restored if no other is named."""
    return f"restored_{swap.name_part(manifest.snapshot_id)}"


def choose_tables(manifest: Manifest, names: Sequence[str]) -> list[Table]:
    """Return the snapshot's tables with these names, in the snapshot's order, or all tables if there are no names.

    Raises:
        RestoreRefused: the snapshot has no table of that name, or more than one.
    """
    if not names:
        return list(manifest.tables)
    chosen = set()
    for name in names:
        found = [table.name for table in manifest.tables if name in {table.name, table.table_name.name}]
        if len(found) != 1:
            raise RestoreRefused(
                f"snapshot {manifest.snapshot_id} has {'no' if not found else 'more than one'} table {name}",
                hint=f"it has {first_few([table.name for table in manifest.tables])}",
            )
        chosen.update(found)
    return [table for table in manifest.tables if table.name in chosen]


def _plan(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest, request: RestoreRequest) -> Plan:
    where = parse_where(request.where)
    tables = choose_tables(manifest, request.tables)
    names = [table.table_name.name for table in tables]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RestoreRefused(f"two tables called {first_few(twice)}", hint="restore them one after the other")
    if request.swap and where:
        raise RestoreRefused("a swap with chosen rows would lose all others", hint="swap whole tables only")
    schema = _schema(manifest, request)
    taken = connection.execute(statement("select_schema"), {"schema": schema, "relations": names}).fetchall()
    marked = connection.execute(
        statement("select_unfinished"), {"schema": schema, "mark": f"{target.MARK}%"}
    ).fetchall()
    unfinished = Unfinished(
        schema,
        whole_schema=any(not row["name"] for row in marked),
        tables=tuple(row["name"] for row in marked if row["name"]),
    )
    if relations := [row["name"] for row in taken if row["name"] and row["name"] not in unfinished.tables]:
        raise RestoreRefused(
            f"schema {schema} has {first_few(relations)} already",
            hint="name another schema, or drop this one if only an earlier restore is in it",
        )
    planned = []
    for table in tables:
        chosen = choose(connection, table, where, manifest.enums)
        planned.append(PlannedTable(table, chosen.parts, chosen.row_filter, shape.find_live(connection, table)))
    if request.swap:
        swap.refuse_obstacles(
            [
                line
                for each in planned
                if each.live
                for line in swap.obstacles(connection, each.table, each.live, manifest.snapshot_id)
            ]
        )
        swap.refuse_obstacles(
            [f"{each.table.name} has other columns than in the snapshot" for each in planned if _is_reshaped(each)]
        )
    contents = connection.execute(statement("select_contents")).fetchone()
    return Plan(
        manifest.snapshot_id,
        connection.info.dbname,
        schema,
        request.swap,
        tuple(planned),
        schema_exists=bool(taken) and not unfinished.whole_schema,
        database_empty=bool(contents and not contents["things"]),
        unfinished=unfinished,
    )


def _is_reshaped(planned: PlannedTable) -> bool:
    return planned.live is not None and not planned.live.same_columns


def refuse_concurrent(connection: psycopg.Connection[dict[str, Any]], schema: str) -> None:
    """Raise RestoreRefused if another session restores into this schema; keep others out while this one lives."""
    if not target.lock(connection, statement("lock_restore", schema=literal(schema))):
        raise RestoreRefused(
            f"another restore into schema {schema} is running", hint="wait until it is done, or name another schema"
        )


def _create(
    connection: psycopg.Connection[dict[str, Any]], manifest: Manifest, plan: Plan, path: str, *, avoided: bool
) -> list[str]:
    """Create the schema and the empty tables in one transaction, each marked as unfinished.

    Returns:
        One line for each default that could not be set.

    Raises:
        RestoreRefused: an event trigger of the database forbids it.
    """
    import psycopg

    notes: list[str] = []
    mark = f"{target.MARK} of snapshot {plan.snapshot_id}, begun at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    try:
        with connection.transaction(), target.under_path(connection, path):
            _remove(connection, plan.unfinished)
            if not plan.schema_exists:
                connection.execute(statement("create_schema", namespace=identifier(plan.schema)))
                _comment_schema(connection, plan.schema, mark)
            for each in plan.tables:
                relation = each.relation(plan.schema)
                if each.shape == "live" and each.live:
                    with target.locking(each.table.name):
                        shape.create_like(connection, each.live, relation)
                else:
                    notes += shape.create_from_manifest(connection, manifest, each.table, plan.schema, each.name)
                connection.execute(statement("set_table_comment", table=relation, comment=literal(mark)))
    except psycopg.Error as error:
        if not is_raised(error) and (target.is_about_server(error) or error.sqlstate == "42501"):
            raise
        names = target.event_triggers(connection, avoided=avoided)
        if not names:
            raise
        can_be_avoided = not avoided and not target.event_triggers(connection, avoided=True)
        raise RestoreRefused(
            f"nothing was made: {described(error)}; it may come from the database's event triggers {first_few(names)}",
            hint="ALTER EVENT TRIGGER … DISABLE while you restore"
            + (", or connect as a superuser" if can_be_avoided else ""),
        ) from cause(error)
    return notes


def _finish(
    connection: psycopg.Connection[dict[str, Any]], manifest: Manifest, plan: Plan, planned: PlannedTable, path: str
) -> list[str]:
    """Set identity sequences, and add constraints and indexes after the rows.

    Returns:
        One line for each constraint or index that could not be made as it is in the live table.
    """
    relation = planned.relation(plan.schema)
    shape.set_identities(connection, planned.table, manifest.sequences, relation)
    if planned.shape == "live" and planned.live:
        notes = add_live_constraints(connection, planned.live.oid, relation, path)
        return notes + shape.add_indexes(connection, planned.live, relation, path)
    with target.under_path(connection, path):
        return shape.add_recorded_constraints(connection, planned.table, relation)


def _unmark(connection: psycopg.Connection[dict[str, Any]], plan: Plan) -> None:
    """Take the marks of an unfinished restore away. A table that is made like a live one gets that one's comment."""
    for each in plan.tables:
        like = each.live.oid if each.live and each.shape == "live" else 0
        row = connection.execute(statement("select_comment", oid=literal(like))).fetchone()
        comment = literal(row["comment"] if row else None)
        connection.execute(statement("set_table_comment", table=each.relation(plan.schema), comment=comment))
    if not plan.schema_exists:
        _comment_schema(connection, plan.schema, None)


def _compared(
    connection: psycopg.Connection[dict[str, Any]], plan: Plan, planned: PlannedTable, notes: list[str]
) -> Difference | None:
    """Compare a restored table with the live one; a comparison that fails is noted and does not undo the restore."""
    import psycopg

    if not (planned.live and planned.live.same_columns):
        return None
    restored = planned.relation(plan.schema)
    try:
        return count_difference(
            connection, planned.table, planned.row_filter, restored=restored, live=planned.live.relation
        )
    except psycopg.Error as error:
        if connection.closed:
            raise
        notes.append(f"{planned.table.name}: could not be compared with the live table: {described(error)}")
        return None


@contextmanager
def _undone_on_error(
    connection: psycopg.Connection[dict[str, Any]],
    conninfo: str,
    plan: Plan,
    path: str,
    progress: Callable[[str], None],
) -> Iterator[None]:
    """If the block fails, drop what was made before it; if that fails too, say what is left and how to remove it."""
    import psycopg

    try:
        yield
    except BaseException as error:
        made = Unfinished(
            plan.schema, whole_schema=not plan.schema_exists, tables=tuple(each.name for each in plan.tables)
        )
        connection.close()  # it may be broken, or in the middle of a statement
        try:
            with (
                target.connect(conninfo, search_path=path) as another,
                target.without_event_triggers(another),
                another.transaction(),
            ):
                _remove(another, made)
        except MindGuardError:  # the first error is the one to read
            left = f"{made} may be left: {made.remedy}, or run the same restore again, which removes it first"
            progress(left)
            if isinstance(error, MindGuardError):
                error.hint = "; ".join(filter(None, [error.hint, left]))
            elif isinstance(error, psycopg.Error):
                known = target.explained(error)
                known.hint = "; ".join(filter(None, [known.hint, left]))
                raise known from cause(error)
        raise


def _remove(connection: psycopg.Connection[dict[str, Any]], unfinished: Unfinished) -> None:
    """Drop what a restore made: its tables, and its schema unless that contains something else."""
    for name in unfinished.tables:
        connection.execute(statement("drop_table", table=identifier(unfinished.schema, name)))
    if unfinished.whole_schema:
        _drop_schema(connection, unfinished.schema)


def _comment_schema(connection: psycopg.Connection[dict[str, Any]], schema: str, text: str | None) -> None:
    connection.execute(statement("set_schema_comment", namespace=identifier(schema), comment=literal(text)))


def _drop_after_swap(connection: psycopg.Connection[dict[str, Any]], schema: str, path: str) -> list[str]:
    """Drop the schema that the tables have left. The swap is complete, so a failure is only noted."""
    import psycopg

    try:
        with target.without_event_triggers(connection), target.under_path(connection, path):
            _drop_schema(connection, schema)
    except psycopg.Error as error:
        if not is_raised(error) and target.is_about_server(error):
            raise
        remedy = f"DROP SCHEMA {identifier(schema).as_string()}"
        return [f"schema {schema} is empty, and could not be dropped, since {described(error)}: {remedy}"]
    return []


def _drop_schema(connection: psycopg.Connection[dict[str, Any]], schema: str) -> None:
    """Drop a schema that a restore made; if it contains something else, it is not the restore's any longer."""
    import psycopg

    try:
        with connection.transaction():
            connection.execute(statement("drop_schema", namespace=identifier(schema)))
    except psycopg.errors.DependentObjectsStillExist:
        _comment_schema(connection, schema, None)
