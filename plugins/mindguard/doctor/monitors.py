"""Monitors: whether each can measure at all. What it measures is the monitors' own business."""

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

_CANNOT = ("failed", "unreachable", "timeout")
_ODD: dict[Reason, tuple[str, str]] = {
    "empty": ("nothing is there", "it counts as late; check that what the monitor names is what gets filled"),
    "down": ("it does not answer", "correct `url` or `expect`, unless it really is down"),
    "no_value": ("the value is NULL, NaN or infinite", "make the query give a number"),
    "negative": ("the value is negative", "correct the query: no age and no share is"),
    "future": ("the newest row lies in the future", "correct that machine's clock, or leave such rows out"),
}
"""What a value can be beside a number: what is said where the measurement says nothing, and what to do."""


def examine_monitors(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """One line for each monitor, from measuring once; nothing is kept."""
    results = run_monitors(settings, resolve, now=now(), memory=None)
    for name, of_one in groupby(results, key=lambda result: result.monitor):
        yield _diagnosis(name, list(of_one))


def _diagnosis(name: str, results: list[Result]) -> Diagnosis:
    for result in results:
        if result.reason in _CANNOT:
            return Diagnosis("error", name, "monitor", result.note)
        if result.reason in _ODD:
            fact, advice = _ODD[result.reason]
            where = f"{result.dimension}: " if result.dimension else ""
            return Diagnosis("warn", name, "monitor", f"{where}{result.note or fact} – {advice}")
    took_s = max(result.took_s for result in results)
    text = "too little traffic to judge now" if all(r.reason == "low_base" for r in results) else "measures"
    return Diagnosis("pass", name, "monitor", f"{text}, in {took_s:.2f} s")
