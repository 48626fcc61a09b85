"""The catalog of snapshots. It consists of the manifests alone: there is no index that could be out of date."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from mindguard.errors import MindGuardError, first_few
from mindguard.snapshots.storage.encryption import KeyMissing, Unreadable
from mindguard.snapshots.storage.layout import BESIDE, MANIFEST, is_snapshot_id, time_in
from mindguard.snapshots.storage.manifest import Manifest, ManifestInvalid
from mindguard.snapshots.storage.proof import Proof, read_proof
from mindguard.snapshots.storage.s3_errors import ObjectMissing, StoreError
from mindguard.snapshots.storage.store import Listed, Store, in_parallel

_THREADS = 8
_PROOF = ".proof.json"


def manifest_keys(store: Store) -> list[str]:
    """Return the keys of all manifests, oldest first.

    A manifest that the listing leaves out, while it has what is beside it, is looked up.
    """
    keys = store.keys("snapshots/")
    manifests = {key for key in keys if MANIFEST.search(key)}
    beside = {f"{key.rsplit('.', 2)[0]}.json" for key in keys if store.layout.kind(key) in BESIDE}
    manifests |= {key for key in beside - manifests if store.head(key)}
    return sorted(manifests, key=id_of)


class SnapshotMissing(MindGuardError):
    """There is no snapshot with this id."""


def list_snapshots(store: Store, *, unreadable: Callable[[str, MindGuardError], None] | None = None) -> list[Manifest]:
    """Return all snapshots, oldest first. For arguments and errors see `read_snapshots`."""
    return [manifest for _, manifest in read_snapshots(store, unreadable=unreadable)]


def read_snapshots(
    store: Store, *, unreadable: Callable[[str, MindGuardError], None] | None = None
) -> Iterator[tuple[str, Manifest]]:
    """Yield the key and the manifest of every snapshot, oldest first.

    Args:
        store: where the snapshots are.
        unreadable: called with the key and the error of each manifest that cannot be read, which is then left out.

    Raises:
        ManifestInvalid, ObjectMissing, Unreadable: a manifest cannot be read, and `unreadable` was not given.
    """
    for key in manifest_keys(store):
        try:
            yield key, read_manifest(store, key)
        except (ManifestInvalid, ObjectMissing, Unreadable) as error:
            if isinstance(error, ObjectMissing) and key not in store.keys(key.removeprefix(f"{store.prefix}/")):
                continue  # it has just expired
            if not unreadable:
                raise
            unreadable(key, error)


class SnapshotQuarantined(MindGuardError):
    """The gate quarantined this snapshot, and one that counts as good is needed."""

    permanent = True


def find_snapshot(store: Store, snapshot_id: str, *, quarantined: bool = True) -> Manifest:
    """Return the snapshot with this id; `latest` is the newest good one.

    Args:
        store: where the snapshots are.
        snapshot_id: the snapshot's id, or `latest`.
        quarantined: whether a quarantined snapshot may be named. `latest` never is one.

    Raises:
        SnapshotMissing: there is no such snapshot.
        SnapshotQuarantined: the snapshot is quarantined, and must not be.
        ManifestInvalid: its manifest cannot be trusted.
        Unreadable: its manifest cannot be decrypted; KeyMissing names every key that the ring lacks.
    """
    found = read_manifest(store, find_key(store, snapshot_id))
    store.encryption.require(found.keys, f"snapshot {found.snapshot_id}")
    if found.quarantined_for and not quarantined:
        others = "choose `latest`, the newest good one, or " if newest_snapshot(store, good=True) else ""
        raise SnapshotQuarantined(
            f"snapshot {found.snapshot_id} is quarantined: {first_few(found.quarantined_for, separator='; ')}",
            hint=f"{others}accept it as it is (--quarantined, or the form's switch)",
        )
    return found


def find_key(store: Store, snapshot_id: str) -> str:
    """Return the key of this snapshot's manifest; `latest` is the newest snapshot that is not quarantined.

    Raises:
        SnapshotMissing: there is no such snapshot.
        ManifestInvalid, Unreadable: `latest` was asked for, and a newer manifest does not say whether it is good.
    """
    keys = manifest_keys(store)
    if not keys and not is_snapshot_id(snapshot_id):  # a whole id is looked up without a listing
        refuse_lost_listing(store)
    if snapshot_id == "latest" and not keys:
        raise SnapshotMissing(
            f"there is no snapshot under s3://{store.bucket}/{store.prefix}",
            hint="take one (mindguard snapshot take), or correct snapshot.bucket and snapshot.prefix",
        )
    if snapshot_id == "latest":
        good = next((key for key in reversed(keys) if not read_manifest(store, key).quarantined_for), None)
        if good:
            return good
        raise SnapshotMissing(
            f"every one of the {len(keys)} snapshots under s3://{store.bucket}/{store.prefix} is quarantined",
            hint="`mindguard snapshot show` says why; name one by its id if its rows are meant nevertheless",
        )
    matching = [key for key in keys if key.endswith(f"/{snapshot_id}.json")]
    if not matching and is_snapshot_id(snapshot_id):
        matching = _looked_up(store, snapshot_id)
    if not matching:
        raise SnapshotMissing(
            f"there is no snapshot {snapshot_id} under s3://{store.bucket}/{store.prefix}",
            hint="`mindguard snapshot list` shows all",
        )
    return matching[0]


def refuse_lost_listing(store: Store) -> None:
    """Refuse to say that there are no snapshots while parts remain: a store that leaves out one may leave out all.

    Raises:
        StoreError: there are parts.
    """
    if key := store.first_key("parts/"):
        raise StoreError(
            f"the store lists no snapshot under s3://{store.bucket}/{store.prefix}, but parts such as {key}",
            hint="its answer is doubtful, unless the first snapshot was interrupted: ask again, or look in the store",
        )


def _looked_up(store: Store, snapshot_id: str) -> list[str]:
    """Return the key of a snapshot's manifest, found without a listing, which may have left it out; or nothing."""
    return [key for key in sorted(store.layout.possible_manifest_keys(snapshot_id)) if store.head(key)]


