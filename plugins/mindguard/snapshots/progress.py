"""The callback through which long-running work reports its steps."""

from __future__ import annotations

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
