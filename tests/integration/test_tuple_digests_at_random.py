"""Whatever several sessions do to tables at random, a part that tuple digests call unchanged has the values it had."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import psycopg
import pytest

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.source import Chosen, Known, Planned, SourceSnapshot, open_source
from mindguard.snapshots.export.source_table import PlannedPart, SourceTable
from mindguard.snapshots.export.trust import broken_history, comparable_parts
from mindguard.snapshots.storage import manifest
from mindguard.snapshots.storage.manifest import Part, SourceIdentity, Table
from tests.integration.other_postgres import cluster

NOW = datetime(2026, 11, 1, 18, tzinfo=UTC)
ROUNDS = 60
ROWS = 3_000
CHOSEN = [
    Chosen("public.keyed"),
    Chosen("public.positioned"),
    Chosen("public.parted", "id"),
    Chosen("public.parent", inherited="all"),
    Chosen("public.shown", "id"),
]
SCHEMA = f"""
    create type mood as enum ('calm', 'tense', 'sad');
    create function twice(int) returns int language sql immutable as 'select $1 * 2';
    create table keyed (
        id int primary key, v text, m mood, d int generated always as (twice(id)) stored,
        e int generated always as (id + 1) virtual
    );
    insert into keyed (id, v, m) select i, repeat('x', 300), 'calm' from generate_series(1, {ROWS}) i;
    create table positioned (id int, v text, m mood);
    insert into positioned select i, repeat('x', 300), 'tense' from generate_series(1, {ROWS}) i;
    create table parted (id int, v text, m mood) partition by list (id);
    create table parted_0 partition of parted default;
    create table parted_1 (like parted);
    create table parted_2 (like parted);
    insert into parted_1 select 5000, repeat('a', 300), 'sad' from generate_series(1, 50);
    insert into parted_2 select 5000, repeat('b', 300), 'sad' from generate_series(1, 50);
    insert into parted select i, repeat('x', 300), 'calm' from generate_series(1, {ROWS}) i;
    create table parent (id int primary key, v text, m mood);
    create table child () inherits (parent);
    insert into parent select i, repeat('x', 300), 'calm' from generate_series(1, {ROWS} / 2) i;
    insert into child select i, repeat('y', 300), 'calm' from generate_series({ROWS} / 2, {ROWS}) i;
    create materialized view shown as select id, v, m from keyed where id % 2 = 0;
"""
WRITTEN = ("keyed", "positioned", "parted", "parent", "child")
PART_BYTES = 60_000


@pytest.fixture
def server() -> Iterator[str]:
    with cluster() as made, made.serving(max_prepared_transactions=5, autovacuum="off") as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(SCHEMA)
        yield conninfo


class Sessions:
    """Sessions that write at random, some with a transaction that stays open over snapshots."""

    def __init__(self, conninfo: str, chance: random.Random) -> None:
        self.chance = chance
        self.alone = psycopg.connect(conninfo, autocommit=True)
        self.open = [psycopg.connect(conninfo) for _ in range(3)]
        for each in (self.alone, *self.open):
            each.execute("set lock_timeout = '50ms'")
            if not each.autocommit:
                each.commit()
        self.prepared = 0

    def close(self) -> None:
        for each in (self.alone, *self.open):
            each.close()

    def change(self) -> None:
        """Do one thing; what another session's locks forbid is left undone."""
        session = self.chance.choice([self.alone, *self.open])
        what = self.chance.choices([self.write, self.end, self.define], [12, 4, 3])[0]
        try:
            what(session)
        except psycopg.Error:
            session.rollback()

    def write(self, session: psycopg.Connection) -> None:
        table, key = self.chance.choice(WRITTEN), self.chance.randrange(1, ROWS)
        last = key + self.chance.choice([0, 0, 1, 40])
        within = f"id between {key} and {last}"
        value = repr(self.chance.choice("abcdefgh") * self.chance.choice([1, 300]))
        statements = [
            f"update {table} set v = {value} where {within}",
            f"update {table} set m = 'sad' where {within}",
            f"delete from {table} where {within}",
            f"with gone as (delete from {table} where {within} returning id) "
            f"insert into {table} (id, v, m) select id, {value}, 'calm' from gone",
            f"insert into {table} (id, v, m) select {ROWS} + {self.chance.randrange(10**6)}, {value}, 'calm'",
            f"select 1 from {table} where {within} for update",
        ]
        if table in ("keyed", "parent"):
            statements.append(
                f"insert into {table} (id, v, m) values ({key}, {value}, 'calm') "
                f"on conflict (id) do update set v = {value}"
            )
        statement = self.chance.choice(statements)
        if session.autocommit or self.chance.random() < 0.6:
            session.execute(statement)
            return
        session.execute("savepoint s")
        session.execute(statement)
        session.execute(self.chance.choice(["release s", "rollback to s"]))

    def end(self, session: psycopg.Connection) -> None:
        if session.autocommit:
            return
        how = self.chance.randrange(4)
        if how == 0:
            session.rollback()
        elif how == 1 and session.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            self.prepared += 1
            session.execute(f"prepare transaction 'p{self.prepared}'")
            session.rollback()
        elif how == 2:
            found = self.alone.execute("select gid from pg_prepared_xacts").fetchall()
            for (name,) in found[:1]:
                self.alone.execute(f"{self.chance.choice(['commit', 'rollback'])} prepared '{name}'")
        else:
            session.commit()

    def define(self, _: psycopg.Connection) -> None:
        """Do something to a table or type as a whole."""
        table = self.chance.choice(WRITTEN)
        plain = "parted_0" if table == "parted" else table
        if self.chance.random() < 0.07:
            self._copy_frozen()
            return
        if self.chance.random() < 0.5:  # locks of open transactions would forbid most of it
            for each in self.open:
                each.commit()
        changes = [
            [f"vacuum full {plain}"],
            [f"vacuum freeze {plain}"],
            ["cluster keyed using keyed_pkey"],
            ["refresh materialized view shown"],
            ["begin", f"create temp table saved on commit drop as select id, v, m from {plain}", f"truncate {plain}"],
            ["alter table keyed alter column id type bigint", "alter table keyed alter column id type int"],
            ["alter table keyed drop column if exists f", "alter table keyed add column f int default 1"],
            ["alter table keyed drop column if exists f", "alter table keyed add column f int default 2"],
            ["alter table keyed alter column f drop default"],
            [f"alter table keyed alter column e set expression as (id + {self.chance.randrange(3)})"],
            ["create or replace function twice(int) returns int language sql immutable as 'select $1 * 3'"],
            self._renamed(),
            self._attached(),
        ]
        changes[4] += [f"insert into {plain} (id, v, m) select id, v, m from saved", "commit"]
        try:
            for statement in self.chance.choice(changes):
                self.alone.execute(statement)
        except psycopg.Error:
            self.alone.execute("rollback")

    @staticmethod
    def _renamed() -> list[str]:
        return [
            "alter type mood rename value 'calm' to 'x'",
            "alter type mood rename value 'sad' to 'calm'",
            "alter type mood rename value 'x' to 'sad'",
        ]

    def _attached(self) -> list[str]:
        now = self.alone.execute(
            "select c.relname from pg_inherits as i join pg_class as c on i.inhrelid = c.oid "
            "where i.inhparent = 'parted'::regclass and c.relname <> 'parted_0'"
        ).fetchone()
        other = {"parted_1": "parted_2", "parted_2": "parted_1"}[now[0]] if now else "parted_1"
        names = ["alter table parted_1 rename to p", "alter table parted_2 rename to parted_1"]
        names.append("alter table p rename to parted_2")
        return [
            *([f"alter table parted detach partition {now[0]}"] if now else []),
            *(names if self.chance.random() < 0.5 else []),
            f"alter table parted attach partition {other} for values in (5000)",
        ]

    def _copy_frozen(self) -> None:
        rows = self.alone.execute("select id, v, m from positioned").fetchall()
        with suppress(psycopg.Error), self.alone.transaction(), self.alone.cursor() as cursor:
            cursor.execute("truncate positioned")
            with cursor.copy("copy positioned from stdin (freeze)") as copying:
                for row in rows:
                    copying.write_row(row)


