"""The object store: create-only writes with SHA-256, reads, listings and removal. `layout` defines its keys."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.encryption import Encryption, NoEncryption
from mindguard.snapshots.storage.layout import MANIFEST, Layout
from mindguard.snapshots.storage.s3_errors import (
    NoAnswer,
    ObjectDamaged,
    ObjectExists,
    ObjectMissing,
    StoreError,
    WriteConflict,
    explained,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CHUNK = 1024 * 1024
_READ_TRIES = 4
_CONFLICT_TRIES = 4
_SINGLE_PUT_LIMIT = 5 * 1024**3


@dataclass(frozen=True)
class Stored:
    """The store's record of an object.

    Attributes:
        key: the object's key.
        bytes: its size.
        sha256: the digest that its writer left in the metadata, in hexadecimal; None if there is none.
        written_at: when it was written, aware.
        locked_until: when object lock ends, aware; None if the object is not locked.
    """

    key: str
    bytes: int
    sha256: str | None
    written_at: datetime
    locked_until: datetime | None = None

    @property
    def content(self) -> Content | None:
        """The content that was written under the key; None if its writer left no SHA-256."""
        return Content(self.sha256, self.bytes) if self.sha256 else None


@dataclass(frozen=True)
class Listed:
    """One object of a listing, or in a bucket with versions one version of it, which a newer one may hide.

    Attributes:
        key: the object's key.
        bytes: its size; 0 for a delete marker.
        written_at: when it was written, aware.
        version: the version's id; None in a bucket without versions.
        marker: whether the version is a delete marker.
    """

    key: str
    bytes: int
    written_at: datetime
    version: str | None = None
    marker: bool = False


@dataclass(frozen=True)
class Upload:
    """A multipart upload that was begun, and neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


