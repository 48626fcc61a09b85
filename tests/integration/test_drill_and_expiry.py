"""A drill and an expiry at once: what has expired is no loss, and what is lost has not expired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.stack import Stack
from mindguard.snapshots.export.take import Taken
from mindguard.snapshots.restore.drill import DrillBroke, SnapshotExpired, Unrestorable, drill_stored
from mindguard.snapshots.storage.catalog import proven
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.store import Store
from tests.integration.expiring import EXPIRE, expire, three_snapshots
from tests.integration.restoring import run
from tests.stored_objects import remove

KEPT_FOR = timedelta(days=2)


@pytest.fixture
def taken(fresh_database: str, store: Store) -> list[Taken]:
    run(
        fresh_database,
        "create table t (id int primary key, v text)",
        "insert into t select i, repeat(md5(i::text), 2) from generate_series(1, 40000) i",
    )
    return three_snapshots(fresh_database, store)


@pytest.fixture
def drill(store: Store, stack: Stack) -> Callable[..., Any]:
    def run_drill(each: Taken, **more: Any) -> Any:
        scratch = stack.postgres_conninfo("mindguard_drill")
        now = datetime.now(UTC)
        return drill_stored(each.manifest.snapshot_id, store, scratch, now=now, kept_for=KEPT_FOR, **more)

    return run_drill


def test_what_expired_before_its_drill_is_skipped(taken: list[Taken], store: Store, drill: Callable[..., Any]) -> None:
    expire(store, store, **EXPIRE).check()
    with pytest.raises(SnapshotExpired, match=rf"{taken[0].manifest.snapshot_id} has expired, so there is nothing"):
        drill(taken[0])


@pytest.mark.parametrize("line", range(6))
def test_what_expires_during_its_drill_is_skipped(
    line: int, taken: list[Taken], store: Store, drill: Callable[..., Any]
) -> None:
    """Expiry runs at the first, second … line that the drill prints."""
    lines: list[str] = []

    def expire_meanwhile(text: str) -> None:
        lines.append(text)
        if len(lines) == line + 1:
            expire(store, store, **EXPIRE).check()

    with pytest.raises(SnapshotExpired):
        drill(taken[0], progress=expire_meanwhile, connections=1)
    assert taken[0].manifest.snapshot_id not in proven(store)


def manifest_lost(store: Store, each: Taken) -> None:
    remove(store, each.key)


def parts_lost(store: Store, each: Taken) -> None:
    remove(store, each.manifest.parts[0].key)


def schema_lost(store: Store, each: Taken) -> None:
    remove(store, each.manifest.schema_dump.key)


@pytest.mark.parametrize(
    ("number", "lose"), [(0, parts_lost), (0, schema_lost), (1, manifest_lost), (1, parts_lost), (2, manifest_lost)]
)
def test_what_is_lost_is_no_expiry(
    number: int, lose: Callable[[Store, Taken], None], taken: list[Taken], store: Store, drill: Callable[..., Any]
) -> None:
    """An old snapshot without its parts, and a manifest that is gone while the snapshot is too young to expire."""
    lose(store, taken[number])
    with pytest.raises(Unrestorable, match=r"is missing|there is no snapshot") as caught:
        drill(taken[number])
    assert caught.value.severity == "P0"


def test_an_old_manifest_that_is_gone_while_nothing_newer_is_proven_is_lost(
    taken: list[Taken], store: Store, drill: Callable[..., Any]
) -> None:
    for each in taken:
        remove(store, Layout.beside(each.key, "proof"))
    manifest_lost(store, taken[0])
    with pytest.raises(Unrestorable, match="there is no snapshot"):
        drill(taken[0])


def test_the_newest_of_an_empty_store_is_none(store: Store, stack: Stack) -> None:
    with pytest.raises(DrillBroke, match="there is no snapshot under"):
        drill_stored("latest", store, stack.postgres_conninfo("mindguard_drill"), now=datetime.now(UTC))