def has_expired(store: Store, snapshot_id: str, *, before: datetime) -> bool:
    """Return whether the snapshot has gone as expired ones go: it is old, its manifest is gone, a newer one is proven.

    A manifest that is missing for any other reason is a loss. It is looked up by its key: a listing may leave it out.

    Args:
        store: where the snapshot was.
        snapshot_id: its id.
        before: only snapshots taken before this time can have expired.

    Raises:
        StoreError: the store could not be asked.
    """
    if not is_snapshot_id(snapshot_id) or time_in(snapshot_id) >= before or _looked_up(store, snapshot_id):
        return False
    manifests = snapshot_ids(store)
    return snapshot_id not in manifests and any(snapshot_id < each in manifests for each in proven(store))


def was_taken(store: Store, snapshot_id: str) -> bool:
    """Return whether the store has anything that was written for this snapshot, so that it existed at some time."""
    return is_snapshot_id(snapshot_id) and snapshot_id in map(store.layout.written_for, store.keys())


def snapshot_ids(store: Store) -> list[str]:
    """Return the ids of all snapshots, oldest first, without reading their manifests."""
    return [id_of(key) for key in manifest_keys(store)]


def id_of(manifest_key: str) -> str:
    """Return the id of the snapshot whose manifest has this key."""
    return manifest_key.rpartition("/")[2].removesuffix(".json")


def proven(store: Store) -> dict[str, Proof]:
    """Return, by snapshot id, the proof of each snapshot that a restore drill has proven."""
    return _proofs(store, _proof_keys(store))


def proof_of(store: Store, snapshot_id: str) -> Proof | None:
    """Return the proof of this snapshot, or None if no restore drill has proven it; no other proof is read."""
    keys = [key for key in _proof_keys(store) if _proves(key) == snapshot_id]
    return _proofs(store, keys).get(snapshot_id)


