"""Debian's own PostgreSQL, which is older than the embedded one and has ICU; tests skip where it is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.waiting import wait_until

_VERSION = 15
_BIN = Path(f"/usr/lib/postgresql/{_VERSION}/bin")


@contextmanager
def debian_postgres(locale: str = "C.UTF-8") -> Iterator[str]:
    """Start a server of its own; yield the superuser's connection string to its database `postgres`.

    Args:
        locale: the locale of the cluster, which must be one of the machine's.
    """
    if not (_BIN / "postgres").exists():
        pytest.skip(f"Debian's package postgresql-{_VERSION} is not installed")
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="mindguard-debian-"))
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        initdb = ["--username=postgres", "--auth=trust", "--encoding=UTF8", f"--locale={locale}", "--no-sync"]
        subprocess.run([_BIN / "initdb", "-D", data, *initdb], user=user, cwd=folder, check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [_BIN / "postgres", "-D", data, *arguments], user=user, cwd=folder, stdout=log, stderr=log
            )
        conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=5"
        try:
            wait_until(lambda: _answers(conninfo), 60, lambda: (folder / "log").read_text("utf-8"))
            yield conninfo
        finally:
            server.terminate()
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError:
        return False
    return True
