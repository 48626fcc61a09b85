"""The bucket that is examined: how it is queried, and the probe objects that are written to it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mindguard.doctor.diagnosis import Diagnosis, Status
from mindguard.doctor.texts import Said
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.s3_errors import StoreError, why_no_answer
from mindguard.snapshots.storage.store import Store

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Bucket:
    """The bucket that is examined.

    Args:
        conn_id: connection id that diagnoses name.
        client: boto3 S3 client.
        store: the store in this bucket, as the settings describe it.
        settings: the requirements of snapshots on the bucket.
        keys: keys of the probes that were written; each part of the examination adds its own.
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
        """Write a probe without the options of snapshots. Return the error's code, or None if it was written."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(Bucket=self._store.bucket, Key=self._new_key(), Body=self._body, **more)
        except ClientError as error:
            return error_code(error)
        except BotoCoreError as error:
            return why_no_answer(error)
        return None

    def _versions(self, key: str) -> list[str | None]:
        """Return every version of a probe; none if the bucket has no versions, or if they cannot be listed."""
        try:
            listed = self._store.listing(key[len(self._store.prefix) + 1 :], versions=True)
        except StoreError:
            return []
        return [each.version for each in listed if each.version]

    def _ask(
        self, check: str, question: Callable[..., Any], right: str, absent: str = ""
    ) -> dict[str, Any] | Diagnosis:
        """Return the answer to a question about the bucket, or the diagnosis that there is no answer.

        Snapshots and their expiry do not need the answer, so a refusal is not a fault.

        Args:
            check: name of the check in the diagnosis.
            question: the client's method.
            right: S3 right that the question needs.
            absent: error code that says that nothing is configured; the answer is then empty.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = question(Bucket=self._store.bucket)
        except ClientError as error:
            if (code := error_code(error)) == absent:
                return {}
            text = Said("store_refuses", why=code, right=right) if "Denied" in code else Said("store_silent", why=code)
            return self._diagnosis("unknown", check, text)
        except BotoCoreError as error:
            return self._diagnosis("unknown", check, Said("store_silent", why=why_no_answer(error)))
        except StoreError as error:  # something else answers in its place
            return self._diagnosis("unknown", check, Said("store_silent", why=error))
        return answer


def versioned(version: str | None = None) -> Any:
    """Return the argument of a boto3 call that names a version of an object; empty for None."""
    return {"VersionId": version} if version else {}


def error_code(error: Any) -> str:
    """Return the code of a boto3 ClientError, for instance `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))
