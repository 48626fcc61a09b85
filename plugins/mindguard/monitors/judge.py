"""Judge a measured value. Pure: no clock, no network.

The status of a monitor is pass, warn, error or unknown. It is unknown if the monitor could not be judged; unknown is
never a pass, and it neither starts nor ends a level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from mindguard.settings.monitors import FreshnessMonitor, Monitor, RateMonitor

Level = Literal["pass", "warn", "error"]
Status = Literal["pass", "warn", "error", "unknown"]
_LEVELS = ("pass", "warn", "error")
Reason = Literal[
    "",
    "above",  # above a threshold
    "empty",  # nothing was loaded as far back as the query looks, or ever: later than any threshold
    "not_proven_yet",  # no restore drill has proven any snapshot
    "down",  # a dependency does not answer
    "holding",  # above or below a threshold, but not long enough to change the status
    "low_base",  # too little traffic to judge, or too little to tell from chance
    "no_value",  # the query returned NULL, NaN or infinity
    "negative",  # below zero, which no age or share can be
    "future",  # the newest row lies in the future, so its age would hide a stall
    "position",  # a consumer group's position is outside of what its topic holds
    "unreachable",  # the source cannot be reached
    "partial",  # the source left something out of its answer
    "timeout",  # the source did not answer in time
    "failed",  # the query or the answer is wrong
]
Cause = Literal["", "source_silent", "pipeline_late", "checker_late"]

CHECKER_LATE = timedelta(minutes=3)
"""The longest gap between two measurements. After a longer one nobody knows what happened meanwhile, so `for_s` and
`recover_for_s` begin again."""

TOLERATED_SKEW_S = 60.0

_NO_TIME_BEFORE = datetime(1970, 1, 2, tzinfo=UTC)
"""What databases and programs write for a time that never was lies before: the maximum of no rows in ClickHouse and a
counter of Prometheus that was never set are 0, the beginning of 1970 in some time zone; others write the year 1."""


@dataclass(frozen=True)
class Reading:
    """One row of a measurement.

    Attributes:
        dimension: the subject of the row, for instance an endpoint; empty if there is only one row.
        value: in the monitor's unit; None if there is no value.
        newest: when the newest row was loaded, aware. The value is then its age by the source's own clock.
        base: the denominator, a number of events, or the usual traffic at this time of day. None: not known, so it is
            never too low.
        source_now: the present time by the source's clock, aware.
        upstream_newest: the time of the newest row upstream, aware. It distinguishes a silent source from a late
            pipeline.
        down: whether a dependency failed to answer as it should.
        note: a remark for people.
        fault: the reason why the value is only the least that it can be, or why there is none; empty if it is exact.
        awaited_since: since when there could have been a first value, aware; None if that is not known.
    """

    dimension: str = ""
    value: float | None = None
    newest: datetime | None = None
    base: float | None = None
    source_now: datetime | None = None
    upstream_newest: datetime | None = None
    down: bool = False
    note: str = ""
    fault: Reason = ""
    awaited_since: datetime | None = None


@dataclass(frozen=True)
class State:
    """The state of one monitor and dimension, which is remembered between two runs. All times are aware.

    Attributes:
        level: the level that the latest value led to.
        since: when that level began.
        measured_at: when there last was a value; None if there never was one.
        warn_since: since when every value was above the warning threshold; None: the latest one was not.
        error_since: the same for the error threshold.
        below_warn_since: since when no value was above the warning threshold; None: the latest one was.
        below_error_since: the same for the error threshold.
        unknown_since: since when there has been no value.
    """

    level: Level = "pass"
    since: datetime | None = None
    measured_at: datetime | None = None
    warn_since: datetime | None = None
    error_since: datetime | None = None
    below_warn_since: datetime | None = None
    below_error_since: datetime | None = None
    unknown_since: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """The judgement of a reading.

    Attributes:
        status: pass, warn, error or unknown.
        value: the value that was judged; None if there is none.
        reason: the reason why the status differs from what the thresholds alone would give.
        cause: the reason why a value is late, if it is known.
        escalated: whether it is an error with a value, or of a share the least one, above the monitor's `escalate`.
        skew_s: seconds by which the source's clock is ahead of this machine's, if more than tolerated.
        note: a remark for people.
        state: the state to remember for the next run.
    """

    status: Status
    value: float | None
    reason: Reason
    cause: Cause
    escalated: bool
    skew_s: float | None
    note: str
    state: State


def judge(monitor: Monitor, reading: Reading, state: State, *, now: datetime) -> Verdict:
    """Return the verdict on a reading, given the state that the previous run left.

    Args:
        monitor: gives the thresholds and how long a value must stay above or below them.
        reading: the measurement.
        state: the state of the same monitor and dimension after the previous run.
        now: the present time, aware; when the reading was taken.
    """
    if reading.fault == "not_proven_yet":
        return _awaited(monitor, reading, state, now)
    skew_s = _skew(reading, now)
    value, reason = _value(monitor, reading, now)
    if reading.fault and (reason or value is None or value <= monitor.error):
        # What is only known in part can be late, but it cannot be in time.
        return unknown(reading.fault, state, now=now, note=reading.note, value=value, skew_s=skew_s)
    least = _least(monitor, reading, value)
    raw = _raw(monitor, value, reason)
    if not reason and least != value:
        shown = _shown(monitor, raw, least, state.level)
        # A few events can lie above a threshold by chance: they begin no level, and end none either.
        reason = "low_base" if shown == "pass" != raw else ""
        raw = shown
    if reason in ("", "empty", "down"):
        gap = state.measured_at is not None and now - state.measured_at > CHECKER_LATE
        after = _advance(monitor, raw, _without_holds(state) if gap else state, now=now)
        holding = after.level != raw
        return Verdict(
            status=after.level,
            value=value,
            reason="holding" if holding else reason or ("above" if raw != "pass" else ""),
            cause="checker_late" if gap else _cause(monitor, reading, raw, reading.source_now or now),
            escalated=_escalated(monitor, least, after.level),
            skew_s=skew_s,
            note=reading.note,
            state=after,
        )
    return unknown(reason, state, now=now, note=reading.note, value=value, skew_s=skew_s)


def _awaited(monitor: Monitor, reading: Reading, state: State, now: datetime) -> Verdict:
    """Return the verdict on a first value that has not come.

    It is late once the threshold has passed since it could have come, or else since the monitor began to look, however
    often nothing was measured in between. If there once was a value, its absence is late at once.
    """
    began = state.since or now
    waited_s = (now - (reading.awaited_since or began)).total_seconds()
    if state.measured_at is None and waited_s <= monitor.error:
        # Nothing has failed yet, so `unknown_since` begins when a measurement does.
        after = replace(state, since=began, unknown_since=None)
        status: Status = "unknown"
    else:
        after = _advance(monitor, "error", state, now=now)
        status = "unknown" if after.level == "pass" else after.level  # while an error waits for `for_s`
    return Verdict(status, None, reading.fault, "", escalated=False, skew_s=None, note=reading.note, state=after)


def unknown(
    reason: Reason,
    state: State,
    *,
    now: datetime,
    note: str = "",
    value: float | None = None,
    skew_s: float | None = None,
) -> Verdict:
    """Return the verdict when nothing can be judged: the level stays as it was until there is a value again."""
    # Too little traffic is not a failure: a measurement that fails during a quiet night has failed since then, not
    # since the evening.
    since = None if reason == "low_base" else state.unknown_since or now
    after = replace(state, unknown_since=since)
    return Verdict("unknown", value, reason, "", escalated=False, skew_s=skew_s, note=note, state=after)


def _skew(reading: Reading, now: datetime) -> float | None:
    if reading.source_now is None:
        return None
    skew_s = (reading.source_now - now).total_seconds()
    return skew_s if abs(skew_s) > TOLERATED_SKEW_S else None


def _value(monitor: Monitor, reading: Reading, now: datetime) -> tuple[float | None, Reason]:
    """Return the value and the reason why it cannot be judged by the thresholds; an empty reason if it can."""
    value, reason = _measured(monitor, reading, now)
    # This comes before every other reason: with too little traffic, an old or missing row means nothing.
    if reading.base is not None and math.isnan(reading.base):
        return value, "no_value"
    if reading.base is not None and reading.base < monitor.base:
        return value, "low_base"
    if reading.base is not None and reading.base <= 0 and value is not None and isinstance(monitor, RateMonitor):
        return value, "low_base"  # a share of nothing is neither high nor low
    return value, reason


def _measured(monitor: Monitor, reading: Reading, now: datetime) -> tuple[float | None, Reason]:
    if reading.down:
        return reading.value, "down"
    value = reading.value
    source_now = reading.source_now or now
    if value is None and isinstance(monitor, FreshnessMonitor):
        if reading.newest is None:
            return None, "empty"
        value = (source_now - reading.newest).total_seconds()
        if value < -monitor.max_future_s:
            return value, "future"
        value = max(0.0, value)  # a small negative age is within the tolerated difference between clocks
    if value is None or not math.isfinite(value):
        return None, "no_value"
    if isinstance(monitor, FreshnessMonitor) and value >= (source_now - _NO_TIME_BEFORE).total_seconds() > 0:
        return None, "empty"
    return (value, "negative") if value < 0 else (value, "")


def _raw(monitor: Monitor, value: float | None, reason: Reason) -> Level:
    if reason in ("empty", "down") or value is None or value > monitor.error:
        return "error"
    return "warn" if monitor.warn is not None and value > monitor.warn else "pass"


def _least(monitor: Monitor, reading: Reading, value: float | None) -> float | None:
    """Return the value; of a share whose base is known, the lower bound of what it may be."""
    if value is None or not isinstance(monitor, RateMonitor) or not reading.base or not 0 <= value <= 1:
        return value
    return share_at_least(value * reading.base, reading.base)


def _shown(monitor: Monitor, raw: Level, least: float | None, present: Level) -> Level:
    """Return the level of a share: it begins by the lower bound, and lasts while the share is above a threshold."""
    return max(_raw(monitor, least, ""), min(raw, present, key=_LEVELS.index), key=_LEVELS.index)


def share_at_least(k: float, n: float) -> float:
    """Return the lower bound of the share that k of n events show, at most k / n.

    It is that of the Wilson score interval with a correction for continuity, one-sided with a confidence of 99 percent.
    From R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
    857-872, method 4.
    """
    if k <= 0:
        return 0.0
    z = 2.3263
    spread = z**2 - 2 - 1 / n + 4 * k * (n - k + 1) / n
    return max(0.0, (2 * k + z**2 - 1 - z * math.sqrt(max(0.0, spread))) / (2 * (n + z**2)))


def _without_holds(state: State) -> State:
    return State(level=state.level, since=state.since)


def _advance(monitor: Monitor, raw: Level, state: State, *, now: datetime) -> State:
    """Return the state after one more value.

    A level begins once every value has been above its threshold for `for_s`, and ends once no value has been above it
    for `recover_for_s`: values that go up and down within that time lead to the worse level, whatever came last.
    """
    above_warn, above_error = raw != "pass", raw == "error"
    after = replace(
        state,
        measured_at=now,
        unknown_since=None,
        warn_since=(state.warn_since or now) if above_warn else None,
        error_since=(state.error_since or now) if above_error else None,
        below_warn_since=None if above_warn else (state.below_warn_since or now),
        below_error_since=None if above_error else (state.below_error_since or now),
    )
    level = _level(monitor, after, now)
    return replace(after, level=level, since=state.since if level == state.level and state.since else now)


def _level(monitor: Monitor, state: State, now: datetime) -> Level:
    def held(since: datetime | None, seconds: float) -> bool:
        return since is not None and (now - since).total_seconds() >= seconds

    if held(state.error_since, monitor.for_s):
        return "error"
    if state.level == "error" and not held(state.below_error_since, monitor.recover_for_s):
        return "error"
    # A monitor without a warning threshold has no warnings, not even while an error waits for `for_s`.
    if monitor.warn is None or held(state.below_warn_since, monitor.recover_for_s):
        return "pass"
    if state.level != "pass" or held(state.warn_since, monitor.for_s):
        return "warn"
    return "pass"


def _cause(monitor: Monitor, reading: Reading, raw: Level, now: datetime) -> Cause:
    if raw == "pass" or not isinstance(monitor, FreshnessMonitor):
        return ""
    if monitor.source == "kafka":
        return "pipeline_late"  # unread messages are in the topic, so the source is not silent
    if reading.upstream_newest is None or not _NO_TIME_BEFORE < reading.upstream_newest < now + CHECKER_LATE:
        return ""  # not known, or a time that never was or is still to come
    if reading.newest is None or reading.upstream_newest > reading.newest:
        return "pipeline_late"
    return "source_silent"


def _escalated(monitor: Monitor, value: float | None, level: Level) -> bool:
    return level == "error" and value is not None and monitor.escalate is not None and value > monitor.escalate
