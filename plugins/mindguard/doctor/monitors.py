"""Examines whether each monitor can measure at all. Judging the measured values is left to the monitors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import groupby

from mindguard.connections import Resolve
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
from mindguard.monitors.judge import Reason
from mindguard.monitors.result import Result
from mindguard.monitors.run import run_monitors
from mindguard.settings import Settings

_NOT_MEASURED = ("failed", "partial", "unreachable", "timeout")
_UNUSUAL: dict[Reason, str] = {
    "empty": "no_rows",
    "not_proven_yet": "not_proven",
    "down": "down",
    "no_value": "no_value",
    "negative": "negative",
    "future": "future",
    "position": "position",
}
"""Results other than a usable number, with the text for a measurement without a note of its own; `…_do`: what to do."""


def examine_monitors(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Measure once with each monitor and yield one line for it. Nothing is stored."""
    results = run_monitors(settings, resolve, now=now(), memory=None)
    for name, own_results in groupby(results, key=lambda result: result.monitor):
        yield _diagnosis(name, list(own_results))


def _diagnosis(name: str, results: list[Result]) -> Diagnosis:
    for result in results:
        where = Said("dimension", dimension=result.dimension) if result.dimension else ""
        if result.reason in _NOT_MEASURED:
            return Diagnosis("error", name, "monitor", Said("not_measured", where=where, note=result.note))
        if unusual := _UNUSUAL.get(result.reason):
            # The note of what is not proven yet names the first snapshot, which says nothing here.
            note = "" if result.reason == "not_proven_yet" else result.note
            text = Said("unusual", where=where, fact=note or Said(unusual), advice=Said(f"{unusual}_do"))
            return Diagnosis("warn", name, "monitor", text)
    took_s = max(result.took_s for result in results)
    text = Said("low_traffic" if all(r.reason == "low_base" for r in results) else "measures", seconds=f"{took_s:.2f}")
    return Diagnosis("pass", name, "monitor", text)
