"""Settings for alerts: escalation, releases, and how incidents are kept."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mindguard.settings.section import Section


class StepSettings(Section):
    """One step of an escalation ladder."""

    after_minutes: float = Field(ge=0, description="minutes since people were first notified of the incident")
    position: int = Field(
        ge=0, description="whom to call: 0 is the person on duty, 1 the next person on the rota, and so on"
    )
    means: Annotated[tuple[Literal["card", "app", "sms", "phone"], ...], Field(min_length=1, strict=False)] = Field(
        description="how to call: `card` is a mention in the group, the others are urgent messages"
    )


def _step(after_minutes: float, position: int, *means: Literal["card", "app", "sms", "phone"]) -> StepSettings:
    return StepSettings(after_minutes=after_minutes, position=position, means=means)


class EscalationSettings(Section):
    """The people to call, and the means, until somebody acknowledges (operations document, section 4.1)."""

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
            raise ValueError("steps must be in the order of after_minutes")
        return steps


class ReleasesSettings(Section):
    """The list of the latest releases: a query in an SQL file, or JSON at an address."""

    query: str | None = Field(
        None,
        description="SQL file, absolute or below `include`; gives version, released_at, share, rolled_back, note",
    )
    connection: str | None = Field(None, description="postgres connection for the query; default: connections.app")
    url: str | None = Field(
        None, pattern=r"^https?://", description="address of a JSON list of objects with the same names"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ReleasesSettings:
        if (self.query is None) == (self.url is None):
            raise ValueError("write either query or url")
        return self


class AlertsSettings(Section):
    """The rules for acknowledging, reviewing and keeping incidents."""

    acknowledge_base_url: str | None = Field(
        None,
        pattern=r"^https?://[^?#]+$",
        description="Airflow's address as people reach it; without it, cards have no button for acknowledging",
    )
    acknowledge_hours: int = Field(72, ge=1, description="hours for which the link on a card is valid")
    review_hours: int = Field(
        48, ge=1, description="hours within which a P0 or P1 must be reviewed (operations document, section 6.3)"
    )
    resolved_keep_days: int = Field(400, ge=1, description="days for which resolved incidents are kept")
    spool_folder: str | None = Field(
        None,
        description="folder on each machine's disk, for its user alone, that keeps what was sent while the incident "
        "store was away; default: one in the temporary folder",
    )
    storm_threshold: int = Field(
        10, ge=2, description="number of cards within a minute above which digests are sent instead"
    )
    silence_max_hours: int = Field(
        168, ge=1, le=24 * 366, description="longest silence for planned work, in hours; a longer one is refused"
    )
    flap_window_minutes: float = Field(
        60,
        ge=0,
        le=60 * 24,
        description="an incident that begins for the third time within these minutes remains one incident, which says "
        "how often; 0: each time is an incident of its own",
    )
    flap_card_minutes: float = Field(
        30,
        ge=1,
        le=60 * 24,
        description="least minutes between two cards of such an incident, which turns green once it was well for as "
        "long",
    )
