"""What a deadline of Airflow reports: a run that is late is the incident of the monitor that sees its results."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


async def report_missed_deadline(*, monitor: str, context: Mapping[str, Any]) -> None:
    """For `AsyncCallback(report_missed_deadline, kwargs={"monitor": NAME})`, which runs in the triggerer.

    Args:
        monitor: of the settings; its next good measurement ends the incident.
        context: as Airflow adds it: the run, and when its deadline was.

    Raises:
        MindGuardError: there is no such monitor, or neither the store nor Feishu took it.
    """
    # The triggerer's loop serves others too, and the store and Feishu are waited for.
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
