"""One run of a monitoring DAG: measure, judge, tell people, tell other systems, and notice what did not run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.unresolved import ends_an_incident
from mindguard.connections import Resolve
from mindguard.database.session import StoreUnavailable
from mindguard.feishu.delivery import report as tell
from mindguard.monitors.judge import State
from mindguard.monitors.metrics import collected, write_textfile
from mindguard.monitors.report import checker, recovery_key, report
from mindguard.monitors.result import Key, Memory, Result
from mindguard.monitors.run import remembered, run_monitors
from mindguard.monitors.store import MonitorStore
from mindguard.settings import Settings

log = logging.getLogger(__name__)

GROUPS: Mapping[str, tuple[str, ...]] = {
    "pipeline_freshness": ("freshness", "deadline"),
    "service_levels": ("rate", "latency", "heartbeat"),
}
"""The kinds of monitors that each DAG measures."""

BUDGET_S = 20.0
"""Seconds for telling people; what is left is delivered by `alert_delivery`."""


@dataclass(frozen=True)
class Watched:
    """What a run came to.

    Attributes:
        sent_directly: fingerprints that people were told of without the incident store, since it has been down.
    """

    results: tuple[Result, ...]
    findings: tuple[Finding, ...]
    sent_directly: tuple[str, ...]

    def summary(self) -> dict[str, object]:
        """For XCom: how many monitors and dimensions have which status, and what the next run must know."""
        statuses = [result.status for result in self.results]
        counts = {status: statuses.count(status) for status in ("pass", "warn", "error", "unknown")}
        return {**counts, "sent_directly": list(self.sent_directly)}


def watch_in_task(task_instance: Any) -> dict[str, object]:
    """`watch` as the one task of a monitoring DAG; gives the summary for XCom, which the next run reads.

    Args:
        task_instance: Airflow's, of the DAG that is one of GROUPS.
    """
    from mindguard.airflow_clients import connection
    from mindguard.settings import load_settings

    # With its index the newest value comes; without, a list of all that there ever were.
    before = task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=-1, include_prior_dates=True)
    return watch(
        task_instance.dag_id,
        load_settings(),
        connection,
        now=datetime.now(UTC),
        log_url=task_instance.log_url,
        sent_directly=(before or {}).get("sent_directly", ()),
    ).summary()


def watch(
    dag: str,
    settings: Settings,
    resolve: Resolve,
    *,
    now: datetime,
    log_url: str = "",
    sent_directly: Collection[str] = (),
) -> Watched:
    """Measure what the DAG is for and report it.

    Args:
        dag: one of GROUPS.
        now: aware.
        log_url: page with the log of this run.
        sent_directly: as the run before returned it. The same is not sent again while the store is down.

    Raises:
        MindGuardError: neither the store nor Feishu took what was found.
    """
    incidents = IncidentStore.of(resolve(settings.connections.ops))
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
    said = report(settings, monitors, results, known=states, log_url=log_url)
    findings, recoveries = [*said.findings], [*said.recoveries]
    late, well = _checkers(dag, states, settings, now=now, log_url=log_url)
    findings += late
    recoveries += well
    if memory:
        _remember_run(memory, dag, states, settings, now=now)
    else:
        findings = [each for each in findings if each.alert.fingerprint not in sent_directly]
    direct = _told(findings, recoveries, settings, resolve, now=now)
    _show(settings, incidents, store, results, now=now)
    _beat(settings, dag)
    sent = {*sent_directly, *(each.alert.fingerprint for each in findings)} if direct or not memory else set()
    return Watched(tuple(results), tuple(findings), tuple(sorted(sent)))


def _told(
    findings: Sequence[Finding], recoveries: Sequence[Recovery], settings: Settings, resolve: Resolve, *, now: datetime
) -> bool:
    """Tell people; whether that had to go without the incident store."""
    for each in findings:
        log.warning("%s: %s", each.alert.title, "; ".join(f"{fact.name} {fact.value}" for fact in each.alert.facts))
    try:
        ended = bool(recoveries) and ends_an_incident(recoveries, resolve(settings.connections.ops))
    except StoreUnavailable:
        ended = False  # the next run with the store ends it
    if not findings and not ended:
        return False
    reported = tell(
        findings, recoveries if ended else (), settings=settings, resolve=resolve, now=now, budget_s=BUDGET_S
    )
    return reported.direct


def _checkers(
    dag: str, states: Mapping[Key, State], settings: Settings, *, now: datetime, log_url: str
) -> tuple[list[Finding], list[Recovery]]:
    """Whether this DAG, and each of the others that has ever run, runs every minute."""
    allowed = timedelta(seconds=settings.watch.late_after_s)
    findings: list[Finding] = []
    recoveries: list[Recovery] = []
    for each in GROUPS:
        state = states.get((_checker(each), ""))
        gap = now - state.measured_at if state and state.measured_at else timedelta(0)
        ours = each == dag
        if gap > allowed:
            found = checker(each, gap, at=now, running=ours, settings=settings, log_url=log_url)
            findings.append(found)
        elif ours:
            recoveries.append(Recovery(recovery_key("checker", each), now))
    return findings, recoveries


def _remember_run(memory: Memory, dag: str, states: Mapping[Key, State], settings: Settings, *, now: datetime) -> None:
    """Keep how long the run before is ago, as a result among the others."""
    key = (_checker(dag), "")
    before = states.get(key)
    gap_s = (now - before.measured_at).total_seconds() if before and before.measured_at else None
    late = gap_s is not None and gap_s > settings.watch.late_after_s
    result = Result(
        monitor=key[0],
        dimension="",
        at=now,
        status="error" if late else "pass",
        value=gap_s,
        threshold=settings.watch.late_after_s,
        unit="s",
        reason="above" if late else "",
        cause="checker_late" if late else "",
        note="",
        escalated=False,
        since=now,
        unknown_since=None,
        took_s=0.0,
    )
    try:
        memory.save([result], {key: State(level="error" if late else "pass", since=now, measured_at=now)}, [key[0]])
    except StoreUnavailable as error:
        log.warning("that this DAG has run is not kept: %s", error)


def _checker(dag: str) -> str:
    # No monitor of the settings can have a colon in its name.
    return f"checker:{dag}"


def _show(
    settings: Settings, incidents: IncidentStore, store: MonitorStore, results: Sequence[Result], *, now: datetime
) -> None:
    """The figures for Prometheus. A full disk is no reason to call a good run failed."""
    if not settings.watch.textfile:
        return
    try:
        write_textfile(Path(settings.watch.textfile), collected(settings, incidents, store, now=now, fresh=results))
    except OSError as error:
        log.warning("cannot write watch.textfile: %s", error)


def _beat(settings: Settings, dag: str) -> None:
    """The dead man's switch: whoever waits for it raises the alarm when it stays out."""
    if settings.watch.heartbeat_file:
        path = Path(settings.watch.heartbeat_file.replace("{dag}", dag))
        try:
            path.touch()
        except OSError as error:
            log.warning("cannot touch watch.heartbeat_file: %s", error)
    if settings.watch.heartbeat_url:
        import httpx

        try:
            answer = httpx.get(settings.watch.heartbeat_url.replace("{dag}", dag), timeout=5)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            log.warning("watch.heartbeat_url answers %s", error.response.status_code)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The address is a credential at most services, so it is not shown.
            log.warning("watch.heartbeat_url: %s", type(error).__name__)
