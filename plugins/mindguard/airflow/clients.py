"""Turns Airflow's connections into the package's own clients. No other module does this; see docs/adr/0002."""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.configuration import conf

from mindguard.connections import Connection, postgres_conninfo, refuse_aws_extras
from mindguard.errors import ConnectionMissing
from mindguard.settings import Settings
from mindguard.snapshots.storage.encryption import encryption_of
from mindguard.snapshots.storage.store import Store


def connection(conn_id: str) -> Connection:
    """Return the Airflow connection as a plain record.

    Raises:
        ConnectionMissing: Airflow has no connection with this id.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConnectionMissing(conn_id, in_airflow=True) from None
    return record_of(conn_id, found)


def record_of(conn_id: str, found: AirflowConnection) -> Connection:
    """Return a connection that Airflow has found as a plain record."""
    return Connection(
        conn_id=conn_id,
        conn_type=found.conn_type or "",
        host=found.host or "",
        login=found.login or "",
        password=found.password or "",
        port=found.port,
        schema=found.schema or "",
        extra=found.extra_dejson,
    )


def airflow_pages() -> str:
    """Return the address at which people open Airflow's pages."""
    return str(conf.get("api", "base_url", fallback="http://localhost:8080/"))


def app_conninfo(settings: Settings) -> str:
    """Return the libpq connection string of the application's database; it holds the password."""
    return postgres_conninfo(connection(settings.connections.app))


def backup_store(settings: Settings) -> Store:
    """Return the snapshots' store, with Airflow's own S3 hook, so that roles, profiles and endpoints work as usual."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    # If the connection is missing, this is a clear error; the hook would fall back to the environment.
    refuse_aws_extras(connection(settings.connections.backup))
    encryption = encryption_of(settings, connection)
    conn_id = settings.connections.backup
    return Store.of(S3Hook(aws_conn_id=conn_id).get_conn(), settings.snapshot, encryption, conn_id=conn_id)
