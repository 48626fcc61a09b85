"""The catalog is the manifests themselves: there is no index that could be out of date."""

from __future__ import annotations

from mindguard.errors import MindGuardError
from mindguard.snapshots.manifest import Manifest
from mindguard.snapshots.store import Store


class SnapshotMissing(MindGuardError):
    """No snapshot has this id."""


def list_snapshots(store: Store) -> list[Manifest]:
    """All snapshots, oldest first.

    Raises:
        ManifestInvalid: one of them cannot be read; it is named.
    """
    return [Manifest.from_bytes(store.read(key), origin=key) for key in store.manifest_keys()]


def find_snapshot(store: Store, snapshot_id: str) -> Manifest:
    """The snapshot with this id; `latest` is the newest one.

    Raises:
        SnapshotMissing: there is none.
        ManifestInvalid: its manifest cannot be trusted.
    """
    keys = store.manifest_keys()
    matching = keys[-1:] if snapshot_id == "latest" else [key for key in keys if key.endswith(f"/{snapshot_id}.json")]
    if not matching:
        raise SnapshotMissing(
            f"there is no snapshot {snapshot_id} under s3://{store.bucket}/{store.prefix}",
            hint="`mindguard snapshot list` shows all",
        )
    return Manifest.from_bytes(store.read(matching[0]), origin=matching[0])
