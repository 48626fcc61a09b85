"""Examines what the bucket lets this connection do: write, read, list and delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from mindguard.connections import Connection, s3_client
from mindguard.doctor.bucket import Bucket, error_code, versioned
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
from mindguard.snapshots.storage.answers import refuse_foreign
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.s3_errors import ObjectExists, StoreError, why_no_answer

_TOLERATED_S = 600
_WHEN_REQUIRED = '"config_kwargs": {"request_checksum_calculation": "when_required"}'


class BucketAccess(Bucket):
    """Tries each kind of request that snapshots and their expiry make."""

    def write(self) -> Iterator[Diagnosis]:
        """Write a probe as snapshots do, create-only and with SHA-256, encryption and storage class; read it back."""
        key = self._new_key()
        try:
            self._create(self._store, key)
        except StoreError as error:
            # The error's own hint is a guess from the store's code; what the store accepts is known here.
            yield self._diagnosis("error", "write", Said("write_refused", error=error.message, remedy=self._refused()))
            return
        if self._store.digest(key) != self._content:
            yield self._diagnosis("error", "write", Said("write_other_bytes"))
            return
        yield self._diagnosis("pass", "write", Said("written"))
        yield self._second_write(key)
        yield self._listed(key)

    def _second_write(self, key: str) -> Diagnosis:
        """Write other bytes under the same key, which must be refused, and look what the key holds afterwards."""
        other = self._body[::-1]
        try:
            self._store.create(key, other, Content.of(other))
        except ObjectExists:
            return self._diagnosis("pass", "create-only", Said("create_only"))
        except StoreError as error:
            return self._diagnosis("unknown", "create-only", Said("create_only_unclear", error=error))
        claimed = self._store.digest(key) == self._content
        return self._diagnosis(
            "error", "create-only", Said("create_only_claimed" if claimed else "create_only_ignored")
        )

    def _listed(self, key: str) -> Diagnosis:
        """Check that a listing has a new object, with the right time: expiry judges by both."""
        now = self._store.clock()
        found = [each for each in self._store.listing(key.removeprefix(f"{self._store.prefix}/")) if each.key == key]
        if not found:
            return self._diagnosis("error", "listing", Said("not_listed"))
        off_s = abs((found[0].written_at - now).total_seconds())
        if off_s > _TOLERATED_S:
            return self._diagnosis("error", "listing", Said("listed_wrong_time", minutes=f"{off_s / 60:,.0f}"))
        return self._diagnosis("pass", "listing", Said("listed"))

    def _refused(self) -> str:
        """Return the remedy for a refused write, found by leaving out one part of the write after another."""
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
            "StorageClass": Said("without_storage_class", name=self._settings.storage_class),
            "ServerSideEncryption": Said("without_sse"),
            "SSEKMSKeyId": Said("without_kms"),
            "IfNoneMatch": Said("without_condition"),
            "ChecksumSHA256": Said("without_sha256"),
        }
        causes = [(name,) for name in remedies if name in whole]
        for left_out in (*causes, *combinations((name for (name,) in causes), 2)):
            without = {*left_out, *(("SSEKMSKeyId",) if "ServerSideEncryption" in left_out else ())}
            if self._put(**{name: value for name, value in whole.items() if name not in without}) is None:
                found = [remedies[name] for name in left_out]
                return found[0] if len(found) == 1 else Said("two_causes", one=found[0], other=found[1])
        return Said("no_cause")

    def default_checksum(self) -> Iterator[Diagnosis]:
        """Write a probe without a checksum. Since 1.36 boto3 adds CRC32 to such a write, which some stores refuse."""
        if code := self._put():
            text = Said("checksum_refused", code=code, setting=_WHEN_REQUIRED)
            yield self._diagnosis("error", "default checksum", text)
            return
        when = self._client.meta.config.request_checksum_calculation  # type: ignore[attr-defined]
        yield self._diagnosis("pass", "default checksum", Said("checksum_accepted", when=when))

    def public_access(self, connection: Connection) -> Iterator[Diagnosis]:
        """Request a probe anonymously: without a key nobody may read or list these records."""
        from botocore.exceptions import BotoCoreError, ClientError

        # The same address in the same way, without anything that leads to a key.
        extra = {name: connection.extra.get(name) for name in ("endpoint_url", "service_config", "verify")}
        extra["region_name"] = self._client.meta.region_name
        extra["config_kwargs"] = {**(connection.extra.get("config_kwargs") or {}), "signature_version": "unsigned"}
        anonymous = s3_client(Connection(connection.conn_id, "aws", extra=extra))
        where: Any = {"Bucket": self._store.bucket}
        refuse_foreign(anonymous)
        attempts: dict[str, Callable[[], bool]] = {
            "public_read": lambda: anonymous.get_object(**where, Key=self._keys[0])["Body"].read() == self._body,
            "public_listed": lambda: "IsTruncated" in anonymous.list_objects_v2(**where, MaxKeys=1),
        }
        for action, attempt in attempts.items():
            try:
                if not attempt():
                    yield self._diagnosis("unknown", "public access", Said("untested", why=Said("foreign")))
                    return
            except StoreError as error:
                yield self._diagnosis("unknown", "public access", Said("untested", why=error))
                return
            except ClientError as error:
                if error_code(error) in {"NoSuchKey", "404"}:
                    yield self._diagnosis("unknown", "public access", Said("no_probe"))
                    return
                continue
            except BotoCoreError as error:
                yield self._diagnosis("unknown", "public access", Said("untested", why=why_no_answer(error)))
                return
            yield self._diagnosis("error", "public access", Said(action))
            return
        yield self._diagnosis("pass", "public access", Said("not_public"))

    def multipart(self) -> Iterator[Diagnosis]:
        """Begin an upload, find it in the listing that expiry reads, and abort it."""
        from botocore.exceptions import BotoCoreError, ClientError

        key = self._new_key()
        where: Any = {"Bucket": self._store.bucket, "Key": key}
        try:
            where["UploadId"] = self._client.create_multipart_upload(**where)["UploadId"]
            self._client.upload_part(**where, PartNumber=1, Body=self._body)
            listed = any(upload.key == key for upload in self._store.uploads())
            self._client.abort_multipart_upload(**where)
            remains = any(upload.key == key for upload in self._store.uploads())
        except (BotoCoreError, ClientError, StoreError) as error:
            why = error_code(error) if isinstance(error, ClientError) else why_no_answer(error)
            why = str(error) if isinstance(error, StoreError) else why
            rest = Said("multipart_rest", key=key) if "UploadId" in where else ""
            yield self._diagnosis("warn", "multipart", Said("multipart_fails", why=why, rest=rest))
            return
        if remains or not listed:
            yield self._diagnosis("warn", "multipart", Said("multipart_unlisted"))
            return
        yield self._diagnosis("pass", "multipart", Said("multipart"))

    def delete(self) -> Iterator[Diagnosis]:
        """Delete the probes, one in a batch and the others one by one, and name those that remain."""
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
        remaining = [key for key in self._keys if self._versions(key) or self._store.head(key)]
        if remaining:
            # This is as it should be for an exporter's key: only expiry needs the right to delete.
            code = Said("code", code=codes[0]) if codes else ""
            yield self._diagnosis("warn", "delete", Said("cannot_delete", code=code, keys=", ".join(remaining)))
        elif written:
            yield self._diagnosis("pass", "delete", Said("deleted"))
        else:
            yield self._diagnosis("unknown", "delete", Said("no_probe"))

    def _batch_delete(self, key: str) -> Diagnosis:
        from botocore.exceptions import ClientError

        objects: Any = [{"Key": key, **versioned(version)} for version in self._versions(key) or [None]]
        try:
            answer = self._client.delete_objects(Bucket=self._store.bucket, Delete={"Objects": objects})
            refused = ", ".join(str(each.get("Code")) for each in answer.get("Errors", ()))
        except ClientError as error:
            refused = error_code(error)
        text = Said("batch_refused", code=refused) if refused else Said("batch_works")
        return self._diagnosis("pass", "batch delete", text)
