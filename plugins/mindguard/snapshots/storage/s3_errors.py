"""What goes wrong with an object store, each as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mindguard.errors import MindGuardError
from mindguard.snapshots.storage.encryption import Unreadable


class StoreError(MindGuardError):
    """The store did not do what was asked."""


class ObjectMissing(StoreError):
    """No object under this key."""


class StoreFault(StoreError):
    """The store answers that it has a fault of its own, try after try: with everything, or with this object."""


class ObjectExists(StoreError):
    """A create-only write found an object under this key already."""


class NoAnswer(StoreError):
    """The store gave no answer: it may have done what was asked, or not."""


class WriteConflict(ObjectExists):
    """Other writes under the key were under way, try after try; whether one has come to its end is not known."""


class ObjectDamaged(Unreadable):
    """What is stored is not what the store's own checksum was made of."""


@contextmanager
def explained(doing: str, *, bucket: str, locking: bool) -> Iterator[None]:
    """Turn botocore's errors into a StoreError of one line; a header or a key never gets into it.

    Args:
        doing: what is tried, for instance `write KEY`.
        bucket: its name, for hints.
        locking: whether the request asks for object lock.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refusal(doing, error.response, bucket, locking=locking) from error
    except (BotoCoreError, OSError) as error:
        raise NoAnswer(
            f"cannot {doing}: {type(error).__name__}", hint="is the store up, and its endpoint_url right?"
        ) from error


def _refusal(doing: str, response: Any, bucket: str, *, locking: bool) -> StoreError:
    code = str(response.get("Error", {}).get("Code", "unknown"))
    if code in {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}:
        return ObjectMissing(f"cannot {doing}: there is no such object")
    if code in {"PreconditionFailed", "412"}:
        return ObjectExists(f"cannot {doing}: it exists already")
    if code in {"ConditionalRequestConflict", "409"}:
        return WriteConflict(f"cannot {doing}: another write of it is under way", hint="run again")
    renew = "renew the credentials of the backup connection"
    trouble = "the store has a fault of its own: run again when it is well"
    hints = {
        "NoSuchBucket": f"create the bucket {bucket}, or correct snapshot.bucket in the settings",
        "AccessDenied": "give the connection's key the right to put, get and list under this prefix"
        + (", and to delete for expiry" if doing.startswith(("delete", "abort")) else ""),
        "InvalidAccessKeyId": "correct the access key of the backup connection",
        "SignatureDoesNotMatch": "correct the secret key of the backup connection",
        "ExpiredToken": renew,
        # The answer to a HEAD has no body that could say more.
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
