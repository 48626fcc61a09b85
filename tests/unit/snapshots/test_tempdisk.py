"""Which errors of the system mean a full disk."""

from __future__ import annotations

import errno

import pytest

from mindguard.snapshots.tempdisk import DiskFull, temporary_file, temporary_folder


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("place", [temporary_file, temporary_folder])
def test_no_room_has_several_names(number: int, place: object) -> None:
    with pytest.raises(DiskFull, match=r"^no room .* set TMPDIR"), place():  # type: ignore[operator]
        raise OSError(number, "no")


@pytest.mark.parametrize("place", [temporary_file, temporary_folder])
def test_another_fault_keeps_its_name(place: object) -> None:
    with pytest.raises(PermissionError), place():  # type: ignore[operator]
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(FileNotFoundError), place():  # type: ignore[operator]
        raise FileNotFoundError(errno.ENOENT, "no")
