"""Programs that tests start as processes of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from devstack.parts.base import ROOT
from devstack.stack import Stack

MINDGUARD = (sys.executable, "-c", "from mindguard.cli import main; main()")
"""The words that start the `mindguard` command from this checkout, with `plain_environment()`."""


def plain_environment() -> dict[str, str]:
    """Return this process's environment without any setting of Airflow or MindGuard, for programs of this checkout."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "MINDGUARD"))}
    return plain | {"PYTHONPATH": os.pathsep.join(sys.path)}


def foreign_environment() -> dict[str, str]:
    """Return the same for programs of another installation, which must not find this checkout's modules."""
    plain = {key: value for key, value in plain_environment().items() if key != "VIRTUAL_ENV"}
    clock = [path for path in sys.path if Path(path).name == "moved_clock"]  # of tools/test_days.py
    return plain | {"PYTHONPATH": os.pathsep.join(clock)}


def mindguard(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the `mindguard` command and wait for its end, whatever its exit status."""
    return subprocess.run([*MINDGUARD, *arguments], env=environment, capture_output=True, text=True, check=False)


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clone(folder: Path) -> Path:
    """Make a folder with what `git clone` would give, and what is not committed yet. Return the folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def listening(stack: Stack) -> set[str]:
    """Return the addresses that the stack listens on; a process that ends meanwhile, as PostgreSQL's do, has none."""
    addresses = set()
    for process in [process for keeper in stack.keepers.values() for process in keeper.part.process.tree()]:
        with suppress(psutil.NoSuchProcess):
            found = process.net_connections("inet")
            addresses |= {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN}
    return addresses


@contextmanager
def running(command: Sequence[str | Path], environment: dict[str, str], *, cwd: Path, log: Path) -> Iterator[int]:
    """Run a program with its children for the length of the block, and yield its process id."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=output, stderr=output)
    try:
        yield process.pid
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        for each in psutil.wait_procs(family, timeout=5)[1]:
            each.kill()
