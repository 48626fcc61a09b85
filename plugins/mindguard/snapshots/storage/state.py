"""How far a snapshot can be trusted: whether a drill has proven it, and when its parts were last read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mindguard.snapshots.storage.catalog import proof_of, proven
from mindguard.snapshots.storage.checks import CheckState, read_checks
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
    """

    proof: Proof | None
    checks: CheckState
    rebuilt: int = 0


def state_of(store: Store, manifest: Manifest, *, now: datetime) -> SnapshotState:
    """Return what is known about one snapshot.

    Raises:
        StoreError: the store could not be asked.
    """
    checks = read_checks(store, now=now).state(manifest, store)
    return SnapshotState(proof_of(store, manifest.snapshot_id), checks, _rebuilt(manifest, drill_parts(store)))


def states(store: Store, manifests: Iterable[Manifest], *, now: datetime) -> dict[str, SnapshotState]:
    """Return what is known about several snapshots, by their ids.

    Raises:
        StoreError: the store could not be asked.
    """
    proofs, checks, parts = proven(store), read_checks(store, now=now), drill_parts(store)
    return {
        each.snapshot_id: SnapshotState(proofs.get(each.snapshot_id), checks.state(each, store), _rebuilt(each, parts))
        for each in manifests
    }


def _rebuilt(manifest: Manifest, parts: Mapping[str, Sequence[DrillPart]]) -> int:
    equal = equal_tables(manifest, since_fault(parts.get(manifest.snapshot_id, ())))
    return sum(table.name in equal for table in manifest.tables)
