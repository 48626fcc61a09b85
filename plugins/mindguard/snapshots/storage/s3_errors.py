"""Errors of an object store, each as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mindguard.errors import MindGuardError
from mindguard.snapshots.storage.encryption import Unreadable


class StoreError(MindGuardError):
    """The store did not do what it was asked to do."""


class ObjectMissing(StoreError):
    """There is no object under this key."""


class StoreFault(StoreError):
    """The store answered each attempt with an internal error; it may concern everything, or this object alone."""


class ObjectExists(StoreError):
    """A create-only write failed because there is an object under this key already."""


class NoAnswer(StoreError):
    """The store gave no answer, so it may or may not have done what it was asked to do."""


class WriteConflict(ObjectExists):
    """At each attempt, another write under the key was in progress; it is not known whether one has succeeded."""


class ObjectDamaged(Unreadable):
    """The stored bytes do not match the store's own checksum of them."""


@contextmanager
def explained(doing: str, *, bucket: str, locking: bool) -> Iterator[None]:
    """Turn botocore's errors into a StoreError of one line, which never contains a header or a credential.

    Args:
        doing: what the block does, for instance `write KEY`.
        bucket: the bucket's name, for hints.
        locking: whether the request asks for object lock.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refusal(doing, error.response, bucket, locking=locking) from error
    except (BotoCoreError, OSError) as error:
        raise NoAnswer(
            f"cannot {doing}: {type(error).__name__}", hint="check that the store is up and endpoint_url is right"
        ) from error


def _refusal(doing: str, response: Any, bucket: str, *, locking: bool) -> StoreError:
    code = str(response.get("Error", {}).get("Code", "unknown"))
    if code in {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}:
        return ObjectMissing(f"cannot {doing}: there is no such object")
    if code in {"PreconditionFailed", "412"}:
        return ObjectExists(f"cannot {doing}: it exists already")
    if code in {"ConditionalRequestConflict", "409"}:
        return WriteConflict(f"cannot {doing}: another write of it is in progress", hint="run again")
    renew = "renew the credentials of the backup connection"
    trouble = "the store itself has a fault: run again when it works again"
    hints = {
        "NoSuchBucket": f"create the bucket {bucket}, or correct snapshot.bucket in the settings",
        "AccessDenied": "give the connection's key the right to put, get and list under this prefix"
        + (", and to delete for expiry" if doing.startswith(("delete", "abort")) else ""),
        "InvalidAccessKeyId": "correct the access key of the backup connection",
        "SignatureDoesNotMatch": "correct the secret key of the backup connection",
        "ExpiredToken": renew,
        # The answer to a HEAD request has no body with details.
        "400": f"if it worked before, {renew}",
        "403": f"if it worked before, {renew}; else give its key the right to get objects under this prefix",
        **dict.fromkeys(("InternalError", "ServiceUnavailable", "SlowDown", "500", "502", "503", "504"), trouble),
        "NotImplemented": "set snapshot.sse: null if the store has no server-side encryption",
    }
    if locking:
        hints["InvalidRequest"] = "set snapshot.object_lock: null, unless the bucket has object lock enabled"
    message = " ".join(str(response.get("Error", {}).get("Message", "")).split())
    kind = StoreFault if code in {"InternalError", "500"} else StoreError
    return kind(f"cannot {doing}: {code} {message}".rstrip(), hint=hints.get(code, ""))
