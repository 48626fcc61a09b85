"""What the monitors measured as findings and recoveries: pure, and the words for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from mindguard.alerts.alert import Alert, Fact, Link, fingerprint
from mindguard.alerts.finding import Finding, Outcome, Recovery
from mindguard.alerts.severity import Severity
from mindguard.monitors.result import Key, Result
from mindguard.monitors.sources import connection_id
from mindguard.settings import Settings
from mindguard.settings.monitors import Monitor
from mindguard.texts import Locale

SOURCE = "monitor"

_TEXTS: dict[str, dict[Locale, str]] = {
    "freshness": {"zh": "数据延迟：{name}", "en": "Late: {name}"},
    "deadline": {"zh": "未按时完成：{name}", "en": "Not done in time: {name}"},
    "rate": {"zh": "超过阈值：{name}", "en": "Above its threshold: {name}"},
    "latency": {"zh": "响应过慢：{name}", "en": "Too slow: {name}"},
    "heartbeat": {"zh": "依赖响应变慢：{name}", "en": "Dependency is slow: {name}"},
    "down": {"zh": "依赖不可用：{name}", "en": "Dependency is down: {name}"},
    "unknown": {"zh": "监控无法测量：{name}", "en": "Cannot be measured: {name}"},
    "unreachable": {"zh": "监控的数据源无法连接：{name}", "en": "A monitored source cannot be reached: {name}"},
    "interrupted": {"zh": "监控曾中断：{name}", "en": "Monitoring was interrupted: {name}"},
    "stopped": {"zh": "监控已停止：{name}", "en": "Monitoring has stopped: {name}"},
    "value": {"zh": "当前值", "en": "Value"},
    "never": {"zh": "查询范围内没有任何数据", "en": "no data as far as the query looks back"},
    "status": {"zh": "状态", "en": "Status"},
    "cause": {"zh": "可能原因", "en": "Likely cause"},
    "source_silent": {
        "zh": "上游没有新数据，管道本身没有落后",
        "en": "the source is silent; the pipeline is not behind it",
    },
    "pipeline_late": {"zh": "上游有新数据，是管道落后", "en": "the source has newer data; the pipeline is behind"},
    "reason": {"zh": "原因", "en": "Reason"},
    "no_value": {"zh": "查询结果为空值或不是数", "en": "the query gives no number"},
    "negative": {"zh": "查询结果为负数", "en": "the query gives a negative number"},
    "future": {"zh": "最新数据的时间在未来，时钟有误", "en": "the newest row lies in the future: a clock is wrong"},
    "timeout": {"zh": "数据源未在限定时间内应答", "en": "the source did not answer in time"},
    "failed": {"zh": "查询失败", "en": "the query failed"},
    "no_connection": {"zh": "无法连接", "en": "cannot be reached"},
    "for": {"zh": "已持续", "en": "For"},
    "gap": {"zh": "两次测量的间隔", "en": "Between two runs"},
    "affected": {"zh": "受影响的监控", "en": "Monitors affected"},
    "owner": {"zh": "负责人", "en": "Owner"},
    "detail": {"zh": "详情", "en": "Detail"},
    "runbook": {"zh": "处置手册", "en": "Runbook"},
    "log": {"zh": "查看日志", "en": "Open log"},
    "not started": {"zh": "未开始", "en": "not started"},
    "unfinished": {"zh": "到了截止时间，运行仍未结束", "en": "not finished at its deadline"},
    "run": {"zh": "运行", "en": "Run"},
    "running": {"zh": "运行中", "en": "running"},
    "empty": {"zh": "已完成，但没有数据", "en": "done, but it holds nothing"},
}


def recovery_key(monitor: str, dimension: str = "") -> str:
    """What ends the incident of a monitor's dimension."""
    return f"{SOURCE}:{monitor}:{dimension}"


