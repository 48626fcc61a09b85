"""Settings for event volume: key events, funnels, and where events are stored."""

from __future__ import annotations

import re
from datetime import date

from pydantic import Field, field_validator

from mindguard.settings.rota import CalendarSettings
from mindguard.settings.section import Section


class KeyEvent(Section):
    """One event whose daily volume is watched. A key event that vanishes is a row with 0, not a missing row."""

    name: str = Field(description="name in the table of events")
    since: date | None = Field(
        None, description="first full day on which the app sends the event; default: the first day on which it is seen"
    )
    tolerance: float = Field(
        0.2, gt=0, lt=1, description="share that may be missing (operations document, section 3.4: 20 %)"
    )
    min_base: int = Field(
        100,
        ge=1,
        description="events expected in a day, below which the day is judged together with the six days before it",
    )
    owner: str | None = Field(None, description="person or team, shown on cards and the page")
    runbook: str | None = Field(None, description="page to open when the event falls")


class Funnel(Section):
    """Steps that users take one after another. Each is judged by its share of the step before."""

    name: str = Field(description="name shown on cards and the page")
    steps: tuple[str, ...] = Field(min_length=2, strict=False, description="key events, first step first")


class VolumeSettings(Section):
    """The tables of product events in ClickHouse, and the days that cannot be a baseline."""

    table: str = Field("mindguard.events", description="database.table of raw events; the rollup is created beside it")
    event_time: str = Field("event_time", description="column with the time of the event by the phone's clock")
    ingest_time: str = Field("ingest_time", description="column with the time at which the event was stored")
    name: str = Field("event_name", description="column with the event's name")
    event_id: str | None = Field(
        "event_id", description="column that is unique for each event; null means that duplicates are not looked for"
    )
    dimensions: tuple[str, ...] = Field(
        ("platform", "app_version", "country"),
        min_length=1,
        strict=False,
        description="columns with few values, by which a loss is explained",
    )
    excluded_days: tuple[date, ...] = Field(
        (), strict=False, description="days that are never a baseline, for instance those of a campaign"
    )
    calendar: CalendarSettings | None = Field(
        None, description="holidays and workdays for event volume; default: rota.calendar"
    )
    report_days: int = Field(90, ge=1, description="days for which the pages on a day's checks are kept")

    @field_validator("table")
    @classmethod
    def _qualified(cls, table: str) -> str:
        if not re.fullmatch(r"[^.]+\.[^.]+", table):
            raise ValueError(f"{table!r} does not name its database; write for instance mindguard.events")
        return table
