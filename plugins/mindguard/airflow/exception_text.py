"""What an exception says, whoever wrote its class: it may raise while it is asked, take for ever, or say very much."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import dropwhile
from traceback import FrameSummary, StackSummary, TracebackException
from typing import NamedTuple

from mindguard.alerts.texts import TEXTS
from mindguard.fetch import FetchFailed, within
from mindguard.masking import fold
from mindguard.texts import Locale

_TIMEOUT_S = 2.0

_LONGEST = 50_000
"""Length in characters of a text: more than any card shows, so that what is cut here is in no card's head or tail."""


_OF_AIRFLOW = re.compile("/(site|dist)-packages/airflow/")


class ExceptionText(NamedTuple):
    """What an exception says.

    Attributes:
        line: its type and text in one line; empty if there is no exception.
        traceback: the traceback from the first frame of the task's own code on; empty if there is none.
    """

    line: str
    traceback: str


def text_of(error: object, locale: Locale = "en") -> ExceptionText:
    """Return what an exception, or Airflow's text in its place, says.

    It is not shortened to a card's size here, since the renderer must mask secrets first.
    """
    if error is None:
        return ExceptionText("", "")
    line = " ".join(_asked(error, locale).split())
    if not isinstance(error, BaseException):
        return ExceptionText(line, "")
    try:
        lines = within(_TIMEOUT_S, lambda: list(_traceback_of(error)))
    except Exception:  # noqa: BLE001 - the text of a cause, too, is made by code of others
        lines = []
    return ExceptionText(f"{type(error).__name__}: {line}", fold("".join(lines), _LONGEST))


def _traceback_of(error: BaseException) -> Iterator[str]:
    """Return the lines of a traceback in which Airflow's frames, by which it came to the task's code, are left out.

    A traceback that has no other frames stays whole.
    """
    shown = TracebackException(type(error), error, error.__traceback__, compact=True)
    waiting: list[TracebackException | None] = [shown]
    while waiting:
        if each := waiting.pop():
            each.stack = StackSummary.from_list([*dropwhile(_of_airflow, each.stack)]) or each.stack
            waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]
    return shown.format()


def _of_airflow(frame: FrameSummary) -> bool:
    return bool(_OF_AIRFLOW.search(frame.filename))


def _asked(error: object, locale: Locale) -> str:
    try:
        return fold(str.__str__(within(_TIMEOUT_S, lambda: str(error))), _LONGEST)
    except FetchFailed:
        return TEXTS.say("error_text_late", locale, seconds=f"{_TIMEOUT_S:g}")
    except Exception as failure:  # noqa: BLE001 - the class is not ours
        return TEXTS.say("error_text_failed", locale, failure=type(failure).__name__)
