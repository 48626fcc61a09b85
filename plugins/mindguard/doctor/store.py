"""The object store: what it can do of what snapshots and their expiry ask of it, and what would quietly hurt them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from mindguard.connections import Connection, Resolve, s3_client
from mindguard.doctor.finding import Finding, clock, tried
from mindguard.settings import Settings
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.storage.s3_errors import ObjectExists, StoreError
from mindguard.snapshots.storage.store import Store

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Style = Literal["path", "virtual"]
Status = Literal["pass", "warn", "error", "unknown"]

# Days for which a class is charged at least. The longest of AWS, COS and OSS where they differ.
_CHARGED_DAYS = {
    "STANDARD_IA": 30,
    "ONEZONE_IA": 30,
    "IA": 30,
    "GLACIER_IR": 90,
    "GLACIER": 90,
    "ARCHIVE": 90,
    "DEEP_ARCHIVE": 180,
    "COLDARCHIVE": 180,
    "DEEPCOLDARCHIVE": 180,
}
_OFFLINE = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE", "COLDARCHIVE", "DEEPCOLDARCHIVE"}
_LOCK_PROBED_S = 60


def examine_store(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Everything about the bucket. Probe objects are removed again, and it is said when one cannot be.

    Raises:
        ConnectionMissing, StoreError: nothing more can be found out.
    """
    conn_id = settings.connections.backup
    connection = resolve(conn_id)
    yield from _addressing(connection, settings.snapshot)
    client = s3_client(connection)
    store = Store.of(client, settings.snapshot)
    snapshots = store.manifest_keys()
    yield Finding(
        "pass", conn_id, "list", f"s3://{store.bucket}/{store.prefix} can be listed, {len(snapshots)} snapshots"
    )
    yield clock(conn_id, store.clock(), now())
    bucket = _Bucket(conn_id, client, store, settings.snapshot)
    checks: dict[str, Iterator[Finding]] = {
        "write": bucket.write(),
        "default checksum": bucket.default_checksum(),
        "public access": bucket.public_access(connection),
        "multipart": bucket.multipart(),
        "object lock": bucket.object_lock(),
        "storage class": bucket.storage_class(),
        "versioning": bucket.versioning(),
        "lifecycle": bucket.lifecycle(),
        "delete": bucket.delete(),
    }
    for check, findings in checks.items():
        yield from tried(conn_id, check, findings)


def _styled(connection: Connection, style: Style) -> Connection:
    """The connection with this addressing style, and without patience: it is only tried."""
    kwargs = dict(connection.extra.get("config_kwargs") or {})
    kwargs |= {"s3": {**(kwargs.get("s3") or {}), "addressing_style": style}, "connect_timeout": 5}
    kwargs["retries"] = {"mode": "standard", "total_max_attempts": 1}
    return replace(connection, extra={**connection.extra, "config_kwargs": kwargs})


def _style(client: S3Client, bucket: str) -> Style:
    """The style that the client really uses: of an IP address there are no subdomains, whatever is set."""
    url = client.generate_presigned_url("head_bucket", Params={"Bucket": bucket})
    return "virtual" if (urlsplit(url).hostname or "").startswith(f"{bucket.lower()}.") else "path"


def _addressing(connection: Connection, settings: SnapshotSettings) -> Iterator[Finding]:
    """Try both addressing styles. Raises StoreError when the bucket cannot be reached in either."""
    current = s3_client(connection)
    used = _style(current, settings.bucket)
    other: Style = "path" if used == "virtual" else "virtual"
    attempt = s3_client(_styled(connection, other))
    possible = _style(attempt, settings.bucket) == other

    def fault(client: S3Client) -> StoreError | None:
        try:
            Store.of(client, settings).check_access()
        except StoreError as error:
            return error
        return None

    broken = fault(current)
    other_works = possible and fault(attempt) is None
    setting = f'"config_kwargs": {{"s3": {{"addressing_style": "{other}"}}}} in the extra of the connection'
    if broken and other_works:
        text = f"{used}-style addressing fails, {other}-style works – set {setting}"
        yield Finding("error", connection.conn_id, "addressing", text)
    if broken:
        raise broken
    also = f"{other}-style works too" if other_works else f"{other}-style does not" if possible else "the only one here"
    yield Finding("pass", connection.conn_id, "addressing", f"{used}-style is used and works, {also}")


