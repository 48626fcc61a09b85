"""
### alert_delivery: see that every alert arrives, and that nothing that failed went unreported

**What.** `deliver_alerts` sends what is due of the outbox, calls the next person where nobody has answered in time,
sends the handover digest when a shift ends, and reminds of overdue reviews. `sweep_missed_callbacks` asks Airflow's
API which runs and tasks of DAGs tagged `mindguard` have failed: a process that was killed, or a run that was marked
failed, has reported nothing itself. It also ends incidents whose task has succeeded since.

**When.** Every minute. Alerts do not wait for it: callbacks and monitors send their own at once. What it adds is
patience: what Feishu throttled, what failed while it was down, what nobody answered.

**A rerun** does no harm: the store takes each occurrence once, and an alert that was delivered is not due any more.

**When it fails**, alerts may be late or missing, so look at once. Its own failure is reported once, at its beginning,
and not every minute again.

1. `deliver_alerts` says *store*: `connections.ops` cannot be reached. Failures are still sent directly, without
   escalation and without memory. Bring PostgreSQL back; what was missed is made up for by the next sweep.
2. `deliver_alerts` says *Feishu refused*: token, secret, allowlist or keyword are wrong, the line says which. Correct
   `connections.feishu`; `mindguard incidents list` shows what was not delivered.
3. `sweep_missed_callbacks`: `connections.airflow` is wrong or the API server does not answer. Alerts arrive all the
   same, except those of killed processes. The next good sweep looks back to the last good one.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, get_current_context, task

from mindguard.airflow.dag_defaults import ZONE, dag_defaults
from mindguard.alerts.severity import Severity

log = logging.getLogger(__name__)


@dag(
    schedule=CronTriggerTimetable("* * * * *", timezone=ZONE.key),
    dagrun_timeout=timedelta(minutes=10),
    # P1: alerts may not arrive. repeats=False: it must not send one a minute about itself.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("alerts",), repeats=False),
)
def alert_delivery() -> None:
    # Retried soon, here and below: an API server that restarts is no incident, and the next run is a minute away.
    @task(execution_timeout=timedelta(minutes=2), retries=2, retry_delay=timedelta(seconds=10))
    def deliver_alerts() -> dict[str, Any]:
        """Send, escalate, hand over, remind; returns how much of each."""
        from mindguard.airflow.clients import connection
        from mindguard.jobs.alerting import deliver
        from mindguard.settings import load_settings

        delivered = deliver(load_settings(), connection, now=datetime.now(UTC))
        log.info(delivered)
        delivered.check()
        return delivered.summary()

    @task(execution_timeout=timedelta(minutes=2), retries=2, retry_delay=timedelta(seconds=10))
    def sweep_missed_callbacks() -> str:
        """Report what nothing has reported; returns the moment up to which that is done."""
        from mindguard.airflow.clients import airflow_pages, connection
        from mindguard.jobs.missed_callbacks import sweep
        from mindguard.settings import load_settings

        task_instance = get_current_context()["ti"]
        # With its index the newest value comes; without, a list of all that there ever were.
        swept = task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=-1, include_prior_dates=True)
        now = datetime.now(UTC)
        found = sweep(
            load_settings(),
            connection,
            base_url=airflow_pages(),
            swept_until=datetime.fromisoformat(swept) if swept else None,
            now=now,
        )
        log.info(found)
        return now.isoformat()

    deliver_alerts()
    sweep_missed_callbacks()


alert_delivery()
