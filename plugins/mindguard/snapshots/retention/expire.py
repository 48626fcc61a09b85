"""Expiry: carry out what `rules.plan_expiry` decides, then remove the objects that no snapshot names any more.

Everything is planned first, and nothing is removed beyond the plan. A manifest is removed before its objects. An
interruption can therefore leave objects without a snapshot, which the next run finds by listing, but never a snapshot
without its objects. docs/adr/0010 explains why a snapshot that is being taken at the same time loses nothing, and
docs/adr/0026 what a listing that leaves something out cannot do.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mindguard.errors import MindGuardError, first_few
from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots.progress import Progress
from mindguard.snapshots.retention.garbage import (
    THREADS,
    Garbage,
    Needs,
    hidden_manifest,
    listed_manifests,
    plan_garbage,
)
from mindguard.snapshots.retention.holds import held_for, versions_of
from mindguard.snapshots.retention.rules import Decision, Kept, plan_expiry
from mindguard.snapshots.storage.catalog import find_unlisted, id_of, proven, read_manifest
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.manifest import ManifestInvalid
from mindguard.snapshots.storage.s3_errors import ObjectMissing, StoreError
from mindguard.snapshots.storage.store import Listed, Store, in_parallel
from mindguard.units import counted, size

_TAKEN_AT = re.compile(r"/(\d{8}T\d{6}Z)-[0-9a-f]+\.json$")


class ExpiryIncomplete(MindGuardError):
    """Something that should have been removed is still there; the next run tries again."""


@dataclass
class Expired:
    """The decisions of one run of expiry, and what it removed.

    Attributes:
        decisions: one for every snapshot, oldest first.
        applied: whether the decisions were carried out; otherwise they were only made.
        snapshots: ids of the removed snapshots.
        objects: number of deleted parts, schema dumps and other objects of this package, manifests excluded.
        bytes: size of those objects.
        uploads: number of unfinished multipart uploads that were aborted.
        planned: the objects that no snapshot needs once the decisions are carried out; nothing else is deleted.
        locked: one line for each object that object lock still protects, with the lock's end; a later run removes
            them.
        foreign: keys under the prefix that do not belong to this package; they are left alone.
        faults: one line for each step that failed.
    """

    decisions: list[Decision]
    applied: bool = False
    snapshots: list[str] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    uploads: int = 0
    planned: Garbage = field(default_factory=Garbage)
    locked: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise ExpiryIncomplete, naming the first faults, unless everything that was decided was done."""
        if self.faults:
            raise ExpiryIncomplete(
                f"expiry is not complete: {first_few(self.faults, most=3, separator='; ')}",
                hint="the next run tries again; nothing that a snapshot needs is gone",
            )

    def summary(self) -> dict[str, Any]:
        """Return plain values for XCom, the command line and reports."""
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
            "planned": {
                "objects": len(self.planned.objects),
                "bytes": self.planned.bytes,
                "orphans": len(self.planned.orphans),
            },
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
    any_orphans: bool = False,
    days_per_proof: int = 1,
    progress: Progress = lambda line: None,
) -> Expired:
    """Decide which snapshots expire; with `apply`, remove them and all objects that no snapshot needs.

    Args:
        store: where the snapshots are.
        retention: the rules, and the grace period of objects that no manifest names.
        now: the present time by this machine's clock, aware; it is compared with the store's clock.
        apply: whether to carry the decisions out, or only to make them.
        any_orphans: remove parts that belong to no snapshot even if they are so many that snapshots may be missing.
        days_per_proof: days that drills take to prove one snapshot: `DrillSettings.days_per_proof`.
        progress: called with one line for each step.

    Returns:
        The decisions, and the result; its `check` raises if something could not be done.

    Raises:
        ExpiryRefused: the clocks, the snapshots' times or the store's listings are doubtful; nothing was removed.
        StoreError: the store could not be read; nothing more was removed.
    """
    store_now = store.clock()
    listed = store.listing(versions=True)
    snapshots = kept_snapshots(store)
    manifests = {each.key for each in snapshots} | listed_manifests(listed) | {*store.manifest_keys()}
    manifests |= find_unlisted(store, listed, manifests, refuse=hidden_manifest)
    decisions = plan_expiry(snapshots, now=now, store_now=store_now, retention=retention, days_per_proof=days_per_proof)
    expired = Expired(decisions, applied=apply)
    expired.foreign = sorted({each.key for each in listed if store.layout.kind(each.key) is None})
    before = store_now - timedelta(hours=retention.grace_hours)
    needs = Needs(store)
    going = {each.snapshot.key for each in decisions if each.action == "expire"}
    try:
        expired.planned = plan_garbage(
            needs, listed, kept=manifests - going, removed=going, before=before, any_orphans=any_orphans
        )
    except (ManifestInvalid, ObjectMissing, Unreadable) as error:
        expired.faults.append(f"no part is removed, because a manifest cannot be read: {error}")
    for each in decisions:
        progress(f"{each.action} {each.snapshot.snapshot_id}: {each.reason}")
    progress(str(expired.planned))
    if apply:
        for each in decisions:
            if each.action == "expire":
                _remove_snapshot(store, each.snapshot, expired)
        _abort_uploads(store, before, expired)
        _remove_garbage(needs, manifests, expired)
        deleted = f"deleted {counted(expired.objects, 'object')} ({size(expired.bytes)})"
        progress(f"expired {counted(len(expired.snapshots), 'snapshot')}, {deleted}")
        for line in (
            *expired.locked,
            *(f"{key} does not belong to this package; it is left alone" for key in expired.foreign),
        ):
            progress(line)
    return expired


