"""Settings for monitors: one entry for each thing that is measured every minute."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, AnyHttpUrl, Field, TypeAdapter, model_validator

from mindguard.documents import at_place
from mindguard.settings.section import Section

NEEDS = {
    "clickhouse": ("query",),
    "postgres": ("query",),
    "prometheus": ("promql",),
    "kafka": ("group", "topics"),
    "http": ("url",),
    "snapshots": (),
}
"""The keys that say what to measure, for each source."""

HONOURED = {
    "params": ("clickhouse", "postgres"),
    "connection": ("clickhouse", "postgres", "prometheus", "kafka", "snapshots"),
    "base_promql": ("prometheus",),
    "min_base": ("clickhouse", "postgres", "prometheus"),
    "max_future_s": ("clickhouse", "postgres", "kafka", "snapshots"),
}
"""For each other key that not every source honours, the sources that do. Elsewhere it would have no effect."""

Unit = Literal["s", "ratio", "count"]


def _address(written: str) -> str:
    TypeAdapter(AnyHttpUrl).validate_python(written)
    return written


class _Monitor(Section):
    # A value must not exceed a threshold; both are in `unit`.
    unit: ClassVar[Unit]

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="must never change, because history and incidents refer to it"
    )
    connection: str | None = Field(None, description="connection id; default: the connection for this kind of source")
    query: str | None = Field(None, description="for clickhouse and postgres: SQL file, absolute or below `include`")
    promql: str | None = Field(None, description="for prometheus: expression")
    base_promql: str | None = Field(
        None, description="for prometheus: expression of the base that `min_base` is compared with"
    )
    url: Annotated[str, AfterValidator(_address)] | None = Field(None, description="for http: http(s) address")
    group: str | None = Field(None, description="for kafka: consumer group")
    topics: tuple[str, ...] = Field((), strict=False, description="for kafka: the topics that the group reads")
    params: dict[str, str | int | float] = Field(
        default_factory=dict,
        description="values bound in the query by name, in addition to those that the monitor's kind provides",
    )
    timeout_s: float = Field(10, gt=0, le=30, description="seconds after which the monitor is unknown")
    for_s: float = Field(
        0, ge=0, description="a level begins once every value has been above its threshold for this many seconds"
    )
    recover_for_s: float = Field(
        45,
        ge=0,
        description="a level ends once every value has been below its threshold for this many seconds; "
        "by default, this takes two runs",
    )
    severity: Literal["P0", "P1", "P2"] = Field("P2", description="severity of an error")
    owner: str | None = Field(None, description="person or team, shown on cards")
    runbook: str | None = Field(None, description="page to open when the monitor fails")
    source: str

    @property
    def warn(self) -> float | None:
        """The threshold above which a value is a warning."""
        return None

    @property
    def error(self) -> float:
        """The threshold above which a value is an error."""
        raise NotImplementedError

    @property
    def escalate(self) -> float | None:
        """The threshold above which an error is at least a P1."""
        return None

    @property
    def base(self) -> float:
        """The least denominator: with a smaller one, nothing is judged."""
        return 0

    @model_validator(mode="after")
    def _one_source(self) -> _Monitor:
        needed = NEEDS[self.source]
        for key in sorted({key for keys in NEEDS.values() for key in keys}):
            given = bool(getattr(self, key))
            if given != (key in needed):
                if key in needed:
                    raise ValueError(f"source {self.source} needs {key}")
                raise at_place(f"source {self.source} does not use {key}", key)
        for key, sources in HONOURED.items():
            field = type(self).model_fields.get(key)
            default = field.get_default(call_default_factory=True) if field else None
            if field and self.source not in sources and getattr(self, key) != default:
                raise at_place(f"source {self.source} does not use {key}", key)
        if self.source == "prometheus" and bool(self.base) != bool(self.base_promql):
            raise ValueError("min_base and base_promql need each other")
        return self

    @model_validator(mode="after")
    def _rising(self) -> _Monitor:
        levels = [level for level in (self.warn, self.error, self.escalate) if level is not None]
        if levels != sorted(levels):
            raise ValueError("thresholds must rise from warn through error to escalate")
        return self


class _After(_Monitor):
    warn_after_s: float | None = Field(None, ge=0, description="seconds after which being late is a warning")
    error_after_s: float = Field(300, ge=0)
    # After a recovery, data must be late for the whole threshold again, so the status does not go back and forth.
    recover_for_s: float = Field(
        0, ge=0, description="a level ends once every value has been below its threshold for this many seconds"
    )

    @property
    def warn(self) -> float | None:
        return self.warn_after_s

    @property
    def error(self) -> float:
        return self.error_after_s


class FreshnessMonitor(_After):
    """The time since the newest row was loaded, or the time for which the oldest waiting item has waited."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["freshness"]
    source: Literal["clickhouse", "postgres", "prometheus", "kafka", "snapshots"]
    error_after_s: float = Field(
        300,
        gt=0,
        description="seconds after which being late is an error (operations document, section 2: more than 5 minutes)",
    )
    max_future_s: float = Field(
        60,
        ge=0,
        description="seconds by which the newest row may be ahead of the source's clock; beyond that it is not valid",
    )
    min_base: float = Field(
        0, ge=0, description="least number of rows usual at this time of day; with fewer, the age is not judged"
    )

    @property
    def base(self) -> float:
        return self.min_base


