"""Expiry over a real store: what goes, what never does, and that a snapshot taken meanwhile loses nothing."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bench.soak import DAY, simulate
from devstack.data.sample_data import load_tables
from devstack.simulated_store import SimulatedStore
from devstack.stack import Stack
from mindguard.errors import MindGuardError
from mindguard.settings.snapshot import RetentionSettings, SnapshotSettings
from mindguard.snapshots.export import reuse
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.retention.expire import Expired, ExpiryIncomplete, expire_snapshots
from mindguard.snapshots.retention.holds import hold, release
from mindguard.snapshots.retention.rules import ExpiryRefused
from mindguard.snapshots.storage.catalog import SnapshotMissing, find_snapshot, list_snapshots, proven
from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.proof import Proof, store_proof
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.restoring import ZONE, run
from tests.processes import mindguard, plain_environment
from tests.stored_objects import overwrite, remove

START = datetime.now(UTC).replace(microsecond=0)
RULES = RetentionSettings(days=5, minimum=2)
TABLES = ({"name": "public.steady"}, {"name": "public.changing"})


@pytest.fixture
def database(fresh_database: str) -> str:
    """One table that never changes and one that a day changes wholly."""
    run(
        fresh_database,
        "create table steady (id int primary key, v text);"
        "insert into steady select i, 'v' from generate_series(1, 99) i",
        "create table changing (id int primary key, v text);"
        "insert into changing select i, 'v' from generate_series(1, 99) i",
    )
    return fresh_database


@pytest.fixture
def store(stack: Stack, bucket: str) -> SimulatedStore:
    return SimulatedStore(stack.seaweedfs.client(), bucket=bucket, prefix="key-tables", sse="AES256")


def settings_of(**more: Any) -> SnapshotSettings:
    return SnapshotSettings.model_validate({"bucket": "x", "tables": TABLES, "retention": RULES.model_dump()} | more)


def prove(store: Store, taken: Taken) -> None:
    manifest = taken.manifest
    proof = Proof(snapshot_id=manifest.snapshot_id, proven_at=manifest.taken_at, seconds=1, tables={}, server_version=1)
    store_proof(proof, store, taken.key)


def take(conninfo: str, store: SimulatedStore, day: int, *, proven: bool = True, **settings: Any) -> Taken:
    """A snapshot of a simulated day, of other rows than the day before."""
    store.now = START + day * DAY
    run(conninfo, f"update changing set v = 'day {day}'")
    taken = take_snapshot(conninfo, store, settings_of(**settings), now=START + day * DAY, zone=ZONE)
    if proven:
        prove(store, taken)
    return taken


def expire(store: SimulatedStore, day: float, *, apply: bool = True, rules: RetentionSettings = RULES) -> Expired:
    store.now = START + day * DAY
    return expire_snapshots(store, rules, now=START + day * DAY, apply=apply)


def put(store: Store, key: str) -> None:
    overwrite(store, key, b"not ours")


def assert_whole(store: Store) -> None:
    for each in list_snapshots(store):
        verify_snapshot(each, store).check()


@contextmanager
def deletes_refused(store: Store, of: str) -> Iterator[None]:
    """The store refuses to delete keys that contain `of`."""

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if of in params["url_path"] or of in json.dumps(params.get("context", {}), default=str):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no right"}}, "DeleteObject")

    events = store._client.meta.events
    events.register("before-call.s3.DeleteObject", refuse)
    try:
        yield
    finally:
        events.unregister("before-call.s3.DeleteObject", refuse)


def test_what_is_old_goes_with_all_that_nobody_else_needs(database: str, store: SimulatedStore) -> None:
    taken = [take(database, store, day) for day in range(9)]
    foreign = [
        "key-tables/notes.txt",
        "key-tables/parts/public.changing/copy.parquet",
        "key-tables/snapshots/README.md",
    ]
    for key in [*foreign, "elsewhere/parts/x.parquet", "key-tables2/schema/x.dump"]:
        put(store, key)
    planned = expire(store, 8, apply=False)
    everything = store.keys()
    assert [each.action for each in planned.decisions] == ["expire"] * 3 + ["keep"] * 6
    assert store.keys() == everything, "a plan removes nothing"

    expired = expire(store, 8)
    expired.check()
    assert expired.snapshots == [each.manifest.snapshot_id for each in taken[:3]]
    assert expired.foreign == sorted(foreign)
    gone = set(everything) - set(store.keys())
    changing = [part.key for each in taken[:3] for part in each.manifest.parts if "changing" in part.key]
    proofs = [Layout.beside(each.key, "proof") for each in taken[:3]]
    assert gone == {*changing, *proofs, *(each.key for each in taken[:3])}
    assert expired.objects == len(changing) + len(proofs)
    assert [each.snapshot_id for each in list_snapshots(store)] == [each.manifest.snapshot_id for each in taken[3:]]
    assert_whole(store)
    assert {each["Key"] for each in store._client.list_objects_v2(Bucket=store.bucket)["Contents"]} >= {
        "elsewhere/parts/x.parquet",
        "key-tables2/schema/x.dump",
    }
    again = expire(store, 8)
    assert (again.snapshots, again.objects) == ([], 0)


def test_orphans_and_probes_go_after_the_grace_period_not_before(database: str, store: SimulatedStore) -> None:
    taken = take(database, store, 0)
    layout = store.layout
    orphans = [layout.part_key("public.t", "a" * 40), layout.schema_key("b" * 64), "key-tables/probe/0123456789abcdef"]
    for key in orphans:
        put(store, key)
    expire(store, 0.9)
    assert set(orphans) <= set(store.keys())
    assert expire(store, 2).objects == 3
    assert set(store.keys()) == {taken.key, Layout.beside(taken.key, "proof"), *(o.key for o in taken.manifest.objects)}


@pytest.mark.parametrize("what", ["/parts/", "/snapshots/"])
def test_a_delete_that_fails_is_named_and_done_by_the_next_run(what: str, database: str, store: SimulatedStore) -> None:
    taken = [take(database, store, day) for day in range(8)]
    with deletes_refused(store, what):
        expired = expire(store, 7)
    with pytest.raises(ExpiryIncomplete, match=rf"cannot delete key-tables{what}.*AccessDenied.* the next run tries"):
        expired.check()
    assert_whole(store)
    if what == "/snapshots/":
        assert len(list_snapshots(store)) == 8, "a manifest that stays keeps its parts"
    expire(store, 7).check()
    assert [each.snapshot_id for each in list_snapshots(store)] == [each.manifest.snapshot_id for each in taken[2:]]
    assert not {part.key for part in taken[0].manifest.parts if "changing" in part.key} & set(store.keys())
    assert_whole(store)


def test_seven_bad_days_in_a_row_leave_the_last_good_one(database: str, store: SimulatedStore) -> None:
    rules = RULES.model_copy(update={"minimum": 1, "days": 1})
    good = take(database, store, 0)
    for day in range(1, 8):
        bad = take(database, store, day, proven=False)
        expire(store, day, rules=rules)
    assert find_snapshot(store, good.manifest.snapshot_id) == good.manifest
    assert len(list_snapshots(store)) == 8
    prove(store, bad)
    expire(store, 7, rules=rules).check()
    assert store.head(good.key) is None, "a new good one stands in for it"


def test_quarantine_stops_pruning(database: str, store: SimulatedStore) -> None:
    for day in range(8):
        take(database, store, day)
    run(database, "delete from steady")
    assert take(database, store, 8).manifest.quarantined_for
    expired = expire(store, 8)
    assert expired.snapshots == []
    assert "the newest snapshot is quarantined" in expired.decisions[0].reason
    take(database, store, 9, gate={"expected": ["public.steady"]})
    assert len(expire(store, 9).snapshots) == 4


def test_a_clock_forty_days_ahead_removes_nothing(database: str, store: SimulatedStore) -> None:
    """The store is asked for its time: it alone knows better."""
    for day in range(4):
        take(database, store, -day)
    everything = store.keys()
    store.now = None
    with pytest.raises(ExpiryRefused, match=r"this machine says .* the store"):
        expire_snapshots(store, RULES, now=datetime.now(UTC) + 40 * DAY, apply=True)
    assert store.keys() == everything


def test_old_uploads_are_aborted_if_they_are_ours(database: str, store: SimulatedStore) -> None:
    take(database, store, 0)
    ours, theirs = store.layout.part_key("public.t", "a" * 40), "key-tables/theirs.bin"
    for key in (ours, theirs):
        store._client.create_multipart_upload(Bucket=store.bucket, Key=key)
    assert expire(store, 0).uploads == 0
    expired = expire(store, 2)
    assert expired.uploads == 1
    assert expired.foreign == [f"upload {theirs}"]
    assert [each.key for each in store.uploads()] == [theirs]


def test_a_held_snapshot_stays_until_it_is_released(database: str, store: SimulatedStore) -> None:
    taken = [take(database, store, day) for day in range(7)]
    first = taken[0].manifest.snapshot_id
    assert hold(store, first, reason="asked for by the auditors", now=START) == first
    with pytest.raises(MindGuardError, match="is held already"):
        hold(store, first, reason="twice", now=START)
    held = expire(store, 6).decisions[0]
    assert (held.action, held.reason) == ("keep", "held: asked for by the auditors")
    assert_whole(store)
    release(store, first)
    with pytest.raises(MindGuardError, match="is not held"):
        release(store, first)
    assert expire(store, 6).snapshots == [first]
    with pytest.raises(SnapshotMissing):
        hold(store, first, reason="too late", now=START)


def test_a_hold_at_the_last_moment_brings_the_manifest_back(database: str, store: SimulatedStore) -> None:
    taken = [take(database, store, day) for day in range(7)]

    def hold_now(params: dict[str, Any], **_: Any) -> None:
        if params["url_path"].endswith(taken[0].manifest.snapshot_id + ".json"):
            put(store, Layout.beside(taken[0].key, "hold"))

    events = store._client.meta.events
    events.register("before-call.s3.DeleteObject", hold_now)
    try:
        expired = expire(store, 6)
    finally:
        events.unregister("before-call.s3.DeleteObject", hold_now)
    expired.check()
    assert expired.snapshots == []
    assert find_snapshot(store, taken[0].manifest.snapshot_id) == taken[0].manifest
    assert_whole(store)


def test_a_manifest_that_cannot_be_read_stops_the_removal_of_parts_and_expires_itself(
    database: str, store: SimulatedStore
) -> None:
    taken = [take(database, store, day) for day in range(7)]
    put(store, taken[3].key)
    orphan = store.layout.part_key("public.t", "a" * 40)
    put(store, orphan)
    expired = expire(store, 6)
    with pytest.raises(ExpiryIncomplete, match=f"no part is removed, .*{taken[3].manifest.snapshot_id}"):
        expired.check()
    assert expired.snapshots == [taken[0].manifest.snapshot_id]
    assert store.head(orphan)
    for day in range(7, 10):
        take(database, store, day)
    expire(store, 9).check()
    assert not {orphan, taken[3].key} & set(store.keys())
    assert_whole(store)


def test_an_export_reuses_what_is_named_or_young_and_nothing_that_may_be_going(
    database: str, store: SimulatedStore
) -> None:
    first = take(database, store, 0)
    remove(store, first.key)
    resumed = take(database, store, 0)
    before, after = ([part.key for part in each.manifest.parts] for each in (first, resumed))
    assert after == before, "young orphans: a run that failed is resumed"
    remove(store, resumed.key)
    store.now = START + 0.99 * DAY  # not yet 24 h, but they would be before this run has to end
    written = take_snapshot(database, store, settings_of(), now=store.now, zone=ZONE).manifest
    assert not {part.key for part in written.parts} & {part.key for part in first.manifest.parts}
    assert written.schema_dump.key != first.manifest.schema_dump.key
    assert [part.sha256 for part in written.parts] == [part.sha256 for part in first.manifest.parts]


def test_a_damaged_part_is_written_anew_by_the_next_snapshot(database: str, store: SimulatedStore) -> None:
    first = take(database, store, 0)
    put(store, first.manifest.parts[0].key)
    assert verify_snapshot(first.manifest, store).faults
    verify_snapshot(take(database, store, 1).manifest, store).check()


def test_a_base_that_expires_meanwhile_fails_the_run(database: str, store: SimulatedStore) -> None:
    first = take(database, store, 0)

    def expire_the_base(line: str) -> None:
        if "reused" in line:
            remove(store, first.key)

    with pytest.raises(reuse.ReuseUnsafe, match=rf"{first.manifest.snapshot_id} expired while .* run again"):
        take_snapshot(database, store, settings_of(), now=START + DAY, zone=ZONE, progress=expire_the_base)


class Crowd:
    """Exports whose rows come, go and come back, and an expiry, all at once on one prefix."""

    def __init__(self, database: str, client: Any, bucket: str, *, seconds: float) -> None:
        grace_s, run_s = 7, 5
        self.rules = RULES.model_copy(
            update={"days": 0, "minimum": 1, "max_expire_per_run": 1000, "grace_hours": grace_s / 3600}
        )
        self.settings = settings_of().model_copy(update={"retention": self.rules, "max_age_minutes": run_s / 60})
        self.database = database
        self.store = Store(client, bucket=bucket, prefix="p", sse="AES256")
        self.ends = time.monotonic() + seconds
        self.lost: list[str] = []
        self.counts = Counter[str]()

    def export(self, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < self.ends:
            run(self.database, f"update changing set v = '{chance.randrange(8)}'")
            try:
                taken = take_snapshot(self.database, self.store, self.settings, now=datetime.now(UTC), zone=ZONE)
            except MindGuardError as error:  # its snapshot is never proven, so nobody rests on it
                self.counts[type(error).__name__] += 1
                continue
            self.counts["taken"] += 1
            self.counts["reused"] += sum(each.parts_reused for each in taken.tables.values())
            faults = verify_snapshot(taken.manifest, self.store).faults
            # Parts go after the manifest: faults of one that is still there are losses.
            if self.store.head(taken.key):
                self.lost.extend(faults)
                prove(self.store, taken)

    def expire(self) -> None:
        while time.monotonic() < self.ends:
            # With days=0, parts outlive their snapshot by the grace period, so most garbage is of snapshots long gone.
            expired = expire_snapshots(self.store, self.rules, now=datetime.now(UTC), apply=True, any_orphans=True)
            self.lost.extend(expired.faults)
            self.counts["expired"] += len(expired.snapshots)
            self.counts["deleted"] += expired.objects


@pytest.mark.timeout(240)
def test_exports_and_expiry_at_once_lose_nothing(
    database: str, stack: Stack, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute, with a grace period and runs of seconds; would `Reuse` take what it can see, parts were lost."""
    monkeypatch.setattr(reuse, "RUN_MARGIN_MINUTES", 0)
    crowd = Crowd(database, stack.seaweedfs.client(), bucket, seconds=30)
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(crowd.export, 1), pool.submit(crowd.export, 2), pool.submit(crowd.expire)]:
            future.result()
    print(crowd.counts)
    assert crowd.lost == []
    proofs = proven(crowd.store)
    for each in list_snapshots(crowd.store):
        if each.snapshot_id in proofs:
            verify_snapshot(each, crowd.store).check()
    assert crowd.counts["taken"] > 10
    assert crowd.counts["expired"] > 5
    assert crowd.counts["deleted"] > 5


