"""Typed settings, read at run time from `include/config/mindguard.yaml`; an unknown key is an error.

`MINDGUARD_SETTINGS` names another file. Nothing here reads a connection or a secret.
"""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mindguard.errors import SettingsError

RUN_MARGIN_MINUTES = 15
"""What the last request of a snapshot, its manifest, may take beyond max_age_minutes with all of its retries."""

_QUALIFIED_NAME = re.compile(r"[^.\n]+\.[^.\n]+")


class _Section(BaseModel):
    # Strict: YAML has types, so `days: true` or `timezone: 8` is a mistake. Its lists are read as tuples all the same.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_min_length=1)


_Named = TypeVar("_Named", bound="TableSettings | KeyEvent | Funnel")


def _distinct_names(listed: tuple[_Named, ...]) -> tuple[_Named, ...]:
    names = [each.name for each in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return listed


class Connections(_Section):
    """Airflow connection ids, one for each system that the package talks to."""

    app: str = Field("mindguard_app", description="postgres: the application's data, read only")
    ops: str = Field("mindguard_ops", description="postgres: the incident store")
    restore: str = Field("mindguard_restore", description="postgres: the application's data, as the tables' owner")
    drill: str = Field("mindguard_drill", description="postgres: scratch server for restore drills")
    events: str = Field("mindguard_events", description="clickhouse: product events")
    backup: str = Field("mindguard_backup", description="aws: the bucket that holds the snapshots")
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
    tables: tuple[TableSettings, ...] = Field(min_length=1, strict=False)
    retention: RetentionSettings = RetentionSettings()
    gate: GateSettings = GateSettings()
    part_mb: int = Field(
        96, ge=1, le=2048, description="source megabytes that one part aims at most; small tables have smaller parts"
    )
    connections: int = Field(3, ge=1, le=32, description="concurrent readers on the source")
    max_age_minutes: int = Field(120, ge=1, description="give up rather than hold back the source's vacuum for longer")

    @field_validator("tables")
    @classmethod
    def _distinct(cls, tables: tuple[TableSettings, ...]) -> tuple[TableSettings, ...]:
        return _distinct_names(tables)

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


class KeyEvent(_Section):
    """One event whose daily volume is watched. A key event that vanishes is a row with 0, not a missing row."""

    name: str
    since: date | None = Field(None, description="first full day on which the app sends it; default: as seen")
    tolerance: float = Field(
        0.2, gt=0, lt=1, description="share that may be missing (operations document, section 3.4: 20 %)"
    )
    min_base: int = Field(
        100, ge=1, description="a day expected to have fewer is too small to judge alone, and seven days are"
    )
    owner: str | None = None
    runbook: str | None = Field(None, description="page to open when it falls")


class Funnel(_Section):
    """Steps that users take one after the other; each is expected as its share of the step before."""

    name: str
    steps: tuple[str, ...] = Field(min_length=2, strict=False, description="key events, first step first")


class CalendarSettings(_Section):
    """Days that differ from what the calendar of mainland China says."""

    holidays: tuple[date, ...] = Field((), strict=False, description="days off, also of years not published yet")
    workdays: tuple[date, ...] = Field((), strict=False, description="no holidays, whatever the calendar says")


class VolumeSettings(_Section):
    """Where product events lie in ClickHouse, and which days are no baseline."""

    table: str = Field("mindguard.events", description="database.table of raw events; the rollup stands beside it")
    event_time: str = Field("event_time", description="when it happened, as the phone says")
    ingest_time: str = Field("ingest_time", description="when it landed")
    name: str = Field("event_name", description="column with the event's name")
    event_id: str | None = Field("event_id", description="unique for each event; null: duplicates are not looked for")
    dimensions: tuple[str, ...] = Field(
        ("platform", "app_version", "country"),
        min_length=1,
        strict=False,
        description="columns of few values by which a loss is explained",
    )
    excluded_days: tuple[date, ...] = Field((), strict=False, description="never a baseline, for instance a campaign")
    calendar: CalendarSettings = CalendarSettings()

    @field_validator("table")
    @classmethod
    def _qualified(cls, table: str) -> str:
        if not re.fullmatch(r"[^.]+\.[^.]+", table):
            raise ValueError(f"{table!r} does not name its database; write for instance mindguard.events")
        return table


class Settings(_Section):
    """The whole settings file. Everything except `snapshot` may be left out."""

    timezone: Annotated[str, AfterValidator(_known_timezone)] = "Asia/Shanghai"
    locale: Literal["zh", "en"] = Field("zh", description="language of cards and run-time messages")
    connections: Connections = Connections()
    snapshot: SnapshotSettings
    key_events: tuple[KeyEvent, ...] = Field((), strict=False)
    funnels: tuple[Funnel, ...] = Field((), strict=False)
    volume: VolumeSettings = VolumeSettings()

    @field_validator("key_events", "funnels")
    @classmethod
    def _listed_once(cls, listed: tuple[Any, ...]) -> tuple[Any, ...]:
        return _distinct_names(listed)

    @model_validator(mode="after")
    def _steps_are_key_events(self) -> Settings:
        known = {event.name for event in self.key_events}
        strangers = sorted({step for funnel in self.funnels for step in funnel.steps} - known)
        if strangers:
            raise ValueError(f"funnels name events that are not under key_events: {', '.join(strangers)}")
        return self

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
