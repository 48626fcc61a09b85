"""The records of verifications: when each stored object was last read to its end and found sound.

They are kept beside the manifests, which never change. A record names only what was read. Anything that no record
names, or that the store no longer lists as it was then, counts as never read. docs/adr/0037 explains the rules.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import below_prefix
from mindguard.snapshots.storage.manifest import Manifest, StoredObject
from mindguard.snapshots.storage.s3_errors import ObjectMissing
from mindguard.snapshots.storage.store import Listed, Store, in_parallel

_DIGITS = 16
_THREADS = 8
_NEWEST = 8  # records that a verification consults; one is enough unless it cannot be read
_LARGEST = 64 * 1024 * 1024


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadTogether(_Record):
    """Objects that were read at the same time."""

    read_at: AwareDatetime = Field(description="when the reading began, UTC")
    objects: tuple[str, ...] = Field(description="their identities: see `identity`")


class CheckRecord(_Record):
    """What is known, after a verification, about the objects of one snapshot."""

    format: Literal[1] = 1
    snapshot_id: str
    place: str = Field(description="bucket and prefix; copies of the objects elsewhere have not been read")
    read: tuple[ReadTogether, ...]


def identity(stored: StoredObject) -> str:
    """Return hexadecimal digits for an object: its name below the prefix, and the content that it must have."""
    name = below_prefix(stored.key) or stored.key
    return hashlib.sha256(f"{name}\0{stored.sha256}".encode()).hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class CheckState:
    """How well the stored objects of one snapshot are known.

    Attributes:
        oldest: when the object was read that has not been read for the longest time; None: no object was.
        unread: number of objects without a record that they were read as the store has them now.
        altered: number of those that the store does not list, or lists with another size.
        damaged: number of those that a verification found damaged.
    """

    oldest: datetime | None
    unread: int
    altered: int
    damaged: int

    def summary(self) -> dict[str, Any]:
        """Return plain values for the command line."""
        return {
            "oldest_check": self.oldest and self.oldest.isoformat(),
            "unread_objects": self.unread,
            "altered_objects": self.altered,
            "damaged_objects": self.damaged,
        }

    def in_words(self, now: datetime) -> str:
        """Return the state in a few words, the worst first; `now` is aware."""
        worst = {"damaged": self.damaged, "missing or altered": self.altered, "not known to be read": self.unread}
        words = next((f"{count} {what}" for what, count in worst.items() if count), "")
        if self.oldest is None:
            return words if self.damaged or self.altered else "no record"
        age = f"{(now - self.oldest) / timedelta(days=1):.1f} days"
        return f"{words}, others {age}" if words else age


@dataclass(frozen=True)
class Checks:
    """What the records and the store's listing say about stored objects.

    Attributes:
        read_at: when each object was last read, by its identity.
        listed: the objects as the store lists them, by key.
        damage: when damage was noted, by the note's key.
    """

    read_at: Mapping[str, datetime] = field(default_factory=dict)
    listed: Mapping[str, Listed] = field(default_factory=dict)
    damage: Mapping[str, datetime] = field(default_factory=dict)

    def last_read(self, stored: StoredObject, store: Store) -> datetime | None:
        """Return when the object was last read as the store has it now, or None if nothing proves that it was."""
        at = self.read_at.get(identity(stored))
        if at is None or self._is_altered(stored) or self.listed[stored.key].written_at > at:
            return None
        return None if self._is_damaged(stored, store, at) else at

    def state(self, manifest: Manifest, store: Store) -> CheckState:
        """Return what is known about the objects of a snapshot."""
        objects = {each.key: each for each in manifest.objects}.values()
        read = {each.key: self.last_read(each, store) for each in objects}
        times = [at for at in read.values() if at]
        unread = [each for each in objects if not read[each.key]]
        damaged = [each for each in unread if self._is_damaged(each, store, self.read_at.get(identity(each)))]
        return CheckState(min(times, default=None), len(unread), sum(map(self._is_altered, unread)), len(damaged))

    def _is_altered(self, stored: StoredObject) -> bool:
        listed = self.listed.get(stored.key)
        return listed is None or listed.bytes != stored.bytes

    def _is_damaged(self, stored: StoredObject, store: Store, read_at: datetime | None) -> bool:
        """Return whether damage was noted, and the object was not found sound since."""
        noted = [at for key in store.layout.damage_keys(stored.key) if (at := self.damage.get(key))]
        return any(read_at is None or at >= read_at for at in noted)


def read_checks(store: Store, *, now: datetime, of: str | None = None) -> Checks:
    """Return what is known about the stored objects.

    Args:
        store: where the objects and the records are.
        now: the present time, aware; a record from the future says nothing.
        of: id of the only snapshot whose objects are asked about: then its records and the newest ones are read,
            otherwise all.

    Raises:
        StoreError: the store could not be asked.
    """
    records = sorted(store.listing("verified/"), key=lambda each: each.key)
    if of:
        newest = {each.key for each in records[-_NEWEST:]}
        records = [each for each in records if each.key in newest or store.layout.written_for(each.key) == of]
    records = [each for each in records if each.bytes <= _LARGEST and store.layout.kind(each.key) == "verified"]
    read_at: dict[str, datetime] = {}
    for record in in_parallel(store, _read_record, [each.key for each in records], threads=_THREADS, name="checks"):
        if not record or record.place != _place(store):
            continue
        for each in record.read:
            if each.read_at <= now:
                read_at.update({one: max(each.read_at, read_at.get(one, each.read_at)) for one in each.objects})
    listed = {each.key: each for below in ("parts/", "schema/") for each in store.listing(below)}
    return Checks(read_at, listed, {each.key: each.written_at for each in store.listing("damaged/")})


def _read_record(store: Store, key: str) -> CheckRecord | None:
    """Return the record, or None if it is gone or cannot be read: then it proves nothing."""
    try:
        record = CheckRecord.model_validate_json(store.read_sealed(key))
    except (ValidationError, ObjectMissing, Unreadable):
        return None
    return record if record.snapshot_id == store.layout.written_for(key) else None


def store_checks(
    manifest: Manifest, store: Store, checks: Checks, *, read: Collection[str], faulty: Collection[str], now: datetime
) -> None:
    """Store when the objects of a snapshot were last read: now, or as far as an earlier record says.

    Args:
        manifest: the snapshot.
        store: where the record goes.
        checks: what was known before.
        read: keys of the objects that have just been read and found sound.
        faulty: keys of those that have just been found damaged, about which earlier records say nothing any more.
        now: when the reading began, aware.

    Raises:
        StoreError: the store refuses.
    """
    together: defaultdict[datetime, set[str]] = defaultdict(set)
    for each in manifest.objects:
        at = now if each.key in read else checks.last_read(each, store)
        if at and each.key not in faulty:
            together[at.astimezone(UTC)].add(identity(each))
    groups = tuple(ReadTogether(read_at=at, objects=tuple(sorted(together[at]))) for at in sorted(together))
    record = CheckRecord(snapshot_id=manifest.snapshot_id, place=_place(store), read=groups)
    key = store.layout.check_key(manifest.snapshot_id, now, secrets.token_hex(3))
    store.create_sealed(key, record.model_dump_json().encode())


def _place(store: Store) -> str:
    return f"s3://{store.bucket}/{store.prefix}"


def is_due(which: str, read_at: datetime | None, *, now: datetime, verify_days: int) -> bool:
    """Return whether an object must be read now.

    Its turn comes once in `verify_days`, at a moment that its identity decides: so each day an equal share of all
    objects has its turn, whenever they were written. It is due if its turn has come since it was last read. So
    whatever is not due was read less than `verify_days` ago.

    Args:
        which: the object's `identity`.
        read_at: when it was last read, aware; None: nobody knows.
        now: the present time, aware.
        verify_days: see above; 0: everything is always due.
    """
    if read_at is None or verify_days == 0:
        return True
    place = int(which, 16) / (1 << 4 * len(which))
    turns = timedelta(days=verify_days).total_seconds()
    return math.floor(now.timestamp() / turns - place) > math.floor(read_at.timestamp() / turns - place)


def superseded(store: Store, listed: Iterable[Listed]) -> set[str]:
    """Return the keys of those of the listed records that a newer one of the same snapshot repeats."""
    records = [each for each in listed if store.layout.kind(each.key) == "verified"]
    newest: dict[str | None, Listed] = {}
    for each in sorted(records, key=lambda each: (each.written_at, each.key)):
        newest[store.layout.written_for(each.key)] = each
    return {each.key for each in records} - {each.key for each in newest.values()}
