"""Settings for snapshots: tables, retention, gate and encryption."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mindguard.documents import at_place
from mindguard.settings.section import Section, distinct_names

RUN_MARGIN_MINUTES = 15
"""Minutes beyond max_age_minutes that the last request of a snapshot, its manifest, may take with all retries."""

LARGE_OBJECTS = "pg_catalog.pg_largeobject"
"""The name under which large objects are in a snapshot and in what the gate says."""

_QUALIFIED_NAME = re.compile(r"[^.\n]+\.[^.\n]+")


class TableSettings(Section):
    """One table of the snapshot."""

    name: str = Field(description="name with its schema, for instance public.checkins")
    part_by: str | None = Field(
        None, description="column by whose ranges the table is divided into parts; default: the primary key"
    )
    inherited: Literal["own", "all"] | None = Field(
        None,
        description="for a table that others inherit from, which is refused without it: `own` takes its own rows, and "
        "its children are tables like any other; `all` takes their rows as well, as rows of this table",
    )

    @field_validator("name")
    @classmethod
    def _qualified(cls, name: str) -> str:
        if not _QUALIFIED_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not schema-qualified; write for instance public.checkins (a name that has a dot or a "
                "line break itself cannot be taken)"
            )
        return name


class RetentionSettings(Section):
    """The rules for keeping snapshots (operations document, section 5.4: 30 days cold)."""

    days: int = Field(30, ge=1, description="age in days at which a snapshot expires")
    minimum: int = Field(7, ge=1, description="newer proven snapshots that must exist before a snapshot expires")
    max_expire_per_run: int = Field(10, ge=1, description="largest number of snapshots that expire in one run")
    grace_hours: float = Field(
        24,
        gt=0,
        description="age in hours at which a part that no snapshot names is removed; must exceed max_age_minutes",
    )
    max_gap_days: int = Field(
        8,
        ge=1,
        description="longest time in days between two snapshots; a longer gap stops expiry, because backups or the "
        "clock must be wrong",
    )


class GateSettings(Section):
    """The limits of the difference from the last good snapshot within which a new one counts as good."""

    max_shrink: float = Field(
        0.5, gt=0, le=1, description="largest share of a table's rows that may be missing compared with that snapshot"
    )
    expected: tuple[str, ...] = Field(
        (),
        strict=False,
        description="tables that may shrink or change columns for now, for instance public.checkins",
    )


class DrillSettings(Section):
    """How much a restore drill rebuilds in one day (docs/adr/0037-checks-cost-their-churn.md)."""

    max_gb: float | None = Field(
        None,
        gt=0,
        description="gigabytes of stored parts that `restore_drill` rebuilds in a day, in whole tables: then it works "
        "through one snapshot for several days and proves it when every table was rebuilt; null: whole snapshots",
    )
    every_days: int = Field(
        7,
        ge=1,
        le=90,
        description="with `max_gb`, days within which every table of a snapshot is rebuilt; if max_gb is too little "
        "for that, more is rebuilt each day",
    )

    @property
    def days_per_proof(self) -> int:
        """The most days that it takes to prove one snapshot."""
        return 1 if self.max_gb is None else self.every_days


class EncryptionSettings(Section):
    """Encryption of everything before it leaves the worker (docs/adr/0011-client-side-encryption.md).

    `mindguard keys new` creates the key ring.
    """

    enabled: bool = Field(
        default=False, description="encrypt parts, manifests, schema dumps, proofs, holds and all names"
    )
    reuse_across_keys: bool = Field(
        default=False,
        description="let new snapshots contain parts of an older key, and then need that key as well; "
        "if false, the first snapshot after a rotation is written in full",
    )
    accept_unencrypted: bool = Field(
        default=False,
        description="read snapshots from before encryption was switched on; anybody who may write to the bucket can "
        "forge such snapshots",
    )


class SnapshotSettings(Section):
    """The content of snapshots, the place where they are stored, and the load that they may put on the source."""

    bucket: str = Field(description="bucket in which snapshots are stored")
    prefix: str = Field(
        "key-tables", pattern=r"^[^/].*[^/]$|^[^/]$", description="prefix of the key of every stored object"
    )
    storage_class: str = Field("STANDARD_IA", description="storage class of stored objects")
    sse: Literal["AES256", "aws:kms"] | None = Field(
        "AES256", description="server-side encryption to request; null if the store has none"
    )
    sse_kms_key_id: str | None = Field(None, description="id of the KMS key for `sse: aws:kms`")
    object_lock: Literal["GOVERNANCE", "COMPLIANCE"] | None = Field(
        None, description="lock objects for retention.days; the bucket must have object lock enabled"
    )
    encryption: EncryptionSettings = EncryptionSettings()
    tables: tuple[TableSettings, ...] = Field(
        min_length=1, strict=False, description="tables in each snapshot; all are taken at one instant"
    )
    large_objects: bool = Field(
        default=False,
        description="take the large objects that columns of type oid or lo refer to; `restore --whole` restores them",
    )
    retention: RetentionSettings = RetentionSettings()
    gate: GateSettings = GateSettings()
    detect: Literal["tuples", "values"] = Field(
        "tuples",
        description="how an unchanged part is recognised: `tuples` by the transactions that wrote its rows, where they "
        "can tell, which reads no value; `values` by reading every value every time",
    )
    recheck_days: int = Field(
        7, ge=1, le=365, description="days after which the values of an unchanged part are read again at the latest"
    )
    drill: DrillSettings = DrillSettings()
    part_mb: int = Field(
        96,
        ge=1,
        le=2048,
        description="largest target size of a part in source megabytes; small tables have smaller parts",
    )
    connections: int = Field(3, ge=1, le=32, description="number of concurrent readers on the source")
    max_mb_per_s: float | None = Field(
        None,
        gt=0,
        description="largest rate in megabytes of rows per second at which an export reads, over all connections; "
        "null means no limit. The fingerprint scan runs inside the server and is not slowed down",
    )
    lock_timeout_s: float = Field(
        10,
        ge=1,
        le=600,
        description="seconds that an export waits for a lock, and that other sessions may wait for its own locks, "
        "before it gives up",
    )
    max_age_minutes: int = Field(
        120, ge=1, description="minutes after which an export gives up, so as not to hold back vacuum on the source"
    )
    verify_days: int = Field(
        7,
        ge=0,
        le=90,
        description="days within which `snapshot_tables` reads every stored part again, an equal share of them each "
        "day; what is new is always read. 0: it reads everything every day",
    )

    @field_validator("tables")
    @classmethod
    def _distinct(cls, tables: tuple[TableSettings, ...]) -> tuple[TableSettings, ...]:
        distinct_names([table.name for table in tables])
        return tables

    @model_validator(mode="after")
    def _expected_tables_are_taken(self) -> SnapshotSettings:
        # A name that the gate never meets would have no effect, and the next snapshot would be quarantined again.
        names = [table.name for table in self.tables] + ([LARGE_OBJECTS] if self.large_objects else [])
        for number, name in enumerate(self.gate.expected):
            if name not in names:
                close = [each for each in names if each.partition(".")[2] == name] or get_close_matches(name, names, 1)
                advice = f"did you mean {close[0]}?" if close else "write the name as it is there"
                raise at_place(f"{name!r} is not among snapshot.tables; {advice}", "gate", "expected", number)
        return self

    @model_validator(mode="after")
    def _kept_until_proven(self) -> SnapshotSettings:
        if self.drill.max_gb is not None and self.drill.every_days >= self.retention.days:
            raise at_place(
                "drill.every_days must be less than retention.days, or a snapshot expires before it is proven",
                "drill",
                "every_days",
            )
        return self

    @model_validator(mode="after")
    def _grace_outlasts_a_run(self) -> SnapshotSettings:
        # No manifest names the parts of a run that has not ended yet: see
        # docs/adr/0010-expiry-and-a-running-export-need-no-lock.md.
        if self.retention.grace_hours * 60 < self.max_age_minutes + RUN_MARGIN_MINUTES:
            changed = (
                ("max_age_minutes",) if "max_age_minutes" in self.model_fields_set else ("retention", "grace_hours")
            )
            raise at_place(
                f"retention.grace_hours must be at least {RUN_MARGIN_MINUTES} minutes more than max_age_minutes",
                *changed,
            )
        return self
