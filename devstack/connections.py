"""The Airflow connections to the parts of the stack, by connection id, and the environment variables for them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from devstack.parts.airflow import SWEEPER, AirflowSite
from devstack.parts.clickhouse import ClickHouseFront
from devstack.parts.feishu import FeishuSandbox
from devstack.parts.postgres import PostgreSQL
from devstack.parts.seaweedfs import REGION, SeaweedFS

Connections = dict[str, dict[str, Any]]
"""Connection id → the fields of Airflow's JSON form of a connection."""


def connection_variables(connections: Connections) -> dict[str, str]:
    """Write these connections as the environment variables in which Airflow looks for them, in its JSON form."""
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}


def postgres_connections(postgres: PostgreSQL) -> Connections:
    """Describe one connection for each purpose: the application, restores, operations and drills."""
    roles = {
        "app": "mindguard_reader",
        "restore": "mindguard_app_owner",
        "ops": "mindguard_ops",
        "drill": "mindguard_drill",
    }
    return {
        f"mindguard_{name}": {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": postgres.port,
            "login": role,
            "password": postgres.password(role),
            "schema": postgres.home_database(role),
        }
        for name, role in roles.items()
    }


def clickhouse_connections(clickhouse: ClickHouseFront) -> Connections:
    """Describe the connection to the events."""
    value = {
        "conn_type": "clickhouse",
        "host": "127.0.0.1",
        "port": clickhouse.port,
        "login": clickhouse.login,
        "password": clickhouse.password,
        "schema": "default",
    }
    return {"mindguard_events": value}


def seaweedfs_connections(seaweedfs: SeaweedFS) -> Connections:
    """Describe the connection to the store of the snapshots."""
    extra = {
        "endpoint_url": seaweedfs.endpoint,
        "region_name": REGION,
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    keys = {"login": seaweedfs.access_key, "password": seaweedfs.secret_key}
    return {"mindguard_backup": {"conn_type": "aws", **keys, "extra": extra}}


def feishu_app_connections(feishu: FeishuSandbox) -> Connections:
    """Describe the connection to Feishu through an app's bot, which can change its cards."""
    keys = {"login": feishu.app_id, "password": feishu.app_secret}
    value = {"conn_type": "feishu", "host": feishu.url, **keys, "extra": {"chat_id": feishu.chat_id}}
    return {"mindguard_feishu": value}


def feishu_webhook_connections(feishu: FeishuSandbox) -> Connections:
    """Describe the connection to Feishu through a custom bot's webhook."""
    value = {
        "conn_type": "feishu",
        "host": f"{feishu.url}/open-apis/bot/v2/hook/",
        "password": feishu.token,
        "extra": {"secret": feishu.secret},
    }
    return {"mindguard_feishu": value}


def airflow_connections(site: AirflowSite, *, metrics_password: str) -> Connections:
    """Describe the connections to Airflow's REST API and to the page with the metrics.

    Args:
        site: the Airflow of the stack.
        metrics_password: the password that a reader of the metrics must present.
    """
    url = urlsplit(site.url)
    login = {"login": SWEEPER, "password": site.password_of(SWEEPER)}
    return {
        "mindguard_airflow": {
            "conn_type": "http",
            "host": url.hostname,
            "port": url.port,
            "schema": url.scheme,
            **login,
        },
        "mindguard_metrics": {"conn_type": "generic", "password": metrics_password},
    }
