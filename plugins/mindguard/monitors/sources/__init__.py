"""The sources at which monitors measure. Each source is one small module; `prepare` chooses it."""

from __future__ import annotations

from collections.abc import Callable

from mindguard.connections import Connection, Resolve
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
    # A source is imported only here: whoever lists monitors needs none of them, and a run hardly ever needs all.
    if conn_id is None:
        from mindguard.monitors.sources.http import Http

        return Http
    connection = resolve(conn_id)
    kind: Callable[[Connection], MonitorSource]
    if source == "clickhouse":
        from mindguard.monitors.sources.clickhouse import ClickHouse as kind
    elif source == "postgres":
        from mindguard.monitors.sources.postgres import Postgres as kind
    elif source == "prometheus":
        from mindguard.monitors.sources.prometheus import Prometheus as kind
    elif source == "kafka":
        from mindguard.monitors.sources.kafka import Kafka as kind
    else:
        from mindguard.monitors.sources import snapshots

        return snapshots.prepare(connection, settings, resolve)
    return lambda: kind(connection)
