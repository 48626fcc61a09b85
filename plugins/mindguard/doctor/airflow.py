"""Examines what the package needs of Airflow itself, and what Prometheus needs of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from mindguard.alerts.dag_runs.failures import TAG
from mindguard.connections import Resolve
from mindguard.doctor.diagnosis import Diagnosis, Status
from mindguard.doctor.texts import Said
from mindguard.errors import MindGuardError
from mindguard.settings import Settings

if TYPE_CHECKING:
    from mindguard.alerts.dag_runs.rest_api import AirflowRest


_PROGRAMS: dict[str, Status] = {"scheduler": "error", "dag_processor": "error", "triggerer": "warn"}
"""The programs that DAGs need, and how bad it is if one does not run: only approvals and deadlines need the last."""


def examine_airflow(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that the API server lets the connection's user read DAGs, runs and tasks, and that Airflow's programs run.

    Raises:
        ConnectionMissing: the connection is not configured.
        AirflowUnreachable, AirflowRefused: the API server does not answer, or refuses the user.
    """
    from mindguard.alerts.dag_runs.rest_api import AirflowRest

    conn_id = settings.connections.airflow
    with AirflowRest.of(resolve(conn_id)) as api:
        dags = api.dags(TAG)
        api.failed_since(now(), dags)
        heartbeats = list(_heartbeats(api, settings))
    if dags:
        yield Diagnosis("pass", conn_id, "runs", Said("runs_readable", dags=len(dags)))
    else:
        yield Diagnosis("error", conn_id, "runs", Said("no_dag", tag=TAG))
    yield from heartbeats


def _heartbeats(api: AirflowRest, settings: Settings) -> Iterator[Diagnosis]:
    """Say which of Airflow's programs does not run: without its scheduler the API server answers, and nothing runs."""
    conn_id = settings.connections.airflow
    try:
        found = api.heartbeats(*_PROGRAMS)
    except MindGuardError as error:
        yield Diagnosis("unknown", conn_id, "heartbeats", str(error))
        return
    for program, last in found.items():
        if not last.alive:
            since = f"{last.at.astimezone(settings.zone):%Y-%m-%d %H:%M}" if last.at else ""
            lacks = Said("silent_since", at=since) if since else Said("never_heard")
            text = Said("program_silent", program=program, lacks=lacks, without=Said(f"without_{program}"))
            yield Diagnosis(_PROGRAMS[program], conn_id, "heartbeats", text)
    if all(last.alive for last in found.values()):
        yield Diagnosis("pass", conn_id, "heartbeats", Said("programs_alive", programs=", ".join(found)))


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
