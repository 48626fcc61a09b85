"""Checks that the monitoring DAGs themselves run every minute."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from mindguard.alerts.finding import Finding, Outcome, Recovery
from mindguard.database.session import StoreUnavailable
from mindguard.monitors.findings import monitoring_gap, recovery_key
from mindguard.monitors.judge import State
from mindguard.monitors.result import Key, Memory, Result
from mindguard.settings import Settings

log = logging.getLogger(__name__)

GROUPS: Mapping[str, tuple[str, ...]] = {
    "pipeline_freshness": ("freshness", "deadline"),
    "service_levels": ("rate", "latency", "heartbeat"),
}
"""The kinds of monitors that each DAG measures."""


def check_monitoring_dags(
    dag: str, states: Mapping[Key, State], settings: Settings, *, now: datetime, log_url: str
) -> Outcome:
    """Find out whether this DAG, and each other monitoring DAG that has ever run, runs every minute.

    After a gap of its own, for instance because the scheduler was stopped, a run says nothing about the other DAG:
    that one had no chance to run either. The next run does.

    Args:
        dag: the DAG that is running now, a key of GROUPS.
        states: the monitors' states; a DAG's own state says when it last ran.
        settings: the settings, which give the longest gap that is allowed.
        now: the present time, aware.
        log_url: page with the log of this run.
    """
    allowed = timedelta(seconds=settings.watch.late_after_s)
    findings: list[Finding] = []
    recoveries: list[Recovery] = []
    gaps = {each: _gap(states.get(Key.of_dag(each)), now) for each in GROUPS}
    for each, gap in gaps.items():
        this_dag = each == dag
        if gap > allowed and (this_dag or gaps[dag] <= allowed):
            findings.append(monitoring_gap(each, gap, at=now, running=this_dag, settings=settings, log_url=log_url))
        elif this_dag:
            recoveries.append(Recovery(recovery_key("checker", each), now))
    return Outcome(tuple(findings), tuple(recoveries))


def _gap(state: State | None, now: datetime) -> timedelta:
    return now - state.measured_at if state and state.measured_at else timedelta(0)


def remember_run(memory: Memory, dag: str, states: Mapping[Key, State], settings: Settings, *, now: datetime) -> None:
    """Store the number of seconds since the previous run as a result, beside the results of the monitors."""
    key = Key.of_dag(dag)
    before = states.get(key)
    gap_s = (now - before.measured_at).total_seconds() if before and before.measured_at else None
    late = gap_s is not None and gap_s > settings.watch.late_after_s
    result = Result(
        monitor=key.monitor,
        dimension=key.dimension,
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
        state = State(level="error" if late else "pass", since=now, measured_at=now)
        memory.save([result], {key: state}, [key.monitor])
    except StoreUnavailable as error:
        log.warning("the record that this DAG has run was not kept: %s", error)
