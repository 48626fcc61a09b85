"""Airflow as four supervised processes, configured by environment variables alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from devstack.parts.base import ROOT, Part, base_environment, http_status
from devstack.parts.postgres import PostgreSQL
from devstack.process import LeashedProcess, run
from devstack.state import State, write_private

ADMIN = "admin"
SWEEPER = "mindguard"
"""The user of the connection `mindguard_airflow`, who may read DAGs and runs, and nothing else."""


class AirflowSite:
    """The things that the four processes of Airflow share: home folder, configuration, metadata database.

    Args:
        state: keeps ports, secrets and folders.
        stopping: set when the stack stops.
        postgres: holds the metadata.
        connections: returns the variables of the Airflow connections once all ports are known.
        heartbeat_timeout_s: seconds after which a task without heartbeat counts as dead.
        parallelism: number of tasks that may run at the same time.
        settings: file for MINDGUARD_SETTINGS, or None.
        dag_folders: more folders of DAGs, beside the repository's own and the demonstration's.
    """

    def __init__(
        self,
        state: State,
        stopping: threading.Event,
        *,
        postgres: PostgreSQL,
        connections: Callable[[], dict[str, str]],
        heartbeat_timeout_s: int,
        parallelism: int,
        settings: Path | None,
        dag_folders: Sequence[Path],
    ) -> None:
        self.home = state.folder / "airflow"
        self.postgres = postgres
        self._state = state
        self._stopping = stopping
        self._connections = connections
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._parallelism = parallelism
        self._settings = settings
        self._dag_folders = {"mindguard": ROOT / "dags", "demo": ROOT / "devstack" / "dags"}
        self._dag_folders |= {folder.parent.name: folder for folder in dag_folders}
        self._preparing = threading.Lock()

    @property
    def url(self) -> str:
        """The address of the web page and of the REST API."""
        return f"http://127.0.0.1:{self._state.ports['api-server']}"

    @property
    def password(self) -> str:
        """The generated password of user `admin`."""
        return self.password_of(ADMIN)

    def password_of(self, user: str) -> str:
        """Return the generated password of a user."""
        return self._state.secret(f"airflow:{user}")

    @property
    def _passwords_file(self) -> Path:
        return self.home / "simple_auth_manager_passwords.json"

    def variables(self) -> dict[str, str]:
        """Return AIRFLOW_HOME, AIRFLOW__*, AIRFLOW_CONN_* and MINDGUARD_*."""
        secret = self._state.secret
        role = "airflow"
        metadata = f"{role}:{self.postgres.password(role)}@127.0.0.1:{self.postgres.port}/airflow"
        bundles = [
            {
                "name": name,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder)},
            }
            for name, folder in self._dag_folders.items()
        ]
        options: dict[str, dict[str, object]] = {
            "core": {
                "executor": "LocalExecutor",
                "parallelism": self._parallelism,
                "dags_folder": ROOT / "dags",
                "plugins_folder": ROOT / "plugins",
                "load_examples": False,
                "fernet_key": secret("airflow:fernet", make=_fernet_key),
                "simple_auth_manager_users": f"{ADMIN}:admin,{SWEEPER}:viewer",
                "simple_auth_manager_passwords_file": self._passwords_file,
                "execution_api_server_url": f"{self.url}/execution/",
                # The default asks DNS, which may take seconds on a machine without network.
                "hostname_callable": "socket.gethostname",
            },
            "database": {
                "sql_alchemy_conn": f"postgresql+psycopg2://{metadata}",
                "sql_alchemy_pool_size": 3,
                # `prepare` has migrated the database already.
                "check_migrations": False,
            },
            "api": {
                "host": "127.0.0.1",
                "port": self._state.ports["api-server"],
                "base_url": self.url,
                "workers": 1,
                "secret_key": secret("airflow:secret-key"),
                "expose_stacktrace": True,  # an error of this stack says what it is
            },
            "api_auth": {"jwt_secret": secret("airflow:jwt", make=lambda: secrets.token_urlsafe(64))},
            "dag_processor": {
                "dag_bundle_config_list": json.dumps(bundles),
                "refresh_interval": 5,
                "bundle_refresh_check_interval": 2,
                "parsing_processes": 1,
            },
            "scheduler": {"task_instance_heartbeat_timeout": self._heartbeat_timeout_s},
            "logging": {"colored_console_log": False},
        }
        env = {
            f"AIRFLOW__{section.upper()}__{key.upper()}": str(value)
            for section, values in options.items()
            for key, value in values.items()
        }
        env["AIRFLOW_HOME"] = str(self.home)
        if self._settings:
            env["MINDGUARD_SETTINGS"] = str(self._settings.resolve())
        return env | self._connections()

    def environment(self) -> dict[str, str]:
        """Return the whole environment of an Airflow process."""
        return base_environment() | self.variables()

    def prepare(self) -> None:
        """Make the home folder, the password file and the metadata schema.

        Every process calls this before it starts; the first call does the work while the others wait.
        """
        with self._preparing:
            self.home.mkdir(parents=True, exist_ok=True)
            write_private(self._passwords_file, json.dumps({user: self.password_of(user) for user in (ADMIN, SWEEPER)}))
            self._migrate()

    def _migrate(self) -> None:
        import psycopg
        from psycopg import sql

        wanted = f"migrated to {version('apache-airflow-core')}"
        query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'airflow'"
        with psycopg.connect(self.postgres.conninfo("airflow"), autocommit=True) as connection:
            # The version is kept in the database itself, so that it cannot disagree with the data.
            if connection.execute(query).fetchone() == (wanted,):
                return
            log = self._state.logs / "airflow-migrate.log"
            process = LeashedProcess(airflow("db", "migrate"), log=log, env=self.environment(), cwd=self.home)
            run(process, stopping=self._stopping, timeout_s=300, what="airflow db migrate", log=log)
            connection.execute(sql.SQL("COMMENT ON DATABASE airflow IS {}").format(wanted))


def airflow(*arguments: str) -> list[str]:
    """Return the command line of this environment's `airflow` program."""
    return [str(Path(sys.executable).with_name("airflow")), *arguments]


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


