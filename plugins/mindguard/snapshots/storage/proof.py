"""A snapshot's proof: a restore drill rebuilt it and found it equal. Stored create-only beside the manifest."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.s3_errors import ObjectExists
from mindguard.snapshots.storage.store import Store


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProvenTable(_Record):
    """What the rebuilt table held; equal to the manifest's, else there would be no proof."""

    rows: int
    fingerprint: str


class Proof(_Record):
    """One successful drill."""

    format: Literal[1] = 1
    snapshot_id: str
    proven_at: AwareDatetime = Field(description="UTC")
    seconds: float = Field(description="to rebuild all tables with their indexes, from the first byte read: the RTO")
    tables: dict[str, ProvenTable]
    server_version: int = Field(description="server_version_num of the scratch server")
    skipped: tuple[str, ...] = Field((), description="what the scratch server could not have, one line each")


def store_proof(proof: Proof, store: Store, manifest_key: str) -> bool:
    """Store it; False: an earlier drill has left one already, which stays."""
    body = proof.model_dump_json(indent=1).encode()
    with suppress(ObjectExists):
        store.create_sealed(Layout.beside(manifest_key, "proof"), body)
        return True
    return False


def read_proof(store: Store, key: str) -> Proof | None:
    """The proof under this key; None when it cannot be read as one: then nothing is proven."""
    try:
        return Proof.model_validate_json(store.read_sealed(key))
    except (ValidationError, Unreadable):
        return None
