"""Errors of an object store, each as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mindguard.errors import MindGuardError, one_line
from mindguard.fetch import FetchFailed, in_words
from mindguard.snapshots.storage.encryption import Unreadable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


_PERMANENT = {"NoSuchBucket", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NotImplemented"}


class StoreError(MindGuardError):
    """The store did not do what it was asked to do."""


class ObjectMissing(StoreError):
    """There is no object under this key."""


class NotImplementedByStore(StoreError):
    """The store does not have this kind of request."""


class StoreFault(StoreError):
    """The store answered each attempt with an internal error; it may concern everything, or this object alone."""


class ObjectExists(StoreError):
    """A create-only write failed because there is an object under this key already."""


class NoAnswer(StoreError):
    """The store gave no answer, so it may or may not have done what it was asked to do."""


class ForeignAnswer(NoAnswer):
    """Something that is not the store answered in its place, for instance a proxy."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="is a proxy or a login page between this machine and the store?")


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
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _refusal(doing, error, bucket, locking=locking) from None
    except FetchFailed as error:
        raise NoAnswer(
            f"cannot {doing}: {error.message}", hint="the store or the network is too slow: run again when it works"
        ) from error
    except (BotoCoreError, OSError) as error:
        raise NoAnswer(
            f"cannot {doing}: {why_no_answer(error)}", hint="check that the store is up and endpoint_url is right"
        ) from error
    except ForeignAnswer as error:
        raise ForeignAnswer(f"cannot {doing}: {error.message}") from error
    except (ResponseParserError, LookupError, TypeError, ValueError):
        # It is not XML, has a malformed time, or lacks what every such answer has. The error can quote all of it.
        raise StoreFault(
            f"cannot {doing}: the store's answer cannot be understood",
            hint="the store itself, or a proxy before it, has a fault: run again when it works again",
        ) from None


def why_no_answer(error: Exception) -> str:
    """Return why a request had no answer, in words without the address.

    Args:
        error: an error of botocore or of the system.
    """
    from botocore import exceptions

    return in_words(
        error,
        (exceptions.NoCredentialsError, "there is no access key"),
        (exceptions.PartialCredentialsError, "the access key lacks a part"),
        (exceptions.CredentialRetrievalError, "the access key cannot be fetched"),
        (exceptions.ConnectTimeoutError, "no answer in time"),
        (exceptions.ReadTimeoutError, "no answer in time"),
        (exceptions.ProxyConnectionError, "the proxy cannot be reached"),
        (exceptions.SSLError, "there is no TLS connection to it"),
        (exceptions.EndpointConnectionError, "it cannot be reached"),
        (exceptions.ConnectionClosedError, "it closed the connection"),
        (exceptions.IncompleteReadError, "its answer broke off"),
        (exceptions.ResponseStreamingError, "its answer broke off"),
        (exceptions.ParamValidationError, "a value cannot be sent"),
        (exceptions.HTTPClientError, "the connection broke"),
    )


def _right_to(doing: str) -> str:
    if doing.startswith("list uploads"):
        return "s3:ListBucketMultipartUploads, which only expiry needs"
    if doing.startswith("find out"):
        return "s3:GetBucketVersioning, which only expiry needs"
    more = ", and to delete for expiry" if doing.startswith(("delete", "abort")) else ""
    return f"the right to put, get and list under this prefix{more}"


def _hint_without_request(doing: str) -> str:
    if doing.startswith("write"):
        return "set snapshot.sse: null if the store has no server-side encryption"
    more = "; let a lifecycle rule abort unfinished uploads" if doing.startswith("list uploads") else ""
    return f"this store has no such request{more}"


def _refusal(doing: str, error: ClientError, bucket: str, *, locking: bool) -> StoreError:
    response: Any = error.response
    code = one_line(str(response.get("Error", {}).get("Code", "unknown")))
    # Only the answer to a HEAD request has no body; any other 404 without S3's own code is not the store's.
    missing = {"NoSuchKey", "NoSuchVersion", "NoSuchUpload"}
    asks_for_one = not error.operation_name.startswith("List")
    if (code in missing and asks_for_one) or (code in {"404", "NotFound"} and error.operation_name == "HeadObject"):
        return ObjectMissing(f"cannot {doing}: there is no such object")
    if code in {"PreconditionFailed", "412"}:
        return ObjectExists(f"cannot {doing}: it exists already")
    if code in {"ConditionalRequestConflict", "409"}:
        return WriteConflict(f"cannot {doing}: another write of it is in progress", hint="run again")
    renew = "renew the credentials of the backup connection"
    trouble = "the store itself has a fault: run again when it works again"
    hints = {
        "NoSuchBucket": f"create the bucket {bucket}, or correct snapshot.bucket in the settings",
        "AccessDenied": f"give the connection's key {_right_to(doing)}",
        "InvalidAccessKeyId": "correct the access key of the backup connection",
        "SignatureDoesNotMatch": "correct the secret key of the backup connection",
        "ExpiredToken": renew,
        # The answer to a HEAD request has no body with details.
        "400": f"if it worked before, {renew}",
        "403": f"if it worked before, {renew}; else give its key the right to get objects under this prefix",
        **dict.fromkeys(("InternalError", "ServiceUnavailable", "SlowDown", "500", "502", "503", "504"), trouble),
        "NotImplemented": _hint_without_request(doing),
    }
    if locking:
        hints["InvalidRequest"] = "set snapshot.object_lock: null, unless the bucket has object lock enabled"
    message = one_line(" ".join(str(response.get("Error", {}).get("Message", "")).split()))
    kinds = {"InternalError": StoreFault, "500": StoreFault, "NotImplemented": NotImplementedByStore}
    kind = kinds.get(code, StoreError)
    line = f"cannot {doing}: {code} {message}".rstrip()
    return kind(line, hint=hints.get(code, ""), permanent=code in _PERMANENT)
