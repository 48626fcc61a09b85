"""PostgreSQL servers beside the stack's: of other versions, and of the embedded one to be stopped, copied or promoted.

Tests skip where a version is not installed. Version 15 is Debian's package, which also has ICU and the client programs.
The others are what `make servers` fetches.
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
from mindguard.snapshots.pgtools import tool
from tests.connections import answers
from tests.folders import engine_folder
from tests.processes import free_port
from tests.waiting import wait_until

DEBIAN = 15
DEBIAN_PROGRAMS = Path(f"/usr/lib/postgresql/{DEBIAN}/bin")
_FETCHED = ROOT / ".local/servers/node_modules"


class Cluster:
    """A data directory, and the programs of the version that it belongs to.

    Args:
        programs: folder of the programs.
        folder: an empty folder that belongs to the user that the server runs as.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self._folder = programs, folder
        self.data = folder / "data"

    def make(self) -> Cluster:
        """Make the database cluster, and return it."""
        if os.geteuid() == 0:
            let_through(self.programs)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self.run("initdb", "-D", self.data, *options)
        return self

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of the programs as the user that the server runs as."""
        subprocess.run([self.programs / program, *arguments], user=_user(), cwd="/", check=True, capture_output=True)

    def copy(self) -> Path:
        """Copy the data directory of the stopped server, and return the copy."""
        target = self._folder / "copy"
        subprocess.run(["cp", "--archive", self.data, target], check=True)
        return target

    def put_back(self, copied: Path) -> None:
        """Put a copy of the data directory in the place of the present one."""
        shutil.rmtree(self.data)
        copied.rename(self.data)

    @contextmanager
    def serving(self, **more: object) -> Iterator[str]:
        """Start the server; yield the superuser's connection string to its database `postgres`.

        Args:
            more: settings of the server.
        """
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        arguments = [f"--{name}={value}" for name, value in (settings | more).items()]
        with (self._folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, *arguments], user=_user(), cwd="/", stdout=log, stderr=log
            )
        conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=5"
        try:
            wait_until(lambda: answers(conninfo), 60, lambda: (self._folder / "log").read_text("utf-8"))
            yield conninfo
        finally:
            server.send_signal(signal.SIGINT)  # a "fast" shutdown, which does not wait for clients
            server.wait(60)


@contextmanager
def cluster(version: int | None = None) -> Iterator[Cluster]:
    """Make a database cluster of its own, whose server is not started yet; None stands for the embedded version."""
    if version is None:
        programs = Path(tool("pg_dump")).parent
    else:
        programs = DEBIAN_PROGRAMS if version == DEBIAN else _FETCHED / f"postgresql-{version}/native/bin"
    if not (programs / "postgres").exists():
        how = f"Debian's package postgresql-{version}" if version == DEBIAN else "make servers"
        pytest.skip(f"PostgreSQL {version} is not installed ({how})")
    with _folder() as folder:
        yield Cluster(programs, folder).make()


@contextmanager
def other_postgres(version: int = DEBIAN) -> Iterator[str]:
    """Start a server of its own; yield the superuser's connection string to its database `postgres`."""
    with cluster(version) as made, made.serving() as conninfo:
        yield conninfo


@contextmanager
def standby_of(primary: str, programs: Path = DEBIAN_PROGRAMS) -> Iterator[str]:
    """Start a hot standby of a server that another `Cluster` has started; yield its connection string."""
    with _folder() as folder:
        standby = Cluster(programs, folder)
        replication = psycopg.conninfo.make_conninfo(primary, dbname="")
        standby.run(
            "pg_basebackup", "-D", standby.data, "-d", replication, "--write-recovery-conf", "--checkpoint=fast"
        )
        with standby.serving() as conninfo:
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
