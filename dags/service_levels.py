"""### service_levels: notice within about a minute that the service is worse than promised.

**What.** Measures every monitor of the settings whose kind is `rate`, `latency` or `heartbeat`: crashes, failing
requests of each endpoint, how fast risk signals are answered, whether dependencies answer. A value above its threshold
opens an incident and sends a card; a value above `escalate_above` makes it at least P1. The incident ends when the
value has been below the threshold for `recover_for_s`. If there is too little traffic to judge, the status is unknown,
and there is no alert. The DAG also notices if it, or `pipeline_freshness`, has not run.

**When.** Every minute, one run at a time. A minute that was skipped is not made up for, but reported.

**A rerun** measures the present state, not that of the past.

**When a card comes**, this DAG is fine, and something else is not. *Above its threshold*, *Too slow*: look at the
releases on the card; `mindguard monitors history NAME --hours 6` shows since when. *Dependency is down*: open its
address. *Cannot be measured*: nothing is known to be wrong, but nothing can be seen; `mindguard doctor` examines it.

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
def service_levels() -> None:
    # It retries soon: a database that restarts is not an incident, and the next run starts within a minute.
    @task(execution_timeout=timedelta(minutes=2), retries=1, retry_delay=timedelta(seconds=10))
    def measure_service_levels() -> dict[str, Any]:
        """Measure, judge and report; return how many monitors have each status."""
        from mindguard.airflow.monitoring_task import run_monitoring_task

        return run_monitoring_task(get_current_context()["ti"])

    measure_service_levels()


service_levels()
