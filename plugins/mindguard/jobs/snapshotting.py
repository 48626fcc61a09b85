"""The steps of the DAG `snapshot_tables`, with what the settings say."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from mindguard.settings import Settings
from mindguard.snapshots.export.gate import refuse_quarantined
from mindguard.snapshots.export.take import take_snapshot
from mindguard.snapshots.progress import to_log
from mindguard.snapshots.retention.expire import expire_snapshots
from mindguard.snapshots.storage.catalog import find_snapshot
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_due

log = logging.getLogger(__name__)


def take(settings: Settings, conninfo: str, store: Store, *, logical_date: datetime | None) -> dict[str, Any]:
    """Take and publish a snapshot; return its id and the figures of the run. For arguments and errors see there."""
    taken = take_snapshot(
        conninfo,
        store,
        settings.snapshot,
        now=datetime.now(UTC),
        zone=settings.zone,
        logical_date=logical_date,
        progress=to_log(log),
    )
    return taken.summary()


def verify(settings: Settings, snapshot_id: str, store: Store) -> None:
    """Read what is new in a published snapshot, and what is due.

    Raises:
        SnapshotDamaged: stored objects are not as the manifest says.
        SnapshotQuarantined: no damage is known, but the snapshot does not count as good.
    """
    manifest = find_snapshot(store, snapshot_id)
    days = settings.snapshot.verify_days
    verified = verify_due(manifest, store, now=datetime.now(UTC), verify_days=days, progress=to_log(log))
    log.info("%s", verified)
    verified.check()
    refuse_quarantined(manifest)


def expire(settings: Settings, store: Store) -> dict[str, Any]:
    """Remove snapshots that are beyond their retention; return what was decided and done.

    Raises:
        ExpiryIncomplete: something could not be removed.
    """
    expired = expire_snapshots(
        store,
        settings.snapshot.retention,
        now=datetime.now(UTC),
        apply=True,
        days_per_proof=settings.snapshot.drill.days_per_proof,
        progress=to_log(log),
    )
    expired.check()
    return expired.summary()
