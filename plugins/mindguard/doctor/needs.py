"""Which settings need which connection. What no setting needs may be missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

from mindguard.monitors.sources import connection_id
from mindguard.settings import Settings
from mindguard.volume.suites import SuiteUnsound, own_suites, read_suite


def needs(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the settings that need a connection, by its key under `connections`."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    with suppress(SuiteUnsound):  # the examination of the suites says what is wrong with one
        for key, setting in _needs(settings):
            found[key].append(setting)
    return {key: tuple(dict.fromkeys(by)) for key, by in found.items()}


def _needs(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "app", "snapshot.tables"
    yield "backup", "snapshot.bucket"
    if settings.snapshot.encryption.enabled:
        yield "keys", "snapshot.encryption"
    yield from _of_alerts(settings)
    keys = {conn_id: key for key, conn_id in settings.connections.model_dump().items()}
    for monitor in settings.monitors:
        yield "ops", "monitors"  # it keeps what they remember
        if key := keys.get(connection_id(monitor, settings) or ""):
            yield key, f"monitors.{monitor.name}"
        if monitor.source == "snapshots":  # it counts proven ones only
            yield "drill", f"monitors.{monitor.name}"
    yield from _of_events(settings)


def _of_events(settings: Settings) -> Iterator[tuple[str, str]]:
    for setting in ("key_events", "funnels"):
        if getattr(settings, setting):
            yield "events", setting
    if settings.suites:
        for path in own_suites(settings):
            yield read_suite(path).meta.database, f"suites ({path.name})"


def _of_alerts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield what calls people, or asks them to answer: by the cards of incidents."""
    given = {
        "rota": settings.rota is not None,
        "escalation": "escalation" in settings.model_fields_set,
        "alerts.acknowledge_base_url": settings.alerts.acknowledge_base_url is not None,
    }
    for name in (name for name, is_given in given.items() if is_given):
        yield from (("feishu", name), ("ops", name))
