"""Whose fault a failed drill is: the snapshot's, which wakes somebody, or anything else's."""

from __future__ import annotations

import pytest

from mindguard.errors import MindGuardError
from mindguard.snapshots.pgtools import ToolFailed
from mindguard.snapshots.restore.drill import DrillBroke, Unrestorable, _as_verdict, _is_fed, drill_stored
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault, TargetError
from mindguard.snapshots.storage.catalog import SnapshotMissing
from mindguard.snapshots.storage.encryption import KeyMissing, SealBroken
from mindguard.snapshots.storage.manifest import Column, ManifestInvalid
from mindguard.snapshots.storage.s3_errors import ObjectDamaged, StoreError, StoreFault
from mindguard.snapshots.storage.verify import SnapshotDamaged
from mindguard.snapshots.tempdisk import DiskFull
from tests.unit.snapshots.fakes import NOW, memory_store, published


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (SnapshotAtFault("x"), Unrestorable),
        (SnapshotDamaged("x"), Unrestorable),
        (ManifestInvalid("x"), Unrestorable),
        (SnapshotMissing("x"), Unrestorable),
        (KeyMissing(["k"], "x"), Unrestorable),
        (SealBroken("x"), Unrestorable),
        (ObjectDamaged("x"), Unrestorable),
        (StoreError("x"), DrillBroke),
        (StoreFault("x"), DrillBroke),
        (TargetError("x"), DrillBroke),
        (RestoreRefused("x"), DrillBroke),
        (ToolFailed("x"), DrillBroke),
        (DiskFull("x"), DrillBroke),
        (OSError("x"), DrillBroke),
    ],
)
def test_only_what_is_stored_can_make_a_snapshot_unrestorable(error: Exception, verdict: type[MindGuardError]) -> None:
    with pytest.raises(verdict, match="s1") as caught, _as_verdict("s1"):
        raise error
    assert type(caught.value) is verdict
    assert caught.value.__cause__ is error


def test_a_verdict_stays_and_a_bug_is_not_taken_for_one() -> None:
    for verdict in (Unrestorable("lost"), DrillBroke("broke")):
        with pytest.raises(type(verdict)) as caught, _as_verdict("s1"):
            raise verdict
        assert caught.value is verdict
    with pytest.raises(ZeroDivisionError), _as_verdict("s1"):
        raise ZeroDivisionError


def test_a_snapshot_that_is_missing_or_has_a_damaged_manifest_is_unrestorable() -> None:
    store, client = memory_store()
    with pytest.raises(DrillBroke, match="there is no snapshot under s3://b/p – take one"):
        drill_stored("latest", store, "", now=NOW)
    published(store)
    with pytest.raises(Unrestorable, match="there is no snapshot 20260101T000000Z-000000"):
        drill_stored("20260101T000000Z-000000", store, "", now=NOW)
    client.objects[store.manifest_keys()[0]] = b"{}"
    with pytest.raises(Unrestorable, match="is not a manifest of this package"):
        drill_stored("latest", store, "", now=NOW)


@pytest.mark.parametrize(
    ("more", "fed"),
    [
        ({"identity": "a"}, True),
        ({"default": "nextval('s'::regclass)"}, True),
        ({"default": "7"}, False),
        ({}, False),
    ],
)
def test_sequences_feed_identities_and_defaults(more: dict[str, str], *, fed: bool) -> None:
    column = Column.model_validate({"name": "a", "type": "bigint", "encoding": "native"} | more)
    assert _is_fed(column) is fed