class AirflowPart(Part):
    """One process of Airflow."""

    needs = ("postgres",)
    stop_signal = signal.SIGINT  # on SIGTERM some of the processes leave children running
    ready_timeout_s = 180.0
    arguments: tuple[str, ...]

    def __init__(self, state: State, stopping: threading.Event, site: AirflowSite) -> None:
        super().__init__(state, stopping)
        self.site = site
        self.folder = site.home

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        return airflow(*self.arguments)

    def environment(self) -> dict[str, str]:
        """Return the environment that all four processes share."""
        return self.site.environment()

    def prepare(self) -> None:
        """Prepare the home folder, the password file and the metadata schema, which all four processes share."""
        self.site.prepare()


class ApiServer(AirflowPart):
    """The web page, the REST API, and the API that tasks report to."""

    name = "api-server"
    port_names = ("api-server",)
    arguments = ("api-server",)
    grace_s = 5.0  # an open connection of a browser would keep it running for longer

    def probe(self) -> bool:
        """Return whether the REST API answers."""
        return http_status(f"{self.site.url}/api/v2/version") == 200


class JobPart(AirflowPart):
    """A process that reports its heartbeat in the metadata database."""

    job_type: str

    def start(self) -> None:
        """Start the process, and remember when."""
        self._started_at = datetime.now(UTC)
        super().start()

    def probe(self) -> bool:
        """Return whether the database has a running job of this process."""
        import psycopg

        query = "SELECT 1 FROM job WHERE job_type = %s AND start_date >= %s AND state = 'running' LIMIT 1"
        try:
            with psycopg.connect(self.site.postgres.conninfo("airflow")) as connection:
                return connection.execute(query, (self.job_type, self._started_at)).fetchone() is not None
        except psycopg.OperationalError:
            return False


class Scheduler(JobPart):
    """The scheduler with the LocalExecutor."""

    name = "scheduler"
    job_type = "SchedulerJob"
    # Its log server would listen on every interface; the API server reads the files instead.
    arguments = ("scheduler", "--skip-serve-logs")
    grace_s = 6.0  # it would wait until running tasks have ended


class DagProcessor(JobPart):
    """The process that parses DAG files and runs DAG-level callbacks."""

    name = "dag-processor"
    job_type = "DagProcessorJob"
    arguments = ("dag-processor",)


class Triggerer(JobPart):
    """The process that runs deferred tasks and deadline callbacks."""

    name = "triggerer"
    job_type = "TriggererJob"
    arguments = ("triggerer", "--skip-serve-logs")
    grace_s = 3.0  # it may wait for ever for a trigger process that no longer answers


def airflow_parts(site: AirflowSite, state: State, stopping: threading.Event) -> list[AirflowPart]:
    """Make the four processes."""
    return [kind(state, stopping, site) for kind in (ApiServer, Scheduler, DagProcessor, Triggerer)]
