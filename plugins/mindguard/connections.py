"""Connections without Airflow: a neutral record, its reader for `AIRFLOW_CONN_<ID>`, and clients made from it.

The command line must work while Airflow is down, so nothing here imports Airflow. Inside Airflow,
`mindguard.airflow.clients` fills the same record from Airflow's own connections.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mindguard.errors import ConnectionMissing, MindGuardError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from types_boto3_s3 import S3Client

# The host may include its protocol: Airflow writes the connection type, then `https://`, then the rest.
_URI = re.compile(r"([a-z][a-z0-9+.-]*)://(?:([a-z][a-z0-9+.-]*)://)?(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Connection:
    """The content of an Airflow connection as plain values. `repr` never shows the password or the extras."""

    conn_id: str
    conn_type: str
    host: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


Resolve = Callable[[str], Connection]
"""A function that looks up a connection by its id, or raises ConnectionMissing."""


def from_environment(conn_id: str, environ: Mapping[str, str] = os.environ) -> Connection:
    """Read the variable `AIRFLOW_CONN_<ID>` in either of Airflow's two forms, URI or JSON.

    Raises:
        ConnectionMissing: the variable is not set.
        MindGuardError: the variable cannot be read; its value is never quoted.
    """
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    value = environ.get(variable, "").strip()
    if not value:
        raise ConnectionMissing(conn_id)
    try:
        return _from_json(conn_id, value) if value.startswith("{") else _from_uri(conn_id, value)
    except (ValueError, TypeError, AttributeError, RecursionError):
        # `from None`, because the original error quotes the value, which is a credential.
        raise MindGuardError(
            f"{variable} is neither a connection URI nor connection JSON",
            hint="write TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA, each part percent-encoded",
        ) from None


def _from_json(conn_id: str, value: str) -> Connection:
    raw = json.loads(value)
    texts = {name: str(raw.get(name) or "") for name in ("host", "login", "password", "schema")}
    return Connection(
        conn_id=conn_id,
        conn_type=_conn_type(raw.get("conn_type") or ""),
        port=int(raw["port"]) if raw.get("port") else None,
        extra=_extra(raw.get("extra")),
        **texts,
    )


def _from_uri(conn_id: str, value: str) -> Connection:
    form = _URI.fullmatch(value)
    if not form:
        raise ValueError("no TYPE://")
    conn_type, protocol, rest = form.groups()
    parts = urlsplit(f"//{rest}")
    host = unquote(parts.hostname or "")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Connection(
        conn_id=conn_id,
        conn_type=_conn_type(conn_type.lower()),
        host=f"{protocol}://{host}" if protocol and host else host,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=parts.port,
        schema=unquote(parts.path[1:]),
        extra=_extra(query.get("__extra__", query)),
    )


def _conn_type(written: str) -> str:
    return "postgres" if written == "postgresql" else written.replace("-", "_")


def _extra(written: Any) -> dict[str, Any]:
    """Return the extras, written as a JSON object or as its text; anything empty counts as an empty object."""
    extra = (json.loads(written) if written and isinstance(written, str) else written) or {}
    if not isinstance(extra, dict):
        raise TypeError("extra is not an object")
    return extra


def postgres_conninfo(connection: Connection) -> str:
    """Return the libpq connection string of a `postgres` connection. It contains the password, so never print it.

    Raises:
        MindGuardError: libpq does not accept an extra.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    libpq_extras = {
        key: str(value)
        for key, value in connection.extra.items()
        if value is not None
        and (key.startswith("ssl") or key in {"options", "target_session_attrs", "keepalives_idle", "gssencmode"})
    }
    try:
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
    except ProgrammingError as error:
        raise MindGuardError(f"connection {connection.conn_id!r}: {error}", hint="correct its extras") from error


def http_address(connection: Connection, *, protocol: str = "http") -> SplitResult:
    """Return the address that a connection's host, schema and port form.

    Args:
        connection: its host may be a whole address; otherwise its schema, `http` or `https`, is the protocol.
        protocol: used if neither host nor schema names one.
    """
    host = connection.host.strip()
    if "://" not in host:
        host = f"{connection.schema if connection.schema in ('http', 'https') else protocol}://{host}"
    parts = urlsplit(host)
    port = f":{connection.port}" if connection.port and ":" not in parts.netloc else ""
    return parts._replace(netloc=f"{parts.netloc}{port}")


def s3_client(connection: Connection) -> S3Client:
    """Return a boto3 client for an `aws` connection.

    It uses the extras that Airflow's own hook uses for a plain key: `endpoint_url`, `region_name`, `config_kwargs`
    and `aws_session_token`. Without login and password, boto3's own chain (environment, profile, instance role)
    finds the credentials.

    Raises:
        MindGuardError: boto3 cannot create a client from the connection.
    """
    import boto3
    from botocore.config import Config

    extra = connection.extra
    defaults = Config(
        retries={"mode": "standard", "max_attempts": 4},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
    )
    try:
        client: S3Client = boto3.client(
            "s3",
            aws_access_key_id=connection.login or None,
            aws_secret_access_key=connection.password or None,
            aws_session_token=extra.get("aws_session_token") or None,
            endpoint_url=extra.get("endpoint_url") or None,
            region_name=extra.get("region_name") or None,
            config=defaults.merge(Config(**extra.get("config_kwargs") or {})),
        )
    except Exception as error:  # boto3 validates little, so a wrong extra can fail anywhere inside it
        raise MindGuardError(
            f"connection {connection.conn_id!r} is not valid for S3: {error}",
            hint="endpoint_url must begin with http:// or https://, config_kwargs must be options of botocore's Config",
        ) from error
    return client


def kafka_config(connection: Connection) -> dict[str, Any]:
    """Return the librdkafka settings of a `kafka` connection: its extras without callbacks. They may hold passwords.

    Raises:
        MindGuardError: no broker is named.
    """
    config = {key: value for key, value in connection.extra.items() if not key.endswith("_cb")}
    if not config.get("bootstrap.servers"):
        raise MindGuardError(
            f"connection {connection.conn_id!r} names no Kafka broker", hint="add bootstrap.servers to its extras"
        )
    return config


def clickhouse_client(connection: Connection, **limits: int) -> Client:
    """Return an HTTP client for a `clickhouse` connection.

    It uses the extras of Airflow's own hook: `secure`, `verify`, `connect_timeout`, `send_receive_timeout`,
    `compress`, `session_settings` and `client_kwargs`. It keeps no session, so threads may share it.

    Args:
        connection: the connection.
        **limits: extras that take precedence over those of the connection, for instance `connect_timeout`.

    Raises:
        MindGuardError: the server cannot be reached or refuses the login.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    extra = connection.extra
    named = {
        key: extra[key]
        for key in ("secure", "verify", "connect_timeout", "send_receive_timeout", "compress")
        if key in extra
    }
    try:
        return clickhouse_connect.get_client(
            **{
                **(extra.get("client_kwargs") or {}),
                **named,
                **limits,
                "host": connection.host or "localhost",
                "port": connection.port or 0,
                "username": connection.login or "default",
                "password": connection.password,
                "database": connection.schema or "default",
                "settings": extra.get("session_settings") or {},
                "client_name": "mindguard",
                "autogenerate_session_id": False,
            }
        )
    except (ClickHouseError, ValueError, TypeError) as error:
        raise MindGuardError(
            f"connection {connection.conn_id!r} does not reach ClickHouse: {error}",
            hint="check its host, port and login",
        ) from error
