"""Holds: a snapshot with a hold is kept whatever its age."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from mindguard.errors import MindGuardError
from mindguard.snapshots.storage.catalog import SnapshotMissing, find_key, id_of
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.s3_errors import ObjectExists, ObjectMissing
from mindguard.snapshots.storage.store import Listed, Store


def hold(store: Store, snapshot_id: str, *, reason: str, now: datetime) -> str:
    """Keep a snapshot whatever its age until it is released; return its id.

    Args:
        store: where the snapshot is.
        snapshot_id: its id, or `latest` for the newest one.
        reason: why it is kept.
        now: the present time, aware; recorded in the hold.

    Raises:
        SnapshotMissing: there is no such snapshot, or it expired at this moment.
        MindGuardError: the snapshot is held already.
    """
    key = find_key(store, snapshot_id)
    body = json.dumps({"reason": reason, "held_at": now.astimezone(UTC).isoformat()}, ensure_ascii=False).encode()
    try:
        store.create_sealed(Layout.beside(key, "hold"), body)
    except ObjectExists as error:
        raise MindGuardError(
            f"snapshot {id_of(key)} is held already",
            hint=f"to give another reason, run `mindguard snapshot release {id_of(key)}` first",
        ) from error
    # An expiry that saw no hold may just have removed the manifest. A later one sees the hold.
    if store.head(key) is None:
        remove_hold(store, key)
        raise SnapshotMissing(f"snapshot {id_of(key)} expired before it could be held")
    return id_of(key)


def release(store: Store, snapshot_id: str) -> str:
    """End a hold, so that the snapshot expires like any other; return its id.

    Raises:
        SnapshotMissing: there is no such snapshot.
        MindGuardError: the snapshot is not held.
    """
    key = find_key(store, snapshot_id)
    if store.head(Layout.beside(key, "hold")) is None:
        raise MindGuardError(f"snapshot {id_of(key)} is not held")
    remove_hold(store, key)
    return id_of(key)


def remove_hold(store: Store, manifest_key: str) -> None:
    """Delete the hold of the snapshot whose manifest has this key, in all its versions."""
    for each in versions_of(store, Layout.beside(manifest_key, "hold")):
        store.remove(each)


def versions_of(store: Store, key: str) -> list[Listed]:
    """Return every version and delete marker under exactly this key."""
    return [each for each in store.listing(key[len(store.prefix) + 1 :], versions=True) if each.key == key]


def held(store: Store) -> set[str]:
    """Return the ids of all snapshots that the store lists a hold for."""
    return {id_of(key).removesuffix(".hold") for key in store.keys("snapshots/") if key.endswith(".hold.json")}


def held_for(store: Store, manifest_key: str, keys: set[str]) -> str | None:
    """Return the reason of a snapshot's hold, or None if it has no hold. A hold that cannot be read is still a hold.

    Args:
        store: where the snapshot is.
        manifest_key: key of its manifest.
        keys: all keys in the snapshots' folders.
    """
    key = Layout.beside(manifest_key, "hold")
    if key not in keys:
        return None
    try:
        return str(json.loads(store.read_sealed(key))["reason"])
    except ObjectMissing:
        return None
    except (ValueError, KeyError, TypeError, Unreadable):
        return "reason unreadable"
