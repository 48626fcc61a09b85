"""The callback through which long-running work reports its steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Self

Progress = Callable[[str], None]
"""A function that is called with one line of text after each step."""


class Step(str):
    """A line about one of many similar steps, which also says how much of the work is done.

    Attributes:
        doing: a word for the work.
        what: what the step was about, usually a table.
        done: bytes that are done.
        total: bytes of the whole work.
    """

    __slots__ = ("doing", "done", "total", "what")

    doing: str
    what: str
    done: float
    total: float

    def __new__(cls, line: str, *, doing: str, what: str, done: float, total: float) -> Self:
        """Make a step from its line."""
        step = super().__new__(cls, line)
        step.doing, step.what, step.done, step.total = doing, what, done, total
        return step


_STEP_EVERY_S = 60.0


def to_log(log: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Return a progress that writes to a log: of many similar steps one a minute, the others at level DEBUG."""
    told = clock()

    def tell(line: str) -> None:
        nonlocal told
        if isinstance(line, Step) and clock() - told < _STEP_EVERY_S:
            log.debug("%s", line)
            return
        if isinstance(line, Step):
            told = clock()
        log.info("%s", line)

    return tell
