"""ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from mindguard.connections import Resolve, clickhouse_client
from mindguard.doctor.finding import Finding


def examine_clickhouse(conn_id: str, resolve: Resolve) -> Iterator[Finding]:
    """Whether it answers to this user. Raises ConnectionMissing, and MindGuardError where it does not."""
    with closing(clickhouse_client(resolve(conn_id), connect_timeout=10)) as client:
        yield Finding("pass", conn_id, "connection", f"ClickHouse {client.server_version}")
