"""Examines the object store: whether it can do what snapshots and expiry need, and what would silently harm them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from mindguard.connections import Connection, Resolve, s3_client
from mindguard.doctor.bucket_access import BucketAccess
from mindguard.doctor.bucket_policy import BucketPolicy
from mindguard.doctor.diagnosis import Diagnosis, clock, tried
from mindguard.doctor.texts import Said
from mindguard.settings import Settings
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.storage.s3_errors import StoreError
from mindguard.snapshots.storage.store import Store

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Style = Literal["path", "virtual"]


def examine_store(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check everything about the bucket. Probe objects are removed again; those that cannot be removed are named.

    Raises:
        ConnectionMissing, StoreError: nothing more can be found out.
    """
    conn_id = settings.connections.backup
    connection = resolve(conn_id)
    yield from _addressing(connection, settings.snapshot)
    client = s3_client(connection)
    store = Store.of(client, settings.snapshot)
    snapshots = store.manifest_keys()
    place = f"s3://{store.bucket}/{store.prefix}"
    yield Diagnosis("pass", conn_id, "list", Said("bucket_listed", place=place, snapshots=len(snapshots)))
    yield clock(conn_id, store.clock(), now())
    keys: list[str] = []
    access = BucketAccess(conn_id, client, store, settings.snapshot, keys)
    policy = BucketPolicy(conn_id, client, store, settings.snapshot, keys)
    checks: dict[str, Iterator[Diagnosis]] = {
        "write": access.write(),
        "default checksum": access.default_checksum(),
        "public access": access.public_access(connection),
        "multipart": access.multipart(),
        "object lock": policy.object_lock(),
        "storage class": policy.storage_class(),
        "versioning": policy.versioning(),
        "lifecycle": policy.lifecycle(),
        "delete": access.delete(),
    }
    for check, findings in checks.items():
        yield from tried(conn_id, check, findings)


def _styled(connection: Connection, style: Style) -> Connection:
    """Return the connection with this addressing style, short time limits and no retries, for one attempt."""
    kwargs = dict(connection.extra.get("config_kwargs") or {})
    kwargs |= {"s3": {**(kwargs.get("s3") or {}), "addressing_style": style}, "connect_timeout": 5}
    kwargs["retries"] = {"mode": "standard", "total_max_attempts": 1}
    return replace(connection, extra={**connection.extra, "config_kwargs": kwargs})


def _style(client: S3Client, bucket: str) -> Style:
    """Return the style that the client really uses: an IP address has no subdomains, whatever is set."""
    url = client.generate_presigned_url("head_bucket", Params={"Bucket": bucket})
    return "virtual" if (urlsplit(url).hostname or "").startswith(f"{bucket.lower()}.") else "path"


def _addressing(connection: Connection, settings: SnapshotSettings) -> Iterator[Diagnosis]:
    """Try both addressing styles. Raise StoreError if the bucket cannot be reached with the present one."""
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
    setting = f'"config_kwargs": {{"s3": {{"addressing_style": "{other}"}}}}'
    if broken and other_works:
        text = Said("addressing_other", used=used, other=other, setting=setting)
        yield Diagnosis("error", connection.conn_id, "addressing", text)
    if broken:
        raise broken
    if possible:
        text = Said("addressing_both" if other_works else "addressing_one", used=used, other=other)
    else:
        text = Said("addressing_only", used=used)
    yield Diagnosis("pass", connection.conn_id, "addressing", text)
