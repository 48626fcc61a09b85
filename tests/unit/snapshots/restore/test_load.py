"""Loading parts: what is sent to the target, and which stored objects are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from mindguard.snapshots.export.parquet import write_parquet
from mindguard.snapshots.restore import load as loading
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.load import Job, Loaded, copy_statement, fetch, load
from mindguard.snapshots.restore.rows import Choice, RowFilter
from mindguard.snapshots.restore.target import SnapshotAtFault, TargetError
from mindguard.snapshots.storage.manifest import Column, Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.sql import identifier
from tests.unit.snapshots.fakes import ID, memory_store, published


class Target:
    """A database that keeps what is copied into it. `refusal` is raised in place of taking rows."""

    def __init__(self) -> None:
        self.copied: list[bytes] = []
        self.executed: list[str] = []
        self.refusal: psycopg.Error | None = None
        self.rowcount = 0
        self.types: dict[str, str] = {}

    @contextmanager
    def connect(self, conninfo: str, *, search_path: str = "") -> Iterator[Target]:
        yield self

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    @contextmanager
    def cursor(self) -> Iterator[Target]:
        own = Target()
        own.copied, own.refusal, own.executed = self.copied, self.refusal, self.executed
        yield own

    @contextmanager
    def copy(self, statement: Any) -> Iterator[Target]:
        self.executed.append(statement.as_string())
        yield self

    def write(self, chunk: memoryview) -> None:
        if self.refusal:
            raise self.refusal
        self.copied.append(bytes(chunk))
        self.rowcount += bytes(chunk).count(b"\n")

    def execute(self, statement: Any) -> list[dict[str, str]]:
        self.executed.append(statement.as_string())
        return [{"name": name, "type": kind} for name, kind in self.types.items()]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Target:
    database = Target()
    monkeypatch.setattr(target, "connect", database.connect)
    return database


def job(manifest: Manifest, row_filter: RowFilter | None = None) -> Job:
    table = manifest.tables[0]
    return Job(table, identifier("s", "t"), table.parts, row_filter)


def run(manifest: Manifest, store: Store, row_filter: RowFilter | None = None) -> Loaded:
    return load([job(manifest, row_filter)], store, "", connections=2, progress=print)["public.t"]


def test_all_rows_of_all_parts_are_copied_and_made_durable_at_the_end(database: Target) -> None:
    store, _ = memory_store()
    manifest = published(store)
    loaded = run(manifest, store)
    assert loaded == Loaded(rows=4, parts=2, row_groups=2, row_groups_in_all=2, bytes=manifest.stored_bytes)
    assert sorted(b"".join(sorted(database.copied)).split()) == [b'"0"', b'"1"', b'"2"', b'"3"']
    assert "pg_logical_emit_message" in database.executed[-1]


def test_only_chosen_rows_are_copied_and_other_row_groups_are_not_read(database: Target) -> None:
    store, _ = memory_store()
    loaded = run(published(store), store, RowFilter((Choice(ID, ("3", "9")),)))
    assert (loaded.rows, loaded.row_groups, loaded.row_groups_in_all) == (1, 1, 2)
    assert b"".join(database.copied) == b'"3"\n'


def test_rows_are_sent_in_binary_if_the_target_has_types_whose_form_is_known(database: Target) -> None:
    store, _ = memory_store()
    database.types = {"id": "int8"}
    run(published(store, parts=1), store)
    assert sum("(format binary)" in each for each in database.executed) == 1
    sent = b"".join(database.copied)
    assert sent.startswith(b"PGCOPY\n")
    assert sent.endswith(b"\xff\xff")


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_a_part_that_is_not_as_recorded_ends_the_load(harm: str, database: Target) -> None:
    store, client = memory_store()
    manifest = published(store)
    key = manifest.parts[0].key
    if harm == "missing":
        del client.objects[key]
    else:
        client.objects[key] += b"x"
    with pytest.raises(SnapshotAtFault, match=f"^public.t: {key} (is missing|has .* the manifest says)"):
        run(manifest, store)


def test_a_part_with_other_columns_or_rows_than_recorded_is_refused(database: Target) -> None:
    store, _ = memory_store()
    manifest = published(store, parts=1)
    table = manifest.tables[0]
    renamed = table.model_copy(update={"columns": (Column(name="k", type="bigint", encoding="native"),)})
    with pytest.raises(SnapshotAtFault, match=r"holds other columns than public\.t"):
        run(manifest.model_copy(update={"tables": (renamed,)}), store)
    more = table.model_copy(update={"parts": (table.parts[0].model_copy(update={"rows": 3}),)})
    with pytest.raises(SnapshotAtFault, match="gave 2 rows, the manifest says 3"):
        run(manifest.model_copy(update={"tables": (more,)}), store)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (psycopg.errors.NotNullViolation("null"), SnapshotAtFault),
        (psycopg.errors.NumericValueOutOfRange("large"), SnapshotAtFault),
        (psycopg.errors.UntranslatableCharacter("ä"), TargetError),
        (psycopg.errors.DiskFull("full"), TargetError),
    ],
)
def test_rows_that_are_refused_blame_the_snapshot_and_a_full_disk_does_not(
    refusal: psycopg.Error, error: type[Exception], database: Target
) -> None:
    store, _ = memory_store()
    database.refusal = refusal
    with pytest.raises(error):
        run(published(store), store)


def test_a_fetched_object_is_read_from_its_beginning() -> None:
    store, client = memory_store()
    part = published(store).parts[0]
    file = BytesIO()
    fetch(part, store, file)
    assert file.read() == client.objects[part.key]


def test_generated_columns_are_not_copied() -> None:
    store, _ = memory_store()
    manifest = published(store)
    generated = Column(name="twice", type="bigint", encoding="native", generated="s", default="id * 2")
    table = manifest.tables[0].model_copy(update={"columns": (ID, generated)})
    statement = copy_statement(Job(table, identifier("s", "t"), ()), "csv")
    assert statement.as_string().split("\n")[0] == 'copy "s"."t" ("id")'
    empty = table.model_copy(update={"columns": (generated,)})
    assert '("' not in copy_statement(Job(empty, identifier("s", "t"), ()), "csv").as_string()
    batch = pa.record_batch({"twice": pa.array([2, 4])})
    assert list(loading._formed([(False, batch)], Job(empty, identifier("s", "t"), ()), [])) == [("csv", b"\n\n")]


def test_null_is_nothing_and_an_empty_text_is_a_pair_of_quotes() -> None:
    batch = pa.record_batch({"v": pa.array([None, "", 'a"b'])})
    assert bytes(loading._csv(batch)) == b'\n""\n"a""b"\n'


def test_a_text_column_with_a_dictionary_is_read_as_one_only_where_that_is_asked_for() -> None:
    labels = pa.array([None if number % 3 else f"label {number % 7}" for number in range(300)])
    batch = pa.record_batch({"note": pa.array([f"note {number}" for number in range(300)]), "a.label": labels})
    store, _ = memory_store()
    part = published(store).parts[0]
    file = BytesIO()
    write_parquet([batch, batch], file, lambda: None)
    plain = loading.open_part(part, file, store.encryption)
    repeating = loading.open_part(part, file, store.encryption, repeating=True)
    assert pa.types.is_string(plain.schema_arrow.field("a.label").type)
    (read,) = loading.decoded(repeating, [0], part)
    assert [pa.types.is_dictionary(column.type) for column in read.columns] == [False, True]
    assert loading._csv(read) == loading._csv(next(loading.decoded(plain, [0], part)))
