"""The frame that the event volume suites judge: one row for each key event, and one for all traffic.

Pure: counts go in, verdicts come out; there is no clock and no query here.

Two lenses. The first is the rule of the operations document (section 3.4), day over day. The second compares with the
median of the last four clean days of the same weekday, net of how all events moved. Either one opens an
investigation; somebody is paged only if both agree, or if the second leaves no doubt. What cannot be judged is
`inconclusive`, which is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mindguard.errors import MindGuardError
from mindguard.settings.volume import Funnel, KeyEvent
from mindguard.volume.days import Kind, kind_of
from mindguard.workdays import Workdays

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

Verdict = Literal["below", "ok", "inconclusive"]
State = Literal["tracked", "new", "learning", "no_baseline"]

TOTAL = "*"
"""Name of the row for all traffic; and the key under which a day is unclean for every event."""

HISTORY_DAYS = 63
"""Days before the judged one that are looked at: eight weeks for the weekdays, one more for the spread."""

BASELINE_DAYS = 4
MIN_BASELINE_DAYS = 3
_BASELINE_WEEKS = 8
_REFERENCE_DAYS = 14  # the longest run of holidays is nine days
_SPREAD_DAYS = 28
_UNKNOWN_SPREAD = 0.1
_TOTAL_SPREAD = 0.05  # all traffic has no fleet to be net of
_MIN_SPREAD = 0.06  # four weeks cannot show less
_MAX_SPREAD = 0.5
_WEEK = 7

Z_GATE = 2.5
"""Standard deviations by which a fall must exceed chance."""

STRONG_Z_GATE = 5.0
"""Standard deviations at which the second lens pages alone: a Monday's fall may hide behind a quiet Sunday."""

_MEDIAN_VARIANCE = 1 + math.pi / 2 / BASELINE_DAYS  # of a new value, and of the median of four that it is held against

FLEET_EVENTS = 5
"""So many events must tell how all move together; with fewer, all traffic does."""

FLEET_GONE = 0.1
"""When all traffic is a tenth of what it should be, no event can be told apart from the rest."""

HOLIDAY_SPREAD = 0.15
"""Extra relative noise of holidays and exchanged days: each event takes them differently; no baseline is like them."""


class FrameError(MindGuardError):
    """The frame holds a number that is none where one must be."""


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
        positions = range(self.last - 1, max(-1, self.last - 1 - _WEEK * _BASELINE_WEEKS), -1)
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
        for position in range(self.last, max(-1, self.last - _WEEK), -1):
            if position != self.last and not self.usual(position):
                continue
            alike = [at for at in range(position - _WEEK, -1, -_WEEK) if self.usual(at)]
            if position - _WEEK in alike:
                now += self.counts[position]
                before += self.counts[position - _WEEK]
            # The last week itself may hold the fall, so only what lies before it is expected.
            if alike:
                current += self.counts[position]
                expected += float(self.counts[alike[:BASELINE_DAYS]].mean())
        return now, before, current, expected


@dataclass(frozen=True)
class _Lens:
    ratio: float
    verdict: Verdict
    z: float
    low: bool


def _day_over_day(actual: float, before: float, tolerance: float, min_base: float) -> _Lens:
    return _judge(actual, before, actual + before, tolerance, min_base)


def _against_expected(actual: float, expected: float, spread: float, tolerance: float, min_base: float) -> _Lens:
    return _judge(actual, expected, _MEDIAN_VARIANCE * (expected + (spread * expected) ** 2), tolerance, min_base)


def _judge(actual: float, base: float, variance: float, tolerance: float, min_base: float) -> _Lens:
    """Below: by more than the tolerance, and not by chance. Small and not clearly below: nothing can be said."""
    ratio = actual / max(base, 1.0)  # finite: nothing today and nothing before is still a vanished event
    z = (actual - base) / math.sqrt(max(variance, 1.0))
    if base > 0 and ratio < 1 - tolerance and z <= -Z_GATE:
        return _Lens(ratio, "below", z, base < min_base)
    if base < min_base or ratio < 1 - tolerance:
        return _Lens(ratio, "inconclusive", z, base < min_base)
    return _Lens(ratio, "ok", z, low=False)


def _widened(day: _Lens, week: _Lens) -> _Lens:
    """The verdict over seven days where one day was too few; the figures stay those of the day."""
    if day.low and day.verdict != "below":
        return _Lens(day.ratio, week.verdict, day.z, low=True)
    return day