def kept_snapshots(store: Store) -> list[Kept]:
    """Return every snapshot with what retention needs to know about it.

    A snapshot whose manifest cannot be read counts as quarantined, and its time is taken from its id, so it expires
    like any other.

    Raises:
        StoreError: the store could not be read.
    """
    keys, proofs = set(store.keys("snapshots/")), proven(store)
    found = in_parallel(
        store, lambda store, key: _kept(store, key, keys), store.manifest_keys(), threads=THREADS, name="expire"
    )
    return [replace(each, proven=each.snapshot_id in proofs) for each in found if each]


def _kept(store: Store, key: str, keys: set[str]) -> Kept | None:
    try:
        manifest = read_manifest(store, key)
    except ObjectMissing:  # another run has just expired it
        return None
    except (ManifestInvalid, Unreadable):
        if not (taken_at := _time_in(key)):
            return None  # the plan of the garbage reports that it cannot be read
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
    """Remove the manifest; from then on the snapshot's own objects are garbage."""
    held = Layout.beside(snapshot.key, "hold")
    try:
        copy = io.BytesIO()
        store.digest(snapshot.key, copy)
        if store.head(held):
            return
        if not all(_remove(store, each, expired) for each in versions_of(store, snapshot.key)):
            return
        if store.head(held):
            # The hold was made between the check and the removal. No object of the snapshot is gone yet.
            store.create_small(snapshot.key, copy.getvalue())
            return
    except ObjectMissing:  # another run has removed it, or so it seems
        if versions_of(store, snapshot.key):
            expired.faults.append(f"{snapshot.key} is listed and cannot be read, so it is not removed")
            return
    except StoreError as error:
        expired.faults.append(str(error))
        return
    expired.snapshots.append(snapshot.snapshot_id)


def _remove(store: Store, listed: Listed, expired: Expired) -> bool:
    """Delete one object, or record why it stays; return whether it is gone."""
    try:
        store.remove(listed)
    except StoreError as error:
        # Stores use one error code for locked objects and for missing rights.
        if until := store.locked_until(listed):
            expired.locked.append(f"{listed.key} is locked until {until:%Y-%m-%d %H:%M %Z}")
        else:
            expired.faults.append(str(error))
        return False
    return True


def _remove_garbage(needs: Needs, manifests: set[str], expired: Expired) -> None:
    """Remove what was planned, except for what a manifest needs that has been published meanwhile, or is still there.

    The order makes it safe: the objects were listed first, and the manifests are read after some were removed. See
    docs/adr/0010.
    """
    if not expired.planned.objects:
        return
    store = needs.store
    present = set(store.manifest_keys())
    removed = {each.snapshot.key for each in expired.decisions if each.snapshot.snapshot_id in expired.snapshots}
    gone = removed - present
    if lost := manifests - gone - present:
        expired.faults.append(
            f"no part is removed, because {min(lost)} was listed and no longer is, and this run did not remove it"
        )
        return
    try:
        needed = needs.of((manifests | present) - gone)
    except (ManifestInvalid, ObjectMissing, Unreadable) as error:
        expired.faults.append(f"no part is removed, because a manifest cannot be read: {error}")
        return
    garbage = [each for each in expired.planned.objects if each.key not in needed]
    results = in_parallel(
        store, lambda store, each: _remove(store, each, expired), garbage, threads=THREADS, name="expire"
    )
    done = [each for each, is_gone in zip(garbage, results, strict=True) if is_gone]
    expired.objects += len(done)
    expired.bytes += sum(each.bytes for each in done)


def _abort_uploads(store: Store, before: datetime, expired: Expired) -> None:
    try:
        uploads = store.uploads()
    except StoreError as error:  # some stores do not have this listing, or allow it to nobody
        expired.faults.append(str(error))
        return
    for upload in uploads:
        if store.layout.kind(upload.key) is None:
            expired.foreign.append(f"upload {upload.key}")
        elif upload.begun_at < before:
            try:
                store.abort(upload)
            except StoreError as error:
                expired.faults.append(str(error))
            else:
                expired.uploads += 1
