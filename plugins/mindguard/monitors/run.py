"""Measure all monitors at the same time and judge them.

Each source has a few threads of its own, so that a slow or dead source does not hold up the monitors of others. After
the first failure to connect to a source, it is not queried again in this run.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from mindguard.connections import Resolve
from mindguard.errors import MindGuardError, about, one_line
from mindguard.fetch import explained
from mindguard.masking import mask_secrets, printable
from mindguard.monitors.deadline import Due, lateness, latest_due
from mindguard.monitors.judge import Reading, Reason, State, judge, unknown
from mindguard.monitors.result import Key, Memory, Result
from mindguard.monitors.sources import connection_id, prepare
from mindguard.monitors.sources.base import (
    MonitorSource,
    PartialAnswer,
    Row,
    SourceTimeout,
    SourceUnreachable,
    cleaned,
    readings,
)
from mindguard.settings import Settings
from mindguard.settings.monitors import DeadlineMonitor, Monitor

log = logging.getLogger(__name__)

TIME_BOX_S = 45.0
"""The time in seconds after which a run ends, so that the next minute's run can begin."""

FORGET_AFTER = timedelta(days=1)
"""The time after which a failing dimension without traffic counts as gone, for instance an endpoint that was
renamed."""

_THREADS = 4
_GRACE_S = 6.0
"""Seconds that a measurement may take beyond its timeout: the source applies the timeout after connecting."""
_CLOSING_S = 2.0
"""Seconds that all sources together have to close at the end of a run."""


class MonitorMissing(MindGuardError):
    """The settings have no monitor with this name."""


@dataclass(frozen=True)
class _Measurement:
    """The outcome of measuring one monitor: readings, or the reason why there are none."""

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
    """Measure and judge monitors, and keep the results and states.

    Args:
        settings: the settings, which give the monitors, the connections' ids and the time zone.
        resolve: looks up a connection by its id.
        now: the present time, aware; when the run begins.
        memory: keeps states and results. If it is None or cannot be reached, each value is judged by itself, and
            nothing is kept.
        states: the states that `remembered` returned, if it was called already.
        names: only these monitors; default: all.
        time_box_s: number of seconds after which a monitor without an answer is unknown.

    Returns:
        One result for each monitor, or for each of its dimensions, in the order of the settings. A dimension
        without traffic has no result; if it was a warning or an error before, it is unknown (`low_base`) until
        FORGET_AFTER has passed.

    Raises:
        MonitorMissing: The settings do not have one of the names.
    """
    chosen = choose(settings, names)
    dues = {m.name: latest_due(m, now=now, zone=settings.zone) for m in chosen if isinstance(m, DeadlineMonitor)}
    measurements = _measure_all(chosen, dues, settings, resolve, now, time_box_s)
    if states is None:
        states, memory = remembered(memory)
    before: dict[str, dict[str, State]] = {}
    for key, state in states.items():
        before.setdefault(key.monitor, {})[key.dimension] = state
    results: list[Result] = []
    after: dict[Key, State] = {}
    for monitor in chosen:
        known = before.get(monitor.name, {})
        judged = _judge(monitor, measurements[monitor.name], known, now=now)
        results += [result for result, _ in judged]
        if measurements[monitor.name].reason:
            after |= {Key(monitor.name, dimension): state for dimension, state in known.items()}
        after |= {result.key: state for result, state in judged}
    if memory:
        try:
            memory.save(results, after, [monitor.name for monitor in chosen])
        except MindGuardError as error:
            log.warning("the results of the monitors were not kept: %s", error)
    return results


def choose(settings: Settings, names: Collection[str]) -> list[Monitor]:
    """Return the monitors with these names, or all of them if no name is given.

    Raises:
        MonitorMissing: The settings do not have one of the names.
    """
    known = {monitor.name for monitor in settings.monitors}
    if missing := sorted(set(names) - known):
        raise MonitorMissing(
            f"there is no monitor {', '.join(missing)}",
            hint=f"the settings have {', '.join(sorted(known)) or 'none'}",
        )
    return [monitor for monitor in settings.monitors if not names or monitor.name in names]


