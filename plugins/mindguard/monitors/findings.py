"""Turn the monitors' results into findings and recoveries. Pure: no clock, no network."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from mindguard.alerts.alert import Alert, Fact, Link, fingerprint
from mindguard.alerts.finding import Finding, Outcome, Recovery
from mindguard.alerts.severity import Severity
from mindguard.monitors.result import Key, Result
from mindguard.monitors.sources import connection_id
from mindguard.monitors.texts import TEXTS
from mindguard.settings import Settings
from mindguard.settings.monitors import Monitor
from mindguard.texts import Locale
from mindguard.units import amount, span

SOURCE = "monitor"


def recovery_key(monitor: str, dimension: str = "") -> str:
    """Return the key of the recovery that ends the incident of a monitor's dimension."""
    return f"{SOURCE}:{monitor}:{dimension}"


def outcome_of(
    settings: Settings, monitors: Sequence[Monitor], results: Sequence[Result], *, known: Collection[Key], log_url: str
) -> Outcome:
    """Return the findings and recoveries of a run.

    Each measured warning or error is a finding, every time it is measured. A monitor that cannot be measured is a
    finding only after `watch.unknown_after_s`; too little traffic, and a first value that is not late yet, never are.
    None of them ends an incident. A
    source that cannot be reached is one finding for all of its monitors.

    Args:
        settings: the settings, which give the language and how long a monitor may stay unknown.
        monitors: the monitors that were measured.
        results: the results of the run.
        known: monitors and dimensions that had a state before the run.
        log_url: page with the log of the run, or an empty text.
    """
    by_name = {monitor.name: monitor for monitor in monitors}
    write = _FindingWriter(settings.locale, log_url)
    findings: list[Finding] = []
    recoveries: list[Recovery] = []
    for result in results:
        monitor = by_name[result.monitor]
        if result.status in ("warn", "error"):
            findings.append(write.above_threshold(monitor, result))
        elif result.status == "pass":
            recoveries.append(Recovery(recovery_key(result.monitor, result.dimension), result.at))
        elif result.reason not in ("low_base", "not_proven_yet", "unreachable") and _long_unknown(result, settings):
            findings.append(write.not_measured(monitor, result, parent=_source_key(monitor, settings)))
    recoveries += _vanished(by_name, results, known)
    unreachable, reached = _sources(by_name, results, settings)
    findings += [write.unreachable(conn_id, failures) for conn_id, failures in unreachable.items()]
    recoveries += [Recovery(recovery_key("source", conn_id), at) for conn_id, at in reached.items()]
    return Outcome(tuple(findings), tuple(recoveries))


def monitoring_gap(
    dag: str, gap: timedelta, *, at: datetime, running: bool, settings: Settings, log_url: str
) -> Finding:
    """Return the finding that a monitoring DAG did not run for a while.

    Args:
        dag: the DAG that did not run.
        gap: the time between its last two runs, or since its last run.
        at: when the gap was found, aware.
        running: whether the DAG runs again.
        settings: the settings, which give the language and the longest gap that is allowed.
        log_url: page with the log of the run that found the gap, or an empty text.
    """
    write = _FindingWriter(settings.locale, log_url)
    allowed = timedelta(seconds=settings.watch.late_after_s)
    fact = Fact(write.text("gap"), span(gap.total_seconds()), f"≤ {span(allowed.total_seconds())}", wrong=True)
    return write.finding(
        "interrupted" if running else "stopped",
        dag,
        recovery_key("checker", dag),
        # Monitoring that is still down is worse than monitoring that was interrupted.
        severity=Severity.P2 if running else Severity.P1,
        since=at - gap,
        facts=(fact,),
    )


def missed_deadline(settings: Settings, monitor: Monitor, *, deadline: datetime, run_id: str) -> Finding:
    """Return the finding that a run is not done in time. It belongs to the incident of the monitor of the run's result.

    Args:
        settings: the settings, which give the language.
        monitor: the monitor that measures what the run produces.
        deadline: when the run should have been done, aware.
        run_id: the DAG run that is late.
    """
    write = _FindingWriter(settings.locale, log_url="")
    return write.finding(
        "deadline",
        monitor.name,
        recovery_key(monitor.name),
        severity=Severity(monitor.severity),
        since=deadline,
        facts=(Fact(write.text("status"), write.text("unfinished"), wrong=True), Fact(write.text("run"), run_id)),
        runbook=monitor.runbook,
    )


def _long_unknown(result: Result, settings: Settings) -> bool:
    since = result.unknown_since
    return since is not None and (result.at - since).total_seconds() >= settings.watch.unknown_after_s


def _vanished(monitors: Mapping[str, Monitor], results: Sequence[Result], known: Collection[Key]) -> Iterator[Recovery]:
    """Yield recoveries of dimensions that are no longer measured, for instance of an endpoint that was renamed."""
    present = {result.key for result in results}
    measured_at = {result.monitor: result.at for result in results if result.status != "unknown"}
    for name, dimension in known:
        if name in measured_at and name in monitors and Key(name, dimension) not in present:
            yield Recovery(recovery_key(name, dimension), measured_at[name])


