"""The result of one monitor in one run, and the interface of the memory that keeps results and states."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from mindguard.monitors.judge import Cause, Reason, State, Status, Verdict
from mindguard.settings.monitors import Monitor


class Key(NamedTuple):
    """The identity of a state: a monitor, or one of its dimensions.

    Attributes:
        monitor: the monitor's name.
        dimension: the name of the dimension; empty if the monitor has none.
    """

    monitor: str
    dimension: str = ""

    @classmethod
    def of_dag(cls, dag: str) -> Key:
        """Return the key under which a monitoring DAG keeps when it ran. No monitor's name can contain a colon."""
        return cls(f"checker:{dag}")

    @property
    def dag(self) -> str:
        """The monitoring DAG that the key is about; empty for a monitor."""
        return self.monitor.partition(":")[2]


@dataclass(frozen=True)
class Result:
    """The result of one monitor, or of one of its dimensions, at one moment.

    Attributes:
        at: when it was measured, aware.
        value: in `unit` (s, ratio or count); None if nothing was measured.
        threshold: the value above which the result is an error, in `unit`.
        since: when the present level began, aware; None if it never had a level.
        unknown_since: since when it could not be judged, aware.
        escalated: the severity is at least P1, whatever the settings say.
        took_s: duration of the measurement in seconds, including the wait for its turn at the source.
        skew_s: seconds by which the source's clock is ahead of this machine's, if more than tolerated.

    See Verdict for the other attributes.
    """

    monitor: str
    dimension: str
    at: datetime
    status: Status
    value: float | None
    threshold: float
    unit: str
    reason: Reason
    cause: Cause
    note: str
    escalated: bool
    since: datetime | None
    unknown_since: datetime | None
    took_s: float
    skew_s: float | None = None

    @classmethod
    def of(cls, monitor: Monitor, dimension: str, verdict: Verdict, *, at: datetime, took_s: float) -> Result:
        """Return the result of a monitor's dimension for a verdict."""
        return cls(
            monitor=monitor.name,
            dimension=dimension,
            at=at,
            status=verdict.status,
            value=verdict.value,
            threshold=monitor.error,
            unit=monitor.unit,
            reason=verdict.reason,
            cause=verdict.cause,
            note=verdict.note,
            escalated=verdict.escalated,
            since=verdict.state.since,
            unknown_since=verdict.state.unknown_since,
            took_s=round(took_s, 3),
            skew_s=verdict.skew_s,
        )

    @property
    def key(self) -> Key:
        """The monitor and dimension that the result is about."""
        return Key(self.monitor, self.dimension)

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON; times are ISO texts."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }


class Memory(Protocol):
    """Keeps the results and states that must outlive a run."""

    def states(self) -> Mapping[Key, State]:
        """Return the state of every monitor and dimension that has one."""

    def save(self, results: Sequence[Result], states: Mapping[Key, State], measured: Collection[str]) -> None:
        """Keep results, and replace all states of the measured monitors by these."""
