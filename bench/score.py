"""Scores how well a rule finds known falls: the share that it finds, and the number of false alerts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from mindguard.volume.series import TOTAL

if TYPE_CHECKING:
    import pandas as pd

_WEEK = 7


@dataclass(frozen=True)
class Fall:
    """A fall that is known to have happened, of one event or of all (`TOTAL`)."""

    event_name: str
    first: date
    last: date

    def holds(self, day: date, *, after: int = 0) -> bool:
        """Return whether `day` is one of the fall's days, or at most `after` days later."""
        return self.first <= day <= self.last + timedelta(days=after)


@dataclass(frozen=True)
class Score:
    """The result of one rule against known falls."""

    found: int
    falls: int
    false_alerts: int
    false_incidents: int
    """False alerts of an event that had no alert in the week before; such an alert opens a card."""
    alerts: int
    weeks: float

    @property
    def recall(self) -> float:
        """The share of falls with an alert on one of their days; not a number when there are no falls."""
        return self.found / self.falls if self.falls else math.nan

    @property
    def precision(self) -> float:
        """The share of alerts that belong to a fall; not a number when there are no alerts."""
        return 1 - self.false_alerts / self.alerts if self.alerts else math.nan

    @property
    def false_per_week(self) -> float:
        """The number of alerts in a week that belong to no fall."""
        return self.false_alerts / self.weeks


def score(replayed: pd.DataFrame, rule: str, falls: Sequence[Fall]) -> Score:
    """Score one rule against known falls.

    Args:
        replayed: the result of `replay`.
        rule: the column of `replayed` to score: page, investigate or plain.
        falls: the known falls. An alert within a week after a fall does not count as false, since a rare event is
            judged over seven days.
    """
    fired = replayed[replayed[rule]]
    alerts = list(zip(fired["event_name"], fired["day"], strict=True))
    days_of: dict[str, list[date]] = {TOTAL: list(fired["day"])}
    for name, day in alerts:
        days_of.setdefault(name, []).append(day)
    found = sum(any(fall.holds(day) for day in days_of.get(fall.event_name, [])) for fall in falls)
    by_name: dict[str, list[Fall]] = {}
    for name in {name for name, _ in alerts}:
        by_name[name] = [fall for fall in falls if fall.event_name in (name, TOTAL)]
    false = [
        (name, day)
        for name, day in alerts
        if not any(fall.holds(day, after=_WEEK - 1) for fall in by_name.get(name, []))
    ]
    there = set(alerts)
    opened = [
        (name, day)
        for name, day in false
        if not any((name, day - timedelta(days=back)) in there for back in range(1, _WEEK + 1))
    ]
    return Score(found, len(falls), len(false), len(opened), len(alerts), replayed["day"].nunique() / _WEEK)
