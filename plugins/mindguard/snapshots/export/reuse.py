"""Which stored objects a new snapshot may build on, so that expiry cannot remove them under it (docs/adr/0010)."""

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
    """What the snapshot was built on may be gone; it must not be trusted."""


class Reuse:
    """The objects that a run may reuse, and the names of those that it writes.

    A key is written once in its life: it ends in the run's own random suffix. So a delete that comes late never hits
    a new object, and the same content is found by the beginning of its key.

    Reused is what the newest snapshots name, which expiry keeps while they exist, and what is so young that its
    grace period outlasts this run. Anything else may be removed at any moment and is written anew.

    Args:
        store: where objects are; its clock alone is asked.
        settings: grace period and longest duration of a run.
        bases: snapshots whose objects are reused, newest first; None is passed over.
        run: random hexadecimal digits, this run's alone.
    """

    def __init__(self, store: Store, settings: SnapshotSettings, bases: Iterable[Manifest | None], run: str) -> None:
        self._store = store
        self._run = run
        self._damaged = set(store.keys("damaged/"))
        # One listing for all: asked part by part, each answer would cost a round trip, and the lists of a bucket money.
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
        """What a base says of the object under exactly this key; it was read back when that base was taken."""
        found = self._named.get(_stem(key))
        return found if found and found.key == key else None

    def find(self, key: str) -> StoredObject | None:
        """The object with the content of this key, if it is stored and safe to reuse, whatever run wrote it.

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

    def _is_sound(self, key: str) -> bool:
        """Whether verify has not complained of it: a damaged object is written anew, so that the next one heals it."""
        return self._store.layout.damage_key(key) not in self._damaged

    def find_any(self, keys: Iterable[str]) -> StoredObject | None:
        """Return the first object that `find` has for one of these keys, or None.

        Raises:
            StoreError: the store could not be asked.
        """
        return next((found for key in keys if (found := self.find(key))), None)

    def own(self, key: str) -> str:
        """The key under which this run writes the content of `key`."""
        stem, _, ending = key.rpartition(".")
        return f"{stem}-{self._run}.{ending}"

    def check_before_publishing(self) -> None:
        """Check that what was found young is young still.

        Raises:
            ReuseUnsafe: the run took longer than it may; nothing is published yet.
        """
        if time.monotonic() > self._ends:
            raise ReuseUnsafe(
                "the snapshot was not complete within max_age_minutes; nothing was published", hint="run again"
            )

    def check_after_publishing(self) -> None:
        """Check that the bases exist still: then an expiry that removes one later sees the new manifest first.

        Raises:
            ReuseUnsafe: one was expired meanwhile, so parts of the new snapshot may be gone.
        """
        keys = self._store.manifest_keys()
        for base in self._bases:
            if not any(key.endswith(f"/{base.snapshot_id}.json") for key in keys):
                raise ReuseUnsafe(
                    f"snapshot {base.snapshot_id} expired while a new one was built on it; the new one is not trusted",
                    hint="run again",
                )


def _stem(key: str) -> str:
    """The key up to its content id, which two objects share exactly when they say the same."""
    found = _KEY.fullmatch(key)
    return found["stem"] if found else key
