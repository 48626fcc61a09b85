"""Typed settings, read at run time from `include/config/mindguard.yaml`; an unknown key is an error.

`MINDGUARD_SETTINGS` names another file. Nothing here reads a connection or a secret.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mindguard.errors import SettingsError

RUN_MARGIN_MINUTES = 15
"""What the last request of a snapshot, its manifest, may take beyond max_age_minutes with all of its retries."""

_QUALIFIED_NAME = re.compile(r"[^.\n]+\.[^.\n]+")


class _Section(BaseModel):
    # Strict: YAML has types, so `days: true` or `timezone: 8` is a mistake. Its lists are read as tuples all the same.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_min_length=1)


class Connections(_Section):
    """Airflow connection ids, one for each system that the package talks to."""

    app: str = Field("mindguard_app", description="postgres: the application's data, read only")
    ops: str = Field("mindguard_ops", description="postgres: the incident store")
    restore: str = Field("mindguard_restore", description="postgres: the application's data, as the tables' owner")
    drill: str = Field("mindguard_drill", description="postgres: scratch server for restore drills")
    events: str = Field("mindguard_events", description="clickhouse: product events")
    backup: str = Field("mindguard_backup", description="aws: the bucket that holds the snapshots")
    keys: str = Field(
        "mindguard_keys",
        description="any type: its password is the key ring, unless MINDGUARD_KEYS or MINDGUARD_KEYS_FILE gives it",
    )
    feishu: str = Field("mindguard_feishu", description="feishu or http: the alert bot's webhook")


class TableSettings(_Section):
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


class RetentionSettings(_Section):
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


class GateSettings(_Section):
    """When a snapshot is too different from the last good one to count as good itself."""

    max_shrink: float = Field(0.5, gt=0, le=1, description="share of a table's rows that may be gone")
    expected: tuple[str, ...] = Field(
        (),
        strict=False,
        description="tables whose shrinking or changed columns are expected for now, for instance public.checkins",
    )


class EncryptionSettings(_Section):
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


class SnapshotSettings(_Section):
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
        names = [table.name for table in tables]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return tables

    @model_validator(mode="after")
    def _grace_outlasts_a_run(self) -> SnapshotSettings:
        # Parts of a run that still goes on are named by no manifest yet (docs/adr/0010).
        if self.retention.grace_hours * 60 < self.max_age_minutes + RUN_MARGIN_MINUTES:
            raise ValueError(
                f"retention.grace_hours must be at least {RUN_MARGIN_MINUTES} minutes more than max_age_minutes"
            )
        return self


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a known time zone") from error
    return name


class Settings(_Section):
    """The whole settings file. Everything except `snapshot` may be left out."""

    timezone: Annotated[str, AfterValidator(_known_timezone)] = "Asia/Shanghai"
    locale: Literal["zh", "en"] = Field("zh", description="language of cards and run-time messages")
    connections: Connections = Connections()
    snapshot: SnapshotSettings

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which days begin and end."""
        return ZoneInfo(self.timezone)


def include_dir() -> Path:
    """Folder that holds `sql/` and `config/`: inside an installed package, or at the root of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "include"
    return installed if installed.is_dir() else package.parents[1] / "include"


def settings_path() -> Path:
    """`MINDGUARD_SETTINGS` where it is set, else the file that comes with the package."""
    named = os.environ.get("MINDGUARD_SETTINGS")
    return Path(named) if named else include_dir() / "config" / "mindguard.yaml"


def load_settings(path: Path | None = None) -> Settings:
    """Read and check the settings file.

    Raises:
        SettingsError: the file is missing, is not YAML, or breaks a rule; the message names every place.
    """
    from ruamel.yaml import YAML

    path = path or settings_path()
    try:
        raw: Any = YAML(typ="safe").load(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read settings {path}: {error.strerror}", hint="set MINDGUARD_SETTINGS to a readable file"
        ) from error
    except Exception as error:  # the YAML library lets through what Python says of dates, numbers, depth
        raise SettingsError(f"{path} is not YAML: {error}") from error
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors())
        raise SettingsError(f"{path}: {places}") from error
