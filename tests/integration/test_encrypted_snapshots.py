"""Snapshots under client-side encryption: nothing in the bucket tells, everything comes back, lost keys are said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.errors import MindGuardError
from mindguard.settings.snapshot import RetentionSettings, SnapshotSettings
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.restore.drill import Unrestorable, drill, drill_stored
from mindguard.snapshots.restore.tables import RestoreRequest, restore
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.retention.expire import expire_snapshots, kept_snapshots
from mindguard.snapshots.retention.holds import hold
from mindguard.snapshots.storage.catalog import find_key, find_snapshot, list_snapshots, newest_snapshot, proven
from mindguard.snapshots.storage.encryption import (
    Encryption,
    KeyMissing,
    KeyRing,
    KeyRingInvalid,
    NoEncryption,
    SealBroken,
    new_key_ring,
)
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from tests.integration.restoring import run
from tests.stored_objects import damage, flipped

NOW = datetime.now(UTC) - timedelta(days=3)
RING = KeyRing.from_json(new_key_ring("2026-05"), origin="test")
ROTATED = KeyRing.from_json(new_key_ring("2026-11", RING), origin="test")
SHREDDED = KeyRing(ROTATED.current, {ROTATED.current: ROTATED.keys[ROTATED.current]}, ROTATED.naming)
OTHER = KeyRing.from_json(new_key_ring("2026-05"), origin="test")
NOWHERE = "host=127.0.0.1 port=9 dbname=none"
"""A database that nobody can connect to: another error than the expected one would say so."""

TELLING = (b"wellness_notes", b"zauberwort", b"patient_alias", b"aliasqueen", b"note_mood", b"bedrueckt")


@dataclass
class Bucket:
    """One bucket, seen through one encryption or another."""

    client: Any
    name: str

    def through(self, encryption: Encryption) -> Store:
        return Store(self.client, bucket=self.name, prefix="key-tables", sse="AES256", encryption=encryption)


@pytest.fixture
def vault(stack: Stack, bucket: str) -> Bucket:
    return Bucket(stack.seaweedfs.client(), bucket)


@pytest.fixture
def database(fresh_database: str) -> str:
    """A table of several parts whose names and values are easy to find, and one that never changes."""
    run(
        fresh_database,
        "create type note_mood as enum ('bedrueckt', 'heiter')",
        "create table wellness_notes (id bigint generated always as identity primary key, patient_alias text, "
        "mood note_mood, body text)",
        "insert into wellness_notes (patient_alias, mood, body) select 'aliasqueen' || i % 50, 'bedrueckt', "
        "'zauberwort ' || repeat(md5(i::text), 6) from generate_series(1, 30000) i",
        "create table fixed (id int primary key, v text)",
        "insert into fixed select i, 'v' from generate_series(1, 1000) i",
    )
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("vacuum analyze")
    return fresh_database


def take(conninfo: str, store: Store, *, day: int = 0) -> Taken:
    settings = SnapshotSettings.model_validate(
        {"bucket": "x", "tables": [{"name": "public.wellness_notes"}, {"name": "public.fixed"}], "part_mb": 1}
    )
    return take_snapshot(
        conninfo, store, settings, now=NOW + timedelta(days=day), zone=ZoneInfo("Asia/Shanghai"), progress=print
    )


def written(taken: Taken) -> int:
    return sum(report.parts_written for report in taken.tables.values())


def flip(store: Store, key: str) -> None:
    """Change a byte near the end of an object."""
    damage(store, key, lambda body: flipped(body, -20))


def test_taken_verified_proven_and_rows_restored(vault: Bucket, database: str, scratch: str) -> None:
    store = vault.through(Encryption(RING))
    taken = take(database, store)
    assert len(taken.manifest.parts) > 3
    assert taken.manifest.keys == (RING.current,)
    verify_snapshot(find_snapshot(store, "latest"), store).check()
    proof = drill_stored("latest", store, scratch, now=NOW)
    assert proven(store) == {taken.manifest.snapshot_id: proof}
    second = take(database, store, day=1)
    assert written(second) == 0
    assert second.manifest.schema_dump == taken.manifest.schema_dump
    request = RestoreRequest(("public.wellness_notes",), where=("id=7", "id=29999"), schema="brought_back")
    restore(taken.manifest, store, database, request)
    brought_back = run(database, "select * from brought_back.wellness_notes order by id")
    assert len(brought_back) == 2
    assert brought_back == run(database, "select * from wellness_notes where id in (7, 29999) order by id")


def test_nothing_in_the_bucket_tells_what_it_holds(vault: Bucket, database: str, scratch: str) -> None:
    def everything(store: Store) -> bytes:
        return b"\n".join(key.encode() + b"\n" + store.read(key) for key in store.keys())  # noqa: SIM118

    store = vault.through(Encryption(RING))
    taken = take(database, store)
    drill(taken.manifest, store, scratch, now=NOW)
    hold(store, "latest", reason="zauberwort", now=NOW)
    flip(store, taken.manifest.parts[0].key)
    assert verify_snapshot(taken.manifest, store).faults
    kinds = {store.layout.kind(key) for key in store.keys()}  # noqa: SIM118
    assert kinds == {"part", "schema", "manifest", "proof", "hold", "damaged"}
    users = [name.encode() for (name,) in run(database, "select rolname from pg_roles where rolname like 'mindguard%'")]
    dbname = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"]).encode()
    found = everything(store)
    assert users
    assert [word for word in (*TELLING, b"fixed", dbname, *users) if word in found] == []
    # Where nothing is encrypted, the same search finds all but the users, whom no snapshot names.
    clear = Store(vault.client, bucket=vault.name, prefix="clear")
    take(database, clear)
    in_the_clear = everything(clear)
    assert all(word in in_the_clear for word in (*TELLING, b"fixed", dbname))


@pytest.mark.parametrize("reuse", [False, True])
def test_a_rotation_writes_anew_or_reuses_and_both_open(reuse: bool, vault: Bucket, database: str) -> None:
    first = take(database, vault.through(Encryption(RING)))
    rotated = vault.through(Encryption(ROTATED, reuse_across_keys=reuse))
    second = take(database, rotated, day=1)
    assert written(second) == (0 if reuse else len(second.manifest.parts))
    assert second.manifest.keys == ((RING.current, ROTATED.current) if reuse else (ROTATED.current,))
    for manifest in (first.manifest, second.manifest):
        verify_snapshot(find_snapshot(rotated, manifest.snapshot_id), rotated).check()
    assert written(take(database, rotated, day=2)) == 0
    if reuse:
        with pytest.raises(KeyMissing, match=RING.current):
            find_snapshot(vault.through(Encryption(SHREDDED)), second.manifest.snapshot_id)


@pytest.mark.parametrize("encryption", [Encryption(OTHER), Encryption(SHREDDED), NoEncryption()])
def test_a_missing_key_is_one_error_before_any_database(encryption: Encryption, vault: Bucket, database: str) -> None:
    manifest = take(database, vault.through(Encryption(RING))).manifest
    store = vault.through(encryption)
    tries: list[Callable[[], object]] = [
        lambda: find_snapshot(store, "latest"),
        lambda: verify_snapshot(manifest, store),
        lambda: restore(manifest, store, NOWHERE, RestoreRequest()),
        lambda: rebuild(manifest, store, NOWHERE),
    ]
    for each in tries:
        with pytest.raises(KeyMissing, match=rf"needs the master key {RING.current}, which is not in the key ring"):
            each()
    for verdict in (
        lambda: drill(manifest, store, NOWHERE, now=NOW),
        lambda: drill_stored("latest", store, NOWHERE, now=NOW),
    ):
        with pytest.raises(Unrestorable, match=f"needs the master key {RING.current}"):
            verdict()


@pytest.mark.parametrize("ring", [OTHER, RING])
def test_a_ring_made_anew_or_out_of_date_is_refused_before_any_read(
    ring: KeyRing, vault: Bucket, database: str
) -> None:
    take(database, vault.through(Encryption(RING)))
    newest = take(database, vault.through(Encryption(ROTATED)), day=1).manifest.snapshot_id
    before = set(vault.through(NoEncryption()).keys())
    with pytest.raises(KeyRingInvalid, match=rf"not the one of the newest snapshot {newest}.*snapshot\.prefix"):
        take(NOWHERE, vault.through(Encryption(ring)), day=2)
    assert set(vault.through(NoEncryption()).keys()) == before


def test_after_crypto_shredding_the_newest_works_and_expiry_deletes_no_part(vault: Bucket, database: str) -> None:
    old = take(database, vault.through(Encryption(RING))).manifest
    store = vault.through(Encryption(SHREDDED))
    new = take(database, store, day=1).manifest
    verify_snapshot(find_snapshot(store, "latest"), store).check()
    unreadable: dict[str, MindGuardError] = {}
    assert list_snapshots(store, unreadable=unreadable.__setitem__) == [new]
    assert list(unreadable) == [find_key(store, old.snapshot_id)]
    with pytest.raises(KeyMissing):
        list_snapshots(store)
    assert [each.quarantined for each in kept_snapshots(store)] == [True, False]
    before = set(store.keys())
    later = RetentionSettings(grace_hours=1e-6)
    expired = expire_snapshots(store, later, now=store.clock(), apply=True)
    assert set(store.keys()) == before
    assert [fault for fault in expired.faults if "no part is removed" in fault and RING.current in fault]
    assert {each.key for each in (*old.objects, *new.objects)} <= before


def test_a_flipped_byte_is_caught(vault: Bucket, database: str, scratch: str) -> None:
    store = vault.through(Encryption(RING))
    manifest = take(database, store).manifest
    for damaged in (manifest.parts[0].key, manifest.schema_dump.key):
        flip(store, damaged)
    assert len(verify_snapshot(manifest, store).faults) == 2
    with pytest.raises(Unrestorable, match="the manifest says"):
        drill(manifest, store, scratch, now=NOW)
    flip(store, find_key(store, "latest"))
    with pytest.raises(SealBroken, match="was altered, cut off or moved"):
        find_snapshot(store, "latest")
    with pytest.raises(Unrestorable, match="was altered"):
        drill_stored("latest", store, NOWHERE, now=NOW)
    assert newest_snapshot(store, progress=print) is None


def test_switched_on_over_plain_snapshots_and_off_again(vault: Bucket, database: str) -> None:
    clear = vault.through(NoEncryption())
    plain = take(database, clear).manifest
    strict = vault.through(Encryption(RING))
    with pytest.raises(SealBroken, match="accept_unencrypted"):
        find_snapshot(strict, "latest")
    lenient = vault.through(Encryption(RING, accept_unencrypted=True))
    verify_snapshot(find_snapshot(lenient, "latest"), lenient).check()
    sealed = take(database, lenient, day=1)
    assert written(sealed) == len(sealed.manifest.parts), "what is in the clear is not built on"
    assert list_snapshots(lenient) == [plain, sealed.manifest]
    off = take(database, clear, day=2).manifest
    assert off.keys == ()
    assert not {part.key for part in off.parts} & {part.key for part in sealed.manifest.parts}
    verify_snapshot(find_snapshot(clear, "latest"), clear).check()
    with pytest.raises(KeyMissing, match="with encryption on"):
        find_snapshot(clear, sealed.manifest.snapshot_id)
    assert list_snapshots(lenient) == [plain, sealed.manifest, off]
