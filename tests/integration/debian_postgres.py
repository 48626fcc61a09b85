"""Debian's own PostgreSQL, which is older than the embedded one and has ICU; tests skip where it is not installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.connections import answers
from tests.processes import free_port
from tests.waiting import wait_until

_VERSION = 15
PROGRAMS = Path(f"/usr/lib/postgresql/{_VERSION}/bin")


@contextmanager
def debian_postgres() -> Iterator[str]:
    """Start a server of its own; yield the superuser's connection string to its database `postgres`."""
    if not (PROGRAMS / "postgres").exists():
        pytest.skip(f"Debian's package postgresql-{_VERSION} is not installed")
    with _folder() as folder:
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        _run("initdb", "-D", folder / "data", *options)
        with _serving(folder) as conninfo:
            yield conninfo


@contextmanager
def standby_of(primary: str) -> Iterator[str]:
    """Start a hot standby of a server that `debian_postgres` has started; yield its connection string."""
    with _folder() as folder:
        replication = psycopg.conninfo.make_conninfo(primary, dbname="")
        _run("pg_basebackup", "-D", folder / "data", "-d", replication, "--write-recovery-conf", "--checkpoint=fast")
        with _serving(folder) as conninfo:
            yield conninfo


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mindguard-debian-"))
    try:
        if _user():
            shutil.chown(folder, _user())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """Return the user that the server runs as: PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def _run(program: str, *arguments: str | Path) -> None:
    subprocess.run([PROGRAMS / program, *arguments], user=_user(), cwd="/", check=True, capture_output=True)


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", folder / "data", *arguments], user=_user(), cwd="/", stdout=log, stderr=log
        )
    conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=5"
    try:
        wait_until(lambda: answers(conninfo), 60, lambda: (folder / "log").read_text("utf-8"))
        yield conninfo
    finally:
        server.send_signal(signal.SIGINT)  # a "fast" shutdown, which does not wait for clients
        server.wait(60)