def outcome_of(
    settings: Settings, monitors: Sequence[Monitor], results: Sequence[Result], *, known: Collection[Key], log_url: str
) -> Outcome:
    """Findings and recoveries of a run.

    A warning or an error is a finding, as often as it is measured. What could not be measured is one only after
    `watch.unknown_after_s`, and low traffic never is; neither of them ends anything. A source that cannot be reached is
    one finding for all of its monitors.

    Args:
        monitors: those that were measured.
        known: monitors and dimensions that had a state before the run.
        log_url: page with the log of the run, or an empty text.
    """
    by_name = {monitor.name: monitor for monitor in monitors}
    said = _Said(settings.locale, log_url)
    findings: list[Finding] = []
    recoveries: list[Recovery] = []
    for result in results:
        monitor = by_name[result.monitor]
        if result.status in ("warn", "error"):
            findings.append(said.bad(monitor, result))
        elif result.status == "pass":
            recoveries.append(Recovery(recovery_key(result.monitor, result.dimension), result.at))
        elif result.reason not in ("low_base", "unreachable") and _long_unknown(result, settings):
            findings.append(said.unmeasured(monitor, result, parent=_source_key(monitor, settings)))
    recoveries += _gone(by_name, results, known)
    down, up = _sources(by_name, results, settings)
    findings += [said.unreachable(name, members) for name, members in down.items()]
    recoveries += [Recovery(recovery_key("source", name), at) for name, at in up.items()]
    return Outcome(tuple(findings), tuple(recoveries))


def checker(dag: str, gap: timedelta, *, at: datetime, running: bool, settings: Settings, log_url: str) -> Finding:
    """That a monitoring DAG did not run for a while.

    Args:
        gap: between its last two runs, or since its last one.
        at: aware; when that was found.
        running: it runs again.
    """
    said = _Said(settings.locale, log_url)
    allowed = timedelta(seconds=settings.watch.late_after_s)
    fact = Fact(said("gap"), _span(gap), f"≤ {_span(allowed)}", wrong=True)
    return said.finding(
        "interrupted" if running else "stopped",
        dag,
        recovery_key("checker", dag),
        # Blind for good is worse than having been blind.
        severity=Severity.P2 if running else Severity.P1,
        since=at - gap,
        facts=(fact,),
    )


def missed_deadline(settings: Settings, monitor: Monitor, *, deadline: datetime, run_id: str) -> Finding:
    """That a run is not done in time, as the incident of the monitor that measures what it brings.

    Args:
        deadline: aware; when it should have been done.
    """
    said = _Said(settings.locale, "")
    return said.finding(
        "deadline",
        monitor.name,
        recovery_key(monitor.name),
        severity=Severity(monitor.severity),
        since=deadline,
        facts=(Fact(said("status"), said("unfinished"), wrong=True), Fact(said("run"), run_id)),
        runbook=monitor.runbook,
    )


def _long_unknown(result: Result, settings: Settings) -> bool:
    allowed = timedelta(seconds=settings.watch.unknown_after_s)
    return result.unknown_since is not None and result.at - result.unknown_since >= allowed


def _gone(monitors: Mapping[str, Monitor], results: Sequence[Result], known: Collection[Key]) -> Iterator[Recovery]:
    """Dimensions that the measurement no longer has, for instance those of an endpoint that was renamed."""
    there = {(result.monitor, result.dimension) for result in results}
    answered = {result.monitor: result.at for result in results if result.status != "unknown"}
    for name, dimension in known:
        if name in answered and name in monitors and (name, dimension) not in there:
            yield Recovery(recovery_key(name, dimension), answered[name])


def _sources(
    monitors: Mapping[str, Monitor], results: Sequence[Result], settings: Settings
) -> tuple[dict[str, list[tuple[Monitor, Result]]], dict[str, datetime]]:
    """Connections that have long been unreachable, with their monitors; and those that were reached, with when."""
    down: dict[str, list[tuple[Monitor, Result]]] = {}
    up: dict[str, datetime] = {}
    for result in results:
        monitor = monitors[result.monitor]
        if (conn_id := connection_id(monitor, settings)) is None:
            continue
        if result.reason != "unreachable":
            up[conn_id] = result.at
        elif _long_unknown(result, settings):
            down.setdefault(conn_id, []).append((monitor, result))
    return down, {conn_id: at for conn_id, at in up.items() if conn_id not in down}


