"""Asks Airflow what has failed and what has recovered, and reports what no callback has reported."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from mindguard.alerts.dag_runs.failures import SOURCE, TAG, is_key_of
from mindguard.alerts.dag_runs.outcomes import EndedRun, failures, recoveries
from mindguard.alerts.dag_runs.rest_api import AirflowRest
from mindguard.alerts.direct import KEY_OF_UNSTORED, Unstored
from mindguard.alerts.finding import Finding
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.connections import Resolve
from mindguard.jobs.alerting import adopt_unstored, report
from mindguard.settings import Settings

FIRST_LOOK_BACK = timedelta(hours=1)
LONGEST_LOOK_BACK = timedelta(days=2)

OVERLAP = timedelta(minutes=5)
"""The overlap of two sweeps: a run that ended before a sweep may be committed after it, and clocks differ."""

BUDGET_S = 60.0

_MOST_KEPT = 100
_KEPT_WITHIN_S = 20.0
"""A sweep asks so many tasks what they knew of their failure, for so long; after an outage there may be many."""


def look_back_to(swept_until: datetime | None, *, now: datetime) -> datetime:
    """Return the moment to which a sweep looks back: a little before the last successful sweep, within limits.

    Args:
        swept_until: the time of the last successful sweep, aware; None before the first.
        now: the present time, aware.
    """
    return max(swept_until - OVERLAP, now - LONGEST_LOOK_BACK) if swept_until else now - FIRST_LOOK_BACK


def sweep(settings: Settings, resolve: Resolve, *, base_url: str, swept_until: datetime | None, now: datetime) -> str:
    """Sweep once, and return one line that says what was found.

    Args:
        settings: the settings, which name the connections.
        resolve: gives a connection by its id.
        base_url: address of Airflow's pages.
        swept_until: see `look_back_to`.
        now: the present time, aware.

    Raises:
        MindGuardError: Airflow's API or the incident store cannot be used. The next sweep then looks back further.
    """
    since = look_back_to(swept_until, now=now)
    adopt_unstored(settings, resolve, now=now)
    store = IncidentStore.of(resolve(settings.connections.ops))
    unresolved = {incident.recovery_key for incident in store.list() if incident.source == SOURCE}
    with AirflowRest.of(resolve(settings.connections.airflow)) as api:
        dags = api.dags(TAG)
        runs = api.failed_since(since, dags)
        found = failures(runs, base_url=base_url, locale=settings.locale)
        kept = _kept_with_tasks(api, runs, store.uncounted(found))
        failed = {dag_id: facts for dag_id, facts in dags.items() if any(is_key_of(key, dag_id) for key in unresolved)}
        recovered = [recovery for recovery in recoveries(api.recent(failed)) if recovery.recovery_key in unresolved]
    report(found, recovered, settings=settings, resolve=resolve, now=now, budget_s=BUDGET_S, unstored=kept)
    return f"{len(dags)} DAGs since {since:%H:%M:%S}: {len(found)} failures, {len(recovered)} recoveries"


def _kept_with_tasks(api: AirflowRest, runs: Sequence[EndedRun], unknown: Sequence[Finding]) -> list[Unstored]:
    """Return what failed tasks kept in their own records, because the store was away when they failed."""
    wanted = {finding.event for finding in unknown}
    failed = [
        (ended.run, task)
        for ended in runs
        for task in ended.tasks
        if task.state == "failed" and (ended.run.fingerprint(task.task_id), ended.run.occurrence) in wanted
    ]
    kept: list[Unstored] = []
    deadline = time.monotonic() + _KEPT_WITHIN_S
    for run, task in failed[:_MOST_KEPT]:
        if time.monotonic() > deadline:
            break
        try:
            unstored = Unstored.from_text(api.xcom(run, task, KEY_OF_UNSTORED))
        except ValueError:
            continue  # the task kept nothing
        if unstored.finding.event in wanted:
            kept.append(unstored)
    return kept
