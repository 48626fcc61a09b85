"""The state folder: generated secrets, remembered ports, logs, the lock and the status file."""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import psutil

from devstack.clean import MARK

# The range is below the kernel's ephemeral one (32768 and up on Linux), so that no outgoing connection takes a
# part's port while the part is restarting.
PORT_RANGE = range(20_000, 32_000)


class StackError(Exception):
    """The stack cannot do what was asked; the text is one line for a person."""


class State:
    """One state folder. Only its supervisor writes; everybody on the machine may read the status.

    Args:
        folder: created when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self._lock: TextIO | None = None
        self._writing = threading.Lock()  # parts start at the same time
        self.secrets: dict[str, str] = {}
        self.ports: dict[str, int] = {}

    def open(self) -> None:
        """Take the lock and read the files that earlier runs left.

        Raises:
            StackError: another supervisor uses this folder.
        """
        self._mark()
        self.logs.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            holder = self.read_status().get("supervisor", {}).get("pid", "unknown")
            raise StackError(f"{self.folder} is in use by another supervisor (pid {holder})") from None
        self.secrets = _read_json(self.folder / "secrets.json")
        self.ports = _read_json(self.folder / "stack.json").get("ports", {})

    def _mark(self) -> None:
        """Let `make clean` remove the folder, unless it held anything of somebody else."""
        self.folder.mkdir(parents=True, exist_ok=True)
        held = {path.name for path in self.folder.iterdir()} - {"servers"}  # what `make servers` fetched
        if not held or {"lock", "stack.json", "secrets.json"} <= held:
            (self.folder / MARK).touch()

    def close(self) -> None:
        """Release the lock."""
        if self._lock:
            self._lock.close()
            self._lock = None

    @property
    def is_open(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def secret(self, name: str, *, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
        """Return the generated secret of this name.

        Args:
            name: the name it is kept under, in a file with mode 0600.
            make: generates the secret on first use.
        """
        with self._writing:
            if name not in self.secrets:
                self.secrets[name] = make()
                write_private(self.folder / "secrets.json", json.dumps(self.secrets, indent=1))
            return self.secrets[name]

    def allocate_ports(self, names: tuple[str, ...]) -> None:
        """Give every name a free loopback port: the remembered one, or another one if that is taken.

        Raises:
            StackError: no port is free.
        """
        for name in names:
            port = self.ports.get(name)
            if port is None or not is_free(port):
                self.ports[name] = self._free_port()
        _replace(self.folder / "stack.json", json.dumps({"ports": self.ports}, indent=1))

    def _free_port(self) -> int:
        taken = set(self.ports.values())
        for port in random.sample(PORT_RANGE, 500):
            if port not in taken and is_free(port):
                return port
        raise StackError(f"no free port on 127.0.0.1 between {PORT_RANGE.start} and {PORT_RANGE.stop}")

    def write_status(self, parts: list[dict[str, Any]], urls: dict[str, str]) -> None:
        """Publish the process table and the addresses for `devstack status`."""
        status = {"supervisor": identity(os.getpid()), "parts": parts, "urls": urls}
        _replace(self.folder / "status.json", json.dumps(status))

    def read_status(self) -> dict[str, Any]:
        """Read the status that the last supervisor published; empty when there was none."""
        return _read_json(self.folder / "status.json")


def identity(pid: int) -> dict[str, Any]:
    """Identify a process by pid and start time (seconds since the epoch), since pids are reused."""
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def find_process(known: dict[str, Any]) -> psutil.Process | None:
    """Find the process of an `identity`; None when it has ended."""
    try:
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["created"]) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, KeyError, TypeError):
        return None


def is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # Servers set this option too: connections in TIME_WAIT then do not count, listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    _replace(path, text, mode=0o600)


def _replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    new.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise StackError(f"{path} is damaged; delete {path.parent} to start afresh") from None
    return content if isinstance(content, dict) else {}
