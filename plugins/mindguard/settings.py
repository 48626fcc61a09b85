"""Typed settings, read at run time from `include/config/mindguard.yaml`; an unknown key is an error.

`MINDGUARD_SETTINGS` names another file. Nothing here reads a connection or a secret.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mindguard.errors import SettingsError
from mindguard.settings_monitors import Monitor
from mindguard.settings_section import Section as _Section

RUN_MARGIN_MINUTES = 15
"""What the last request of a snapshot, its manifest, may take beyond max_age_minutes with all of its retries."""

_QUALIFIED_NAME = re.compile(r"[^.\n]+\.[^.\n]+")


def _distinct_names(names: Iterable[str]) -> set[str]:
    listed = list(names)
    if twice := sorted({name for name in listed if listed.count(name) > 1}):
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return set(listed)


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
    prometheus: str = Field("mindguard_prometheus", description="http: what the monitors' PromQL is asked of")
    kafka: str = Field(
        "mindguard_kafka", description="kafka: its extras are librdkafka's settings, as for Airflow's own hook"
    )
    feishu: str = Field("mindguard_feishu", description="feishu or http: the alert bot's webhook")
    airflow: str = Field("mindguard_airflow", description="http: Airflow's REST API, as a user who may read runs")
    metrics: str = Field(
        "mindguard_metrics",
        description="any type: its password is the bearer token of Prometheus at /mindguard/metrics",
    )


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
        _distinct_names(table.name for table in tables)
        return tables

    @model_validator(mode="after")
    def _grace_outlasts_a_run(self) -> SnapshotSettings:
        # Parts of a run that still goes on are named by no manifest yet (docs/adr/0010).
        if self.retention.grace_hours * 60 < self.max_age_minutes + RUN_MARGIN_MINUTES:
            raise ValueError(
                f"retention.grace_hours must be at least {RUN_MARGIN_MINUTES} minutes more than max_age_minutes"
            )
        return self


def _from_text(written: object) -> object:
    return date.fromisoformat(written) if isinstance(written, str) else written


# YAML has dates; one in quotes, and one of JSON, is text.
Date = Annotated[date, BeforeValidator(_from_text, json_schema_input_type=date)]


class CalendarSettings(_Section):
    """Days that differ from what the calendar of mainland China says."""

    holidays: tuple[Date, ...] = Field((), strict=False, description="days off, also of years not published yet")
    workdays: tuple[Date, ...] = Field((), strict=False, description="no holidays, whatever the calendar says")


Day = Literal["everyday", "workday", "weekend", "holiday", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Names = Annotated[tuple[str, ...], Field(strict=False)]
_OPEN_ID = r"^ou_[A-Za-z0-9_-]+$"
_PHONE = r"^\+?[0-9][0-9 -]{2,}$"
_TIME_OF_DAY = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"


class PersonSettings(_Section):
    """Somebody who can be on duty."""

    name: str = Field(pattern=r"^[^,，、;；/:：]+$", description="as written in shifts and shown on cards")
    feishu_id: str | None = Field(None, pattern=_OPEN_ID, description="open_id, for mentions and urgent messages")
    phone: str | None = Field(
        None, pattern=_PHONE, description="in quotes, for instance '+86 …'; `mindguard rota who` shows it"
    )
    email: str | None = Field(None, description="finds the person among an iCal event's attendees")


class ShiftSettings(_Section):
    """Hours that one person after the other covers. It belongs to the day on which it begins."""

    name: str
    days: Annotated[tuple[Day, ...], BeforeValidator(lambda days: (days,) if isinstance(days, str) else days)] = Field(
        ("everyday",),
        min_length=1,
        strict=False,
        description="one or a list of everyday, workday, weekend, holiday, mon … sun; a make-up workday is a workday, "
        "a holiday on a weekend is a holiday only",
    )
    begins: str = Field(alias="from", pattern=_TIME_OF_DAY, description="HH:MM in `timezone`")
    ends: str = Field(alias="to", pattern=_TIME_OF_DAY, description="HH:MM; at or before `from`: on the next day")
    rotation: tuple[str | Annotated[Names, Field(min_length=1)], ...] = Field(
        min_length=1, strict=False, description="whose turn it is, in order: names, or lists of a primary and backups"
    )
    rotate: Literal["daily", "weekly"] = Field(
        "weekly", description="to the next turn each day of this shift, or each week that has one"
    )
    starting: Date = Field(date(2026, 1, 5), description="day of the first turn; its weekday is where weeks begin")
    backup: Literal["next"] | Names = Field(
        (), description="who is called after the primary, in this order; `next`: who has the next turn"
    )


class OverrideSettings(_Section):
    """Days on which somebody else is on duty. Of several that apply, each changes what the earlier ones left."""

    first: Date = Field(alias="from", description="first day on which shifts begin that it changes")
    last: Date | None = Field(None, alias="to", description="last day; default: the first")
    shift: str | None = Field(None, description="only this shift; default: all")
    person: str | None = Field(None, description="who takes over")
    instead_of: str | None = Field(None, description="only where this person would be on duty; default: the primary")
    swap: Annotated[Names, Field(min_length=2, max_length=2)] | None = Field(
        None, description="two people who take each other's place, instead of `person`"
    )

    @model_validator(mode="after")
    def _one_change(self) -> OverrideSettings:
        if (self.person is None) == (self.swap is None):
            raise ValueError("write either person or swap")
        if self.swap and self.instead_of:
            raise ValueError("instead_of goes with person, not with swap")
        if self.last and self.last < self.first:
            raise ValueError("`to` is before `from`")
        return self


class RotaSettings(_Section):
    """Who is on duty when: either `shifts`, or a calendar in `ical`; `overrides` go for both."""

    people: tuple[PersonSettings, ...] = Field(min_length=1, strict=False)
    shifts: tuple[ShiftSettings, ...] = Field((), strict=False, description="where two overlap, the first counts")
    overrides: tuple[OverrideSettings, ...] = Field((), strict=False)
    ical: str | None = Field(
        None, description="file or http(s) address; events name people as attendees, or in their summary by comma"
    )
    calendar: CalendarSettings = CalendarSettings()

    @model_validator(mode="after")
    def _whole(self) -> RotaSettings:
        if bool(self.shifts) == (self.ical is not None):
            raise ValueError("write either shifts or ical")
        people = _distinct_names(person.name for person in self.people)
        shifts = _distinct_names(shift.name for shift in self.shifts)
        used = [name for shift in self.shifts for name in _names_of(shift)]
        for override in self.overrides:
            used += [name for name in (override.person, override.instead_of, *(override.swap or ())) if name]
            if self.shifts and override.shift and override.shift not in shifts:
                raise ValueError(f"an override names no shift of the rota: {override.shift}")
        if strangers := sorted(set(used) - people):
            raise ValueError(f"not among people: {', '.join(strangers)}")
        return self


def _names_of(shift: ShiftSettings) -> list[str]:
    turns = [name for turn in shift.rotation for name in ((turn,) if isinstance(turn, str) else turn)]
    return turns if shift.backup == "next" else [*turns, *shift.backup]


class StepSettings(_Section):
    """One rung of an escalation ladder."""

    after_minutes: float = Field(ge=0, description="since people know of the incident")
    position: int = Field(ge=0, description="whom to call: 0 is who is on duty, 1 the next on the rota, and so on")
    means: Annotated[tuple[Literal["card", "app", "sms", "phone"], ...], Field(min_length=1, strict=False)]


def _step(after_minutes: float, position: int, *means: Literal["card", "app", "sms", "phone"]) -> StepSettings:
    return StepSettings(after_minutes=after_minutes, position=position, means=means)


class EscalationSettings(_Section):
    """Who is called, and how, until somebody acknowledges (operations document, section 4.1)."""

    P0: tuple[StepSettings, ...] = Field(
        (
            _step(0, 0, "app", "sms", "phone"),
            *(_step(15 * n, n, "card", "app", "sms", "phone") for n in (1, 2, 3)),
        ),
        strict=False,
    )
    P1: tuple[StepSettings, ...] = Field((_step(30, 1, "card", "app"),), strict=False)
    P2: tuple[StepSettings, ...] = Field((), strict=False)

    @field_validator("P0", "P1", "P2")
    @classmethod
    def _upwards(cls, steps: tuple[StepSettings, ...]) -> tuple[StepSettings, ...]:
        if any(later.after_minutes < earlier.after_minutes for earlier, later in itertools.pairwise(steps)):
            raise ValueError("steps stand in the order of after_minutes")
        return steps


class ReleasesSettings(_Section):
    """Where the latest releases are listed: an SQL file's query, or JSON at an address."""

    query: str | None = Field(
        None,
        description="SQL file, absolute or below `include`; gives version, released_at, share, rolled_back, note",
    )
    connection: str | None = Field(None, description="postgres connection for the query; default: connections.app")
    url: str | None = Field(None, pattern=r"^https?://", description="gives a JSON list of objects with the same names")

    @model_validator(mode="after")
    def _one_source(self) -> ReleasesSettings:
        if (self.query is None) == (self.url is None):
            raise ValueError("write either query or url")
        return self


