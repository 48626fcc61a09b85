"""Measures all monitors at once and judges them.

Each source has its own few threads, so that one which is slow or dead holds up nobody else's monitors; after the
first failure to connect nothing more is asked of it in this run.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from mindguard.connections import Resolve
from mindguard.errors import MindGuardError
from mindguard.masking import mask_secrets
from mindguard.monitors.deadline import Due, lateness, latest_due
from mindguard.monitors.judge import Reading, Reason, State, judge, unknown
from mindguard.monitors.result import Key, Memory, Result
from mindguard.monitors.sources import connection_id, prepare
from mindguard.monitors.sources.base import MonitorSource, Row, SourceTimeout, SourceUnreachable, readings
from mindguard.settings import Settings
from mindguard.settings.monitors import DeadlineMonitor, Monitor

log = logging.getLogger(__name__)

TIME_BOX_S = 45.0
"""A run is over by then, so that the next minute's can begin."""

FORGET_AFTER = timedelta(days=1)
"""A dimension that was wrong and then had no traffic for so long is gone, for instance an endpoint that was renamed."""

_THREADS = 4
_GRACE_S = 6.0
"""What a measurement may take beyond its timeout, which its source keeps: connecting comes before it."""


class MonitorMissing(MindGuardError):
    """The settings have no monitor of this name."""


@dataclass(frozen=True)
class _Outcome:
    monitor: Monitor
    at_s: float
    took_s: float
    readings: Sequence[Reading] = ()
    reason: Reason = ""
    note: str = ""


def run_monitors(
    settings: Settings,
    resolve: Resolve,
    *,
    now: datetime,
    memory: Memory | None,
    states: Mapping[Key, State] | None = None,
    names: Collection[str] = (),
    time_box_s: float = TIME_BOX_S,
) -> list[Result]:
    """Measure and judge, and keep what came out.

    Args:
        now: aware; when the run begins.
        memory: where states and results are kept; None: each value is judged alone, and nothing is kept. While it
            cannot be reached, it is as if it were None.
        states: what `remembered` gave, if that was asked already.
        names: only these monitors; default: all.
        time_box_s: monitors without an answer by then are unknown.

    Returns:
        One result for each monitor, or for each of its dimensions, in the order of the settings. A dimension
        without traffic has none; if it was wrong before, it is unknown (`low_base`) until FORGET_AFTER has passed.

    Raises:
        MonitorMissing: a name is none of the settings'.
    """
    chosen = choose(settings, names)
    dues = {m.name: latest_due(m, now=now, zone=settings.zone) for m in chosen if isinstance(m, DeadlineMonitor)}
    outcomes = _measure_all(chosen, dues, settings, resolve, now, time_box_s)
    if states is None:
        states, memory = remembered(memory)
    results: list[Result] = []
    after: dict[Key, State] = {}
    for monitor in chosen:
        known = {dimension: state for (name, dimension), state in states.items() if name == monitor.name}
        judged = _judge(monitor, outcomes[monitor.name], known, now=now)
        results += [result for result, _ in judged]
        kept = known if outcomes[monitor.name].reason else {}
        after |= {(monitor.name, dimension): state for dimension, state in kept.items()}
        after |= {(monitor.name, result.dimension): state for result, state in judged}
    if memory:
        try:
            memory.save(results, after, [monitor.name for monitor in chosen])
        except MindGuardError as error:
            log.warning("results of the monitors are not kept: %s", error)
    return results


def choose(settings: Settings, names: Collection[str]) -> list[Monitor]:
    """The monitors of these names, or all.

    Raises:
        MonitorMissing: a name is none of the settings'.
    """
    known = {monitor.name for monitor in settings.monitors}
    if unknown := sorted(set(names) - known):
        raise MonitorMissing(
            f"there is no monitor {', '.join(unknown)}",
            hint=f"the settings have {', '.join(sorted(known)) or 'none'}",
        )
    return [monitor for monitor in settings.monitors if not names or monitor.name in names]


def remembered(memory: Memory | None) -> tuple[Mapping[Key, State], Memory | None]:
    """The states of the run before, and the memory; nothing and None, with a warning in the log, where it is down."""
    if memory is None:
        return {}, None
    try:
        return memory.states(), memory
    except MindGuardError as error:
        log.warning("monitors are judged without what went before: %s", error)
        return {}, None


def _judge(
    monitor: Monitor, outcome: _Outcome, known: Mapping[str, State], *, now: datetime
) -> list[tuple[Result, State]]:
    at = now + timedelta(seconds=outcome.at_s)
    if outcome.reason:
        verdicts = {"": unknown(outcome.reason, known.get("", State()), now=at, note=outcome.note)}
    else:
        verdicts = {
            reading.dimension: judge(monitor, reading, known.get(reading.dimension, State()), now=at)
            for reading in outcome.readings
        }
        # Something that was wrong and now has no traffic at all is not well because of that.
        verdicts |= {
            dimension: unknown("low_base", state, now=at)
            for dimension, state in known.items()
            if dimension not in verdicts and state.level != "pass" and _lately(state, at)
        }
    return [
        (Result.of(monitor, dimension, verdict, at=at, took_s=outcome.took_s), verdict.state)
        for dimension, verdict in verdicts.items()
    ]


