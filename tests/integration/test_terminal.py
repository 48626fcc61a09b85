"""A person at the command line: what a terminal shows, what Ctrl-C leaves, and which advice is given."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from psycopg.conninfo import conninfo_to_dict
from rich.cells import cell_len

from devstack.stack import Stack
from mindguard.snapshots.restore.tables import RestoreRequest, remains, restore
from mindguard.snapshots.storage.store import Store
from tests.connections import as_variable, connection_of
from tests.integration.fault_proxy import Some, s3_proxy
from tests.integration.restoring import empty_database, run, snapshot
from tests.processes import MINDGUARD, mindguard, plain_environment
from tests.terminal import in_terminal
from tests.waiting import wait_until


@pytest.fixture
def environment(stack: Stack, fresh_database: str, store: Store, tmp_path: Path) -> dict[str, str]:
    """Connections and settings of an application with a table of some megabytes, whose name is Chinese."""
    run(
        fresh_database,
        'create table "心情记录" (id int primary key, v text);'
        'insert into "心情记录" select i, md5(i::text) || md5((i * 7)::text) from generate_series(1, 60000) i;',
    )
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"snapshot:\n  bucket: {store.bucket}\n  part_mb: 1\n  connections: 1\n  max_mb_per_s: 3\n"
        "  tables: [{name: public.心情记录}]\n",
        "utf-8",
    )
    app = as_variable(connection_of(fresh_database, "mindguard_app"))
    return plain_environment() | stack.environment() | app | {"MINDGUARD_SETTINGS": str(settings)}


@pytest.mark.parametrize("columns", [80, 48, 24])
def test_a_terminal_shows_one_line(environment: dict[str, str], columns: int) -> None:
    terminal = in_terminal([*MINDGUARD, "snapshot", "take"], environment, columns=columns)
    assert terminal.wait() == 0
    frames = terminal.frames()
    bars = [frame for frame in frames if " % " in frame]
    assert not [frame for frame in bars if cell_len(frame) > columns], "the terminal would break the line"
    assert terminal.drawn.count(b"\n") < 12, "the line is drawn over itself"
    assert not [frame for frame in frames if "part 1/" in frame]
    if columns >= 48:
        pattern = r"take public\.心情记录 +\d+ % [\d.]+ [kM]B/s \d\d:\d\d left"
        assert [frame for frame in bars if re.fullmatch(pattern, frame)], bars
    assert frames[-1].startswith("snapshot 20")


def test_a_line_for_each_part_only_where_it_is_asked_for(environment: dict[str, str]) -> None:
    terminal = in_terminal([*MINDGUARD, "snapshot", "take", "--verbose"], environment)
    assert terminal.wait() == 0
    assert [frame for frame in terminal.frames() if "public.心情记录: part 1/" in frame]
    for arguments in (("verify", "latest"), ("drill", "latest")):
        terminal = in_terminal([*MINDGUARD, "snapshot", *arguments], environment)
        assert terminal.wait() == 0, terminal.frames()
        assert not [frame for frame in terminal.frames() if "object 1/" in frame or "part 1/" in frame]
        piped = mindguard(environment, "snapshot", *arguments)
        assert "object 1/" in piped.stderr or "part 1/" in piped.stderr
    assert mindguard(environment, "snapshot", "list").stdout.rstrip().endswith("good, proven")
    assert re.search(
        r"^proven    2\d{3}-.* rebuilt in", mindguard(environment, "snapshot", "show", "latest").stdout, re.M
    )


def test_ctrl_c_in_a_terminal_gives_the_cursor_back(environment: dict[str, str], store: Store) -> None:
    terminal = in_terminal([*MINDGUARD, "snapshot", "take"], environment)
    wait_until(lambda: re.search(rb"[1-9]\d? %", terminal.drawn), 30, lambda: terminal.drawn.decode())
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.wait() == 130
    assert terminal.frames()[-1] == "mindguard: interrupted; nothing was published"
    assert terminal.drawn.rindex(b"\x1b[?25h") > terminal.drawn.rindex(b"\x1b[?25l")
    assert store.manifest_keys() == []


class Gate:
    """A fault of the store that does nothing, except that the first part that is read waits until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, method: str, path: str, headers: dict[str, str]) -> None:
        if method == "GET" and "/parts/" in unquote(path) and "list-type" not in path:
            self.reached.set()
            self.opened.wait(60)