def remembered(memory: Memory | None) -> tuple[Mapping[Key, State], Memory | None]:
    """Return the states that the previous run left, and the memory.

    If the memory cannot be reached, log a warning and return no states and None.
    """
    if memory is None:
        return {}, None
    try:
        return memory.states(), memory
    except MindGuardError as error:
        log.warning("monitors are judged without the state of the previous run: %s", error)
        return {}, None


def _judge(
    monitor: Monitor, measurement: _Measurement, known: Mapping[str, State], *, now: datetime
) -> list[tuple[Result, State]]:
    """Return a result and the state to remember for each dimension; `known` holds the states before, by dimension."""
    at = now + timedelta(seconds=measurement.at_s)
    if measurement.reason:
        note = one_line(printable(measurement.note))
        verdicts = {"": unknown(measurement.reason, known.get("", State()), now=at, note=note)}
    else:
        verdicts = {
            reading.dimension: judge(monitor, reading, known.get(reading.dimension, State()), now=at)
            for reading in measurement.readings
        }
        # A failing dimension has not recovered merely because it no longer has any traffic.
        verdicts |= {
            dimension: unknown("low_base", state, now=at)
            for dimension, state in known.items()
            if dimension not in verdicts and state.level != "pass" and _measured_recently(state, at)
        }
    return [
        (Result.of(monitor, dimension, verdict, at=at, took_s=measurement.took_s), verdict.state)
        for dimension, verdict in verdicts.items()
    ]


def _measured_recently(state: State, at: datetime) -> bool:
    return state.measured_at is not None and at - state.measured_at < FORGET_AFTER


class _Group:
    """The monitors of one source, and what its threads share."""

    def __init__(
        self, monitors: Sequence[Monitor], open_source: Callable[[], MonitorSource], conn_id: str | None
    ) -> None:
        self.conn_id = conn_id or ""
        self.waiting: queue.SimpleQueue[Monitor] = queue.SimpleQueue()
        for monitor in monitors:
            self.waiting.put(monitor)
        self.open = open_source
        self.threads = min(_THREADS, len(monitors))
        self.unreachable = ""


class _Run:
    """The threads of one run. They are daemons: a thread that hangs in a driver must not keep the process alive.

    The others have closed their sources when the run ends: a process that ends while a driver's own threads are at work
    may be killed by a segmentation fault.
    """

    def __init__(self, dues: Mapping[str, Due], now: datetime, timezone: str) -> None:
        self.dues = dues
        self.params = {"timezone": timezone}
        self.now = now
        self.began = time.monotonic()
        self.threads: list[threading.Thread] = []
        self.started: dict[str, float] = {}
        self.finished: queue.SimpleQueue[_Measurement] = queue.SimpleQueue()

    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self.began

    def start(self, group: _Group) -> None:
        """Start the threads of a group."""
        for _ in range(group.threads):
            thread = threading.Thread(target=self.work, args=[group], name=f"monitors-{group.conn_id}", daemon=True)
            self.threads.append(thread)
            thread.start()

    def wait_until_closed(self) -> None:
        """Wait until the threads have closed their sources, except those that hang."""
        ends = time.monotonic() + _CLOSING_S
        for thread in self.threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def work(self, group: _Group) -> None:
        """Measure the group's monitors one after the other over one open source, until none waits. Runs in a thread."""
        source: MonitorSource | None = None
        while True:
            try:
                monitor = group.waiting.get_nowait()
            except queue.Empty:
                break
            self.started[monitor.name] = began_s = self.elapsed_s()
            measurement = _Measurement(monitor, 0, 0)
            try:
                if group.unreachable:
                    raise SourceUnreachable(group.unreachable)
                with about(group.conn_id, SourceUnreachable):
                    source = source or group.open()
                    measurement = replace(measurement, readings=self._readings(source, monitor))
            except SourceUnreachable as error:
                group.unreachable = str(error)
                measurement = replace(measurement, reason="unreachable", note=str(error))
            except SourceTimeout as error:
                measurement = replace(measurement, reason="timeout", note=str(error))
            except PartialAnswer as error:
                measurement = replace(measurement, reason="partial", note=mask_secrets(str(error)))
            except MindGuardError as error:
                measurement = replace(measurement, reason="failed", note=mask_secrets(str(error)))
            except Exception as error:  # noqa: BLE001 - one monitor's failure must not affect others
                note = mask_secrets(explained(error))
                measurement = replace(measurement, reason="failed", note=note)
            ended_s = self.elapsed_s()
            self.finished.put(replace(measurement, at_s=ended_s, took_s=ended_s - began_s))
        if source:
            source.close()

    def _readings(self, source: MonitorSource, monitor: Monitor) -> Sequence[Reading]:
        due = self.dues.get(monitor.name)
        measured = source.measure(monitor, self.params | (due.params() if due else {}))
        if due:
            # As long as there is no row, the work has not started.
            row: Row = measured[0] if measured else {}  # type: ignore[assignment]
            at = self.now + timedelta(seconds=self.elapsed_s())
            return [lateness(due, state=row.get("state", ""), rows=row.get("rows"), now=at)]
        if measured and isinstance(measured[0], Reading):
            return [cleaned(each) for each in measured]  # type: ignore[arg-type]
        return readings(measured)  # type: ignore[arg-type]

    def overdue(self, monitor: Monitor) -> bool:
        """Return whether the monitor's measurement has begun and should have ended by now."""
        began_s = self.started.get(monitor.name)
        return began_s is not None and self.elapsed_s() - began_s > monitor.timeout_s + _GRACE_S


