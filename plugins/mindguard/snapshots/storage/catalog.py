"""The catalog of snapshots. It consists of the manifests alone: there is no index that could be out of date."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from mindguard.errors import MindGuardError
from mindguard.snapshots.storage.encryption import KeyMissing, Unreadable
from mindguard.snapshots.storage.manifest import Manifest, ManifestInvalid
from mindguard.snapshots.storage.proof import Proof, read_proof
from mindguard.snapshots.storage.s3_errors import ObjectMissing
from mindguard.snapshots.storage.store import Store

_PROOF = ".proof.json"


class SnapshotMissing(MindGuardError):
    """There is no snapshot with this id."""


def list_snapshots(store: Store, *, unreadable: Callable[[str, MindGuardError], None] | None = None) -> list[Manifest]:
    """Return all snapshots, oldest first.

    Args:
        store: where the snapshots are.
        unreadable: called with the key and the error of each manifest that cannot be read, which is then left out.

    Raises:
        ManifestInvalid, Unreadable: a manifest cannot be read, and `unreadable` was not given.
    """
    found = []
    for key in store.manifest_keys():
        try:
            found.append(read_manifest(store, key))
        except ObjectMissing:  # it has just expired
            continue
        except (ManifestInvalid, Unreadable) as error:
            if not unreadable:
                raise
            unreadable(key, error)
    return found


def find_snapshot(store: Store, snapshot_id: str) -> Manifest:
    """Return the snapshot with this id; `latest` is the newest one.

    Raises:
        SnapshotMissing: there is no such snapshot.
        ManifestInvalid: its manifest cannot be trusted.
        Unreadable: its manifest cannot be decrypted; KeyMissing names every key that the ring lacks.
    """
    found = read_manifest(store, find_key(store, snapshot_id))
    store.encryption.require(found.keys, f"snapshot {found.snapshot_id}")
    return found


def find_key(store: Store, snapshot_id: str) -> str:
    """Return the key of this snapshot's manifest; `latest` is the newest snapshot.

    Raises:
        SnapshotMissing: there is no such snapshot.
    """
    keys = store.manifest_keys()
    matching = keys[-1:] if snapshot_id == "latest" else [key for key in keys if key.endswith(f"/{snapshot_id}.json")]
    if not keys and snapshot_id == "latest":
        raise SnapshotMissing(
            f"there is no snapshot under s3://{store.bucket}/{store.prefix}",
            hint="take one (mindguard snapshot take), or correct snapshot.bucket and snapshot.prefix",
        )
    if not matching:
        raise SnapshotMissing(
            f"there is no snapshot {snapshot_id} under s3://{store.bucket}/{store.prefix}",
            hint="`mindguard snapshot list` shows all",
        )
    return matching[0]


def snapshot_ids(store: Store) -> list[str]:
    """Return the ids of all snapshots, oldest first, without reading their manifests."""
    return [id_of(key) for key in store.manifest_keys()]


def id_of(manifest_key: str) -> str:
    """Return the id of the snapshot whose manifest has this key."""
    return manifest_key.rpartition("/")[2].removesuffix(".json")


def proven(store: Store) -> dict[str, Proof]:
    """Return, by snapshot id, the proof of each snapshot that a restore drill has proven."""
    proofs = [proof for key in _proof_keys(store) if (proof := read_proof(store, key))]
    return {proof.snapshot_id: proof for proof in proofs}


def newest_proven(store: Store) -> Manifest | None:
    """Return the newest snapshot that a restore drill has proven, or None; older manifests are not read.

    A snapshot whose manifest was damaged after its drill does not count.

    Raises:
        Unreadable: its manifest cannot be decrypted here.
    """
    for key in sorted(_proof_keys(store), key=id_of, reverse=True):
        with suppress(ManifestInvalid, ObjectMissing):  # It is damaged, or has just expired.
            if read_proof(store, key):
                return read_manifest(store, f"{key.removesuffix(_PROOF)}.json")
    return None


def _proof_keys(store: Store) -> list[str]:
    return [key for key in store.keys("snapshots/") if key.endswith(_PROOF)]


def newest_snapshot(
    store: Store, *, good: bool = False, progress: Callable[[str], None] = lambda line: None
) -> Manifest | None:
    """Return the newest snapshot whose manifest can be read, or None.

    A manifest that is damaged, or whose key was destroyed, must not prevent the next snapshot: it is reported
    and skipped.

    Args:
        store: where the snapshots are.
        good: skip quarantined snapshots as well.
        progress: called with one line for each manifest that cannot be read.
    """
    for key in reversed(store.manifest_keys()):
        try:
            found = read_manifest(store, key)
        except (ManifestInvalid, ObjectMissing, Unreadable) as error:
            progress(f"skipped: {error}")
            continue
        if not (good and found.quarantined_for):
            return found
    return None


def read_manifest(store: Store, key: str) -> Manifest:
    """Return the manifest under this key. One that seems damaged is read twice, because the network may be at fault.

    Raises:
        ManifestInvalid: the manifest cannot be trusted.
        Unreadable: the manifest cannot be decrypted.
        ObjectMissing, StoreError: see `Store.read`.
    """
    try:
        return Manifest.from_bytes(store.read_sealed(key), origin=key)
    except KeyMissing:
        raise
    except (ManifestInvalid, Unreadable):
        return Manifest.from_bytes(store.read_sealed(key), origin=key)
