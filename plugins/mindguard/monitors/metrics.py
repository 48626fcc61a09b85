"""Metrics for Prometheus: the monitors' latest results, snapshots, incidents, and the outbox.

Times are instants, not ages, as Prometheus advises: `time() - …` stays right even if a file or a scrape is old.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mindguard.alerts.incidents.store import IncidentStore
from mindguard.database.session import StoreUnavailable
from mindguard.monitors.result import Result
from mindguard.monitors.store import MonitorStore
from mindguard.settings import Settings

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SHOWN_FOR = timedelta(hours=1)
"""The age of the latest result at which a monitor's series ends: the monitor was removed, or nothing runs."""

_STATUSES = ("pass", "warn", "error", "unknown")


def collected(
    settings: Settings, incidents: IncidentStore, store: MonitorStore, *, now: datetime, fresh: Sequence[Result] = ()
) -> CollectorRegistry:
    """Collect all metrics as they are now.

    Args:
        settings: the settings, which give the monitors.
        incidents: where incidents and the outbox are read.
        store: where the monitors' results are read.
        now: the present time, aware.
        fresh: results that are shown instead while the store cannot be reached.
    """
    from prometheus_client import CollectorRegistry

    families = [_gauge("store_up", "Whether the incident store can be reached")]
    try:
        results = store.latest(since=now - _SHOWN_FOR)
        families += _of_incidents(incidents, now=now)
        families[0].add_metric([], 1)
    except StoreUnavailable:
        results = [*fresh]
        families[0].add_metric([], 0)
    families += _of_monitors(settings, [each for each in results if not each.key.dag])
    families.append(_of_dags(each for each in results if each.key.dag))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(families))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Return the metrics in the format that Prometheus reads; see CONTENT_TYPE."""
    from prometheus_client import generate_latest

    return generate_latest(registry)


def write_textfile(path: Path, registry: CollectorRegistry) -> None:
    """Replace the file in one step, so that node-exporter never reads half of it.

    Raises:
        OSError: The file cannot be written.
    """
    from prometheus_client import write_to_textfile

    write_to_textfile(str(path), registry)


class _Ready:
    """A collector, as a registry requires, of metric families that exist already."""

    def __init__(self, families: Sequence[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the families."""
        return self._families


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"mindguard_{name}", meaning, labels=labels)


def _of_monitors(settings: Settings, results: Sequence[Result]) -> list[GaugeMetricFamily]:
    by_name = {monitor.name: monitor for monitor in settings.monitors}
    status = _gauge("monitor_status", "1 for the present status", "monitor", "dimension", "severity", "status")
    value = _gauge("monitor_value", "What was measured, in `unit`", "monitor", "dimension", "unit")
    threshold = _gauge("monitor_threshold", "Values above it are an error, in `unit`", "monitor", "dimension", "unit")
    at = _gauge("monitor_timestamp_seconds", "When the monitor was last measured", "monitor", "dimension")
    took = _gauge("monitor_duration_seconds", "How long the measurement took", "monitor", "dimension")
    snapshot = _gauge("snapshot_proven_timestamp_seconds", "When the newest proven snapshot was taken", "monitor")
    for result in results:
        if not (monitor := by_name.get(result.monitor)):
            continue
        key = [result.monitor, result.dimension]
        for each in _STATUSES:
            status.add_metric([*key, monitor.severity, each], each == result.status)
        if result.value is not None:
            value.add_metric([*key, result.unit], result.value)
            if monitor.source == "snapshots":
                snapshot.add_metric([result.monitor], result.at.timestamp() - result.value)
        threshold.add_metric([*key, result.unit], result.threshold)
        at.add_metric(key, result.at.timestamp())
        took.add_metric(key, result.took_s)
    return [status, value, threshold, at, took, snapshot]


def _of_dags(results: Iterable[Result]) -> GaugeMetricFamily:
    last = _gauge("watch_last_run_timestamp_seconds", "When the monitoring DAG last ran", "dag")
    for result in results:
        last.add_metric([result.key.dag], result.at.timestamp())
    return last


def _of_incidents(incidents: IncidentStore, *, now: datetime) -> list[GaugeMetricFamily]:
    unresolved = _gauge("incidents", "Unresolved incidents", "severity", "state")
    for (severity, state), count in incidents.unresolved_counts().items():
        unresolved.add_metric([severity, state], count)
    depth = incidents.depth(now=now)
    pending = _gauge("outbox_pending", "Notifications that are still to be sent")
    pending.add_metric([], depth.pending)
    oldest = _gauge("outbox_oldest_seconds", "How long the oldest due notification has waited")
    oldest.add_metric([], depth.oldest_s)
    dead = _gauge("outbox_dead", "Notifications that Feishu will never accept")
    dead.add_metric([], depth.dead)
    return [unresolved, pending, oldest, dead]


def export_metrics(
    settings: Settings, incidents: IncidentStore, store: MonitorStore, results: Sequence[Result], *, now: datetime
) -> None:
    """Write the metrics to `watch.textfile`, if it is set. A failure is only logged: the run itself succeeded."""
    if not settings.watch.textfile:
        return
    try:
        write_textfile(Path(settings.watch.textfile), collected(settings, incidents, store, now=now, fresh=results))
    except OSError as error:
        log.warning("cannot write watch.textfile: %s", error)
