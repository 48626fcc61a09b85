"""A snapshot store with a clock of its own, for tests and for the simulation of months."""

from __future__ import annotations

from datetime import datetime

from mindguard.snapshots.store import Store


class SimulatedStore(Store):
    """A store whose clock says `now`, or the true time where that is None.

    Objects carry the true time, so to a simulation that runs ahead they look older than they are: harder for
    expiry, never easier.
    """

    now: datetime | None = None

    def clock(self) -> datetime:
        """The simulated time."""
        return self.now or super().clock()
