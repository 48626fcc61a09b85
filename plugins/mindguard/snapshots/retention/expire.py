"""Expiry: carry out what `retention.plan_expiry` decides, then remove the objects that no snapshot names any more.

A manifest goes first, its objects after it: an interruption leaves objects without a snapshot, which the next run
finds again by listing, never a snapshot without objects. docs/adr/0010 says why a snapshot that is being taken at
the same time loses nothing.
"""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mindguard.errors import MindGuardError
from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.progress import Progress
from mindguard.snapshots.retention.holds import held_for, versions_of
from mindguard.snapshots.retention.rules import Decision, Kept, plan_expiry
from mindguard.snapshots.storage.catalog import id_of, proven, read_manifest
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import Kind, Layout
from mindguard.snapshots.storage.manifest import ManifestInvalid
from mindguard.snapshots.storage.s3_errors import ObjectMissing, StoreError
from mindguard.snapshots.storage.store import Listed, Store

_THREADS = 8
_COLLECTED: set[Kind | None] = {"part", "schema", "proof", "hold", "probe"}
_TAKEN_AT = re.compile(r"/(\d{8}T\d{6}Z)-[0-9a-f]+\.json$")


class ExpiryIncomplete(MindGuardError):
    """Something that should be gone is still there; the next run tries again."""


