"""Examines what alerts need: the incident store, the connection to Feishu, the rota and the list of releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from mindguard.connections import Resolve
from mindguard.doctor.database import examine_ops
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.settings import Settings

_SHOWN_GAPS = 3

_UNUSED_AFTER = timedelta(hours=1)

_LATE_S = 300.0
"""Age of a waiting notification above which `alert_delivery`, which runs every minute, must be at fault."""


def examine_incident_store(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that the incident store answers and that notifications leave it.

    Raises:
        ConnectionMissing: the connection is not configured.
        TargetError, StoreUnavailable: the database does not answer.
    """
    from mindguard.alerts.incidents.store import IncidentStore

    yield from examine_ops(settings, resolve, now)
    conn_id = settings.connections.ops
    store = IncidentStore.of(resolve(conn_id))
    if not store.database.migrated():
        text = "the tables of the incident store are created or updated when it is first used"
        yield Diagnosis("pass", conn_id, "incident store", text)
        return
    depth = store.depth(now=now())
    text = f"up to date, {depth.pending} notifications are waiting, the oldest for {depth.oldest_s:.0f} s"
    yield Diagnosis("warn" if depth.oldest_s > _LATE_S else "pass", conn_id, "incident store", text)
    if depth.dead:
        text = f"Feishu refused {depth.dead} notifications – `mindguard incidents list` says why"
        yield Diagnosis("error", conn_id, "dead letters", text)
    yield from examine_silences(settings, resolve, now)


def examine_silences(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Name the silences that are active, and those that have silenced nothing yet. Yields nothing if there are none.

    Raises:
        ConnectionMissing: the connection is not configured.
        StoreUnavailable: the database does not answer.
    """
    from mindguard.alerts.incidents.silences import SilenceStore
    from mindguard.database.session import OpsDatabase

    database = OpsDatabase.of(resolve(settings.connections.ops))
    if not database.migrated():
        return
    moment = now()
    for silence in SilenceStore(database).list(now=moment):
        if silence.state(moment) == "active":
            until = f"until {silence.ends_at.astimezone(settings.zone):%m-%d %H:%M}: {silence.why}"
            unused = silence.matched_at is None and moment - silence.starts_at > _UNUSED_AFTER
            text = f"has silenced nothing so far – are its matchers right? It lasts {until}" if unused else until
            yield Diagnosis("warn" if unused else "pass", "silences", silence.name, text)


def examine_feishu(conn_id: str, resolve: Resolve) -> Iterator[Diagnosis]:
    """Check that a client can be created from the connection. Nothing is sent.

    Raises:
        ConnectionMissing: the connection is not configured.
    """
    from mindguard.feishu.app_client import app_from_connection, is_app
    from mindguard.feishu.client import hook_from_connection

    connection = resolve(conn_id)
    if is_app(connection):
        app = app_from_connection(connection)
        sender = f"app {app.app_id} at {app.host}"
    else:
        sender = f"hook at {hook_from_connection(connection).host}"
    text = f"{sender}; `mindguard feishu send resolved` sends a card as proof"
    yield Diagnosis("pass", conn_id, "connection", text)


def examine_rota(settings: Settings, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that somebody is on duty in every minute of the next 7 days. Yields nothing if no rota is set."""
    from mindguard.alerts.rota.ical import load_rota
    from mindguard.alerts.rota.rota import gaps, unpublished, unpublished_years

    rota = load_rota(settings)
    if rota is None:
        return
    moment = now()
    found = gaps(rota, moment)
    for gap in found[:_SHOWN_GAPS]:
        yield Diagnosis("error" if gap.kind == "nobody" else "warn", "rota", "gaps", str(gap))
    if len(found) > _SHOWN_GAPS:
        yield Diagnosis("warn", "rota", "gaps", f"{len(found) - _SHOWN_GAPS} more; `mindguard rota check` lists all")
    if not found:
        yield Diagnosis("pass", "rota", "gaps", "every minute of the next 7 days has somebody on duty")
    for year in unpublished_years(rota, moment):
        yield Diagnosis("warn", "rota", "calendar", unpublished(year))


def examine_releases(settings: Settings, resolve: Resolve) -> Iterator[Diagnosis]:
    """Check that the list of releases can be read. Yields nothing if none is set."""
    from mindguard.alerts.releases import read_releases

    if settings.releases is None:
        return
    found = read_releases(settings.releases, settings, resolve)
    if found:
        yield Diagnosis("pass", "releases", "list", f"the latest is {found[0].version}")
    else:
        yield Diagnosis("warn", "releases", "list", "the list is empty")
