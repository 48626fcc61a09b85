"""Airflow's connections as the clients that the package works with. The one such place: see docs/adr/0002."""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.configuration import conf

from mindguard.connections import Connection, postgres_conninfo
from mindguard.errors import ConnectionMissing
from mindguard.settings import Settings
from mindguard.snapshots.storage.encryption import encryption_of
from mindguard.snapshots.storage.store import Store


def connection(conn_id: str) -> Connection:
    """The Airflow connection as a plain record.

    Raises:
        ConnectionMissing: Airflow knows none with this id.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConnectionMissing(conn_id) from None
    return record_of(conn_id, found)


def record_of(conn_id: str, found: AirflowConnection) -> Connection:
    """What Airflow has found under an id, as a plain record."""
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
    """Address under which people open Airflow's pages."""
    return str(conf.get("api", "base_url", fallback="http://localhost:8080/"))


def app_conninfo(settings: Settings) -> str:
    """libpq connection string of the application's database; it holds the password."""
    return postgres_conninfo(connection(settings.connections.app))


def backup_store(settings: Settings) -> Store:
    """The snapshots' store, through Airflow's own S3 hook: so roles, profiles and endpoints work as everywhere."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    connection(
        settings.connections.backup
    )  # a missing one is a clear error, not the hook's fallback to the environment
    encryption = encryption_of(settings, connection)
    return Store.of(S3Hook(aws_conn_id=settings.connections.backup).get_conn(), settings.snapshot, encryption)
