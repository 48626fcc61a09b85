"""The cap on reading the source, tested with a clock that only sleeping moves."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mindguard.snapshots.export.read_rate import ReadRate


class Clock:
    """A clock that only moves while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def _rate(mb_per_s: float | None, clock: Clock, check: object = None) -> ReadRate:
    return ReadRate(mb_per_s, check or (lambda: None), sleep=clock.sleep, clock=lambda: clock.now)  # type: ignore[arg-type]


def test_what_is_read_is_paid_for_in_time() -> None:
    clock = Clock()
    rate = _rate(4, clock)
    for _ in range(3):
        rate.spend(2_000_000)
    assert clock.now == pytest.approx(101.5)


def test_idle_time_is_not_saved_up() -> None:
    clock = Clock()
    rate = _rate(1, clock)
    clock.now += 60
    rate.spend(1_000_000)
    assert sum(clock.slept) == pytest.approx(1)


def test_time_spent_elsewhere_counts_as_paid() -> None:
    clock = Clock()
    rate = _rate(1, clock)
    rate._paid_at += 1  # what another connection has just read
    clock.now += 0.75
    rate.spend(500_000)
    assert sum(clock.slept) == pytest.approx(0.75)


def test_without_a_cap_nobody_waits() -> None:
    clock = Clock()
    _rate(None, clock).spend(10**12)
    assert clock.slept == []


def test_a_stop_ends_the_waiting() -> None:
    clock = Clock()

    def check() -> None:
        if clock.now >= 102:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _rate(1, clock, check).spend(3_600_000_000)
    assert clock.now == pytest.approx(102)
    assert max(clock.slept) <= 0.5


def test_batches_pass_unchanged_and_each_is_paid_for() -> None:
    clock = Clock()
    batch = pa.record_batch({"n": pa.array(range(125_000), pa.int64())})
    assert list(_rate(1, clock).limited([batch, batch])) == [batch, batch]
    assert sum(clock.slept) == pytest.approx(2)
