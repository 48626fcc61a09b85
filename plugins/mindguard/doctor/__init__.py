"""`mindguard doctor`: look at every connection before a run has to, and say what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from mindguard.connections import Resolve
from mindguard.doctor import alerts, database, events, keys, monitors, store
from mindguard.doctor.diagnosis import Diagnosis, tried
from mindguard.errors import ConnectionMissing
from mindguard.settings import Settings


def examine(settings: Settings, resolve: Resolve, *, now: Callable[[], datetime]) -> list[Diagnosis]:
    """Everything that can be found out without changing anything but probe objects, which are removed again.

    Args:
        resolve: looks a connection up.
        now: aware current time, asked for each clock comparison.
    """
    ids = settings.connections
    checks: list[tuple[str, Iterator[Diagnosis]]] = [
        (ids.app, database.examine_source(settings, resolve, now)),
        (ids.backup, store.examine_store(settings, resolve, now)),
        (ids.keys, keys.examine_keys(settings, resolve)),
        (ids.drill, database.examine_drill(settings, resolve, now)),
        (ids.restore, _unless_missing(ids.restore, _RESTORE, database.examine_restore(settings, resolve, now))),
        (ids.ops, _unless_missing(ids.ops, _INCIDENTS, database.examine_ops(settings, resolve, now))),
        (ids.ops, _unless_missing(ids.ops, None, alerts.examine_incidents(ids.ops, resolve, now))),
        (ids.events, _unless_missing(ids.events, _EVENTS, events.examine_clickhouse(ids.events, resolve))),
        (ids.feishu, alerts.examine_feishu(ids.feishu, resolve)),
        ("rota", alerts.examine_rota(settings, now)),
        ("releases", alerts.examine_releases(settings, resolve)),
        ("monitors", monitors.examine_monitors(settings, resolve, now)),
    ]
    return [finding for conn_id, findings in checks for finding in tried(conn_id, "connection", findings)]


_EVENTS = "without it nothing is known of the product's events"
_INCIDENTS = "alerts go out directly without it, with neither repeats told apart nor escalation"
_RESTORE = "only restores use it; one that is needed in earnest wants it ready"


def _unless_missing(conn_id: str, why: str | None, findings: Iterator[Diagnosis]) -> Iterator[Diagnosis]:
    """A connection that the daily run does without may be missing. Without a `why` it was said before."""
    try:
        yield from findings
    except ConnectionMissing as error:
        if why is not None:
            yield Diagnosis("warn", conn_id, "connection", f"{why}: {error}")
