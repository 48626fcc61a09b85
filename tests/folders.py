"""Folders for the data of engines that tests start."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
# Many times what all workers need together.
NEEDED_BYTES = 6 << 30


@contextmanager
def engine_folder(prefix: str) -> Iterator[Path]:
    """Make a folder for an engine's data, and remove it when the block ends.

    It is in memory where there is plenty: a new database is some 300 files, and most tests make one and drop it, which
    costs a disk's file system ten times as much. It is not in pytest's own temporary folder, because that one is closed
    to the user that PostgreSQL runs as.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if _has_room() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_room() -> bool:
    try:
        room = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
    except OSError:
        return False
    return room >= NEEDED_BYTES and os.access(MEMORY, os.W_OK)
