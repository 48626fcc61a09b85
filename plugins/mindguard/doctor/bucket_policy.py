"""Examines the bucket's own rules: locks, storage classes, versions and lifecycle rules."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

from mindguard.doctor.bucket import Bucket, error_code, versioned
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
from mindguard.snapshots.storage.s3_errors import StoreError

# The least number of days for which a storage class is charged: the longest of AWS, COS and OSS where they differ.
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


class BucketPolicy(Bucket):
    """Compares the bucket's own rules with the settings."""

    def object_lock(self) -> Iterator[Diagnosis]:
        """Compare the bucket's object lock with the settings and, if the settings ask for one, test that it holds."""
        asked = self._settings.object_lock
        answer = self._ask(
            "object lock",
            self._client.get_object_lock_configuration,
            "s3:GetBucketObjectLockConfiguration",
            absent="ObjectLockConfigurationNotFoundError",
        )
        if isinstance(answer, Diagnosis):
            yield answer
        else:
            configuration = answer.get("ObjectLockConfiguration", {})
            enabled = configuration.get("ObjectLockEnabled") == "Enabled"
            default = configuration.get("Rule", {}).get("DefaultRetention", {})
            yield self._lock_against_settings(default, enabled=enabled)
            if asked and not enabled:
                return
        if asked:
            yield self._lock_holds(asked)

    def _lock_against_settings(self, default: dict[str, Any], *, enabled: bool) -> Diagnosis:
        asked, kept = self._settings.object_lock, self._settings.retention.days
        if asked and not enabled:
            return self._diagnosis("error", "object lock", Said("lock_missing", mode=asked))
        locked_days = default.get("Days", 0) + 365 * default.get("Years", 0)
        if locked_days > kept:
            return self._diagnosis("warn", "object lock", Said("lock_too_long", locked=locked_days, kept=kept))
        if enabled and not asked and not locked_days:
            return self._diagnosis("warn", "object lock", Said("lock_unused"))
        if not enabled:
            return self._diagnosis("pass", "object lock", Said("lock_none"))
        return self._diagnosis("pass", "object lock", Said("lock_some", locked=locked_days, mode=asked or "none"))

    def _lock_holds(self, mode: Literal["GOVERNANCE", "COMPLIANCE"]) -> Diagnosis:
        from botocore.exceptions import ClientError

        key = f"{self._store.prefix}/probe/{secrets.token_hex(8)}"
        until = self._store.clock() + timedelta(seconds=_LOCK_PROBED_S)
        self._create(self._store.locking(mode, until), key)
        version = self._versions(key)[:1]
        try:
            self._client.delete_object(Bucket=self._store.bucket, Key=key, **versioned(*version))
        except ClientError:
            return self._diagnosis("pass", "lock holds", Said("lock_holds", mode=mode, key=key))
        return self._diagnosis("error", "lock holds", Said("lock_broken", mode=mode))

    def storage_class(self) -> Iterator[Diagnosis]:
        """Check that the storage class suits the retention, and that the store really uses it."""
        asked, days = self._settings.storage_class, self._settings.retention.days
        charged = _CHARGED_DAYS.get(asked.upper().replace("-", "_"), 0)
        if asked in _OFFLINE:
            yield self._diagnosis("warn", "storage class", Said("class_offline", name=asked))
        if charged > days:
            text = Said("class_charged", name=asked, charged=charged, kept=days)
            yield self._diagnosis("warn", "storage class", text)
            return
        from botocore.exceptions import ClientError

        try:
            found = self._client.head_object(Bucket=self._store.bucket, Key=self._keys[0]).get(
                "StorageClass", "STANDARD"
            )
        except ClientError as error:
            yield self._diagnosis("unknown", "storage class", Said("class_no_probe", why=error_code(error)))
            return
        if found != asked:
            yield self._diagnosis("warn", "storage class", Said("class_other", found=found, name=asked))
            return
        yield self._diagnosis("pass", "storage class", Said("class_fits", name=asked, charged=charged, kept=days))

    def versioning(self) -> Iterator[Diagnosis]:
        """Check that versions, which use space until expiry removes each of them, can be listed."""
        answer = self._ask("versioning", self._client.get_bucket_versioning, "s3:GetBucketVersioning")
        if isinstance(answer, Diagnosis):
            yield answer
            return
        status = answer.get("Status")
        if not status:
            yield self._diagnosis("pass", "versioning", Said("versions_off"))
            return
        try:
            self._store.listing("probe/", versions=True)
        except StoreError as error:
            yield self._diagnosis("warn", "versioning", Said("versions_unlisted", status=status, error=error))
            return
        yield self._diagnosis("pass", "versioning", Said("versions", status=status))

    def lifecycle(self) -> Iterator[Diagnosis]:
        """Check that no lifecycle rule deletes what is kept, or moves it to where it cannot be read."""
        answer = self._ask(
            "lifecycle",
            self._client.get_bucket_lifecycle_configuration,
            "s3:GetLifecycleConfiguration",
            absent="NoSuchLifecycleConfiguration",
        )
        if isinstance(answer, Diagnosis):
            yield answer
            return
        rules = [rule for rule in answer.get("Rules", ()) if rule.get("Status") == "Enabled" and self._concerns(rule)]
        found = [finding for rule in rules for finding in self._rule(rule)]
        if not found:
            found = [self._diagnosis("pass", "lifecycle", Said("lifecycle", rules=len(rules)))]
        yield from found

    def _concerns(self, rule: dict[str, Any]) -> bool:
        conditions = rule.get("Filter") or {}
        conditions = conditions.get("And", conditions)
        if conditions.get("Tag") or conditions.get("Tags"):
            return False  # the objects of snapshots have no tags
        prefix, own = conditions.get("Prefix", rule.get("Prefix", "")), f"{self._store.prefix}/"
        return own.startswith(prefix) or prefix.startswith(own)

    def _rule(self, rule: dict[str, Any]) -> Iterator[Diagnosis]:
        days, name = self._settings.retention.days, rule.get("ID", "without a name")
        age = rule.get("Expiration", {}).get("Days")
        if "Date" in rule.get("Expiration", {}) or (age and age <= days):
            text = (
                Said("rule_deletes", name=name, days=age, kept=days)
                if age
                else Said("rule_deletes_at", name=name, kept=days)
            )
            yield self._diagnosis("error", "lifecycle", text)
        elif age:
            yield self._diagnosis("warn", "lifecycle", Said("rule_deletes_later", name=name, days=age))
        for move in rule.get("Transitions", ()):
            if move.get("StorageClass") in _OFFLINE:
                text = Said("rule_moves", name=name, place=move["StorageClass"])
                yield self._diagnosis("error", "lifecycle", text)
