"""Runs suites of expectations on one day, and reports what is wrong and what has recovered."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.pipeline import Reported
from mindguard.alerts.releases import latest_releases
from mindguard.alerts.severity import Severity
from mindguard.connections import Resolve
from mindguard.database.session import OpsDatabase
from mindguard.errors import MindGuardError
from mindguard.fetch import explained
from mindguard.jobs.alerting import report
from mindguard.masking import mask_secrets
from mindguard.settings import Settings
from mindguard.volume.days import Moment, day_start, is_over
from mindguard.volume.findings import SOURCE, SUITE_OF_EVENTS, SUITE_OF_TOTAL, RowKey
from mindguard.volume.frames import Frames
from mindguard.volume.install import Difference, reconcile, require_equal
from mindguard.volume.page.store import page_url, write_page
from mindguard.volume.run import Run, outcome_of, run_suites, sections
from mindguard.volume.series import HISTORY_DAYS
from mindguard.volume.source import EventSource
from mindguard.volume.suites import own_suites, read_suite

log = logging.getLogger(__name__)

BUDGET_S = 60.0

SETTLES_WITHIN = timedelta(hours=1)
"""The time after midnight in which a check judges the previous day once more."""


def due(at: datetime, settings: Settings) -> Moment:
    """Return the day to judge at a moment (aware): the running day, or in its first hour the day before."""
    return Moment((at - SETTLES_WITHIN).astimezone(settings.zone).date(), at)


def groups(settings: Settings) -> list[list[str]]:
    """Return the names of all suites, grouped by database, product events first; an unreadable file is its own group.

    Each database has one process, not each suite, since Great Expectations takes seconds to import.
    """
    return [names for names in _by_database(settings).values() if names]


def _by_database(settings: Settings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"events": []}
    for path in own_suites(settings):
        try:
            place: str = read_suite(path).meta.database
        except MindGuardError:
            place = path.name  # the error appears when this suite is run
        found.setdefault(place, []).append(path.stem)
    return found


def why_not_reconciled(settings: Settings, moment: Moment) -> str:
    """Return why the rollup needs no comparison; empty if it does."""
    if not is_over(moment.day, moment.as_of, settings.zone):
        return "the day is still running"
    return "" if _by_database(settings)["events"] else "no suite judges product events"


def judge_day(names: Collection[str], settings: Settings, resolve: Resolve, moment: Moment) -> Run:
    """Judge one day by some suites, taking incidents and releases into account. Nothing is reported.

    Args:
        names: names of the suites.
        settings: the settings, which name the connections and the folder of the suites.
        resolve: gives a connection by its id.
        moment: the day, and the moment at which it is judged.
    """
    incidents, releases = _incident_days(settings, resolve, moment), latest_releases(settings, resolve)
    return run_suites(names, Frames(settings, moment, resolve=resolve, incidents=incidents, releases=releases))


def keep_page(run: Run, settings: Settings, resolve: Resolve) -> str:
    """Store the run's sections of the day's page, and return the page's address.

    The check must not fail because of its page: if the page cannot be stored, the address is empty.
    """
    try:
        database = OpsDatabase.of(resolve(settings.connections.ops))
        write_page(
            sections(run, settings), database=database, day=run.moment.day, keep_days=settings.volume.report_days
        )
    except Exception as error:  # noqa: BLE001 - see the docstring
        log.warning("the page of %s was not stored: %s", run.moment.day, mask_secrets(explained(error)))
        return ""
    return page_url(settings, run.moment.day)


def report_run(run: Run, settings: Settings, resolve: Resolve, *, now: datetime) -> Reported:
    """Store the day's page, then report the findings and recoveries.

    Args:
        run: the results of the suites.
        settings: the settings, which name the connections.
        resolve: gives a connection by its id.
        now: the present time, aware.

    Raises:
        MindGuardError: neither the incident store nor Feishu accepted the report.
    """
    page = keep_page(run, settings, resolve)
    return report(*outcome_of(run, settings, page), settings=settings, resolve=resolve, now=now, budget_s=BUDGET_S)


def summary(run: Run, reported: Reported) -> dict[str, Any]:
    """Return the run's figures and the names of incidents for XCom, without the rows."""
    return {
        **run.summary(),
        "incidents": [incident.name for incident in reported.changed],
        "recovered": [incident.name for incident in reported.ended],
    }


def reconcile_rollup(settings: Settings, resolve: Resolve, day: date) -> list[Difference]:
    """Compare a day and the day before in the rollup and in the raw events.

    Args:
        settings: the settings, which name the connection.
        resolve: gives a connection by its id.
        day: the later of the two days.

    Raises:
        RollupDiffers: they differ.
        EventsUnreadable: ClickHouse refuses a query.
    """
    found = reconcile(EventSource.of(settings, resolve), [day - timedelta(days=1), day])
    require_equal(found)
    return found


def _incident_days(settings: Settings, resolve: Resolve, moment: Moment) -> dict[str, set[date]]:
    """Return the days that must not be a baseline; without the incident store, log a warning and return none."""
    since = day_start(moment.day - timedelta(days=HISTORY_DAYS), settings.zone)
    try:
        lasting = IncidentStore.of(resolve(settings.connections.ops)).lasting(source=SOURCE, since=since)
    except MindGuardError as error:
        log.warning("days with incidents count as baselines: %s", error)
        return {}
    return days_with_incidents(lasting, until=moment.day, zone=settings.zone)


def days_with_incidents(incidents: Iterable[Incident], *, until: date, zone: ZoneInfo) -> dict[str, set[date]]:
    """Return the days before `until` with a P0 or P1 for one event or for all traffic, by event or under `TOTAL`.

    The day on which an incident ended counts as good, unless the incident began on it.

    Args:
        incidents: incidents of any source.
        until: the day that is judged; an unresolved incident lasts until then.
        zone: time zone of the days.
    """
    found: dict[str, set[date]] = {}
    for incident in incidents:
        about = RowKey.parse(incident.recovery_key)
        if about is None or about.suite not in (SUITE_OF_EVENTS, SUITE_OF_TOTAL) or not about.row:
            continue
        if Severity(incident.severity) is Severity.P2:
            continue  # a custom expectation that fails for weeks must not remove every baseline
        first = incident.opened_at.astimezone(zone).date()
        ended = incident.resolved_at.astimezone(zone).date() if incident.resolved_at else until
        days = {first + timedelta(days=number) for number in range(max(1, (ended - first).days))}
        found.setdefault(about.row, set()).update(day for day in days if day < until)
    return found
