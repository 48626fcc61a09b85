"""What the bucket lets this connection do: write, read, list, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mindguard.connections import Connection
from mindguard.doctor.bucket import Bucket, error_code, versioned
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.snapshots.storage.s3_errors import ObjectExists, StoreError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


_WHEN_REQUIRED = '"config_kwargs": {"request_checksum_calculation": "when_required"}'


class BucketAccess(Bucket):
    """Tries each kind of request that snapshots and their expiry make."""

    def write(self) -> Iterator[Diagnosis]:
        """Create-only writes with SHA-256, server-side encryption and storage class, read back."""
        key = self._new_key()
        try:
            self._create(self._store, key)
        except StoreError as error:
            yield self._diagnosis("error", "write", f"{error} – {self._refused()}")
            return
        if self._store.digest(key) != self._content:
            yield self._diagnosis(
                "error", "write", "the store gives back other bytes than those written – do not use it"
            )
            return
        yield self._diagnosis("pass", "write", "written with SHA-256 and read back equal")
        try:
            self._create(self._store, key)
        except ObjectExists:
            yield self._diagnosis("pass", "create-only", "a second write under one key is refused (If-None-Match)")
            return
        text = "the store ignores If-None-Match, so two runs could overwrite each other – use a store that honours it"
        yield self._diagnosis("error", "create-only", text)

    def _refused(self) -> str:
        """Which part of a write the store refuses, found by leaving each one out."""
        import base64

        asked = self._settings
        whole: dict[str, Any] = {
            "StorageClass": asked.storage_class,
            "ServerSideEncryption": asked.sse,
            "SSEKMSKeyId": asked.sse_kms_key_id,
            "IfNoneMatch": "*",
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(self._content.sha256)).decode(),
        }
        whole = {name: value for name, value in whole.items() if value}
        remedies = {
            "StorageClass": f"it takes the write without storage class {self._settings.storage_class}: "
            "set snapshot.storage_class to one that it has",
            "ServerSideEncryption": "it takes the write without server-side encryption: "
            "set snapshot.sse: null, and encrypt on the client",
            "SSEKMSKeyId": "it takes the write without this KMS key: correct snapshot.sse_kms_key_id",
            "IfNoneMatch": "it takes the write without If-None-Match: it has no create-only writes, use one that has",
            "ChecksumSHA256": "it takes the write without x-amz-checksum-sha256: use a store that checks SHA-256",
        }
        for name, remedy in remedies.items():
            left = {key: value for key, value in whole.items() if key != name}
            if name == "ServerSideEncryption":
                left.pop("SSEKMSKeyId", None)
            if name in whole and self._put(**left) is None:
                return remedy
        return "no single part of the write is to blame"

    def default_checksum(self) -> Iterator[Diagnosis]:
        """What boto3 adds to a write that brings no checksum: CRC32 since 1.36, which some stores refuse."""
        if code := self._put():
            text = (
                f"boto3's default checksums are refused ({code}) – set {_WHEN_REQUIRED} in the extra of the connection"
            )
            yield self._diagnosis("error", "default checksum", text)
            return
        when = self._client.meta.config.request_checksum_calculation  # type: ignore[attr-defined]
        yield self._diagnosis("pass", "default checksum", f"taken, request_checksum_calculation is {when}")

    def public_access(self, connection: Connection) -> Iterator[Diagnosis]:
        """Ask for a probe without any key: nobody may read or list these records."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        anonymous: S3Client = boto3.client(
            "s3",
            endpoint_url=connection.extra.get("endpoint_url") or None,
            region_name=connection.extra.get("region_name") or None,
            config=self._client.meta.config.merge(Config(signature_version=UNSIGNED)),
        )
        where: Any = {"Bucket": self._store.bucket}
        attempts: dict[str, Callable[[], Any]] = {
            "read": lambda: anonymous.get_object(**where, Key=self._keys[0]),
            "listed": lambda: anonymous.list_objects_v2(**where, MaxKeys=1),
        }
        for doing, attempt in attempts.items():
            try:
                attempt()
            except ClientError as error:
                if error_code(error) in {"NoSuchKey", "404"}:
                    yield self._diagnosis("unknown", "public access", "no probe could be written to be asked for")
                    return
                continue
            except BotoCoreError as error:
                yield self._diagnosis("unknown", "public access", f"could not be asked: {type(error).__name__}")
                return
            text = f"the bucket can be {doing} without any key – close it now: policy, ACL, public access block"
            yield self._diagnosis("error", "public access", text)
            return
        yield self._diagnosis("pass", "public access", "without a key nothing can be read or listed")

    def multipart(self) -> Iterator[Diagnosis]:
        """Begin an upload, find it in the listing that expiry reads, abort it."""
        from botocore.exceptions import ClientError

        key = self._new_key()
        where: Any = {"Bucket": self._store.bucket, "Key": key}
        try:
            where["UploadId"] = self._client.create_multipart_upload(**where)["UploadId"]
            self._client.upload_part(**where, PartNumber=1, Body=self._body)
            listed = any(upload.key == key for upload in self._store.uploads())
            self._client.abort_multipart_upload(**where)
            left = any(upload.key == key for upload in self._store.uploads())
        except (ClientError, StoreError) as error:
            why = error_code(error) if isinstance(error, ClientError) else str(error)
            stays = f"; the upload of {key} stays" if "UploadId" in where else ""
            text = f"multipart uploads cannot be begun, listed and aborted: {why}{stays}; only expiry needs that"
            yield self._diagnosis("warn", "multipart", text)
            return
        if left or not listed:
            text = (
                "a begun upload is not listed, or an aborted one still is, so expiry cannot tidy up – set a lifecycle "
            )
            yield self._diagnosis("warn", "multipart", text + "rule AbortIncompleteMultipartUpload")
            return
        yield self._diagnosis("pass", "multipart", "begun, listed, aborted")

    def delete(self) -> Iterator[Diagnosis]:
        """Remove the probes: one in a batch, the others one by one; and say which stay."""
        from botocore.exceptions import ClientError

        codes: list[str] = []
        written = [key for key in self._keys if self._store.head(key)]
        if len(written) > 1:
            yield self._batch_delete(written[-1])
        for key in filter(self._store.head, written):
            try:
                for version in self._versions(key) or [None]:
                    self._client.delete_object(Bucket=self._store.bucket, Key=key, **versioned(version))
            except ClientError as error:
                codes.append(error_code(error))
        stays = [key for key in self._keys if self._versions(key) or self._store.head(key)]
        if stays:
            # Fine for an exporter's key: the right to delete belongs to expiry alone.
            why = f" ({codes[0]})" if codes else ""
            text = f"this key cannot delete{why}, which expiry needs and nothing else; what was probed with stays: "
            yield self._diagnosis("warn", "delete", text + ", ".join(stays))
        elif written:
            yield self._diagnosis("pass", "delete", "works, and no probe is left")
        else:
            yield self._diagnosis("unknown", "delete", "no probe could be written to be deleted")

    def _batch_delete(self, key: str) -> Diagnosis:
        from botocore.exceptions import ClientError

        objects: Any = [{"Key": key, **versioned(version)} for version in self._versions(key) or [None]]
        try:
            answer = self._client.delete_objects(Bucket=self._store.bucket, Delete={"Objects": objects})
            refused = ", ".join(str(each.get("Code")) for each in answer.get("Errors", ()))
        except ClientError as error:
            refused = error_code(error)
        text = f"refused ({refused}), and not needed" if refused else "works, and is not needed"
        return self._diagnosis("pass", "batch delete", f"{text}: expiry deletes one by one")
