"""The identity of stored bytes."""

from __future__ import annotations

import hashlib
from io import BytesIO

from mindguard.snapshots.storage.content import Content
from mindguard.snapshots.tempdisk import temporary_file


def test_a_content_is_digest_and_size() -> None:
    assert Content.of(b"rows") == Content(hashlib.sha256(b"rows").hexdigest(), 4)
    assert Content.of(b"rows") != Content.of(b"rowz")
    assert str(Content("ab" * 32, 1_234_567)) == "1,234,567 bytes with SHA-256 abababababab…"


def test_a_file_is_read_as_a_whole_and_left_at_its_beginning() -> None:
    with temporary_file() as on_disk:
        for file in (on_disk, BytesIO()):
            file.write(b"rows")
            assert Content.of_file(file) == Content.of(b"rows")
            assert file.read() == b"rows"
