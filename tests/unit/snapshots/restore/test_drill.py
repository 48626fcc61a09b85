"""Whose fault a failed drill is: the snapshot's, which wakes somebody, or anything else's."""

from __future__ import annotations

import re

import pytest

from mindguard.errors import MindGuardError
from mindguard.snapshots.pgtools import ToolFailed
from mindguard.snapshots.restore.drill import DrillBroke, Unrestorable, _as_verdict, _is_fed, drill_stored
from mindguard.snapshots.restore.target import RestoreRefused, SnapshotAtFault, TargetError
from mindguard.snapshots.storage.catalog import SnapshotMissing
from mindguard.snapshots.storage.encryption import KeyMissing, SealBroken
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.manifest import Column, ManifestInvalid
from mindguard.snapshots.storage.s3_errors import NoAnswer, ObjectDamaged, StoreError, StoreFault
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import SnapshotDamaged
from mindguard.snapshots.tempdisk import DiskFull
from tests.unit.snapshots.fakes import NOW, memory_store, published, put


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


@pytest.mark.parametrize("snapshot_id", ["nope", "20260101T000000Z-000000", "2026", "../x"])
def test_an_id_that_a_person_has_mistaken_is_no_loss(snapshot_id: str) -> None:
    store, _ = memory_store()
    published(store)
    says = rf"^there is no snapshot {re.escape(snapshot_id)} under .*list"
    with pytest.raises(SnapshotMissing, match=says) as caught:
        drill_stored(snapshot_id, store, "", now=NOW, asked=True)
    assert caught.value.severity is None  # that of the DAG: P2


def test_an_id_that_a_person_has_named_is_lost_if_the_store_knows_of_it() -> None:
    store, client = memory_store()
    lost = published(store).snapshot_id
    key = store.manifest_keys()[0]
    put(store, Layout.beside(key, "hold"), b"{}")
    del client.objects[key]
    with pytest.raises(Unrestorable, match=f"there is no snapshot {lost}"):
        drill_stored(lost, store, "", now=NOW, asked=True)


def test_a_store_that_cannot_be_reached_says_nothing_about_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = memory_store()

    def away(*_: object, **__: object) -> None:
        raise NoAnswer("cannot list: it cannot be reached")

    monkeypatch.setattr(Store, "keys", away)
    with pytest.raises(DrillBroke, match="says nothing about the snapshot: cannot list"):
        drill_stored("nope", store, "", now=NOW, asked=True)


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
