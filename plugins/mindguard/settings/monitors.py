"""Settings of the monitors: one entry for each thing that is measured every minute."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, AnyHttpUrl, Field, TypeAdapter, model_validator

from mindguard.settings.section import Section

NEEDS = {
    "clickhouse": ("query",),
    "postgres": ("query",),
    "prometheus": ("promql",),
    "kafka": ("group", "topics"),
    "http": ("url",),
    "snapshots": (),
}
"""The keys that say what to measure at each source."""

Unit = Literal["s", "ratio", "count"]


def _address(written: str) -> str:
    TypeAdapter(AnyHttpUrl).validate_python(written)
    return written


class _Monitor(Section):
    # Thresholds are what a value must not be above; `unit` is the value's.
    unit: ClassVar[Unit]

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="stays the same for good: history and incidents use it")
    connection: str | None = Field(None, description="connection id; default: the one of the source's own kind")
    query: str | None = Field(None, description="SQL file, absolute or below `include`, for clickhouse and postgres")
    promql: str | None = Field(None, description="expression, for prometheus")
    url: Annotated[str, AfterValidator(_address)] | None = Field(None, description="http(s) address, for http")
    group: str | None = Field(None, description="consumer group, for kafka")
    topics: tuple[str, ...] = Field((), strict=False, description="what the group reads, for kafka")
    params: dict[str, str | int | float] = Field(
        default_factory=dict, description="bound in the query by name, beside those that its kind brings"
    )
    timeout_s: float = Field(10, gt=0, le=30, description="after it the monitor is unknown")
    for_s: float = Field(0, ge=0, description="a level counts once every value was above it for so long")
    recover_for_s: float = Field(
        45, ge=0, description="a level ends once every value was below it for so long; by default in two runs"
    )
    severity: Literal["P0", "P1", "P2"] = "P2"
    owner: str | None = None
    runbook: str | None = Field(None, description="page to open when it fails")
    source: str

    @property
    def warn(self) -> float | None:
        """A value above it is a warning."""
        return None

    @property
    def error(self) -> float:
        """A value above it is an error."""
        raise NotImplementedError

    @property
    def escalate(self) -> float | None:
        """An error with a value above it is a P1 at least."""
        return None

    @property
    def base(self) -> float:
        """Below so many in the denominator nothing is judged."""
        return 0

    @model_validator(mode="after")
    def _one_source(self) -> _Monitor:
        needed = NEEDS[self.source]
        for key in sorted({key for keys in NEEDS.values() for key in keys}):
            given = bool(getattr(self, key))
            if given != (key in needed):
                raise ValueError(f"source {self.source} {'needs' if key in needed else 'does not use'} {key}")
        return self

    @model_validator(mode="after")
    def _rising(self) -> _Monitor:
        levels = [level for level in (self.warn, self.error, self.escalate) if level is not None]
        if levels != sorted(levels):
            raise ValueError("thresholds must rise from warn over error to escalate")
        return self


class _After(_Monitor):
    warn_after_s: float | None = Field(None, ge=0)
    error_after_s: float = Field(300, ge=0)
    # What is late needs its whole threshold to be late again, so nothing flaps.
    recover_for_s: float = Field(0, ge=0, description="a level ends once every value was below it for so long")

    @property
    def warn(self) -> float | None:
        return self.warn_after_s

    @property
    def error(self) -> float:
        return self.error_after_s


class FreshnessMonitor(_After):
    """How long ago the newest row was loaded, or how long the oldest waiting one has waited."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["freshness"]
    source: Literal["clickhouse", "postgres", "prometheus", "kafka", "snapshots"]
    error_after_s: float = Field(300, gt=0, description="operations document, section 2: more than 5 minutes is late")
    max_future_s: float = Field(60, ge=0, description="a newest row so far ahead of the source's clock is no time")
    min_base: float = Field(0, ge=0, description="rows usual at this time of day; below it the age says nothing")

    @property
    def base(self) -> float:
        return self.min_base


class _Above(_Monitor):
    warn_above: float | None = Field(None, ge=0)
    error_above: float = Field(ge=0)
    escalate_above: float | None = Field(None, ge=0, description="above it the incident is a P1 at least")
    min_base: float = Field(0, ge=0, description="fewer in the denominator: unknown, not a false alarm")

    @property
    def warn(self) -> float | None:
        return self.warn_above

    @property
    def error(self) -> float:
        return self.error_above

    @property
    def escalate(self) -> float | None:
        return self.escalate_above

    @property
    def base(self) -> float:
        return self.min_base


class RateMonitor(_Above):
    """A share: 0.01 is 1 %."""

    unit: ClassVar[Unit] = "ratio"

    kind: Literal["rate"]
    source: Literal["clickhouse", "postgres", "prometheus"]


class LatencyMonitor(_Above):
    """How many seconds something takes."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["latency"]
    source: Literal["clickhouse", "postgres", "prometheus"]


class HeartbeatMonitor(_Monitor):
    """A dependency's status page or heartbeat address: down, or slow."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["heartbeat"]
    source: Literal["http"] = "http"
    warn_after_s: float | None = Field(None, gt=0, description="an answer that takes longer is slow")
    expect: str | None = Field(None, description="text that the answer must hold, for instance 'operational'")

    @property
    def warn(self) -> float | None:
        return self.warn_after_s

    @property
    def error(self) -> float:
        return self.timeout_s


class DeadlineMonitor(_After):
    """Something that is due at a time of day, every day or once a week, for the period before."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["deadline"]
    source: Literal["clickhouse", "postgres"]
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] | None = Field(
        None, description="due for the ISO week before this one; default: due each day, for the day before"
    )
    at: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM in `timezone`")
    warn_after_s: float | None = Field(0, ge=0, description="after the deadline")
    error_after_s: float = Field(300, ge=0, description="after the deadline")


Monitor = Annotated[
    FreshnessMonitor | RateMonitor | LatencyMonitor | HeartbeatMonitor | DeadlineMonitor, Field(discriminator="kind")
]


class WatchSettings(Section):
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
