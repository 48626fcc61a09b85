"""### alert_delivery: make sure that every alert arrives and every failure is reported.

**What.** `deliver_alerts` sends the alerts in the outbox that are due, calls the next person if nobody has answered in
time, sends the handover digest when a shift ends, and sends reminders of overdue reviews. It also begins and ends
silences, so that what is unresolved after planned work is sent. `sweep_missed_callbacks`
asks Airflow's API which runs and tasks of DAGs tagged `mindguard` have failed, since a process that was killed, or a
run that was marked as failed, has reported nothing itself. It also ends incidents whose task has succeeded since.

**When.** Every minute. Alerts do not wait for it, since callbacks and monitors send their own at once. This DAG sends
what is left: what Feishu throttled, what failed while Feishu was down, and calls to the next person.

**A rerun** does no harm: the store counts each occurrence once, and an alert that was delivered is no longer due.

**When it fails**, alerts may be late or missing, so look at once. Of several failures of this DAG in a row, only the
first is reported.

1. `deliver_alerts` says *store*: `connections.ops` cannot be reached. Failures are still sent directly, but without
   escalation, and repeats are not recognised. Bring PostgreSQL back: the next run opens the incidents of what was sent,
   without new cards, and the next sweep reports what was missed. Until then each machine keeps what it sent in
   `alerts.spool_folder`.
2. `deliver_alerts` says *Feishu refused*: the token, secret, allowlist or keyword is wrong; the error says which.
   Correct `connections.feishu`; `mindguard incidents list` shows what was not delivered.
3. `sweep_missed_callbacks` fails: `connections.airflow` is wrong, or the API server does not answer. Alerts still
   arrive, except those of killed processes. The next successful sweep looks back to the last successful one.
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
    # P1: alerts may not arrive. repeats=False: it must not send an alert about itself every minute.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("alerts",), repeats=False),
)
def alert_delivery() -> None:
    # Both tasks retry soon: an API server that restarts is not an incident, and the next run starts within a minute.
    @task(execution_timeout=timedelta(minutes=2), retries=2, retry_delay=timedelta(seconds=10))
    def deliver_alerts() -> dict[str, Any]:
        """Send alerts, escalate, hand over and remind; return how many messages were sent."""
        from mindguard.airflow.clients import connection
        from mindguard.jobs.alerting import deliver
        from mindguard.settings import load_settings

        delivered = deliver(load_settings(), connection, now=datetime.now(UTC))
        log.info(delivered)
        delivered.check()
        return delivered.summary()

    @task(execution_timeout=timedelta(minutes=2), retries=2, retry_delay=timedelta(seconds=10))
    def sweep_missed_callbacks() -> str:
        """Report failures that no callback has reported; return the moment up to which that is done."""
        from mindguard.airflow.clients import airflow_pages, connection
        from mindguard.jobs.missed_callbacks import sweep
        from mindguard.settings import load_settings

        task_instance = get_current_context()["ti"]
        # With map_indexes, the newest value is returned; without it, a list of all values that ever were.
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
