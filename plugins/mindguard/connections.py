"""Connections without Airflow: a neutral record, its reader for `AIRFLOW_CONN_<ID>`, and clients made from it.

The command line must work while Airflow is down, so nothing here imports Airflow. Inside Airflow,
`mindguard.airflow.clients` fills the same record from Airflow's own connections.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mindguard.errors import ConnectionMissing, MindGuardError
from mindguard.masking import mask_secrets
from mindguard.whole_answers import value_for_whole_answers

if TYPE_CHECKING:
    import boto3
    from clickhouse_connect.driver.client import Client
    from types_boto3_s3 import S3Client

_SHORTEST_SECRET = 3
_NO_SECRETS = {"endpoint_url", "region_name", "config_kwargs"}

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
    extra = _extra(raw.get("extra"))
    if "," in str(raw.get("port") or ""):  # one for each of several hosts, which only libpq's own option can hold
        extra, raw["port"] = {"port": str(raw["port"]), **extra}, None
    texts = {name: str(raw.get(name) or "") for name in ("host", "login", "password", "schema")}
    return Connection(
        conn_id=conn_id,
        conn_type=_conn_type(raw.get("conn_type") or ""),
        port=int(raw["port"]) if raw.get("port") else None,
        extra=extra,
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
    # What a password with a bare / ? or # leaves behind: errors would name the rest of it as a host or an extra.
    names = [pair.partition("=")[0] for pair in parts.query.split("&")]
    if "@" in parts.path or "@" in "".join(names) or parts.fragment:
        raise ValueError("a part is not percent-encoded")
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


class ExtraNotUnderstood(MindGuardError):
    """A connection has an extra that would have no effect, or not the one that it was written for."""

    permanent = True

    def __init__(self, connection: Connection, extra: str, *, hint: str = "correct or remove it") -> None:
        super().__init__(f"connection {connection.conn_id!r}: extra {extra!r} is not understood", hint=hint)


class WrongType(MindGuardError):
    """A connection is of another type than is needed, or has a field that this type does not use."""

    permanent = True


def _require_type(connection: Connection, *types: str) -> None:
    """Refuse a connection of another type: its host and login would be tried as if it were of the right one.

    Args:
        connection: the connection; one that names no type is accepted.
        types: the type that is needed, and others that mean the same.
    """
    if connection.conn_type not in ("", *types):
        raise WrongType(
            f"connection {connection.conn_id!r} is of type {connection.conn_type}, "
            f"and one of type {types[0]} is needed",
            hint="name another connection, or correct its type",
        )


def _require_aws(connection: Connection) -> None:
    _require_type(connection, "aws", "s3")
    if connection.host or connection.port:
        raise WrongType(
            f"connection {connection.conn_id!r}: host and port of an aws connection have no effect",
            hint="write the store's address as extra endpoint_url",
        )


def _given(connection: Connection, understood: Collection[str], ignored: Collection[str] = ()) -> dict[str, Any]:
    """Return the extras that have a value, and refuse those that would have no effect.

    Args:
        connection: the connection.
        understood: the extras that are used.
        ignored: extras of Airflow's own hook that concern only that hook.
    """
    given = {name: value for name, value in connection.extra.items() if value is not None and value != ""}
    for name in given:
        if name not in understood and name not in ignored:
            close = get_close_matches(name, understood, 1)
            raise ExtraNotUnderstood(
                connection, name, hint=f"did you mean {close[0]}?" if close else "correct or remove it"
            )
    return {name: value for name, value in given.items() if name in understood}


def _object(connection: Connection, name: str, value: Any) -> dict[str, Any]:
    """Return an extra that must be a JSON object."""
    if not isinstance(value, dict):
        raise ExtraNotUnderstood(connection, name, hint="write a JSON object")
    return value


def _decoded(value: Any) -> Any:
    """Return what a text of JSON says, or the value itself."""
    with suppress(ValueError):
        return json.loads(value) if isinstance(value, str) else value
    return value


def _without_values(text: str, extra: Mapping[str, Any]) -> str:
    """Return an error's text without the values of extras that may be secrets."""
    leaves, left = list[str](), [value for name, value in extra.items() if name not in _NO_SECRETS]
    while left:
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        leaves += [value] if isinstance(value, str) else []
    for leaf in sorted(leaves, key=len, reverse=True):
        text = text.replace(leaf, "…") if len(leaf) > _SHORTEST_SECRET else text
    return mask_secrets(re.sub(r"[^/@\s]+@", "…@", text))


