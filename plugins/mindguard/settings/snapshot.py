"""Settings of the snapshots: tables, retention, gate and encryption."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mindguard.settings.section import Section, distinct_names

RUN_MARGIN_MINUTES = 15
"""What the last request of a snapshot, its manifest, may take beyond max_age_minutes with all of its retries."""


_QUALIFIED_NAME = re.compile(r"[^.\n]+\.[^.\n]+")


class TableSettings(Section):
    """One table of the snapshot."""

    name: str = Field(description="schema-qualified, for instance public.checkins")
    part_by: str | None = Field(
        None, description="column whose ranges cut the table into parts; default: the primary key"
    )

    @field_validator("name")
    @classmethod
    def _qualified(cls, name: str) -> str:
        if not _QUALIFIED_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not schema-qualified; write for instance public.checkins")
        return name


class RetentionSettings(Section):
    """How long snapshots are kept (operations document, section 5.4: 30 days cold)."""

    days: int = Field(30, ge=1)
    minimum: int = Field(7, ge=1, description="newer proven snapshots that must exist before one expires")
    max_expire_per_run: int = Field(10, ge=1)
    grace_hours: float = Field(
        24, gt=0, description="age at which a stored part that no snapshot names is removed; beyond max_age_minutes"
    )
    max_gap_days: int = Field(
        8,
        ge=1,
        description="longest time between two snapshots; a longer one stops pruning: backups or clock are wrong",
    )


class GateSettings(Section):
    """When a snapshot is too different from the last good one to count as good itself."""

    max_shrink: float = Field(0.5, gt=0, le=1, description="share of a table's rows that may be gone")
    expected: tuple[str, ...] = Field(
        (),
        strict=False,
        description="tables whose shrinking or changed columns are expected for now, for instance public.checkins",
    )


class EncryptionSettings(Section):
    """Encryption before anything leaves the worker (docs/adr/0011); `mindguard keys new` makes the key ring."""

    enabled: bool = Field(False, description="encrypt parts, manifests, schema dumps, proofs, holds and all names")
    reuse_across_keys: bool = Field(
        False,
        description="new snapshots may hold parts of an older key, and then need that key as well; "
        "false: the first snapshot after a rotation is written in full",
    )
    accept_unencrypted: bool = Field(
        False,
        description="read snapshots from before encryption was on; whoever may write to the bucket can forge those",
    )


class SnapshotSettings(Section):
    """What is snapshotted, to where and how hard the source may be read."""

    bucket: str
    prefix: str = Field("key-tables", pattern=r"^[^/].*[^/]$|^[^/]$")
    storage_class: str = "STANDARD_IA"
    sse: Literal["AES256", "aws:kms"] | None = Field(
        "AES256", description="server-side encryption to request; null where the store has none"
    )
    sse_kms_key_id: str | None = None
    object_lock: Literal["GOVERNANCE", "COMPLIANCE"] | None = Field(
        None, description="lock objects for retention.days; the bucket must have object lock enabled"
    )
    encryption: EncryptionSettings = EncryptionSettings()
    tables: tuple[TableSettings, ...] = Field(min_length=1, strict=False)
    retention: RetentionSettings = RetentionSettings()
    gate: GateSettings = GateSettings()
    part_mb: int = Field(
        96, ge=1, le=2048, description="source megabytes that one part aims at most; small tables have smaller parts"
    )
    connections: int = Field(3, ge=1, le=32, description="concurrent readers on the source")
    max_mb_per_s: float | None = Field(
        None,
        gt=0,
        description="megabytes of rows a second that an export reads from the source, all connections together; "
        "null: no cap. The fingerprint scan runs inside the server and is not slowed down",
    )
    max_age_minutes: int = Field(120, ge=1, description="give up rather than hold back the source's vacuum for longer")

    @field_validator("tables")
    @classmethod
    def _distinct(cls, tables: tuple[TableSettings, ...]) -> tuple[TableSettings, ...]:
        distinct_names(table.name for table in tables)
        return tables

    @model_validator(mode="after")
    def _grace_outlasts_a_run(self) -> SnapshotSettings:
        # Parts of a run that still goes on are named by no manifest yet (docs/adr/0010).
        if self.retention.grace_hours * 60 < self.max_age_minutes + RUN_MARGIN_MINUTES:
            raise ValueError(
                f"retention.grace_hours must be at least {RUN_MARGIN_MINUTES} minutes more than max_age_minutes"
            )
        return self
