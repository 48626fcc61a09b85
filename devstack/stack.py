"""The supervisor: starts the parts, keeps them running, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import psutil

from devstack.airflow_api import AirflowAPI
from devstack.parts.airflow import ADMIN, SWEEPER, AirflowSite, airflow_parts
from devstack.parts.base import Part
from devstack.parts.clickhouse import ClickHouseFront
from devstack.parts.feishu import FeishuSandbox
from devstack.parts.postgres import PostgreSQL
from devstack.parts.seaweedfs import REGION, SeaweedFS
from devstack.process import Stopped, descendants, describe_exit
from devstack.state import StackError, State, find_process, identity, write_private

MAX_RESTARTS = 5
RESTART_WINDOW_S = 120.0
POLL_S = 0.2
ENVIRONMENT = "environment.json"
ALL_PARTS = ("postgres", "seaweedfs", "clickhouse", "feishu")


class Keeper(threading.Thread):
    """Starts one part and starts it again when it dies."""

    def __init__(self, part: Part, stack: Stack) -> None:
        super().__init__(name=f"keep-{part.name}", daemon=True)
        self.part = part
        self.status = "waiting"
        self.started_at: float | None = None  # seconds since the epoch
        self.restarts = 0
        self.error: StackError | None = None
        self.ready = threading.Event()
        self.killed_on_purpose = False
        self.may_run = threading.Event()
        self.may_run.set()
        self._stack = stack
        self._deaths: list[float] = []

    def run(self) -> None:
        """Until the stack stops or the part is given up."""
        try:
            while True:
                self._start()
                code = self._watch()
                self._after_death(f"{self.part.name} died ({describe_exit(code)})")
        except Stopped:
            pass
        except StackError as error:
            self._give_up(error)

    def _start(self) -> None:
        """Start the part until it is ready; only the first start may not fail."""
        while True:
            try:
                self._start_once()
                return
            except Stopped:
                raise
            except Exception as error:  # whatever it is must reach the person who waits for the stack
                line = " ".join(str(error).split())
                if not isinstance(error, StackError):
                    line = f"{self.part.name}: {type(error).__name__}: {line}"
                if not self.restarts:
                    raise StackError(line) from error
                self.part.stop()
                self._after_death(line)

    def _start_once(self) -> None:
        self._set("waiting")
        while not all(self._stack.keepers[name].ready.is_set() for name in self.part.needs):
            self._pause(0.05)
        self._set("starting")
        self.part.prepare()
        self._pause(0)
        self.part.start()
        self.started_at = time.time()
        self._set("starting")
        self.part.wait_ready()
        self.ready.set()
        self._set("ready")
        if not self.restarts:
            self._stack.say(f"{self.part.name} ready after {time.time() - self.started_at:.1f} s")

    def _watch(self) -> int:
        """Wait for the death of the process; gives its exit status."""
        assert self.part.process
        while (code := self.part.process.exit_code()) is None:
            self._pause(POLL_S)
        return code

    def _after_death(self, what: str) -> None:
        """Say it and wait a little, or give up."""
        self.ready.clear()
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < RESTART_WINDOW_S]
        if not self.killed_on_purpose:
            self._deaths.append(now)
        self.killed_on_purpose = False
        if len(self._deaths) > MAX_RESTARTS:
            raise StackError(f"{what} {len(self._deaths)} times in a row, giving up; log {self.part.log}")
        delay_s = 0.2 * 2 ** max(0, len(self._deaths) - 1)
        self._stack.say(f"{what}, restarting in {delay_s:.1f} s")
        self.restarts += 1
        self._set("restarting")
        self._pause(delay_s)
        while not self.may_run.is_set():
            self._pause(0.05)

    def _pause(self, seconds: float) -> None:
        if self.part.stopping.wait(seconds):
            raise Stopped

    def _set(self, status: str) -> None:
        self.status = status
        self._stack.publish()

    def _give_up(self, error: StackError) -> None:
        self.error = error
        self._set("failed")
        if self._stack.started:
            self._stack.say(str(error))

    def row(self) -> dict[str, Any]:
        """This part's line in the process table."""
        process = self.part.process
        try:
            leash = identity(process.pid) if process and process.exit_code() is None else {}
        except psutil.NoSuchProcess:
            leash = {}
        return {
            "part": self.part.name,
            "leash": leash,
            "folder": str(self.part.folder),
            "port": self.part.port,
            "state": self.status,
            "started_at": self.started_at,
            "restarts": self.restarts,
            "log": str(self.part.log),
        }