def _measure_all(
    monitors: Sequence[Monitor],
    dues: Mapping[str, Due],
    settings: Settings,
    resolve: Resolve,
    now: datetime,
    time_box_s: float,
) -> dict[str, _Measurement]:
    """Return a measurement of every monitor, by name, within the time box."""
    run = _Run(dues, now, settings.timezone)
    measurements: dict[str, _Measurement] = {}
    for (source, conn_id, _), members in _by_source(monitors, settings).items():
        try:
            # This happens here because Airflow resolves connections only in the task's own thread.
            group = _Group(members, prepare(source, conn_id, settings, resolve), conn_id)
        except MindGuardError as error:
            measurements |= {m.name: _Measurement(m, 0, 0, reason="unreachable", note=str(error)) for m in members}
            continue
        run.start(group)
    waiting = {monitor.name: monitor for monitor in monitors if monitor.name not in measurements}
    while waiting and run.elapsed_s() < time_box_s and not all(map(run.overdue, waiting.values())):
        try:
            measurement = run.finished.get(timeout=min(0.5, max(0.0, time_box_s - run.elapsed_s())))
        except queue.Empty:
            continue
        measurements[measurement.monitor.name] = measurement
        del waiting[measurement.monitor.name]
    ended_s = run.elapsed_s()
    run.wait_until_closed()
    for name, monitor in waiting.items():
        began_s = run.started.get(name)
        note = "the run ended before its turn" if began_s is None else f"no answer after {ended_s - began_s:.0f} s"
        took_s = 0.0 if began_s is None else ended_s - began_s
        measurements[name] = _Measurement(monitor, ended_s, took_s, reason="timeout", note=note)
    return measurements


class _SourceKey(NamedTuple):
    source: str
    conn_id: str | None
    host: str
    """The host of an http monitor; otherwise empty."""


def _by_source(monitors: Sequence[Monitor], settings: Settings) -> dict[_SourceKey, list[Monitor]]:
    """Group monitors by source, and http monitors by host. Only monitors of one group wait for each other."""
    groups: dict[_SourceKey, list[Monitor]] = {}
    for monitor in monitors:
        host = urlsplit(monitor.url).netloc if monitor.url else ""
        key = _SourceKey(monitor.source, connection_id(monitor, settings), host)
        groups.setdefault(key, []).append(monitor)
    return groups