class _Above(_Monitor):
    warn_above: float | None = Field(None, ge=0, description="a higher value is a warning")
    error_above: float = Field(ge=0, description="a higher value is an error")
    escalate_above: float | None = Field(None, ge=0, description="a higher value makes the incident at least a P1")
    min_base: float = Field(
        0, ge=0, description="least denominator; with a smaller one the monitor is unknown instead of a false alarm"
    )

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
    """A share of a number of events: 0.01 is 1 %. With a base, a level begins once chance alone does not explain it."""

    unit: ClassVar[Unit] = "ratio"

    kind: Literal["rate"]
    source: Literal["clickhouse", "postgres", "prometheus"]

    @model_validator(mode="after")
    def _shares(self) -> RateMonitor:
        if any(level is not None and level >= 1 for level in (self.warn, self.error, self.escalate)):
            raise ValueError("a share is never above 1: write 0.05 for 5 %")
        if 0 < self.min_base < 1:
            raise ValueError("min_base of a rate is a number of events: with Prometheus, use increase(), not rate()")
        return self


class LatencyMonitor(_Above):
    """The number of seconds that something takes."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["latency"]
    source: Literal["clickhouse", "postgres", "prometheus"]


class HeartbeatMonitor(_Monitor):
    """The status page or heartbeat address of a dependency, which can be down or slow."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["heartbeat"]
    source: Literal["http"] = "http"
    warn_after_s: float | None = Field(None, gt=0, description="seconds after which an answer is slow")
    expect: str | None = Field(None, description="text that the answer must contain, for instance 'operational'")

    @property
    def warn(self) -> float | None:
        return self.warn_after_s

    @property
    def error(self) -> float:
        return self.timeout_s


class DeadlineMonitor(_After):
    """Something that is due at a time of day, every day or once a week, for the preceding day or week."""

    unit: ClassVar[Unit] = "s"

    kind: Literal["deadline"]
    source: Literal["clickhouse", "postgres"]
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] | None = Field(
        None, description="day on which the previous ISO week is due; default: each day, the day before is due"
    )
    at: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="time of the deadline, HH:MM in `timezone`")
    warn_after_s: float | None = Field(
        0, ge=0, description="seconds after the deadline from which being late is a warning"
    )
    error_after_s: float = Field(300, ge=0, description="seconds after the deadline from which being late is an error")


Monitor = Annotated[
    FreshnessMonitor | RateMonitor | LatencyMonitor | HeartbeatMonitor | DeadlineMonitor, Field(discriminator="kind")
]


class WatchSettings(Section):
    """The watch over the monitors themselves, and the results that other systems get."""

    late_after_s: float = Field(
        180,
        ge=60,
        description="longest time in seconds between two runs of a monitoring DAG; a longer gap is reported, since "
        "nothing was measured in it",
    )
    unknown_after_s: float = Field(
        600,
        ge=0,
        description="seconds after which a monitor that cannot be measured is an incident; low traffic never is",
    )
    textfile: str | None = Field(
        None, pattern=r"\.prom$", description="file to write in the folder of node-exporter's textfile collector"
    )
    heartbeat_file: str | None = Field(
        None, description="file touched at the end of each run; `{dag}` stands for the name of the DAG"
    )
    heartbeat_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="address requested at the end of each run, for a dead man's switch; `{dag}` stands for the name "
        "of the DAG",
    )
