"""### event_volume: tell a real fall of a product event from a weekend, and say why it fell.

**What.** `choose_suites` lists the suites in `expectations/`, and `check_suites` judges the day by each of them, with
one task for each database. Suites of product events share one small frame with a row for each event of `key_events`,
which ClickHouse makes from the rollup. A fall of more than the tolerance that both lenses confirm is an incident with
its cause and a chart: P1, or P0 if nearly all traffic is gone. Falls that only the simple rule finds, day over day, are
together one P2 a day. An incident ends when its event has recovered. `reconcile_rollup` counts the last two complete
days in the rollup and in the raw events.

The page of the day (*Browse → Data checks*, and a button on each card) shows all suites, also those that passed.

**When.** Hourly, at half past. The run at 00:30 judges the day that has just ended, and reconciles. The other runs
judge the current day, which is compared with earlier days as they looked at the same hour.

**A rerun** (clear) judges the same day as it looked then: events that landed later are not counted. It reports nothing
twice. If a run is triggered by hand, a `date` in the form judges that day with all events that have landed since.

**When it fails**, a fall may go unnoticed. The other suites were checked; the card names those that were not.

1. *does not know …*, *no column …*, *there is no funnel …*, *would always pass*, *is not YAML*: somebody edited a
   suite. `mindguard suites lint` reports the same. The task was not retried. Correct the file, then clear the task.
2. *no row meets*, *the frame has 0 rows*, *is null or infinite*: the suite cannot judge the data.
   `mindguard suites run NAME` repeats the check. If events reach back less than three weeks, there is no baseline yet.
3. *ClickHouse refuses*: the error gives the reason. If there is no rollup, `mindguard volume install` creates it.
4. `reconcile_rollup` says *differs*: raw events were changed without the view. `mindguard volume install` recounts.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronTriggerTimetable, dag, get_current_context, task

from mindguard.airflow.dag_defaults import ZONE, dag_defaults
from mindguard.airflow.forms import read_form
from mindguard.airflow.permanent import not_retried
from mindguard.alerts.severity import Severity

if TYPE_CHECKING:
    from mindguard.settings import Settings
    from mindguard.volume.days import Moment

log = logging.getLogger(__name__)


def _moment(settings: Settings) -> Moment:
    """Return the day that this run judges, and the moment at which it is looked at."""
    from mindguard.jobs.event_volume import due
    from mindguard.volume.days import Moment

    context = get_current_context()
    at = context.get("logical_date") or context["dag_run"].run_after
    asked = context["params"]["date"]
    return Moment(date.fromisoformat(asked), at) if asked else due(at, settings)


@dag(
    schedule=CronTriggerTimetable("30 * * * *", timezone=ZONE.key),
    dagrun_timeout=timedelta(minutes=50),
    params={"date": read_form().field("day", None, type=["null", "string"], format="date")},
    # P2: nothing is known to be wrong. The suites' findings have a severity of their own.
    **dag_defaults(severity=Severity.P2, doc=__doc__, tags=("events",)),
)
def event_volume() -> None:
    @task(execution_timeout=timedelta(minutes=2))
    def choose_suites() -> list[list[str]]:
        """Return the names of all suites, grouped by the database that they judge."""
        from mindguard.jobs.event_volume import groups
        from mindguard.settings import load_settings

        with not_retried():
            return groups(load_settings())

    @task(
        execution_timeout=timedelta(minutes=15),
        max_active_tis_per_dagrun=2,  # each loads Great Expectations: 300 MB
        doc_md="Judge the day by these suites; report what is wrong and what has recovered.",
    )
    def check_suites(names: list[str]) -> dict[str, Any]:
        from mindguard.airflow.clients import connection
        from mindguard.jobs.event_volume import judge_day, report_run, summary
        from mindguard.settings import load_settings

        settings = load_settings()
        moment = _moment(settings)
        run = judge_day(names, settings, connection, moment)
        result = summary(run, report_run(run, settings, connection, now=datetime.now(UTC)))
        log.info(result)
        with not_retried():
            run.check()
        return result

    @task(execution_timeout=timedelta(minutes=30))
    def reconcile_rollup() -> dict[str, int]:
        """Compare rollup and raw events of a complete day and the day before; return how many were stored twice."""
        from airflow.sdk.exceptions import AirflowSkipException

        from mindguard.airflow.clients import connection
        from mindguard.jobs.event_volume import reconcile_rollup as reconcile
        from mindguard.jobs.event_volume import why_not_reconciled
        from mindguard.settings import load_settings

        settings = load_settings()
        moment = _moment(settings)
        if reason := why_not_reconciled(settings, moment):
            raise AirflowSkipException(reason)
        with not_retried():
            return {str(each.day): each.duplicates for each in reconcile(settings, connection, moment.day)}

    check_suites.expand(names=choose_suites())
    reconcile_rollup()


event_volume()
