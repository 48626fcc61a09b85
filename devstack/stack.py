"""The supervisor starts the parts, keeps them running, and leaves no process behind."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from devstack.airflow_api import AirflowAPI
from devstack.connections import (
    Connections,
    airflow_connections,
    clickhouse_connections,
    connection_variables,
    feishu_app_connections,
    feishu_webhook_connections,
    postgres_connections,
    seaweedfs_connections,
)
from devstack.keeper import Keeper
from devstack.parts.airflow import ADMIN, AirflowSite, airflow_parts
from devstack.parts.base import Part
from devstack.parts.clickhouse import ClickHouseFront
from devstack.parts.feishu import FeishuSandbox
from devstack.parts.postgres import PostgreSQL
from devstack.parts.seaweedfs import SeaweedFS
from devstack.process_table import clean_up_leftovers
from devstack.state import StackError, State, write_private

ENVIRONMENT = "environment.json"
ALL_PARTS = ("postgres", "seaweedfs", "clickhouse", "feishu")


class Stack:
    """The embedded stack as a context manager.

    Args:
        state: folder that keeps everything; a later start with it continues where this one ended.
        airflow: start Airflow too.
        parts: the other parts to start; Airflow needs `postgres`.
        heartbeat_timeout_s: seconds after which Airflow takes a task without heartbeat for dead.
        parallelism: number of Airflow tasks that may run at the same time.
        settings: settings file for MINDGUARD_SETTINGS; None leaves the repository's.
        dag_folders: more folders of DAGs for Airflow.
        kafka: the connection `mindguard_kafka`, to a broker that the caller keeps; see KafkaBroker.
        feishu_app: send alerts through an app's bot, which can change its cards, instead of a custom bot's webhook.
        durable: PostgreSQL's data outlive a crash of the machine; without, which is quicker, only one of the server.
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
        durable: bool = True,
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
        self._durable = durable
        self._quiet = quiet
        self._stopping = threading.Event()
        self._publishing = threading.Lock()

    def __enter__(self) -> Stack:
        try:
            self.state.open()
            clean_up_leftovers(self.state)
            self.postgres = PostgreSQL(self.state, self._stopping, durable=self._durable)
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
        """Start Airflow in a stack that runs without it; do nothing when Airflow was started already.

        Args:
            wait: wait until it is ready.
        """
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
        keepers = [self._keeper(part) for part in parts]
        self.keepers |= {keeper.part.name: keeper for keeper in keepers}
        for keeper in keepers:
            keeper.start()

    def _keeper(self, part: Part) -> Keeper:
        def needs_are_ready() -> bool:
            return all(self.keepers[name].ready.is_set() for name in part.needs)

        def given_up(error: StackError) -> None:
            if self.started:  # before that, `wait_ready` raises the error
                self.say(str(error))

        return Keeper(part, may_start=needs_are_ready, on_change=self.publish, on_give_up=given_up, say=self.say)

    def wait_ready(self, names: Iterable[str] = ()) -> None:
        """Wait until parts serve.

        Args:
            names: the parts to wait for; all by default.

        Raises:
            StackError: one part of the stack has been given up.
        """
        waited_for = [self.keepers[name] for name in names] or list(self.keepers.values())
        while not all(keeper.ready.is_set() for keeper in waited_for):
            for keeper in self.keepers.values():
                if keeper.error:
                    raise keeper.error
            self._stopping.wait(0.05)
        self.started = True

    def stop(self) -> None:
        """Stop every part, Airflow first, so that no process is left. A second call does no harm."""
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
        """Send SIGKILL to a part and all its descendants, as in a crash; the part is started again, however often."""
        keeper = self.keepers[part_name]
        keeper.ready.clear()
        if keeper.part.process:
            keeper.killed_on_purpose = True
            keeper.part.process.kill()

    @contextmanager
    def down(self, part_name: str) -> Iterator[None]:
        """Keep a part down for the length of the block, and wait until it is ready again.

        The part is killed at the beginning, and restarted only after the block.
        """
        keeper = self.keepers[part_name]
        keeper.may_run.clear()
        try:
            self.kill(part_name)
            yield
        finally:
            keeper.may_run.set()
        self.wait_ready()

    def say(self, line: str) -> None:
        """Print one line for the person at the terminal, unless the stack is quiet."""
        if not self._quiet:
            print(f"devstack: {line}", file=sys.stderr, flush=True)

    def publish(self) -> None:
        """Write the process table for `devstack status`."""
        with self._publishing:
            keepers = list(self.keepers.values())  # none if the stack was interrupted before it had parts
            self.state.write_status([keeper.row() for keeper in keepers], self.urls() if keepers else {})

    def postgres_conninfo(self, role: str, database: str | None = None) -> str:
        """Return a connection string of libpq, with the password; see `PostgreSQL.conninfo` and its `roles`."""
        return self.postgres.conninfo(role, database)

    def connections(self) -> Connections:
        """Return the Airflow connections to the parts that were started."""
        feishu = feishu_app_connections if self._feishu_app else feishu_webhook_connections
        known: dict[str, Callable[[], Connections]] = {
            "postgres": lambda: postgres_connections(self.postgres),
            "clickhouse": lambda: clickhouse_connections(self.clickhouse),
            "seaweedfs": lambda: seaweedfs_connections(self.seaweedfs),
            "feishu": lambda: feishu(self.feishu),
        }
        connections = {name: value for part in self._names for name, value in known[part]().items()}
        if self._kafka:
            connections["mindguard_kafka"] = self._kafka
        if self.site:
            connections |= airflow_connections(self.site, metrics_password=self.state.secret("metrics"))
        return connections

    def environment(self) -> dict[str, str]:
        """Return the variables to merge over those of child processes: AIRFLOW_CONN_*, AIRFLOW*, MINDGUARD_*."""
        if self.site:
            return self.site.variables()
        settings = self._airflow_options["settings"]
        own = {"MINDGUARD_SETTINGS": str(settings.resolve())} if settings else {}
        return connection_variables(self.connections()) | own

    def _publish_environment(self) -> None:
        """Write the file for `devstack exec`; it holds passwords, so only its owner may read it."""
        write_private(self.state.folder / ENVIRONMENT, json.dumps(self.environment(), indent=1))

    def urls(self) -> dict[str, str]:
        """Return the pages for people, and the S3 endpoint, by title."""
        urls = {"Feishu sandbox": self.feishu.url} if "feishu" in self._names else {}
        if "seaweedfs" in self._names:
            urls["S3"] = self.seaweedfs.endpoint
        return urls | ({"Airflow": self.site.url} if self.site else {})

    def airflow_api(self) -> AirflowAPI:
        """Return a logged-in client of Airflow's REST API.

        Raises:
            StackError: the stack runs without Airflow.
        """
        if not self.site:
            raise StackError("this stack runs without Airflow")
        return AirflowAPI(self.site.url, ADMIN, self.site.password)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore an impatient second Ctrl-C: stopping takes seconds, and a stack that is half stopped is worse."""
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
