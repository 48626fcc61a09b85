"""Examines whether each monitor can measure at all. Judging the measured values is left to the monitors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import groupby

from mindguard.connections import Resolve
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.monitors.judge import Reason
from mindguard.monitors.result import Result
from mindguard.monitors.run import run_monitors
from mindguard.settings import Settings

_NOT_MEASURED = ("failed", "partial", "unreachable", "timeout")
_UNUSUAL: dict[Reason, tuple[str, str]] = {
    "empty": (
        "there are no rows",
        "this counts as late; check that its table or topic is really filled",
    ),
    "not_proven_yet": (
        "no snapshot is proven yet",
        "unpause snapshot_tables and restore_drill, and trigger the first",
    ),
    "down": ("it does not answer", "correct `url` or `expect`, unless it really is down"),
    "no_value": ("the value is NULL, NaN or infinite", "make the query give a number"),
    "negative": ("the value is negative", "correct the query: ages and shares are never negative"),
    "future": ("the newest row lies in the future", "correct that machine's clock, or leave out such rows"),
    "position": (
        "the group's position is outside of what the topic holds",
        "correct `group`, start its consumer, or reset its offsets",
    ),
}
"""Results other than a usable number: the text if the measurement has no note of its own, and what to do."""


def examine_monitors(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Measure once with each monitor and yield one line for it. Nothing is stored."""
    results = run_monitors(settings, resolve, now=now(), memory=None)
    for name, own_results in groupby(results, key=lambda result: result.monitor):
        yield _diagnosis(name, list(own_results))


def _diagnosis(name: str, results: list[Result]) -> Diagnosis:
    for result in results:
        where = f"{result.dimension}: " if result.dimension else ""
        if result.reason in _NOT_MEASURED:
            return Diagnosis("error", name, "monitor", f"{where}{result.note}")
        if result.reason in _UNUSUAL:
            fact, advice = _UNUSUAL[result.reason]
            note = "" if result.reason == "not_proven_yet" else result.note  # which names the first snapshot
            return Diagnosis("warn", name, "monitor", f"{where}{note or fact} – {advice}")
    took_s = max(result.took_s for result in results)
    text = "too little traffic to judge now" if all(r.reason == "low_base" for r in results) else "measures"
    return Diagnosis("pass", name, "monitor", f"{text}, in {took_s:.2f} s")
