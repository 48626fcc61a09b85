"""What the store promises, tested without one: key layout, create-only writes, errors as one line.

The client is boto3's own; botocore's stubber checks each request and stands in for the answer.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from mindguard.connections import Connection, s3_client
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.s3_errors import NotImplementedByStore, ObjectExists, ObjectMissing, StoreError
from mindguard.snapshots.storage.store import Store, Stored

BODY = b"rows"
CONTENT = Content.of(BODY)


@pytest.fixture
def client() -> Any:
    extra = {"endpoint_url": "http://s3.example", "region_name": "us-east-1"}
    return s3_client(Connection("c", "aws", login="AKIAIOSFODNN7EXAMPLE", password="secret-key", extra=extra))


@pytest.fixture
def store(client: Any) -> Store:
    return Store(client, bucket="bucket", prefix="key-tables", storage_class="STANDARD_IA", sse="AES256")


@pytest.fixture
def answers(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def listed(key: str) -> dict[str, Any]:
    return {"Key": key, "Size": 1, "LastModified": datetime(2026, 11, 19, tzinfo=UTC)}


def create(store: Store) -> None:
    store.create("key", BODY, CONTENT)


def test_a_write_is_create_only_and_checked_by_the_store(store: Store, answers: Stubber) -> None:
    expected = {
        "Bucket": "bucket",
        "Key": "key",
        "Body": BODY,
        "ContentLength": 4,
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(BODY).digest()).decode(),
        "IfNoneMatch": "*",
        "Metadata": {"sha256": hashlib.sha256(BODY).hexdigest()},
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "AES256",
    }
    answers.add_response("put_object", {"ETag": "e"}, expected)
    create(store)


def test_what_a_single_upload_cannot_hold_is_refused_before_it_is_sent(store: Store, answers: Stubber) -> None:
    with pytest.raises(StoreError, match=r"5\.0 GiB, a single upload ends at 5 GiB – choose"):
        store.create("key", BODY, Content(CONTENT.sha256, 5 * 1024**3 + 1))


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("PreconditionFailed", ObjectExists, "cannot write key: it exists already"),
        ("NoSuchBucket", StoreError, "create the bucket bucket, or correct snapshot.bucket"),
        ("AccessDenied", StoreError, "right to put, get and list under this prefix"),
        ("InvalidAccessKeyId", StoreError, "correct the access key of the backup connection"),
        ("SignatureDoesNotMatch", StoreError, "correct the secret key of the backup connection"),
        ("ExpiredToken", StoreError, "renew the credentials"),
        ("NotImplemented", NotImplementedByStore, "set snapshot.sse: null"),
        ("SlowDown", StoreError, "cannot write key: SlowDown two lines"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    code: str, error: type[StoreError], message: str, store: Store, answers: Stubber
) -> None:
    answers.add_client_error("put_object", service_error_code=code, service_message="two\nlines")
    with pytest.raises(StoreError) as caught:
        create(store)
    assert type(caught.value) is error
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_write_that_meets_another_is_tried_again(
    store: Store, answers: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only AWS gives this answer, to two writes of one key at the same moment, which cannot be provoked in a test."""
    monkeypatch.setattr("mindguard.snapshots.storage.store.time.sleep", lambda seconds: None)
    conflict: Any = {"service_error_code": "ConditionalRequestConflict", "http_status_code": 409}
    answers.add_client_error("put_object", **conflict)
    answers.add_response("put_object", {"ETag": "e"})
    create(store)
    for _ in range(4):
        answers.add_client_error("put_object", **conflict)
    with pytest.raises(ObjectExists, match="another write of it is in progress – run again"):
        create(store)
    # A sealed object recognises its own bytes as stored. If nothing is stored, the write has failed.
    for _ in range(4):
        answers.add_client_error("put_object", **conflict)
    stored = {"Body": StreamingBody(BytesIO(BODY), len(BODY)), "ContentLength": len(BODY), "ETag": "e"}
    answers.add_response("get_object", stored)
    store.create_sealed("key", BODY)
    for _ in range(4):
        answers.add_client_error("put_object", **conflict)
    for _ in range(2):
        answers.add_client_error("get_object", service_error_code="NoSuchKey", http_status_code=404)
    with pytest.raises(ObjectExists, match="another write of it is in progress"):
        store.create_sealed("key", BODY)


def test_looking_up_what_is_not_there(store: Store, answers: Stubber) -> None:
    answers.add_client_error("head_object", service_error_code="404", http_status_code=404)
    assert store.head("key") is None
    answers.add_client_error("get_object", service_error_code="NoSuchKey", http_status_code=404)
    with pytest.raises(ObjectMissing, match="cannot read key: there is no such object"):
        store.read("key")


def test_an_object_without_our_digest_is_seen_as_such(store: Store, answers: Stubber) -> None:
    at = datetime(2026, 11, 19, tzinfo=UTC)
    answers.add_response("head_object", {"ContentLength": 4, "ETag": "e", "Metadata": {}, "LastModified": at})
    assert store.head("key") == Stored("key", 4, None, at)


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("public.checkins", "public.checkins"),
        ('public.a b/"c"', "public.a%20b%2F%22c%22"),
        ("public.打卡", "public.%E6%89%93%E5%8D%A1"),
        ("../..", "..%2F.."),
    ],
)
def test_a_tables_name_stays_one_folder(table: str, folder: str, store: Store) -> None:
    assert store.layout.part_key(table, "c0ffee") == f"key-tables/parts/{folder}/c0ffee.parquet"


def test_manifests_are_listed_oldest_first_whatever_day_they_are_filed_under(store: Store, answers: Stubber) -> None:
    """The day depends on a time zone that the settings may change; the id is in UTC."""
    filed = [
        store.layout.manifest_key(date(2026, 11, 20), "20261119T170000Z-b"),
        store.layout.manifest_key(date(2026, 11, 19), "20261119T180000Z-c"),
        store.layout.manifest_key(date(2026, 9, 1), "20260901T000000Z-a"),
    ]
    assert filed[0] == "key-tables/snapshots/2026-11-20/20261119T170000Z-b.json"
    pages: list[dict[str, Any]] = [
        {
            "Contents": [listed(filed[0]), listed("key-tables/snapshots/notes.txt")],
            "IsTruncated": True,
            "Name": "bucket",
        },
        {"Contents": [listed(filed[1]), listed(filed[2])], "IsTruncated": False, "Name": "bucket"},
    ]
    pages[0]["NextContinuationToken"] = "next"
    request = {"Bucket": "bucket", "Prefix": "key-tables/snapshots/"}
    answers.add_response("list_objects_v2", pages[0], request)
    answers.add_response("list_objects_v2", pages[1], {**request, "ContinuationToken": "next"})
    assert store.manifest_keys() == [filed[2], filed[0], filed[1]]


@pytest.mark.parametrize("answer", [{}, {"IsTruncated": False}, {"Name": "bucket"}])
def test_an_answer_that_is_no_listing_is_not_an_empty_bucket(
    store: Store, answers: Stubber, answer: dict[str, Any]
) -> None:
    """boto3 reads a login page with status 200 as an answer without any fields."""
    for ask in (store.manifest_keys, store.listing, store.check_access, store.clock):
        answers.add_response("list_objects_v2", answer)
        with pytest.raises(StoreError, match="not a listing of a bucket"):
            ask()
    answers.add_response("list_multipart_uploads", {})
    with pytest.raises(StoreError, match="not a listing of a bucket"):
        store.uploads()
