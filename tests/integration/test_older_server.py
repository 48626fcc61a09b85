"""A source that runs an older PostgreSQL than the programs and the scratch server: PostgreSQL 15 of Debian."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.restore.drill import NotAllProven, drill
from mindguard.snapshots.restore.schema_dump import SchemaDump
from mindguard.snapshots.restore.structure import differences
from mindguard.snapshots.restore.tables import RestoreRequest, restore
from mindguard.snapshots.restore.target import RestoreRefused
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.storage.store import Store
from tests.integration.hostile import HOSTILE_ROWS, HOSTILE_SCHEMA
from tests.integration.other_postgres import DEBIAN_PROGRAMS, other_postgres
from tests.integration.restoring import NOW, as_text, empty_database, run, snapshot


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Connection string of a superuser of a new PostgreSQL 15, which has a Chinese locale where it can be made."""
    # Not a folder of pytest's, which the server's user may not pass.
    with tempfile.TemporaryDirectory(prefix="locales-") as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder).chmod(0o755)
        make = ["localedef", "-i", "zh_CN", "-f", "UTF-8", f"{folder}/zh_CN.UTF-8"]
        subprocess.run(make, check=False, capture_output=True)
        patch.setenv("LOCPATH", folder)
        with other_postgres() as conninfo:
            yield conninfo


@pytest.fixture
def source(server: str) -> Iterator[str]:
    """A new database on that server."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create database app")
    try:
        yield server.replace("dbname=postgres", "dbname=app")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("drop database app with (force)")


OLDER_SCHEMA = HOSTILE_SCHEMA.replace(",\n    gen_v int generated always as (i2 + 40000) virtual", "")
SHAPES = """
create table author (id int primary key, name varchar(9) check (name in ('a', 'b')));
create table book (id bigint generated always as identity primary key, author int references author, day date not null)
partition by range (id);
create table book_1 partition of book for values from (1) to (100);
create table loan (id serial, book bigint constraint book references book, note text not null);
create index on book (day);
insert into author values (1, 'a'); insert into book (author, day) values (1, '2026-01-01'), (1, '2026-02-01');
insert into loan (book, note) values (1, ''), (2, 'x');
create view books as select b.id, a.name from book as b join author as a on a.id = b.author where a.name in ('a', 'b');
"""


def test_a_drill_and_a_rebuild_on_a_newer_server_compare_what_both_versions_write_alike(
    source: str, store: Store, stack: Stack, tmp_path: Path
) -> None:
    run(source, OLDER_SCHEMA)
    with psycopg.connect(source) as connection:
        for row in HOSTILE_ROWS:
            if row:
                names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, row))
                values = psycopg.sql.SQL(", ").join(map(psycopg.sql.Literal, row.values()))
                insert = psycopg.sql.SQL("insert into hostile ({}) values ({})")
                connection.execute(insert.format(names, values))
    run(source, SHAPES)
    names = ("public.hostile", "public.author", "public.book", "public.loan")
    manifest = snapshot(source, store, *names)
    assert manifest.source.server_version // 10_000 == 15
    proof = drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW, progress=print)
    assert proof.not_proven == ()
    with empty_database(stack) as newer:
        assert rebuild(manifest, store, newer).not_proven == ()
        for name in names:
            if name != "public.book":
                assert as_text(newer, name) == as_text(source, name)
        # What is missing is seen across versions too.
        run(newer, "alter table loan drop constraint book")
        dump = tmp_path / "source.dump"
        dump.write_bytes(store.read(manifest.schema_dump.key))
        missing = differences(SchemaDump(dump), newer, tmp_path, without=())
        assert missing == ["FK CONSTRAINT public loan book: missing"]
    done = restore(manifest, store, source, RestoreRequest(("hostile", "author", "loan")))
    assert done.notes == ()
    assert as_text(source, f"{done.schema}.loan") == as_text(source, "public.loan")


def test_constraints_of_an_older_server_are_added_after_the_rows(source: str, store: Store, stack: Stack) -> None:
    run(source, SHAPES)
    manifest = snapshot(source, store, "public.loan", "public.author")
    run(
        source,
        "alter table loan alter id drop not null; update loan set note = 'y'; alter table loan add check (note > 'a')",
    )
    done = restore(manifest, store, source, RestoreRequest(("loan",)))
    assert done.notes == (
        f'check loan_note_check of "{done.schema}"."loan": made as NOT VALID, since 1 row contradicts it',
    )
    run(source, "set session_replication_role = replica; update loan set book = 77")
    manifest = snapshot(source, store, "public.loan", "public.book", "public.author")
    with pytest.raises(NotAllProven, match="loan book"):
        drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)


def test_a_chinese_server_and_a_chinese_worker_change_no_verdict_and_no_advice(
    source: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINDGUARD_PG_BIN", str(DEBIAN_PROGRAMS))
    for name in ("LC_ALL", "LANG", "LANGUAGE"):
        monkeypatch.setenv(name, "zh_CN.UTF-8")
    try:
        run(source, "alter database app set lc_messages = 'zh_CN.UTF-8'")
    except psycopg.errors.InvalidParameterValue:
        pytest.skip("the locale zh_CN cannot be made here")
    with pytest.raises(psycopg.errors.UndefinedTable, match="不存在"):
        run(source, "select * from nowhere")
    run(
        source,
        "create table parent (id int primary key); insert into parent values (1);"
        "create table t (id int references parent, note text); insert into t values (1, 'a');"
        "set session_replication_role = replica; insert into t values (7, 'b')",
    )
    manifest = snapshot(source, store, "public.t", "public.parent")
    with psycopg.connect(source.replace("dbname=app", "dbname=postgres"), autocommit=True) as connection:
        connection.execute("create database rebuilt")
        connection.execute("alter database rebuilt set lc_messages = 'zh_CN.UTF-8'")
        try:
            # pg_restore ends with status 1 and a warning, since one foreign key does not hold.
            rebuilt = rebuild(manifest, store, source.replace("dbname=app", "dbname=rebuilt"))
        finally:
            connection.execute("drop database rebuilt with (force)")
    assert rebuilt.not_proven == ("FK CONSTRAINT public t t_id_fkey: made as NOT VALID, since 1 row contradicts it",)
    run(
        source,
        "create role reader login; grant select on all tables in schema public to reader;"
        "alter table t enable row level security; create policy own on t using (id = 1)",
    )
    try:
        with pytest.raises(SourceError, match=r"row-level security would hide rows: .* – ALTER ROLE … BYPASSRLS"):
            snapshot(source.replace("user=postgres", "user=reader"), store, "public.t")
    finally:
        run(source, "drop owned by reader; drop role reader")
    run(source, "alter table t disable row level security")
    with pytest.raises(RestoreRefused, match=r"id is of type integer: invalid text representation \(SQLSTATE 22P02\)"):
        restore(manifest, store, source, RestoreRequest(("t",), ("id=x",)))
