"""Reports a missed deadline of Airflow as the incident of the monitor that measures the run's results."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


async def report_missed_deadline(*, monitor: str, context: Mapping[str, Any]) -> None:
    """Report that a run has missed its deadline.

    It is meant for `AsyncCallback(report_missed_deadline, kwargs={"monitor": NAME})`, which runs in the triggerer.

    Args:
        monitor: name of a monitor in the settings; its next good measurement ends the incident.
        context: the run and its deadline; Airflow adds it.

    Raises:
        MindGuardError: there is no such monitor, or neither the store nor Feishu accepted the report.
    """
    # Waiting for the store and Feishu must not block the triggerer's loop.
    await asyncio.to_thread(_report, monitor, context)


def _report(name: str, context: Mapping[str, Any]) -> None:
    from mindguard.airflow.clients import connection
    from mindguard.jobs.alerting import report
    from mindguard.monitors.findings import missed_deadline
    from mindguard.monitors.run import choose
    from mindguard.settings import load_settings

    settings = load_settings()
    (monitor,) = choose(settings, [name])
    deadline = context["deadline"]["deadline_time"]
    finding = missed_deadline(
        settings,
        monitor,
        deadline=deadline if isinstance(deadline, datetime) else datetime.fromisoformat(deadline),
        run_id=context["dag_run"]["dag_run_id"],
    )
    report([finding], [], settings=settings, resolve=connection, now=datetime.now(UTC), budget_s=15)