@contextmanager
def stopped_while_loading(
    environment: dict[str, str], stack: Stack, *arguments: str
) -> Iterator[subprocess.CompletedProcess[str]]:
    """Press Ctrl-C while the first part is being read; yield what the command said."""
    gate = Gate()
    backup = json.loads(environment["AIRFLOW_CONN_MINDGUARD_BACKUP"])
    with s3_proxy(stack.seaweedfs.endpoint, gate) as endpoint:
        backup["extra"] = {**backup["extra"], "endpoint_url": endpoint}
        slow = environment | {"AIRFLOW_CONN_MINDGUARD_BACKUP": json.dumps(backup)}
        command = ["env", "--default-signal=INT", *MINDGUARD, "snapshot", *arguments]
        with subprocess.Popen(command, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert gate.reached.wait(60)
                process.send_signal(signal.SIGINT)
                gate.opened.set()
                out, err = process.communicate(timeout=60)
            finally:
                gate.opened.set()
                process.kill()
        yield subprocess.CompletedProcess(command, process.returncode, out, err)


def test_ctrl_c_in_a_restore_says_what_is_left(environment: dict[str, str], stack: Stack, fresh_database: str) -> None:
    assert mindguard(environment, "snapshot", "take").returncode == 0
    with stopped_while_loading(environment, stack, "restore", "latest", "--to", "mindguard_app") as ended:
        assert ended.returncode == 130, ended.stderr
        said = ended.stderr.splitlines()[-1]
        assert said == ("mindguard: interrupted; live tables are unchanged, and nothing is left of what was restored")
    assert run(fresh_database, "select 1 from pg_namespace where nspname like 'restored%'") == []
    with stopped_while_loading(environment, stack, "drill", "latest") as ended:
        assert ended.returncode == 130
        assert ended.stderr.splitlines()[-1] == "mindguard: interrupted; the scratch database is dropped"
    assert run(fresh_database, "select datname from pg_database where datname like 'mindguard_drill_2%'") == []
    with empty_database(stack) as empty:
        to = as_variable(connection_of(empty, "mindguard_empty"))
        arguments = ("restore", "latest", "--whole", "--to", "mindguard_empty")
        with stopped_while_loading(environment | to, stack, *arguments) as ended:
            assert ended.returncode == 130
            said = ended.stderr.splitlines()[-1]
            name = conninfo_to_dict(empty)["dbname"]
            assert said == (
                f"mindguard: interrupted; database {name} is filled in part (public.心情记录): "
                "drop it and create it again"
            )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (("verify", "latest"), "nothing was changed"),
        (
            ("restore", "latest", "--to", "mindguard_app"),
            "live tables are unchanged, and nothing is left of what was restored",
        ),
        (("drill", "latest"), "the scratch database is dropped"),
        (("take",), "nothing was published"),
        (("expire",), "nothing was removed"),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_a_store_that_stalls_does_not_hold_up_an_interrupt(
    arguments: tuple[str, ...], left: str, number: signal.Signals, environment: dict[str, str], stack: Stack
) -> None:
    assert arguments[0] == "take" or mindguard(environment, "snapshot", "take").returncode == 0
    method, within = {"take": ("PUT", "/parts/"), "expire": ("GET", ".json")}.get(arguments[0], ("GET", "/parts/"))
    stalling = Some("stall", method, within)
    with s3_proxy(stack.seaweedfs.endpoint, stalling) as endpoint:
        backup = json.loads(environment["AIRFLOW_CONN_MINDGUARD_BACKUP"])
        backup["extra"] = {**backup["extra"], "endpoint_url": endpoint}
        stalled = environment | {"AIRFLOW_CONN_MINDGUARD_BACKUP": json.dumps(backup)}
        command = ["env", "--default-signal=INT", *MINDGUARD, "snapshot", *arguments]
        with subprocess.Popen(command, env=stalled, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ours:
            try:
                wait_until(lambda: stalling.happened, 60, lambda: "no request has stalled")
                ours.send_signal(number)
                _, err = ours.communicate(timeout=30)  # the store's own deadline is four times as long
            finally:
                ours.kill()
    assert (ours.returncode, err.splitlines()[-1]) == (130, f"mindguard: interrupted; {left}")


def test_what_a_stopped_restore_has_left_is_named(fresh_database: str, store: Store) -> None:
    run(fresh_database, "create table t (id int primary key)", "insert into t values (1)")
    manifest = snapshot(fresh_database, store, "public.t")
    request = RestoreRequest(schema="R")
    assert remains(manifest, fresh_database, request).endswith("nothing is left of what was restored")
    run(fresh_database, 'create schema "R"', 'create table "R".t ()')
    assert remains(manifest, fresh_database, request) == (
        'live tables are unchanged; remove what was restored: DROP TABLE "R"."t"'
    )
    restore(manifest, store, fresh_database, RestoreRequest(swap=True))
    assert remains(manifest, fresh_database, RestoreRequest(swap=True)).startswith(
        'the restored tables are in place, the former ones are "public"."t_before_'
    )


def test_tables_in_an_empty_database_are_told_of_whole(environment: dict[str, str], stack: Stack) -> None:
    assert mindguard(environment, "snapshot", "take").returncode == 0
    with empty_database(stack) as empty:
        to = as_variable(connection_of(empty, "mindguard_empty"))
        for more in (("--dry-run",), ()):
            ended = mindguard(environment | to, "snapshot", "restore", "latest", "--to", "mindguard_empty", *more)
            assert ended.returncode == 0, ended.stderr
            assert "is empty: use --whole to rebuild everything in it" in ended.stdout + ended.stderr
    live = mindguard(environment, "snapshot", "restore", "latest", "--to", "mindguard_app", "--dry-run")
    assert "--whole" not in live.stdout


def test_a_drill_of_nothing_says_that_there_is_nothing(environment: dict[str, str], store: Store) -> None:
    for verb in ("drill", "verify", "show"):
        ended = mindguard(environment, "snapshot", verb, "latest")
        assert ended.returncode == 1
        assert ended.stderr.splitlines() == [
            f"mindguard: there is no snapshot under s3://{store.bucket}/{store.prefix} – "
            "take one (mindguard snapshot take), or correct snapshot.bucket and snapshot.prefix "
            f"(settings: {environment['MINDGUARD_SETTINGS']})"
        ]


def test_parts_without_manifests_are_no_empty_store(environment: dict[str, str], store: Store) -> None:
    assert mindguard(environment, "snapshot", "take").returncode == 0
    for key in store.keys("snapshots/"):
        store._client.delete_object(Bucket=store.bucket, Key=key)
    for arguments in (("list",), ("list", "--json"), ("drill", "latest"), ("show", "latest")):
        ended = mindguard(environment, "snapshot", *arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "lists no snapshot under" in ended.stderr
        assert "its answer is doubtful" in ended.stderr


def test_the_module_is_the_command(environment: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mindguard", "snapshot", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == mindguard(environment, "snapshot", "--help").stdout
    assert "Usage: mindguard snapshot" in ended.stdout