def _lately(state: State, at: datetime) -> bool:
    return state.measured_at is not None and at - state.measured_at < FORGET_AFTER


class _Group:
    """The monitors of one source, and what its threads share."""

    def __init__(self, monitors: Sequence[Monitor], opened: Callable[[], MonitorSource]) -> None:
        self.waiting: queue.SimpleQueue[Monitor] = queue.SimpleQueue()
        for monitor in monitors:
            self.waiting.put(monitor)
        self.open = opened
        self.threads = min(_THREADS, len(monitors))
        self.unreachable = ""


class _Run:
    """One run's threads. They are daemons: one that hangs in a driver must not keep the process alive."""

    def __init__(self, dues: Mapping[str, Due], now: datetime, timezone: str) -> None:
        self.dues = dues
        self.params = {"timezone": timezone}
        self.now = now
        self.began = time.monotonic()
        self.started: dict[str, float] = {}
        self.finished: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()

    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.began

    def work(self, group: _Group) -> None:
        """A thread's life: one monitor after the other, over one open source."""
        source: MonitorSource | None = None
        while True:
            try:
                monitor = group.waiting.get_nowait()
            except queue.Empty:
                break
            self.started[monitor.name] = began_s = self.elapsed_s()
            outcome = _Outcome(monitor, 0, 0)
            try:
                if group.unreachable:
                    raise SourceUnreachable(group.unreachable)
                source = source or group.open()
                outcome = replace(outcome, readings=self._readings(source, monitor))
            except SourceUnreachable as error:
                group.unreachable = str(error)
                outcome = replace(outcome, reason="unreachable", note=str(error))
            except SourceTimeout as error:
                outcome = replace(outcome, reason="timeout", note=str(error))
            except MindGuardError as error:
                outcome = replace(outcome, reason="failed", note=mask_secrets(str(error)))
            except Exception as error:  # noqa: BLE001 - one monitor's fault must not be another's
                note = mask_secrets(f"{type(error).__name__}: {error}")
                outcome = replace(outcome, reason="failed", note=" ".join(note.split())[:300])
            ended_s = self.elapsed_s()
            self.finished.put(replace(outcome, at_s=ended_s, took_s=ended_s - began_s))
        if source:
            source.close()

    def _readings(self, source: MonitorSource, monitor: Monitor) -> Sequence[Reading]:
        due = self.dues.get(monitor.name)
        measured = source.measure(monitor, self.params | (due.params() if due else {}))
        if due:
            # No row yet is the same as not started.
            row: Row = measured[0] if measured else {}  # type: ignore[assignment]
            at = self.now + timedelta(seconds=self.elapsed_s())
            return [lateness(due, state=row.get("state", ""), rows=row.get("rows"), now=at)]
        if measured and isinstance(measured[0], Reading):
            return measured  # type: ignore[return-value]
        return readings(measured)  # type: ignore[arg-type]

    def overdue(self, monitor: Monitor) -> bool:
        """Whether it was begun and should have ended by now."""
        began_s = self.started.get(monitor.name)
        return began_s is not None and self.elapsed_s() - began_s > monitor.timeout_s + _GRACE_S


def _measure_all(
    monitors: Sequence[Monitor],
    dues: Mapping[str, Due],
    settings: Settings,
    resolve: Resolve,
    now: datetime,
    time_box_s: float,
) -> dict[str, _Outcome]:
    """An outcome for every monitor, by name, within the time box."""
    run = _Run(dues, now, settings.timezone)
    outcomes: dict[str, _Outcome] = {}
    for (source, conn_id, _), members in _by_source(monitors, settings).items():
        try:
            # In this thread: Airflow answers for connections in the task's own only.
            group = _Group(members, prepare(source, conn_id, settings, resolve))
        except MindGuardError as error:
            outcomes |= {m.name: _Outcome(m, 0, 0, reason="unreachable", note=str(error)) for m in members}
            continue
        for _ in range(group.threads):
            threading.Thread(target=run.work, args=[group], name=f"monitors-{source}", daemon=True).start()
    waiting = {monitor.name: monitor for monitor in monitors if monitor.name not in outcomes}
    while waiting and run.elapsed_s() < time_box_s and not all(map(run.overdue, waiting.values())):
        try:
            outcome = run.finished.get(timeout=min(0.5, max(0.0, time_box_s - run.elapsed_s())))
        except queue.Empty:
            continue
        outcomes[outcome.monitor.name] = outcome
        del waiting[outcome.monitor.name]
    ended_s = run.elapsed_s()
    for name, monitor in waiting.items():
        began_s = run.started.get(name)
        note = "its turn did not come" if began_s is None else f"no answer after {ended_s - began_s:.0f} s"
        took_s = 0.0 if began_s is None else ended_s - began_s
        outcomes[name] = _Outcome(monitor, ended_s, took_s, reason="timeout", note=note)
    return outcomes


def _by_source(monitors: Sequence[Monitor], settings: Settings) -> dict[tuple[str, str | None, str], list[Monitor]]:
    """Monitors that share a source, and with http a host: they wait for each other, and only they."""
    groups: dict[tuple[str, str | None, str], list[Monitor]] = {}
    for monitor in monitors:
        host = urlsplit(monitor.url).netloc if monitor.url else ""
        groups.setdefault((monitor.source, connection_id(monitor, settings), host), []).append(monitor)
    return groups
