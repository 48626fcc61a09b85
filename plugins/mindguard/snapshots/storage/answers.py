"""Refuses answers that are not an object store's own, such as the page of a login, a proxy or a maintenance notice.

boto3 reads any page with status 200 as an answer in which nothing is said: an empty bucket, a bucket without versions,
an object that was written. Nobody may take that for a fact.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.storage.s3_errors import ForeignAnswer

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# Without fields these answers mean that nothing is configured, so only their root element shows that they are answers.
_ROOTS = {
    "GetBucketVersioning": "VersioningConfiguration",
    "GetObjectLockConfiguration": "ObjectLockConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
}
_WITH_ETAG = {"PutObject", "GetObject", "HeadObject"}
_SEARCHED = 1000
# botocore takes everything but "true" for false, and the listing would end there.
_ODD_END = re.compile(rb"<(?:\w+:)?IsTruncated>(?!\s*(?:true|false)\s*<)")


def refuse_foreign(client: S3Client) -> None:
    """Let the client raise ForeignAnswer instead of returning an answer that no object store gives."""
    client.meta.events.register("after-call.s3", _check, unique_id="mindguard-refuse-foreign")


def _check(http_response: Any, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """Look at one answer, after botocore has parsed it."""
    status = http_response.status_code
    if not (status < 300 or status == 404):
        return  # it is an error, and says so
    kind = str(http_response.headers.get("content-type", ""))
    if "html" in kind.lower():
        raise ForeignAnswer(f"{model.name} was answered by a page of HTML")
    if status == 404:
        return
    if model.name in _WITH_ETAG and not parsed.get("ETag"):
        raise ForeignAnswer(f"the answer to {model.name} has no ETag")
    # An answer of botocore's Stubber has no body.
    if model.name.startswith("List") and http_response.raw and _ODD_END.search(http_response.content):
        raise ForeignAnswer(f"the answer to {model.name} does not say whether there is more")
    root = _ROOTS.get(model.name)
    if root and not re.search(rf"<(\w+:)?{root}[\s/>]".encode(), http_response.content[:_SEARCHED]):
        raise ForeignAnswer(f"the answer to {model.name} is no {root}")
