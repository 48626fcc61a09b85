"""A real pooler, pgbouncer, in front of the stack's PostgreSQL, and what clients have left behind in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from devstack.stack import Stack
from tests.connections import answers
from tests.processes import free_port
from tests.waiting import wait_until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
POOL = 6
# What pgbouncer itself sets for each client to which it gives a server connection.
_ITS_OWN = ("application_name", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings")
_LEFT = """
select name from pg_settings where source = 'session' and not name = any(%s)
union all select 'a prepared statement: ' || name from pg_prepared_statements
union all select 'an advisory lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
union all select 'a temporary table: ' || relname from pg_class where relnamespace = pg_my_temp_schema()
"""


@contextmanager
def pgbouncer(
    stack: Stack,
    mode: str,
    *,
    ignore: str = "extra_float_digits",
    passwords: Mapping[str, str] | None = None,
    **settings: str,
) -> Iterator[int]:
    """Run pgbouncer and yield its port.

    Args:
        stack: the stack whose server it pools.
        mode: `session`, `transaction` or `statement`.
        ignore: the startup parameters that it accepts and drops.
        passwords: those of further roles.
        **settings: further settings of pgbouncer.
    """
    if not PGBOUNCER:
        pytest.skip("pgbouncer is not installed")
    port = free_port()
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "trust",
        "pool_mode": mode,
        "default_pool_size": str(POOL),
        "ignore_startup_parameters": ignore,
    } | settings
    folder = Path(tempfile.mkdtemp(prefix="mindguard-pgbouncer-"))
    try:
        users = folder / "users.txt"
        known = {role: stack.postgres.password(role) for role in ("postgres", *stack.postgres.roles)}
        known |= passwords or {}
        users.write_text("".join(f'"{role}" "{password}"\n' for role, password in known.items()))
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={stack.postgres.port}\n[pgbouncer]\nauth_file = {users}\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        user = None
        if os.geteuid() == 0:  # as which pgbouncer does not run
            user = "nobody"
            for path in (folder, users, config):
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([PGBOUNCER, "-q", str(config)], stdout=log, stderr=log, user=user)
            try:
                address = stack.postgres_conninfo("postgres", "postgres")
                wait_until(
                    lambda: answers(through(port, address)), 20, lambda: (folder / "log").read_text(), poll_s=0.05
                )
                yield port
            finally:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder)


def through(port: int, conninfo: str) -> str:
    """Return the connection string of the same database through the pooler."""
    return make_conninfo(conninfo, port=port)


def left_behind(port: int, conninfo: str) -> set[str]:
    """Return what an application finds on any of the pool's server connections that it did not set itself."""
    found: set[str] = set()
    with ExitStack() as together:
        for _ in range(POOL):  # each transaction keeps its server connection until all have one
            opened = psycopg.connect(through(port, conninfo), prepare_threshold=None)
            application = together.enter_context(opened)
            found.update(row[0] for row in application.execute(_LEFT, [list(_ITS_OWN)]))
            path = str((application.execute("show search_path").fetchone() or ("",))[0])
            if path != '"$user", public':
                found.add(f"search_path is {path!r}")
    return found
