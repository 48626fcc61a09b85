"""Asks Airflow what has failed and what is well again, and reports what nothing has reported."""

from __future__ import annotations

from datetime import datetime, timedelta

from mindguard.alerts.dag_runs.failures import SOURCE
from mindguard.alerts.dag_runs.outcomes import failures, recoveries
from mindguard.alerts.dag_runs.rest_api import AirflowRest
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.connections import Resolve
from mindguard.jobs.alerting import report
from mindguard.settings import Settings

TAG = "mindguard"
"""DAGs with this tag are swept."""

FIRST_LOOK_BACK = timedelta(hours=1)
LONGEST_LOOK_BACK = timedelta(days=2)

OVERLAP = timedelta(minutes=5)
"""What ended before a sweep may be committed after it, and clocks differ."""

BUDGET_S = 60.0


def look_back_to(swept_until: datetime | None, *, now: datetime) -> datetime:
    """Since when a sweep asks: since the last good one and a little before, within bounds.

    Args:
        swept_until: aware; the last sweep that succeeded. None before the first.
        now: aware.
    """
    return max(swept_until - OVERLAP, now - LONGEST_LOOK_BACK) if swept_until else now - FIRST_LOOK_BACK


def sweep(settings: Settings, resolve: Resolve, *, base_url: str, swept_until: datetime | None, now: datetime) -> str:
    """One sweep; gives what it found in one line.

    Args:
        base_url: of Airflow's pages.
        swept_until: see `look_back_to`.
        now: aware.

    Raises:
        MindGuardError: Airflow's API or the incident store cannot be used; then the next sweep looks back further.
    """
    since = look_back_to(swept_until, now=now)
    store = IncidentStore.of(resolve(settings.connections.ops))
    unresolved = {incident.recovery_key for incident in store.list() if incident.source == SOURCE}
    with AirflowRest.of(resolve(settings.connections.airflow)) as api:
        dags = api.dags(TAG)
        found = failures(api.failed_since(since, dags), base_url=base_url, locale=settings.locale)
        ill = {
            dag_id: facts
            for dag_id, facts in dags.items()
            if any(key.startswith(f"{SOURCE}:{dag_id}") for key in unresolved)
        }
        well = [recovery for recovery in recoveries(api.recent(ill)) if recovery.recovery_key in unresolved]
    report(found, well, settings=settings, resolve=resolve, now=now, budget_s=BUDGET_S)
    return f"{len(dags)} DAGs since {since:%H:%M:%S}: {len(found)} failures, {len(well)} recoveries"