def _proofs(store: Store, keys: Iterable[str]) -> dict[str, Proof]:
    proofs = {_proves(key): read_proof(store, key) for key in keys}
    # A proof that was copied beside another manifest proves nothing about that one.
    return {each: proof for each, proof in proofs.items() if proof and proof.snapshot_id == each}


def _proves(proof_key: str) -> str:
    """Return the id of the snapshot beside whose manifest the proof with this key is."""
    return id_of(proof_key).removesuffix(".proof")


def newest_proven(store: Store) -> Manifest | None:
    """Return the newest snapshot that a restore drill has proven, or None; older manifests are not read.

    A snapshot whose manifest was damaged after its drill does not count.

    Raises:
        Unreadable: its manifest cannot be decrypted here.
    """
    for key in sorted(_proof_keys(store), key=id_of, reverse=True):
        with suppress(ManifestInvalid, ObjectMissing):  # It is damaged, or has just expired.
            proof = read_proof(store, key)
            if proof and proof.snapshot_id == _proves(key):
                return read_manifest(store, f"{key.removesuffix(_PROOF)}.json")
    return None


def _proof_keys(store: Store) -> list[str]:
    return [key for key in store.keys("snapshots/") if key.endswith(_PROOF)]


def find_unlisted(
    store: Store, listed: Iterable[Listed], manifests: Collection[str], *, refuse: Callable[[str], MindGuardError]
) -> set[str]:
    """Look up, without a listing, the manifests of all snapshots that any stored object was written for.

    Args:
        store: where the snapshots are.
        listed: objects whose keys tell which snapshot they were written for.
        manifests: keys of all manifests that are known.
        refuse: makes the error from what is wrong.

    Returns:
        The keys of manifests that were published in the meantime.

    Raises:
        MindGuardError: what `refuse` makes, if a manifest exists that the listings leave out.
        StoreError: the store could not be asked.
    """
    known = {id_of(key) for key in manifests}
    ids = {store.layout.written_for(each.key) for each in listed if not each.marker} - known
    asked = [key for each in ids if each for key in store.layout.possible_manifest_keys(each)]
    heads = in_parallel(store, Store.head, asked, threads=_THREADS, name="look-up")
    found = {key for key, head in zip(asked, heads, strict=True) if head}
    if found and (hidden := found.difference(store.manifest_keys())):
        raise refuse(f"the store has {min(hidden)}, but its listings leave it out")
    return found


def newest_snapshot(
    store: Store,
    *,
    good: bool = False,
    progress: Callable[[str], None] = lambda line: None,
    unreadable: Callable[[MindGuardError], object] = lambda error: None,
) -> Manifest | None:
    """Return the newest snapshot whose manifest can be read, or None.

    A manifest that is damaged, or whose key was destroyed, must not prevent the next snapshot: it is reported
    and skipped.

    Args:
        store: where the snapshots are.
        good: skip quarantined snapshots as well.
        progress: called with one line for each manifest that cannot be read.
        unreadable: called with the error of each such manifest.
    """
    for key in reversed(manifest_keys(store)):
        try:
            found = read_manifest(store, key)
        except (ManifestInvalid, ObjectMissing, Unreadable) as error:
            progress(f"skipped: {error}")
            unreadable(error)
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
        return _read_once(store, key)
    except KeyMissing:
        raise
    except (ManifestInvalid, Unreadable):
        return _read_once(store, key)


def _read_once(store: Store, key: str) -> Manifest:
    found = Manifest.from_bytes(store.read_sealed(key), origin=key, prefix=store.prefix)
    if found.snapshot_id != id_of(key):
        # It may be sound in itself. Whoever took it for this snapshot would restore other rows than were asked for,
        # and expiry would remove the parts that only this snapshot names.
        raise ManifestInvalid(
            f"manifest {key} is that of snapshot {found.snapshot_id}",
            hint="it was copied there, or the store mixes up objects",
        )
    return found
