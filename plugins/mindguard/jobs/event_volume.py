"""Runs suites of expectations on one day, and reports what they found and what is well again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.pipeline import Reported
from mindguard.alerts.releases import latest_releases
from mindguard.alerts.severity import Severity
from mindguard.connections import Resolve
from mindguard.database.session import OpsDatabase
from mindguard.errors import MindGuardError
from mindguard.jobs.alerting import report
from mindguard.settings import Settings
from mindguard.volume.check_suites import Frames, Moment
from mindguard.volume.days import day_start
from mindguard.volume.findings import SOURCE, SUITE_OF_EVENTS, SUITE_OF_TOTAL, Context, findings, recoveries
from mindguard.volume.frame import HISTORY_DAYS
from mindguard.volume.install import Difference, reconcile, require_equal
from mindguard.volume.report_page import Section, section, unchecked
from mindguard.volume.reports import page_url, write_report
from mindguard.volume.source import EventSource
from mindguard.volume.suites import Judged, Suite, SuiteUnsound, find_suite, judge, read_suite, suites_dir

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

BUDGET_S = 60.0

SETTLES_WITHIN = timedelta(hours=1)
"""A day is judged once more after it has closed: by the check within this time after midnight."""


class SuitesUnchecked(MindGuardError):
    """Some suites could not be checked, so nothing is known of what they watch."""


@dataclass(frozen=True)
class Checked:
    """One suite's answer, and the rows that it judged."""

    suite: Suite
    judged: Judged
    frame: pd.DataFrame


@dataclass(frozen=True)
class Run:
    """What came of some suites.

    Attributes:
        history: see `Frames.history`; empty where no suite asked for product events.
        broken: why suites could not be checked, by name.
    """

    moment: Moment
    checked: tuple[Checked, ...] = ()
    history: Mapping[str, Sequence[tuple[date, int]]] = field(default_factory=dict)
    broken: Mapping[str, MindGuardError] = field(default_factory=dict)

    def check(self) -> None:
        """Raise SuitesUnchecked if a suite could not be checked."""
        if self.broken:
            raise SuitesUnchecked(f"{len(self.broken)} not checked: {'; '.join(map(str, self.broken.values()))}")

    @property
    def may_pass_later(self) -> bool:
        """Whether another try may check what could not be checked: not where only suites' own files are at fault."""
        return not all(isinstance(error, SuiteUnsound) for error in self.broken.values())

    def summary(self, reported: Reported) -> dict[str, Any]:
        """Figures and references for XCom; the rows stay here."""
        return {
            "date": self.moment.day.isoformat(),
            "as_of": self.moment.as_of.isoformat(),
            "page": f"/mindguard/reports/{self.moment.day}",
            "suites": {
                each.suite.name: {
                    "rows": each.judged.rows,
                    "evaluated": each.judged.evaluated,
                    "failed": each.judged.failed,
                    "severity": each.judged.severity,
                }
                for each in self.checked
            },
            "incidents": [incident.name for incident in reported.changed],
            "recovered": [incident.name for incident in reported.ended],
        }


def due(at: datetime, settings: Settings) -> Moment:
    """What is judged at a moment (aware): the running day, and in its first hour the one before it."""
    return Moment((at - SETTLES_WITHIN).astimezone(settings.zone).date(), at)


def groups(settings: Settings) -> list[list[str]]:
    """Names of all suites, those of one database together, product events first; a file that cannot be read is alone.

    One process for each database and not for each suite: Great Expectations takes seconds to import.
    """
    found: dict[str, list[str]] = {"events": []}
    for path in sorted(suites_dir(settings).glob("*.yaml")):
        try:
            place = str(read_suite(path).meta.connection or "events")
        except MindGuardError:
            place = path.name  # its own check says why
        found.setdefault(place, []).append(path.stem)
    return [names for names in found.values() if names]


def run_suites(names: Collection[str], settings: Settings, resolve: Resolve, moment: Moment) -> Run:
    """Judge one day by some suites. One that cannot be checked does not keep the others from it. Tells nobody.

    Args:
        resolve: gives a connection by its id.
    """
    frames = Frames(
        settings,
        moment,
        resolve=resolve,
        incidents=_incident_days(settings, resolve, moment),
        releases=latest_releases(settings, resolve),
    )
    checked: list[Checked] = []
    broken: dict[str, MindGuardError] = {}
    for name in names:
        try:
            suite = find_suite(name, suites_dir(settings))
            frame = frames.of(suite)
            judged = judge(suite, frame)
        except MindGuardError as error:
            log.error("%s: %s", name, error)
            broken[name] = error
            continue
        for failure in judged.failures:
            about = "/".join(failure.key) or "all rows"
            log.info("%s: %s %s: %s %s", name, failure.severity, about, failure.expectation, failure.value)
        checked.append(Checked(suite, judged, frame))
    history = frames.history() if any(each.suite.meta.frame for each in checked) else {}
    return Run(moment, tuple(checked), history, broken)


