"""Which snapshots the day's drill rebuilds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mindguard.jobs.drilling import choose
from mindguard.snapshots.storage.drills import DrillPart, store_part
from mindguard.snapshots.storage.verify import note_damage
from tests.unit.snapshots.fakes import NOW, memory_store, published, settings

DAY = timedelta(days=1)
IN_PARTS: dict[str, Any] = {"drill": {"max_gb": 1}}


def part(snapshot_id: str, days_ago: float) -> DrillPart:
    return DrillPart(snapshot_id=snapshot_id, drilled_at=NOW - days_ago * DAY, seconds=1, tables={}, server_version=1)


@pytest.mark.parametrize("verified", [True, False])
def test_whole_snapshots_are_sampled_and_parts_are_of_one(verified: bool) -> None:
    store, client = memory_store()
    manifests = [published(store, days) for days in (3, 2, 1)]
    old, between, newest = (each.snapshot_id for each in manifests)
    events = [newest, between] if verified else []
    assert choose(store, settings(), events, now=NOW) == [newest, old, between]
    assert choose(store, settings(**IN_PARTS), events, now=NOW) == [newest]
    store_part(part(between, 1), store)
    assert choose(store, settings(**IN_PARTS), events, now=NOW) == [between]
    assert choose(store, settings(**IN_PARTS), events, now=NOW + 14 * DAY) == [newest]
    client.now = NOW
    for manifest, chosen in ((manifests[0], between), (manifests[1], newest)):
        note_damage(store, manifest.parts[0].key, "fault", print)
        assert choose(store, settings(**IN_PARTS), events, now=NOW) == [chosen]


def test_a_begun_snapshot_that_cannot_be_read_is_given_up() -> None:
    store, client = memory_store()
    begun, newest = published(store, 2), published(store, 1)
    store_part(part(begun.snapshot_id, 1), store)
    key = store.layout.manifest_key(begun.taken_at.date(), begun.snapshot_id)
    client.objects[key] = b"{}"
    assert choose(store, settings(**IN_PARTS), [newest.snapshot_id], now=NOW) == [newest.snapshot_id]
