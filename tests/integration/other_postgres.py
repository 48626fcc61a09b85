"""PostgreSQL servers of other versions than the embedded one; tests skip where they are not installed.

Version 15 is Debian's package, which also has ICU and the client programs. The others are what `make servers` fetches.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.parts.base import ROOT
from devstack.parts.postgres import let_through, system_user
from tests.connections import answers
from tests.folders import engine_folder
from tests.processes import free_port
from tests.waiting import wait_until

DEBIAN = 15
DEBIAN_PROGRAMS = Path(f"/usr/lib/postgresql/{DEBIAN}/bin")
_FETCHED = ROOT / ".local/servers/node_modules"


@contextmanager
def other_postgres(version: int = DEBIAN) -> Iterator[str]:
    """Start a server of its own; yield the superuser's connection string to its database `postgres`."""
    programs = DEBIAN_PROGRAMS if version == DEBIAN else _FETCHED / f"postgresql-{version}/native/bin"
    if not (programs / "postgres").exists():
        how = f"Debian's package postgresql-{version}" if version == DEBIAN else "make servers"
        pytest.skip(f"PostgreSQL {version} is not installed ({how})")
    with _folder() as folder:
        if os.geteuid() == 0:
            let_through(programs)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        _run(programs / "initdb", "-D", folder / "data", *options)
        with _serving(programs, folder) as conninfo:
            yield conninfo


@contextmanager
def standby_of(primary: str) -> Iterator[str]:
    """Start a hot standby of Debian's server that `other_postgres` has started; yield its connection string."""
    with _folder() as folder:
        replication = psycopg.conninfo.make_conninfo(primary, dbname="")
        backup = DEBIAN_PROGRAMS / "pg_basebackup"
        _run(backup, "-D", folder / "data", "-d", replication, "--write-recovery-conf", "--checkpoint=fast")
        with _serving(DEBIAN_PROGRAMS, folder) as conninfo:
            yield conninfo


@contextmanager
def _folder() -> Iterator[Path]:
    with engine_folder("mindguard-other-") as folder:
        if _user():
            shutil.chown(folder, _user())
        yield folder


def _user() -> str | None:
    """Return the user that the server runs as: PostgreSQL refuses to run as root."""
    return system_user() if os.geteuid() == 0 else None


def _run(program: Path, *arguments: str | Path) -> None:
    subprocess.run([program, *arguments], user=_user(), cwd="/", check=True, capture_output=True)


@contextmanager
def _serving(programs: Path, folder: Path) -> Iterator[str]:
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *arguments], user=_user(), cwd="/", stdout=log, stderr=log
        )
    conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=5"
    try:
        wait_until(lambda: answers(conninfo), 60, lambda: (folder / "log").read_text("utf-8"))
        yield conninfo
    finally:
        server.send_signal(signal.SIGINT)  # a "fast" shutdown, which does not wait for clients
        server.wait(60)
