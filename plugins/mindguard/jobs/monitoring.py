"""One run of a monitoring DAG: measure, judge, notify people, export figures, and notice what did not run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mindguard.alerts.direct import Told, Unstored
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.unresolved import ends_an_incident
from mindguard.connections import Resolve
from mindguard.database.session import StoreUnavailable
from mindguard.jobs.alerting import adopt_unstored, report
from mindguard.monitors.findings import outcome_of
from mindguard.monitors.heartbeat import beat
from mindguard.monitors.metrics import export_metrics
from mindguard.monitors.result import Result
from mindguard.monitors.run import remembered, run_monitors
from mindguard.monitors.self_check import GROUPS, check_monitoring_dags, remember_run
from mindguard.monitors.store import MonitorStore
from mindguard.settings import Settings

log = logging.getLogger(__name__)

BUDGET_S = 20.0
"""Time limit in seconds of the delivery of alerts; `alert_delivery` sends the rest."""


@dataclass(frozen=True)
class MonitoringRun:
    """The result of a run.

    Attributes:
        results: the results of the measurements.
        findings: the findings of the run.
        sent_directly: alerts that were sent without the incident store since it went down: fingerprint and message.
    """

    results: tuple[Result, ...]
    findings: tuple[Finding, ...]
    sent_directly: dict[str, str]

    def summary(self) -> dict[str, object]:
        """Return for XCom how many monitors and dimensions have each status, and the facts that the next run needs."""
        statuses = [result.status for result in self.results]
        counts = {status: statuses.count(status) for status in ("pass", "warn", "error", "unknown")}
        return {**counts, "sent_directly": self.sent_directly}


def measure_and_report(
    dag: str,
    settings: Settings,
    resolve: Resolve,
    *,
    now: datetime,
    log_url: str = "",
    sent_directly: Mapping[str, str] | Collection[str] = (),
) -> MonitoringRun:
    """Measure the monitors of a DAG and report the results.

    Args:
        dag: one of GROUPS.
        settings: the settings, which describe the monitors and name the connections.
        resolve: gives a connection by its id.
        now: the present time, aware.
        log_url: address of the page with the log of this run.
        sent_directly: the value that the previous run returned; these alerts are not sent again while the
            store is down, and make no second card afterwards.

    Raises:
        MindGuardError: neither the store nor Feishu took the findings.
    """
    sent_before = dict(sent_directly) if isinstance(sent_directly, Mapping) else dict.fromkeys(sent_directly, "")
    incidents = IncidentStore.of(resolve(settings.connections.ops))
    adopt_unstored(settings, resolve, now=now)
    store = MonitorStore.of(incidents.database, settings)
    states, memory = remembered(store)
    monitors = [monitor for monitor in settings.monitors if monitor.kind in GROUPS[dag]]
    results = (
        run_monitors(
            settings, resolve, now=now, memory=memory, states=states, names=[monitor.name for monitor in monitors]
        )
        if monitors
        else []
    )
    outcome = outcome_of(settings, monitors, results, known=states, log_url=log_url)
    self_check = check_monitoring_dags(dag, states, settings, now=now, log_url=log_url)
    findings = [*outcome.findings, *self_check.findings]
    recoveries = [*outcome.recoveries, *self_check.recoveries]
    unstored: list[Unstored] = []
    if memory:
        # Its card was sent by a run on another machine, perhaps.
        unstored = [
            Unstored(each, Told(now, sent_before[each.alert.fingerprint]))
            for each in findings
            if each.alert.fingerprint in sent_before
        ]
        remember_run(memory, dag, states, settings, now=now)
    fresh = [each for each in findings if each.alert.fingerprint not in sent_before]
    direct = _report(fresh, recoveries, settings, resolve, now=now, unstored=unstored)
    export_metrics(settings, incidents, store, results, now=now)
    beat(settings, dag)
    told = {each.finding.alert.fingerprint: each.told.message_id for each in direct if each.told}
    sent = sent_before | told if direct or not memory else {}
    return MonitoringRun(tuple(results), tuple(findings if memory else fresh), sent)


def _report(
    findings: Sequence[Finding],
    recoveries: Sequence[Recovery],
    settings: Settings,
    resolve: Resolve,
    *,
    now: datetime,
    unstored: Sequence[Unstored],
) -> tuple[Unstored, ...]:
    """Report the results, and return the alerts that were sent without the incident store."""
    for each in (*findings, *(each.finding for each in unstored)):
        log.warning("%s: %s", each.alert.title, "; ".join(f"{fact.name} {fact.value}" for fact in each.alert.facts))
    try:
        ended = bool(recoveries) and ends_an_incident(recoveries, resolve(settings.connections.ops))
    except StoreUnavailable:
        ended = False  # The next run that reaches the store ends the incident.
    if not findings and not ended and not unstored:
        return ()
    reported = report(
        findings,
        recoveries if ended else (),
        settings=settings,
        resolve=resolve,
        now=now,
        budget_s=BUDGET_S,
        unstored=unstored,
    )
    return reported.direct
