"""### Demo: a weekly report that has a deadline.

**What:** one task waits for as long as its form says, instead of doing real work. A run that is not finished in time is
reported while it is still running, as the incident of the monitor `weekly_report`; see docs/monitors.md.

**Schedule:** none here; a real report would run on Mondays at 08:00.

**Rerun:** a rerun is another run with another deadline.

**On failure:** the run is too slow or stuck; look at its log. The incident ends when the monitor finds the report.
"""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference, Param, dag, task

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.alerts.severity import Severity
from mindguard.missed_deadline import report_missed_deadline


@dag(
    schedule=None,
    params={"seconds": Param(1, type="integer", minimum=0, maximum=300, description="how long the work takes")},
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=10),
        callback=AsyncCallback(report_missed_deadline, kwargs={"monitor": "weekly_report"}),
    ),
    **dag_defaults(severity=Severity.P2, doc=__doc__, tags=("demo",)),
)
def demo_weekly_report() -> None:
    """Run one task."""

    @task
    def write_report(params: dict[str, int] | None = None) -> None:
        time.sleep((params or {}).get("seconds", 1))

    write_report()


demo_weekly_report()
