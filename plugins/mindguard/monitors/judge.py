"""What a measured value means: pure, without clock or network.

The status of a monitor is pass, warn, error or unknown. Unknown is what could not be judged; it is never a pass, and
it neither starts nor ends a level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from mindguard.settings.monitors import FreshnessMonitor, Monitor

Level = Literal["pass", "warn", "error"]
Status = Literal["pass", "warn", "error", "unknown"]
Reason = Literal[
    "",
    "above",  # above a threshold
    "empty",  # nothing was ever loaded, as far as the query looks back: later than any threshold
    "down",  # a dependency does not answer
    "holding",  # above or below a threshold, but not for long enough to change the status
    "low_base",  # too little traffic to judge
    "no_value",  # the query gives NULL, NaN or infinity
    "negative",  # below zero, which no age and no share can be
    "future",  # the newest row lies in the future, so its age would hide a stall
    "unreachable",  # the source cannot be reached
    "timeout",  # the source did not answer in time
    "failed",  # the query or the answer is wrong
]
Cause = Literal["", "source_silent", "pipeline_late", "checker_late"]

CHECKER_LATE = timedelta(minutes=3)
"""Longer between two measurements: nobody knows what was in between, so held levels begin anew."""

TOLERATED_SKEW_S = 60.0


@dataclass(frozen=True)
class Reading:
    """One row of a measurement.

    Attributes:
        dimension: what the row is about, for instance an endpoint; empty for the only row.
        value: in the monitor's unit; None where there is none.
        newest: aware; when the newest row was loaded. The value is then its age by the source's own clock.
        base: the denominator, or what is usual at this time of day. None: not known, nothing is too little.
        source_now: aware; the source's clock.
        upstream_newest: aware; the newest row where the data comes from: with it, a silent source and a late
            pipeline are told apart.
        down: a dependency did not answer as it should.
        note: for people.
    """

    dimension: str = ""
    value: float | None = None
    newest: datetime | None = None
    base: float | None = None
    source_now: datetime | None = None
    upstream_newest: datetime | None = None
    down: bool = False
    note: str = ""


@dataclass(frozen=True)
class State:
    """What must be remembered of one monitor and dimension between two runs; all times aware.

    Attributes:
        level: as last judged from a value.
        since: when that level began.
        measured_at: when there was a value last; None: never.
        warn_since: since when each value was above the warning threshold; None: the last one was not.
        error_since: the same for the error threshold.
        below_warn_since: since when no value was above the warning threshold; None: the last one was.
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
    """What a reading means.

    Attributes:
        value: what was judged; None where there is none.
        reason: why the status is not simply what the thresholds say.
        cause: where a late value comes from, as far as that can be told.
        escalated: an error whose value is above the monitor's `escalate`.
        skew_s: how far the source's clock is ahead of ours, where that is more than tolerated.
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
    """The status that a reading and what went before make.

    Args:
        now: aware; when the reading was taken.
    """
    skew_s = _skew(reading, now)
    value, reason = _value(monitor, reading, now)
    if reason in ("", "empty", "down"):
        raw = _raw(monitor, value, reason)
        late = state.measured_at is not None and now - state.measured_at > CHECKER_LATE
        after = _advance(monitor, raw, state, fresh=late, now=now)
        holding = after.level != raw
        return Verdict(
            status=after.level,
            value=value,
            reason="holding" if holding else reason or ("above" if raw != "pass" else ""),
            cause="checker_late" if late else _cause(monitor, reading, raw),
            escalated=_escalated(monitor, value, after.level),
            skew_s=skew_s,
            note=reading.note,
            state=after,
        )
    return unknown(reason, state, now=now, note=reading.note, value=value, skew_s=skew_s)


def unknown(
    reason: Reason,
    state: State,
    *,
    now: datetime,
    note: str = "",
    value: float | None = None,
    skew_s: float | None = None,
) -> Verdict:
    """The verdict where nothing can be judged: the level stays what it was, until there is a value again."""
    # A quiet night is no silent source: what fails in it has failed since then, not since the evening.
    since = None if reason == "low_base" else state.unknown_since or now
    after = replace(state, unknown_since=since)
    return Verdict("unknown", value, reason, "", escalated=False, skew_s=skew_s, note=note, state=after)


def _skew(reading: Reading, now: datetime) -> float | None:
    if reading.source_now is None:
        return None
    skew_s = (reading.source_now - now).total_seconds()
    return skew_s if abs(skew_s) > TOLERATED_SKEW_S else None


def _value(monitor: Monitor, reading: Reading, now: datetime) -> tuple[float | None, Reason]:
    """The value, and why it cannot be judged as it is."""
    value, reason = _measured(monitor, reading, now)
    # First of all: with too little traffic neither an old row nor a missing one says anything.
    if reading.base is not None and reading.base < monitor.base:
        return value, "low_base"
    return value, reason


def _measured(monitor: Monitor, reading: Reading, now: datetime) -> tuple[float | None, Reason]:
    if reading.down:
        return reading.value, "down"
    value = reading.value
    if value is None and isinstance(monitor, FreshnessMonitor):
        if reading.newest is None:
            return None, "empty"
        value = ((reading.source_now or now) - reading.newest).total_seconds()
        if value < -monitor.max_future_s:
            return value, "future"
        value = max(0.0, value)  # within what clocks may differ
    if value is None or not math.isfinite(value):
        return None, "no_value"
    return (value, "negative") if value < 0 else (value, "")


def _raw(monitor: Monitor, value: float | None, reason: Reason) -> Level:
    if reason in ("empty", "down") or value is None or value > monitor.error:
        return "error"
    return "warn" if monitor.warn is not None and value > monitor.warn else "pass"


def _advance(monitor: Monitor, raw: Level, state: State, *, fresh: bool, now: datetime) -> State:
    """The state after one more value; `fresh` forgets what was being held.

    A level begins once every value was above its threshold for `for_s`, and ends once none was for `recover_for_s`:
    values that go up and down within that time end in the worse level, whichever came last.
    """
    before = State(level=state.level, since=state.since) if fresh else state
    above = {"warn": raw != "pass", "error": raw == "error"}
    after = replace(
        before,
        measured_at=now,
        unknown_since=None,
        warn_since=_since(before.warn_since, above["warn"], now),
        error_since=_since(before.error_since, above["error"], now),
        below_warn_since=_since(before.below_warn_since, not above["warn"], now),
        below_error_since=_since(before.below_error_since, not above["error"], now),
    )
    level = _level(monitor, after, now)
    return replace(after, level=level, since=state.since if level == state.level and state.since else now)


def _since(began: datetime | None, holds: bool, now: datetime) -> datetime | None:
    return (began or now) if holds else None


def _level(monitor: Monitor, state: State, now: datetime) -> Level:
    def held(since: datetime | None, seconds: float) -> bool:
        return since is not None and now - since >= timedelta(seconds=seconds)

    if held(state.error_since, monitor.for_s):
        return "error"
    if state.level == "error" and not held(state.below_error_since, monitor.recover_for_s):
        return "error"
    # Without a threshold of its own, a warning is nothing that an error waiting for its time could be meanwhile.
    if monitor.warn is None or held(state.below_warn_since, monitor.recover_for_s):
        return "pass"
    if state.level != "pass" or held(state.warn_since, monitor.for_s):
        return "warn"
    return "pass"


def _cause(monitor: Monitor, reading: Reading, raw: Level) -> Cause:
    if raw == "pass" or not isinstance(monitor, FreshnessMonitor):
        return ""
    if monitor.source == "kafka":
        return "pipeline_late"  # what waits is there to be read
    if reading.upstream_newest is None:
        return ""
    if reading.newest is None or reading.upstream_newest > reading.newest:
        return "pipeline_late"
    return "source_silent"


def _escalated(monitor: Monitor, value: float | None, level: Level) -> bool:
    return level == "error" and value is not None and monitor.escalate is not None and value > monitor.escalate
