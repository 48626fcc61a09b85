"""The only task of each monitoring DAG."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mindguard.jobs.monitoring import measure_and_report


def run_monitoring_task(task_instance: Any) -> dict[str, object]:
    """Measure and report, and return the summary for XCom, which the next run reads.

    Args:
        task_instance: Airflow's task instance, of a DAG that is one of GROUPS.
    """
    from mindguard.airflow.clients import connection
    from mindguard.settings import load_settings

    # With map_indexes, the newest value is returned; without it, a list of all values that ever were.
    before = task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=-1, include_prior_dates=True)
    return measure_and_report(
        task_instance.dag_id,
        load_settings(),
        connection,
        now=datetime.now(UTC),
        log_url=task_instance.log_url,
        sent_directly=(before or {}).get("sent_directly", ()),
    ).summary()
