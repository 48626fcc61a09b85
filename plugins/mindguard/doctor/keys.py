"""Examines the key ring of client-side encryption: whether it opens the stored snapshots."""

from __future__ import annotations

from collections.abc import Iterator

from mindguard.connections import Resolve, s3_client
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.snapshots.storage.catalog import find_snapshot, snapshot_ids
from mindguard.snapshots.storage.encryption import encryption_of
from mindguard.snapshots.storage.store import Store


def examine_keys(settings: Settings, resolve: Resolve) -> Iterator[Diagnosis]:
    """Check that the key ring opens the oldest and the newest snapshot. Yields nothing if encryption is off."""
    if not settings.snapshot.encryption.enabled:
        return
    conn_id, encryption = settings.connections.keys, encryption_of(settings, resolve)
    (current,) = encryption.needed_keys(())
    yield Diagnosis("pass", conn_id, "key ring", Said("key_ring", key=current))
    store = Store.of(
        s3_client(resolve(settings.connections.backup)),
        settings.snapshot,
        encryption,
        conn_id=settings.connections.backup,
    )
    ids = snapshot_ids(store)
    for age, snapshot_id in [("oldest", each) for each in ids[:1]] + [("newest", each) for each in ids[-1:]]:
        try:
            keys = find_snapshot(store, snapshot_id).keys
        except MindGuardError as error:
            text = Said("unopened", snapshot=snapshot_id, error=error)
            yield Diagnosis("error", conn_id, f"{age} snapshot", text)
        else:
            opened = Said("opened", snapshot=snapshot_id, keys=", ".join(keys))
            text = opened if keys else Said("unencrypted", snapshot=snapshot_id)
            yield Diagnosis("pass", conn_id, f"{age} snapshot", text)
