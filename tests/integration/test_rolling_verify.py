"""A verification costs what is new and a share of the rest, counted in the requests that reach a real store."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.retention.expire import expire_snapshots
from mindguard.snapshots.storage.checks import CheckState, read_checks
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, new_key_ring
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import Verified, verify_due
from tests.connections import as_variable, connection_of
from tests.integration.restoring import run, take
from tests.integration.test_moved_backups import moved
from tests.processes import mindguard, plain_environment
from tests.stored_objects import damage, flipped
from tests.waiting import wait_until

DAY = timedelta(days=1)


@pytest.fixture
def database(fresh_database: str) -> str:
    """Some forty parts of one megabyte of rows at most."""
    run(
        fresh_database,
        "create table t (id int primary key, v text)",
        "insert into t select i, repeat(md5(i::text), 20) from generate_series(1, 40000) i",
    )
    return fresh_database


@contextmanager
def counted(store: Store) -> Iterator[Counter[str]]:
    """Count the requests that the store answers, and the bytes of parts that it gives."""
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def count(model: Any, parsed: dict[str, Any], **_: Any) -> None:
        with lock:
            counts[model.name] += 1
            if model.name == "GetObject" and parsed["ContentLength"] > 10_000:
                counts["parts"] += 1
                counts["bytes"] += parsed["ContentLength"]

    events = store._client.meta.events
    events.register("after-call.s3", count)
    try:
        yield counts
    finally:
        events.unregister("after-call.s3", count)


def check(manifest: Manifest, store: Store, at: datetime, verify_days: int = 7) -> Verified:
    return verify_due(manifest, store, now=at, verify_days=verify_days)


def test_unchanged_days_read_each_byte_once_a_week(database: str, store: Store) -> None:
    manifest = take(database, store).manifest
    assert len(manifest.parts) > 20
    start = datetime.now(UTC)
    with counted(store) as counts:
        check(manifest, store, start).check()
    assert (counts["parts"], counts["bytes"]) == (len(manifest.parts), manifest.stored_bytes)
    days: list[Counter[str]] = []
    for day in range(1, 8):
        manifest = take(database, store).manifest
        with counted(store) as counts:
            verified = check(manifest, store, start + day * DAY)
        assert (counts["parts"], counts["bytes"]) == (verified.read_parts, verified.read_bytes)
        days.append(counts)
    assert sum(each["bytes"] for each in days) == manifest.stored_bytes
    assert max(each["bytes"] for each in days) < manifest.stored_bytes / 2
    # Besides the parts: the schema dump, the records of the days before and what was just written, read back.
    assert all(each["GetObject"] - each["parts"] <= 10 and each["ListObjectsV2"] <= 5 for each in days)


def test_what_is_new_is_read_on_its_day(database: str, store: Store) -> None:
    start = datetime.now(UTC)
    check(take(database, store).manifest, store, start + DAY, 90).check()
    run(database, "update t set v = 'new' where id = 20000")
    taken = take(database, store)
    written = taken.tables["public.t"].parts_written
    assert written == 1
    with counted(store) as counts:
        verified = check(taken.manifest, store, start + 1.01 * DAY, 90)
    assert (verified.read_parts, counts["parts"] <= 1) == (written, True)
    assert verified.oldest_check == 0.01 * DAY


def test_damage_that_the_listing_shows_is_found_at_once(database: str, store: Store) -> None:
    manifest = take(database, store).manifest
    read_at = datetime.now(UTC)
    check(manifest, store, read_at).check()
    wait_until(lambda: store.clock() > read_at + timedelta(seconds=1), 10, "the store's clock stands still")
    shown = manifest.parts[3].key
    damage(store, shown, lambda body: body[:-1])
    later = store.clock() + timedelta(seconds=1)
    assert read_checks(store, now=later).state(manifest, store).altered == 1
    (fault,) = check(manifest, store, later).faults
    assert shown in fault
    assert read_checks(store, now=later).state(manifest, store).damaged == 1
    again = take(database, store)
    assert again.tables["public.t"].parts_written == 1
    check(again.manifest, store, later + timedelta(seconds=1)).check()


def test_damage_that_nothing_shows_is_found_in_its_turn(database: str, store: Store) -> None:
    manifest = take(database, store).manifest
    start = datetime.now(UTC) + DAY  # what is written now looks older than this, as bytes do that rot on a disk
    check(manifest, store, start).check()
    hidden = manifest.parts[4].key
    damage(store, hidden, flipped)
    found = [check(manifest, store, start + days * DAY).faults for days in range(1, 8)]
    assert any(found)
    assert all(hidden in line for lines in found for line in lines)
    assert found[-1], "it stays due until it is sound"


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_copy_has_not_been_read(encrypted: bool, database: str, store: Store, stack: Stack) -> None:
    """Neither under another prefix, nor under the same one in another bucket, nor one that was put back."""
    if encrypted:
        store.encryption = Encryption(KeyRing.from_json(new_key_ring("2026-11"), origin="test"))
    manifest = take(database, store).manifest
    now = datetime.now(UTC)
    check(manifest, store, now).check()
    other = f"{store.bucket}-2"
    stack.seaweedfs.client().create_bucket(Bucket=other)
    for copy in (moved(store, "copy"), moved(store, store.prefix, other, encryption=store.encryption)):
        if encrypted and copy.prefix == "copy":
            continue  # it cannot be read there at all
        read = check(manifest if copy.prefix == store.prefix else _of(copy), copy, now + 0.01 * DAY)
        assert read.read_parts == len(manifest.parts)
    assert check(manifest, store, now + 0.01 * DAY).read_parts < len(manifest.parts)


def _of(store: Store) -> Manifest:
    (key,) = store.manifest_keys()
    return Manifest.from_bytes(store.read_sealed(key), origin=key, prefix=store.prefix)


def test_expiry_leaves_one_record_for_each_kept_snapshot(database: str, store: Store) -> None:
    manifest = take(database, store).manifest
    now = datetime.now(UTC)
    for number in range(3):
        check(manifest, store, now + number * timedelta(seconds=1))
    assert len(store.keys("verified/")) == 3
    later = RetentionSettings().model_copy(update={"grace_hours": -1})
    expire_snapshots(store, later, now=store.clock(), apply=True).check()
    assert len(store.keys("verified/")) == 1
    assert read_checks(store, now=now + DAY).state(manifest, store).unread == 0


def test_the_commands_say_how_old_the_oldest_check_is(
    database: str, stack: Stack, store: Store, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.json"
    snapshot = {"bucket": store.bucket, "tables": [{"name": "public.t"}], "part_mb": 1}
    settings.write_text(json.dumps({"snapshot": snapshot, "suites": "none"}))
    app = as_variable(connection_of(database, "mindguard_app"))
    environment = plain_environment() | stack.environment() | app | {"MINDGUARD_SETTINGS": str(settings)}

    def answer(*arguments: str) -> Any:
        done = mindguard(environment, "snapshot", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    manifest = take(database, store).manifest
    (listed,) = answer("list")
    assert (listed["oldest_check"], listed["unread_objects"]) == (None, len(manifest.parts) + 1)
    assert "no record" in mindguard(environment, "snapshot", "list").stdout
    check(manifest, store, datetime.now(UTC) + timedelta(seconds=1)).check()
    first = answer("list")[0]["oldest_check"]
    due = answer("verify", "latest", "--due")
    assert due["read_parts"] < due["parts"] == len(manifest.parts)
    assert 0 <= due["oldest_check_days"] < 0.1
    everything = answer("verify", "latest")
    assert (everything["read_parts"], everything["oldest_check_days"]) == (len(manifest.parts), None)
    assert answer("show", "latest")["oldest_check"] > first
    assert "0.0 days: age of the oldest check" in mindguard(environment, "snapshot", "show", "latest").stdout
    expected = CheckState(datetime.fromisoformat(answer("show", "latest")["oldest_check"]), 0, 0, 0)
    assert read_checks(store, now=datetime.now(UTC)).state(manifest, store) == expected
