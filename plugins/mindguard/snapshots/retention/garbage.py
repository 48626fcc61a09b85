"""Garbage: the stored objects that no snapshot needs. A listing that leaves something out must not make any.

docs/adr/0026 explains the checks: what else names a manifest, how much may be garbage, and that only what was planned
is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mindguard.snapshots.retention.rules import ExpiryRefused
from mindguard.snapshots.storage.catalog import id_of, read_manifest
from mindguard.snapshots.storage.checks import superseded
from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import BESIDE, MANIFEST, Kind, Layout
from mindguard.snapshots.storage.manifest import ManifestInvalid
from mindguard.snapshots.storage.s3_errors import ObjectMissing
from mindguard.snapshots.storage.store import Listed, Store, in_parallel
from mindguard.units import counted, size

THREADS = 8
MOST_ORPHANS = 0.5
"""The largest size of orphans, as a share of what the kept snapshots need, that is removed without being asked for."""

_COLLECTED: set[Kind | None] = {"part", "schema", *BESIDE, "probe", "damaged", "verified", "drill"}
_ROWS: set[Kind | None] = {"part", "schema"}


@dataclass(frozen=True)
class Garbage:
    """The objects that a run may remove besides manifests.

    Attributes:
        objects: everything that no kept snapshot needs and that is older than the grace period.
        orphans: those of them that do not belong to a snapshot which this run removes either.
    """

    objects: Sequence[Listed] = ()
    orphans: Sequence[Listed] = ()

    @property
    def bytes(self) -> int:
        """Size of the objects."""
        return sum(each.bytes for each in self.objects)

    def __str__(self) -> str:
        if not self.objects:
            return "there are no other objects to remove"
        line = f"no snapshot needs {_counted(self.objects)}"
        if self.orphans:
            line += f"; left by runs that failed, or removals that did: {_counted(self.orphans)}"
        return line


def _counted(objects: Sequence[Listed]) -> str:
    return f"{counted(len(objects), 'object')} ({size(sum(each.bytes for each in objects))})"


@dataclass
class Needs:
    """The keys that manifests name. Each manifest is read once, because manifests never change."""

    store: Store
    _named: dict[str, frozenset[str]] = field(default_factory=dict)

    def of(self, manifests: Iterable[str]) -> set[str]:
        """Return the keys of everything that belongs to these snapshots, including what is beside their manifests.

        Raises:
            ObjectMissing: a manifest was listed, and is gone.
            ManifestInvalid, Unreadable: a manifest does not say what it needs.
        """
        keys = list(manifests)
        unread = [key for key in keys if key not in self._named]
        read = in_parallel(self.store, _named_by, unread, threads=THREADS, name="expire")
        self._named.update(zip(unread, read, strict=True))
        return set[str]().union(*(self._named[key] for key in keys))

    def of_readable(self, manifests: Iterable[str]) -> set[str]:
        """Return the keys of everything that belongs to those of these snapshots whose manifests can be read."""
        needed: set[str] = set()
        for key in manifests:
            try:
                needed |= self.of([key])
            except (ManifestInvalid, ObjectMissing, Unreadable):
                continue
        return needed


def _named_by(store: Store, manifest: str) -> frozenset[str]:
    named = {each.key for each in read_manifest(store, manifest).objects}
    return frozenset({*(Layout.beside(manifest, kind) for kind in BESIDE), *named})


def listed_manifests(listed: Iterable[Listed]) -> set[str]:
    """Return the keys of the manifests in a listing, without those that a delete has hidden."""
    newest: dict[str, Listed] = {}
    for each in sorted(listed, key=lambda each: (each.written_at, not each.marker)):
        newest[each.key] = each
    return {key for key, each in newest.items() if MANIFEST.search(key) and not each.marker}


def hidden_manifest(wrong: str) -> ExpiryRefused:
    """Return the refusal for a manifest that the listings leave out."""
    return ExpiryRefused(
        wrong, hint="the store has a fault, and may leave out more: snapshots must not expire until it is repaired"
    )


def plan_garbage(
    needs: Needs,
    listed: Sequence[Listed],
    *,
    kept: Collection[str],
    removed: Collection[str],
    before: datetime,
    any_orphans: bool,
) -> Garbage:
    """Return what becomes garbage when the snapshots that expire are removed.

    Args:
        needs: says what manifests need.
        listed: every stored object, from a listing that is older than the reading of the manifests.
        kept: keys of the manifests that stay.
        removed: keys of the manifests that are to be removed.
        before: only older objects are garbage, because a run that is going on may have written the others.
        any_orphans: accept orphans of any size.

    Raises:
        ExpiryRefused: the orphans are so large that the listings may well leave out snapshots.
        ManifestInvalid, ObjectMissing, Unreadable: a kept manifest does not say what it needs.
    """
    layout = needs.store.layout
    needed = needs.of(kept)
    explained = needs.of_readable(removed)
    present = {each.key for each in listed if layout.kind(each.key) in _ROWS}
    spared = needed.union(*(layout.damage_keys(key) for key in present))
    spared |= _records_of(needs.store, listed, kept)
    garbage = [
        each
        for each in listed
        if each.written_at < before and layout.kind(each.key) in _COLLECTED and each.key not in spared
    ]
    # Records are made to be replaced, and go after their snapshot.
    explained |= {each.key for each in garbage if layout.kind(each.key) in ("verified", "drill")}
    orphans = [each for each in garbage if each.key not in explained]
    orphaned = sum(each.bytes for each in orphans if layout.kind(each.key) in _ROWS)
    used = sum(each.bytes for each in listed if each.key in needed)
    if orphaned > MOST_ORPHANS * used and not any_orphans:
        raise ExpiryRefused(
            f"{size(orphaned)} of stored parts belong to no snapshot, while the kept snapshots need only "
            f"{size(used)}: the store's listings may leave out snapshots",
            hint="if `mindguard snapshot list` shows every snapshot that should be there, these parts are left from "
            "runs that failed: remove them once by `mindguard snapshot expire --apply --orphans`",
        )
    return Garbage(garbage, orphans)


def _records_of(store: Store, listed: Sequence[Listed], kept: Collection[str]) -> set[str]:
    """Return the keys of the records of drills and of the newest one of a verification, of each kept snapshot."""
    ids, layout = {id_of(key) for key in kept}, store.layout
    current = {each.key for each in listed if layout.kind(each.key) in ("verified", "drill")}
    return {key for key in current - superseded(store, listed) if layout.written_for(key) in ids}
