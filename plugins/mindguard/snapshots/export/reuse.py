"""Finds stored objects that a new snapshot may reuse because expiry cannot remove them meanwhile (docs/adr/0010)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import timedelta

from mindguard.errors import MindGuardError
from mindguard.settings.snapshot import RUN_MARGIN_MINUTES, SnapshotSettings
from mindguard.snapshots.storage.manifest import Manifest, StoredObject
from mindguard.snapshots.storage.store import Listed, Store

_KEY = re.compile(r"(?P<stem>.+/[0-9a-f]+)(-(?P<run>[0-9a-f]+))?(?P<ending>\.[a-z]+)")


class ReuseUnsafe(MindGuardError):
    """Objects that the snapshot reused may be gone, so the snapshot must not be trusted."""


class Reuse:
    """The objects that a run may reuse, and the keys of the objects that it writes.

    A key is written only once, because it ends in a random suffix of the run. A delete that arrives late therefore
    never hits a new object; equal content is found by the part of the key before the suffix.

    A run reuses objects that the newest snapshots name, which expiry keeps while those snapshots exist, and objects
    so young that their grace period outlasts the run. Any other object may be removed at any moment, so the run
    writes its own.

    Args:
        store: where the objects are; their age is measured by the store's clock alone.
        settings: grace period and longest duration of a run.
        bases: snapshots whose objects are reused, newest first; None is ignored.
        run: random hexadecimal digits that no other run has.
    """

    def __init__(self, store: Store, settings: SnapshotSettings, bases: Iterable[Manifest | None], run: str) -> None:
        self._store = store
        self._run = run
        self._damaged = set(store.keys("damaged/"))
        # One listing for all parts: a request for each part would cost a round trip, and requests cost money.
        self._stored: dict[str, dict[str, Listed]] = {}
        for listed in (*store.listing("parts/"), *store.listing("schema/")):
            self._stored.setdefault(_stem(listed.key), {})[listed.key] = listed
        self._bases = [base for base in bases if base]
        self._named: dict[str, StoredObject] = {}
        for base in reversed(self._bases):
            self._named.update({_stem(each.key): each for each in base.objects})
        longest = timedelta(minutes=settings.max_age_minutes + RUN_MARGIN_MINUTES)
        self._young_since = store.clock() + longest - timedelta(hours=settings.retention.grace_hours)
        self._ends = time.monotonic() + settings.max_age_minutes * 60

    def named(self, key: str) -> StoredObject | None:
        """Return a base's record of exactly this key, or None; the object was read back when that base was taken."""
        found = self._named.get(_stem(key))
        return found if found and found.key == key else None

    def find(self, key: str) -> StoredObject | None:
        """Return the object with the content of this key, whichever run wrote it, if it is stored and safe to reuse.

        Raises:
            StoreError: the store could not be asked.
        """
        stored = self._stored.get(_stem(key), {})
        base = self._named.get(_stem(key))
        if base and base.key in stored and stored[base.key].bytes == base.bytes and self._is_sound(base.key):
            return StoredObject(key=base.key, sha256=base.sha256, bytes=base.bytes)
        for listed in stored.values():
            if listed.written_at > self._young_since and self._is_sound(listed.key):
                found = self._store.head(listed.key)
                if found and found.sha256:
                    return StoredObject(key=found.key, sha256=found.sha256, bytes=found.bytes)
        return None

    def has_young(self, folders: set[str]) -> bool:
        """Return whether one of these folders has an object that a run has left which was not completed."""
        return any(
            listed.written_at > self._young_since and stem not in self._named and stem.rpartition("/")[0] in folders
            for stem, stored in self._stored.items()
            for listed in stored.values()
        )

    def _is_sound(self, key: str) -> bool:
        """Return whether no damage is noted; a damaged object is not reused, so the next snapshot stores a good one."""
        return self._damaged.isdisjoint(self._store.layout.damage_keys(key))

    def find_any(self, keys: Iterable[str]) -> StoredObject | None:
        """Return the first object that `find` has for one of these keys, or None.

        Raises:
            StoreError: the store could not be asked.
        """
        return next((found for key in keys if (found := self.find(key))), None)

    def own(self, key: str) -> str:
        """Return the key under which this run writes the content of `key`."""
        stem, _, ending = key.rpartition(".")
        return f"{stem}-{self._run}.{ending}"

    def check_before_publishing(self) -> None:
        """Check that the objects reused for their young age are still safe.

        Raises:
            ReuseUnsafe: the run took longer than allowed; nothing is published yet.
        """
        if time.monotonic() > self._ends:
            raise ReuseUnsafe(
                "the snapshot was not complete within max_age_minutes; nothing was published",
                hint="run again, which reuses what is stored by now, or raise snapshot.max_age_minutes",
            )

    def check_after_publishing(self) -> None:
        """Check that the bases still exist: an expiry that removes one of them later sees the new manifest.

        Raises:
            ReuseUnsafe: a base expired meanwhile, so parts of the new snapshot may be gone.
        """
        keys = self._store.manifest_keys()
        for base in self._bases:
            if not any(key.endswith(f"/{base.snapshot_id}.json") for key in keys):
                raise ReuseUnsafe(
                    f"snapshot {base.snapshot_id} expired while a new one was built on it; the new one is not trusted",
                    hint="run again",
                )


def _stem(key: str) -> str:
    """Return the key up to its content id, which two objects share exactly when their contents mean the same."""
    found = _KEY.fullmatch(key)
    return found["stem"] if found else key
