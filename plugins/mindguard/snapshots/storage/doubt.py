"""The doubt about a snapshot whose values were taken for unchanged, when a later one finds that they had changed.

It is stored beside the manifest, which never changes. docs/adr/0036 says which values a snapshot does not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.s3_errors import ObjectExists, ObjectMissing
from mindguard.snapshots.storage.store import Store


class Doubt(BaseModel):
    """Why a snapshot may hold older values than its time says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    snapshot_id: str
    tables: tuple[str, ...] = Field(description="tables of which not all values were read for the snapshot")
    contradicted: str = Field(description="the table whose values had changed unnoticed")
    found_at: AwareDatetime = Field(description="UTC")


def store_doubt(doubt: Doubt, store: Store, manifest_key: str) -> None:
    """Store the doubt, unless an earlier one is there, which stays.

    Raises:
        StoreError: the store refuses.
    """
    try:
        store.create_sealed(Layout.beside(manifest_key, "doubt"), doubt.model_dump_json(indent=1).encode())
    except ObjectExists:
        return


def doubtful_tables(store: Store, manifests: Iterable[Manifest]) -> dict[str, tuple[str, ...]]:
    """Return, for each of the snapshots that is in doubt, the tables that may hold older values than it says.

    If the doubt cannot be read, it concerns every table whose values were not all read for the snapshot.

    Raises:
        StoreError: the store could not be asked.
    """
    kind = store.layout.kind
    keys = {store.layout.written_for(key): key for key in store.keys("snapshots/") if kind(key) == "doubt"}
    return {
        each.snapshot_id: _tables(store, keys[each.snapshot_id], each) for each in manifests if each.snapshot_id in keys
    }


def _tables(store: Store, key: str, manifest: Manifest) -> tuple[str, ...]:
    try:
        doubt = Doubt.model_validate_json(store.read_sealed(key))
    except (ValidationError, ObjectMissing, Unreadable):
        return manifest.unread
    return doubt.tables if doubt.snapshot_id == manifest.snapshot_id else manifest.unread