def build_frame(
    counts: pd.DataFrame,
    registry: Sequence[KeyEvent],
    *,
    day: date,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
    funnels: Sequence[Funnel] = (),
) -> pd.DataFrame:
    """Judge one day.

    Args:
        counts: `event_name`, `day`, `count` (whole numbers), each day as it looked at the judged day's
            age. Names that are no key events, or the empty one for all of them, count into the total.
        day: the judged day; it may still be running.
        unclean: by event, or under `TOTAL` for all: days that are no baseline (open incidents, excluded days).
        funnels: alerts of later steps fold into the first broken one.

    Returns:
        One row for each key event (`scope` event) in the order of the registry, then one for all traffic (`scope`
        total, named `TOTAL`). Columns:

        - `state`: tracked; new (first seen, or expected from, this day); learning (fewer than three days to compare
          with, so far); no_baseline (never seen, or nothing clean to compare with). Only tracked rows can page.
        - `actual`; `yesterday` with `yesterday_date`: the day before, or the last clean one before it;
          `day_over_day` = actual / yesterday, 0 for a vanished event. Null where there is none.
        - `weekday_median` of `baseline_days` days (`baseline_dates`); `fleet_move`: how all events moved against
          theirs; `net_ratio` = actual / (weekday_median x fleet_move); `z`: its distance from 1 in standard deviations.
        - `verdict_dod`, `verdict_net`: below, ok or inconclusive; over `window_days`: 1, or 7 for a rare event.
        - `low_volume`: one day was too few to judge.
        - `investigate`: either lens is below. `page`: both are, or `z` alone leaves no doubt; and it is not
          `folded_into` another row, whose fall explains it. `confirmed_ratio`: `net_ratio` where it pages, else 1.
        - `onset`, `cause`: empty; `mindguard.volume.cause.explain` fills them.
        - `tolerance`, `min_base`, `owner`, `runbook`: from the registry.

        Numbers of tracked rows are all finite.
    """
    days = [day - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)]
    history = History.of(counts, [event.name for event in registry], days)
    return judge_history(history, registry, calendar=calendar, unclean=unclean, funnels=funnels)


def judge_history(
    history: History,
    registry: Sequence[KeyEvent],
    *,
    calendar: Workdays,
    unclean: Mapping[str, Collection[date]] | None = None,
    funnels: Sequence[Funnel] = (),
) -> pd.DataFrame:
    """`build_frame` for counts that are filled in already; the registry has the order of the history's names."""
    import pandas as pd

    series = series_by_name(history, registry, calendar=calendar, unclean=unclean)
    total = _total_row(series[TOTAL])
    own = [series[event.name] for event in registry]
    spreads = _spreads(history, own)
    fleet = _fleet_move(own, registry, total)
    week = _week_move(own)
    frame = pd.DataFrame(
        [
            _event_row(event, each, float(spread), fleet, week)
            for event, each, spread in zip(registry, own, spreads, strict=True)
        ]
        + [total]
    )
    _fold(frame, series, funnels)
    _refuse_silent_gaps(frame)
    return frame


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


def _age(event: KeyEvent, series: Series) -> int | None:
    """Days since the event's first; None when it never came, below 0 when it is not due yet."""
    seen = [day for day, count in zip(series.days, series.counts, strict=True) if count]
    today = series.days[series.last]
    if event.since and event.since > today:
        return (today - event.since).days
    if not seen:
        return None
    return (today - max(seen[0], event.since or seen[0])).days


def _median(series: Series) -> float:
    import numpy as np

    baseline = series.baseline()
    return float(np.median(series.counts[baseline])) if len(baseline) >= MIN_BASELINE_DAYS else math.nan


def _spreads(history: History, rows: Sequence[Series]) -> NDArray[np.float64]:
    """Relative noise of each event beyond chance, net of the fleet: robust, from weekdays of the last four weeks."""
    import numpy as np

    if not rows:
        return np.empty(0)
    logs = np.log(history.counts + 0.5)
    usual = np.array([[series.usual(position) for position in range(len(history.days))] for series in rows])
    pairs = usual[:, _WEEK:] & usual[:, :-_WEEK]
    moves = np.where(pairs, logs[:, _WEEK:] - logs[:, :-_WEEK], np.nan)[:, -1 - _SPREAD_DAYS : -1]
    result = np.full(len(rows), _UNKNOWN_SPREAD)
    known = np.isfinite(moves)
    columns = known.any(axis=0)
    moves, known = moves[:, columns], known[:, columns]
    if len(rows) >= FLEET_EVENTS and columns.any():
        moves = moves - np.nanmedian(moves, axis=0)
    for number, (each, there) in enumerate(zip(moves, known, strict=True)):
        if there.sum() >= _WEEK:
            measured = 1.4826 / math.sqrt(2) * float(np.median(np.abs(each[there])))
            chance = 1 / max(1.0, float(np.median(history.counts[number, -_SPREAD_DAYS:])))  # is counted by itself
            own = math.sqrt(max(0.0, measured**2 - chance))
            result[number] = min(_MAX_SPREAD, max(_MIN_SPREAD, own))
    return result


def _fleet_move(rows: Sequence[Series], registry: Sequence[KeyEvent], total: Mapping[str, Any]) -> float:
    import numpy as np

    ratios = [
        series.counts[series.last] / median
        for series, event in zip(rows, registry, strict=True)
        if (median := _median(series)) >= event.min_base
    ]
    if len(ratios) >= FLEET_EVENTS:
        return float(np.median(ratios))
    return float(total["net_ratio"])


