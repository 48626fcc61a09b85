"""### doctor: examine every connection as the workers see it, before a run needs it.

**What.** `mindguard doctor`, run by a worker: with the connections that Airflow itself keeps (its database, a secrets
backend, the environment) and from the network in which the tasks run. It checks whether each system answers, the rights
on it, clocks, what the store can do, whether each monitor measures and somebody is always on duty. It changes nothing
but probe objects in the bucket, which it removes again, and sends no message.

**When.** By hand: after an installation, an upgrade or a change of connections.

**Where the result is.** On the page *Doctor 连接体检* in Airflow's menu *Browse*, in the log, and as the task's return
value. The page needs `connections.ops`.

**A rerun**, or another run, examines everything again. Once nothing is wrong any more, the card turns green.

**When it fails**, something that a run needs is wrong: the card names the first findings and the page all of them, each
with what to correct. A warning alone is not a failure.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.alerts.severity import Severity

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    dagrun_timeout=timedelta(minutes=30),
    # P2: somebody is looking at this moment, and whatever a run cannot do raises its own alert.
    **dag_defaults(severity=Severity.P2, doc=__doc__, tags=("alerts",)),
)
def doctor() -> None:
    # retries=0: the same would be found again.
    @task(execution_timeout=timedelta(minutes=25), retries=0)
    def examine_connections() -> list[dict[str, str]]:
        """Examine everything, keep the result for the page, and fail if something is wrong."""
        from mindguard.airflow.clients import connection
        from mindguard.doctor.record import examine_and_keep
        from mindguard.settings import load_settings

        findings = examine_and_keep(load_settings(), connection, now=lambda: datetime.now(UTC), log=log.log)
        return [finding.as_dict() for finding in findings]

    examine_connections()


doctor()
