"""The keeper of one part starts it, watches it, and starts it again when it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from devstack.parts.base import Part
from devstack.process import Stopped, describe_exit
from devstack.state import StackError, identity

MAX_RESTARTS = 5
RESTART_WINDOW_S = 120.0
POLL_S = 0.2


class Keeper(threading.Thread):
    """Starts one part, and starts it again when it dies.

    Args:
        part: the part to keep running.
        may_start: tells whether everything that the part needs is ready.
        on_change: called after each change of `status`.
        on_give_up: called with the reason when the part will not be started again.
        say: prints one line for the person at the terminal.
    """

    def __init__(
        self,
        part: Part,
        *,
        may_start: Callable[[], bool],
        on_change: Callable[[], None],
        on_give_up: Callable[[StackError], None],
        say: Callable[[str], None],
    ) -> None:
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
        self._may_start = may_start
        self._on_change = on_change
        self._on_give_up = on_give_up
        self._say = say
        self._deaths: list[float] = []

    def run(self) -> None:
        """Keep the part running until the stack stops or the restarts are used up."""
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
        """Start the part until it is ready; a failure of the very first start is final."""
        while True:
            try:
                self._start_once()
                return
            except Stopped:
                raise
            except Exception as error:  # any failure must reach the person who waits for the stack
                line = " ".join(str(error).split())
                if not isinstance(error, StackError):
                    line = f"{self.part.name}: {type(error).__name__}: {line}"
                if not self.restarts:
                    raise StackError(line) from error
                self.part.stop()
                self._after_death(line)

    def _start_once(self) -> None:
        self._pause(0)  # a stop does not wait for a thread that had not begun, so such a thread must do nothing
        self._set("waiting")
        while not self._may_start():
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
            self._say(f"{self.part.name} ready after {time.time() - self.started_at:.1f} s")

    def _watch(self) -> int:
        """Wait for the death of the process, and return its exit status."""
        assert self.part.process
        while (code := self.part.process.exit_code()) is None:
            self._pause(POLL_S)
        return code

    def _after_death(self, what: str) -> None:
        """Announce the death and wait a little before the restart.

        Raises:
            StackError: there were too many deaths; the part is given up.
        """
        self.ready.clear()
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < RESTART_WINDOW_S]
        if not self.killed_on_purpose:
            self._deaths.append(now)
        self.killed_on_purpose = False
        if len(self._deaths) > MAX_RESTARTS:
            raise StackError(f"{what} {len(self._deaths)} times in a row, giving up; log {self.part.log}")
        delay_s = 0.2 * 2 ** max(0, len(self._deaths) - 1)
        self._say(f"{what}, restarting in {delay_s:.1f} s")
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
        self._on_change()

    def _give_up(self, error: StackError) -> None:
        self.error = error
        self._set("failed")
        self._on_give_up(error)

    def row(self) -> dict[str, Any]:
        """Return this part's line in the process table."""
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
