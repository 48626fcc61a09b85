"""docs/existing-airflow.md, followed word for word in two empty Airflow homes.

One has the repository as a DAG bundle and uses the LocalExecutor; the other is made from the wheel and uses the
CeleryExecutor where a Redis server is installed. Their environment holds what `requirements.txt` pins, and no more.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from devstack.airflow_api import AirflowAPI
from devstack.data.sample_data import load_tables
from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.connections import from_environment
from tests.processes import clone, foreign_environment, free_port, running
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

PAGE = (ROOT / "docs/existing-airflow.md").read_text("utf-8")
BIN = Path(sys.executable).parent
PASSWORD = "only-for-this-test"
WAYS = {"bundle": "### As a DAG bundle", "wheel": "### As a wheel"}  # the wheel stays installed, so it comes last


def blocks(*headings: str) -> str:
    """Return the `sh` blocks below these headings, as one script."""
    scripts = []
    for heading in headings:
        section = re.split(r"^##", PAGE.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
        found = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        assert found, heading
        scripts += found
    return "".join(scripts)


def virtual_environment(folder: Path) -> Path:
    """Make an empty virtual environment, in which `pip install` is uv's if there is one. Return its `bin`."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    binaries = folder / "bin"
    if (BIN / "uv").exists():  # it links the files that it has, where pip would copy 700 MB
        pip = binaries / "pip"
        pip.unlink()
        pip.write_text(
            f'#!/bin/sh\nif [ "$1" = wheel ]; then exec "{binaries}/python" -m pip "$@"; fi\n'
            f'exec "{BIN}/uv" pip "$@" --system-certs --python "{binaries}/python"\n'
        )
        pip.chmod(0o755)
    return binaries


class Home:
    """An Airflow home that was made as the page says.

    Args:
        way: `wheel` or `bundle`.
        folder: an empty folder.
        binaries: `bin` of its virtual environment.
        stack: has the source, the bucket and a server for Airflow's metadata.
    """

    def __init__(self, way: str, folder: Path, binaries: Path, stack: Stack) -> None:
        self.way = way
        self.folder = folder
        self.celery = way == "wheel" and shutil.which("redis-server") is not None
        self.url = f"http://127.0.0.1:{free_port()}"
        home = folder / "home"
        (home / "dags").mkdir(parents=True)
        passwords = folder / "passwords.json"
        passwords.write_text(json.dumps({"admin": PASSWORD}))
        database = f"bare_{way}"
        with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(f"create database {database} owner airflow")
        metadata = f"airflow:{stack.postgres.password('airflow')}@127.0.0.1:{stack.postgres.port}/{database}"
        self.redis_port = free_port()
        basic = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor" if self.celery else "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/ops/execution/",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{metadata}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            "AIRFLOW__API__BASE_URL": f"{self.url}/ops",  # with a path, as behind a proxy
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": "of-this-test-only",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of-this-test-only-and-64-characters-long-or-more-0123456789abcdef",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{metadata}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
            "NO_PROXY": "127.0.0.1",
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        }
        script = blocks(WAYS[way], "## 2. Write the settings") + self._extra()
        followed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{script}printf '\\0'; env -0"],
            env=foreign_environment() | basic,
            cwd=clone(folder / "mindguard-ops"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert followed.returncode == 0, followed.stderr
        exported = dict(each.split("=", 1) for each in followed.stdout.partition("\0")[2].split("\0") if "=" in each)
        settings = Path(exported["MINDGUARD_SETTINGS"])
        settings.write_text(settings.read_text("utf-8").replace("prefix: key-tables", f"prefix: {way}"), "utf-8")
        connections = {key: value for key, value in stack.environment().items() if key.startswith("AIRFLOW_CONN_")}
        self.ops = from_environment("mindguard_ops", connections)
        del connections["AIRFLOW_CONN_MINDGUARD_OPS"]  # a test adds it in Airflow
        self.environment = exported | connections
        self.airflow = binaries / "airflow"

    def _extra(self) -> str:
        """Return the line that installs what the official image has and `requirements.txt` has not."""
        pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE))
        names = ("apache-airflow-providers-celery", "celery", "redis")
        return f"pip install --quiet {' '.join(f'{name}=={pins[name]}' for name in names)}\n" if self.celery else ""

    def run(self) -> Iterator[AirflowAPI]:
        """Run Airflow, yield a client of its API, and stop everything."""
        subprocess.run([self.airflow, "db", "migrate"], env=self.environment, check=True, capture_output=True)
        programs = [
            [self.airflow, "api-server"],
            [self.airflow, "scheduler", "--skip-serve-logs"],
            [self.airflow, "dag-processor"],
        ]
        if self.celery:
            # Its allocator asks for the time too early for a moved clock.
            redis = ["env", "-u", "LD_PRELOAD", "redis-server", "--bind", "127.0.0.1", "--save", ""]
            redis += ["--port", str(self.redis_port)]
            programs = [redis, [self.airflow, "celery", "worker", "--skip-serve-logs"], *programs]
        with ExitStack() as started:
            log = self.folder / "airflow.log"
            for program in programs:
                started.enter_context(running(program, self.environment, cwd=self.folder, log=log))
            yield self._client(log)

    def _client(self, log: Path) -> AirflowAPI:
        def client() -> AirflowAPI | None:
            try:
                return AirflowAPI(f"{self.url}/ops", "admin", PASSWORD)
            except httpx.HTTPError:
                return None

        return wait_until(client, 240, lambda: log.read_text(errors="replace")[-2000:], poll_s=0.5)


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return virtual_environment(tmp_path_factory.mktemp("venv"))


