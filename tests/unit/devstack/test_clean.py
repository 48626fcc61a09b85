"""`make clean` removes a stack's own folder, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devstack.clean import MARK, why_not
from devstack.parts.base import ROOT
from devstack.state import State


def clean(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "devstack.clean", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_the_folder_of_a_stack_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    state = State(folder)
    state.open()
    status, said = clean(folder)
    assert status == 1
    assert said == f"devstack: {folder} is not removed: a stack is running in it; stop it first\n"
    state.close()
    assert clean(folder) == (0, "")
    assert not folder.exists()
    assert clean(folder) == (0, "")


@pytest.mark.parametrize("folder", [Path("/"), Path.home(), ROOT, ROOT.parent, Path("/usr")])
def test_a_folder_that_is_no_stacks_is_refused(folder: Path) -> None:
    """The function alone is asked: a mistake must not cost a machine."""
    assert why_not(folder)


def test_a_folder_with_something_else_in_it_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    state = State(tmp_path)
    state.open()
    state.close()
    status, said = clean(tmp_path)
    assert (status, said.count("\n")) == (1, 1)
    assert f"it has no {MARK}" in said
    assert (tmp_path / "thesis.txt").exists()


def test_a_link_to_a_stacks_folder_is_not_followed(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.open()
    state.close()
    (tmp_path / "link").symlink_to(tmp_path / "state")
    assert clean(tmp_path / "link")[0] == 1
    assert (tmp_path / "state").is_dir()


def test_a_folder_of_an_earlier_version_gets_the_mark(tmp_path: Path) -> None:
    for name in ("lock", "stack.json", "secrets.json"):
        (tmp_path / name).write_text("{}" if name.endswith("json") else "")
    state = State(tmp_path)
    state.open()
    state.close()
    assert why_not(tmp_path) == ""