class TestObjectLock:
    """In a bucket with object lock, whose objects have versions."""

    @pytest.fixture
    def bucket(self, stack: Stack) -> str:
        name = f"locked-{uuid.uuid4().hex[:12]}"
        stack.seaweedfs.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        return name

    def test_the_lock_of_reused_parts_is_extended(self, database: str, store: SimulatedStore) -> None:
        first = take(database, store, 0, object_lock="COMPLIANCE")
        second = take(database, store, 1, object_lock="COMPLIANCE")
        shared = {each.key for each in first.manifest.objects} & {each.key for each in second.manifest.objects}
        assert len(shared) == 2, "the steady table's part and the schema dump"
        assert locks(store, first) == {START + 5 * DAY} | {START + 6 * DAY}
        assert locks(store, second) == {START + 6 * DAY}
        for own in (store.head(first.key), store.head(Layout.beside(first.key, "proof"))):
            assert own
            assert (own.locked_until == START + 5 * DAY) is (own.key == first.key), "a proof and a hold are not locked"
        hold(store, "latest", reason="why not", now=START)
        release(store, "latest")

    @pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
    def test_what_is_locked_is_reported_and_goes_when_the_lock_has_ended(
        self, mode: Any, database: str, store: SimulatedStore
    ) -> None:
        seconds = RULES.model_copy(update={"days": 8 / 86400})  # the lock's duration, extended below
        locking = settings_of(object_lock=mode).model_copy(update={"retention": seconds})
        now = datetime.now(UTC)
        locked = take_snapshot(database, store, locking, now=now, zone=ZONE)
        orphan = store.layout.part_key("public.t", "a" * 40)
        body = b"rows of a run that failed"
        store.locking(mode, now + timedelta(seconds=8)).create(orphan, body, Content.of(body))
        taken = [take(database, store, day) for day in range(1, 8)]
        began = time.monotonic()
        expire(store, 7, apply=False)
        # However busy the machine is, the locks hold while expiry looks.
        until = datetime.now(UTC) + timedelta(seconds=8 + 5 * (time.monotonic() - began))
        for key in (locked.key, orphan, *(each.key for each in locked.manifest.objects)):
            store.locking(mode, until).extend_lock(key)
        refused = expire(store, 7)
        refused.check()
        assert [line.split()[0] for line in refused.locked] == [locked.key, orphan]
        assert "is locked until" in refused.locked[0]
        assert refused.snapshots == [taken[0].manifest.snapshot_id]
        time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds() + 1.5))  # nothing but time ends a lock
        done = expire(store, 7)
        done.check()
        assert (done.snapshots, done.locked) == ([locked.manifest.snapshot_id], [])
        changing = next(part.key for part in locked.manifest.parts if "changing" in part.key)
        left = {each.key for each in store.listing(versions=True)}
        assert not {locked.key, orphan, changing} & left, "no version and no delete marker is left"
        assert_whole(store)

    def test_what_a_plain_delete_has_hidden_is_removed_too(self, database: str, store: SimulatedStore) -> None:
        take(database, store, 0)
        orphan = store.layout.part_key("public.t", "a" * 40)
        put(store, orphan)
        remove(store, orphan)
        assert len([each for each in store.listing(versions=True) if each.key == orphan]) == 2
        expire(store, 2).check()
        assert not [each for each in store.listing(versions=True) if each.key == orphan]