@pytest.fixture(scope="module", params=WAYS)
def home(
    request: pytest.FixtureRequest, binaries: Path, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    return Home(request.param, tmp_path_factory.mktemp(request.param), binaries, stack)


@pytest.fixture(scope="module")
def bare_airflow(home: Home) -> Iterator[AirflowAPI]:
    yield from home.run()


def test_every_dag_loads_without_errors(bare_airflow: AirflowAPI) -> None:
    dag_ids = {path.stem for path in (ROOT / "dags").glob("*.py")}
    bare_airflow.wait_for_dags(*dag_ids)
    assert bare_airflow.dag_ids() == dag_ids
    assert bare_airflow.import_errors() == {}


def test_the_plugin_is_registered_once(bare_airflow: AirflowAPI) -> None:
    plugins = bare_airflow.call("GET", "/plugins")["plugins"]
    assert [plugin["name"] for plugin in plugins].count("mindguard") == 1
    assert bare_airflow.call("GET", "/plugins/importErrors")["import_errors"] == []


def test_a_page_says_what_must_be_corrected_but_not_to_everybody(bare_airflow: AirflowAPI, home: Home) -> None:
    def shown(page: str) -> str:
        answer = bare_airflow._client.get(f"mindguard/{page}")
        assert answer.status_code == 503
        return html.unescape(answer.text)

    for page in ("incidents", "doctor", "reports"):
        assert "connection 'mindguard_ops' is not configured" in shown(page)
    record = {"host": home.ops.host, "port": home.ops.port, "login": home.ops.login, "schema": home.ops.schema}
    kept = {"connection_id": "mindguard_ops", "conn_type": "postgres", "password": home.ops.password, **record}
    bare_airflow.call("POST", "/connections", json=kept)
    settings = Path(home.environment["MINDGUARD_SETTINGS"])
    right = settings.read_text("utf-8")
    settings.write_text(right.replace("  bucket:", "  bukcet:"), "utf-8")
    try:
        assert "unknown key; did you mean bucket?" in shown("incidents")
        assert "bukcet" not in shown("acknowledge")
    finally:
        settings.write_text(right, "utf-8")


def test_the_pages_and_the_stores_migrations_are_installed(bare_airflow: AirflowAPI) -> None:
    link = bare_airflow._client.get("mindguard/acknowledge", params={"token": "none of ours"})
    assert link.status_code == 403
    assert "链接无效或已过期" in link.text
    incidents = bare_airflow._client.get("mindguard/incidents")
    assert incidents.status_code == 200
    assert "告警事件" in incidents.text


def test_the_connection_form_offers_feishu_and_hides_its_secrets(bare_airflow: AirflowAPI, home: Home) -> None:
    forms = bare_airflow._client.get("ui/connections/hook_meta").raise_for_status().json()
    found = [form for form in forms if form["connection_type"] == "feishu"]
    if home.way == "bundle":
        assert found == [], "the page says that there is none"
    else:
        (feishu,) = found
        assert feishu["extra_fields"]["secret"]["schema"]["format"] == "password"


def test_snapshot_tables_runs(bare_airflow: AirflowAPI, home: Home, stack: Stack) -> None:
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
    keys = stack.seaweedfs.client().list_objects_v2(Bucket="mindguard-backup", Prefix=f"{home.way}/snapshots/")
    assert keys["KeyCount"] >= 1


def test_doctor_sees_the_connections_that_airflow_keeps(bare_airflow: AirflowAPI) -> None:
    bare_airflow.wait_for_dags("doctor")
    before = examined(bare_airflow)
    assert before["mindguard_app"] == {"pass"}
    assert before["mindguard_airflow"] == {"warn"}
    assert "没有它，alert_delivery 每次运行都会失败" in bare_airflow._client.get("mindguard/doctor").text
    address = urlsplit(str(bare_airflow._client.base_url))
    kept = {
        "connection_id": "mindguard_airflow",
        "conn_type": "http",
        "host": f"http://{address.hostname}:{address.port}/ops",
        "login": "admin",
        "password": PASSWORD,
    }
    bare_airflow.call("POST", "/connections", json=kept)
    assert examined(bare_airflow)["mindguard_airflow"] == {"pass", "warn"}, "there is no triggerer"
    page = bare_airflow._client.get("mindguard/doctor").text
    assert "个 DAG 的运行" in page
    assert "triggerer 从未有过心跳" in page
    assert PASSWORD not in page


def examined(api: AirflowAPI) -> dict[str, set[str]]:
    """Run the DAG, and return the statuses of each thing that it examined, from its page."""
    run_id = api.trigger("doctor")
    api.wait_for_run("doctor", run_id, timeout_s=120)
    page = api._client.get("mindguard/doctor").text
    found: dict[str, set[str]] = {}
    words = {"错误": "error", "警告": "warn", "未知": "unknown", "正常": "pass", "未使用": "unused"}
    for status, what in re.findall(r"<tr><td><span[^>]*>(.*?)</span></td><td>(.*?)</td>", page):
        found.setdefault(what, set()).add(words[status])
    return found
