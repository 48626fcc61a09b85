"""Child processes on a leash (see `leash.py`), with their output in a log file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil

from devstack.state import StackError

LOG_LIMIT_BYTES = 16 << 20


class Stopped(Exception):
    """The stack is being stopped: code that waits for something raises this and gives up."""


class LeashedProcess:
    """One program and everything that it starts.

    Args:
        command: argument list.
        log: file that gets standard output and error.
        env: the whole environment.
        cwd: working folder.
        user: system user to become; None keeps the user.
        stop_signal: the signal that asks the program to end.
        grace_s: seconds after that signal until what is left is killed.
    """

    def __init__(
        self,
        command: list[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGINT,
        grace_s: float = 10.0,
    ) -> None:
        leash = [sys.executable, "-I", "-S", str(Path(__file__).with_name("leash.py"))]
        facts = [str(os.getpid()), str(grace_s), str(int(stop_signal)), user or "-", "--"]
        self._grace_s = grace_s
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                leash + facts + command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor alone
            )
        self.pid = self._popen.pid

    def exit_code(self) -> int | None:
        """Return the exit status: None while the program runs, 128 + n after signal n."""
        return self._popen.poll()

    def request_stop(self) -> None:
        """Ask the program to end, and return at once."""
        if self._popen.poll() is None:
            self._popen.terminate()

    def stop(self) -> None:
        """Ask the program to end, and wait until no process of it is left."""
        self.request_stop()
        try:
            self._popen.wait(self._grace_s + 5)
        except subprocess.TimeoutExpired:
            self.kill()
            self._popen.kill()
            self._popen.wait()

    def kill(self) -> None:
        """Send SIGKILL to the program and all its descendants, as in a crash; the leash reports it."""
        for process in self.tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def tree(self) -> list[psutil.Process]:
        """Return the program and its descendants, without the leash."""
        return descendants(self.pid)


def descendants(leash: int) -> list[psutil.Process]:
    """Return every process below a leash; none when the leash has ended."""
    try:
        return list(psutil.Process(leash).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def run(process: LeashedProcess, *, stopping: threading.Event, timeout_s: float, what: str, log: Path) -> None:
    """Wait for a program that should end by itself.

    Args:
        process: the program.
        stopping: set when the stack stops; the program is then stopped too.
        timeout_s: seconds that it may take.
        what: name of the program in errors.
        log: its log, whose end errors show.

    Raises:
        StackError: it failed or took too long.
        Stopped: the stack is being stopped.
    """
    waited = 0.0
    while (code := process.exit_code()) is None:
        if stopping.wait(0.05):
            process.stop()
            raise Stopped
        waited += 0.05
        if waited > timeout_s:
            process.stop()
            raise StackError(f"{what} took longer than {timeout_s:.0f} s; {last_lines(log)}")
    if code != 0:
        raise StackError(f"{what} failed ({describe_exit(code)}); {last_lines(log)}")


def describe_exit(code: int) -> str:
    """Describe an exit status in words."""
    if code > 128:
        try:
            return signal.Signals(code - 128).name
        except ValueError:
            pass
    return f"exit status {code}"


def last_lines(log: Path, lines: int = 3) -> str:
    """Return the end of a log in one line, with the file's name."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    tail = " | ".join(line.strip() for line in text.splitlines() if line.strip()).split(" | ")[-lines:]
    return f"log {log} ends: {' | '.join(tail)[-600:] or '(empty)'}"


def rotate(log: Path) -> None:
    """Rename a log that is larger than `LOG_LIMIT_BYTES`; one older generation is kept."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