def _week_move(rows: Sequence[Series]) -> float:
    """How all key events together moved in the last seven days."""
    sums = [series.weeks()[2:] for series in rows]
    expected = sum(each for _, each in sums)
    return sum(each for each, _ in sums) / expected if expected else 1.0


def _event_row(event: KeyEvent, series: Series, spread: float, fleet: float, week: float) -> dict[str, Any]:
    actual, reference, median = int(series.counts[series.last]), series.reference(), _median(series)
    age = _age(event, series)
    state = _state(age, median, reference)
    dod = net = _Lens(math.nan, "inconclusive", 0.0, low=False)
    window = 1
    if series.kinds[series.last] is not Kind.ORDINARY:
        spread = math.hypot(spread, HOLIDAY_SPREAD)
    if age is not None and age > 0 and reference is not None:
        dod = _day_over_day(actual, int(series.counts[reference]), event.tolerance, event.min_base)
    if state == "tracked" and math.isfinite(fleet):
        net = _against_expected(actual, median * fleet, spread, event.tolerance, event.min_base)
    if state == "tracked" and any(lens.low and lens.verdict != "below" for lens in (dod, net)):
        window = _WEEK
        now, before, current, expected = series.weeks()
        dod = _widened(dod, _day_over_day(now, before, event.tolerance, event.min_base))
        net = _widened(net, _against_expected(current, expected * week, spread, event.tolerance, event.min_base))
    verdict_net = "inconclusive" if fleet < FLEET_GONE else net.verdict
    return {
        "event_name": event.name,
        "scope": "event",
        "state": state,
        **_facts(series, actual, reference, dod, median),
        "fleet_move": fleet,
        "net_ratio": net.ratio,
        "z": net.z,
        "spread": spread,
        "verdict_dod": dod.verdict,
        "verdict_net": verdict_net,
        "window_days": window,
        "low_volume": dod.low or net.low,
        "investigate": "below" in (dod.verdict, verdict_net),
        "page": verdict_net == "below" and (dod.verdict == "below" or net.z <= -STRONG_Z_GATE),
        "folded_into": "",
        "onset": None,
        "cause": "",
        "tolerance": event.tolerance,
        "min_base": event.min_base,
        "owner": event.owner or "",
        "runbook": event.runbook or "",
    }


def _state(age: int | None, median: float, reference: int | None) -> State:
    if age is None:
        return "no_baseline"
    if age <= 0:
        return "new"
    if math.isfinite(median) and reference is not None:
        return "tracked"
    return "learning" if age <= _WEEK * BASELINE_DAYS else "no_baseline"


def _facts(series: Series, actual: int, reference: int | None, dod: _Lens, median: float) -> dict[str, Any]:
    return {
        "actual": actual,
        "yesterday": math.nan if reference is None else float(series.counts[reference]),
        "yesterday_date": None if reference is None else series.days[reference],
        "day_over_day": dod.ratio,
        "weekday_median": median,
        "baseline_days": len(series.baseline()),
        "baseline_dates": " ".join(series.days[position].isoformat() for position in series.baseline()),
    }


def _total_row(series: Series) -> dict[str, Any]:
    """All traffic, against its own weekdays: nothing is netted, so an outage of everything shows here."""
    event = KeyEvent(name=TOTAL)
    return _event_row(event, series, _TOTAL_SPREAD, 1.0, 1.0) | {"scope": "total"}


def _fold(frame: pd.DataFrame, series: Mapping[str, Series], funnels: Sequence[Funnel]) -> None:
    """What follows from another row's fall does not page for itself; it folds into a row that does."""
    from mindguard.volume.funnels import judge_funnels

    paging = set(frame.loc[frame["page"], "event_name"])
    folds = {}
    if TOTAL in paging:
        with_all = frame["investigate"] & (frame["verdict_net"] != "below") & (frame["scope"] == "event")
        folds = dict.fromkeys(frame.loc[with_all, "event_name"], TOTAL)
    for row in judge_funnels(funnels, series).to_dict("records"):
        if row["first_broken"] in paging and row["first_broken"] != row["step"]:
            folds[row["step"]] = row["first_broken"]
    frame["folded_into"] = [
        folds.get(name, "") if fallen else ""
        for name, fallen in zip(frame["event_name"], frame["investigate"], strict=True)
    ]
    frame["page"] &= frame["folded_into"] == ""
    frame["confirmed_ratio"] = frame["net_ratio"].where(frame["page"], 1.0)


def _refuse_silent_gaps(frame: pd.DataFrame) -> None:
    """A ratio that is no number would count as missing in a suite, and pass."""
    import numpy as np

    tracked = frame[frame["state"] == "tracked"]
    for column in ("actual", "yesterday", "day_over_day", "weekday_median", "net_ratio", "z"):
        strange = tracked[~np.isfinite(tracked[column].astype(float))]
        if len(strange):
            raise FrameError(f"{column} of {', '.join(strange['event_name'])} is no number")
