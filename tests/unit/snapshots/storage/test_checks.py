"""The rolling verification: what is read when, what is recorded, and what counts as never read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.retention.expire import expire_snapshots
from mindguard.snapshots.storage import verify
from mindguard.snapshots.storage.checks import CheckRecord, CheckState, ReadTogether, is_due, read_checks
from mindguard.snapshots.storage.encryption import Encryption, KeyRing, new_key_ring
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.s3_errors import StoreError
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import Verified, verify_due
from tests.unit.snapshots.fakes import NOW, MemoryClient, memory_store, published, put

DAY = timedelta(days=1)
PARTS = 20


def check(manifest: Manifest, store: Store, client: MemoryClient, days: float, *, verify_days: int = 7) -> Verified:
    """Verify so many days after `NOW`, by the clocks of this machine and of the store."""
    client.now = NOW + days * DAY
    return verify_due(manifest, store, now=client.now, verify_days=verify_days)


def state(manifest: Manifest, store: Store, days: float) -> CheckState:
    return read_checks(store, now=NOW + days * DAY).state(manifest, store)


RARELY = 100_000  # days; so no part's turn comes by chance
Stored = tuple[Manifest, Store, MemoryClient]


@pytest.fixture
def stored() -> Stored:
    store, client = memory_store()
    return published(store, parts=PARTS), store, client


# Decisions


def names(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest()[:16] for number in range(count)]


hours = st.lists(st.floats(0.01, 24 * 12, allow_nan=False), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None)
@given(gaps=hours, verify_days=st.integers(0, 30), data=st.data())
def test_after_a_verification_nothing_is_older_than_verify_days(
    gaps: list[float], verify_days: int, data: st.DataObject
) -> None:
    """Whatever the time between verifications, and whichever parts come and go."""
    known, read_at, now = names(30), dict[str, datetime](), NOW
    for gap in gaps:
        now += timedelta(hours=gap)
        present = data.draw(st.sets(st.sampled_from(known)))
        # A part that has gone may come back, since a snapshot of other rows may lie between two of equal rows.
        for each in present:
            if is_due(each, read_at.get(each), now=now, verify_days=verify_days):
                read_at[each] = now
        assert all(now - read_at[each] < max(verify_days * DAY, timedelta(microseconds=1)) for each in present)


@settings(max_examples=10, deadline=None)
@given(
    verify_days=st.integers(1, 30),
    jitter=st.lists(st.floats(-0.02, 0.02), min_size=70, max_size=70),
    days=st.integers(0),
)
def test_without_churn_each_day_reads_an_equal_share(verify_days: int, jitter: list[float], days: int) -> None:
    """From the first day on, although everything was read at once then; and each part once in `verify_days`."""
    parts, begun = names(1000), NOW + (days % 400) * DAY
    read_at = dict.fromkeys(parts, begun)
    reads: list[int] = []
    for day in range(1, 2 * verify_days + 1):
        now = begun + (day + jitter[day]) * DAY
        due = [each for each in parts if is_due(each, read_at[each], now=now, verify_days=verify_days)]
        read_at |= dict.fromkeys(due, now)
        reads.append(len(due))
    share = len(parts) / verify_days
    assert all(abs(each - share) < 0.05 * share + 6 * share**0.5 for each in reads)
    assert sum(reads) == pytest.approx(2 * len(parts), rel=0.06)


# Reading and recording


def test_everything_is_read_once_and_then_a_share_each_day(stored: Stored) -> None:
    manifest, store, client = stored
    first = check(manifest, store, client, 0)
    assert (first.parts, first.read_parts, first.read_bytes, first.oldest_check) == (20, 20, first.bytes, None)
    assert str(first).startswith(f"snapshot {manifest.snapshot_id} is whole: all 20 parts read, ")
    days = [check(manifest, store, client, day) for day in range(1, 15)]
    assert [sum(each.read_parts for each in days[:7]), sum(each.read_parts for each in days[7:])] == [PARTS, PARTS]
    assert max(each.read_parts for each in days) < PARTS / 2
    assert all(each.oldest_check and each.oldest_check < 7 * DAY for each in days)
    line = str(days[-1])
    assert f"has no known damage: {days[-1].read_parts} of 20 parts read now, " in line
    assert line.endswith("; the oldest check of the others is 6.0 days old")


def test_the_next_snapshot_takes_over_what_was_read(stored: Stored) -> None:
    """Its parts are those of the first, and one that is new."""
    manifest, store, client = stored
    check(manifest, store, client, 0)
    new = published(store, -1, parts=1)
    table = manifest.tables[0].model_copy(update={"parts": (*manifest.tables[0].parts, *new.tables[0].parts)})
    both = new.model_copy(update={"tables": (table,)})
    shares = check(both, store, client, 0.01, verify_days=90)
    assert (shares.read_parts, shares.parts) == (1, 21)
    assert state(both, store, 1) == CheckState(NOW, 0, 0, 0)


def test_a_rerun_reads_nothing_twice_but_the_schema_dump(stored: Stored) -> None:
    manifest, store, client = stored
    check(manifest, store, client, 0)
    client.errors |= {("get_object", part.key): "AccessDenied" for part in manifest.parts}
    assert check(manifest, store, client, 0.001).read_parts == 0
    client.errors = {("get_object", manifest.schema_dump.key): "AccessDenied"}
    with pytest.raises(StoreError):
        check(manifest, store, client, 0.002)


@pytest.mark.parametrize("verify_days", [0, 7])
def test_zero_reads_everything_every_day(stored: Stored, verify_days: int) -> None:
    manifest, store, client = stored
    check(manifest, store, client, 0)
    assert (check(manifest, store, client, 0.1, verify_days=verify_days).read_parts == PARTS) == (verify_days == 0)


def test_what_the_listing_shows_altered_is_read_at_once(stored: Stored) -> None:
    manifest, store, client = stored
    check(manifest, store, client, 0)
    gone, shorter, rewritten = (part.key for part in manifest.parts[:3])
    body = client.objects.pop(gone)
    assert state(manifest, store, 0.1) == CheckState(NOW, 1, 1, 0)
    found = check(manifest, store, client, 0.1)
    assert found.faults == (f"public.t: {gone} is missing",)
    assert found.read_parts == PARTS, "if one is damaged, all are read"
    assert state(manifest, store, 0.2).in_words(NOW + 0.2 * DAY) == "1 damaged, others 0.1 days"
    client.objects[gone] = body
    client.objects[shorter] = client.objects[shorter][:-1]
    assert len(check(manifest, store, client, 0.2).faults) == 1
    client.objects[shorter] = client.objects[shorter][:1]
    client.objects[rewritten] = bytes(len(client.objects[rewritten]))
    client.written_at[rewritten] = NOW + 0.25 * DAY
    assert state(manifest, store, 0.3).unread == 2
    assert len(check(manifest, store, client, 0.3).faults) == 2


def test_what_the_listing_leaves_out_is_no_damage(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, store, client = stored
    check(manifest, store, client, 0)
    left_out = manifest.parts[0].key
    listed = Store.listing
    monkeypatch.setattr(
        Store, "listing", lambda *given, **more: [each for each in listed(*given, **more) if each.key != left_out]
    )
    found = check(manifest, store, client, 0.01, verify_days=RARELY)
    assert (found.faults, found.read_parts) == ((), 1)


def test_damage_that_was_noted_elsewhere_is_looked_at_again(stored: Stored) -> None:
    manifest, store, client = stored
    check(manifest, store, client, 0)
    client.now = NOW + 0.1 * DAY
    verify.note_damage(store, manifest.parts[0].key, "fault", print)
    assert state(manifest, store, 0.2) == CheckState(NOW, 1, 0, 1)
    assert check(manifest, store, client, 0.2, verify_days=RARELY).read_parts == 1
    assert state(manifest, store, 0.3) == CheckState(NOW, 0, 0, 0), "it was found sound since"


def test_bytes_that_rotted_unseen_are_found_within_verify_days(stored: Stored) -> None:
    manifest, store, client = stored
    check(manifest, store, client, 0)
    rotted = manifest.parts[0].key
    client.objects[rotted] = client.objects[rotted].replace(b"PAR1", b"PAR2", 1)
    faults = [check(manifest, store, client, day).faults for day in range(1, 8)]
    assert any(faults)
    assert all(rotted in line for lines in faults for line in lines)
    assert faults[-1], "it stays due until it is sound"


def as_newer(body: bytes) -> bytes:
    return json.dumps(json.loads(body) | {"format": 2}).encode()


def of_elsewhere(body: bytes) -> bytes:
    return json.dumps(json.loads(body) | {"place": "s3://b/other"}).encode()


def of_another(body: bytes) -> bytes:
    return json.dumps(json.loads(body) | {"snapshot_id": "20261101T000000Z-aaa"}).encode()


def from_the_future(body: bytes) -> bytes:
    record = json.loads(body)
    record["read"][0]["read_at"] = (NOW + DAY).isoformat()
    return json.dumps(record).encode()


CHANGES: list[Callable[[bytes], bytes]] = [as_newer, of_elsewhere, of_another, from_the_future, lambda body: body[:-9]]


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_that_proves_nothing_makes_everything_due(stored: Stored, change: Callable[[bytes], bytes]) -> None:
    manifest, store, client = stored
    check(manifest, store, client, 0)
    (record,) = store.keys("verified/")
    client.objects[record] = change(client.objects[record])
    assert state(manifest, store, 0.01).oldest is None
    assert state(manifest, store, 0.01).in_words(NOW) == "no record"
    assert check(manifest, store, client, 0.01).read_parts == PARTS


def test_a_run_that_fails_half_way_records_only_what_it_read(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, store, client = stored
    monkeypatch.setattr(verify, "_RECORD_EVERY_S", 0)
    client.errors["get_object", sorted(part.key for part in manifest.parts)[7]] = "AccessDenied"
    client.now = NOW
    with pytest.raises(StoreError):
        verify_due(manifest, store, now=NOW, verify_days=7, threads=1)
    left = state(manifest, store, 0.001)
    assert 0 < left.unread <= PARTS + 1
    client.errors.clear()
    again = check(manifest, store, client, 0.001)
    assert PARTS - 8 < again.read_parts < PARTS
    assert state(manifest, store, 0.01).unread == 0


def test_the_right_to_read_alone_is_enough_for_a_verdict(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, store, client = stored
    lines: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("403 Forbidden")

    monkeypatch.setattr(Store, "create_sealed", refuse)
    verify_due(manifest, store, now=client.now, verify_days=7, progress=lines.append).check()
    assert "what was read could not be recorded in the store: 403 Forbidden" in lines
    assert store.keys("verified/") == []


def test_records_are_sealed_and_a_ring_without_their_key_reads_everything() -> None:
    rings = [KeyRing.from_json(new_key_ring(each), origin="test") for each in ("2026-11", "2026-12")]
    store, client = memory_store(Encryption(rings[0]))
    snapshot_id = "20261124T180000Z-abc"
    read = (ReadTogether(read_at=NOW, objects=("00ff",)),)
    key = store.layout.check_key(snapshot_id, NOW, "abc")
    record = CheckRecord(snapshot_id=snapshot_id, place="s3://b/p", read=read)
    store.create_sealed(key, record.model_dump_json().encode())
    assert b"00ff" not in client.objects[key]
    assert read_checks(store, now=NOW).read_at == {"00ff": NOW}
    other = Store(store._client, bucket="b", prefix="p", encryption=Encryption(rings[1]))
    assert read_checks(other, now=NOW).read_at == {}


def test_records_go_with_their_snapshot_and_when_a_newer_one_repeats_them(stored: Stored) -> None:
    manifest, store, client = stored
    for days in (0, 0.001, 0.5):
        check(manifest, store, client, days, verify_days=90)
    gone = "20260101T000000Z-abc"
    client.now = NOW
    put(store, store.layout.check_key(gone, NOW, "abc"), b"{}")
    put(store, "p/verified/foreign.json", b"{}")
    client.now = NOW + 2 * DAY
    *_, newest = sorted(key for key in store.keys("verified/") if manifest.snapshot_id in key)
    planned = expire_snapshots(store, RetentionSettings(), now=client.now, apply=False)
    assert str(planned.planned).startswith("no snapshot needs 3 objects")
    assert (planned.planned.orphans, planned.foreign) == ([], ["p/verified/foreign.json"])
    expire_snapshots(store, RetentionSettings(), now=client.now, apply=True).check()
    assert set(store.keys("verified/")) == {newest, "p/verified/foreign.json"}
    assert state(manifest, store, 2).unread == 0
