"""Stand-ins for the two ends of a snapshot: a bucket in memory behind the real Store, and a source of fixed rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export import plan
from mindguard.snapshots.export.parquet import write_parquet
from mindguard.snapshots.export.source import Chosen, Planned
from mindguard.snapshots.export.source_table import KeyOrder, PlannedPart, QualifiedName, SourceColumn, SourceTable
from mindguard.snapshots.pgtools import DumpedSchema
from mindguard.snapshots.storage import manifest
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.encryption import Encryption
from mindguard.snapshots.storage.manifest import Column, Manifest, Part, SourceIdentity, StoredObject, Table
from mindguard.snapshots.storage.store import Store

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
ID = Column(name="id", type="bigint", encoding="native")
IDENTITY = SourceIdentity(
    database="app", server_version=180006, system_identifier="7", lsn="0/1", exported_snapshot="00000003-1"
)


class MemoryClient:
    """As much of an S3 client as the store uses.

    Attributes:
        objects: bytes by key.
        errors: S3 error code by operation and key.
        written_at: when each object was written.
        now: the clock.
        meta: where botocore's handlers are registered; nobody calls them here.
    """

    meta = Mock()

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.errors: dict[tuple[str, str], str] = {}
        self.written_at: dict[str, datetime] = {}
        self.now = NOW
        self._metadata: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def put_object(self, *, Key: str, Body: Any, Metadata: dict[str, str], **_: Any) -> None:
        body = Body if isinstance(Body, bytes) else Body.read()
        with self._lock:
            self._fail("put_object", Key)
            if Key in self.objects:
                raise _error("PreconditionFailed", "put_object")
            self.objects[Key], self._metadata[Key], self.written_at[Key] = body, Metadata, self.now

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:
        self._fail("get_object", Key)
        if Key not in self.objects:
            raise _error("NoSuchKey", "get_object")
        body = self.objects[Key]
        return {"Body": StreamingBody(BytesIO(body), len(body)), "ContentLength": len(body)}  # type: ignore[arg-type]

    def head_object(self, *, Key: str, **_: Any) -> dict[str, Any]:
        if Key not in self.objects:
            raise _error("404", "HeadObject")
        body, at = self.objects[Key], self.written_at[Key]
        return {"ContentLength": len(body), "Metadata": self._metadata[Key], "LastModified": at}

    def delete_object(self, *, Key: str, **_: Any) -> dict[str, Any]:
        with self._lock:
            self._fail("delete_object", Key)
            self.objects.pop(Key, None)
        return {"ResponseMetadata": {"HTTPStatusCode": 204}}

    def list_objects_v2(self, *, Prefix: str, **_: Any) -> dict[str, Any]:
        listed = [
            {"Key": key, "Size": len(body), "LastModified": self.written_at[key]}
            for key, body in sorted(self.objects.items())
            if key.startswith(Prefix)
        ]
        date = format_datetime(self.now, usegmt=True)
        answer = {"Name": "bucket", "IsTruncated": False, "Contents": listed}
        return answer | {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def get_paginator(self, name: str) -> Any:
        class Paginator:
            @staticmethod
            def paginate(**request: Any) -> list[dict[str, Any]]:
                return [self.list_objects_v2(**request)] if name == "list_objects_v2" else []

        return Paginator()

    def get_bucket_versioning(self, **_: Any) -> dict[str, Any]:
        return {}

    def get_object_retention(self, **_: Any) -> dict[str, Any]:
        raise _error("NoSuchObjectLockConfiguration", "get_object_retention")

    def _fail(self, operation: str, key: str) -> None:
        if code := self.errors.get((operation, key)):
            raise _error(code, operation)


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, operation)


def memory_store(encryption: Encryption | None = None) -> tuple[Store, MemoryClient]:
    """Return a store over an empty bucket, and the bucket."""
    client: Any = MemoryClient()
    return Store(client, bucket="b", prefix="p", encryption=encryption), client


def settings(**changes: Any) -> SnapshotSettings:
    """Return settings with one table, `public.t`."""
    return SnapshotSettings.model_validate({"bucket": "b", "tables": [{"name": "public.t"}]} | changes)


# Stored snapshots


def parquet(*ids: int) -> bytes:
    """Return a Parquet file whose only column is `id`."""
    file = BytesIO()
    write_parquet([pa.record_batch({"id": pa.array(ids, pa.int64())})], file, lambda: None)
    return file.getvalue()


def put(store: Store, key: str, body: bytes) -> StoredObject:
    """Store bytes and return their record."""
    content = Content.of(body)
    store.create(key, body, content)
    return StoredObject(key=key, sha256=content.sha256, bytes=content.size)


def published(store: Store, days_ago: float = 0, *, parts: int = 2) -> Manifest:
    """Store a snapshot of `public.t` with two rows a part, taken so many days before `NOW`."""
    taken_at = NOW - timedelta(days=days_ago)
    snapshot_id = manifest.new_snapshot_id(taken_at, "abc")
    stored = []
    for number in range(parts):
        name = Content.of(f"{snapshot_id} {number}".encode()).sha256[:40]
        record = put(store, store.layout.part_key("public.t", name), parquet(2 * number, 2 * number + 1))
        upper = str(2 * number + 2)
        stored.append(Part(**record.model_dump(), rows=2, fingerprint="0" * 32, lower=str(2 * number), upper=upper))
    table = Table(
        name="public.t",
        kind="table",
        columns=(ID,),
        primary_key=("id",),
        part_by="id",
        rows=2 * parts,
        fingerprint="0" * 32,
        parts=tuple(stored),
    )
    dump = put(store, store.layout.schema_key(Content.of(snapshot_id.encode()).sha256), b"dump")
    result = Manifest(snapshot_id=snapshot_id, taken_at=taken_at, source=IDENTITY, tables=(table,), schema_dump=dump)
    store.create_sealed(store.layout.manifest_key(taken_at.date(), snapshot_id), result.to_bytes())
    return result


# Sources


def source_table(*columns: SourceColumn, **changes: Any) -> SourceTable:
    """Return `public.t`, cut by `id`; without columns given, `id` is its only one."""
    known: dict[str, Any] = {
        "schema": "public",
        "name": "t",
        "oid": 1,
        "kind": "table",
        "bytes": 1_000_000,
        "source_columns": columns or (SourceColumn(ID, QualifiedName("pg_catalog", "int8out"), hash_is_bytewise=True),),
        "primary_key": ("id",),
        "part_by": "id",
        "order": KeyOrder("bigint", QualifiedName("pg_catalog", "<"), QualifiedName("pg_catalog", ">=")),
        "inherited": None,
        "part_by_nullable": False,
        "part_by_indexed": True,
    }
    return SourceTable(**known | changes)


class FakeSource:
    """A source whose tables have the given ids, two to a part.

    Attributes:
        ids: values of the column `id`.
        lost: rows that the export does not find, although they were counted.
        exports: parts that were read.
        verdict: why the source's sessions were ended.
    """

    identity = IDENTITY

    def __init__(self, *ids: int) -> None:
        self.ids = ids
        self.lost = 0
        self.verdict: Exception | None = None
        self.exports: list[PlannedPart] = []

    def not_held(self, tables: Sequence[SourceTable], *, large_objects: bool) -> tuple[()]:
        return ()

    def check_open(self) -> None:
        if self.verdict:
            raise self.verdict

    def check_unchanged(self, tables: Sequence[SourceTable]) -> None:
        pass

    def hasten_durability(self) -> None:
        pass

    def wait_until_durable(self) -> bool:
        return True

    def plan(
        self, table: SourceTable, previous: list[str], part_bytes: int, *known: object, one_pass: bool
    ) -> list[PlannedPart]:
        pairs = [self.ids[at : at + 2] for at in range(0, len(self.ids), 2)]
        ranges = plan.ranges([str(pair[0]) for pair in pairs[1:]])
        parts = [
            PlannedPart(table, key_range, len(pair), manifest.fingerprint(sum(pair), len(pair)), times_as_text=False)
            for key_range, pair in zip(ranges, pairs, strict=False)
        ]
        return Planned(parts, None, None)

    def reader(self) -> FakeSource:
        return self

    def batches(self, part: PlannedPart) -> Iterator[pa.RecordBatch]:
        self.exports.append(part)
        lower = int(part.key_range.lower or 0)
        upper = int(part.key_range.upper or 10**9)
        ids = [each for each in self.ids if lower <= each < upper]
        yield pa.record_batch({"id": pa.array(ids[self.lost :], pa.int64())})

    def close(self) -> None:
        pass

    def dump_schema(self) -> DumpedSchema:
        return DumpedSchema(b"dump", "d" * 64)

    def enums(self, tables: list[SourceTable]) -> tuple[()]:
        return ()

    def sequences(self, tables: list[SourceTable]) -> tuple[()]:
        return ()

    @contextmanager
    def opened(self, conninfo: str, chosen: Sequence[Chosen], **limits: float) -> Iterator[FakeSource]:
        """Stand in for `open_source`."""
        self.tables = [source_table() for _ in chosen]
        yield self
