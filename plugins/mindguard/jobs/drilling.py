"""The day's restore drill: which snapshots are rebuilt, and whether whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.restore.drill import choose_drills, choose_part, drill_part, drill_stored
from mindguard.snapshots.storage.catalog import find_snapshot, snapshot_ids
from mindguard.snapshots.storage.store import Store


def choose(store: Store, settings: SnapshotSettings, verified: Sequence[str], *, now: datetime) -> list[str]:
    """Return the ids of the snapshots to drill: whole ones, or that of which a part is due.

    Args:
        store: where the snapshots are.
        settings: whether drills are in parts.
        verified: ids of the snapshots that were verified since the last drill, in any order; none: the newest counts.
        now: the present time, aware, in the time zone whose day decides about the sample.

    Raises:
        SnapshotMissing, StoreError: see `find_snapshot`.
    """
    newest = max(verified) if verified else find_snapshot(store, "latest").snapshot_id
    if settings.drill.max_gb is not None:
        return [choose_part(newest, store, settings.drill, now=now)]
    return choose_drills(snapshot_ids(store), newest, now.date())


def drill_day(
    snapshot_id: str,
    store: Store,
    settings: SnapshotSettings,
    scratch_conninfo: str,
    *,
    now: datetime,
    asked: bool,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Drill one of the chosen snapshots; return plain values, those of the proof if it is proven now.

    Args:
        snapshot_id: its id.
        store: where it is.
        settings: limits and connections.
        scratch_conninfo: libpq connection string of the scratch server.
        now: the present time, aware.
        asked: whether a person has named it; then it is rebuilt whole.
        progress: called with one line for each step.

    Raises:
        SnapshotExpired, SnapshotMissing, Unrestorable, NotAllProven, DrillBroke: see `drill_stored`.
    """
    kept_for, connections = timedelta(days=settings.retention.days), settings.connections
    if settings.drill.max_gb is not None and not asked:
        return drill_part(
            snapshot_id,
            store,
            scratch_conninfo,
            settings.drill,
            now=now,
            kept_for=kept_for,
            connections=connections,
            progress=progress,
        ).summary()
    return drill_stored(
        snapshot_id,
        store,
        scratch_conninfo,
        now=now,
        asked=asked,
        kept_for=kept_for,
        connections=connections,
        progress=progress,
    ).model_dump(mode="json")
