"""The value that identifies stored bytes: their SHA-256 and their size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import SEEK_END, BufferedRandom, BytesIO


@dataclass(frozen=True)
class Content:
    """The identity of a sequence of bytes: two objects hold the same bytes exactly when their contents are equal.

    Attributes:
        sha256: hexadecimal digits.
        size: number of bytes.
    """

    sha256: str
    size: int

    @classmethod
    def of(cls, body: bytes) -> Content:
        """Return the content of bytes in memory."""
        return cls(hashlib.sha256(body).hexdigest(), len(body))

    @classmethod
    def of_file(cls, file: BufferedRandom | BytesIO) -> Content:
        """Return the content of a whole file, and leave the file at its beginning."""
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.seek(0, SEEK_END)
        file.seek(0)
        return cls(sha256, size)

    def __str__(self) -> str:
        return f"{self.size:,} bytes with SHA-256 {self.sha256[:12]}…"
