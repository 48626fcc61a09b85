"""One bucket under examination: how it is asked, and the probe objects that are written to it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mindguard.doctor.diagnosis import Diagnosis, Status
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.s3_errors import StoreError
from mindguard.snapshots.storage.store import Store

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Bucket:
    """One bucket under examination.

    Args:
        conn_id: of the connection, for what is said.
        client: a boto3 S3 client.
        store: of the settings, in this bucket.
        settings: what snapshots ask of the bucket.
        keys: of the probes that were written; each part of the examination adds its own.
    """

    def __init__(
        self, conn_id: str, client: S3Client, store: Store, settings: SnapshotSettings, keys: list[str]
    ) -> None:
        self._conn_id = conn_id
        self._client = client
        self._store = store
        self._settings = settings
        self._keys = keys
        self._body = secrets.token_bytes(64)
        self._content = Content.of(self._body)

    def _diagnosis(self, status: Status, check: str, text: str) -> Diagnosis:
        return Diagnosis(status, self._conn_id, check, text)

    def _new_key(self) -> str:
        self._keys.append(f"{self._store.prefix}/probe/{secrets.token_hex(8)}")
        return self._keys[-1]

    def _create(self, store: Store, key: str) -> None:
        store.create(key, self._body, self._content)

    def _put(self, **more: Any) -> str | None:
        """Write a probe without what snapshots add to it; gives the error's code, None when it is written."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(Bucket=self._store.bucket, Key=self._new_key(), Body=self._body, **more)
        except ClientError as error:
            return error_code(error)
        except BotoCoreError as error:
            return type(error).__name__
        return None

    def _versions(self, key: str) -> list[str | None]:
        """Every version of a probe; none where the bucket has no versions, or they cannot be listed."""
        try:
            listed = self._store.listing(key[len(self._store.prefix) + 1 :], versions=True)
        except StoreError:
            return []
        return [each.version for each in listed if each.version]

    def _ask(self, check: str, question: Callable[..., Any], right: str, none: str = "") -> dict[str, Any] | Diagnosis:
        """The answer to a question about the bucket; empty for the error code that says `none`.

        Snapshots and their expiry do without it, so a refusal is no fault.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = question(Bucket=self._store.bucket)
        except ClientError as error:
            if (code := error_code(error)) == none:
                return {}
            hint = f" – doctor would need {right} to look" if "Denied" in code else ""
            return self._diagnosis("unknown", check, f"the store does not say: {code}{hint}")
        except BotoCoreError as error:
            return self._diagnosis("unknown", check, f"the store does not say: {type(error).__name__}")
        return answer


def versioned(version: str | None = None) -> Any:
    return {"VersionId": version} if version else {}


def error_code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
