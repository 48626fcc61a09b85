"""`make run`: start the stack, load sample data, let the real Airflow do its work, and report the outcome."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
from clickhouse_connect.driver.client import Client
from rich import box
from rich.console import Console
from rich.table import Table

from devstack.airflow_api import AirflowAPI
from devstack.data.event_faults import EventFaults
from devstack.data.live_data import LiveData, Sample
from devstack.data.sample_data import load_events, load_releases, load_tables
from devstack.kafka_broker import KafkaBroker
from devstack.parts.base import ROOT
from devstack.stack import Stack
from devstack.state import StackError
from mindguard.connections import from_environment
from mindguard.database.session import OpsDatabase
from mindguard.monitors.store import MonitorStore
from mindguard.settings import load_settings
from mindguard.units import amount
from mindguard.volume.days import day_start
from mindguard.volume.install import install
from mindguard.volume.source import EventSource

ZONE = ZoneInfo("Asia/Shanghai")
SEED = 20260101
REPORT = "run-report.json"
DEMO = "demo_failure"
VOLUME = "event_volume"
FALLEN = "checkin_submit"
MONITORING = ("pipeline_freshness", "service_levels")
ESCALATE_AFTER_S = 5


@dataclass
class Outcome:
    """The results of the run, for the report file and the summary; `failures` decides the exit status."""

    report: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    mb_per_s: float = 0.0

    def require(self, condition: object, failure: str) -> None:
        """Note a failure unless the condition is true."""
        if not condition:
            self.failures.append(failure)


def run(state: Path, *, rows: int, events: int, once: bool) -> int:
    """Do everything once and report it.

    Args:
        state: folder of the stack.
        rows: sample rows over the three tables.
        events: sample events in ClickHouse.
        once: stop after the summary instead of waiting for Ctrl-C.

    Returns:
        The exit status: 1 when something failed.
    """
    report_file = state / REPORT
    report_file.unlink(missing_ok=True)  # the report of an earlier run must not be taken for this one's
    began = time.monotonic()
    settings_file = state / "mindguard.yaml"
    broker = KafkaBroker()
    options: dict[str, Any] = {"settings": settings_file, "kafka": broker.connection(), "feishu_app": True}
    with ExitStack() as exits:
        stack = exits.enter_context(Stack(state, airflow=False, **options))
        say("starting Airflow while the sample data loads")
        stack.start_airflow(wait=False)
        write_settings(settings_file, acknowledge_base_url=stack.urls()["Airflow"])
        client = stack.clickhouse.client()
        sample = Sample(rows, events, SEED, datetime.now(UTC).astimezone(ZONE).date())
        load_sample_data(stack, client, sample)
        lose_events(client)
        owner = stack.postgres_conninfo("mindguard_app_owner")
        live = exits.enter_context(LiveData(client, owner, broker, say=say, sample=sample))
        stack.wait_ready()
        api = stack.airflow_api()
        outcome = Outcome()
        outcome.require(not api.import_errors(), f"DAG files do not load: {api.import_errors()}")
        dag_ids = ("snapshot_tables", "restore_drill", "alert_delivery", *MONITORING, VOLUME, DEMO)
        api.wait_for_dags(*dag_ids, timeout_s=120)
        api.set_paused("alert_delivery", paused=False)
        api.set_paused("restore_drill", paused=False)  # otherwise the asset's event would start no run
        drilled = {run["dag_run_id"] for run in api.runs("restore_drill")}
        checked = start_event_volume(api)
        taken = take_snapshot(stack, api, outcome)
        live.tables_grow.set()
        see_event_volume(api, outcome, checked)
        if taken:
            prove_snapshot(api, outcome, drilled)
        watch_monitors(stack, api, outcome)
        show_an_incident(stack, api, outcome)
        outcome.report["urls"] = {} if once else stack.urls()
        report_file.write_text(json.dumps(outcome.report, ensure_ascii=False, indent=1) + "\n")
        summarise(outcome, stack, report_file, time.monotonic() - began)
        if not once:
            print("Ctrl-C stops everything.", flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 1 if outcome.failures else 0


def write_settings(file: Path, *, acknowledge_base_url: str) -> None:
    """Write the settings of the run: the repository's, with three changes.

    The example of a rota in them becomes effective, the button that acknowledges gets its address, and the next person
    is called after seconds instead of half an hour.

    Args:
        file: the file to write.
        acknowledge_base_url: base URL of Airflow's web page.
    """
    from ruamel.yaml import YAML

    text = (ROOT / "include/config/mindguard.yaml").read_text("utf-8")
    start = text.index("# rota:\n")
    settings = YAML(typ="safe").load(text[:start] + re.sub("^# ", "", text[start:], flags=re.MULTILINE))
    impatient = {"after_minutes": ESCALATE_AFTER_S / 60, "position": 1, "means": ["card", "app"]}
    settings["escalation"] = {"P1": [impatient]}
    settings["alerts"] = {"acknowledge_base_url": acknowledge_base_url}
    file.write_text(json.dumps(settings, indent=1, default=str))  # JSON is YAML


def load_sample_data(stack: Stack, client: Client, of: Sample) -> None:
    """Fill PostgreSQL and ClickHouse; data that is there already is not loaded again."""
    owner = stack.postgres_conninfo("mindguard_app_owner")
    load_tables(owner, rows=of.rows, seed=of.seed, today=of.today, progress=say)
    load_releases(owner, today=of.today)
    load_events(client, events=of.events, seed=of.seed, today=of.today, progress=say)


def lose_events(client: Client) -> None:
    """Remove one event of Android from yesterday noon on, and let the rollup count what is left."""
    settings = load_settings(ROOT / "include/config/mindguard.yaml").volume
    today = day_start(datetime.now(UTC).astimezone(ZONE).date(), ZONE)
    noon = today - timedelta(hours=12)
    EventFaults(client, settings.table).drop(noon, today, share=1, names=[FALLEN], platform="android")
    began = time.monotonic()
    months = install(EventSource(client, settings, ZONE))
    say(f"event rollup: {len(months)} months counted in {time.monotonic() - began:.1f} s")


def start_event_volume(api: AirflowAPI) -> str:
    """Ask for a check of yesterday, on which an event was lost; the scheduler starts the check of today by itself.

    Returns:
        The run id.
    """
    yesterday = datetime.now(UTC).astimezone(ZONE).date() - timedelta(days=1)
    return api.trigger(VOLUME, {"date": yesterday.isoformat()})


def see_event_volume(api: AirflowAPI, outcome: Outcome, run_id: str) -> None:
    """Require that every suite was checked, and that the event that was lost is an incident."""
    state = follow(api, VOLUME, run_id)
    outcome.require(state == "success", f"{VOLUME} ended {state}; see {api.url}/dags/{VOLUME}/runs/{run_id}")
    if state != "success":
        return
    suite = api.xcom(VOLUME, run_id, "check_suites", map_index=0)["suites"][VOLUME]
    outcome.report["event_volume"] = {"suite": VOLUME, "evaluated": suite["evaluated"], "failed": suite["failed"]}
    fallen = [each["id"] for each in incidents(api) if each["subject"] == f"{VOLUME} / {FALLEN}"]
    outcome.require(fallen, f"{FALLEN} was lost on purpose, and {VOLUME} did not see it")


def take_snapshot(stack: Stack, api: AirflowAPI, outcome: Outcome) -> bool:
    """Let the scheduler run `snapshot_tables`, and compare what it stored with the source.

    Returns:
        Whether a snapshot was taken.
    """
    run_id = scheduled_or_triggered(api, "snapshot_tables")
    state = follow(api, "snapshot_tables", run_id)
    outcome.require(
        state == "success", f"snapshot_tables ended {state}; see {api.url}/dags/snapshot_tables/runs/{run_id}"
    )
    if state != "success":
        return False
    taken = api.xcom("snapshot_tables", run_id, "take_snapshot")
    counts = source_counts(stack, list(taken["tables"]))
    for table, count in counts.items():
        stored = taken["tables"][table]["rows"]
        outcome.require(stored == count, f"{table}: the snapshot has {stored:,} rows, the source {count:,}")
    verified = {task["task_id"]: task["state"] for task in api.task_instances("snapshot_tables", run_id)}
    outcome.report["snapshot"] = {
        "id": taken["snapshot_id"],
        "seconds": taken["seconds"],
        "verified": verified["verify_snapshot"] == "success",
        "tables": taken["tables"],
    }
    outcome.mb_per_s = taken["source_bytes"] / 1e6 / max(taken["seconds"], 1e-9)
    return True


def prove_snapshot(api: AirflowAPI, outcome: Outcome, earlier: set[str]) -> None:
    """Follow the drill that the snapshot's asset started.

    Args:
        api: client of Airflow.
        outcome: gets the result.
        earlier: ids of the runs from before the snapshot.
    """
    run_id = next_run(api, "restore_drill", earlier)
    state = follow(api, "restore_drill", run_id)
    outcome.require(state == "success", f"restore_drill ended {state}; see {api.url}/dags/restore_drill/runs/{run_id}")
    proof = api.xcom("restore_drill", run_id, "drill_snapshot", map_index=0) if state == "success" else {}
    outcome.report["drill"] = {"status": "proven" if proof else "failed", "seconds": proof.get("seconds")}


def watch_monitors(stack: Stack, api: AirflowAPI, outcome: Outcome) -> None:
    """Let the scheduler run both monitoring DAGs, which then run every minute, and read the result of each monitor."""
    began = datetime.now(UTC)
    for dag_id in MONITORING:
        run_id = scheduled_or_triggered(api, dag_id)
        state = follow(api, dag_id, run_id)
        outcome.require(state == "success", f"{dag_id} ended {state}; see {api.url}/dags/{dag_id}/runs/{run_id}")
    store = MonitorStore(OpsDatabase.of(from_environment("mindguard_ops", stack.environment())), keep=timedelta(days=1))
    outcome.report["monitors"] = [
        {
            "name": f"{result.monitor} {result.dimension}".strip(),
            "status": result.status,
            "reason": result.reason,
            "value": result.value,
            "threshold": result.threshold,
            "unit": result.unit,
        }
        for result in store.latest(since=began)
        if not result.monitor.startswith("checker:")
    ]
    wrong = [monitor["name"] for monitor in outcome.report["monitors"] if monitor["status"] == "error"]
    outcome.require(not wrong, f"monitors in error: {', '.join(wrong)}; `mindguard monitors history NAME` says why")
    outcome.require(outcome.report["monitors"], "no monitor has measured anything")


def next_run(api: AirflowAPI, dag_id: str, earlier: set[str], *, timeout_s: float = 60) -> str:
    """Wait for a run that is not among the earlier ones.

    Returns:
        The id of the first such run.

    Raises:
        StackError: none was started in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        new = [run["dag_run_id"] for run in api.runs(dag_id) if run["dag_run_id"] not in earlier]
        if new:
            return str(new[-1])
        if time.monotonic() > deadline:
            raise StackError(f"{dag_id} was not started within {timeout_s:.0f} s")
        time.sleep(0.25)


