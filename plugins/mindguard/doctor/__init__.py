"""`mindguard doctor`: examines every connection before a run needs it, and says what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from mindguard.connections import Resolve
from mindguard.doctor import airflow, alerts, database, events, keys, monitors, store
from mindguard.doctor.diagnosis import Diagnosis, tried
from mindguard.errors import ConnectionMissing
from mindguard.settings import Settings


def examine(settings: Settings, resolve: Resolve, *, now: Callable[[], datetime]) -> list[Diagnosis]:
    """Return everything that can be found out without changing anything except probe objects, which are removed again.

    Args:
        settings: names the connections, tables and monitors to examine.
        resolve: looks up a connection.
        now: returns the present time, aware; called for each comparison of clocks.
    """
    ids = settings.connections
    checks: list[tuple[str, Iterator[Diagnosis]]] = [
        (ids.app, database.examine_source(settings, resolve, now)),
        (ids.backup, store.examine_store(settings, resolve, now)),
        (ids.keys, keys.examine_keys(settings, resolve)),
        (ids.drill, database.examine_drill(settings, resolve, now)),
        (ids.restore, _unless_missing(ids.restore, _RESTORE, database.examine_restore(settings, resolve, now))),
        (ids.ops, _unless_missing(ids.ops, _INCIDENTS, alerts.examine_incident_store(settings, resolve, now))),
        (ids.events, _unless_missing(ids.events, _EVENTS, events.examine_clickhouse(ids.events, resolve))),
        (ids.feishu, alerts.examine_feishu(ids.feishu, resolve)),
        (ids.airflow, _unless_missing(ids.airflow, _AIRFLOW, airflow.examine_airflow(settings, resolve, now))),
        (ids.metrics, _unless_missing(ids.metrics, _METRICS, airflow.examine_metrics(settings, resolve))),
        ("rota", alerts.examine_rota(settings, now)),
        ("releases", alerts.examine_releases(settings, resolve)),
        ("monitors", monitors.examine_monitors(settings, resolve, now)),
    ]
    return [finding for conn_id, findings in checks for finding in tried(conn_id, "connection", findings)]


_AIRFLOW = "without it alert_delivery fails in every run, and failures of killed processes are not found"
_METRICS = "without it Prometheus cannot read /mindguard/metrics"
_EVENTS = "without it nothing is known about product events"
_INCIDENTS = "without it alerts are sent directly, repeats are not recognised and nothing is escalated"
_RESTORE = "only restores use it, and it should be ready before one is needed"


def _unless_missing(conn_id: str, why: str, findings: Iterator[Diagnosis]) -> Iterator[Diagnosis]:
    """Yield the findings, and a warning instead of ConnectionMissing: snapshots are taken without this connection."""
    try:
        yield from findings
    except ConnectionMissing as error:
        yield Diagnosis("warn", conn_id, "connection", f"{why}: {error}")
