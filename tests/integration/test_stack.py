"""The supervisor: nothing is lost by a crash, nothing is left behind, and refusals are one clear line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from devstack.parts.base import ROOT
from devstack.parts.seaweedfs import BUCKET
from devstack.process import LeashedProcess
from devstack.process_table import process_table
from devstack.stack import Stack
from devstack.state import StackError, State, is_free
from mindguard.connections import from_environment, postgres_conninfo
from mindguard.snapshots.storage.store import Store
from tests.folders import engine_folder
from tests.processes import listening
from tests.waiting import wait_until

SMALL = ("postgres", "seaweedfs")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A state folder of one's own."""
    with engine_folder("mindguard-own-stack-") as path:
        yield path


def processes_in(folder: Path) -> list[str]:
    """Command lines of every process that works in the state folder or names it."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            inside = Path(process.cwd()).is_relative_to(folder) or str(folder) in words
        except (psutil.Error, OSError):
            continue
        if inside and process.pid != os.getpid():
            found.append(words)
    return found


def test_every_part_is_ready(stack: Stack) -> None:
    rows = {row["part"]: row for row in process_table(stack.state)}
    assert set(rows) >= {"postgres", "seaweedfs", "clickhouse", "feishu"}
    for row in rows.values():
        assert row["state"] == "ready", row
        assert row["pid"]
        assert row["rss_mb"] > 1
        assert Path(row["log"]).exists()


def test_all_parts_have_the_clock_of_the_tests(stack: Stack, store: Store) -> None:
    """On a moved day too (`make test-days`): each comparison of two clocks would mean something else."""
    store.create_small("key-tables/written", b"x")
    with psycopg.connect(stack.postgres_conninfo("mindguard_ops")) as connection:
        postgres = connection.execute("select clock_timestamp()").fetchone()
    clocks = {
        "postgres": postgres and postgres[0],
        "clickhouse": stack.clickhouse.client().query("SELECT now64(3, 'UTC')").first_row[0].replace(tzinfo=UTC),
        "store": store.clock(),
        "object": store.listing()[0].written_at,
    }
    apart = {name: abs(clock - datetime.now(UTC)) for name, clock in clocks.items()}
    assert max(apart.values()) < timedelta(minutes=1), apart


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    assert listening(stack) == {"127.0.0.1"}


def test_status_from_another_terminal(stack: Stack) -> None:
    command = [sys.executable, "-m", "devstack", "status", "--json", "--state", str(stack.state.folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {row["state"] for row in json.loads(answer.stdout)} == {"ready"}


def test_secrets_are_private_and_not_on_command_lines(stack: Stack) -> None:
    file = stack.state.folder / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    words = " ".join(processes_in(stack.state.folder))
    assert [name for name, value in json.loads(file.read_text()).items() if value in words] == []


def test_connections_of_the_environment_work(stack: Stack) -> None:
    env = stack.environment()
    for conn_id, role in (
        ("mindguard_app", "mindguard_reader"),
        ("mindguard_ops", "mindguard_ops"),
        ("mindguard_drill", "mindguard_drill"),
    ):
        conninfo = postgres_conninfo(from_environment(conn_id, env))
        with psycopg.connect(conninfo) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
    for conn_id in ("mindguard_events", "mindguard_backup", "mindguard_feishu"):
        assert from_environment(conn_id, env).password


def test_reader_may_read_everything_and_write_nothing(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_conninfo("mindguard_app_owner")) as owner:
        owner.execute("CREATE TABLE guarded (n int)")
        owner.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY")
        owner.execute("ALTER TABLE guarded FORCE ROW LEVEL SECURITY")
        owner.execute("CREATE POLICY all_in ON guarded FOR INSERT WITH CHECK (true)")
        owner.execute("INSERT INTO guarded VALUES (1)")
    try:
        with psycopg.connect(stack.postgres_conninfo("mindguard_reader"), autocommit=True) as reader:
            assert reader.execute("SELECT n FROM guarded").fetchall() == [(1,)]
            for statement in ("INSERT INTO guarded VALUES (2)", "CREATE TABLE mine (n int)"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(statement)
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(stack.postgres_conninfo("mindguard_ops", "mindguard"))
    finally:
        with psycopg.connect(stack.postgres_conninfo("mindguard_app_owner")) as owner:
            owner.execute("DROP TABLE guarded")


def test_fresh_database_is_empty_and_writable(fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute("CREATE TABLE t (n int)")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_misspelt_bucket_is_an_error(stack: Stack, bucket: str) -> None:
    from botocore.exceptions import ClientError

    client = stack.seaweedfs.client()
    client.put_object(Bucket=bucket, Key="k", Body=b"v")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.put_object(Bucket=f"{bucket}x", Key="k", Body=b"v")


def test_there_is_room_for_a_bucket_of_every_test(stack: Stack) -> None:
    # Its own default, from the free disk space, was used up by some sixty buckets.
    status = httpx.get(f"http://127.0.0.1:{stack.state.ports['master']}/dir/status").json()
    assert status["Topology"]["Max"] >= 10_000


def test_killed_postgres_comes_back_with_its_data(stack: Stack, fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    stack.kill("postgres")
    stack.wait_ready(["postgres"])
    with psycopg.connect(fresh_database) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    assert stack.keepers["postgres"].restarts >= 1


def test_killed_seaweedfs_comes_back_with_its_data(stack: Stack, bucket: str) -> None:
    body = os.urandom(200_000)
    stack.seaweedfs.client().put_object(Bucket=bucket, Key="kept", Body=body)
    stack.kill("seaweedfs")
    stack.wait_ready(["seaweedfs"])
    assert stack.seaweedfs.client().get_object(Bucket=bucket, Key="kept")["Body"].read() == body


@pytest.mark.parametrize("part", ["clickhouse", "feishu"])
def test_killed_front_comes_back(stack: Stack, part: str) -> None:
    stack.kill(part)
    stack.wait_ready([part])
    assert stack.keepers[part].part.is_serving()


def test_stop_leaves_no_process_and_keeps_the_data(folder: Path) -> None:
    with Stack(folder, airflow=False, parts=SMALL) as first:
        ports = dict(first.state.ports)
        with psycopg.connect(first.postgres_conninfo("mindguard_app_owner")) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        first.seaweedfs.client().put_object(Bucket=BUCKET, Key="kept", Body=b"v")
    assert processes_in(folder) == []
    assert {row["state"] for row in process_table(State(folder))} == {"stopped"}
    with Stack(folder, airflow=False, parts=SMALL) as second:
        assert second.state.ports == ports
        with psycopg.connect(second.postgres_conninfo("mindguard_app_owner")) as connection:
            connection.execute("SELECT FROM kept")
        second.seaweedfs.client().head_object(Bucket=BUCKET, Key="kept")


def test_second_supervisor_is_refused_in_one_line(stack: Stack) -> None:
    command = [sys.executable, "-m", "devstack", "up", "--no-airflow", "--state", str(stack.state.folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert f"is in use by another supervisor (pid {os.getpid()})" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_remembered_port_that_is_taken_is_changed(folder: Path) -> None:
    with Stack(folder, airflow=False, parts=("postgres",)) as first:
        port = first.postgres.port
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        with Stack(folder, airflow=False, parts=("postgres",)) as second:
            assert second.postgres.port != port
            psycopg.connect(second.postgres_conninfo("mindguard_reader")).close()


def test_a_part_that_cannot_start_is_named_with_its_log(folder: Path) -> None:
    with Stack(folder, airflow=False, parts=("postgres",)):
        pass
    (folder / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackError, match=r"postgres ended while starting .*logs/postgres\.log ends: .*version") as e:
        Stack(folder, airflow=False, parts=("postgres",)).__enter__()
    assert len(str(e.value).splitlines()) == 1
    assert processes_in(folder) == []


def start_up(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "devstack", "up", "--state", str(folder), "--only", *SMALL, "--no-airflow"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_ready(supervisor: subprocess.Popen[str]) -> None:
    """Read the supervisor's output until it says that all parts are ready."""
    assert supervisor.stdout
    for line in supervisor.stdout:
        if line.startswith("ready in"):
            return
    raise AssertionError("the supervisor ended before its parts were ready")


