"""Settings of the event volume: key events, funnels and where events lie."""

from __future__ import annotations

import re
from datetime import date

from pydantic import Field, field_validator

from mindguard.settings.rota import CalendarSettings
from mindguard.settings.section import Section


class KeyEvent(Section):
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


class Funnel(Section):
    """Steps that users take one after the other; each is expected as its share of the step before."""

    name: str
    steps: tuple[str, ...] = Field(min_length=2, strict=False, description="key events, first step first")


class VolumeSettings(Section):
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
