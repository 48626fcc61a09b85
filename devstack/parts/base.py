"""The base of every part of the stack: its life from `prepare` to `stop`, its environment, and a probe over HTTP."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from devstack.process import LeashedProcess, Stopped, describe_exit, last_lines, rotate
from devstack.state import StackError, State, is_free

ROOT = Path(__file__).resolve().parents[2]


class Part:
    """One supervised process: `prepare`, `start`, `wait_ready`, `stop`.

    Args:
        state: keeps its data, port, secrets and log.
        stopping: set when the stack stops; every wait ends then.
    """

    name: str
    needs: tuple[str, ...] = ()
    port_names: tuple[str, ...] = ()
    stop_signal = signal.SIGTERM
    grace_s = 10.0
    ready_timeout_s = 60.0
    user: str | None = None

    def __init__(self, state: State, stopping: threading.Event) -> None:
        self.state = state
        self.stopping = stopping
        self.log = state.logs / f"{self.name}.log"
        self.folder = state.folder / self.name
        self.process: LeashedProcess | None = None

    @property
    def port(self) -> int | None:
        """The port that clients use."""
        return self.state.ports[self.port_names[0]] if self.port_names else None

    def command(self) -> list[str]:
        """Return the program and its arguments; they hold no secrets, since everybody can read them."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the program."""
        return base_environment()

    def prepare(self) -> None:
        """Make the files that must exist before the program starts; safe to repeat."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def probe(self) -> bool:
        """Return whether the part serves now; any OSError counts as no."""
        raise NotImplementedError

    def after_ready(self) -> None:
        """Do the work that needs the running program; safe to repeat."""

    def start(self) -> None:
        """Start the process.

        Raises:
            StackError: another program has taken the port.
            Stopped: the stack is being stopped.
        """
        if self.port is not None:
            # A program that answers here is not ours: the part's own process is not running.
            self._wait_for_free_port()
        self.process = self.leashed(self.command())

    def _wait_for_free_port(self) -> None:
        for _ in range(50):
            if is_free(self.port or 0):
                return
            if self.stopping.wait(0.1):
                raise Stopped
        raise StackError(f"{self.name}: port {self.port} on 127.0.0.1 is taken by another program")

    def leashed(self, command: list[str]) -> LeashedProcess:
        """Start a process of this part on a leash, with the part's log and environment."""
        rotate(self.log)
        return LeashedProcess(
            command,
            log=self.log,
            env=self.environment(),
            cwd=self.folder,
            user=self.user,
            stop_signal=self.stop_signal,
            grace_s=self.grace_s,
        )

    def wait_ready(self) -> None:
        """Wait until the part serves.

        Raises:
            StackError: it ended or took too long; the message shows the end of its log.
            Stopped: the stack is being stopped.
        """
        assert self.process
        deadline = time.monotonic() + self.ready_timeout_s
        while True:
            if (code := self.process.exit_code()) is not None:
                raise StackError(f"{self.name} ended while starting ({describe_exit(code)}); {last_lines(self.log)}")
            if self.is_serving():
                break
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {self.ready_timeout_s:.0f} s; {last_lines(self.log)}")
            if self.stopping.wait(0.1):
                raise Stopped
        self.after_ready()

    def request_stop(self) -> None:
        """Ask the process to end, and return at once."""
        if self.process:
            self.process.request_stop()

    def stop(self) -> None:
        """Stop the process; nothing of it is left afterwards."""
        if self.process:
            self.process.stop()

    def is_serving(self) -> bool:
        """Return whether the part serves now: `probe`, without its errors."""
        try:
            return self.probe()
        except OSError:
            return False


def base_environment() -> dict[str, str]:
    """Return this process's environment without the settings of another Airflow, and without a proxy for loopback."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    loopback = "127.0.0.1,localhost"
    no_usage_reports = {"DO_NOT_TRACK": "1", "SCARF_ANALYTICS": "false", "GX_ANALYTICS_ENABLED": "false"}
    return env | no_usage_reports | {"NO_PROXY": loopback, "no_proxy": loopback, "PYTHONUNBUFFERED": "1"}


def python_path() -> str:
    """Return the path of a Python program of this checkout: the checkout, then what this process was given.

    `make test-days` gives the programs of a moved day a module with it.
    """
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def http_status(url: str, timeout_s: float = 2.0) -> int:
    """Return the status of a GET on loopback, which bypasses any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_s) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