def locks(store: Store, taken: Taken) -> set[datetime | None]:
    return {head(store, each.key).locked_until for each in taken.manifest.objects}


def head(store: Store, key: str) -> Any:
    found = store.head(key)
    assert found
    return found


def test_object_lock_without_a_bucket_for_it_says_what_to_set(database: str, store: SimulatedStore) -> None:
    with pytest.raises(MindGuardError, match=r"set snapshot\.object_lock: null, unless the bucket has object lock"):
        take(database, store, 0, object_lock="GOVERNANCE")


def test_a_fortnight_at_one_percent_a_day(fresh_database: str, stack: Stack, bucket: str) -> None:
    """The small brother of `make soak`: what is kept is what the rules say, whole, proven, and without orphans.

    The price of a month is for the soak to show: a table of so few rows is one part, which every day writes anew.
    """
    load_tables(fresh_database, rows=4_000, seed=1, today=START.date() - 2 * DAY, progress=print)
    store = SimulatedStore(stack.seaweedfs.client(), bucket=bucket, prefix="key-tables")
    tables = [{"name": f"public.{name}"} for name in ("checkins", "behavior_tasks", "risk_signals")]
    soak = simulate(
        fresh_database,
        stack.postgres_conninfo("mindguard_drill"),
        store,
        SnapshotSettings.model_validate({"bucket": "x", "tables": tables, "retention": {"days": 5, "minimum": 2}}),
        days=14,
        percent=1,
        start=START,
    )
    assert soak.faults == []
    assert [day.kept for day in soak.days] == [min(day + 1, 6) for day in range(14)]


