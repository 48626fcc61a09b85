"""Temporary files for parts on the worker's disk."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom

from mindguard.errors import MindGuardError


class DiskFull(MindGuardError):
    """No room for a part on the worker's temporary disk."""


@contextmanager
def temporary_file() -> Iterator[BufferedRandom]:
    """A file for one part, gone with the block.

    Raises:
        DiskFull: the block ran out of space.
    """
    try:
        with tempfile.TemporaryFile(prefix="mindguard-part-") as file:
            yield file
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFull(
            f"no room for a part in {tempfile.gettempdir()}",
            hint="free space there, set TMPDIR, or lower snapshot.part_mb or snapshot.connections",
        ) from error
