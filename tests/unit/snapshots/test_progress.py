"""What long work writes to a task's log."""

from __future__ import annotations

import logging

import pytest

from mindguard.snapshots.progress import Step, to_log


def test_of_many_steps_one_a_minute_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    seconds = iter([0.0, *(number * 10.0 for number in range(1, 1000))])
    now = next(seconds)
    log = logging.getLogger("mindguard.test")
    with caplog.at_level(logging.DEBUG):
        tell = to_log(log, clock=lambda: now)
        for number in range(1, 100):
            now = next(seconds)
            tell(Step(f"verified object {number}/99", doing="verify", what="t", done=number, total=99))
        tell("verified object 99/99: DAMAGED: t")
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert told[0] == "verified object 6/99"
    assert len(told) == 17
    assert told[-1] == "verified object 99/99: DAMAGED: t"
    assert len(caplog.records) == 100
