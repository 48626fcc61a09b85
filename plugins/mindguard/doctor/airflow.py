"""Examines what the package needs of Airflow itself, and what Prometheus needs of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from mindguard.alerts.dag_runs.failures import TAG
from mindguard.connections import Resolve
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
from mindguard.settings import Settings


def examine_airflow(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that the API server lets the connection's user read DAGs, runs and tasks.

    Raises:
        ConnectionMissing: the connection is not configured.
        AirflowUnreachable, AirflowRefused: the API server does not answer, or refuses the user.
    """
    from mindguard.alerts.dag_runs.rest_api import AirflowRest

    conn_id = settings.connections.airflow
    with AirflowRest.of(resolve(conn_id)) as api:
        dags = api.dags(TAG)
        api.failed_since(now(), dags)
    if dags:
        yield Diagnosis("pass", conn_id, "runs", Said("runs_readable", dags=len(dags)))
    else:
        yield Diagnosis("error", conn_id, "runs", Said("no_dag", tag=TAG))


def examine_metrics(settings: Settings, resolve: Resolve) -> Iterator[Diagnosis]:
    """Check that there is a token for Prometheus.

    Raises:
        ConnectionMissing: the connection is not configured.
    """
    conn_id = settings.connections.metrics
    if resolve(conn_id).password:
        yield Diagnosis("pass", conn_id, "token", Said("token"))
    else:
        yield Diagnosis("error", conn_id, "token", Said("no_token"))