def _source_key(monitor: Monitor, settings: Settings) -> str:
    conn_id = connection_id(monitor, settings)
    return recovery_key("source", conn_id) if conn_id else ""


class _Said:
    """Findings in one language."""

    def __init__(self, locale: Locale, log_url: str) -> None:
        self._locale = locale
        self._log_url = log_url

    def __call__(self, key: str, **values: str) -> str:
        return _TEXTS[key][self._locale].format(**values)

    def bad(self, monitor: Monitor, result: Result) -> Finding:
        """A warning or an error."""
        limit = monitor.warn if result.status == "warn" and monitor.warn is not None else result.threshold
        value = self("never") if result.value is None else _amount(result.value, result.unit)
        facts = [Fact(self("value"), value, f"≤ {_amount(limit, result.unit)}", wrong=True)]
        if result.cause in ("source_silent", "pipeline_late"):
            facts.append(Fact(self("cause"), self(result.cause)))
        if result.note:
            known = monitor.kind == "deadline" and result.note in _TEXTS
            facts.append(Fact(self("status") if known else self("detail"), self(result.note) if known else result.note))
        own = Severity(monitor.severity) if result.status == "error" else Severity.P2
        return self._of(
            monitor,
            result,
            "down" if result.reason == "down" else monitor.kind,
            severity=min(own, Severity.P1) if result.escalated else own,
            since=result.since or result.at,
            facts=facts,
        )

    def unmeasured(self, monitor: Monitor, result: Result, *, parent: str) -> Finding:
        """What could not be judged for long."""
        since = result.unknown_since or result.at
        facts = [Fact(self("reason"), self(result.reason), wrong=True), Fact(self("for"), _span(result.at - since))]
        if result.note:
            facts.append(Fact(self("detail"), result.note))
        return self._of(monitor, result, "unknown", severity=Severity.P2, since=since, facts=facts, parent=parent)

    def unreachable(self, conn_id: str, members: Sequence[tuple[Monitor, Result]]) -> Finding:
        """A source that none of its monitors could be measured at."""
        first = members[0][1]
        since = min(result.unknown_since or result.at for _, result in members)
        return self.finding(
            "unreachable",
            conn_id,
            recovery_key("source", conn_id),
            severity=min(Severity(monitor.severity) for monitor, _ in members),
            since=since,
            facts=(
                Fact(self("reason"), first.note or self("no_connection"), wrong=True),
                Fact(self("for"), _span(first.at - since)),
                Fact(self("affected"), ", ".join(sorted(monitor.name for monitor, _ in members))),
            ),
        )

    def _of(
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
        owner = (Fact(self("owner"), monitor.owner),) if monitor.owner else ()
        return self.finding(
            title,
            f"{monitor.name} {result.dimension}".strip(),
            recovery_key(monitor.name, result.dimension),
            severity=severity,
            since=since,
            facts=(*facts, *owner),
            runbook=monitor.runbook,
            parent=parent,
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
    ) -> Finding:
        """One finding; its key is its identity, so that all that is said of one subject is one incident."""
        links = [Link(self("log"), self._log_url)] if self._log_url else []
        if runbook:
            links.insert(0, Link(self("runbook"), runbook))
        alert = Alert(
            title=self(title, name=subject),
            severity=severity,
            subject=subject,
            happened_at=since,
            fingerprint=fingerprint(SOURCE, key),
            facts=tuple(facts),
            links=tuple(links),
        )
        return Finding(alert, source=SOURCE, recovery_key=key, parent=parent)


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return _span(timedelta(seconds=value)) if value >= 60 else f"{value:.1f} s"
    return f"{value:.2%}" if unit == "ratio" else f"{value:,.0f}"


def _span(span: timedelta) -> str:
    """The two largest units, for instance `6 min 12 s`; the abbreviations are read in both languages."""
    left = round(span.total_seconds())
    parts: list[str] = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