def test_an_interrupt_before_there_are_parts_is_no_other_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(state: State) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("devstack.stack.clean_up_leftovers", interrupted)
    with pytest.raises(KeyboardInterrupt), Stack(tmp_path, airflow=False, quiet=True):
        pass


@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.6, 1.0, 3.0])
def test_interrupt_at_any_moment_stops_everything(folder: Path, delay_s: float) -> None:
    supervisor = start_up(folder)
    wait_until((folder / "lock").exists, 30, "the supervisor has not begun", poll_s=0.01)
    time.sleep(delay_s)  # the moment is what the test is about
    supervisor.send_signal(signal.SIGINT)
    output, _ = supervisor.communicate(timeout=30)
    assert supervisor.returncode in {0, 130}, output
    assert "Traceback" not in output
    assert processes_in(folder) == []


def test_a_stop_that_comes_before_a_thread_has_begun_starts_nothing(folder: Path) -> None:
    """A stop joins only threads that have begun; one that begins later must see the stop before it does anything."""
    stack = Stack(folder, airflow=False, parts=("postgres",))
    with stack:
        keeper = stack._keeper(stack.postgres)
    shutil.rmtree(stack.postgres.folder)
    keeper.start()
    keeper.join()
    assert not stack.postgres.folder.exists()
    assert processes_in(folder) == []


