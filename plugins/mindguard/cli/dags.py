"""The command that puts the DAGs where Airflow looks for them: `mindguard dags copy`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from mindguard import __version__
from mindguard.cli.output import AsJson, print_json, print_table
from mindguard.errors import MindGuardError
from mindguard.resources import include_dir

_MARK = "# Copied by `mindguard dags copy` from mindguard-ops"

app = typer.Typer(no_args_is_help=True)

Change = Literal["new", "updated", "unchanged", "changed by hand", "no longer in the package"]


@app.command()
def copy(
    folder: Annotated[Path, typer.Argument(help="A folder inside Airflow's `dags_folder` or bundle; made if absent.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite DAGs that were changed by hand, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the DAGs into a folder, the first time and after each upgrade.

    Nothing is written if one of them was changed by hand since it was copied.
    """
    shipped = {path.name: _marked(path.read_text("utf-8")) for path in sorted(_dags_dir().glob("*.py"))}
    try:
        changes = {name: _change(folder / name, text) for name, text in shipped.items()}
        changes |= {
            path.name: "no longer in the package"
            for path in sorted(folder.glob("*.py"))
            if path.name not in shipped and _own_mark(path.read_text("utf-8", "replace"))
        }
        edited = [name for name, change in changes.items() if change == "changed by hand"]
        if edited and not force and not dry_run:
            raise MindGuardError(
                f"{folder}: changed by hand: {', '.join(edited)}; nothing was copied",
                hint="keep the changed DAGs in another folder, or overwrite them with --force",
            )
        if not dry_run:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in shipped.items():
                if changes[name] != "unchanged":
                    _replace(folder / name, text)
    except OSError as error:
        raise MindGuardError(f"{error.filename or folder}: {error.strerror}") from None
    if as_json:
        print_json([{"file": str(folder / name), "change": change} for name, change in changes.items()])
    else:
        print_table(("file", "change"), [(str(folder / name), change) for name, change in changes.items()])


def _dags_dir() -> Path:
    return include_dir().parent / "dags"


def _replace(target: Path, text: str) -> None:
    """Write the file at one stroke, since Airflow may read it at any moment."""
    draft = target.with_suffix(".part")
    draft.write_text(text, "utf-8")
    draft.replace(target)


def _change(target: Path, text: str) -> Change:
    if not target.exists():
        return "new"
    present = target.read_text("utf-8", "replace")
    if present == text:
        return "unchanged"
    content, mark, _ = present.rpartition(_MARK)
    return "updated" if mark and _own_mark(present) == _digest(content) else "changed by hand"


def _marked(content: str) -> str:
    """Return a DAG with a last line that tells later whether somebody has changed it."""
    return f"{content}{_MARK} {__version__}, sha256 {_digest(content)}\n"


def _own_mark(text: str) -> str:
    """Return the digest that the last line gives; empty if it is not ours."""
    _, mark, rest = text.rpartition(_MARK)
    return rest.rpartition(" ")[2].strip() if mark else ""


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
