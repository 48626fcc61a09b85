"""The sources at which monitors measure. Each source is one small module; `prepare` chooses it."""

from __future__ import annotations

from collections.abc import Callable

from mindguard.connections import Resolve
from mindguard.monitors.sources import clickhouse, http, kafka, postgres, prometheus, snapshots
from mindguard.monitors.sources.base import MonitorSource
from mindguard.settings import Settings
from mindguard.settings.monitors import Monitor


def connection_id(monitor: Monitor, settings: Settings) -> str | None:
    """Return the id of the connection that a monitor measures through; None for http, which needs no connection."""
    ids = settings.connections
    defaults = {
        "clickhouse": ids.events,
        "postgres": ids.app,
        "prometheus": ids.prometheus,
        "kafka": ids.kafka,
        "snapshots": ids.backup,
    }
    return monitor.connection or defaults.get(monitor.source)


def prepare(source: str, conn_id: str | None, settings: Settings, resolve: Resolve) -> Callable[[], MonitorSource]:
    """Return a function that opens a source. This call looks the connection up, and that function opens it.

    Raises:
        ConnectionMissing: The connection is not configured.
        MindGuardError: The connection cannot be used as it is configured.
    """
    if conn_id is None:
        return http.Http
    connection = resolve(conn_id)
    if source == "snapshots":
        return snapshots.prepare(connection, settings, resolve)
    kinds: dict[str, Callable[..., MonitorSource]] = {
        "clickhouse": clickhouse.ClickHouse,
        "postgres": postgres.Postgres,
        "prometheus": prometheus.Prometheus,
        "kafka": kafka.Kafka,
    }
    return lambda: kinds[source](connection)