@dataclass
class Expired:
    """What one run decided and did.

    Args:
        decisions: on every snapshot, oldest first.
        applied: whether anything was done at all.
        snapshots: ids of those that are gone.
        objects: parts, schema dumps and other objects of ours that were deleted.
        bytes: of those objects.
        uploads: unfinished multipart uploads that were aborted.
        locked: objects that object lock protects still, each with its end; a later run removes them.
        foreign: objects under the prefix that are not of this package; they are left alone.
        faults: what could not be done, one line each.
    """

    decisions: list[Decision]
    applied: bool = False
    snapshots: list[str] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    uploads: int = 0
    locked: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise ExpiryIncomplete, naming the first faults, unless all that was decided was done."""
        if self.faults:
            more = f" (and {len(self.faults) - 3} more)" if len(self.faults) > 3 else ""
            raise ExpiryIncomplete(
                f"expiry is not complete: {'; '.join(self.faults[:3])}{more}",
                hint="the next run tries again; nothing that a snapshot needs is gone",
            )

    def summary(self) -> dict[str, Any]:
        """For XCom, the command line and reports."""
        return {
            "applied": self.applied,
            "decisions": [
                {"snapshot_id": each.snapshot.snapshot_id, "action": each.action, "reason": each.reason}
                for each in self.decisions
            ],
            "snapshots": self.snapshots,
            "objects": self.objects,
            "bytes": self.bytes,
            "uploads": self.uploads,
            "locked": self.locked,
            "foreign": self.foreign,
            "faults": self.faults,
        }


def expire_snapshots(
    store: Store,
    retention: RetentionSettings,
    *,
    now: datetime,
    apply: bool,
    progress: Progress = lambda line: None,
) -> Expired:
    """Decide on every snapshot; with `apply` remove what expires, and all objects that no snapshot needs.

    Args:
        store: where the snapshots are.
        retention: the rules, and the grace period of objects that no manifest names.
        now: aware; this machine's clock, compared with the store's.
        apply: False only plans.
        progress: told one line a step.

    Returns:
        What was decided and done; its `check` raises when something is left to do.

    Raises:
        ExpiryRefused: time cannot be trusted; nothing was removed.
        StoreError: the store could not be read; nothing more was removed.
    """
    decisions = plan_expiry(kept_snapshots(store), now=now, store_now=store.clock(), retention=retention)
    expired = Expired(decisions, applied=apply)
    for each in decisions:
        progress(f"{each.action} {each.snapshot.snapshot_id}: {each.reason}")
        if apply and each.action == "expire":
            _remove_snapshot(store, each.snapshot, expired)
    if apply:
        _collect_garbage(store, timedelta(hours=retention.grace_hours), expired)
        deleted = f"deleted {expired.objects} objects ({expired.bytes / 1e6:,.1f} MB)"
        progress(f"expired {len(expired.snapshots)} snapshots, {deleted}")
        for line in (*expired.locked, *(f"{key} is not of this package; it is left alone" for key in expired.foreign)):
            progress(line)
    return expired


def kept_snapshots(store: Store) -> list[Kept]:
    """Every snapshot with its proof and hold.

    One whose manifest cannot be read counts as quarantined, and its id tells its time: it expires like any other.

    Raises:
        StoreError: the store could not be read.
    """
    keys, proofs = set(store.keys("snapshots/")), proven(store)
    with ThreadPoolExecutor(_THREADS, "expire") as pool:
        found = list(pool.map(lambda key: _kept(store, key, keys), store.manifest_keys()))
    return [replace(each, proven=each.snapshot_id in proofs) for each in found if each]


def _kept(store: Store, key: str, keys: set[str]) -> Kept | None:
    try:
        manifest = read_manifest(store, key)
    except ObjectMissing:  # another run has expired it just now
        return None
    except (ManifestInvalid, Unreadable):
        if not (taken_at := _time_in(key)):
            return None  # the garbage collection says that it cannot be read
        quarantined = True
    else:
        taken_at = manifest.taken_at
        quarantined = bool(manifest.quarantined_for)
    return Kept(id_of(key), key, taken_at, quarantined=quarantined, held=held_for(store, key, keys))


def _time_in(manifest_key: str) -> datetime | None:
    found = _TAKEN_AT.search(manifest_key)
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _remove_snapshot(store: Store, snapshot: Kept, expired: Expired) -> None:
    """Remove the manifest; what belongs to it is garbage from then on."""
    held = Layout.beside(snapshot.key, "hold")
    try:
        copy = io.BytesIO()
        content = store.digest(snapshot.key, copy)
        if store.head(held):
            return
        if not all(_remove(store, each, expired) for each in versions_of(store, snapshot.key)):
            return
        if store.head(held):
            # The hold came between the look and the deed. No object of the snapshot is gone yet.
            store.create(snapshot.key, copy.getvalue(), content)
            return
    except ObjectMissing:
        pass  # another run was faster
    except StoreError as error:
        expired.faults.append(str(error))
        return
    expired.snapshots.append(snapshot.snapshot_id)


def _remove(store: Store, listed: Listed, expired: Expired) -> bool:
    """Delete one object or say why it stays; whether it is gone."""
    try:
        store.remove(listed)
    except StoreError as error:
        # Stores refuse with the same code what is locked and what the key has no right to.
        if until := store.locked_until(listed):
            expired.locked.append(f"{listed.key} is locked until {until:%Y-%m-%d %H:%M %Z}")
        else:
            expired.faults.append(str(error))
        return False
    return True


def _collect_garbage(store: Store, grace: timedelta, expired: Expired) -> None:
    """Remove what no manifest names and what is older than the grace period by the store's own clock.

    The order is what makes it safe: list the objects first, read the manifests after. See docs/adr/0010.
    """
    before = store.clock() - grace
    listed = store.listing(versions=True)
    expired.foreign = sorted({each.key for each in listed if store.layout.kind(each.key) is None})
    _abort_uploads(store, before, expired)
    try:
        needed = _needed(store)
    except (ManifestInvalid, Unreadable) as error:
        expired.faults.append(f"no part is removed, since a manifest does not say which it needs: {error}")
        return
    garbage = [
        each
        for each in listed
        if each.written_at < before and store.layout.kind(each.key) in _COLLECTED and each.key not in needed
    ]
    with ThreadPoolExecutor(_THREADS, "expire") as pool:
        gone = list(pool.map(lambda each: _remove(store, each, expired), garbage))
    for each, is_gone in zip(garbage, gone, strict=True):
        expired.objects += is_gone
        expired.bytes += each.bytes * is_gone


def _needed(store: Store) -> set[str]:
    """Keys of everything that belongs to a snapshot, its proof and hold included."""

    def names(key: str) -> set[str]:
        try:
            return {each.key for each in read_manifest(store, key).objects}
        except ObjectMissing:  # another run has expired it just now
            return set()

    keys = store.manifest_keys()
    with ThreadPoolExecutor(_THREADS, "expire") as pool:
        beside = {Layout.beside(key, "proof") for key in keys} | {Layout.beside(key, "hold") for key in keys}
        return beside.union(*pool.map(names, keys))


def _abort_uploads(store: Store, before: datetime, expired: Expired) -> None:
    for upload in store.uploads():
        if store.layout.kind(upload.key) is None:
            expired.foreign.append(f"upload {upload.key}")
        elif upload.begun_at < before:
            try:
                store.abort(upload)
            except StoreError as error:
                expired.faults.append(str(error))
            else:
                expired.uploads += 1
