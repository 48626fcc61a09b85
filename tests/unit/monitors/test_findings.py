"""How results become findings and recoveries, and how the findings read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mindguard.alerts.finding import Finding, Outcome
from mindguard.alerts.severity import Severity
from mindguard.monitors.findings import monitoring_gap, outcome_of
from mindguard.monitors.result import Key, Result
from mindguard.settings import Settings

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

MONITORS: list[dict[str, Any]] = [
    {"name": "landing", "kind": "freshness", "source": "clickhouse", "query": "m.sql", "severity": "P1"},
    {
        "name": "api",
        "kind": "rate",
        "source": "clickhouse",
        "query": "m.sql",
        "warn_above": 0.005,
        "error_above": 0.01,
        "runbook": "https://wiki.example/api",
        "owner": "平台",
    },
    {"name": "routing", "kind": "freshness", "source": "postgres", "query": "m.sql", "severity": "P1"},
    {"name": "weekly", "kind": "deadline", "source": "postgres", "query": "m.sql", "at": "09:00"},
    {"name": "agent", "kind": "heartbeat", "url": "https://agent.example/health", "warn_after_s": 2},
]


def settings(**more: Any) -> Settings:
    plain = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}, "monitors": MONITORS}
    return Settings.model_validate({**plain, **more})


def result(monitor: str, status: str, **facts: Any) -> Result:
    plain: dict[str, Any] = {
        "dimension": "",
        "at": NOW,
        "value": None,
        "threshold": 300.0,
        "unit": "s",
        "reason": "",
        "cause": "",
        "note": "",
        "escalated": False,
        "since": NOW - 2 * MINUTE,
        "unknown_since": None,
        "took_s": 0.1,
    }
    return Result(monitor=monitor, status=status, **{**plain, **facts})  # type: ignore[arg-type]


def outcome(*results: Result, known: tuple[Key, ...] = (), **more: Any) -> Outcome:
    used = settings(**more)
    return outcome_of(used, used.monitors, results, known=known, log_url="https://airflow.example/log")


def finding(*results: Result, **more: Any) -> Finding:
    (found,) = outcome(*results, **more).findings
    return found


def facts(found: Finding) -> dict[str, str]:
    return {fact.name: fact.value for fact in found.alert.facts}


def test_an_error_is_a_finding_with_value_threshold_since_and_links() -> None:
    found = finding(
        result("api", "error", dimension="/a", value=0.034, threshold=0.01, unit="ratio", reason="above"), locale="en"
    )
    assert (found.source, found.recovery_key) == ("monitor", "monitor:api:/a")
    alert = found.alert
    assert (alert.title, alert.subject, alert.severity) == ("Above its threshold: api /a", "api /a", Severity.P2)
    assert alert.happened_at == NOW - 2 * MINUTE
    assert (alert.facts[0].value, alert.facts[0].expected, alert.facts[0].wrong) == ("3.40%", "≤ 1.00%", True)
    assert facts(found)["Owner"] == "平台"
    assert [link.url for link in alert.links] == ["https://wiki.example/api", "https://airflow.example/log"]


def test_each_dimension_is_an_incident_of_its_own_and_the_same_one_next_minute() -> None:
    bad = result("api", "error", dimension="/a", value=0.02, unit="ratio")
    other, later = replace(bad, dimension="/b"), replace(bad, at=NOW + MINUTE, value=0.5)
    keys = [each.alert.fingerprint for each in outcome(bad, other).findings]
    assert len(set(keys)) == 2
    assert finding(later).alert.fingerprint == keys[0]


def test_an_escalated_error_is_p1_at_least() -> None:
    assert finding(result("api", "error", value=0.2, escalated=True)).alert.severity == Severity.P1


def test_a_warning_is_p2_whatever_the_monitor_says() -> None:
    found = finding(result("agent", "warn", value=3.5, threshold=10.0, reason="above"), locale="en")
    assert (found.alert.severity, found.alert.title) == (Severity.P2, "Dependency is slow: agent")
    assert found.alert.facts[0].expected == "≤ 2.0 s"
    (routing,) = outcome(result("routing", "warn", value=250)).findings
    assert routing.alert.severity == Severity.P2


def test_what_passes_ends_its_incident() -> None:
    (recovery,) = outcome(result("landing", "pass", value=3.0)).recoveries[:1]
    assert (recovery.recovery_key, recovery.at) == ("monitor:landing:", NOW)


def test_a_number_that_no_time_can_have_costs_no_other_finding() -> None:
    reported = outcome(result("landing", "error", value=1e300, reason="above"), result("api", "error", value=0.5))
    assert len(reported.findings) == 2
    assert "1.0e+300 s" in facts(reported.findings[0]).values()


@pytest.mark.parametrize("minutes", [1, 600])
def test_too_little_traffic_neither_alarms_nor_ends_anything(minutes: int) -> None:
    quiet = result("landing", "unknown", reason="low_base", unknown_since=NOW - minutes * MINUTE)
    reported = outcome(quiet)
    assert reported.findings == ()
    assert "monitor:landing:" not in {each.recovery_key for each in reported.recoveries}


@pytest.mark.parametrize("reason", ["no_value", "negative", "future", "position", "timeout", "failed"])
def test_what_cannot_be_measured_is_a_finding_after_its_time(reason: str) -> None:
    young = result("landing", "unknown", reason=reason, unknown_since=NOW - 9 * MINUTE)
    assert outcome(young).findings == ()
    found = finding(replace(young, unknown_since=NOW - 10 * MINUTE, note="column x is missing"))
    assert (found.alert.severity, found.recovery_key) == (Severity.P2, "monitor:landing:")
    assert found.parent == "monitor:source:mindguard_events"
    assert "column x is missing" in facts(found).values()


def test_the_monitors_of_an_unreachable_source_are_one_finding_of_their_worst_severity() -> None:
    gone = {"reason": "unreachable", "note": "connection refused", "unknown_since": NOW - 11 * MINUTE}
    reported = outcome(
        result("landing", "unknown", **gone), result("api", "unknown", **gone), result("routing", "pass", value=0.0)
    )
    (found,) = reported.findings
    assert (found.recovery_key, found.alert.severity) == ("monitor:source:mindguard_events", Severity.P1)
    assert "api, landing" in facts(found).values()
    assert {each.recovery_key for each in reported.recoveries} == {"monitor:routing:", "monitor:source:mindguard_app"}


def test_a_source_that_was_reached_ends_its_incident_and_a_short_outage_is_none() -> None:
    assert "monitor:source:mindguard_events" in {
        each.recovery_key
        for each in outcome(result("landing", "unknown", reason="failed", unknown_since=NOW)).recoveries
    }
    reported = outcome(result("landing", "unknown", reason="unreachable", unknown_since=NOW - MINUTE))
    assert (reported.findings, reported.recoveries) == ((), ())


def test_a_dimension_that_has_gone_ends_its_incident_and_one_that_was_not_measured_does_not() -> None:
    known = (("api", "/old"), ("api", "/a"), ("landing", "x"), ("removed", ""))
    reported = outcome(
        result("api", "pass", dimension="/a", value=0.0),
        result("landing", "unknown", reason="timeout", unknown_since=NOW),
        known=known,
    )
    assert {each.recovery_key for each in reported.recoveries} == {
        "monitor:api:/a",
        "monitor:api:/old",
        "monitor:source:mindguard_events",
    }


@pytest.mark.parametrize(
    ("measured", "title", "shown"),
    [
        (
            result("landing", "error", value=372.4, reason="above", cause="pipeline_late"),
            "数据延迟：landing",
            {"当前值": "6 min 12 s", "可能原因": "上游有新数据，是管道落后"},
        ),
        (
            result("landing", "error", value=None, reason="empty"),
            "数据延迟：landing",
            {"当前值": "查询范围内没有任何数据"},
        ),
        (
            result("weekly", "error", value=90061.0, note="not started"),
            "未按时完成：weekly",
            {"当前值": "25 h 1 min", "状态": "未开始"},
        ),
        (
            result("agent", "error", value=0.2, threshold=10.0, reason="down", note="HTTP 503"),
            "依赖不可用：agent",
            {"当前值": "0.2 s", "详情": "HTTP 503"},
        ),
        (
            result("routing", "error", value=420.0, note="1 waiting"),
            "数据延迟：routing",
            {"当前值": "7 min", "详情": "1 waiting"},
        ),
    ],
)
def test_people_on_call_read_chinese(measured: Result, title: str, shown: dict[str, str]) -> None:
    found = finding(measured)
    assert found.alert.title == title
    assert facts(found) == shown


def test_interrupted_monitoring_is_p2_and_stopped_monitoring_p1_and_both_are_one_incident() -> None:
    interrupted, stopped = (
        monitoring_gap("service_levels", 5 * MINUTE, at=NOW, running=running, settings=settings(), log_url="")
        for running in (True, False)
    )
    assert (interrupted.alert.severity, stopped.alert.severity) == (Severity.P2, Severity.P1)
    assert interrupted.alert.fingerprint == stopped.alert.fingerprint
    assert interrupted.recovery_key == stopped.recovery_key == "monitor:checker:service_levels"
    assert interrupted.alert.happened_at == NOW - 5 * MINUTE


PROVEN = {"name": "snapshot_age", "kind": "freshness", "source": "snapshots", "error_after_s": 93600, "severity": "P1"}


@pytest.mark.parametrize(
    ("locale", "note", "title", "words"),
    [
        ("zh", "", "没有通过恢复验证的快照：snapshot_age", "再触发 snapshot_tables"),
        ("zh", "20260301T180000Z-3f9a1c", "没有通过恢复验证的快照：snapshot_age", "启用并触发 restore_drill"),
        ("en", "", "No snapshot is proven: snapshot_age", "trigger snapshot_tables"),
        ("en", "20260301T180000Z-3f9a1c", "No snapshot is proven: snapshot_age", "trigger restore_drill"),
    ],
)
def test_that_no_snapshot_is_proven_is_said_in_words_with_what_to_do(
    locale: str, note: str, title: str, words: str
) -> None:
    absent = result("snapshot_age", "error", threshold=93600.0, reason="not_proven_yet", note=note)
    alert = finding(absent, monitors=[PROVEN], locale=locale).alert
    assert (alert.title, alert.severity) == (title, Severity.P1)
    assert "任何数据" not in str(alert.facts)
    assert "no data" not in str(alert.facts)
    assert words in alert.facts[1].value


def test_that_no_snapshot_is_proven_yet_is_no_finding_before_it_is_late() -> None:
    waiting = result("snapshot_age", "unknown", reason="not_proven_yet", unknown_since=NOW - 600 * MINUTE)
    assert [*outcome(waiting, monitors=[PROVEN]).findings] == []
    assert not any("snapshot_age" in each.recovery_key for each in outcome(waiting, monitors=[PROVEN]).recoveries)


@pytest.mark.parametrize(
    ("monitor", "labels"), [("api", ["Runbook", "Open log"]), ("landing", ["Open log", "Runbook"])]
)
def test_a_monitor_without_a_runbook_has_that_of_its_dag(monitor: str, labels: list[str]) -> None:
    dag_page, used = "https://airflow.example/dags/pipeline_freshness", settings(locale="en")
    bad = result(monitor, "error", value=400.0, reason="above")
    log_url = f"{dag_page}/runs/r/tasks/measure_freshness"
    (found,) = outcome_of(used, used.monitors, [bad], known=(), log_url=log_url).findings
    assert [link.label.partition(" (")[0] for link in found.alert.links] == labels
    assert (dag_page in [link.url for link in found.alert.links]) == (monitor == "landing")