# Extras of Airflow's hook that choose its cursors, or that belong to the switches below.
_IGNORED_BY_POSTGRES = {
    *("cursor", "sqlalchemy_scheme", "sqlalchemy_query"),
    *("aws_conn_id", "cluster-identifier", "workgroup-name"),
}
# A replication connection has other statements, and all text is exchanged as UTF-8.
_NOT_FOR_POSTGRES = {"replication", "client_encoding"}
# Without any effect beside application_name, it stays in the connection string on all its ways.
_CONN_ID = "fallback_application_name"
_TOKENS_FOR_POSTGRES = ("iam", "redshift", "redshift-serverless", "azure_conn_id")


def postgres_conninfo(connection: Connection) -> str:
    """Return the libpq connection string of a `postgres` connection. It contains the password, so never print it.

    Every option of libpq can be an extra, and takes precedence over the connection's own field: `host` and `port`
    may be lists (`a,b`, `5432,5433`).

    Raises:
        WrongType: it is no `postgres` connection.
        ExtraNotUnderstood: an extra is no option of libpq, or has a value that no option can have.
    """
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import Conninfo

    _require_type(connection, "postgres")
    for name in _TOKENS_FOR_POSTGRES:
        if connection.extra.get(name):
            raise ExtraNotUnderstood(
                connection,
                name,
                hint="tokens of a cloud are not supported: use a role with a password or a certificate",
            )
    understood = {option.keyword.decode() for option in Conninfo.get_defaults()} - _NOT_FOR_POSTGRES
    given = _given(connection, understood, {*_IGNORED_BY_POSTGRES, *_TOKENS_FOR_POSTGRES})
    for name, value in given.items():
        if not isinstance(value, str | int):
            raise ExtraNotUnderstood(connection, name, hint="write its value as text")
    fields = {
        "host": connection.host or None,
        "port": connection.port,
        "user": connection.login or None,
        "password": connection.password or None,
        "dbname": connection.schema or None,
        "connect_timeout": "10",
        "application_name": "mindguard",
        _CONN_ID: connection.conn_id,
    }
    values = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in given.items()}
    return make_conninfo("", **fields | values)


def conn_id_of(conninfo: str) -> str:
    """Return the id of the connection that a libpq connection string was made of, which errors name; else nothing."""
    from psycopg.conninfo import conninfo_to_dict

    return str(conninfo_to_dict(conninfo).get(_CONN_ID) or "")


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


_S3_EXTRAS = {
    *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "profile_name", "session_kwargs"),
    *("region_name", "endpoint_url", "verify", "config_kwargs", "service_config"),
    *("role_arn", "assume_role_method", "assume_role_kwargs"),
}
_SESSION_KWARGS = {
    *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region_name", "profile_name"),
}


_S3_CONFIG = {
    *("addressing_style", "payload_signing_enabled", "us_east_1_regional_endpoint", "use_accelerate_endpoint"),
    *("use_arn_region", "use_dualstack_endpoint", "disable_s3_express_session_auth"),
    "s3_disable_multiregion_access_points",
}


