"""Connections without Airflow: the neutral record, its reader for `AIRFLOW_CONN_<ID>`, and the clients.

The command line must work while Airflow is down, so nothing here imports it. Inside Airflow,
`mindguard.airflow_clients` fills the same record from Airflow's own connections.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mindguard.errors import ConnectionMissing, MindGuardError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@dataclass(frozen=True)
class Connection:
    """What an Airflow connection says, as plain values. `repr` never shows the password or the extras."""

    conn_id: str
    conn_type: str
    host: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


Resolve = Callable[[str], Connection]
"""Looks a connection up by its id; raises ConnectionMissing."""


def from_environment(conn_id: str, environ: Mapping[str, str] = os.environ) -> Connection:
    """Read `AIRFLOW_CONN_<ID>` in either of Airflow's two forms, URI or JSON.

    Raises:
        ConnectionMissing: the variable is not set.
        MindGuardError: it is set but cannot be read; the value itself is never quoted.
    """
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    value = environ.get(variable, "").strip()
    if not value:
        raise ConnectionMissing(conn_id)
    try:
        return _from_json(conn_id, value) if value.startswith("{") else _from_uri(conn_id, value)
    except (ValueError, TypeError, AttributeError):
        # `from None`: the original error quotes the value, and the value is a credential.
        raise MindGuardError(
            f"{variable} is neither a connection URI nor connection JSON",
            hint="`airflow connections get ID -o json` shows the form",
        ) from None


def _from_json(conn_id: str, value: str) -> Connection:
    raw = json.loads(value)
    extra = raw.get("extra") or {}
    return Connection(
        conn_id=conn_id,
        conn_type=raw.get("conn_type", ""),
        host=raw.get("host") or "",
        login=raw.get("login") or "",
        password=raw.get("password") or "",
        port=int(raw["port"]) if raw.get("port") else None,
        schema=raw.get("schema") or "",
        extra=json.loads(extra) if isinstance(extra, str) else dict(extra),
    )


def _from_uri(conn_id: str, value: str) -> Connection:
    parts = urlsplit(value)
    if not parts.scheme:
        raise ValueError("no scheme")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = json.loads(query["__extra__"]) if "__extra__" in query else query
    return Connection(
        conn_id=conn_id,
        conn_type=parts.scheme.replace("-", "_"),
        host=unquote(parts.hostname or ""),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=parts.port,
        schema=unquote(parts.path.lstrip("/")),
        extra=extra,
    )


def postgres_conninfo(connection: Connection) -> str:
    """libpq connection string of a `postgres` connection; it holds the password, so never print it."""
    from psycopg.conninfo import make_conninfo

    libpq_extras = {
        key: str(value)
        for key, value in connection.extra.items()
        if key.startswith("ssl") or key in {"options", "target_session_attrs", "keepalives_idle", "gssencmode"}
    }
    return make_conninfo(
        host=connection.host or None,
        port=connection.port,
        user=connection.login or None,
        password=connection.password or None,
        dbname=connection.schema or None,
        connect_timeout="10",
        application_name="mindguard",
        **libpq_extras,
    )


def s3_client(connection: Connection) -> S3Client:
    """boto3 client of an `aws` connection.

    Understands the extras that Airflow's own hook does for a plain key: `endpoint_url`, `region_name`,
    `config_kwargs`, `aws_session_token`. Without login and password, boto3's own chain (environment, profile,
    instance role) finds the credentials.
    """
    import boto3
    from botocore.config import Config

    extra = connection.extra
    ours = Config(
        retries={"mode": "standard", "max_attempts": 4},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
    )
    client: S3Client = boto3.client(
        "s3",
        aws_access_key_id=connection.login or None,
        aws_secret_access_key=connection.password or None,
        aws_session_token=extra.get("aws_session_token"),
        endpoint_url=extra.get("endpoint_url"),
        region_name=extra.get("region_name"),
        config=ours.merge(Config(**extra.get("config_kwargs", {}))),
    )
    return client