class Stack:
    """The embedded stack as a context manager.

    Args:
        state: folder that keeps everything; another start with it goes on where this one ended.
        airflow: start Airflow too.
        parts: the other parts to start; Airflow needs `postgres`.
        heartbeat_timeout_s: seconds until Airflow takes a task without heartbeat for dead.
        parallelism: Airflow tasks at once.
        settings: settings file for MINDGUARD_SETTINGS; default: the repository's.
        dag_folders: more DAGs for Airflow.
        kafka: the connection `mindguard_kafka` to a broker that somebody else keeps; see KafkaBroker.
        feishu_app: alerts go through an app's bot, which can change its cards, instead of a custom bot's webhook.
        quiet: do not print restarts and progress.

    Raises:
        StackError: on entering, when a part does not start or another supervisor uses the folder.
    """

    def __init__(
        self,
        state: Path,
        *,
        airflow: bool = True,
        parts: Sequence[str] = ALL_PARTS,
        heartbeat_timeout_s: int = 300,
        parallelism: int = 4,
        settings: Path | None = None,
        dag_folders: Sequence[Path] = (),
        kafka: dict[str, Any] | None = None,
        feishu_app: bool = False,
        quiet: bool = False,
    ) -> None:
        self.state = State(state)
        self.keepers: dict[str, Keeper] = {}
        self.started = False
        self._with_airflow = airflow
        self._names = parts
        self._airflow_options: dict[str, Any] = {
            "heartbeat_timeout_s": heartbeat_timeout_s,
            "parallelism": parallelism,
            "settings": settings,
            "dag_folders": dag_folders,
        }
        self.site: AirflowSite | None = None
        self._kafka = kafka
        self._feishu_app = feishu_app
        self._quiet = quiet
        self._stopping = threading.Event()
        self._publishing = threading.Lock()

    def __enter__(self) -> Stack:
        try:
            self.state.open()
            clean_up_leftovers(self.state)
            self.postgres = PostgreSQL(self.state, self._stopping)
            self.seaweedfs = SeaweedFS(self.state, self._stopping)
            self.clickhouse = ClickHouseFront(self.state, self._stopping)
            self.feishu = FeishuSandbox(self.state, self._stopping)
            everything = (self.postgres, self.seaweedfs, self.clickhouse, self.feishu)
            self._start([part for part in everything if part.name in self._names])
            self._publish_environment()
            if self._with_airflow:
                self.start_airflow(wait=False)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_airflow(self, *, wait: bool = True) -> None:
        """Start Airflow in a stack that runs without it; no effect when it is there."""
        if not self.site:
            self.site = AirflowSite(
                self.state,
                self._stopping,
                postgres=self.postgres,
                connections=lambda: connection_variables(self.connections()),
                **self._airflow_options,
            )
            self._start(airflow_parts(self.site, self.state, self._stopping))
            self._publish_environment()
        if wait:
            self.wait_ready()

    def _start(self, parts: Sequence[Part]) -> None:
        self.state.allocate_ports(tuple(name for part in parts for name in part.port_names))
        keepers = [Keeper(part, self) for part in parts]
        self.keepers |= {keeper.part.name: keeper for keeper in keepers}
        for keeper in keepers:
            keeper.start()

    def wait_ready(self, names: Iterable[str] = ()) -> None:
        """Wait until the named parts (default: all) serve.

        Raises:
            StackError: one of them has been given up.
        """
        waited_for = [self.keepers[name] for name in names] or list(self.keepers.values())
        while not all(keeper.ready.is_set() for keeper in waited_for):
            for keeper in self.keepers.values():
                if keeper.error:
                    raise keeper.error
            self._stopping.wait(0.05)
        self.started = True

    def stop(self) -> None:
        """End every part, Airflow first; nothing is left afterwards. May be called twice."""
        with _undisturbed():
            self._stopping.set()
            keepers = list(self.keepers.values())
            for keeper in keepers:
                if keeper.is_alive():
                    keeper.join()
            dependents = [keeper.part for keeper in keepers if keeper.part.needs]
            for group in (dependents, [keeper.part for keeper in keepers if not keeper.part.needs]):
                for part in group:
                    part.request_stop()
                for part in group:
                    part.stop()
            for keeper in keepers:
                keeper.status = "failed" if keeper.error else "stopped"
            if self.state.is_open:
                self.publish()
                self.state.close()

    def kill(self, part_name: str) -> None:
        """SIGKILL to a part and all its descendants, as a crash; it is started again, however often."""
        keeper = self.keepers[part_name]
        keeper.ready.clear()
        if keeper.part.process:
            keeper.killed_on_purpose = True
            keeper.part.process.kill()

    @contextmanager
    def down(self, part_name: str) -> Iterator[None]:
        """An outage: the part is killed, and comes back only after the block. Waits until it is ready again."""
        keeper = self.keepers[part_name]
        keeper.may_run.clear()
        try:
            self.kill(part_name)
            yield
        finally:
            keeper.may_run.set()
        self.wait_ready()

    def say(self, line: str) -> None:
        """One line for the person at the terminal."""
        if not self._quiet:
            print(f"devstack: {line}", file=sys.stderr, flush=True)

    def publish(self) -> None:
        """Write the process table for `devstack status`."""
        with self._publishing:
            self.state.write_status([keeper.row() for keeper in list(self.keepers.values())])

    def postgres_conninfo(self, role: str, database: str | None = None) -> str:
        """libpq connection string with password; see `PostgreSQL.conninfo` and its `roles`."""
        return self.postgres.conninfo(role, database)

    def connections(self) -> dict[str, dict[str, Any]]:
        """The Airflow connections to the parts that were started, by connection id."""
        known = {
            "postgres": self._postgres_connections,
            "clickhouse": self._clickhouse_connections,
            "seaweedfs": self._seaweedfs_connections,
            "feishu": self._feishu_connections,
        }
        connections = {name: value for part in self._names for name, value in known[part]().items()}
        if self._kafka:
            connections["mindguard_kafka"] = self._kafka
        return connections | (self._airflow_connection() if self.site else {})

    def _airflow_connection(self) -> dict[str, dict[str, Any]]:
        assert self.site
        url = urlsplit(self.site.url)
        login = {"login": SWEEPER, "password": self.site.password_of(SWEEPER)}
        return {
            "mindguard_airflow": {
                "conn_type": "http",
                "host": url.hostname,
                "port": url.port,
                "schema": url.scheme,
                **login,
            },
            "mindguard_metrics": {"conn_type": "generic", "password": self.state.secret("metrics")},
        }

    def _postgres_connections(self) -> dict[str, dict[str, Any]]:
        roles = {
            "app": "mindguard_reader",
            "restore": "mindguard_app_owner",
            "ops": "mindguard_ops",
            "drill": "mindguard_drill",
        }
        return {
            f"mindguard_{name}": {
                "conn_type": "postgres",
                "host": "127.0.0.1",
                "port": self.postgres.port,
                "login": role,
                "password": self.postgres.password(role),
                "schema": self.postgres.home_database(role),
            }
            for name, role in roles.items()
        }

    def _clickhouse_connections(self) -> dict[str, dict[str, Any]]:
        value = {
            "conn_type": "clickhouse",
            "host": "127.0.0.1",
            "port": self.clickhouse.port,
            "login": self.clickhouse.login,
            "password": self.clickhouse.password,
            "schema": "default",
        }
        return {"mindguard_events": value}

    def _seaweedfs_connections(self) -> dict[str, dict[str, Any]]:
        extra = {
            "endpoint_url": self.seaweedfs.endpoint,
            "region_name": REGION,
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        }
        keys = {"login": self.seaweedfs.access_key, "password": self.seaweedfs.secret_key}
        return {"mindguard_backup": {"conn_type": "aws", **keys, "extra": extra}}

    def _feishu_connections(self) -> dict[str, dict[str, Any]]:
        value: dict[str, Any] = {"conn_type": "feishu"}
        if self._feishu_app:
            keys = {"login": self.feishu.app_id, "password": self.feishu.app_secret}
            value |= {"host": self.feishu.url, **keys, "extra": {"chat_id": self.feishu.chat_id}}
        else:
            value |= {"host": f"{self.feishu.url}/open-apis/bot/v2/hook/", "password": self.feishu.token}
            value |= {"extra": {"secret": self.feishu.secret}}
        return {"mindguard_feishu": value}

    def environment(self) -> dict[str, str]:
        """Variables for child processes, to be laid over theirs: AIRFLOW_CONN_*, AIRFLOW*, MINDGUARD_*."""
        if self.site:
            return self.site.variables()
        settings = self._airflow_options["settings"]
        own = {"MINDGUARD_SETTINGS": str(settings.resolve())} if settings else {}
        return connection_variables(self.connections()) | own

    def _publish_environment(self) -> None:
        """For `devstack exec`; the file holds passwords, so it is for its owner alone."""
        write_private(self.state.folder / ENVIRONMENT, json.dumps(self.environment(), indent=1))

    def urls(self) -> dict[str, str]:
        """Pages for people, and the S3 endpoint."""
        urls = {"Feishu sandbox": self.feishu.url} if "feishu" in self._names else {}
        if "seaweedfs" in self._names:
            urls["S3"] = self.seaweedfs.endpoint
        return urls | ({"Airflow": self.site.url} if self.site else {})

    def airflow_api(self) -> AirflowAPI:
        """A logged-in client of Airflow's REST API.

        Raises:
            StackError: the stack runs without Airflow.
        """
        if not self.site:
            raise StackError("this stack runs without Airflow")
        return AirflowAPI(self.site.url, ADMIN, self.site.password)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore an impatient second Ctrl-C; stopping takes seconds, and half stopped is worse."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)


