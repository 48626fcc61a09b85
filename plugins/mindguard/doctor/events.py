"""Examines ClickHouse, which holds the product events."""

from __future__ import annotations

from collections.abc import Iterator

from mindguard.connections import Resolve, clickhouse_client
from mindguard.doctor.diagnosis import Diagnosis


def examine_clickhouse(conn_id: str, resolve: Resolve) -> Iterator[Diagnosis]:
    """Check that ClickHouse answers this user.

    Raises:
        ConnectionMissing: the connection is not configured.
        MindGuardError: ClickHouse does not answer.
    """
    client = clickhouse_client(resolve(conn_id), connect_timeout=10)
    version = client.server_version
    client.close()
    yield Diagnosis("pass", conn_id, "connection", f"ClickHouse {version}")
