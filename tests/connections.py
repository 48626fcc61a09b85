"""Turn libpq connection strings into the package's connections, and these into environment variables; try them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from mindguard.connections import Connection


def connection_of(conninfo: str, conn_id: str = "mindguard_ops", **changes: Any) -> Connection:
    """Return the connection that a libpq connection string describes.

    Args:
        conninfo: libpq connection string.
        conn_id: id of the connection.
        **changes: fields that are to have other values.
    """
    parts = conninfo_to_dict(conninfo)
    connection = Connection(
        conn_id=conn_id,
        conn_type="postgres",
        host=str(parts["host"]),
        port=int(parts["port"] or 0),
        login=str(parts["user"]),
        password=str(parts.get("password") or ""),
        schema=str(parts["dbname"]),
    )
    return replace(connection, **changes)


def as_variable(connection: Connection) -> dict[str, str]:
    """Return the environment variable that Airflow and the package read the connection from: its name and its JSON."""
    fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
    record = {name: value for name in fields if (value := getattr(connection, name))}
    return {f"AIRFLOW_CONN_{connection.conn_id.upper()}": json.dumps(record)}


def answers(conninfo: str) -> bool:
    """Return whether a server takes a connection."""
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError:
        return False
    return True
