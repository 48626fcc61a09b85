"""Examines drills in parts: how long a snapshot waits for its proof, and what that does to expiry and to monitors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from mindguard.connections import Resolve, s3_client
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.snapshots.restore.drill_plan import plan_day
from mindguard.snapshots.storage.catalog import newest_snapshot
from mindguard.snapshots.storage.encryption import encryption_of
from mindguard.snapshots.storage.store import Store

_DAY_S = 86_400


def examine_drills(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check what follows from `snapshot.drill.max_gb`. Yields nothing if it is not set."""
    drill, retention, conn_id = settings.snapshot.drill, settings.snapshot.retention, settings.connections.drill
    if drill.max_gb is None:
        return
    days = _days_per_proof(settings, resolve, now())
    yield Diagnosis("pass", conn_id, "drills in parts", Said("drill_days", days=days, max_gb=f"{drill.max_gb:g}"))
    # In the worst case work on the snapshot before has just begun: it goes first, then one after the other is proven.
    expires = (retention.minimum + 1) * days - 1
    if expires > retention.days:
        text = Said("drill_expiry", days=days, minimum=retention.minimum, expires=expires, asked=retention.days)
        yield Diagnosis("warn", conn_id, "drills in parts", text)
    oldest = 2 * days - 1
    for monitor in settings.monitors:
        limit_s = getattr(monitor, "error_after_s", None)
        if monitor.source == "snapshots" and limit_s and limit_s <= oldest * _DAY_S:
            text = Said("drill_monitor", monitor=monitor.name, limit=f"{limit_s / _DAY_S:.1f}", oldest=oldest)
            yield Diagnosis("warn", conn_id, "drills in parts", text)


def _days_per_proof(settings: Settings, resolve: Resolve, now: datetime) -> int:
    """Return in how many days the newest snapshot is rebuilt; if it cannot be read, the most that are allowed."""
    drill = settings.snapshot.drill
    try:
        client = s3_client(resolve(settings.connections.backup))
        newest = newest_snapshot(Store.of(client, settings.snapshot, encryption_of(settings, resolve)), good=True)
    except MindGuardError:  # other checks say why
        newest = None
    return plan_day(newest, (), drill, begun=None, now=now).days if newest else drill.every_days