def s3_client(connection: Connection) -> S3Client:
    """Return a boto3 client for an `aws` connection.

    It uses the extras that Airflow's own hook uses (`_S3_EXTRAS`). Without login and password, boto3's own chain
    (environment, profile, instance role) finds the credentials. With `role_arn`, these credentials assume that role.

    Raises:
        WrongType: it is no `aws` connection, or has a host.
        ExtraNotUnderstood: an extra would have no effect.
        MindGuardError: boto3 cannot create a client from the connection.
    """
    from botocore import UNSIGNED
    from botocore.config import Config

    _require_aws(connection)
    extra = _given(connection, _S3_EXTRAS)
    services = {
        name: _object(connection, "service_config", value)
        for name, value in _object(connection, "service_config", extra.get("service_config", {})).items()
    }
    for service in ("s3", "sts"):
        # Airflow's hook reads its default bucket here; snapshots are in the bucket that the settings name.
        for name in set(services.get(service, {})) - {"endpoint_url", "bucket_name"}:
            raise ExtraNotUnderstood(connection, f"service_config.{service}.{name}")
    kwargs = _object(connection, "config_kwargs", extra.get("config_kwargs", {}))
    # Botocore takes any name here, and ignores those that it does not know.
    for name in set(_object(connection, "config_kwargs.s3", kwargs.get("s3") or {})) - _S3_CONFIG:
        close = get_close_matches(name, _S3_CONFIG, 1)
        hint = f"did you mean {close[0]}?" if close else "correct or remove it"
        raise ExtraNotUnderstood(connection, f"config_kwargs.s3.{name}", hint=hint)
    for name in ("assume_role_method", "assume_role_kwargs"):
        if extra.get(name) and not extra.get("role_arn"):
            raise ExtraNotUnderstood(connection, name, hint="it needs role_arn")
    if kwargs.get("signature_version") == "unsigned":
        kwargs = kwargs | {"signature_version": UNSIGNED}
    defaults = Config(
        retries={"mode": "standard", "max_attempts": 4},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
    )
    verify = _verify(connection, extra.get("verify"))
    try:
        config = defaults.merge(Config(**kwargs))
        session = _aws_session(connection, extra)
        if extra.get("role_arn"):
            sts = session.client("sts", endpoint_url=services.get("sts", {}).get("endpoint_url"), verify=verify)
            _assume_role(connection, session, sts, extra)
        client: S3Client = session.client(
            "s3",
            endpoint_url=services.get("s3", {}).get("endpoint_url") or extra.get("endpoint_url"),
            verify=verify,
            config=config,
        )
    except MindGuardError:
        raise
    except Exception as error:  # noqa: BLE001 - boto3 validates little: a wrong extra can fail anywhere inside it
        raise MindGuardError(
            f"connection {connection.conn_id!r} is not valid for S3: {_without_values(str(error), extra)}",
            hint="endpoint_url must begin with http:// or https://, config_kwargs must be options of botocore's Config",
        ) from None
    return client


def refuse_aws_extras(connection: Connection) -> None:
    """Refuse what Airflow's own hook, which is used inside Airflow, would not use.

    Raises:
        WrongType: it is no `aws` connection, or has a host.
        ExtraNotUnderstood: an extra would have no effect.
    """
    _require_aws(connection)
    _given(connection, {*_S3_EXTRAS, "assume_role_with_saml", *_WEB_IDENTITY})


_WEB_IDENTITY = tuple(
    f"assume_role_with_web_identity_{name}" for name in ("federation", "federation_audience", "token_file")
)


def _verify(connection: Connection, written: Any) -> bool | str | None:
    """Return the extra `verify`: whether certificates are checked, or the file of the authorities that sign them."""
    verify = {"true": True, "false": False}.get(str(written).lower(), written)
    if verify is None or isinstance(verify, bool):
        return verify
    if not isinstance(verify, str) or not Path(verify).exists():
        raise ExtraNotUnderstood(connection, "verify", hint="write true, false, or the path of a file of certificates")
    return verify


def _aws_session(connection: Connection, extra: Mapping[str, Any]) -> boto3.Session:
    import boto3

    arguments = _object(connection, "session_kwargs", extra.get("session_kwargs", {}))
    for name in set(arguments) - _SESSION_KWARGS:
        raise ExtraNotUnderstood(connection, f"session_kwargs.{name}")
    arguments |= {name: extra[name] for name in _SESSION_KWARGS if name in extra}
    if connection.login and connection.password:
        arguments |= {"aws_access_key_id": connection.login, "aws_secret_access_key": connection.password}
    return boto3.Session(**arguments)


def _assume_role(connection: Connection, session: boto3.Session, sts: Any, extra: Mapping[str, Any]) -> None:
    """Give the session the role's credentials, which are fetched now, and again before they end."""
    from botocore.credentials import RefreshableCredentials, create_assume_role_refresher
    from botocore.exceptions import BotoCoreError, ClientError

    if extra.get("assume_role_method", "assume_role") != "assume_role":
        raise ExtraNotUnderstood(
            connection,
            "assume_role_method",
            hint="outside Airflow only assume_role is supported; else use profile_name",
        )
    arguments = _object(connection, "assume_role_kwargs", extra.get("assume_role_kwargs", {}))
    fetch = create_assume_role_refresher(
        sts, {"RoleSessionName": "mindguard", **arguments, "RoleArn": extra["role_arn"]}
    )
    try:
        fetched = fetch()
    except (BotoCoreError, ClientError) as error:
        raise MindGuardError(
            f"connection {connection.conn_id!r} cannot assume its role: {_without_values(str(error), extra)}",
            hint="correct role_arn and assume_role_kwargs, or let the role trust these credentials",
        ) from None
    core: Any = session
    core._session._credentials = RefreshableCredentials.create_from_metadata(
        fetched, refresh_using=fetch, method="sts-assume-role"
    )


