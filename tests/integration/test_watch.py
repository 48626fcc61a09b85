"""The monitoring DAGs: what a run reports, with the store up and down; and a stall under the real scheduler."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from typer.testing import CliRunner

from devstack.airflow_api import AirflowAPI
from devstack.data.live_data import create_tables, land_events
from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.cli import app
from mindguard.connections import Connection, from_environment
from mindguard.database.session import OpsDatabase
from mindguard.jobs.monitoring import MonitoringRun, measure_and_report
from mindguard.monitors.metrics import collected, exposition
from mindguard.monitors.store import MonitorStore
from mindguard.settings import Settings
from tests.cards import about, colour, messages
from tests.connections import connection_of
from tests.incidents import MINUTE
from tests.processes import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

DEPLOY = ROOT / "deploy"


class Runs:
    """Runs of one monitor whose value the test sets, a minute apart, in a store of its own."""

    def __init__(self, stack: Stack, ops: Connection, folder: Path) -> None:
        self.stack = stack
        self.ops = ops
        self.folder = folder
        self.value = "0.0"
        # Within the hour in which Feishu accepts a signature, and outside the seconds in which nothing is sent.
        self.began = datetime.now(UTC).replace(second=30, microsecond=0) - timedelta(minutes=30)
        self.at = self.began
        self.watch: dict[str, Any] = {}

    def settings(self) -> Settings:
        query = self.folder / f"measure_{self.at:%H%M%S}.sql"  # queries are read once in a process
        query.write_text(f"select {self.value}::float8 as value", "utf-8")
        monitor = {"kind": "rate", "source": "postgres", "error_above": 0.01, "recover_for_s": 0}
        return Settings.model_validate(
            {
                "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
                "watch": self.watch,
                "monitors": [
                    {"name": "api", "query": str(query), **monitor},
                    {"name": "landing", "kind": "freshness", "source": "postgres", "query": str(query)},
                ],
            }
        )

    def resolve(self, conn_id: str) -> Connection:
        return self.ops if conn_id == "mindguard_ops" else from_environment(conn_id, self.stack.environment())

    def run(
        self, dag: str = "service_levels", *, after: timedelta = MINUTE, before: MonitoringRun | None = None
    ) -> MonitoringRun:
        self.at += after
        sent = before.sent_directly if before else ()
        return measure_and_report(dag, self.settings(), self.resolve, now=self.at, sent_directly=sent)

    def incidents(self) -> list[Incident]:
        store = IncidentStore.of(self.ops)
        return sorted(store.list(states=("open", "acknowledged", "resolved")), key=lambda each: each.id)

    def messages(self) -> list[dict[str, Any]]:
        """Return the records of the messages in the group."""
        return messages(self.stack.feishu.url)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """See `samples`."""
        incidents = IncidentStore.of(self.ops)
        store = MonitorStore(incidents.database, keep=timedelta(days=1))
        return samples(exposition(collected(self.settings(), incidents, store, now=self.at)).decode())


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Value by name and the labels' values, these in the order of the labels' names."""
    return {
        (sample.name.removeprefix("mindguard_"), *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def runs(stack: Stack, fresh_database: str, tmp_path: Path) -> Runs:
    return Runs(stack, connection_of(fresh_database), tmp_path)


def states(runs: Runs) -> dict[str, str]:
    return {each.recovery_key.removeprefix("monitor:"): each.state for each in runs.incidents()}


def test_what_is_bad_for_minutes_is_one_incident_and_one_card_and_ends(runs: Runs) -> None:
    before = len(runs.messages())
    assert runs.run().summary()["pass"] == 1
    assert runs.incidents() == []
    runs.value = "0.2"
    for _ in range(3):
        assert runs.run().summary() == {"pass": 0, "warn": 0, "error": 1, "unknown": 0, "sent_directly": {}}
    (incident,) = runs.incidents()
    assert (incident.state, incident.occurrences, incident.source) == ("open", 3, "monitor")
    assert len(runs.messages()) == before + 1
    runs.value = "0.0"
    runs.run()
    assert states(runs) == {"api:": "resolved"}
    shown = runs.messages()
    assert (colour(shown[-1]), len(shown)) == ("green", before + 2)


def test_a_gap_between_runs_is_reported_kept_and_over_with_the_next_run(runs: Runs) -> None:
    runs.run()
    runs.run(after=3 * MINUTE)
    assert runs.incidents() == []
    runs.run(after=4 * MINUTE)
    (incident,) = runs.incidents()
    assert (incident.recovery_key, incident.state, incident.severity) == (
        "monitor:checker:service_levels",
        "open",
        "P2",
    )
    runs.run()
    assert states(runs) == {"checker:service_levels": "resolved"}
    store = MonitorStore(OpsDatabase.of(runs.ops), keep=timedelta(days=1))
    kept = store.history("checker:service_levels", since=runs.began)
    assert [(each.value, each.status, each.cause) for each in kept] == [
        (None, "pass", ""),
        (180, "pass", ""),
        (240, "error", "checker_late"),
        (60, "pass", ""),
    ]


def test_a_dag_that_stopped_is_noticed_by_the_other_one(runs: Runs) -> None:
    runs.run("pipeline_freshness")
    runs.run("service_levels")
    assert runs.incidents() == []  # one that never ran is not missed, and one that did a minute ago neither
    runs.run("service_levels", after=2 * MINUTE)
    runs.run("service_levels")
    (incident,) = runs.incidents()
    assert (incident.recovery_key, incident.severity) == ("monitor:checker:pipeline_freshness", "P1")
    runs.run("pipeline_freshness", after=timedelta(0))
    runs.run("pipeline_freshness")
    assert states(runs) == {"checker:pipeline_freshness": "resolved"}


def test_after_a_stop_of_the_scheduler_no_dag_says_that_the_other_one_has_stopped(runs: Runs) -> None:
    runs.run("pipeline_freshness")
    runs.run("service_levels")
    runs.run("pipeline_freshness", after=5 * MINUTE)
    runs.run("service_levels", after=timedelta(0))
    assert {incident.severity for incident in runs.incidents()} == {"P2"}, "interrupted, and not stopped"
    runs.run("pipeline_freshness")
    runs.run("service_levels", after=timedelta(0))
    assert states(runs) == {"checker:pipeline_freshness": "resolved", "checker:service_levels": "resolved"}


def test_without_the_store_people_are_told_once_and_the_store_knows_afterwards(runs: Runs) -> None:
    runs.value = "0.2"
    there, before = runs.ops, len(runs.messages())
    runs.ops = replace(there, port=9)
    first = runs.run()
    second = runs.run(before=first)
    assert len(runs.messages()) == before + 1
    assert first.sent_directly == second.sent_directly != {}
    runs.ops = there
    assert runs.run(before=second).sent_directly == {}
    assert states(runs) == {"api:": "open"}
    assert len(runs.messages()) == before + 1, "what was sent directly does not come again"


def test_a_run_on_another_machine_knows_what_was_sent_directly(runs: Runs, own_spool: Path) -> None:
    runs.value = "0.2"
    there, before = runs.ops, len(runs.messages())
    runs.ops = replace(there, port=9)
    first = runs.run()
    shutil.rmtree(own_spool)
    runs.ops = there
    assert runs.run(before=first).sent_directly == {}
    assert states(runs) == {"api:": "open"}
    assert len(runs.messages()) == before + 1


def test_what_ends_while_the_store_is_away_turns_green_afterwards(runs: Runs) -> None:
    runs.value = "0.2"
    there, before = runs.ops, len(runs.messages())
    runs.ops = replace(there, port=9)
    first = runs.run()
    runs.value, runs.ops = "0.0", there
    runs.run(before=first)
    assert states(runs) == {"api:": "resolved"}
    assert [colour(each) for each in runs.messages()[before:]][-1] == "green"


def test_prometheus_sees_monitors_incidents_and_the_outbox(runs: Runs) -> None:
    runs.value = "0.2"
    runs.run("pipeline_freshness")
    runs.run()
    found = runs.metrics()
    assert found["monitor_status", "", "api", "P2", "error"] == 1
    assert found["monitor_status", "", "api", "P2", "pass"] == 0
    assert found["monitor_value", "", "api", "ratio"] == 0.2
    assert found["monitor_threshold", "", "api", "ratio"] == 0.01
    assert found["monitor_timestamp_seconds", "", "api"] == pytest.approx(runs.at.timestamp(), abs=30)
    assert found["watch_last_run_timestamp_seconds", "service_levels"] == runs.at.timestamp()
    assert found["watch_last_run_timestamp_seconds", "pipeline_freshness"] == (runs.at - MINUTE).timestamp()
    assert (found["incidents", "P2", "open"], found["incidents", "P0", "open"]) == (1, 0)
    assert (found["outbox_pending",], found["outbox_dead",], found["store_up",]) == (0, 0, 1)
    runs.at += timedelta(hours=2)
    assert ("monitor_status", "", "api", "P2", "error") not in runs.metrics()  # nothing says that it is still so


def test_the_textfile_and_the_heartbeat(runs: Runs, tmp_path: Path) -> None:
    textfile, beats = tmp_path / "mindguard.prom", tmp_path / "service_levels.beat"
    runs.watch = {
        "textfile": str(textfile),
        "heartbeat_file": str(tmp_path / "{dag}.beat"),
        "heartbeat_url": f"{runs.stack.feishu.url}/_messages?{{dag}}",
    }
    runs.run()
    assert beats.is_file()
    assert samples(textfile.read_text())["monitor_status", "", "api", "P2", "pass"] == 1
    runs.ops = replace(runs.ops, port=9)
    runs.run()
    found = samples(textfile.read_text())
    assert found["store_up",] == 0
    assert found["monitor_status", "", "api", "P2", "pass"] == 1


def test_a_folder_that_is_missing_and_a_dead_heartbeat_address_fail_nothing(
    runs: Runs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs.watch = {
        "textfile": str(tmp_path / "none" / "mindguard.prom"),
        "heartbeat_file": str(tmp_path / "none" / "beat"),
        "heartbeat_url": "http://127.0.0.1:9/ping/secret-token",
    }
    assert runs.run().summary()["pass"] == 1
    for key in runs.watch:
        assert f"watch.{key}" in caplog.text
    assert "secret-token" not in caplog.text


class Watching:
    """The real scheduler, over sample data of the present that the test lets stall."""

    def __init__(self, stack: Stack, api: AirflowAPI, client: Client, folder: Path) -> None:
        self.stack = stack
        self.api = api
        self.client = client
        self.folder = folder
        self.store = IncidentStore.of(from_environment("mindguard_ops", stack.environment()))

    def run(self, dag_id: str = "pipeline_freshness") -> str:
        """One run, and none by the clock while the test changes the data; gives its state."""
        run_id = self.api.trigger(dag_id)
        state = self.api.wait_for_run(dag_id, run_id)
        self.api.set_paused(dag_id, paused=True)
        return state

    def data(self, *, until: datetime, loaded_at: datetime) -> None:
        """Events that landed last at one moment, and an ETL table that was loaded last at another."""
        self.client.command("TRUNCATE TABLE IF EXISTS mindguard.events SYNC")
        self.client.command("TRUNCATE TABLE IF EXISTS mindguard.user_mood_daily SYNC")
        land_events(self.client, until=until, minutes=10, seed=1)
        self.client.insert("mindguard.user_mood_daily", [[loaded_at.date(), 1, 1, loaded_at]])

    def incidents(self) -> dict[str, list[Incident]]:
        """Of the test's monitors, by recovery key."""
        found: dict[str, list[Incident]] = {}
        for each in self.store.list(states=("open", "acknowledged", "resolved"), limit=500):
            found.setdefault(each.recovery_key.removeprefix("monitor:"), []).append(each)
        return found

    def colours(self, incident: Incident) -> list[str]:
        """Of its cards, oldest first."""
        return [colour(record) for record in about(self.stack.feishu.url, incident.alert.fingerprint)]


@pytest.fixture(scope="module")
def watching(airflow_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watching]:
    folder = tmp_path_factory.mktemp("watching")
    slow = folder / "measure_slow.sql"
    slow.write_text("select pg_sleep(5), 0 as value", "utf-8")
    postgres = {"kind": "freshness", "source": "postgres", "query": str(slow), "timeout_s": 0.5}
    path = Path(airflow_stack.environment()["MINDGUARD_SETTINGS"])
    shared = path.read_text("utf-8")
    settings = YAML(typ="safe").load(shared)
    shipped = {each["name"]: {**each, "recover_for_s": 0} for each in settings["monitors"]}
    settings |= {
        "monitors": [
            {**shipped["event_landing"], "name": "test_landing", "min_base": 0},
            {**shipped["etl_user_mood_daily"], "name": "test_etl", "error_after_s": 300},
            {"name": "test_slow", **postgres},
            {"name": "test_dead", **postgres, "connection": "mindguard_nowhere"},
            {**shipped["weekly_report"], "at": "00:00", "error_after_s": 1},
        ],
        "watch": {"unknown_after_s": 0, "textfile": str(folder / "mindguard.prom")},
    }
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=airflow_stack.clickhouse.port,
        username=airflow_stack.clickhouse.login,
        password=airflow_stack.clickhouse.password,
    )
    create_tables(client, airflow_stack.postgres_conninfo("mindguard_app_owner"))
    api = airflow_stack.airflow_api()
    api.wait_for_dags("pipeline_freshness", "service_levels")
    path.write_text(json.dumps(settings, default=str), "utf-8")  # JSON is YAML
    try:
        yield Watching(airflow_stack, api, client, folder)
    finally:
        path.write_text(shared, "utf-8")
        for dag_id in ("pipeline_freshness", "service_levels"):
            api.set_paused(dag_id, paused=True)
        client.command("DROP DATABASE mindguard SYNC")
        client.close()


@pytest.fixture(scope="module")
def stalled(watching: Watching) -> Watching:
    """After a sound start, events stopped landing and the ETL stopped loading; the DAG has run twice since."""
    now = datetime.now(UTC)
    watching.data(until=now, loaded_at=now)
    assert watching.run() == "success"
    assert not {"test_landing:", "test_etl:"} & watching.incidents().keys()
    late = datetime.now(UTC) - timedelta(minutes=6)
    watching.data(until=late, loaded_at=late)
    for _ in range(2):
        assert watching.run() == "success"
    return watching


@pytest.mark.parametrize(("key", "severity"), [("test_landing:", "P1"), ("test_etl:", "P2")])
def test_a_stall_is_one_incident_and_one_card(key: str, severity: str, stalled: Watching) -> None:
    (incident,) = stalled.incidents()[key]
    assert (incident.state, incident.severity) == ("open", severity)
    assert incident.occurrences >= 2
    assert stalled.colours(incident) == [{"P1": "orange", "P2": "blue"}[severity]]
    assert "/dags/pipeline_freshness/" in incident.alert.links[0].url


def test_a_slow_and_a_dead_source_affect_only_their_own_monitors(stalled: Watching) -> None:
    (slow,) = stalled.incidents()["test_slow:"]
    (dead,) = stalled.incidents()["source:mindguard_nowhere"]
    assert [each.alert.facts[0].wrong for each in (slow, dead)] == [True, True]
    assert "mindguard_nowhere" in dead.alert.facts[0].value
    assert dead.alert.facts[2].value == "test_dead"
    assert "test_dead:" not in stalled.incidents()


def test_a_weekly_report_that_never_started_and_a_run_past_its_deadline_are_one_incident(stalled: Watching) -> None:
    (weekly,) = stalled.incidents()["weekly_report:"]
    assert "未开始" in {fact.value for fact in weekly.alert.facts}
    run_id = stalled.api.trigger("demo_weekly_report", {"seconds": 25})

    def facts() -> set[str]:
        (incident,) = stalled.incidents()["weekly_report:"]
        return {fact.value for fact in incident.alert.facts}

    wait_until(lambda: run_id in facts(), 90, lambda: str(facts()))
    assert stalled.api.run("demo_weekly_report", run_id)["state"] == "running"
    assert len(stalled.colours(weekly)) == 1


def test_only_prometheus_token_opens_the_metrics(stalled: Watching) -> None:
    assert stalled.stack.site
    url = f"{stalled.stack.site.url}/mindguard/metrics"
    token = stalled.stack.connections()["mindguard_metrics"]["password"]

    def get(**headers: str) -> httpx.Response:
        return httpx.get(url, headers=headers, trust_env=False, timeout=30)

    for refused in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {token}"}):
        assert get(**refused).status_code == 401
    answer = get(Authorization=f"Bearer {token}")
    found = samples(answer.text)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert found["monitor_status", "", "test_landing", "P1", "error"] == 1
    assert found["monitor_value", "", "test_landing", "s"] > 300
    assert found["incidents", "P1", "open"] >= 1
    written = samples((stalled.folder / "mindguard.prom").read_text())
    assert written["monitor_status", "", "test_landing", "P1", "error"] == 1


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")
def test_a_real_prometheus_reads_the_endpoint_the_rules_and_the_dashboard(stalled: Watching, tmp_path: Path) -> None:
    assert stalled.stack.site
    config = YAML(typ="safe").load((DEPLOY / "prometheus" / "scrape.yml").read_text())
    token = tmp_path / "token"
    token.write_text(stalled.stack.connections()["mindguard_metrics"]["password"])
    (job,) = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(token)
    job["static_configs"] = [{"targets": [stalled.stack.site.url.removeprefix("http://")]}]
    job |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "rules.yml")]
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--web.listen-address={address}", f"--config.file={tmp_path}/prometheus.yml"]
    with subprocess.Popen([*command, f"--storage.tsdb.path={tmp_path}/data"], stderr=subprocess.DEVNULL) as server:
        try:
            asked = httpx.Client(base_url=f"http://{address}/api/v1", trust_env=False, timeout=10)

            def query(expression: str) -> Any:
                try:
                    answer = asked.get("/query", params={"query": expression})
                except httpx.TransportError:
                    return None
                assert answer.status_code in (200, 503), answer.text
                return answer.json()["data"]["result"] if answer.status_code == 200 else None

            wanted = 'mindguard_monitor_status{monitor="test_landing",status="error"} == 1'
            wait_until(lambda: query(wanted), 60, lambda: asked.get("/targets").text)
            loaded = asked.get("/rules").json()["data"]["groups"][0]["rules"]
            assert {rule["health"] for rule in loaded} <= {"ok", "unknown"}
            dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
            for panel in dashboard["panels"]:
                for target in panel["targets"]:
                    query(target["expr"])
            assert query(dashboard["panels"][7]["targets"][0]["expr"]), "the panel of statuses is empty"
        finally:
            server.terminate()


def test_the_command_line_shows_what_was_measured_and_when_the_dag_ran(stalled: Watching) -> None:
    def history(name: str) -> list[dict[str, Any]]:
        done = CliRunner().invoke(app, ["monitors", "history", name, "--json"], env=stalled.stack.environment())
        assert done.exit_code == 0, done.output
        return list(json.loads(done.stdout))

    assert [each["status"] for each in history("test_landing")][-1] == "error"
    assert history("checker:pipeline_freshness")[-1]["value"] > 0


def test_recovery_ends_the_incidents_with_a_green_card(stalled: Watching) -> None:
    now = datetime.now(UTC)
    stalled.data(until=now, loaded_at=now)
    assert stalled.run() == "success"
    for key in ("test_landing:", "test_etl:"):
        (incident,) = stalled.incidents()[key]
        assert incident.state == "resolved"
        assert stalled.colours(incident)[1:] == ["green"]
