"""What goes wrong around a snapshot: one clear line each, never a manifest over bad data, and the next run works."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from devstack.stack import Stack
from mindguard.connections import Connection, s3_client
from mindguard.errors import MindGuardError
from mindguard.snapshots.export import exporter
from mindguard.snapshots.export.exporter import PartMismatch
from mindguard.snapshots.export.parquet import write_parquet
from mindguard.snapshots.export.read_rate import ReadRate
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.export.take import publish
from mindguard.snapshots.storage.catalog import find_snapshot, list_snapshots
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.manifest import ManifestInvalid
from mindguard.snapshots.storage.s3_errors import ObjectExists
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import SnapshotDamaged, verify_snapshot
from tests.integration.restoring import ZONE, take
from tests.stored_objects import flipped, overwrite, remove

TABLE = (
    "create table public.t (id int primary key, day date, v text);"
    "insert into public.t select i, '2026-01-01'::date + i % 30, repeat('值' || i, 10) "
    "from generate_series(1, 60000) i;"
)


@pytest.fixture
def database(fresh_database: str) -> str:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(TABLE)
    return fresh_database


MUTATIONS: dict[str, Callable[[Store, list[str]], None]] = {
    "a flipped byte": lambda store, keys: overwrite(store, keys[0], flipped(store.read(keys[0]))),
    "a truncated part": lambda store, keys: overwrite(store, keys[0], store.read(keys[0])[:-9]),
    "an empty part": lambda store, keys: overwrite(store, keys[0], b""),
    "another part's bytes": lambda store, keys: overwrite(store, keys[0], store.read(keys[1])),
    "a removed part": lambda store, keys: remove(store, keys[0]),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_verify_catches(mutation: str, database: str, store: Store) -> None:
    manifest = take(database, store).manifest
    verify_snapshot(manifest, store).check()
    keys = [part.key for part in manifest.parts]
    MUTATIONS[mutation](store, keys)
    verified = verify_snapshot(manifest, store)
    assert len(verified.faults) == 1
    assert keys[0] in verified.faults[0]
    with pytest.raises(SnapshotDamaged, match="is damaged"):
        verified.check()


@pytest.mark.parametrize("change", [(b'"rows": 60000', b'"rows": 59999'), (b"public.t", b"public.u"), (b"{", b"[")])
def test_an_altered_manifest_is_refused(change: tuple[bytes, bytes], database: str, store: Store) -> None:
    taken = take(database, store)
    overwrite(store, taken.key, store.read(taken.key).replace(*change))
    with pytest.raises(ManifestInvalid, match=r"altered|not a manifest"):
        find_snapshot(store, "latest")


def test_two_runs_at_once_both_give_a_whole_snapshot(database: str, store: Store) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: take(database, store), range(2))
    assert first.manifest.snapshot_id != second.manifest.snapshot_id
    for manifest in list_snapshots(store):
        verify_snapshot(manifest, store).check()
        assert manifest.rows == 60000


def test_a_reader_that_dies_publishes_nothing_and_the_next_run_resumes(
    database: str, store: Store, stack: Stack
) -> None:
    """Every backend of the export but the one that holds the snapshot is ended after the first stored part."""
    superuser = stack.postgres_conninfo("postgres", "postgres")
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]

    def kill_readers(line: str) -> None:
        if "part 1/" in line:
            with psycopg.connect(superuser) as connection:
                connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])

    with pytest.raises(MindGuardError, match="failed"):
        take(database, store, progress=kill_readers, connections=1)
    assert store.manifest_keys() == []
    taken = take(database, store)
    assert taken.tables["public.t"].parts_reused >= 1
    verify_snapshot(taken.manifest, store).check()


def test_a_part_that_lost_a_row_on_its_way_is_never_stored(
    database: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing known loses one; so the writer is one that does."""
    monkeypatch.setattr(exporter, "write_parquet", lambda *asked: write_parquet(*asked) - 1)
    with pytest.raises(
        PartMismatch, match=r"^public\.t: part .*: its row count is \d+, expected \d+ – nothing"
    ) as caught:
        take(database, store, connections=1)
    assert caught.value.actual == caught.value.expected - 1
    assert store.keys("parts/") == []


