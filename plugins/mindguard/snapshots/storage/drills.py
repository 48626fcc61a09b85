"""The records of drills in parts: which tables of a snapshot were rebuilt and equal, before all of them were."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.proof import ProvenTable
from mindguard.snapshots.storage.s3_errors import ObjectMissing
from mindguard.snapshots.storage.store import Store, in_parallel

_THREADS = 8


class DrillPart(BaseModel):
    """What a drill rebuilt of a snapshot on one day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    snapshot_id: str
    drilled_at: AwareDatetime = Field(description="UTC")
    seconds: float = Field(description="time to rebuild these tables with their indexes")
    tables: dict[str, ProvenTable] = Field(description="with the large objects, if they were among it")
    server_version: int = Field(description="server_version_num of the scratch server")
    skipped: tuple[str, ...] = Field((), description="what was left out on purpose, one line each")
    not_proven: tuple[str, ...] = Field((), description="what is not as it was in the source, one line each")
    fault: str | None = Field(None, description="why the snapshot cannot be restored; null: nothing is wrong")


def since_fault(parts: Sequence[DrillPart]) -> Sequence[DrillPart]:
    """Return the parts since a table could last not be restored; `parts` are in their order."""
    faulty = [number for number, part in enumerate(parts) if part.fault]
    return parts[faulty[-1] + 1 :] if faulty else parts


def equal_tables(manifest: Manifest, parts: Iterable[DrillPart]) -> dict[str, ProvenTable]:
    """Return the tables that drills have rebuilt, with the values that the manifest says."""
    expected = {table.name: (table.rows, table.fingerprint) for table in manifest.contents}
    return {
        name: table
        for part in parts
        if part.snapshot_id == manifest.snapshot_id
        for name, table in part.tables.items()
        if expected.get(name) == (table.rows, table.fingerprint)
    }


def store_part(part: DrillPart, store: Store) -> None:
    """Store the record of a part.

    Raises:
        StoreError: the store refuses.
    """
    key = store.layout.drill_key(part.snapshot_id, part.drilled_at, secrets.token_hex(3))
    store.create_sealed(key, part.model_dump_json(indent=1).encode())


def drill_parts(store: Store) -> Mapping[str, Sequence[DrillPart]]:
    """Return the records of all drills in parts, by snapshot, oldest first; one that cannot be read proves nothing.

    Raises:
        StoreError: the store could not be asked.
    """
    keys = [key for key in store.keys("drills/") if store.layout.kind(key) == "drill"]
    found: defaultdict[str, list[DrillPart]] = defaultdict(list)
    for part in in_parallel(store, _read_part, keys, threads=_THREADS, name="drills"):
        if part:
            found[part.snapshot_id].append(part)
    return {snapshot_id: sorted(parts, key=lambda each: each.drilled_at) for snapshot_id, parts in found.items()}


def _read_part(store: Store, key: str) -> DrillPart | None:
    try:
        part = DrillPart.model_validate_json(store.read_sealed(key))
    except (ValidationError, ObjectMissing, Unreadable):
        return None
    return part if part.snapshot_id == store.layout.written_for(key) else None
