"""A cap on how fast the source is read, shared by all connections of a snapshot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# A stop wakes a sleeping thread at once; a deadline is noticed only after this long.
_LONGEST_SLEEP_S = 0.5


class ReadRate:
    """A token bucket that may go into debt: a batch is read first, and paid for before the next one is read.

    Args:
        mb_per_s: 10^6 bytes a second over all threads; None: no cap.
        check_going_on: called before each sleep; if it raises, the waiting ends.
        sleep: waits for at most that many seconds, and less if the snapshot is stopped.
        clock: returns seconds and never goes back.
    """

    def __init__(
        self,
        mb_per_s: float | None,
        check_going_on: Callable[[], None],
        *,
        sleep: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes_per_s = mb_per_s * 1e6 if mb_per_s else None
        self._check_going_on = check_going_on
        self._sleep = sleep
        self._clock = clock
        self._paid_at = clock()
        self._lock = threading.Lock()

    def limited(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the batches on, no faster than allowed."""
        for batch in batches:
            yield batch
            self.spend(batch.nbytes)

    def spend(self, size: int) -> None:
        """Account for `size` bytes, and wait until everything read so far is paid for."""
        if self._bytes_per_s is None:
            return
        with self._lock:
            # Idle time is not saved up, so the cap holds over any period, also over a short one.
            self._paid_at = max(self._paid_at, self._clock()) + size / self._bytes_per_s
            due = self._paid_at
        while (left := due - self._clock()) > 0:
            self._check_going_on()
            self._sleep(min(left, _LONGEST_SLEEP_S))
