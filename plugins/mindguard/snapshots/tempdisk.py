"""Temporary files on the worker's disk."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

from mindguard.errors import MindGuardError

# A quota, and a limit on the size of files, are full disks too.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(MindGuardError):
    """No room on the worker's temporary disk."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"no room for a temporary file in {place}",
            hint="free space there, set TMPDIR, or lower snapshot.part_mb or snapshot.connections",
        )


@contextmanager
def temporary_file() -> Iterator[BufferedRandom]:
    """A file for one part, gone with the block.

    Raises:
        DiskFull: the block ran out of space.
    """
    with _explained() as place, tempfile.TemporaryFile(prefix="mindguard-part-", dir=place) as file:
        yield file


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for a few small files, gone with the block.

    Raises:
        DiskFull: the block ran out of space.
    """
    with _explained() as place, tempfile.TemporaryDirectory(prefix="mindguard-", dir=place) as folder:
        yield Path(folder)


@contextmanager
def _explained() -> Iterator[str]:
    try:
        place = tempfile.gettempdir()
    except FileNotFoundError as error:  # none where a few bytes can be written
        raise DiskFull("TMPDIR, /tmp or /var/tmp") from error
    try:
        yield place
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DiskFull(place) from error
