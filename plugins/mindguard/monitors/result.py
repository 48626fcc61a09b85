"""What one run says of one monitor, and where that is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from mindguard.monitors.judge import Cause, Reason, State, Status, Verdict
from mindguard.settings.monitors import Monitor

Key = tuple[str, str]
"""Name of a monitor, and a dimension or the empty text."""


@dataclass(frozen=True)
class Result:
    """One monitor, or one dimension of it, at one moment.

    Attributes:
        at: aware; when it was measured.
        value: in `unit` (s, ratio or count); None where there is none.
        threshold: of an error, in the same unit.
        since: aware; when its level began. None: it never had one.
        unknown_since: aware; since when it could not be judged.
        escalated: the severity is P1 at least, whatever the settings say.
        took_s: the measurement, with waiting for its turn at the source.
        skew_s: the source's clock minus ours, where that is more than tolerated.

    The other attributes: see Verdict.
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
        """The verdict on a monitor's dimension."""
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

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }


class Memory(Protocol):
    """What must outlive a run."""

    def states(self) -> Mapping[Key, State]:
        """The state of every monitor and dimension that has one."""

    def save(self, results: Sequence[Result], states: Mapping[Key, State], measured: Collection[str]) -> None:
        """Keep results, and these states in place of all that the measured monitors had."""
