"""What follows from Airflow's records: which failures are reported, and which incidents have ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mindguard.alerts.dag_runs.failures import Run
from mindguard.alerts.dag_runs.outcomes import EndedRun, EndedTask, failures, recoveries
from mindguard.alerts.severity import Severity

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
UI = "https://airflow.example/"


def a_run(*tasks: EndedTask, failed: bool = True, minute: int = 0, **changes: Any) -> EndedRun:
    at = AT + timedelta(minutes=minute)
    known = {"dag_id": "etl", "run_id": f"r{minute}", "run_type": "scheduled", "started_at": at}
    return EndedRun(
        Run(**known | changes), failed=failed, ended_at=at + timedelta(seconds=30), tasks=tasks, severity=Severity.P1
    )


def a_task(task_id: str, state: str, *, minute: int = 0, **changes: Any) -> EndedTask:
    return EndedTask(task_id, state, AT + timedelta(minutes=minute, seconds=20), **changes)


def found(*runs: EndedRun) -> list[tuple[str, datetime]]:
    alerts = [finding.alert for finding in failures(runs, base_url=UI, locale="en")]
    return [(alert.subject, alert.happened_at) for alert in alerts]


def ended(*runs: EndedRun) -> set[str]:
    return {recovery.recovery_key for recovery in recoveries(runs)}


def test_a_failed_task_is_found_at_the_time_it_failed() -> None:
    assert found(a_run(a_task("load", "failed"))) == [("etl.load", AT + timedelta(seconds=20))]


def test_the_failed_task_is_reported_and_not_those_that_waited_for_it() -> None:
    run = a_run(a_task("load", "failed"), EndedTask("publish", "upstream_failed", None), a_task("count", "success"))
    assert [subject for subject, _ in found(run)] == ["etl.load"]


def test_mapped_instances_are_one_task_with_the_last_of_their_failures() -> None:
    instances = [
        a_task("load", state, minute=minute, map_index=minute, tries=minute)
        for minute, state in enumerate(("failed", "failed", "success"))
    ]
    (finding,) = failures([a_run(*instances)], base_url=UI, locale="en")
    assert finding.alert.happened_at == AT + timedelta(minutes=1, seconds=20)
    assert [fact.value for fact in finding.alert.facts][1:] == ["2: 0-1", "r0", "1"]


def test_two_tasks_of_one_run_are_two_findings_and_the_cards_of_both_name_their_own_instances() -> None:
    run = a_run(
        *(a_task("load", "failed", map_index=index) for index in (0, 2)),
        *(a_task("check", state, map_index=index) for index, state in enumerate(("success", "failed"))),
        a_task("publish", "failed"),
    )
    alerts = [finding.alert for finding in failures([run], base_url=UI, locale="en")]
    counts = {
        alert.subject: [fact.value for fact in alert.facts if fact.name == "Failed instances"] for alert in alerts
    }
    assert counts == {"etl.load": ["2: 0, 2"], "etl.check": ["1: 1"], "etl.publish": []}
    assert len({alert.fingerprint for alert in alerts}) == 3


def test_a_failed_run_without_a_failed_task_is_reported_itself() -> None:
    """Its time limit ended it, or somebody marked it as failed."""
    run = a_run(a_task("load", "skipped"))
    assert found(run) == [("etl", AT + timedelta(seconds=30))]


def test_a_task_that_failed_in_a_run_called_successful_is_found() -> None:
    run = a_run(a_task("load", "failed"), a_task("clean_up", "success"), failed=False)
    assert [subject for subject, _ in found(run)] == ["etl.load"]
    assert ended(run) == {"airflow:etl", "airflow:etl.clean_up"}


@pytest.mark.parametrize("state", ["up_for_retry", "running", "queued", "deferred", "awaiting_input", ""])
def test_while_retries_remain_nothing_is_reported(state: str) -> None:
    assert found(a_run(a_task("load", state), failed=False)) == []


def test_a_tasks_own_severity_takes_precedence_over_its_dags() -> None:
    tasks = (a_task("load", "failed"), a_task("clean_up", "failed", severity=Severity.P2))
    severities = [finding.alert.severity for finding in failures([a_run(*tasks)], base_url=UI, locale="en")]
    assert severities == [Severity.P1, Severity.P2]


def test_the_oldest_failure_comes_first() -> None:
    late, early = a_run(a_task("load", "failed", minute=9), minute=9), a_run(a_task("load", "failed"))
    assert [at for _, at in found(late, early)] == sorted(at for _, at in found(late, early))


def test_links_lead_to_the_failing_task() -> None:
    run = a_run(a_task("a b", "failed"), run_id="manual__2026-11-19T06:02:00+00:00")
    (finding,) = failures([run], base_url=UI, locale="en")
    assert finding.alert.links[0].url == (
        "https://airflow.example/dags/etl/runs/manual__2026-11-19T06%3A02%3A00%2B00%3A00/tasks/a%20b"
    )


def test_a_later_success_ends_it_and_a_later_failure_does_not() -> None:
    failed, succeeded = (
        a_run(a_task("load", "failed")),
        a_run(a_task("load", "success", minute=1), failed=False, minute=1),
    )
    assert ended(failed, succeeded) == ended(succeeded, failed) == {"airflow:etl", "airflow:etl.load"}
    broke = a_run(a_task("load", "failed", minute=2), minute=2)
    assert ended(failed, succeeded, broke) == set()


def test_a_mapped_task_has_recovered_when_all_of_its_instances_have() -> None:
    states = ("success", "success", "failed")
    run = a_run(*(a_task("load", state, map_index=index) for index, state in enumerate(states)))
    assert ended(run) == set()
    unfinished = a_run(a_task("load", "success", map_index=0), a_task("load", "running", map_index=1))
    assert "airflow:etl.load" not in ended(unfinished)
    with_a_skipped_one = a_run(a_task("load", "success", map_index=0), a_task("load", "skipped", map_index=1))
    assert "airflow:etl.load" in ended(with_a_skipped_one)
    with_a_shorter_list = a_run(a_task("load", "success", map_index=0), a_task("load", "removed", map_index=1))
    assert "airflow:etl.load" in ended(with_a_shorter_list)


def test_a_task_that_did_not_run_has_no_outcome() -> None:
    """A run whose load failed says nothing about the tasks after it: their older success stands."""
    before = a_run(a_task("load", "success"), a_task("publish", "success"), failed=False)
    after = a_run(a_task("load", "failed", minute=1), EndedTask("publish", "upstream_failed", None), minute=1)
    assert ended(before, after) == {"airflow:etl.publish"}


def test_a_recovery_has_the_time_of_the_success() -> None:
    run = a_run(a_task("load", "success"), failed=False)
    assert {recovery.at for recovery in recoveries([run])} == {AT + timedelta(seconds=20), AT + timedelta(seconds=30)}


def test_the_newest_run_counts_and_not_the_one_that_ended_last() -> None:
    older = a_run(a_task("load", "success", minute=9), failed=False, minute=9, run_after=AT)
    newer = a_run(a_task("load", "failed", minute=5), minute=5, run_after=AT + timedelta(minutes=5))
    assert ended(older, newer) == set()
    again = a_run(a_task("load", "success", minute=12), failed=False, minute=12, run_after=newer.run.run_after)
    assert ended(older, newer, again) == {"airflow:etl", "airflow:etl.load"}


def test_a_card_leads_to_the_runbook_of_a_dag_that_has_one() -> None:
    for run in (a_run(a_task("load", "failed")), a_run(a_task("load", "skipped"))):
        (finding,) = failures([replace(run, documented=True)], base_url=UI, locale="en")
        assert finding.alert.links[-1].url == "https://airflow.example/dags/etl"


def test_of_a_request_of_its_own_no_other_success_is_a_recovery() -> None:
    failed = a_run(a_task("load", "failed"), run_type="manual", own_values=True)
    usual = a_run(a_task("load", "success", minute=1), failed=False, minute=1, run_type="manual")
    assert ended(failed, usual) == {"airflow:etl", "airflow:etl.load"}
    again = a_run(a_task("load", "success"), failed=False, run_type="manual", own_values=True)
    assert ended(again, usual) == {"airflow:etl", "airflow:etl.load", "airflow:etl r0", "airflow:etl.load r0"}
