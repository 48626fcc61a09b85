"""ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator

from mindguard.connections import Resolve
from mindguard.doctor.finding import Finding


def examine_clickhouse(conn_id: str, resolve: Resolve) -> Iterator[Finding]:
    """Whether it answers to this user. Raises ConnectionMissing."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    found = resolve(conn_id)
    try:
        client = clickhouse_connect.get_client(
            host=found.host,
            port=found.port or 0,
            username=found.login or None,
            password=found.password,
            database=found.schema or "__default__",
            secure=bool(found.extra.get("secure", False)),
            connect_timeout=10,
        )
        version = client.server_version
        client.close()
    except (ClickHouseError, OSError) as error:
        line = " ".join(str(error).split())[:200]
        yield Finding("error", conn_id, "connection", f"ClickHouse: {line} – check host, port, user and password")
        return
    yield Finding("pass", conn_id, "connection", f"ClickHouse {version}")
