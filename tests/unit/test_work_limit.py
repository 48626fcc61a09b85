"""Work that takes too long is ended in the middle; other work keeps its result, its errors and its profiler."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mindguard.work_limit import TooMuchWork, within_work


def never_ends() -> None:
    found = []
    while True:
        try:
            found.append(len(found))
            found.clear()
        except Exception:
            pass


def test_endless_work_is_ended_even_if_it_catches_every_exception() -> None:
    with pytest.raises(TooMuchWork, match=r"more than 0\.1 s"):
        within_work(0.1, never_ends)
    assert within_work(5, lambda: sum(range(1000))) == 499_500


def test_errors_of_the_work_are_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        within_work(5, lambda: 1 // 0)


def test_a_profiler_goes_on_afterwards() -> None:
    def profiler(*_: Any) -> None:
        pass

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        within_work(5, dict)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)
