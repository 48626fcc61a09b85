"""### pipeline_freshness: notice within about a minute that data is late.

**What.** Measures every monitor of the settings whose kind is `freshness` or `deadline`: events that land, ETL tables,
consumer groups, risk routing, the weekly report, the newest proven snapshot. If data is late, it opens an incident and
sends a card; when data is on time again, it ends the incident. What cannot be measured is unknown, which never counts
as good: a source that stays silent for `watch.unknown_after_s` is an incident of its own. The DAG also notices if it,
or `service_levels`, has not run.

**When.** Every minute, one run at a time. A minute that was skipped is not made up for, but reported.

**A rerun** measures the present state, not that of the past.

**When a card comes**, this DAG is fine, and something else is not. *Late*, *Not done in time*: `mindguard monitors
history NAME --hours 6` shows since when; the card says whether the source sends nothing or the pipeline is behind.
*No snapshot is proven*: see `snapshot_tables` and `restore_drill`. *Cannot be measured*: `mindguard doctor`.

**When it fails**, nothing is monitored, since a single bad monitor does not make the DAG fail. The error says *store*
or *Feishu*: see `alert_delivery`. `mindguard monitors run` measures without Airflow, and `mindguard monitors history
NAME` shows what was measured.
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
    # P1: nobody would notice. repeats=False: while it is broken, it must not send an alert every minute.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("monitors",), repeats=False),
)
def pipeline_freshness() -> None:
    # It retries soon: a database that restarts is not an incident, and the next run starts within a minute.
    @task(execution_timeout=timedelta(minutes=2), retries=1, retry_delay=timedelta(seconds=10))
    def measure_freshness() -> dict[str, Any]:
        """Measure, judge and report; return how many monitors have each status."""
        from mindguard.airflow.monitoring_task import run_monitoring_task

        return run_monitoring_task(get_current_context()["ti"])

    measure_freshness()


pipeline_freshness()
