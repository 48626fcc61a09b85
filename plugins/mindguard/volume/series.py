"""Daily counts of events, and for each day whether the event existed, whether the day is clean, and its kind. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from mindguard.settings.volume import KeyEvent
from mindguard.volume.days import Kind, kind_of
from mindguard.workdays import Workdays

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]


TOTAL = "*"
"""Name of the row for all traffic, and the key of the days that are unclean for every event."""

HISTORY_DAYS = 63
"""Number of days before the judged day that are used: eight weeks for the weekdays, one more for the spread."""

BASELINE_DAYS = 4
MIN_BASELINE_DAYS = 3
_BASELINE_WEEKS = 8
_REFERENCE_DAYS = 14  # the longest run of holidays is nine days
WEEK = 7


@dataclass(frozen=True)
class History:
    """Counts of consecutive days, the judged day last.

    Attributes:
        names: the key events.
        days: consecutive days, oldest first.
        counts: an array, names x days.
        total: all traffic of each day, including names that are not key events.
    """

    names: tuple[str, ...]
    days: tuple[date, ...]
    counts: Counts
    total: Counts

    @classmethod
    def of(cls, counts: pd.DataFrame, names: Sequence[str], days: Sequence[date]) -> History:
        """Return the history with every gap filled: a name without a row on a day counts as 0.

        Args:
            counts: `event_name`, `day`, `count`; names other than `names` are only added to the total.
            names: the key events.
            days: consecutive days, oldest first, the judged day last.
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
        """Return the same history as it was on an earlier day."""
        end = self.days.index(day) + 1
        begin = max(0, end - 1 - HISTORY_DAYS)
        return History(self.names, self.days[begin:end], self.counts[:, begin:end], self.total[begin:end])


class WeekSums(NamedTuple):
    """Events of the last seven days against earlier ones, for events that are too rare for one day.

    Attributes:
        comparable: the last seven days, without days whose counterpart a week before is missing or not usual.
        week_before: the same days one week before.
        current: the last seven days, without days that have no usual counterpart in any earlier week.
        expected: the value of `current` that the four weeks before lead one to expect.
    """

    comparable: float
    week_before: float
    current: float
    expected: float


@dataclass(frozen=True)
class Series:
    """One event's counts, and the properties of each day. Positions are counted from the oldest day."""

    counts: Counts
    alive: NDArray[np.bool_]
    """Whether the event existed during the whole day."""
    clean: NDArray[np.bool_]
    """Whether the event existed, had no open incident, and the day is not excluded, whatever the day's kind."""
    kinds: tuple[Kind, ...]
    days: tuple[date, ...]

    @property
    def last(self) -> int:
        """The position of the judged day."""
        return len(self.days) - 1

    def usual(self, position: int) -> bool:
        """Return whether the day is clean, and either ordinary or of the judged day's kind."""
        kind = self.kinds[position]
        return bool(self.clean[position]) and kind in (Kind.ORDINARY, self.kinds[self.last])

    def reference(self) -> int | None:
        """Return the position of yesterday, or of the last usual day before it; None if there is none.

        The second day of an outage is therefore not compared with the first. A workday is compared with a workday, and
        a weekend day with a weekend day.
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

    def reference_date(self) -> date | None:
        """Return the day at `reference`."""
        position = self.reference()
        return None if position is None else self.days[position]

    def baseline(self) -> list[int]:
        """Return the positions of the last clean ordinary days like the judged one, newest first, four at most.

        An ordinary day is like the days of the same weekday, a holiday is like weekend days, and an exchanged day is
        like workdays.
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

    def baseline_dates(self) -> tuple[date, ...]:
        """Return the days at `baseline`."""
        return tuple(self.days[position] for position in self.baseline())

    def weeks(self) -> WeekSums:
        """Return the sums of the last seven days and of the days that they are compared with."""
        comparable = before = current = expected = 0.0
        for position in range(self.last, max(-1, self.last - WEEK), -1):
            if position != self.last and not self.usual(position):
                continue
            alike = [at for at in range(position - WEEK, -1, -WEEK) if self.usual(at)]
            if position - WEEK in alike:
                comparable += self.counts[position]
                before += self.counts[position - WEEK]
            # The fall may be in the last week itself, so the expectation uses earlier weeks only.
            if alike:
                current += self.counts[position]
                expected += float(self.counts[alike[:BASELINE_DAYS]].mean())
        return WeekSums(comparable, before, current, expected)


def series_by_name(
    history: History,
    registry: Sequence[KeyEvent],
    *,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
) -> dict[str, Series]:
    """Return a series for each key event, and one for all traffic under `TOTAL`.

    Args:
        history: counts of the key events, in the order of the registry.
        registry: the key events.
        calendar: tells holidays and exchanged workdays.
        unclean: days that must not serve as a baseline, by event, or under `TOTAL` for all events.
    """
    import numpy as np

    unclean = unclean or {}
    kinds = tuple(kind_of(day, calendar) for day in history.days)
    first = int(np.argmax(history.total > 0)) if history.total.any() else len(history.days)
    # The first day with any events is rarely recorded completely.
    recorded = np.arange(len(history.days)) > first
    unclean_for_all = _membership(history.days, unclean.get(TOTAL, ()))
    found = {TOTAL: Series(history.total, recorded, recorded & ~unclean_for_all, kinds, history.days)}
    for event, counted in zip(registry, history.counts, strict=True):
        alive = recorded & _alive(event, counted, history.days)
        unclean_days = unclean_for_all | _membership(history.days, unclean.get(event.name, ()))
        found[event.name] = Series(counted, alive, alive & ~unclean_days, kinds, history.days)
    return found


def _membership(days: Sequence[date], some: Collection[date]) -> NDArray[np.bool_]:
    import numpy as np

    return np.array([day in some for day in days])


def _alive(event: KeyEvent, counted: Counts, days: Sequence[date]) -> NDArray[np.bool_]:
    import numpy as np

    if event.since:
        return np.array([day >= event.since for day in days])
    seen = np.flatnonzero(counted)
    return np.arange(len(days)) > (seen[0] if seen.size else len(days))


def age_of(event: KeyEvent, series: Series) -> int | None:
    """Return the days since the event's first day; None if it was never seen, below 0 if it is not due yet."""
    seen = [day for day, count in zip(series.days, series.counts, strict=True) if count]
    today = series.days[series.last]
    if event.since and event.since > today:
        return (today - event.since).days
    if not seen:
        return None
    return (today - max(seen[0], event.since or seen[0])).days


def median_of(series: Series) -> float:
    """Return the median count of the baseline days; NaN if there are too few."""
    import numpy as np

    baseline = series.baseline()
    return float(np.median(series.counts[baseline])) if len(baseline) >= MIN_BASELINE_DAYS else math.nan
