"""The proof that a restore drill rebuilt a snapshot and found it equal. It is stored beside the manifest."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mindguard.snapshots.storage.encryption import Unreadable
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.s3_errors import ObjectExists, ObjectMissing, StoreError
from mindguard.snapshots.storage.store import Store


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProvenTable(_Record):
    """Rows and fingerprint of a rebuilt table. They equal the manifest's, or there would be no proof."""

    rows: int
    fingerprint: str


class Proof(_Record):
    """One successful drill."""

    format: Literal[1] = 1
    snapshot_id: str
    proven_at: AwareDatetime = Field(description="UTC")
    seconds: float = Field(
        description="the RTO: time to rebuild all tables with their indexes, from the first byte read"
    )
    tables: dict[str, ProvenTable]
    server_version: int = Field(description="server_version_num of the scratch server")
    skipped: tuple[str, ...] = Field(
        (), description="what was left out on the scratch server on purpose, one line each"
    )
    not_proven: tuple[str, ...] = Field(
        (), description="what is not as it was in the source although all values are, one line each"
    )


def store_proof(proof: Proof, store: Store, manifest_key: str) -> bool:
    """Store the proof, create-only; return False if an earlier drill has stored one, which stays.

    Raises:
        StoreError: the store refuses, or there is a proof that cannot be read and so proves nothing.
    """
    key = Layout.beside(manifest_key, "proof")
    try:
        # The field is left out if it is empty, so that versions from before it can read the proof.
        body = proof.model_dump_json(indent=1, exclude=None if proof.not_proven else {"not_proven"})
        store.create_sealed(key, body.encode())
    except ObjectExists as error:
        found = read_proof(store, key)
        if not found or found.snapshot_id != proof.snapshot_id:
            raise StoreError(
                f"{key} is there and cannot be read, so this drill's proof cannot be stored",
                hint="delete that object and drill again; or put the missing key back into the key ring",
            ) from error
        return False
    return True


def read_proof(store: Store, key: str) -> Proof | None:
    """Return the proof under this key, or None if it is gone or unreadable: then nothing is proven."""
    try:
        return Proof.model_validate_json(store.read_sealed(key))
    except (ValidationError, ObjectMissing, Unreadable):
        return None
