"""The catalog is the manifests themselves: there is no index that could be out of date."""

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
    """No snapshot has this id."""


def list_snapshots(store: Store, *, unreadable: Callable[[str, MindGuardError], None] | None = None) -> list[Manifest]:
    """All snapshots, oldest first.

    Args:
        store: where they are.
        unreadable: told the manifest's key, and why, of each that cannot be read, which is then left out.

    Raises:
        ManifestInvalid, Unreadable: one cannot be read, and nobody wants to be told.
    """
    found = []
    for key in store.manifest_keys():
        try:
            found.append(read_manifest(store, key))
        except ObjectMissing:  # expired just now
            continue
        except (ManifestInvalid, Unreadable) as error:
            if not unreadable:
                raise
            unreadable(key, error)
    return found


def find_snapshot(store: Store, snapshot_id: str) -> Manifest:
    """The snapshot with this id; `latest` is the newest one.

    Raises:
        SnapshotMissing: there is none.
        ManifestInvalid: its manifest cannot be trusted.
        Unreadable: it cannot be made out; KeyMissing names every key that it lacks.
    """
    found = read_manifest(store, find_key(store, snapshot_id))
    store.encryption.require(found.keys, f"snapshot {found.snapshot_id}")
    return found


def find_key(store: Store, snapshot_id: str) -> str:
    """The key of this snapshot's manifest; `latest` is the newest one's.

    Raises:
        SnapshotMissing: there is none.
    """
    keys = store.manifest_keys()
    matching = keys[-1:] if snapshot_id == "latest" else [key for key in keys if key.endswith(f"/{snapshot_id}.json")]
    if not matching:
        raise SnapshotMissing(
            f"there is no snapshot {snapshot_id} under s3://{store.bucket}/{store.prefix}",
            hint="`mindguard snapshot list` shows all",
        )
    return matching[0]


def snapshot_ids(store: Store) -> list[str]:
    """The ids of all snapshots, oldest first, without reading one."""
    return [id_of(key) for key in store.manifest_keys()]


def id_of(manifest_key: str) -> str:
    """The snapshot whose manifest has this key."""
    return manifest_key.rpartition("/")[2].removesuffix(".json")


def proven(store: Store) -> dict[str, Proof]:
    """The proof of each snapshot that a restore drill has proven, by its id."""
    proofs = [proof for key in _proof_keys(store) if (proof := read_proof(store, key))]
    return {proof.snapshot_id: proof for proof in proofs}


def newest_proven(store: Store) -> Manifest | None:
    """The newest snapshot that a restore drill has proven; reads no more of the catalog than it must.

    One whose manifest was damaged since is none, whatever was proven then.

    Raises:
        Unreadable: it cannot be decrypted here.
    """
    for key in sorted(_proof_keys(store), key=id_of, reverse=True):
        with suppress(ManifestInvalid, ObjectMissing):  # damaged, or expired just now
            if read_proof(store, key):
                return read_manifest(store, f"{key.removesuffix(_PROOF)}.json")
    return None


def _proof_keys(store: Store) -> list[str]:
    return [key for key in store.keys("snapshots/") if key.endswith(_PROOF)]


def newest_snapshot(
    store: Store, *, good: bool = False, progress: Callable[[str], None] = lambda line: None
) -> Manifest | None:
    """The newest snapshot whose manifest can be read, with `good` the newest that is not quarantined; or None.

    One that is damaged, or whose key was destroyed, must not keep the next snapshot from being taken: it is told to
    `progress` and passed over.
    """
    for key in reversed(store.manifest_keys()):
        try:
            found = read_manifest(store, key)
        except (ManifestInvalid, ObjectMissing, Unreadable) as error:
            progress(f"passed over: {error}")
            continue
        if not (good and found.quarantined_for):
            return found
    return None


def read_manifest(store: Store, key: str) -> Manifest:
    """The manifest under this key, read once more where it seems damaged: once could be the network.

    Raises:
        ManifestInvalid: it cannot be trusted.
        Unreadable: it cannot be made out.
        ObjectMissing, StoreError: as `Store.read`.
    """
    try:
        return Manifest.from_bytes(store.read_sealed(key), origin=key)
    except KeyMissing:
        raise
    except (ManifestInvalid, Unreadable):
        return Manifest.from_bytes(store.read_sealed(key), origin=key)