def _sources(
    monitors: Mapping[str, Monitor], results: Sequence[Result], settings: Settings
) -> tuple[dict[str, list[tuple[Monitor, Result]]], dict[str, datetime]]:
    """Return the connections that have long been unreachable, with their monitors, and when the others were reached."""
    unreachable: dict[str, list[tuple[Monitor, Result]]] = {}
    reached: dict[str, datetime] = {}
    for result in results:
        monitor = monitors[result.monitor]
        if (conn_id := connection_id(monitor, settings)) is None:
            continue
        if result.reason != "unreachable":
            reached[conn_id] = result.at
        elif _long_unknown(result, settings):
            unreachable.setdefault(conn_id, []).append((monitor, result))
    return unreachable, {conn_id: at for conn_id, at in reached.items() if conn_id not in unreachable}


def _source_key(monitor: Monitor, settings: Settings) -> str:
    conn_id = connection_id(monitor, settings)
    return recovery_key("source", conn_id) if conn_id else ""


class _FindingWriter:
    """Writes findings in one language."""

    def __init__(self, locale: Locale, log_url: str) -> None:
        self._locale = locale
        self._log_url = log_url

    def text(self, key: str, **values: str) -> str:
        """Return a text in the language of the findings."""
        return TEXTS.say(key, self._locale, **values)

    def above_threshold(self, monitor: Monitor, result: Result) -> Finding:
        """Return the finding of a warning or an error."""
        limit = monitor.warn if result.status == "warn" and monitor.warn is not None else result.threshold
        unproven = result.reason == "not_proven_yet"
        never = self.text("none_proven" if unproven else "never")
        value = never if result.value is None else amount(result.value, result.unit)
        facts = [Fact(self.text("value"), value, f"≤ {amount(limit, result.unit)}", wrong=True)]
        if unproven:
            facts.append(Fact(self.text("to_do"), self.text("drill_first" if result.note else "take_first")))
        if result.cause in ("source_silent", "pipeline_late"):
            facts.append(Fact(self.text("cause"), self.text(result.cause)))
        if result.note and monitor.kind == "deadline" and result.note in TEXTS.words:
            facts.append(Fact(self.text("status"), self.text(result.note)))
        elif result.note:
            facts.append(Fact(self.text("detail"), result.note))
        severity = Severity(monitor.severity) if result.status == "error" else Severity.P2
        return self._of_monitor(
            monitor,
            result,
            result.reason if result.reason in ("down", "not_proven_yet") else monitor.kind,
            severity=min(severity, Severity.P1) if result.escalated else severity,
            since=result.since or result.at,
            facts=facts,
        )

    def not_measured(self, monitor: Monitor, result: Result, *, parent: str) -> Finding:
        """Return the finding of a monitor that has long been unknown."""
        since = result.unknown_since or result.at
        facts = [
            Fact(self.text("reason"), self.text(result.reason), wrong=True),
            Fact(self.text("for"), span((result.at - since).total_seconds())),
        ]
        if result.note:
            facts.append(Fact(self.text("detail"), result.note))
        return self._of_monitor(
            monitor, result, "unknown", severity=Severity.P2, since=since, facts=facts, parent=parent
        )

    def unreachable(self, conn_id: str, failures: Sequence[tuple[Monitor, Result]]) -> Finding:
        """Return the finding of a source that has long been unreachable for all of its monitors."""
        first = failures[0][1]
        since = min(result.unknown_since or result.at for _, result in failures)
        return self.finding(
            "unreachable",
            conn_id,
            recovery_key("source", conn_id),
            severity=min(Severity(monitor.severity) for monitor, _ in failures),
            since=since,
            measured_at=max(result.at for _, result in failures),
            facts=(
                Fact(self.text("reason"), first.note or self.text("no_connection"), wrong=True),
                Fact(self.text("for"), span((first.at - since).total_seconds())),
                Fact(self.text("affected"), ", ".join(sorted(monitor.name for monitor, _ in failures))),
            ),
        )

    def _of_monitor(
        self,
        monitor: Monitor,
        result: Result,
        title: str,
        *,
        severity: Severity,
        since: datetime,
        facts: Sequence[Fact],
        parent: str = "",
    ) -> Finding:
        owner = (Fact(self.text("owner"), monitor.owner),) if monitor.owner else ()
        return self.finding(
            title,
            f"{monitor.name} {result.dimension}".strip(),
            recovery_key(monitor.name, result.dimension),
            severity=severity,
            since=since,
            facts=(*facts, *owner),
            runbook=monitor.runbook,
            parent=parent,
            measured_at=result.at,
        )

    def finding(
        self,
        title: str,
        subject: str,
        key: str,
        *,
        severity: Severity,
        since: datetime,
        facts: Sequence[Fact],
        runbook: str | None = None,
        parent: str = "",
        measured_at: datetime | None = None,
    ) -> Finding:
        """Return one finding. The key is its identity, so that all findings about one subject are one incident."""
        links = [Link(self.text("log"), self._log_url)] if self._log_url else []
        dag_page, in_airflow, _ = self._log_url.partition("/runs/")
        if runbook:
            links.insert(0, Link(self.text("runbook"), runbook))
        elif in_airflow:  # that of the DAG which measures it
            links.append(Link(self.text("dag_runbook"), dag_page))
        alert = Alert(
            title=self.text(title, name=subject),
            severity=severity,
            subject=subject,
            happened_at=since,
            fingerprint=fingerprint(SOURCE, key),
            facts=tuple(facts),
            links=tuple(links),
        )
        return Finding(alert, source=SOURCE, recovery_key=key, parent=parent, about=measured_at)
