"""Ends work that takes too long, in libraries that know no limit."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from mindguard.errors import MindGuardError

Done = TypeVar("Done")

_LOOK_EVERY = 200
"""Number of calls between two looks at the clock, which costs more than a call."""


class TooMuchWork(MindGuardError):
    """The work was ended."""


class _Stop(BaseException):
    """It ends the work from inside. It is no Exception, so that the work cannot catch it by mistake."""


def within_work(cpu_s: float, work: Callable[[], Done]) -> Done:
    """Return the result of work that is written in Python, which is ended in the middle when it takes too long.

    A thread that is abandoned would go on and fill the memory. What the work has used must not be used again after
    it was ended, since it may hold locks of its own.

    Args:
        cpu_s: limit in seconds of this thread's processor time, which does not depend on what else the machine does.
        work: the function to call.

    Raises:
        TooMuchWork: the work was ended.
        Exception: whatever `work` raised.
    """
    ends = time.thread_time() + cpu_s
    calls = 0

    def look(_frame: FrameType, _event: str, _argument: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % _LOOK_EVERY == 0 and time.thread_time() > ends:
            raise _Stop

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        return work()
    except _Stop:
        raise TooMuchWork(f"it takes more than {cpu_s:.2g} s") from None
    finally:
        sys.setprofile(before)
