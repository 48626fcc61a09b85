"""Examines ClickHouse, which holds the product events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from mindguard.connections import Resolve, clickhouse_client
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said, joined
from mindguard.settings import Settings
from mindguard.volume.registry import seen_names, unseen_events
from mindguard.volume.source import EventsUnreadable


def examine_clickhouse(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that ClickHouse answers this user, and that each key event is the name of some events.

    Raises:
        ConnectionMissing: the connection is not configured.
        MindGuardError: ClickHouse does not answer.
    """
    conn_id = settings.connections.events
    client = clickhouse_client(resolve(conn_id), connect_timeout=10)
    version = client.server_version
    client.close()
    yield Diagnosis("pass", conn_id, "connection", Said("clickhouse", version=version))
    if not settings.key_events:
        return
    try:
        seen = seen_names(settings, resolve, now())
    except EventsUnreadable as error:
        yield Diagnosis("warn", conn_id, "key events", Said("names_unchecked", error=error))
        return
    unseen = unseen_events(settings, seen, now())
    if unseen:
        yield Diagnosis("warn", conn_id, "key events", joined(unseen, by="sentences"))
    else:
        yield Diagnosis("pass", conn_id, "key events", Said("events_seen", count=len(settings.key_events)))
