"""Put restored rows back into the live tables: those that are missing there, and on request those that differ.

First the difference is shown, and kept in tables beside the restored ones. What is put back later is chosen from that
alone, so a row that has come or changed since then stays as it is. See docs/adr/0034 for the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from mindguard.errors import first_few
from mindguard.snapshots.database_errors import cause, described, is_raised
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.shape import Live, find_live
from mindguard.snapshots.restore.swap import name_with
from mindguard.snapshots.restore.tables import choose_tables, default_schema, refuse_concurrent
from mindguard.snapshots.restore.target import RestoreRefused, TargetError
from mindguard.snapshots.storage.manifest import Manifest, Table
from mindguard.sql import fragment, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Composed

_SHOWN = "mindguard: difference shown at "
_ASKED = "mindguard: difference shown for an approval at "
_MOST_PUT_BACKS = 99


class DifferenceVoid(RestoreRefused):
    """The difference that was shown is not what would be put back any more, so it must be looked at again."""


@dataclass(frozen=True)
class PutBackRequest:
    """A request to put restored rows back.

    Attributes:
        tables: `schema.table`, or just the table if only one schema has it; empty: all that the schema holds.
        schema: the schema with the restored tables; by default `restored_<snapshot id>`.
        overwrite: whether rows that differ are overwritten too, and not only those put back that are missing.
        asked: whether the difference is what somebody is asked to approve. Whoever looks meanwhile leaves it alone.
    """

    tables: tuple[str, ...] = ()
    schema: str = ""
    overwrite: bool = False
    asked: bool = False

    @property
    def mark(self) -> str:
        """Begins the comment on a table that keeps what was shown; what begins otherwise belongs to others."""
        return _ASKED if self.asked else _SHOWN

    @property
    def privileges(self) -> list[str]:
        """What the role needs on the live tables."""
        return ["SELECT", "INSERT", *(["UPDATE"] if self.overwrite else [])]


@dataclass(frozen=True)
class ShownTable:
    """How the restored rows of a table differ from the live ones.

    Attributes:
        missing: restored rows whose key the live table lacks.
        changed: restored rows whose key it has with other values.
        equal: restored rows that it has.
        shown_at: when it was so, aware.
        triggers: the application's triggers that fire when the rows are written.
        query: shows the rows that are missing, and those that differ with their live values.
    """

    missing: int
    changed: int
    equal: int
    shown_at: datetime
    triggers: tuple[str, ...] = ()
    query: str = ""

    def __str__(self) -> str:
        line = f"{self.missing:,} rows are missing, {self.changed:,} differ, {self.equal:,} are equal"
        return f"{line}; its triggers fire: {first_few(self.triggers)}" if self.triggers else line


@dataclass(frozen=True)
class Shown:
    """The difference that is shown before anything is put back.

    Attributes:
        snapshot_id: the snapshot's id.
        database: name of the target database.
        schema: the schema with the restored tables.
        tables: the difference, by table.
    """

    snapshot_id: str
    database: str
    schema: str
    tables: dict[str, ShownTable]

    def lines(self, *, overwrite: bool) -> list[str]:
        """Return the difference, and what would be done about it, as lines for a person."""
        lines = []
        for name, table in self.tables.items():
            lines.append(f"{name}: {table}")
            if table.missing or table.changed:
                differing = ", those that differ with their live values" if table.changed else ""
                lines.append(f"to see these rows{differing}: {table.query}")
        missing = sum(table.missing for table in self.tables.values())
        changed = sum(table.changed for table in self.tables.values())
        lines.append(
            f"from schema {self.schema} into the live tables of database {self.database}: {missing:,} rows are put back"
            + (f", {changed:,} overwritten" if overwrite else f"; the {changed:,} that differ stay (--overwrite)")
        )
        return lines

    def summary(self) -> dict[str, Any]:
        """Return plain values for JSON: counts only, no rows."""
        tables = {name: asdict(each) | {"shown_at": each.shown_at.isoformat()} for name, each in self.tables.items()}
        return asdict(self) | {"tables": tables}


@dataclass(frozen=True)
class PutBackTable:
    """What was put back into a table.

    Attributes:
        inserted: rows that were missing and are back.
        overwritten: rows that have the snapshot's values again.
        appeared: rows that were missing when the difference was shown, and had come since; they stay as they are.
        changed_since: rows that had changed or gone since the difference was shown; they stay as they are.
        altered: rows that triggers gave other values than the snapshot's.
        former: quoted name of the table with the overwritten rows as they were.
    """

    inserted: int
    overwritten: int
    appeared: int
    changed_since: int
    altered: int
    former: str

    def __str__(self) -> str:
        line = f"{self.inserted:,} rows put back, {self.overwritten:,} overwritten"
        if self.appeared:
            line += f"; {self.appeared:,} had come since the difference was shown and stay as they are"
        if self.changed_since:
            line += f"; {self.changed_since:,} had changed since the difference was shown and stay as they are"
        if self.altered:
            line += f"; triggers gave {self.altered:,} of them other values than the snapshot's"
        return f"{line}; what was overwritten is in {self.former}" if self.overwritten else line


@dataclass(frozen=True)
class PutBack:
    """Rows that were put back.

    Attributes:
        snapshot_id: the snapshot's id.
        tables: what was done, by table.
        notes: one line for each thing that is left to do.
        undo: the statements that undo it, in one transaction; empty if no row was put back. They leave rows alone that
            have changed since.
    """

    snapshot_id: str
    tables: dict[str, PutBackTable]
    notes: tuple[str, ...]
    undo: str

    def lines(self) -> list[str]:
        """Return the result as lines for a person, and the statements that undo it."""
        lines = [f"{name}: {table}" for name, table in self.tables.items()]
        lines += [f"note: {note}" for note in self.notes]
        return [*lines, "to undo it:", *self.undo.splitlines()] if self.undo else lines

    def summary(self) -> dict[str, Any]:
        """Return plain values for JSON and XCom: counts only, no rows."""
        return asdict(self)


@dataclass(frozen=True)
class _Pair:
    """A restored table and the live one, with the tables that keep what is shown and what is put back.

    Attributes:
        table: the snapshot's table.
        live: the live table.
        schema: the schema with the restored table.
        mark: begins the comment on the table that keeps what is shown.
        number: of the put-back, since a schema may be used several times.
        columns: names of the columns that an insert may write.
        settable: names of those that an update may write.
    """

    table: Table
    live: Live
    schema: str
    mark: str
    number: int
    columns: tuple[str, ...]
    settable: tuple[str, ...]

    @property
    def restored(self) -> Composable:
        return identifier(self.schema, self.table.table_name.name)

    @property
    def before(self) -> Composable:
        return identifier(self.schema, _before(self.table, self.number))

    @property
    def after(self) -> Composable:
        return identifier(self.schema, _after(self.table, self.number))

    def reversal(self, name: str) -> Composed:
        """Return a statement that undoes a put-back; in it, `r` is what was put back."""
        return self.statement(name, values_of="b")

    def statement(self, name: str, *, values_of: str = "r") -> Composed:
        """Return a statement about the pair; in it, `l` is the live table, `r` the restored one.

        Args:
            name: of the SQL file.
            values_of: the table whose values an update takes.
        """
        own = self.live.relation
        if self.table.kind != "partitioned table":
            own = fragment("only {table}", table=own)
        compared = self.settable or self.columns
        key = self.table.primary_key
        settings = [
            fragment("{column} = {value}", column=identifier(column), value=identifier(values_of, column))
            for column in self.settable
        ]
        return statement(
            name,
            table=self.live.relation,
            live=own,
            restored=self.restored,
            before=self.before,
            after=self.after,
            key=_listed(key),
            names=_listed(self.columns),
            columns=_listed(compared),
            live_columns=_listed(self.columns, "l"),
            restored_columns=_listed(self.columns, "r"),
            live_image=_listed(compared, "l"),
            restored_image=_listed(compared, "r"),
            before_image=_listed(compared, "b"),
            same_key=_equal(key, "l"),
            shown_key=_equal(key, "b"),
            assignments=joined(", ", settings),
        )


def show(
    manifest: Manifest,
    conninfo: str,
    request: PutBackRequest,
    *,
    now: datetime,
    progress: Callable[[str], None] = lambda line: None,
) -> Shown:
    """Compare the restored tables with the live ones, and keep the difference for `put_back`; live tables stay.

    Args:
        manifest: the snapshot from which the tables were restored.
        conninfo: libpq connection string of the target.
        request: the tables.
        now: the present time, aware.
        progress: called with one line for each table.

    Raises:
        RestoreRefused: a table cannot be put back row by row, or is not restored there.
        TargetError: the database refused a step.
    """
    with target.connect(conninfo) as connection:
        refuse_concurrent(connection, _schema(manifest, request))
        pairs = _pairs(connection, manifest, request)
        path = target.source_path(manifest)
        shown = {each.table.name: _show(connection, each, now, path) for each in pairs}
        for name, table in shown.items():
            progress(f"{name}: {table}")
        return Shown(manifest.snapshot_id, connection.info.dbname, _schema(manifest, request), shown)


def put_back(
    manifest: Manifest,
    conninfo: str,
    request: PutBackRequest,
    *,
    shown_at: Mapping[str, datetime] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> PutBack:
    """Put rows back into the live tables in one transaction, as the difference was shown.

    Rows whose key is missing are inserted, parents before their children; with `overwrite`, rows that differ get the
    snapshot's values, and what they had is kept. The server computes generated columns, identities keep their numbers,
    and triggers fire as they do for the application. Each look serves once.

    Args:
        manifest: the snapshot from which the tables were restored.
        conninfo: libpq connection string of the target, of a role that may write the live tables.
        request: the tables, and whether rows are overwritten.
        shown_at: when the difference was shown that somebody has approved, by table; None: the last one counts.
        progress: called with one line for each step.

    Raises:
        RestoreRefused: see `show`; or a table's difference was not shown since rows were last put back.
        DifferenceVoid: another difference was shown since then, or the table has other columns now.
        TargetError: the database or a trigger refused a row; nothing was put back.
    """
    import psycopg

    with target.connect(conninfo) as connection:
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        refuse_concurrent(connection, _schema(manifest, request))
        pairs = _in_order(connection, _pairs(connection, manifest, request))
        path = target.source_path(manifest)
        for each in pairs:
            shown = _shown(connection, each)
            if shown is None and shown_at is None:
                raise RestoreRefused(
                    f"{each.table.name}: nothing was put back: its difference was not shown, or has served already",
                    hint="look first: the same mindguard snapshot put-back without --apply",
                )
            if shown is None or (shown_at is not None and shown.shown_at != shown_at.get(each.table.name)):
                raise DifferenceVoid(
                    f"{each.table.name}: the difference that was shown has been put back already, or another one was "
                    "shown since then",
                    hint="look at the difference again before rows are put back",
                )
            progress(f"{each.table.name}: {shown}; shown at {shown.shown_at:%Y-%m-%d %H:%M} UTC")
        try:
            with connection.transaction():
                done = _put_back(connection, pairs, path, overwrite=request.overwrite)
                notes = [note for each in pairs for note in _move_sequences(connection, each)]
                notes += [note for each in pairs if (note := _cascades(connection, each, done[each.table.name]))]
        except psycopg.Error as error:
            raise _undone(error) from cause(error)
        written = any(each.inserted or each.overwritten for each in done.values())
        return PutBack(manifest.snapshot_id, done, tuple(notes), _undo(pairs) if written else "")


def _schema(manifest: Manifest, request: PutBackRequest) -> str:
    return request.schema or default_schema(manifest)


def _before(table: Table, number: int) -> str:
    return name_with(table.table_name.name, f"_before_put_back_{number}")


def _after(table: Table, number: int) -> str:
    return name_with(table.table_name.name, f"_put_back_{number}")


def _listed(names: Iterable[str], table: str = "") -> Composable:
    return joined(", ", [identifier(table, name) if table else identifier(name) for name in names])


def _equal(key: Iterable[str], table: str) -> Composable:
    """Return the condition that a row of the table has the key of `r`."""
    return joined(
        " and ",
        [fragment("{one} = {other}", one=identifier(table, column), other=identifier("r", column)) for column in key],
    )


def _pairs(connection: psycopg.Connection[dict[str, Any]], manifest: Manifest, request: PutBackRequest) -> list[_Pair]:
    schema = _schema(manifest, request)
    tables = choose_tables(manifest, request.tables)
    names = [table.table_name.name for table in tables]
    found = connection.execute(statement("select_schema"), {"schema": schema, "relations": names}).fetchall()
    there = {row["name"] for row in found if row["name"]}
    if not request.tables:
        tables = [table for table in tables if table.table_name.name in there]
    if missing := [table.name for table in tables if table.table_name.name not in there]:
        raise RestoreRefused(
            f"schema {schema} does not have {first_few(missing)}", hint="restore the rows into it first"
        )
    if not tables:
        raise RestoreRefused(
            f"schema {schema} has no table of snapshot {manifest.snapshot_id}",
            hint="restore rows into it first, or name the schema that has them",
        )
    if len({table.table_name.name for table in tables}) < len(tables):
        raise RestoreRefused("two tables have the same name", hint="put them back one after the other")
    mark = {"schema": schema, "mark": f"{target.MARK}%"}
    if connection.execute(statement("select_unfinished"), mark).fetchall():
        raise RestoreRefused(
            f"schema {schema} is what an interrupted restore left", hint="run the same restore again to its end"
        )
    return [_pair(connection, table, schema, request) for table in tables]


def _pair(connection: psycopg.Connection[dict[str, Any]], table: Table, schema: str, request: PutBackRequest) -> _Pair:
    """Return the pair of a table.

    Raises:
        RestoreRefused: rows cannot be told apart, or cannot be written.
    """
    live = find_live(connection, table)
    if live is None:
        raise RestoreRefused(
            f"{table.name}: there is no live table", hint="restore it with --swap, which puts it there"
        )
    reasons = []
    if not table.primary_key:
        reasons.append("it has no primary key in the snapshot, so rows cannot be told apart")
    if table.inherited == "all":
        reasons.append("its rows are those of the tables that inherit from it")
    names, privileges = literal(list(table.primary_key)), literal(request.privileges)
    obstacles = statement("select_put_back_obstacles", oid=literal(live.oid), names=names, privileges=privileges)
    found = connection.execute(obstacles).fetchall()
    reasons += [row["what"] for row in found]
    columns = connection.execute(statement("select_columns"), {"tables": [live.oid]}).fetchall()
    oid = _oid(connection, schema, table.table_name.name)
    restored = connection.execute(statement("select_columns"), {"tables": [oid]}).fetchall()
    if not live.same_columns:
        reasons.append("it has other columns than in the snapshot")
    elif [(row["name"], row["type"]) for row in restored] != [(row["name"], row["type"]) for row in columns]:
        reasons.append(f"the restored table in schema {schema} has other columns")
    if reasons:
        grants = [row["remedy"] for row in found if row["remedy"]]
        raise RestoreRefused(
            f"{table.name}: no row can be put back: {first_few(reasons, separator='; ')}",
            hint="; ".join(grants)
            if len(grants) == len(reasons)
            else f"move the rows with INSERT … SELECT from schema {schema}",
        )
    writable = tuple(row["name"] for row in columns if not row["generated"])
    settable = tuple(row["name"] for row in columns if not row["generated"] and row["identity"] != "a")
    mark = request.mark
    return _Pair(table, live, schema, mark, _number(connection, table, schema, mark), writable, settable)


def _number(connection: psycopg.Connection[dict[str, Any]], table: Table, schema: str, mark: str) -> int:
    """Return the number of the next put-back: the first of which nothing was put back, and nothing shown to others."""
    for number in range(1, _MOST_PUT_BACKS):
        if not _oid(connection, schema, name := _after(table, number)):
            return number
        if connection.execute(statement("select_any_row", table=identifier(schema, name))).fetchone():
            continue
        others = {_SHOWN, _ASKED} - {mark}
        if not _comment(connection, schema, _before(table, number)).startswith(tuple(others)):
            return number
    raise RestoreRefused(
        f"rows of {table.name} were put back {_MOST_PUT_BACKS - 1} times from schema {schema}",
        hint="restore them into another schema",
    )


def _oid(connection: psycopg.Connection[dict[str, Any]], schema: str, name: str) -> int:
    """Return the object identifier of a table; 0 if there is none."""
    found = connection.execute(statement("select_table"), {"schemas": [schema], "relations": [name]}).fetchone()
    return int(found["oid"]) if found else 0


def _comment(connection: psycopg.Connection[dict[str, Any]], schema: str, relation: str) -> str:
    """Return the comment on a table; empty if there is none."""
    oid = literal(_oid(connection, schema, relation))
    row = connection.execute(statement("select_comment", oid=oid)).fetchone()
    return str((row and row["comment"]) or "")


def _in_order(connection: psycopg.Connection[dict[str, Any]], pairs: list[_Pair]) -> list[_Pair]:
    """Return the tables with those first that others refer to; in a circle, deferred constraints may still allow it."""
    by_oid = {each.live.oid: each for each in pairs}
    sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(by_oid, ()))
    for row in connection.execute(statement("select_references", together=literal(list(by_oid)))):
        sorter.add(row["child"], row["parent"])
    try:
        return [by_oid[oid] for oid in sorter.static_order()]
    except CycleError:
        return pairs


def _show(connection: psycopg.Connection[dict[str, Any]], pair: _Pair, now: datetime, path: str) -> ShownTable:
    """Keep the difference in new tables, and return its counts. The path finds the operators of extensions' types."""
    restored = _oid(connection, pair.schema, pair.table.table_name.name)
    at = f"{pair.mark}{now.astimezone(UTC).isoformat()} of {restored}"
    with target.without_event_triggers(connection), connection.transaction():
        for relation in (pair.before, pair.after):
            connection.execute(statement("drop_table", table=relation))
        with target.locking(pair.table.name), target.under_path(connection, path):
            connection.execute(pair.statement("create_shown"))
        connection.execute(pair.statement("create_put_back"))
        connection.execute(statement("set_table_comment", table=pair.before, comment=literal(at)))
    return _counted(connection, pair, now)


