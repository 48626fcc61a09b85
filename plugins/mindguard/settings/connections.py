"""Settings for the ids of connections."""

from __future__ import annotations

from pydantic import Field

from mindguard.settings.section import Section


class Connections(Section):
    """Airflow connection ids, one for each system that the package talks to."""

    app: str = Field("mindguard_app", description="postgres: the application's data, read only")
    ops: str = Field("mindguard_ops", description="postgres: the incident store")
    restore: str = Field("mindguard_restore", description="postgres: the application's data, as the tables' owner")
    drill: str = Field("mindguard_drill", description="postgres: scratch server for restore drills")
    events: str = Field("mindguard_events", description="clickhouse: product events")
    backup: str = Field("mindguard_backup", description="aws: the bucket that holds the snapshots")
    keys: str = Field(
        "mindguard_keys",
        description="any type: its password is the key ring, unless MINDGUARD_KEYS or MINDGUARD_KEYS_FILE gives it",
    )
    prometheus: str = Field(
        "mindguard_prometheus", description="http: the Prometheus that answers the monitors' PromQL"
    )
    kafka: str = Field(
        "mindguard_kafka", description="kafka: its extras are librdkafka settings, as for Airflow's own hook"
    )
    feishu: str = Field("mindguard_feishu", description="feishu or http: the alert bot's webhook, or an app")
    airflow: str = Field("mindguard_airflow", description="http: Airflow's REST API, for a user who may read runs")
    metrics: str = Field(
        "mindguard_metrics",
        description="any type: its password is the bearer token with which Prometheus reads /mindguard/metrics",
    )