def scheduled_or_triggered(api: AirflowAPI, dag_id: str) -> str:
    """Return the id of the run that starts when the DAG is unpaused, if one is due today, else of a manual one."""
    before = {run["dag_run_id"] for run in api.runs(dag_id)}
    api.set_paused(dag_id, paused=False)
    if not before:
        for _ in range(40):
            if runs := api.runs(dag_id):
                say(f"{dag_id}: the scheduler started {runs[0]['dag_run_id']}")
                return str(runs[0]["dag_run_id"])
            time.sleep(0.25)
    run_id = api.trigger(dag_id)
    say(f"{dag_id}: asked the scheduler for {run_id}")
    return run_id


def source_counts(stack: Stack, tables: list[str]) -> dict[str, int]:
    """Count the rows of each table in the source."""
    counts = {}
    with psycopg.connect(stack.postgres_conninfo("mindguard_reader")) as connection:
        for table in tables:
            name = psycopg.sql.Identifier(*table.split("."))
            row = connection.execute(psycopg.sql.SQL("select count(*) from {}").format(name)).fetchone()
            counts[table] = row[0] if row else 0
    return counts


def show_an_incident(stack: Stack, api: AirflowAPI, outcome: Outcome) -> None:
    """Let a DAG fail on purpose: its incident opens, escalates, is acknowledged through the card's link, and ends."""
    say(f"{DEMO}: one run that fails on purpose")
    run_id = api.trigger(DEMO, {"severity": "P1"})
    outcome.require(follow(api, DEMO, run_id) == "failed", f"{DEMO} did not fail, although it should")
    try:
        incident = wait_for_incident(api, lambda found: found["state"] == "open", "open")
        wait_for_incident(api, lambda found: bool(found["escalated_to"]), "escalate, although nobody took it")
        acknowledge_by_link(stack, incident["fingerprint"])
        wait_for_incident(api, lambda found: found["state"] == "acknowledged", "be acknowledged")
        say(f"{DEMO}: clearing its run, which then succeeds")
        api.call("POST", f"/dags/{DEMO}/dagRuns/{run_id}/clear", json={"dry_run": False})
        outcome.require(follow(api, DEMO, run_id) == "success", f"{DEMO} failed again after it was cleared")
        wait_for_incident(api, lambda found: found["state"] == "resolved", "end")
    except StackError as error:
        outcome.failures.append(str(error))
    delivered = delivered_messages(stack)
    for message in delivered:
        shown = [each["message"] for each in (*message.get("history", ()), message)]
        colours = " → ".join(each["card"]["header"]["template"] for each in shown)
        say(f"Feishu card: {shown[-1]['card']['header']['title']['content']} ({colours})")
    resolved = [each for each in incidents(api) if each["state"] == "resolved"]
    outcome.report["alerts"] = {"delivered": len(delivered), "resolved": len(resolved)}