class AlertsSettings(_Section):
    """How incidents are acknowledged, reviewed and kept."""

    acknowledge_base_url: str | None = Field(
        None,
        pattern=r"^https?://[^?#]+$",
        description="Airflow's address as people reach it; without it cards have no button to acknowledge",
    )
    acknowledge_hours: int = Field(72, ge=1, description="how long the link on a card is good")
    review_hours: int = Field(48, ge=1, description="time for the review of a P0 or P1 (operations document, 6.3)")
    resolved_keep_days: int = Field(400, ge=1, description="how long resolved incidents are kept")
    storm_threshold: int = Field(10, ge=2, description="cards within a minute from which on they become digests")


class WatchSettings(_Section):
    """How the monitors themselves are watched, and what other systems learn from them."""

    late_after_s: float = Field(
        180, ge=60, description="longer between two runs of a monitoring DAG: nobody knows what was in between"
    )
    unknown_after_s: float = Field(
        600, ge=0, description="a monitor that could not be measured for so long is an incident; low traffic never is"
    )
    textfile: str | None = Field(
        None, pattern=r"\.prom$", description="file in the folder of node-exporter's textfile collector"
    )
    heartbeat_file: str | None = Field(
        None, description="touched at the end of each run; `{dag}` in it is the DAG's name"
    )
    heartbeat_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="asked at the end of each run, for a dead man's switch; `{dag}` in it is the DAG's name",
    )


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
    calendar: CalendarSettings | None = Field(None, description="own days of the event volume; default: rota.calendar")
    report_days: int = Field(90, ge=1, description="how long the pages on a day's checks are kept")

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
    rota: RotaSettings | None = None
    escalation: EscalationSettings = EscalationSettings()
    releases: ReleasesSettings | None = None
    alerts: AlertsSettings = AlertsSettings()
    key_events: tuple[KeyEvent, ...] = Field((), strict=False)
    funnels: tuple[Funnel, ...] = Field((), strict=False)
    volume: VolumeSettings = VolumeSettings()
    suites: str | None = Field(None, description="folder of suites of expectations; default: the repository's own")

    @field_validator("key_events", "funnels")
    @classmethod
    def _listed_once(cls, listed: tuple[Any, ...]) -> tuple[Any, ...]:
        _distinct_names(each.name for each in listed)
        return listed

    @model_validator(mode="after")
    def _steps_are_key_events(self) -> Settings:
        known = {event.name for event in self.key_events}
        strangers = sorted({step for funnel in self.funnels for step in funnel.steps} - known)
        if strangers:
            raise ValueError(f"funnels name events that are not under key_events: {', '.join(strangers)}")
        return self

    monitors: tuple[Monitor, ...] = Field((), strict=False, description="measured every minute")
    watch: WatchSettings = WatchSettings()
    monitor_results_keep_days: int = Field(90, ge=1, description="how long what the monitors measured is kept")

    @field_validator("monitors")
    @classmethod
    def _named_once(cls, monitors: tuple[Monitor, ...]) -> tuple[Monitor, ...]:
        _distinct_names(monitor.name for monitor in monitors)
        return monitors

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
