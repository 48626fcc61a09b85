"""
### pipeline_freshness: see within a minute or so that data is late

**What.** Measures every monitor of the settings whose kind is `freshness` or `deadline`: events that land, ETL tables,
consumer groups, risk routing, the weekly report, the newest proven snapshot. What is late opens an incident and a card,
and ends it when it is in time again. What cannot be measured is unknown, which is never well: a source that stays
silent for `watch.unknown_after_s` is an incident of its own. It also notices that it, or `service_levels`, has not run.

**When.** Every minute, one run at a time. A minute that was skipped is not made up for, it is reported.

**A rerun** measures what is so now, not what was.

**When it fails**, the monitors are blind, for a bad monitor does not make it fail. The error says *store* or *Feishu*:
see `alert_delivery`. `mindguard monitors run` measures without Airflow, `mindguard monitors history NAME` shows what
was measured.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, get_current_context, task

from mindguard.airflow.dag_defaults import ZONE, dag_defaults
from mindguard.alerts.severity import Severity


@dag(
    schedule=CronTriggerTimetable("* * * * *", timezone=ZONE.key),
    dagrun_timeout=timedelta(minutes=5),
    # P1: nobody would know. repeats=False: while it is broken, it must not say so every minute.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("monitors",), repeats=False),
)
def pipeline_freshness() -> None:
    # Retried soon: a database that restarts is no incident, and the next run is a minute away.
    @task(execution_timeout=timedelta(minutes=2), retries=1, retry_delay=timedelta(seconds=10))
    def measure_freshness() -> dict[str, Any]:
        """Measure, judge, report; returns how many monitors have which status."""
        from mindguard.airflow.monitoring_task import run_monitoring_task

        return run_monitoring_task(get_current_context()["ti"])

    measure_freshness()


pipeline_freshness()