def test_the_commands(database: str, stack: Stack, store: SimulatedStore, tmp_path: Path) -> None:
    """The real clock rules here: nothing is old enough, whatever is asked."""
    taken = take(database, store, 0)
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"snapshot: {{bucket: {store.bucket}, tables: [{{name: public.steady}}]}}\n", "utf-8")
    environment = plain_environment() | stack.environment() | {"MINDGUARD_SETTINGS": str(settings)}

    def run_snapshot(*arguments: str) -> str:
        done = mindguard(environment, "snapshot", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    snapshot_id = taken.manifest.snapshot_id
    assert json.loads(run_snapshot("hold", "latest", "--reason", "auditors", "--json"))["snapshot_id"] == snapshot_id
    assert run_snapshot("list").rstrip().endswith("good, proven, held")
    assert [each["held"] for each in json.loads(run_snapshot("list", "--json"))] == [True]
    plan = json.loads(run_snapshot("expire", "--json"))
    assert plan["decisions"] == [{"snapshot_id": snapshot_id, "action": "keep", "reason": "held: auditors"}]
    assert plan["applied"] is False
    for_people = run_snapshot("expire")
    assert f"{snapshot_id}" in for_people
    assert "held: auditors" in for_people
    assert "nothing was removed" in for_people
    assert run_snapshot("release", snapshot_id).strip() == f"snapshot {snapshot_id} is no longer held"
    assert "0.0 days old, kept for 30" in run_snapshot("expire", "--apply")
    assert find_snapshot(store, "latest") == taken.manifest