def test_nothing_survives_a_killed_supervisor(folder: Path) -> None:
    supervisor = start_up(folder)
    wait_ready(supervisor)
    supervisor.kill()
    supervisor.communicate()
    wait_until(lambda: not processes_in(folder), 15, lambda: str(processes_in(folder)))


def test_leftovers_of_killed_leashes_are_ended_by_the_next_start(folder: Path) -> None:
    """Even when supervisor and leashes die together, grandchildren included."""
    supervisor = start_up(folder)
    wait_ready(supervisor)
    leashes = [row["leash"]["pid"] for row in State(folder).read_status()["parts"]]
    supervisor.kill()
    for pid in leashes:
        os.kill(pid, signal.SIGKILL)
    supervisor.communicate()
    with Stack(folder, airflow=False, parts=SMALL) as stack:
        psycopg.connect(stack.postgres_conninfo("mindguard_reader")).close()
    assert processes_in(folder) == []


def test_leash_ends_grandchildren_in_sessions_of_their_own(folder: Path) -> None:
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0: time.sleep(600)\n"
        "    os._exit(0)\n"
        "time.sleep(0.5)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    process = LeashedProcess(command, log=folder / "log", env=dict(os.environ), cwd=folder)
    wait_until(lambda: process.exit_code() is not None, 10, "the leash has not ended")
    assert process.exit_code() == 0
    assert processes_in(folder) == []


def test_postgres_starts_though_the_recorded_pid_is_now_another_program(folder: Path) -> None:
    with Stack(folder, airflow=False, parts=("postgres",)):
        pass
    pid_file = folder / "postgres" / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n0\n0\n\n127.0.0.1\n0 0\nready\n")
    with Stack(folder, airflow=False, parts=("postgres",)) as stack:
        psycopg.connect(stack.postgres_conninfo("mindguard_reader")).close()


def test_a_part_that_keeps_dying_is_given_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Stack(folder, airflow=False, parts=("postgres",)) as stack:
        keeper = stack.keepers["postgres"]

        def killed_for_good() -> bool:
            if keeper.ready.is_set() and keeper.part.process:
                keeper.part.process.kill()
            return bool(keeper.error)

        wait_until(killed_for_good, 60, "the part is still restarted", poll_s=0.05)
        assert "giving up" in str(keeper.error)
        with pytest.raises(StackError, match="giving up"):
            stack.wait_ready()
    assert "postgres died (SIGKILL), restarting in 0.2 s" in capsys.readouterr().err
    assert processes_in(folder) == []
