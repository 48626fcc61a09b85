"""Wait for what a test needs instead of sleeping for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None], timeout_s: float, failure: str | Callable[[], str], *, poll_s: float = 0.1
) -> T:
    """Call `condition` until it returns something true.

    Args:
        condition: returns what is waited for, or something false.
        timeout_s: seconds after which the test fails.
        failure: what the failing test says, or a function that describes the state at that moment.
        poll_s: seconds between two calls.

    Returns:
        What `condition` returned last.

    Raises:
        AssertionError: the condition was false for `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:.0f} s: {failure if isinstance(failure, str) else failure()}")
        time.sleep(poll_s)
    return value
