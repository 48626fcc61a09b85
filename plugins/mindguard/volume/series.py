"""Daily counts of events, with what is known of each day: alive, clean, of which kind. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from mindguard.settings.volume import KeyEvent
from mindguard.volume.days import Kind, kind_of
from mindguard.workdays import Workdays

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]


TOTAL = "*"
"""Name of the row for all traffic; and the key under which a day is unclean for every event."""

HISTORY_DAYS = 63
"""Days before the judged one that are looked at: eight weeks for the weekdays, one more for the spread."""

BASELINE_DAYS = 4
MIN_BASELINE_DAYS = 3
_BASELINE_WEEKS = 8
_REFERENCE_DAYS = 14  # the longest run of holidays is nine days
WEEK = 7


@dataclass(frozen=True)
class History:
    """Counts of consecutive days, the judged one last.

    Attributes:
        counts: names x days.
        total: all traffic of each day, names that are no key events included.
    """

    names: tuple[str, ...]
    days: tuple[date, ...]
    counts: Counts
    total: Counts

    @classmethod
    def of(cls, counts: pd.DataFrame, names: Sequence[str], days: Sequence[date]) -> History:
        """Fill the gaps: a name without row on a day was counted 0 times.

        Args:
            counts: `event_name`, `day`, `count`; every other name counts into the total only.
        """
        import numpy as np

        wide = counts.pivot_table(index="event_name", columns="day", values="count", aggfunc="sum", fill_value=0)
        wide = wide.reindex(columns=list(days), fill_value=0)
        return cls(
            tuple(names),
            tuple(days),
            wide.reindex(list(names), fill_value=0).to_numpy(dtype=np.int64),
            wide.sum().to_numpy(dtype=np.int64),
        )

    def until(self, day: date) -> History:
        """The same history as it stood on an earlier day."""
        end = self.days.index(day) + 1
        begin = max(0, end - 1 - HISTORY_DAYS)
        return History(self.names, self.days[begin:end], self.counts[:, begin:end], self.total[begin:end])


@dataclass(frozen=True)
class Series:
    """One event's counts with what is known of each day. Positions count from the oldest day."""

    counts: Counts
    alive: NDArray[np.bool_]
    """The event existed through the whole day."""
    clean: NDArray[np.bool_]
    """Alive, and neither an open incident nor excluded; of any kind."""
    kinds: tuple[Kind, ...]
    days: tuple[date, ...]

    @property
    def last(self) -> int:
        return len(self.days) - 1

    def usual(self, position: int) -> bool:
        """A clean day of the judged day's kind, or an ordinary one."""
        kind = self.kinds[position]
        return bool(self.clean[position]) and kind in (Kind.ORDINARY, self.kinds[self.last])

    def reference(self) -> int | None:
        """Yesterday; or the last usual day before it, so that day two of an outage is not compared with day one.

        What stands in for yesterday is a workday for a workday, and a weekend day for a weekend day.
        """
        positions = range(self.last - 1, max(-1, self.last - 1 - _REFERENCE_DAYS), -1)
        weekend = self.days[self.last].weekday() >= 5
        return next(
            (
                position
                for position in positions
                if self.usual(position)
                and (position == self.last - 1 or (self.days[position].weekday() >= 5) == weekend)
            ),
            None,
        )

    def baseline(self) -> list[int]:
        """The last clean ordinary days like this one, newest first, four at most.

        Like an ordinary day is the same weekday; like a holiday a weekend day; like an exchanged day a workday.
        """
        kind, weekday = self.kinds[self.last], self.days[self.last].weekday()
        weekdays = {Kind.ORDINARY: (weekday,), Kind.HOLIDAY: (5, 6), Kind.EXCHANGED: range(5)}[kind]
        positions = range(self.last - 1, max(-1, self.last - 1 - WEEK * _BASELINE_WEEKS), -1)
        found = [
            position
            for position in positions
            if self.clean[position]
            and self.kinds[position] is Kind.ORDINARY
            and self.days[position].weekday() in weekdays
        ]
        return found[:BASELINE_DAYS]

    def weeks(self) -> tuple[float, float, float, float]:
        """Seven days against those before, for events too rare for one day.

        Returns:
            The last seven days and the seven before, day by day comparable; then the last seven and what the four
            weeks before make one expect of them.
        """
        now = before = current = expected = 0.0
        for position in range(self.last, max(-1, self.last - WEEK), -1):
            if position != self.last and not self.usual(position):
                continue
            alike = [at for at in range(position - WEEK, -1, -WEEK) if self.usual(at)]
            if position - WEEK in alike:
                now += self.counts[position]
                before += self.counts[position - WEEK]
            # The last week itself may hold the fall, so only what lies before it is expected.
            if alike:
                current += self.counts[position]
                expected += float(self.counts[alike[:BASELINE_DAYS]].mean())
        return now, before, current, expected


def series_by_name(
    history: History,
    registry: Sequence[KeyEvent],
    *,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
) -> dict[str, Series]:
    """Each key event's counts, and all traffic's under `TOTAL`, with what is known of each day."""
    import numpy as np

    unclean = unclean or {}
    kinds = tuple(kind_of(day, calendar) for day in history.days)
    begun = int(np.argmax(history.total > 0)) if history.total.any() else len(history.days)
    # The first day with events at all is rarely a whole one.
    recorded = np.arange(len(history.days)) > begun
    dirty = _are_in(history.days, unclean.get(TOTAL, ()))
    found = {TOTAL: Series(history.total, recorded, recorded & ~dirty, kinds, history.days)}
    for event, counted in zip(registry, history.counts, strict=True):
        alive = recorded & _alive(event, counted, history.days)
        own = dirty | _are_in(history.days, unclean.get(event.name, ()))
        found[event.name] = Series(counted, alive, alive & ~own, kinds, history.days)
    return found


def _are_in(days: Sequence[date], some: Collection[date]) -> NDArray[np.bool_]:
    import numpy as np

    return np.array([day in some for day in days])


def _alive(event: KeyEvent, counted: Counts, days: Sequence[date]) -> NDArray[np.bool_]:
    import numpy as np

    if event.since:
        return np.array([day >= event.since for day in days])
    seen = np.flatnonzero(counted)
    return np.arange(len(days)) > (seen[0] if seen.size else len(days))


def age_of(event: KeyEvent, series: Series) -> int | None:
    """Days since the event's first; None when it never came, below 0 when it is not due yet."""
    seen = [day for day, count in zip(series.days, series.counts, strict=True) if count]
    today = series.days[series.last]
    if event.since and event.since > today:
        return (today - event.since).days
    if not seen:
        return None
    return (today - max(seen[0], event.since or seen[0])).days


def median_of(series: Series) -> float:
    import numpy as np

    baseline = series.baseline()
    return float(np.median(series.counts[baseline])) if len(baseline) >= MIN_BASELINE_DAYS else math.nan