def told(run: Run, settings: Settings, page: str = "") -> tuple[list[Finding], list[Recovery]]:
    """What people should hear of it: what is wrong, and what is well again.

    Args:
        page: address of the day's page.
    """
    context = _context(run, settings, page)
    each = [(checked.suite, checked.judged, checked.frame, context) for checked in run.checked]
    return (
        [finding for about in each for finding in findings(*about)],
        [recovery for about in each for recovery in recoveries(*about)],
    )


def sections(run: Run, settings: Settings) -> list[Section]:
    """What the day's page shows of the run."""
    context = _context(run, settings)
    return [
        *(section(each.suite, each.judged, each.frame, context) for each in run.checked),
        *(unchecked(name, error, run.moment.as_of) for name, error in run.broken.items()),
    ]


def _context(run: Run, settings: Settings, page: str = "") -> Context:
    moment = run.moment
    return Context(moment.day, moment.as_of, settings.zone, settings.locale, run.history, page)


def keep_page(run: Run, settings: Settings, resolve: Resolve) -> str:
    """Keep what the day's page shows of the run. A page is no reason to fail: without one, its address is empty."""
    try:
        database = OpsDatabase.of(resolve(settings.connections.ops))
        write_report(
            sections(run, settings), database=database, day=run.moment.day, keep_days=settings.volume.report_days
        )
    except MindGuardError as error:
        log.warning("the page of %s is not kept: %s", run.moment.day, error)
        return ""
    return page_url(settings, run.moment.day)


def report_run(run: Run, settings: Settings, resolve: Resolve, *, now: datetime) -> Reported:
    """Keep the day's page, then tell people.

    Args:
        now: aware.

    Raises:
        MindGuardError: neither the incident store nor Feishu took it.
    """
    page = keep_page(run, settings, resolve)
    return report(*told(run, settings, page), settings=settings, resolve=resolve, now=now, budget_s=BUDGET_S)


def reconcile_rollup(settings: Settings, resolve: Resolve, day: date) -> list[Difference]:
    """Compare a day and the one before it in the rollup and in the raw events.

    Raises:
        RollupDiffers: they differ.
        EventsUnreadable: ClickHouse refuses a query.
    """
    found = reconcile(EventSource.of(settings, resolve), [day - timedelta(days=1), day])
    require_equal(found)
    return found


def _incident_days(settings: Settings, resolve: Resolve, moment: Moment) -> dict[str, set[date]]:
    """Days that are no baseline; none, and a warning in the log, while the incident store cannot be used."""
    since = day_start(moment.day - timedelta(days=HISTORY_DAYS), settings.zone)
    try:
        lasting = IncidentStore.of(resolve(settings.connections.ops)).lasting(source=SOURCE, since=since)
    except MindGuardError as error:
        log.warning("days with incidents count as baselines: %s", error)
        return {}
    return days_with_incidents(lasting, until=moment.day, zone=settings.zone)


def days_with_incidents(incidents: Iterable[Incident], *, until: date, zone: ZoneInfo) -> dict[str, set[date]]:
    """Days before `until` on which somebody was paged for one event or for all traffic, by event or under `TOTAL`.

    The day on which an incident ended was well again, unless it began then.
    """
    found: dict[str, set[date]] = {}
    for incident in incidents:
        source, _, about = incident.recovery_key.partition(":")
        suite, _, key = about.partition(":")
        if source != SOURCE or suite not in (SUITE_OF_EVENTS, SUITE_OF_TOTAL) or not key:
            continue
        if Severity(incident.severity) is Severity.P2:
            continue  # a rule of somebody's own that fails for weeks must not take away every baseline
        first = incident.opened_at.astimezone(zone).date()
        ended = incident.resolved_at.astimezone(zone).date() if incident.resolved_at else until
        days = {first + timedelta(days=number) for number in range(max(1, (ended - first).days))}
        found.setdefault(key, set()).update(day for day in days if day < until)
    return found