def kafka_config(connection: Connection) -> dict[str, Any]:
    """Return the librdkafka settings of a `kafka` connection: its extras without callbacks. They may hold passwords.

    Raises:
        WrongType: it is no `kafka` connection.
        MindGuardError: no broker is named.
    """
    _require_type(connection, "kafka")
    config = {key: value for key, value in connection.extra.items() if not key.endswith("_cb")}
    if not config.get("bootstrap.servers"):
        raise MindGuardError(
            f"connection {connection.conn_id!r} names no Kafka broker", hint="add bootstrap.servers to its extras"
        )
    return config


_CLICKHOUSE_EXTRAS = {
    *("secure", "verify", "connect_timeout", "send_receive_timeout", "compress"),
    *("session_settings", "client_kwargs"),
}
_IGNORED_BY_CLICKHOUSE = {"client_name"}

LARGEST_ANSWER = 10_000_000
"""Number of bytes above which ClickHouse refuses a query of a monitor or a suite, whose answers are a few rows."""


def clickhouse_client(connection: Connection, **limits: int) -> Client:
    """Return an HTTP client for a `clickhouse` connection.

    It uses the extras of Airflow's own hook: `secure`, `verify`, `connect_timeout`, `send_receive_timeout`,
    `compress`, `session_settings` and `client_kwargs` (but not `client_name`). It keeps no session, so threads may
    share it.

    Args:
        connection: the connection.
        **limits: extras that take precedence over those of the connection, for instance `connect_timeout`.

    Raises:
        WrongType: it is no `clickhouse` connection.
        ExtraNotUnderstood: an extra would have no effect.
        MindGuardError: the server cannot be reached or refuses the login.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    _require_type(connection, "clickhouse")
    extra = _given(connection, _CLICKHOUSE_EXTRAS, _IGNORED_BY_CLICKHOUSE)
    client_kwargs, settings = (
        _object(connection, name, _decoded(extra.get(name, {}))) for name in ("client_kwargs", "session_settings")
    )
    for name, value in settings.items():
        whole = value_for_whole_answers(name)
        if whole is not None and str(value).lower() not in (whole, "false"):
            raise ExtraNotUnderstood(
                connection, f"session_settings.{name}", hint="remove it: what is judged must be a whole answer"
            )
    try:
        client = clickhouse_connect.get_client(
            **{
                **client_kwargs,
                **{name: value for name, value in extra.items() if name not in ("client_kwargs", "session_settings")},
                **limits,
                "host": connection.host or "localhost",
                "port": connection.port or 0,
                "username": connection.login or "default",
                "password": connection.password,
                "database": connection.schema or "default",
                "settings": settings,
                "client_name": "mindguard",
                "autogenerate_session_id": False,
            }
        )
    except (ClickHouseError, ValueError, TypeError) as error:
        raise MindGuardError(
            f"connection {connection.conn_id!r} does not reach ClickHouse: {_without_values(str(error), extra)}",
            hint="check its host, port and login",
        ) from None
    _ask_for_whole_answers(client, connection)
    return client


def clickhouse_limits(client: Client, **limits: float) -> dict[str, float]:
    """Return the settings that limit a query, without those that the user's profile fixes or sets lower."""
    known = client.server_settings
    free = {name: known[name] for name in limits if name in known and not known[name].readonly}
    return {name: limits[name] for name, setting in free.items() if not 0 < float(setting.value) <= limits[name]}


def _ask_for_whole_answers(client: Client, connection: Connection) -> None:
    """Overrule what the user's profile says about partial answers: they would be judged as if they were whole."""
    for name, setting in client.server_settings.items():
        whole = value_for_whole_answers(name)
        if whole is None or setting.value == whole:
            continue
        if setting.readonly:
            client.close()
            raise MindGuardError(
                f"connection {connection.conn_id!r}: the user's profile fixes {name} = {setting.value}, "
                "so that answers can be partial",
                hint=f"set {name} = {whole} in that profile, or use a user of its own",
            )
        client.set_client_setting(name, whole)
