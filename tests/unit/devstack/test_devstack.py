"""The command line of the embedded stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devstack.__main__ import main
from devstack.parts.base import ROOT
from devstack.run import Outcome, summarise
from devstack.state import State


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "devstack", "status", "--state", str(tmp_path)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_status_gives_the_addresses_of_a_running_stack_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = State(tmp_path)
    row = {"part": "airflow", "port": 1, "state": "ready", "leash": None, "started_at": 0, "restarts": 0, "log": "l"}
    state.write_status([row], {"Airflow": "http://127.0.0.1:1"})
    main(["status", "--state", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "Airflow          http://127.0.0.1:1\n" in shown
    assert f"password: airflow:admin in {tmp_path / 'secrets.json'}" in shown
    status = json.loads((tmp_path / "status.json").read_text())
    status["supervisor"]["created"] -= 1000
    (tmp_path / "status.json").write_text(json.dumps(status))
    main(["status", "--state", str(tmp_path)])
    assert "127.0.0.1" not in capsys.readouterr().out


def test_a_stack_that_stops_at_once_prints_no_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack: Any = SimpleNamespace(site=SimpleNamespace(password="p"))
    summarise(Outcome(report={"urls": {}}), stack, tmp_path, 1)
    shown = capsys.readouterr().out
    assert "The stack stops now; `make run` starts it again" in shown
    assert "login" not in shown
    summarise(Outcome(report={"urls": {"Airflow": "http://127.0.0.1:1"}}), stack, tmp_path, 1)
    assert "http://127.0.0.1:1" in capsys.readouterr().out


def test_make_status_is_no_error_of_make(tmp_path: Path) -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    assert 'devstack status --state "$(STATE)" || true\n' in text
    assert "rm -rf $(STATE)" not in text
