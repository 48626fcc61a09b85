"""Compares the key events of the settings with the names that events have."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from mindguard.connections import Resolve
from mindguard.documents import similar
from mindguard.settings import Settings
from mindguard.volume.series import HISTORY_DAYS
from mindguard.volume.source import EventSource
from mindguard.volume.texts import TEXTS


def seen_names(settings: Settings, resolve: Resolve, now: datetime) -> list[str]:
    """Return the names of the events that the checks can compare with, the most frequent first.

    Raises:
        ConnectionMissing, MindGuardError: The connection is not configured, or cannot be opened.
        EventsUnreadable: ClickHouse refuses the query, for instance because there is no rollup.
    """
    return EventSource.of(settings, resolve).names(now - timedelta(days=HISTORY_DAYS))


def unseen_events(settings: Settings, seen: Collection[str], now: datetime) -> list[str]:
    """Return one sentence for each key event that no event has as its name, unless it is not due yet."""
    today = now.astimezone(settings.zone).date()
    return [
        unseen(event.name, seen)
        for event in settings.key_events
        if event.name not in seen and not (event.since and event.since >= today)
    ]


def unseen(name: str, seen: Collection[str]) -> str:
    """Return the sentence that no event has this name."""
    close = similar(name, seen)
    meant = TEXTS.said("unseen_meant", name=close) if close else ""
    return TEXTS.said("unseen", days=HISTORY_DAYS, name=f"{name!r:.80}", meant=meant)
