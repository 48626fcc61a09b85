"""The object store: create-only writes with SHA-256, reads, listings and removal. `layout` defines its keys."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

from mindguard.errors import about
from mindguard.fetch import within
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.storage.answers import refuse_foreign
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.encryption import Encryption, NoEncryption
from mindguard.snapshots.storage.layout import MANIFEST, Layout
from mindguard.snapshots.storage.s3_errors import (
    ForeignAnswer,
    NoAnswer,
    NotImplementedByStore,
    ObjectDamaged,
    ObjectExists,
    ObjectMissing,
    StoreError,
    WriteConflict,
    explained,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")

_CHUNK = 1024 * 1024
_READ_TRIES = 4
_CONFLICT_TRIES = 4
_SINGLE_PUT_LIMIT = 5 * 1024**3
_NO_CONTENT = 204
_DEADLINE_S = 120.0
_SLOWEST_BYTES_PER_S = 100_000
_ENTRIES = ("Contents", "Versions", "DeleteMarkers", "Uploads")


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


@dataclass
class _Waiting:
    """The time that may be spent on waiting for the store; that of whoever uses its answers does not count."""

    left_s: float
    ended: threading.Event | None

    def until_done(self, call: Callable[[], Any]) -> Any:
        """Return the call's result, unless the time runs out."""
        began = time.monotonic()
        try:
            return within(max(self.left_s, 0), call, self.ended)
        finally:
            self.left_s -= time.monotonic() - began


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
        deadline_s: seconds that one request may take with all attempts, in addition to a second for each 100 kB that
            it transfers. The time limits of the client start again with each byte.
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
        deadline_s: float = _DEADLINE_S,
        conn_id: str = "",
    ) -> None:
        refuse_foreign(client)
        self._client = client
        self._deadline_s = deadline_s
        self._conn_id = conn_id
        self._ended: threading.Event | None = None
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
    def of(
        cls, client: S3Client, settings: SnapshotSettings, encryption: Encryption | None = None, *, conn_id: str = ""
    ) -> Store:
        """Return the store that the settings name; errors name the connection."""
        return cls(
            client,
            bucket=settings.bucket,
            prefix=settings.prefix,
            storage_class=settings.storage_class,
            sse=settings.sse,
            sse_kms_key_id=settings.sse_kms_key_id,
            encryption=encryption,
            conn_id=conn_id,
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
                self._asked(f"write {key}", self._client.put_object, transferred=content.size, **request)
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
            The content of the sealed body, which was read back from the store.

        Raises:
            ObjectExists: there is another object under this key already.
            StoreError: see `create`; also if the store does not return what was written.
        """
        sealed = self.encryption.seal(key, body)
        self.create_small(key, sealed)
        return Content.of(sealed)

    def create_small(self, key: str, body: bytes) -> None:
        """`create` an object and read it back: an answer alone does not prove that anything is stored.

        Raises:
            ObjectExists: there is another object under this key already.
            StoreError: see `create`; also if the store does not return what was written.
        """
        written = Content.of(body)
        try:
            self.create(key, body, written)
        except ObjectExists:
            # An earlier attempt may have arrived although its answer was lost. Then the stored bytes are exactly
            # these: sealing the same body again would give others.
            with suppress(ObjectMissing):
                if self.digest(key, expected=written) == written:
                    return
            raise
        try:
            found = self.digest(key, expected=written)
        except ObjectMissing as error:
            raise StoreError(
                f"the store accepted {key} and does not have it",
                hint="run again; if it happens again, do not use this store",
            ) from error
        if found != written:
            raise StoreError(f"the store returns {found} for {key}, {written} were written", hint="run again")

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

    def until(self, ended: threading.Event) -> Store:
        """Return the same store, except that its requests end with `Abandoned` as soon as `ended` is set.

        Threads that wait for a store that stalls would otherwise outlast a Ctrl-C by minutes.
        """
        ending = copy(self)
        ending._ended = ended
        return ending

    def extend_lock(self, key: str) -> None:
        """Lock a stored object at least as long as new ones; do nothing unless `locking` made this store."""
        until = self._written_as.get("ObjectLockRetainUntilDate")
        if until is None:
            return
        found = self.head(key)
        if found and found.locked_until and found.locked_until >= until:
            return
        retention = {"Mode": self._written_as["ObjectLockMode"], "RetainUntilDate": until}
        self._asked(f"extend the lock of {key}", self._client.put_object_retention, Key=key, Retention=retention)

    def head(self, key: str) -> Stored | None:
        """Return the store's record of the object under the key, or None if there is no object."""
        doing = f"look up {key}"
        try:
            found = self._asked(doing, self._client.head_object, Key=key)
        except ObjectMissing:
            return None
        with self._explained(doing):
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
            return _aware(parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]))
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
        waiting = _Waiting(self._deadline_s, self._ended)
        with self._explained(f"read {key}"):
            while True:
                answer = waiting.until_done(partial(self._client.get_object, **request))
                if position and not str(answer.get("ContentRange")).startswith(f"bytes {position}-"):
                    raise ForeignAnswer("the answer does not continue where the last one broke off")
                if not tries:
                    waiting.left_s += answer["ContentLength"] / _SLOWEST_BYTES_PER_S
                try:
                    while chunk := waiting.until_done(partial(answer["Body"].read, _CHUNK)):
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
            expected: an object that differs from this, or seems to be missing, is read a second time, because the
                network may be at fault.

        Raises:
            ObjectMissing, StoreError: see `chunks`.
        """
        try:
            found = self._digest(key, copy_to)
        except ObjectMissing:
            if not expected:
                raise
        else:
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
        versioned_bucket = versions and self._versioned()
        with self._explained(f"list s3://{self.bucket}/{self.prefix}"):
            if not versioned_bucket:
                for page in self._pages("list_objects_v2", request):
                    found += [Listed(o["Key"], _size(o), _aware(o["LastModified"])) for o in page.get("Contents", ())]
                return found
            for versioned in self._pages("list_object_versions", request):
                found += [
                    Listed(v["Key"], _size(v), _aware(v["LastModified"]), v["VersionId"])
                    for v in versioned.get("Versions", ())
                ]
                found += [
                    Listed(m["Key"], 0, _aware(m["LastModified"]), m["VersionId"], marker=True)
                    for m in versioned.get("DeleteMarkers", ())
                ]
        return found

    def _versioned(self) -> bool:
        """Return whether a plain delete would only hide an object. A store that cannot say has no versions."""
        doing = f"find out whether {self.bucket} keeps versions"
        try:
            return bool(self._asked(doing, self._client.get_bucket_versioning).get("Status"))
        except NotImplementedByStore:
            return False

    def remove(self, listed: Listed) -> None:
        """Delete one object that `listing` gave; do nothing if the object is gone already.

        Raises:
            StoreError: the store refuses, or the key does not belong to this package.
        """
        if self.layout.kind(listed.key) is None:
            raise StoreError(f"{listed.key} does not belong to this package; it is left alone")
        which: Any = {"VersionId": listed.version} if listed.version else {}
        with suppress(ObjectMissing):
            answer = self._asked(f"delete {listed.key}", self._client.delete_object, Key=listed.key, **which)
            # A store that has deleted something answers without content. For any other answer, the store is asked.
            if answer["ResponseMetadata"]["HTTPStatusCode"] != _NO_CONTENT and self._still_listed(listed):
                raise StoreError(f"cannot delete {listed.key}: it is still there, although the answer was no error")

    def _still_listed(self, listed: Listed) -> bool:
        below = listed.key[len(self.prefix) + 1 :]
        found = self.listing(below, versions=listed.version is not None)
        return any((each.key, each.version) == (listed.key, listed.version) for each in found)

    def locked_until(self, listed: Listed) -> datetime | None:
        """Return when the lock that forbids deleting the object ends; None if it has no lock, or nobody can tell."""
        which: Any = {"VersionId": listed.version} if listed.version else {}
        doing = f"look up the lock of {listed.key}"
        try:
            found = self._asked(doing, self._client.get_object_retention, Key=listed.key, **which)
        except StoreError:
            return None
        until: datetime | None = found.get("Retention", {}).get("RetainUntilDate")
        return until

    def uploads(self) -> list[Upload]:
        """Return the multipart uploads under the prefix that were neither completed nor aborted."""
        found: list[Upload] = []
        with self._explained(f"list uploads in s3://{self.bucket}/{self.prefix}"):
            for page in self._pages("list_multipart_uploads", {"Bucket": self.bucket, "Prefix": f"{self.prefix}/"}):
                found += [Upload(u["Key"], u["UploadId"], _aware(u["Initiated"])) for u in page.get("Uploads", ())]
        return found

    def abort(self, upload: Upload) -> None:
        """Abort an upload, which deletes the pieces that arrived.

        Raises:
            StoreError: the store refuses, or the key does not belong to this package.
        """
        if self.layout.kind(upload.key) is None:
            raise StoreError(f"upload {upload.key} does not belong to this package; it is left alone")
        doing = f"abort the upload of {upload.key}"
        with suppress(ObjectMissing):
            self._asked(doing, self._client.abort_multipart_upload, Key=upload.key, UploadId=upload.upload_id)

    def manifest_keys(self) -> list[str]:
        """Return the keys of all manifests, oldest first."""
        keys = [key for key in self.keys("snapshots/") if MANIFEST.search(key)]
        return sorted(keys, key=lambda key: key.rsplit("/", 1)[-1])

    def keys(self, below: str = "") -> list[str]:
        """Return every key under the prefix that continues with `below`."""
        return [each.key for each in self.listing(below)]

    def first_key(self, below: str) -> str | None:
        """Return the first key under the prefix that continues with `below`, or None; only one is listed."""
        found = self._list_one(below).get("Contents") or [{"Key": None}]
        key: str | None = found[0]["Key"]
        return key

    def _list_one(self, below: str = "") -> Any:
        """Return the answer to the smallest listing, of at most one key."""
        doing = f"list s3://{self.bucket}/{self.prefix}"
        answer = self._asked(doing, self._client.list_objects_v2, Prefix=f"{self.prefix}/{below}", MaxKeys=1)
        with self._explained(doing):
            self._require_listing(answer)
        return answer

    def _pages(self, operation: Any, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the answers to a listing, page by page.

        Raises:
            StoreError: an answer is not a listing.
        """
        pages = iter(self._client.get_paginator(operation).paginate(**request))
        goes_on = False
        while (page := within(self._deadline_s, lambda: next(pages, None), self._ended)) is not None:
            self._require_listing(page)
            for entry in (each for name in _ENTRIES for each in page.get(name, ())):
                if not entry["Key"].startswith(request["Prefix"]):
                    raise ForeignAnswer("the answer is the listing of something else than was asked for")
            goes_on = page["IsTruncated"]
            yield page
        if goes_on:
            raise ForeignAnswer("the listing breaks off: it is not complete, and does not say where it goes on")

    def _require_listing(self, answer: Any) -> None:
        """Refuse an answer that is not a listing: boto3 reads any other page with status 200 as an empty one.

        Whoever took it for an empty bucket would delete the parts of all snapshots.
        """
        if "IsTruncated" not in answer or not (answer.get("Name") or answer.get("Bucket")):
            raise ForeignAnswer("the answer is not a listing of a bucket")

    def _asked(self, doing: str, operation: Callable[..., Any], *, transferred: int = 0, **request: Any) -> Any:
        """Return the store's answer to one request.

        Args:
            doing: what the request does, for errors.
            operation: the client's method.
            transferred: number of bytes that are sent with it.
            **request: the method's arguments; the bucket is added.

        Raises:
            NoAnswer: there is no answer before the deadline, or it is not the store's.
            StoreError: the store refuses.
        """
        seconds = self._deadline_s + transferred / _SLOWEST_BYTES_PER_S
        with self._explained(doing):
            return within(seconds, partial(operation, **{"Bucket": self.bucket, **request}), self._ended)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        locking = "ObjectLockMode" in self._written_as
        with about(self._conn_id, StoreError), explained(doing, bucket=self.bucket, locking=locking):
            yield


def in_parallel(
    store: Store, work: Callable[[Store, _Item], _Done], items: Iterable[_Item], *, threads: int, name: str
) -> list[_Done]:
    """Return the results of `work` for all items, in their order; after an error or Ctrl-C no request is waited for."""
    ended = threading.Event()
    pool = ThreadPoolExecutor(threads, name)
    try:
        return list(pool.map(partial(work, store.until(ended)), items))
    except BaseException:
        ended.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _aware(time: datetime) -> datetime:
    """Return a time that the store gave; one without a zone cannot be compared, and raises ValueError."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time


def _size(entry: Any) -> int:
    """Return the size in an entry of a listing; one below zero raises ValueError."""
    size: int = entry["Size"]
    if size < 0:
        raise ValueError("a size below zero")
    return size