class _Bucket:
    """One examination of one bucket, and the probe objects that it has written."""

    def __init__(self, conn_id: str, client: S3Client, store: Store, settings: SnapshotSettings) -> None:
        self._conn_id = conn_id
        self._client = client
        self._store = store
        self._settings = settings
        self._keys: list[str] = []
        self._body = secrets.token_bytes(64)
        self._sha256 = hashlib.sha256(self._body).hexdigest()

    def _finding(self, status: Status, check: str, text: str) -> Finding:
        return Finding(status, self._conn_id, check, text)

    def _new_key(self) -> str:
        self._keys.append(f"{self._store.prefix}/probe/{secrets.token_hex(8)}")
        return self._keys[-1]

    def _create(self, store: Store, key: str) -> None:
        store.create(key, self._body, sha256=self._sha256, size=len(self._body))

    def _put(self, **more: Any) -> str | None:
        """Write a probe without what snapshots add to it; gives the error's code, None when it is written."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(Bucket=self._store.bucket, Key=self._new_key(), Body=self._body, **more)
        except ClientError as error:
            return _code(error)
        except BotoCoreError as error:
            return type(error).__name__
        return None

    def write(self) -> Iterator[Finding]:
        """Create-only writes with SHA-256, server-side encryption and storage class, read back."""
        key = self._new_key()
        try:
            self._create(self._store, key)
        except StoreError as error:
            yield self._finding("error", "write", f"{error} – {self._refused()}")
            return
        if self._store.digest(key) != (self._sha256, len(self._body)):
            yield self._finding("error", "write", "the store gives back other bytes than were written – do not use it")
            return
        yield self._finding("pass", "write", "written with SHA-256 and read back equal")
        try:
            self._create(self._store, key)
        except ObjectExists:
            yield self._finding("pass", "create-only", "a second write under one key is refused (If-None-Match)")
            return
        text = "the store ignores If-None-Match, so two runs could overwrite each other – use a store that honours it"
        yield self._finding("error", "create-only", text)

    def _refused(self) -> str:
        """Which part of a write the store refuses, found by leaving each one out."""
        import base64

        asked = self._settings
        whole: dict[str, Any] = {
            "StorageClass": asked.storage_class,
            "ServerSideEncryption": asked.sse,
            "SSEKMSKeyId": asked.sse_kms_key_id,
            "IfNoneMatch": "*",
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(self._sha256)).decode(),
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

    def default_checksum(self) -> Iterator[Finding]:
        """What boto3 adds to a write that brings no checksum: CRC32 since 1.36, which some stores refuse."""
        if code := self._put():
            text = (
                f"boto3's default checksums are refused ({code}) – set {_WHEN_REQUIRED} in the extra of the connection"
            )
            yield self._finding("error", "default checksum", text)
            return
        when = self._client.meta.config.request_checksum_calculation  # type: ignore[attr-defined]
        yield self._finding("pass", "default checksum", f"taken, request_checksum_calculation is {when}")

    def public_access(self, connection: Connection) -> Iterator[Finding]:
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
                if _code(error) in {"NoSuchKey", "404"}:
                    yield self._finding("unknown", "public access", "no probe could be written to be asked for")
                    return
                continue
            except BotoCoreError as error:
                yield self._finding("unknown", "public access", f"could not be asked: {type(error).__name__}")
                return
            text = f"the bucket can be {doing} without any key – close it now: policy, ACL, public access block"
            yield self._finding("error", "public access", text)
            return
        yield self._finding("pass", "public access", "without a key nothing can be read or listed")

    def multipart(self) -> Iterator[Finding]:
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
            why = _code(error) if isinstance(error, ClientError) else str(error)
            stays = f"; the upload of {key} stays" if "UploadId" in where else ""
            text = f"multipart uploads cannot be begun, listed and aborted: {why}{stays}; only expiry needs that"
            yield self._finding("warn", "multipart", text)
            return
        if left or not listed:
            text = (
                "a begun upload is not listed, or an aborted one still is, so expiry cannot tidy up – set a lifecycle "
            )
            yield self._finding("warn", "multipart", text + "rule AbortIncompleteMultipartUpload")
            return
        yield self._finding("pass", "multipart", "begun, listed, aborted")

    def object_lock(self) -> Iterator[Finding]:
        """The bucket's lock against the settings; where one is set, whether it really holds."""
        asked = self._settings.object_lock
        answer = self._ask(
            "object lock",
            self._client.get_object_lock_configuration,
            "s3:GetBucketObjectLockConfiguration",
            none="ObjectLockConfigurationNotFoundError",
        )
        if isinstance(answer, Finding):
            yield answer
        else:
            configuration = answer.get("ObjectLockConfiguration", {})
            enabled = configuration.get("ObjectLockEnabled") == "Enabled"
            yield self._lock_against_settings(enabled, configuration.get("Rule", {}).get("DefaultRetention", {}))
            if asked and not enabled:
                return
        if asked:
            yield self._lock_holds(asked)

    def _lock_against_settings(self, enabled: bool, default: dict[str, Any]) -> Finding:
        asked, kept = self._settings.object_lock, self._settings.retention.days
        if asked and not enabled:
            text = f"snapshot.object_lock is {asked}, and the bucket has none – make one with object lock, or set null"
            return self._finding("error", "object lock", text)
        locked_days = default.get("Days", 0) + 365 * default.get("Years", 0)
        if locked_days > kept:
            text = f"the bucket locks for {locked_days} days by default, retention.days is {kept} – "
            return self._finding(
                "warn", "object lock", text + "expiry waits for the lock; raise the one or lower the other"
            )
        if enabled and not asked and not locked_days:
            text = "the bucket could lock objects, and snapshot.object_lock is not set – set GOVERNANCE or COMPLIANCE"
            return self._finding("warn", "object lock", text)
        if not enabled:
            return self._finding("pass", "object lock", "none, as in the settings")
        return self._finding(
            "pass", "object lock", f"enabled, default {locked_days or 'no'} days, settings {asked or 'none'}"
        )

    def _lock_holds(self, mode: Literal["GOVERNANCE", "COMPLIANCE"]) -> Finding:
        from botocore.exceptions import ClientError

        key = f"{self._store.prefix}/probe/{secrets.token_hex(8)}"
        until = self._store.clock() + timedelta(seconds=_LOCK_PROBED_S)
        self._create(self._store.locking(mode, until), key)
        version = self._versions(key)[:1]
        try:
            self._client.delete_object(Bucket=self._store.bucket, Key=key, **_version(*version))
        except ClientError:
            text = f"{mode} holds: a delete is refused; so the probe {key} stays until expiry collects it"
            return self._finding("pass", "lock holds", text)
        text = f"an object locked as {mode} could be deleted at once – use a store that keeps locks"
        return self._finding("error", "lock holds", text)

    def storage_class(self) -> Iterator[Finding]:
        """Whether the class fits retention, and whether the store keeps it."""
        asked, days = self._settings.storage_class, self._settings.retention.days
        charged = _CHARGED_DAYS.get(asked.upper().replace("-", "_"), 0)
        if asked in _OFFLINE:
            text = f"{asked} is usually offline: verify, drills and restores would wait for hours – use STANDARD_IA"
            yield self._finding("warn", "storage class", text)
        if charged > days:
            text = (
                f"{asked} is charged for at least {charged} days, retention.days is {days}: deleting early is charged"
            )
            yield self._finding("warn", "storage class", f"{text} – use STANDARD_IA, or keep for {charged} days")
            return
        from botocore.exceptions import ClientError

        try:
            found = self._client.head_object(Bucket=self._store.bucket, Key=self._keys[0]).get(
                "StorageClass", "STANDARD"
            )
        except ClientError as error:
            yield self._finding("unknown", "storage class", f"no probe to look at: {_code(error)}")
            return
        if found != asked:
            text = f"the store keeps objects as {found}, not as {asked} – set snapshot.storage_class: {found}"
            yield self._finding("warn", "storage class", text)
            return
        yield self._finding(
            "pass", "storage class", f"{asked}, charged for {charged or 'no'} days at least, kept {days}"
        )

    def versioning(self) -> Iterator[Finding]:
        """Versions take up room until expiry removes each of them."""
        answer = self._ask("versioning", self._client.get_bucket_versioning, "s3:GetBucketVersioning")
        if isinstance(answer, Finding):
            yield answer
            return
        status = answer.get("Status")
        if not status:
            yield self._finding("pass", "versioning", "off: a delete removes")
            return
        try:
            self._store.listing("probe/", versions=True)
        except StoreError as error:
            text = f"{status}, and the versions cannot be listed ({error}) – expiry needs s3:ListBucketVersions"
            yield self._finding("warn", "versioning", text)
            return
        yield self._finding("pass", "versioning", f"{status}: expiry removes each version")

    def lifecycle(self) -> Iterator[Finding]:
        """The bucket's own rules must not delete what is kept, nor move it to where it cannot be read."""
        answer = self._ask(
            "lifecycle",
            self._client.get_bucket_lifecycle_configuration,
            "s3:GetLifecycleConfiguration",
            none="NoSuchLifecycleConfiguration",
        )
        if isinstance(answer, Finding):
            yield answer
            return
        rules = [rule for rule in answer.get("Rules", ()) if rule.get("Status") == "Enabled" and self._concerns(rule)]
        found = [finding for rule in rules for finding in self._rule(rule)]
        if not found:
            found = [self._finding("pass", "lifecycle", f"{len(rules)} rules on this prefix, none of which deletes")]
        yield from found

    def _concerns(self, rule: dict[str, Any]) -> bool:
        conditions = rule.get("Filter") or {}
        conditions = conditions.get("And", conditions)
        if conditions.get("Tag") or conditions.get("Tags"):
            return False  # objects of snapshots have no tags
        prefix, own = conditions.get("Prefix", rule.get("Prefix", "")), f"{self._store.prefix}/"
        return own.startswith(prefix) or prefix.startswith(own)

    def _rule(self, rule: dict[str, Any]) -> Iterator[Finding]:
        days, name = self._settings.retention.days, rule.get("ID", "without a name")
        age = rule.get("Expiration", {}).get("Days")
        if "Date" in rule.get("Expiration", {}) or (age and age <= days):
            when = f"after {age} days" if age else "at a date"
            text = f"rule {name} deletes {when}, retention.days is {days}: it would delete kept snapshots – remove it"
            yield self._finding("error", "lifecycle", text)
        elif age:
            text = (
                f"rule {name} deletes after {age} days: unchanged parts are reused, so kept snapshots may need older "
            )
            yield self._finding("warn", "lifecycle", text + "ones – remove it; expiry removes what nothing names")
        for move in rule.get("Transitions", ()):
            if move.get("StorageClass") in _OFFLINE:
                text = (
                    f"rule {name} moves objects to {move['StorageClass']}, where none can be read at once – remove it"
                )
                yield self._finding("error", "lifecycle", text)

    def delete(self) -> Iterator[Finding]:
        """Remove the probes: one in a batch, the others one by one; and say which stay."""
        from botocore.exceptions import ClientError

        codes: list[str] = []
        written = [key for key in self._keys if self._store.head(key)]
        if len(written) > 1:
            yield self._batch_delete(written[-1])
        for key in filter(self._store.head, written):
            try:
                for version in self._versions(key) or [None]:
                    self._client.delete_object(Bucket=self._store.bucket, Key=key, **_version(version))
            except ClientError as error:
                codes.append(_code(error))
        stays = [key for key in self._keys if self._versions(key) or self._store.head(key)]
        if stays:
            # Fine for an exporter's key: the right to delete belongs to expiry alone.
            why = f" ({codes[0]})" if codes else ""
            text = f"this key cannot delete{why}, which expiry needs and nothing else; what was probed with stays: "
            yield self._finding("warn", "delete", text + ", ".join(stays))
        elif written:
            yield self._finding("pass", "delete", "works, and no probe is left")
        else:
            yield self._finding("unknown", "delete", "no probe could be written to be deleted")

    def _batch_delete(self, key: str) -> Finding:
        from botocore.exceptions import ClientError

        objects: Any = [{"Key": key, **_version(version)} for version in self._versions(key) or [None]]
        try:
            answer = self._client.delete_objects(Bucket=self._store.bucket, Delete={"Objects": objects})
            refused = ", ".join(str(each.get("Code")) for each in answer.get("Errors", ()))
        except ClientError as error:
            refused = _code(error)
        text = f"refused ({refused}), and not needed" if refused else "works, and is not needed"
        return self._finding("pass", "batch delete", f"{text}: expiry deletes one by one")

    def _versions(self, key: str) -> list[str | None]:
        """Every version of a probe; none where the bucket has no versions, or they cannot be listed."""
        try:
            listed = self._store.listing(key[len(self._store.prefix) + 1 :], versions=True)
        except StoreError:
            return []
        return [each.version for each in listed if each.version]

    def _ask(self, check: str, question: Callable[..., Any], right: str, none: str = "") -> dict[str, Any] | Finding:
        """The answer to a question about the bucket; empty for the error code that says `none`.

        Snapshots and their expiry do without it, so a refusal is no fault.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = question(Bucket=self._store.bucket)
        except ClientError as error:
            if (code := _code(error)) == none:
                return {}
            hint = f" – doctor would need {right} to look" if "Denied" in code else ""
            return self._finding("unknown", check, f"the store does not say: {code}{hint}")
        except BotoCoreError as error:
            return self._finding("unknown", check, f"the store does not say: {type(error).__name__}")
        return answer


_WHEN_REQUIRED = '"config_kwargs": {"request_checksum_calculation": "when_required"}'


def _version(version: str | None = None) -> Any:
    return {"VersionId": version} if version else {}


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