def _shown(connection: psycopg.Connection[dict[str, Any]], pair: _Pair) -> ShownTable | None:
    """Return the difference of these rows that was shown before and has not been put back; None if there is none."""
    comment = _comment(connection, pair.schema, _before(pair.table, pair.number))
    at, _, restored = comment.removeprefix(pair.mark).partition(" of ")
    # Meanwhile another table, perhaps of another snapshot, may have been restored under this name.
    if not comment.startswith(pair.mark) or restored != str(_oid(connection, pair.schema, pair.table.table_name.name)):
        return None
    return _counted(connection, pair, datetime.fromisoformat(at))


def _counted(connection: psycopg.Connection[dict[str, Any]], pair: _Pair, shown_at: datetime) -> ShownTable:
    counts = connection.execute(pair.statement("count_shown")).fetchall()[0]
    triggers = connection.execute(statement("select_triggers", oid=literal(pair.live.oid))).fetchall()
    missing, changed = counts["missing"], counts["changed"]
    equal = counts["in_all"] - missing - changed
    fired = tuple(row["name"] for row in triggers)
    return ShownTable(missing, changed, equal, shown_at, fired, _on_a_line(pair.statement("select_shown")))


def _put_back(
    connection: psycopg.Connection[dict[str, Any]], pairs: Sequence[_Pair], path: str, *, overwrite: bool
) -> dict[str, PutBackTable]:
    """Write the rows of all tables, and check in the same transaction that they are there.

    Raises:
        DifferenceVoid: a table has changed its columns meanwhile.
        TargetError: a trigger kept a row from being written.
    """
    for each in pairs:
        with target.locking(each.table.name):
            connection.execute(statement("lock_rows", table=each.live.relation))
        if find_live(connection, each.table) != each.live:
            raise DifferenceVoid(f"{each.table.name} has just been changed", hint="look at the difference again")
    with target.under_path(connection, path):
        connection.execute(statement("set_constraints_deferred"))
        for each in pairs:
            with target.locking(f"a row of {each.table.name}"):
                connection.execute(each.statement("insert_missing"))
        for each in pairs:
            if overwrite and each.settable:
                with target.locking(f"a row of {each.table.name}"):
                    connection.execute(each.statement("update_changed"))
        connection.execute(statement("set_constraints_immediate"))
        return {each.table.name: _checked(connection, each, overwrite=overwrite) for each in pairs}