def connection_variables(connections: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Airflow's environment variables for connections, in its JSON form."""
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}


def clean_up_leftovers(state: State) -> None:
    """Kill what a crashed supervisor left: processes in a session of ours that work in this state folder."""
    leashes = [row["leash"] for row in state.read_status().get("parts", []) if row["leash"]]
    sessions = {leash["pid"]: leash["created"] for leash in leashes}
    for process in psutil.process_iter():
        try:
            created = sessions.get(os.getsid(process.pid))
            if created is None or process.create_time() < created - 1:
                continue
            if Path(process.cwd()).is_relative_to(state.folder):
                process.kill()
                process.wait(5)
        except (psutil.Error, OSError):
            continue


def process_table(state: State) -> list[dict[str, Any]]:
    """Rows of `devstack status`, measured now; the keys are in `_measure`."""
    published = state.read_status()
    alive = find_process(published.get("supervisor", {})) is not None
    return [_measure(row, alive) for row in published.get("parts", [])]


def _measure(row: dict[str, Any], supervised: bool) -> dict[str, Any]:
    leash = find_process(row["leash"])
    members = descendants(leash.pid) if leash else []
    rss, pss = _memory([leash, *members] if leash else [])
    state = row["state"]
    if not supervised or (state in {"starting", "ready"} and not leash):
        state = "failed" if state == "failed" else "stopped"
    return {
        "part": row["part"],
        "pid": members[0].pid if members else None,
        "port": row["port"],
        "state": state,
        "uptime_s": round(time.time() - row["started_at"], 1) if leash and row["started_at"] else None,
        "rss_mb": round(rss / 1e6, 1),
        "pss_mb": round(pss / 1e6, 1),
        "processes": len(members),
        "restarts": row["restarts"],
        "log": row["log"],
    }


def _memory(processes: Iterable[psutil.Process]) -> tuple[int, int]:
    """Bytes of resident memory: the plain sum, and with pages that processes share counted once."""
    rss = pss = 0
    for process in processes:
        try:
            plain = process.memory_info().rss
            rss += plain
            pss += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            pss += plain
    return rss, pss