def incidents(api: AirflowAPI) -> list[dict[str, Any]]:
    """Return the incidents as the page *Incidents* gives them to programs, newest first."""
    return list(api.page("/mindguard/incidents.json", latest=True)["incidents"])


def wait_for_incident(
    api: AirflowAPI, condition: Callable[[dict[str, Any]], bool], what: str, *, timeout_s: float = 150
) -> dict[str, Any]:
    """Wait until a condition holds for the newest incident of the demonstration.

    Args:
        api: client of Airflow.
        condition: the condition that must hold for the incident.
        what: the expected behaviour of the incident, for the error.
        timeout_s: seconds to wait.

    Raises:
        StackError: the condition does not hold in time; the message says that the incident did not do `what`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = next((each for each in incidents(api) if each["subject"].startswith(f"{DEMO}.")), None)
        if found and condition(found):
            say(f"{found['id']} {found['severity']} {found['subject']}: {found['state']}{escalation(found)}")
            return found
        if time.monotonic() > deadline:
            raise StackError(f"the incident of {DEMO} did not {what} within {timeout_s:.0f} s")
        time.sleep(1)


def escalation(incident: dict[str, Any]) -> str:
    """Name the person who was called next, if anybody was."""
    return f", escalated to {incident['escalated_to']}" if incident["escalated_to"] else ""


def acknowledge_by_link(stack: Stack, fingerprint: str) -> None:
    """Press the card's button, as the person on duty would.

    Raises:
        StackError: the card has no such button, or the page behind it refuses the answer.
    """
    cards = [json.dumps(each["message"]) for each in delivered_messages(stack) if each["fingerprint"] == fingerprint]
    links = re.findall(r'"(https?://[^"]+/mindguard/acknowledge[^"]+)"', "".join(cards))
    if not links:
        raise StackError(f"no card of {DEMO} has a button to acknowledge its incident")
    answer = httpx.post(links[-1], data={"by": "make run"}, trust_env=False, timeout=10)
    if answer.is_error:
        raise StackError(f"the page behind the acknowledge button answered {answer.status_code}")


def delivered_messages(stack: Stack) -> list[dict[str, Any]]:
    """Return the messages that the sandbox accepted, oldest first."""
    answer = httpx.get(f"{stack.feishu.url}/_messages", trust_env=False, timeout=10)
    return [message for message in answer.json()["messages"] if message["code"] == 0]


def follow(api: AirflowAPI, dag_id: str, run_id: str, *, timeout_s: float = 600) -> str:
    """Print each change of a task's state until the run has ended.

    Returns:
        The state of the run: `success` or `failed`.

    Raises:
        StackError: the run has not ended in time.
    """
    seen: dict[str, str] = {}
    deadline = time.monotonic() + timeout_s
    while True:
        state = str(api.run(dag_id, run_id)["state"])
        for task in api.task_instances(dag_id, run_id):
            name = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"
            if task["state"] and seen.get(name) != task["state"]:
                seen[name] = task["state"]
                if task["state"] in {"running", "success", "failed", "upstream_failed", "up_for_retry"}:
                    say(f"{dag_id}.{name}: {task['state']}")
        if state in {"success", "failed"}:
            return state
        if time.monotonic() > deadline:
            raise StackError(f"{dag_id} {run_id} has not ended after {timeout_s:.0f} s")
        time.sleep(0.5)


def summarise(outcome: Outcome, stack: Stack, report_file: Path, seconds: float) -> None:
    """Print one table for each result, the addresses, and the failures."""
    console = Console()
    if snapshot := outcome.report.get("snapshot"):
        console.print(snapshot_table(snapshot))
        verdict = "verified" if snapshot["verified"] else "NOT VERIFIED"
        console.print(f"{snapshot['seconds']:.1f} s, {outcome.mb_per_s:,.0f} MB/s of source, {verdict}")
    if drill := outcome.report.get("drill"):
        rebuilt = f", rebuilt in {drill['seconds']:.1f} s" if drill["seconds"] else ""
        console.print(f"restore drill: {drill['status']}{rebuilt}")
    if volume := outcome.report.get("event_volume"):
        console.print(f"event volume: {volume['failed']} of {volume['evaluated']} expectations failed, as they should")
    if monitors := outcome.report.get("monitors"):
        console.print(monitor_table(monitors))
    if alerts := outcome.report.get("alerts"):
        console.print(
            f"alerts: cards in the Feishu sandbox: {alerts['delivered']}, incidents resolved: {alerts['resolved']}"
        )
    for name, url in outcome.report["urls"].items():
        console.print(f"  {name:<16} {url}")
    if not outcome.report["urls"]:
        console.print("The stack stops now; `make run` starts it again with the same data, and keeps it running.")
    elif stack.site:
        console.print(f"  {'Airflow login':<16} admin / {stack.site.password}")
    console.print(f"report {report_file}, everything took {seconds:.0f} s")
    for failure in outcome.failures:
        console.print(f"[red]FAILED[/red] {failure}")


def snapshot_table(snapshot: dict[str, Any]) -> Table:
    """Tabulate what was stored of each table."""
    table = Table("table", box=box.SIMPLE_HEAD, title=f"snapshot {snapshot['id']}", title_justify="left")
    for head in ("rows", "parts written", "parts reused", "MB stored"):
        table.add_column(head, justify="right")
    for name, row in sorted(snapshot["tables"].items()):
        written, reused = str(row["parts_written"]), str(row["parts_reused"])
        table.add_row(name, f"{row['rows']:,}", written, reused, f"{row['bytes'] / 1e6:,.1f}")
    return table


def monitor_table(monitors: list[dict[str, Any]]) -> Table:
    """Tabulate the latest measurement of each monitor."""
    table = Table("monitor", "status", box=box.SIMPLE_HEAD, title="monitors, every minute", title_justify="left")
    for head in ("value", "error above"):
        table.add_column(head, justify="right")
    for each in monitors:
        amounts = ("" if each[key] is None else amount(each[key], each["unit"]) for key in ("value", "threshold"))
        status = f"{each['status']}: {each['reason'].replace('_', ' ')}" if each["reason"] else each["status"]
        table.add_row(each["name"], status, *amounts)
    return table


def say(line: str) -> None:
    """Print one line of progress."""
    print(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {line}", file=sys.stderr, flush=True)