def as_base(table: SourceTable, planned: Planned) -> Table:
    """Return the table as a manifest would record it."""
    parts = tuple(
        Part(
            key="k",
            sha256="0" * 64,
            bytes=1,
            rows=part.rows,
            fingerprint=part.fingerprint,
            lower=part.key_range.lower,
            upper=part.key_range.upper,
            times_as_text=part.times_as_text,
            tuples=part.tuples,
            values_read_at=NOW,
        )
        for part in planned.parts
    )
    assert table.read_state
    return Table(
        name=table.full_name,
        kind=table.kind,
        inherited=table.inherited,
        columns=table.columns,
        part_by=table.part_by,
        rows=sum(part.rows for part in parts),
        fingerprint=manifest.combine(part.fingerprint for part in parts),
        read_state=table.read_state.state,
        tuples=planned.tuples,
        settled=planned.settled,
        parts=parts,
    )


def compared(
    source: SourceSnapshot, base: dict[str, Table], identity: SourceIdentity | None
) -> tuple[dict[str, Table], int, int]:
    """Plan each table with what is known of it and without; return the new base, and unchanged and all parts."""
    unchanged = everything = 0
    new = {}
    for table in source.describe_all(CHOSEN):
        before = base.get(table.full_name)
        cuts = plan.boundaries_of(before.parts) if before else []
        trusted = before and identity and not broken_history(identity, source.identity)
        parts = comparable_parts(before, table) if trusted and before else {}
        known = Known(before.tuples, parts, before.settled, lambda _: False) if before and parts else None
        by_tuples = source.plan(table, cuts, PART_BYTES, known)
        by_value = source.plan(table, cuts, PART_BYTES)
        assert facts(by_tuples.parts) == facts(by_value.parts), table.full_name
        unchanged += sum(part.values_read_at is not None for part in by_tuples.parts)
        everything += len(by_tuples.parts)
        new[table.full_name] = as_base(table, by_tuples)
    return new, unchanged, everything


def facts(planned: list[PlannedPart]) -> list[tuple[KeyRange, int, str, bool, str | None]]:
    return [(each.key_range, each.rows, each.fingerprint, each.times_as_text, each.tuples) for each in planned]


@pytest.mark.parametrize("seed", range(3))
def test_unchanged_is_never_wrong(server: str, seed: int) -> None:
    chance = random.Random(seed)
    sessions = Sessions(server, chance)
    base: dict[str, Table] = {}
    identity: SourceIdentity | None = None
    unchanged = everything = 0
    try:
        for _ in range(ROUNDS):
            for _ in range(chance.choice([0, 1, 3, 10])):
                sessions.change()
            with open_source(server, max_age_s=60) as source:
                base, same, parts = compared(source, base, identity)
                identity = source.identity
            unchanged, everything = unchanged + same, everything + parts
    finally:
        sessions.close()
    assert 0.3 * everything < unchanged < everything, "most parts were recognised, and not all"
