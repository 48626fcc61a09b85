"""The production path: a bare Airflow home, the package installed from a clone, folders pointed at, nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from devstack.airflow_api import AirflowAPI
from devstack.data.sample_data import load_tables
from devstack.stack import Stack
from tests.processes import clone, free_port, plain_environment
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

BIN = Path(sys.executable).parent
PASSWORD = "only-for-this-test"


@pytest.fixture(scope="module", name="clone")
def fresh_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the repository."""
    return clone(tmp_path_factory.mktemp("clone") / "mindguard-ops")


@pytest.fixture(scope="module")
def installed(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pip install .`, into a folder of its own so that the test's environment stays as it is."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target, clone],
        check=True,
    )
    return target


@pytest.fixture(scope="module")
def bare_airflow(
    stack: Stack, clone: Path, installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowAPI]:
    """`airflow standalone` in an empty home, with the connections in its environment."""
    home, port = tmp_path_factory.mktemp("airflow-home"), free_port()
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": PASSWORD}))
    settings = home / "mindguard.yaml"
    shipped = (clone / "include/config/mindguard.yaml").read_text("utf-8")
    settings.write_text(shipped.replace("prefix: key-tables", "prefix: existing-airflow"), "utf-8")
    connections = {key: value for key, value in stack.environment().items() if key.startswith("AIRFLOW_CONN_")}
    environment = (
        plain_environment()
        | connections
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(clone / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(clone / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "MINDGUARD_SETTINGS": str(settings),
            "PYTHONPATH": str(installed),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # standalone starts `airflow` by name
            "NO_PROXY": "127.0.0.1",
        }
    )
    log = (home / "standalone.log").open("wb")
    process = subprocess.Popen(
        [BIN / "airflow", "standalone"], env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield logged_in(f"http://127.0.0.1:{port}", process, home)
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # to all of them, as a terminal's Ctrl-C
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()
        _, left = psutil.wait_procs(family, timeout=5)
        for each in left:
            each.kill()
        log.close()


def logged_in(url: str, process: subprocess.Popen[bytes], home: Path) -> AirflowAPI:
    def end_of_the_log() -> str:
        return (home / "standalone.log").read_text(errors="replace")[-2000:]

    def client() -> AirflowAPI | None:
        assert process.poll() is None, end_of_the_log()
        try:
            return AirflowAPI(url, "admin", PASSWORD)
        except httpx.HTTPError:
            return None

    return wait_until(client, 120, end_of_the_log, poll_s=0.5)


def test_every_dag_loads_without_errors(bare_airflow: AirflowAPI, clone: Path) -> None:
    dag_ids = {path.stem for path in (clone / "dags").glob("*.py")}
    bare_airflow.wait_for_dags(*dag_ids)
    assert bare_airflow.dag_ids() == dag_ids
    assert bare_airflow.import_errors() == {}


def test_the_plugin_is_registered(bare_airflow: AirflowAPI) -> None:
    plugins = bare_airflow.call("GET", "/plugins")["plugins"]
    assert "mindguard" in {plugin["name"] for plugin in plugins}
    assert bare_airflow.call("GET", "/plugins/importErrors")["import_errors"] == []


def test_the_pages_and_the_stores_migrations_are_installed(bare_airflow: AirflowAPI) -> None:
    link = bare_airflow._client.get("/mindguard/acknowledge", params={"token": "none of ours"})
    assert link.status_code == 403
    assert "链接无效或已过期" in link.text
    incidents = bare_airflow._client.get("/mindguard/incidents")
    assert incidents.status_code == 200
    assert "告警事件" in incidents.text


def test_the_connection_form_offers_feishu_and_hides_its_secrets(bare_airflow: AirflowAPI) -> None:
    forms = bare_airflow._client.get("/ui/connections/hook_meta").raise_for_status().json()
    (feishu,) = [form for form in forms if form["connection_type"] == "feishu"]
    assert feishu["extra_fields"]["secret"]["schema"]["format"] == "password"


def test_snapshot_tables_runs(bare_airflow: AirflowAPI, stack: Stack) -> None:
    load_tables(
        stack.postgres_conninfo("mindguard_app_owner"),
        rows=20_000,
        seed=1,
        today=datetime.now(UTC).date(),
        progress=print,
    )
    bare_airflow.wait_for_dags("snapshot_tables")
    run_id = bare_airflow.trigger("snapshot_tables")
    assert bare_airflow.wait_for_run("snapshot_tables", run_id, timeout_s=120) == "success"
    keys = stack.seaweedfs.client().list_objects_v2(Bucket="mindguard-backup", Prefix="existing-airflow/snapshots/")
    assert keys["KeyCount"] >= 1


def test_doctor_sees_the_connections_that_airflow_keeps(bare_airflow: AirflowAPI) -> None:
    bare_airflow.wait_for_dags("doctor")
    before = examined(bare_airflow)
    assert before["mindguard_app"] == {"pass"}
    assert before["mindguard_airflow"] == {"warn"}
    assert "without it alert_delivery fails in every run" in bare_airflow._client.get("/mindguard/doctor").text
    address = urlsplit(str(bare_airflow._client.base_url))
    kept = {
        "connection_id": "mindguard_airflow",
        "conn_type": "http",
        "host": address.hostname,
        "port": address.port,
        "login": "admin",
        "password": PASSWORD,
    }
    bare_airflow.call("POST", "/connections", json=kept)
    assert examined(bare_airflow)["mindguard_airflow"] == {"pass"}
    page = bare_airflow._client.get("/mindguard/doctor").text
    assert "DAGs can be read" in page
    assert PASSWORD not in page


def examined(api: AirflowAPI) -> dict[str, set[str]]:
    """Run the DAG, and return the statuses of each thing that it examined, from its page."""
    run_id = api.trigger("doctor")
    api.wait_for_run("doctor", run_id, timeout_s=120)
    page = api._client.get("/mindguard/doctor").text
    found: dict[str, set[str]] = {}
    words = {"错误": "error", "注意": "warn", "未知": "unknown", "正常": "pass"}
    for status, what in re.findall(r"<tr><td><span[^>]*>(.*?)</span></td><td>(.*?)</td>", page):
        found.setdefault(what, set()).add(words[status])
    return found
