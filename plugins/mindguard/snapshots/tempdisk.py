"""Temporary files on the worker's disk."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

from mindguard.errors import MindGuardError

# An exceeded quota or file-size limit counts as a full disk too.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(MindGuardError):
    """There is no room on the worker's temporary disk."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"no room for a temporary file in {place}",
            hint="free space there, set TMPDIR, or lower snapshot.part_mb or snapshot.connections",
        )


@contextmanager
def temporary_file() -> Iterator[BufferedRandom]:
    """Make a file for one part, which is deleted when the block ends.

    Raises:
        DiskFull: the block ran out of space.
    """
    with _explained() as place, tempfile.TemporaryFile(prefix="mindguard-part-", dir=place) as file:
        yield file


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for a few small files, which is deleted when the block ends.

    Raises:
        DiskFull: the block ran out of space.
    """
    with _explained() as place, tempfile.TemporaryDirectory(prefix="mindguard-", dir=place) as folder:
        yield Path(folder)


@contextmanager
def _explained() -> Iterator[str]:
    try:
        place = tempfile.gettempdir()
    except FileNotFoundError as error:  # not even a few bytes can be written in any of them
        raise DiskFull("TMPDIR, /tmp or /var/tmp") from error
    try:
        yield place
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DiskFull(place) from error
