"""`mindguard dags copy`: the DAGs reach Airflow's folder, and nobody's changes are lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mindguard.cli import app, dags
from mindguard.errors import MindGuardError
from mindguard.resources import include_dir

SHIPPED = {path.name for path in (include_dir().parent / "dags").glob("*.py")}


def copy(folder: Path, *options: str) -> dict[str, str]:
    ended = CliRunner().invoke(app, ["dags", "copy", str(folder), "--json", *options])
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return {Path(each["file"]).name: each["change"] for each in json.loads(ended.stdout)}


def test_every_dag_is_copied_once_and_then_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "airflow" / "dags"
    assert copy(folder, "--dry-run") == dict.fromkeys(SHIPPED, "new")
    assert not folder.exists()
    assert copy(folder) == dict.fromkeys(SHIPPED, "new")
    assert {path.name for path in folder.iterdir()} == SHIPPED
    assert copy(folder) == dict.fromkeys(SHIPPED, "unchanged")


def test_an_upgrade_replaces_what_nobody_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = tmp_path / "older"
    older.mkdir()
    (older / "snapshot_tables.py").write_text("print(1)\n")
    (older / "gone.py").write_text("gone = True\n")
    folder = tmp_path / "dags"
    with monkeypatch.context() as before:
        before.setattr(dags, "_dags_dir", lambda: older)
        copy(folder)
    (folder / "own.py").write_text("their_own = True\n")
    changes = copy(folder)
    assert changes.pop("snapshot_tables.py") == "updated"
    assert changes.pop("gone.py") == "no longer in the package"
    assert set(changes.values()) == {"new"}
    assert "own.py" not in changes
    assert "print(1)" not in (folder / "snapshot_tables.py").read_text()


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("0 2 * * *", "0 3 * * *"),
        lambda text: text + "# a line below\n",
        lambda text: "# a file of their own\n",
        lambda text: "",
    ],
)
def test_nothing_is_written_while_somebody_has_changed_a_dag(tmp_path: Path, edit: Callable[[str], str]) -> None:
    copy(tmp_path)
    changed = tmp_path / "snapshot_tables.py"
    text = edit(changed.read_text())
    changed.write_text(text)
    (tmp_path / "event_volume.py").unlink()
    with pytest.raises(MindGuardError, match=r"changed by hand: snapshot_tables\.py; nothing was copied .* --force"):
        copy(tmp_path)
    assert not (tmp_path / "event_volume.py").exists()
    assert copy(tmp_path, "--dry-run")["snapshot_tables.py"] == "changed by hand"
    assert changed.read_text() == text
    copy(tmp_path, "--force")
    assert copy(tmp_path) == dict.fromkeys(SHIPPED, "unchanged")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MindGuardError, match=r"file: (File exists|Not a directory)"):
        copy(tmp_path / "file")
