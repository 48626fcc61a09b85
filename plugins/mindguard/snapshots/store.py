"""The object store: create-only writes with SHA-256, reads, and the layout under the prefix.

```
<prefix>/parts/<table>/<content id>.parquet
<prefix>/schema/<digest>.dump
<prefix>/snapshots/<date>/<snapshot id>.json          the manifest
<prefix>/snapshots/<date>/<snapshot id>.proof.json    a restore drill proved it
<prefix>/snapshots/<date>/<snapshot id>.hold.json     kept whatever its age
```
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import quote

from mindguard.errors import MindGuardError
from mindguard.settings import SnapshotSettings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CHUNK = 1024 * 1024
_MANIFEST = re.compile(r"/\d{4}-\d\d-\d\d/[^/.]+\.json$")
_SINGLE_PUT_LIMIT = 5 * 1024**3


class StoreError(MindGuardError):
    """The store did not do what was asked."""


class ObjectMissing(StoreError):
    """No object under this key."""


class ObjectExists(StoreError):
    """A create-only write found an object under this key already."""


@dataclass(frozen=True)
class Stored:
    """What the store says about an object."""

    key: str
    bytes: int
    sha256: str | None
    written_at: datetime


class Store:
    """One bucket and prefix. Nothing here overwrites an object, and only doctor's probes are deleted.

    Args:
        client: a boto3 S3 client.
        bucket: bucket name.
        prefix: key prefix, without slashes at its ends.
        storage_class: class that objects are written in.
        sse: server-side encryption to request (`AES256`, `aws:kms`), None for none.
        sse_kms_key_id: key for `aws:kms`.
    """

    def __init__(
        self,
        client: S3Client,
        *,
        bucket: str,
        prefix: str,
        storage_class: str = "STANDARD",
        sse: str | None = None,
        sse_kms_key_id: str | None = None,
    ) -> None:
        self._client = client
        self.bucket = bucket
        self.prefix = prefix
        self._written_as: Any = {"StorageClass": storage_class}
        if sse:
            self._written_as["ServerSideEncryption"] = sse
        if sse_kms_key_id:
            self._written_as["SSEKMSKeyId"] = sse_kms_key_id

    @classmethod
    def of(cls, client: S3Client, settings: SnapshotSettings) -> Store:
        """The store that the settings name."""
        return cls(
            client,
            bucket=settings.bucket,
            prefix=settings.prefix,
            storage_class=settings.storage_class,
            sse=settings.sse,
            sse_kms_key_id=settings.sse_kms_key_id,
        )

    def part_key(self, table: str, content_id: str) -> str:
        """Key of a part. The table's name is percent-encoded: it may hold anything."""
        return f"{self.prefix}/parts/{quote(table, safe='.')}/{content_id}.parquet"

    def schema_key(self, digest: str) -> str:
        """Key of a schema dump; `digest` is of what it says, not of its bytes."""
        return f"{self.prefix}/schema/{digest}.dump"

    def manifest_key(self, day: date, snapshot_id: str) -> str:
        """Key of a manifest; `day` is the day the snapshot was taken, in the settings' time zone."""
        return f"{self.prefix}/snapshots/{day:%Y-%m-%d}/{snapshot_id}.json"

    @staticmethod
    def beside(manifest_key: str, kind: Literal["proof", "hold"]) -> str:
        """Key of what is kept beside a manifest; manifests themselves never change."""
        return f"{manifest_key.removesuffix('.json')}.{kind}.json"

    def check_access(self) -> None:
        """Ask the store something small, so that a wrong key or bucket is found before any work.

        Raises:
            StoreError: as one line that says what to correct. (A HEAD request could not: its answers have no body.)
        """
        with self._explained(f"list s3://{self.bucket}/{self.prefix}"):
            self._client.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/", MaxKeys=1)

    def create(self, key: str, body: BinaryIO | bytes, *, sha256: str, size: int) -> None:
        """Write an object that must not exist yet; the store itself checks the SHA-256 of what arrives.

        Raises:
            ObjectExists: there is one under this key.
            StoreError: anything else, as one line that says what to do.
        """
        if size > _SINGLE_PUT_LIMIT:
            raise StoreError(
                f"{key} has {size / 1024**3:.1f} GiB, a single upload ends at 5 GiB",
                hint="choose a part_by with more distinct values, or a smaller part_mb",
            )
        request: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": key,
            "Body": body,
            "ContentLength": size,
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode(),
            "IfNoneMatch": "*",
            # A multipart-free SHA-256 of our own: some stores do not give the checksum back.
            "Metadata": {"sha256": sha256},
            **self._written_as,
        }
        with self._explained(f"write {key}"):
            self._client.put_object(**request)

    def head(self, key: str) -> Stored | None:
        """What is stored under the key, None when nothing is."""
        try:
            with self._explained(f"look up {key}"):
                found = self._client.head_object(Bucket=self.bucket, Key=key)
        except ObjectMissing:
            return None
        return Stored(key, found["ContentLength"], found["Metadata"].get("sha256"), found["LastModified"])

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes, 1 MiB at a time.

        Raises:
            ObjectMissing: nothing is stored under the key.
            StoreError: it could not be read to its end.
        """
        with self._explained(f"read {key}"):
            yield from self._client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(_CHUNK)

    def read(self, key: str) -> bytes:
        """The whole object; for small ones."""
        return b"".join(self.chunks(key))

    def digest(self, key: str, copy_to: BinaryIO | None = None) -> tuple[str, int]:
        """SHA-256 and size of what is stored, read back to its last byte; a copy goes to `copy_to`."""
        digest, size = hashlib.sha256(), 0
        for chunk in self.chunks(key):
            digest.update(chunk)
            size += len(chunk)
            if copy_to:
                copy_to.write(chunk)
        return digest.hexdigest(), size

    def remove_probe(self, key: str) -> None:
        """Delete an object that `mindguard doctor` made; never anything else."""
        if not key.startswith(f"{self.prefix}/probe/"):
            raise StoreError(f"{key} is not a probe; only probes are removed here")
        with self._explained(f"delete {key}"):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def manifest_keys(self) -> list[str]:
        """Keys of all manifests, oldest first."""
        keys = [key for key in self.keys("snapshots/") if _MANIFEST.search(key)]
        return sorted(keys, key=lambda key: key.rsplit("/", 1)[-1])

    def keys(self, below: str = "") -> list[str]:
        """Every key under the prefix and the folder `below` it."""
        found: list[str] = []
        with self._explained(f"list s3://{self.bucket}/{self.prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{self.prefix}/{below}"
            )
            for page in pages:
                found.extend(each["Key"] for each in page.get("Contents", ()))
        return found

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn botocore's errors into one line; a header or a key never gets into it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._refusal(doing, error.response) from error
        except (BotoCoreError, OSError) as error:
            raise StoreError(
                f"cannot {doing}: {type(error).__name__}", hint="is the store up, and its endpoint_url right?"
            ) from error

    def _refusal(self, doing: str, response: Any) -> StoreError:
        code = str(response.get("Error", {}).get("Code", "unknown"))
        if code in {"NoSuchKey", "404", "NotFound"}:
            return ObjectMissing(f"cannot {doing}: there is no such object")
        if code in {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
            return ObjectExists(f"cannot {doing}: it exists already")
        hints = {
            "NoSuchBucket": f"create the bucket {self.bucket}, or correct snapshot.bucket in the settings",
            "AccessDenied": "give the connection's key the right to put, get and list under this prefix",
            "InvalidAccessKeyId": "correct the access key of the backup connection",
            "SignatureDoesNotMatch": "correct the secret key of the backup connection",
            "ExpiredToken": "renew the credentials of the backup connection",
            "NotImplemented": "set snapshot.sse: null if the store has no server-side encryption",
        }
        message = " ".join(str(response.get("Error", {}).get("Message", "")).split())
        return StoreError(f"cannot {doing}: {code} {message}".rstrip(), hint=hints.get(code, ""))
