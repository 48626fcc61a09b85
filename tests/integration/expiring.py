"""Shared by the tests of expiry: three snapshots of which the oldest expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mindguard.settings.snapshot import RetentionSettings, SnapshotSettings
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.retention.expire import Expired, expire_snapshots
from mindguard.snapshots.storage.proof import Proof, store_proof
from mindguard.snapshots.storage.store import Store
from tests.integration.restoring import ZONE, run
from tests.waiting import wait_until

EXPIRE = {"days": 2, "minimum": 1}


def three_snapshots(database: str, store: Store) -> list[Taken]:
    """The oldest expires if `EXPIRE` are the rules; the newer two are proven. Each has rows of its own."""
    taken = []
    for number, days in enumerate((3, 1, 0.5)):
        run(database, f"update t set v = '{number}' where id % 3 = {number}")
        taken.append(take_at(database, store, days))
    for each in taken[1:]:
        prove(store, each)
    return taken


def take_at(database: str, store: Store, days: float) -> Taken:
    settings = SnapshotSettings.model_validate({"bucket": "x", "tables": [{"name": "public.t"}], "part_mb": 1})
    return take_snapshot(database, store, settings, now=datetime.now(UTC) - timedelta(days=days), zone=ZONE)


def prove(store: Store, taken: Taken) -> None:
    found = taken.manifest
    proof = Proof(snapshot_id=found.snapshot_id, proven_at=found.taken_at, seconds=1, tables={}, server_version=1)
    store_proof(proof, store, taken.key)


def expire(store: Store, real: Store, *, apply: bool = True, any_orphans: bool = False, **rules: Any) -> Expired:
    """Expire with a grace period of nothing, after the store's clock has moved on."""
    newest = max(each.written_at for each in real.listing())
    wait_until(lambda: real.clock() > newest + timedelta(seconds=1), 10, "the store's clock stands still")
    retention = RetentionSettings().model_copy(update={"grace_hours": 0, "max_gap_days": 10_000} | rules)
    return expire_snapshots(store, retention, now=real.clock(), apply=apply, any_orphans=any_orphans)
