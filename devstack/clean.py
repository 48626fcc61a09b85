"""`make clean`: remove a stack's state folder, and nothing that is not one. Needs Python alone.

A stack puts its mark only into a folder that was empty before, so everything in a marked folder is the stack's.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

MARK = ".mindguard-stack"


def why_not(folder: Path) -> str:
    """Return why the folder must not be removed; empty if it may be."""
    if folder.is_symlink() or not folder.is_dir():
        return "it is not a folder"
    if Path.cwd().resolve().is_relative_to(folder.resolve()):
        return "it contains this folder"
    if not (folder / MARK).is_file():
        return f"it has no {MARK}, so it is not a stack's own folder; remove by hand what you do not need"
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return "a stack is running in it; stop it first"
    return ""


def main(argv: list[str]) -> int:
    """Remove the folder; return the exit status."""
    folder = Path(argv[0])
    if not folder.exists() and not folder.is_symlink():
        return 0
    if reason := why_not(folder):
        print(f"devstack: {folder} is not removed: {reason}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print(f"removed {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
