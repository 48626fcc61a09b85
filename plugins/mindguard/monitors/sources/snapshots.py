"""The snapshots' store: the age of the newest snapshot that a restore drill has proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mindguard.connections import Connection, Resolve, s3_client
from mindguard.monitors.judge import Reading
from mindguard.settings import Settings
from mindguard.settings.monitors import Monitor
from mindguard.snapshots.storage.catalog import newest_proven, snapshot_ids
from mindguard.snapshots.storage.encryption import encryption_of
from mindguard.snapshots.storage.layout import time_in
from mindguard.snapshots.storage.store import Store


class Snapshots:
    """A source that reads one bucket."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Reading]:
        """See MonitorSource."""
        if newest := newest_proven(self._store):
            return [Reading(newest=newest.taken_at, note=newest.snapshot_id)]
        first = next(iter(snapshot_ids(self._store)), "")
        return [Reading(fault="not_proven_yet", awaited_since=time_in(first) if first else None, note=first)]

    def close(self) -> None:
        """See MonitorSource."""


def prepare(connection: Connection, settings: Settings, resolve: Resolve) -> Callable[[], Snapshots]:
    """Return a function that opens the store. If snapshots are encrypted, this call reads the key ring."""
    encryption = encryption_of(settings, resolve)
    return lambda: Snapshots(Store.of(s3_client(connection), settings.snapshot, encryption, conn_id=connection.conn_id))