def _checked(connection: psycopg.Connection[dict[str, Any]], pair: _Pair, *, overwrite: bool) -> PutBackTable:
    counts = connection.execute(pair.statement("count_put_back")).fetchall()[0]
    lost = counts["still_missing"] + (counts["not_written"] if overwrite and pair.settable else 0)
    astray = counts["written"] - counts["inserted"] - counts["overwritten"]
    if lost or astray:
        raise TargetError(
            f"nothing was put back: {pair.table.name} did not take {lost + astray:,} rows as they are",
            hint="a trigger of the table kept them out or moved them to another key: ALTER TABLE … DISABLE TRIGGER "
            "while rows are put back",
        )
    connection.execute(pair.statement("delete_not_put_back"))
    return PutBackTable(
        counts["inserted"],
        counts["overwritten"],
        counts["appeared"],
        counts["changed_since"] if overwrite else 0,
        counts["altered"],
        pair.before.as_string(),
    )


def _move_sequences(connection: psycopg.Connection[dict[str, Any]], pair: _Pair) -> list[str]:
    """Move sequences past the numbers that were put back; return one line for each that this role may not move.

    A sequence can be behind them: TRUNCATE … RESTART IDENTITY moves it back.
    """
    import psycopg

    notes, relation = [], literal(pair.live.relation.as_string())
    fed = statement("select_fed_columns", oid=literal(pair.live.oid), relation=relation)
    for row in connection.execute(fed).fetchall():
        column = row["name"]
        found = connection.execute(
            statement(
                "select_serial", relation=relation, column=literal(column), key=identifier(column), after=pair.after
            )
        ).fetchall()[0]
        name, highest = found["sequence"], found["highest"]
        if highest is None:
            continue
        label = literal(name)
        forward = statement(
            "set_sequence_forward", sequence=raw(name), label=label, value=literal(highest), called=raw("true")
        )
        try:
            with connection.transaction():
                connection.execute(forward)
        except psycopg.errors.InsufficientPrivilege:
            advice = statement("select_setval", sequence=raw(name), label=label, value=literal(highest))
            notes.append(f"sequence {name} stands before rows that are back: {_on_a_line(advice)}")
    return notes


