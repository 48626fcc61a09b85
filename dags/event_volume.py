"""
### event_volume: tell a real fall of a product event from a weekend, and say why it fell

**What.** `choose_suites` lists the suites in `expectations/`; `check_suites` judges the day by each of them, in one
task for each database. Suites of product events share one small frame, a row for each event of `key_events`, which
ClickHouse makes from the rollup. A fall of more than the tolerance that both lenses confirm is an incident with its
cause and a chart: P1, and P0 where nearly all traffic is gone. What only the bare rule finds, day over day, is one P2
a day for all events together. An incident ends when its event is well again. `reconcile_rollup` counts the last two
closed days in the rollup and in the raw events.

The page of the day (*Browse → Data checks*, and a button on each card) shows all suites, also those that passed.

**When.** Hourly, half past. The run at 00:30 judges the day that has just closed, and reconciles; the others judge the
running day, which is compared with earlier days as they looked at the same hour.

**A rerun** (clear) judges the same day as it looked then: what landed later is not counted. It tells nobody anything
twice. By hand, a `date` in the form judges that day with all that has landed since.

**When it fails**, nobody would see a fall. Other suites were checked all the same; the card names those that were not.

1. *Great Expectations does not know …*, *would always pass*, a file that is not YAML: somebody edited a suite.
   `mindguard suites lint` says the same; correct the file, then clear the task.
2. *no row meets*, *the frame has 0 rows*, *is null or infinite*: the suite met data that it cannot judge.
   `mindguard suites run NAME` repeats it. Where events reach back less than three weeks, there is no baseline yet.
3. *ClickHouse refuses*: the line says why. Without rollup, `mindguard volume install` makes it.
4. `reconcile_rollup` says *differs*: raw events were changed behind the view. `mindguard volume install` counts again.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronTriggerTimetable, Param, dag, get_current_context, task

from mindguard.airflow.dag_defaults import ZONE, dag_defaults
from mindguard.alerts.severity import Severity

if TYPE_CHECKING:
    from mindguard.settings import Settings
    from mindguard.volume.days import Moment

log = logging.getLogger(__name__)


def _moment(settings: Settings) -> Moment:
    """The day that this run judges, and as it looked when."""
    from mindguard.jobs.event_volume import due
    from mindguard.volume.days import Moment

    context = get_current_context()
    at = context.get("logical_date") or context["dag_run"].run_after
    asked = context["params"]["date"]
    return Moment(date.fromisoformat(asked), at) if asked else due(at, settings)


@dag(
    schedule=CronTriggerTimetable("30 * * * *", timezone=ZONE.key),
    dagrun_timeout=timedelta(minutes=50),
    params={"date": Param("", type="string", pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="Judge this day.")},
    # P2: nothing is known to be wrong. What the suites find has a severity of its own.
    **dag_defaults(severity=Severity.P2, doc=__doc__, tags=("events",)),
)
def event_volume() -> None:
    @task(execution_timeout=timedelta(minutes=2))
    def choose_suites() -> list[list[str]]:
        """Names of all suites, grouped by what they judge."""
        from mindguard.jobs.event_volume import groups
        from mindguard.settings import load_settings

        return groups(load_settings())

    @task(
        execution_timeout=timedelta(minutes=15),
        max_active_tis_per_dagrun=2,  # each loads Great Expectations: 300 MB
        doc_md="Judge the day by these suites, report what is wrong and what is well again.",
    )
    def check_suites(names: list[str]) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowFailException

        from mindguard.airflow.clients import connection
        from mindguard.jobs.event_volume import judge_day, report_run, summary
        from mindguard.settings import load_settings
        from mindguard.volume.run import SuitesUnchecked

        settings = load_settings()
        moment = _moment(settings)
        run = judge_day(names, settings, connection, moment)
        result = summary(run, report_run(run, settings, connection, now=datetime.now(UTC)))
        log.info(result)
        try:
            run.check()
        except SuitesUnchecked as error:
            if run.may_pass_later:
                raise
            raise AirflowFailException(str(error)) from error
        return result

    @task(execution_timeout=timedelta(minutes=30))
    def reconcile_rollup() -> dict[str, int]:
        """Compare rollup and raw events of a closed day and the one before; returns how many were stored twice."""
        from airflow.sdk.exceptions import AirflowSkipException

        from mindguard.airflow.clients import connection
        from mindguard.jobs.event_volume import reconcile_rollup as reconcile
        from mindguard.settings import load_settings
        from mindguard.volume.days import is_over

        settings = load_settings()
        moment = _moment(settings)
        if not is_over(moment.day, moment.as_of, settings.zone):
            raise AirflowSkipException("the day is still running")
        return {str(each.day): each.duplicates for each in reconcile(settings, connection, moment.day)}

    check_suites.expand(names=choose_suites())
    reconcile_rollup()


event_volume()
