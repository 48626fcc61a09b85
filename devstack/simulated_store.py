"""A snapshot store with a clock of its own, for tests and for the simulation of months."""

from __future__ import annotations

from datetime import datetime

from mindguard.snapshots.storage.store import Store


class SimulatedStore(Store):
    """A store whose clock shows `now`, or the true time while that is None.

    Objects carry the true time. To a simulation that runs ahead they therefore look older than they are, which makes
    expiry harder, never easier.
    """

    now: datetime | None = None

    def clock(self) -> datetime:
        """Return the simulated time."""
        return self.now or super().clock()