def _cascades(connection: psycopg.Connection[dict[str, Any]], pair: _Pair, done: PutBackTable) -> str:
    """Return a line if undoing the put-back would reach other tables; nothing if it would not."""
    found = (
        connection.execute(statement("select_cascades", oid=literal(pair.live.oid))).fetchall() if done.inserted else []
    )
    if not found:
        return ""
    names = first_few([row["name"] for row in found])
    return f"{pair.table.name}: what undoes it also reaches rows of {names} that refer to rows that are back"


def _undone(error: psycopg.Error) -> Exception:
    """Return the error of the transaction, which has put nothing back, with what helps."""
    if is_raised(error) or not target.is_about_rows(error):
        known = target.explained(error)
        known.message = f"nothing was put back: {known.message}"
        return known
    hint = {
        "23503": "put the rows back too to which these refer, in the same call",
        "23505": "a live row has taken a value that must be unique: decide in SQL which of them is right",
    }.get(error.sqlstate or "", "the live table has a constraint that the rows contradict")
    return TargetError(f"nothing was put back: {described(error)}", hint=hint)


def _undo(pairs: Sequence[_Pair]) -> str:
    """Return the statements that undo a put-back: children before their parents, and only rows that are as put back."""
    changed = [each.reversal("update_former") for each in reversed(pairs) if each.settable]
    missing = [each.reversal("delete_inserted") for each in reversed(pairs)]
    return "\n".join(["BEGIN;", *(f"{_on_a_line(each)};" for each in (*changed, *missing)), "COMMIT;"])


def _on_a_line(sql: Composable) -> str:
    return " ".join(line.strip() for line in sql.as_string().splitlines())
