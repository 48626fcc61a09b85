"""How far a snapshot can be trusted: whether a drill has proven it, its parts were read, its values are in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mindguard.snapshots.storage.catalog import proof_of, proven
from mindguard.snapshots.storage.checks import CheckState, read_checks
from mindguard.snapshots.storage.doubt import doubtful_tables
from mindguard.snapshots.storage.drills import DrillPart, drill_parts, equal_tables, since_fault
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.proof import Proof
from mindguard.snapshots.storage.store import Store


@dataclass(frozen=True)
class SnapshotState:
    """What is known about one snapshot.

    Attributes:
        proof: that a restore drill has rebuilt all of it and found it equal to its source; None: none has.
        checks: when its stored objects were last read.
        rebuilt: number of its tables that restore drills have rebuilt and found equal, of which each rebuilds a few.
        doubtful: its tables that may hold older values than it says: see `doubt`.
    """

    proof: Proof | None
    checks: CheckState
    rebuilt: int = 0
    doubtful: tuple[str, ...] = ()


def state_of(store: Store, manifest: Manifest, *, now: datetime) -> SnapshotState:
    """Return what is known about one snapshot.

    Raises:
        StoreError: the store could not be asked.
    """
    proof = proof_of(store, manifest.snapshot_id)
    return _states(store, [manifest], {manifest.snapshot_id: proof} if proof else {}, now)[manifest.snapshot_id]


def states(store: Store, manifests: Iterable[Manifest], *, now: datetime) -> dict[str, SnapshotState]:
    """Return what is known about several snapshots, by their ids.

    Raises:
        StoreError: the store could not be asked.
    """
    return _states(store, list(manifests), proven(store), now)


def _states(
    store: Store, manifests: Sequence[Manifest], proofs: Mapping[str, Proof], now: datetime
) -> dict[str, SnapshotState]:
    checks, parts, doubtful = read_checks(store, now=now), drill_parts(store), doubtful_tables(store, manifests)
    return {
        each.snapshot_id: SnapshotState(
            proofs.get(each.snapshot_id),
            checks.state(each, store),
            _rebuilt(each, parts),
            doubtful.get(each.snapshot_id, ()),
        )
        for each in manifests
    }


def _rebuilt(manifest: Manifest, parts: Mapping[str, Sequence[DrillPart]]) -> int:
    equal = equal_tables(manifest, since_fault(parts.get(manifest.snapshot_id, ())))
    return sum(table.name in equal for table in manifest.tables)