def test_the_cap_on_reading_is_shared_by_all_connections(
    database: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that only the waits move: what they add up to is what the rows take at that rate."""
    slept: list[float] = []

    def on_own_clock(mb_per_s: float, check: Callable[[], None], *, sleep: object) -> ReadRate:
        return ReadRate(mb_per_s, check, sleep=slept.append, clock=lambda: sum(slept))

    monkeypatch.setattr(exporter, "ReadRate", on_own_clock)
    taken = take(database, store, max_mb_per_s=0.5, connections=3)
    assert taken.tables["public.t"].parts_written > 3
    with psycopg.connect(database) as connection:
        row = connection.execute("select sum(4 + 4 + octet_length(v)) from public.t").fetchone()
    assert row
    values_s = int(row[0]) / 0.5e6
    assert values_s <= sum(slept) <= 2 * values_s


def test_a_default_of_the_role_or_database_does_not_end_an_export(database: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(database) as connection:
        connection.execute(f"alter database \"{name}\" set transaction_timeout = '1h'")
    with open_source(database, max_age_s=60) as source, closing(source.reader()) as reader:
        assert source._connection.execute("show transaction_timeout").fetchone() == {"transaction_timeout": "0"}
        reader._statement.set_sql_query("select current_setting('transaction_timeout')")
        rows, _ = reader._statement.execute_query()
        assert pa.RecordBatchReader.from_stream(rows).read_all().columns[0].to_pylist() == ["0"]


def test_the_schema_is_dumped_over_a_connection_with_a_key_passphrase(database: str, store: Store) -> None:
    conninfo = psycopg.conninfo.make_conninfo(database, sslpassword="p@ss word")
    assert take(conninfo, store).manifest.schema_dump.bytes > 0


def test_a_full_disk_is_one_line_and_publishes_nothing(
    database: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "w+b"))  # noqa: SIM115
    with pytest.raises(MindGuardError, match=r"no room for a temporary file in .*free space"):
        take(database, store)
    assert store.manifest_keys() == []


def test_a_missing_bucket_says_which(database: str, store: Store) -> None:
    elsewhere = Store(store._client, bucket="no-such-bucket", prefix="p")
    with pytest.raises(MindGuardError, match="create the bucket no-such-bucket"):
        take(database, elsewhere)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "wrong"}, "correct the secret key"),
        ({"login": "nobody"}, "correct the access key"),
        ({"extra": {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}}, "check that the store is up"),
    ],
)
def test_a_store_that_refuses_says_what_to_correct(
    change: dict[str, Any], says: str, database: str, store: Store, backup_connection: Connection
) -> None:
    fields = {name: getattr(backup_connection, name) for name in ("conn_id", "conn_type", "login", "password", "extra")}
    client = s3_client(Connection(**(fields | change)))
    with pytest.raises(MindGuardError, match=says) as caught:
        take(database, Store(client, bucket=store.bucket, prefix="p"))
    assert backup_connection.password not in str(caught.value)


def test_unknown_tables_columns_and_kinds_are_named(database: str, store: Store) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create view public.v as select 1 as one")
    for table, says in [
        ({"name": "public.none"}, r"table public\.none does not exist .* correct snapshot\.tables"),
        ({"name": "public.t", "part_by": "nope"}, r"public\.t has no column 'nope' .* id, day, v"),
        ({"name": "public.v"}, r"public\.v is a view"),
    ]:
        with pytest.raises(MindGuardError, match=says):
            take(database, store, tables=[table])
    assert store.manifest_keys() == []


def test_missing_rights_and_row_level_security_are_named(database: str, store: Store, stack: Stack) -> None:
    """A role that may not read, then one that a policy would hide rows from: never a silent part of the rows."""
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(stack.postgres_conninfo("postgres", name)) as connection:
        connection.execute("drop role if exists plain; create role plain login password 'plain-password'")
    plain = psycopg.conninfo.make_conninfo(database, user="plain", password="plain-password")
    with pytest.raises(MindGuardError, match=r"no right to read public\.t .* GRANT pg_read_all_data"):
        take(plain, store)
    # One by one: autovacuum, which analyzes the new table, could deadlock with a transaction that does both.
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("grant select on public.t to plain")
        connection.execute("alter table public.t enable row level security")
        connection.execute("create policy few on public.t using (id < 10)")
    with pytest.raises(MindGuardError, match=r"row-level security would hide rows.*BYPASSRLS"):
        take(plain, store)
    assert store.manifest_keys() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "wrong"}, "correct the user or the password"),
        ({"dbname": "no_such"}, "correct the database|does not exist"),
        ({"port": "9"}, "check that it is up and reachable"),
        ({"password": ""}, "asks for a password: add the connection's"),
        ({"require_auth": "md5"}, "check that it offers what the connection's require_auth asks for"),
        ({"channel_binding": "require"}, "check that it offers what the connection's channel_binding asks for"),
        ({"sslmode": "require"}, "not with the connection's sslmode: correct it"),
        ({"service": "nowhere"}, "correct the options of the connection"),
        ({"target_session_attrs": "standby"}, "offers what the connection's target_session_attrs asks for"),
    ],
)
def test_a_source_that_cannot_be_reached_says_what_to_correct(
    change: dict[str, str], says: str, database: str, store: Store
) -> None:
    with pytest.raises(MindGuardError, match=says) as caught:
        take(psycopg.conninfo.make_conninfo(database, **change), store)
    assert "\n" not in str(caught.value)
    assert psycopg.conninfo.conninfo_to_dict(database)["password"] not in str(caught.value)


def test_a_lock_held_by_a_migration_is_named(database: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(database) as migration:
        migration.execute("lock table public.t in access exclusive mode")
        with pytest.raises(MindGuardError, match=r"probably by a migration|max_age_minutes"):
            take(database, store, lock_timeout_s=1)


def test_a_store_object_that_is_there_already_is_never_overwritten(database: str, store: Store) -> None:
    taken = take(database, store)
    body = store.read(taken.key)
    with pytest.raises(MindGuardError, match="it exists already"):
        store.create(taken.key, b"other", Content("0" * 64, 5))
    assert store.read(taken.key) == body


def test_a_manifest_whose_answer_was_lost_is_published_and_another_ones_key_is_not(database: str, store: Store) -> None:
    taken = take(database, store)
    assert publish(taken.manifest, store, ZONE) == taken.key  # as botocore's second try of the same PUT
    overwrite(store, taken.key, b"another")
    with pytest.raises(ObjectExists):
        publish(taken.manifest, store, ZONE)
    assert store.read(taken.key) == b"another"
