"""Details of an event beside its row in the frame. They are typed, since the frame's cells are texts and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from mindguard.volume.cause import Cause


@dataclass(frozen=True)
class DayCount:
    """The number of events on one day."""

    day: date
    count: int


@dataclass(frozen=True)
class EventDetails:
    """The details of one event, or of all traffic, on the judged day.

    Attributes:
        counts: the counts of the last four weeks, oldest first, the judged day last.
        baseline: the days whose median the judged day is compared with.
        cause: the reason why the event fell; None if there is nothing to investigate.
    """

    counts: tuple[DayCount, ...] = ()
    baseline: tuple[date, ...] = ()
    cause: Cause | None = None


NO_DETAILS = EventDetails()