class Store:
    """One bucket and prefix. It never overwrites an object, and deletes only objects whose keys the layout defines.

    Args:
        client: a boto3 S3 client.
        bucket: bucket name.
        prefix: key prefix, without a slash at either end.
        storage_class: storage class of new objects.
        sse: server-side encryption to request (`AES256`, `aws:kms`); None requests none.
        sse_kms_key_id: key for `aws:kms`.
        encryption: encrypts parts and the objects that `create_sealed` writes; by default nothing is encrypted.
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
        encryption: Encryption | None = None,
    ) -> None:
        self._client = client
        self.bucket = bucket
        self.prefix = prefix
        self.layout = Layout(prefix)
        self.encryption = encryption or NoEncryption()
        self._written_as: Any = {"StorageClass": storage_class}
        if sse:
            self._written_as["ServerSideEncryption"] = sse
        if sse_kms_key_id:
            self._written_as["SSEKMSKeyId"] = sse_kms_key_id

    @classmethod
    def of(cls, client: S3Client, settings: SnapshotSettings, encryption: Encryption | None = None) -> Store:
        """Return the store that the settings name."""
        return cls(
            client,
            bucket=settings.bucket,
            prefix=settings.prefix,
            storage_class=settings.storage_class,
            sse=settings.sse,
            sse_kms_key_id=settings.sse_kms_key_id,
            encryption=encryption,
        )

    def check_access(self) -> None:
        """Make a small request, so that wrong credentials or a wrong bucket are found before any work.

        Raises:
            StoreError: one line that says what to correct. (This is why the request is not a HEAD: its answers have
                no body with details.)
        """
        self._list_one()

    def create(self, key: str, body: BinaryIO | bytes, content: Content) -> None:
        """Write an object that must not exist yet; the store itself checks the SHA-256 of what arrives.

        A write that was not answered, but is found to have arrived, counts as done.

        Args:
            key: the object's key.
            body: the bytes; a file is read from its current position.
            content: SHA-256 and size of the bytes.

        Raises:
            ObjectExists: there is an object under this key already.
            StoreError: anything else, as one line that says what to do.
        """
        if content.size > _SINGLE_PUT_LIMIT:
            raise StoreError(
                f"{key} has {content.size / 1024**3:.1f} GiB, a single upload ends at 5 GiB",
                hint="choose a part_by with more distinct values, or a smaller part_mb",
            )
        request: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": key,
            "Body": body,
            "ContentLength": content.size,
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(content.sha256)).decode(),
            "IfNoneMatch": "*",
            # Kept in the metadata as well, because some stores do not give the checksum back.
            "Metadata": {"sha256": content.sha256},
            **self._written_as,
        }
        for tries in range(1, _CONFLICT_TRIES + 1):
            try:
                with self._explained(f"write {key}"):
                    self._client.put_object(**request)
                return
            except NoAnswer:
                # No attempt was answered, but one of them may have arrived.
                with suppress(StoreError):
                    if (found := self.head(key)) and found.content == content:
                        return
                raise
            except WriteConflict:
                # The other write may be an earlier attempt of this one whose answer was lost. It will finish soon.
                if tries == _CONFLICT_TRIES:
                    raise
                time.sleep(tries)
                if not isinstance(body, bytes):
                    body.seek(0)

    def create_sealed(self, key: str, body: bytes) -> Content:
        """Seal a small object, so that only holders of the key ring can read it or could have written it; `create` it.

        Returns:
            The content of the sealed body, which is stored.

        Raises:
            ObjectExists: there is another object under this key already.
            StoreError: see `create`.
        """
        sealed = self.encryption.seal(key, body)
        written = Content.of(sealed)
        try:
            self.create(key, sealed, written)
        except ObjectExists:
            # An earlier attempt may have arrived although its answer was lost. Then the stored bytes are exactly
            # these: sealing the same body again would give others.
            with suppress(ObjectMissing):
                if self.digest(key, expected=written) == written:
                    return written
            raise
        return written

    def locking(self, mode: Literal["GOVERNANCE", "COMPLIANCE"], until: datetime) -> Store:
        """Return the same store, except that new objects are locked. The bucket must have object lock enabled.

        Args:
            mode: object lock's mode.
            until: when the locks end, aware.
        """
        locking = copy(self)
        until = until.replace(microsecond=0)  # stores round down, and every later check would find the lock too short
        locking._written_as = self._written_as | {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}
        return locking

    def extend_lock(self, key: str) -> None:
        """Lock a stored object at least as long as new ones; do nothing unless `locking` made this store."""
        until = self._written_as.get("ObjectLockRetainUntilDate")
        if until is None:
            return
        found = self.head(key)
        if found and found.locked_until and found.locked_until >= until:
            return
        with self._explained(f"extend the lock of {key}"):
            self._client.put_object_retention(
                Bucket=self.bucket,
                Key=key,
                Retention={"Mode": self._written_as["ObjectLockMode"], "RetainUntilDate": until},
            )

    def head(self, key: str) -> Stored | None:
        """Return the store's record of the object under the key, or None if there is no object."""
        try:
            with self._explained(f"look up {key}"):
                found = self._client.head_object(Bucket=self.bucket, Key=key)
        except ObjectMissing:
            return None
        return Stored(
            key,
            found["ContentLength"],
            found["Metadata"].get("sha256"),
            found["LastModified"],
            found.get("ObjectLockRetainUntilDate"),
        )

    def clock(self) -> datetime:
        """Return the store's own time, aware.

        Raises:
            StoreError: the store could not be asked, or its answer has no time.
        """
        answer = self._list_one()
        try:
            return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        except (KeyError, ValueError):
            raise StoreError("the store does not tell its time", hint="its answers need a Date header") from None

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield the object's bytes, 1 MiB at a time.

        Raises:
            ObjectMissing: there is no object under the key.
            ObjectDamaged: all bytes were read, and they do not match the store's own checksum.
            StoreError: the object could not be read to its end.
        """
        from botocore.exceptions import FlexibleChecksumError, HTTPClientError, IncompleteReadError

        request: Any = {"Bucket": self.bucket, "Key": key}
        position, tries = 0, 0
        with self._explained(f"read {key}"):
            while True:
                body = self._client.get_object(**request)["Body"]
                try:
                    for chunk in body.iter_chunks(_CHUNK):
                        position += len(chunk)
                        yield chunk
                    return
                except FlexibleChecksumError:
                    raise ObjectDamaged(f"{key} is not what was stored: the store's own checksum differs") from None
                except (HTTPClientError, IncompleteReadError):
                    # botocore repeats a request only until its answer begins. An answer that breaks off is continued
                    # here.
                    tries += 1
                    if tries == _READ_TRIES:
                        raise
                request["Range"] = f"bytes={position}-"

    def read(self, key: str) -> bytes:
        """Return the bytes of a small object. If it seems damaged, it is read twice: the network may be at fault.

        Raises:
            ObjectMissing, ObjectDamaged, StoreError: see `chunks`.
        """
        with suppress(ObjectDamaged):
            return b"".join(self.chunks(key))
        return b"".join(self.chunks(key))

    def read_sealed(self, key: str) -> bytes:
        """Return the body that `create_sealed` was given.

        Raises:
            Unreadable: its master key is missing, or the bytes are not those that were written.
            ObjectMissing, StoreError: see `read`.
        """
        return self.encryption.open(key, self.read(key))

    def digest(self, key: str, copy_to: BinaryIO | None = None, *, expected: Content | None = None) -> Content:
        """Read an object to its last byte and return its content.

        Args:
            key: the object's key.
            copy_to: an empty file that gets a copy.
            expected: an object that differs from this is read a second time, because the network may be at fault.

        Raises:
            ObjectMissing, StoreError: see `chunks`.
        """
        found = self._digest(key, copy_to)
        if expected in (None, found):
            return found
        if copy_to:
            copy_to.seek(0)
            copy_to.truncate()
        return self._digest(key, copy_to)

    def _digest(self, key: str, copy_to: BinaryIO | None) -> Content:
        digest, size = hashlib.sha256(), 0
        # The caller compares the SHA-256, which says more than the mismatch of the store's own checksum.
        with suppress(ObjectDamaged):
            for chunk in self.chunks(key):
                digest.update(chunk)
                size += len(chunk)
                if copy_to:
                    copy_to.write(chunk)
        return Content(digest.hexdigest(), size)

    def listing(self, below: str = "", *, versions: bool = False) -> list[Listed]:
        """List every object whose key begins with the prefix and `below`.

        Args:
            below: a folder, or the beginning of a name.
            versions: if the bucket has versions, list each version and each delete marker, that is, everything that
                takes up space.
        """
        request: Any = {"Bucket": self.bucket, "Prefix": f"{self.prefix}/{below}"}
        found: list[Listed] = []
        with self._explained(f"list s3://{self.bucket}/{self.prefix}"):
            if not (versions and self._versioned()):
                for page in self._pages("list_objects_v2", request):
                    found += [Listed(o["Key"], o["Size"], o["LastModified"]) for o in page.get("Contents", ())]
                return found
            for versioned in self._pages("list_object_versions", request):
                found += [
                    Listed(v["Key"], v["Size"], v["LastModified"], v["VersionId"])
                    for v in versioned.get("Versions", ())
                ]
                found += [
                    Listed(m["Key"], 0, m["LastModified"], m["VersionId"], marker=True)
                    for m in versioned.get("DeleteMarkers", ())
                ]
        return found

    def _versioned(self) -> bool:
        """Return whether a plain delete would only hide an object. A store that cannot say has no versions."""
        from botocore.exceptions import ClientError

        try:
            return bool(self._client.get_bucket_versioning(Bucket=self.bucket).get("Status"))
        except ClientError as error:
            if error.response["Error"]["Code"] == "NotImplemented":
                return False
            raise

    def remove(self, listed: Listed) -> None:
        """Delete one object that `listing` gave; do nothing if the object is gone already.

        Raises:
            StoreError: the store refuses, or the key does not belong to this package.
        """
        if self.layout.kind(listed.key) is None:
            raise StoreError(f"{listed.key} does not belong to this package; it is left alone")
        which: Any = {"VersionId": listed.version} if listed.version else {}
        with suppress(ObjectMissing), self._explained(f"delete {listed.key}"):
            self._client.delete_object(Bucket=self.bucket, Key=listed.key, **which)

    def locked_until(self, listed: Listed) -> datetime | None:
        """Return when the lock that forbids deleting the object ends; None if it has no lock, or nobody can tell."""
        which: Any = {"VersionId": listed.version} if listed.version else {}
        try:
            with self._explained(f"look up the lock of {listed.key}"):
                found = self._client.get_object_retention(Bucket=self.bucket, Key=listed.key, **which)
        except StoreError:
            return None
        return found["Retention"].get("RetainUntilDate")

    def uploads(self) -> list[Upload]:
        """Return the multipart uploads under the prefix that were neither completed nor aborted."""
        found: list[Upload] = []
        with self._explained(f"list uploads in s3://{self.bucket}/{self.prefix}"):
            for page in self._pages("list_multipart_uploads", {"Bucket": self.bucket, "Prefix": f"{self.prefix}/"}):
                found += [Upload(u["Key"], u["UploadId"], u["Initiated"]) for u in page.get("Uploads", ())]
        return found

    def abort(self, upload: Upload) -> None:
        """Abort an upload, which deletes the pieces that arrived.

        Raises:
            StoreError: the store refuses, or the key does not belong to this package.
        """
        if self.layout.kind(upload.key) is None:
            raise StoreError(f"upload {upload.key} does not belong to this package; it is left alone")
        with suppress(ObjectMissing), self._explained(f"abort the upload of {upload.key}"):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=upload.key, UploadId=upload.upload_id)

    def manifest_keys(self) -> list[str]:
        """Return the keys of all manifests, oldest first."""
        keys = [key for key in self.keys("snapshots/") if MANIFEST.search(key)]
        return sorted(keys, key=lambda key: key.rsplit("/", 1)[-1])

    def keys(self, below: str = "") -> list[str]:
        """Return every key under the prefix that continues with `below`."""
        found: list[str] = []
        with self._explained(f"list s3://{self.bucket}/{self.prefix}"):
            for page in self._pages("list_objects_v2", {"Bucket": self.bucket, "Prefix": f"{self.prefix}/{below}"}):
                found.extend(each["Key"] for each in page.get("Contents", ()))
        return found

    def _list_one(self) -> Any:
        """Return the answer to the smallest listing, of at most one key."""
        with self._explained(f"list s3://{self.bucket}/{self.prefix}"):
            answer = self._client.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/", MaxKeys=1)
            self._require_listing(answer)
        return answer

    def _pages(self, operation: Any, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the answers to a listing, page by page.

        Raises:
            StoreError: an answer is not a listing.
        """
        for page in self._client.get_paginator(operation).paginate(**request):
            self._require_listing(page)
            yield page

    def _require_listing(self, answer: Any) -> None:
        """Refuse an answer that is not a listing: boto3 reads any other page with status 200 as an empty one.

        Whoever took it for an empty bucket would delete the parts of all snapshots.
        """
        if "IsTruncated" not in answer or not (answer.get("Name") or answer.get("Bucket")):
            raise StoreError(
                f"cannot list s3://{self.bucket}/{self.prefix}: the answer is not a listing of a bucket",
                hint="is a proxy or a login page between this machine and the store?",
            )

    def _explained(self, doing: str) -> AbstractContextManager[None]:
        return explained(doing, bucket=self.bucket, locking="ObjectLockMode" in self._written_as)
