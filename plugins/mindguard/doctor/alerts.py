"""Examines what alerts need: the incident store, the connection to Feishu, the rota and the list of releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from mindguard.connections import Resolve
from mindguard.doctor.database import examine_ops
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
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
        yield Diagnosis("pass", conn_id, "incident store", Said("store_unmade"))
        return
    depth = store.depth(now=now())
    text = Said("store_depth", pending=depth.pending, oldest=f"{depth.oldest_s:.0f}")
    yield Diagnosis("warn" if depth.oldest_s > _LATE_S else "pass", conn_id, "incident store", text)
    if depth.dead:
        yield Diagnosis("error", conn_id, "dead letters", Said("dead_letters", dead=depth.dead))
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
            until = f"{silence.ends_at.astimezone(settings.zone):%m-%d %H:%M}"
            unused = silence.matched_at is None and moment - silence.starts_at > _UNUSED_AFTER
            text = Said("silence_idle" if unused else "silence", until=until, why=silence.why)
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
        text = Said("feishu_app", app=app.app_id, host=app.host)
    else:
        text = Said("feishu_hook", host=hook_from_connection(connection).host)
    yield Diagnosis("pass", conn_id, "connection", text)


def examine_rota(settings: Settings, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Check that somebody is on duty in every minute of the next 7 days. Yields nothing if no rota is set."""
    from mindguard.alerts.rota.ical import load_rota
    from mindguard.alerts.rota.rota import gaps, unpublished_years

    rota = load_rota(settings)
    if rota is None:
        return
    moment = now()
    found = gaps(rota, moment)
    for gap in found[:_SHOWN_GAPS]:
        begins, ends = (f"{each:%Y-%m-%d %H:%M}" for each in (gap.begins, gap.ends))
        text = Said("gap", begins=begins, ends=ends, why=gap.text)
        yield Diagnosis("error" if gap.kind == "nobody" else "warn", "rota", "gaps", text)
    if len(found) > _SHOWN_GAPS:
        yield Diagnosis("warn", "rota", "gaps", Said("more_gaps", count=len(found) - _SHOWN_GAPS))
    if not found:
        yield Diagnosis("pass", "rota", "gaps", Said("no_gap"))
    for year in unpublished_years(rota, moment):
        yield Diagnosis("warn", "rota", "calendar", Said("unpublished", year=year))


def examine_releases(settings: Settings, resolve: Resolve) -> Iterator[Diagnosis]:
    """Check that the list of releases can be read. Yields nothing if none is set."""
    from mindguard.alerts.releases import read_releases

    if settings.releases is None:
        return
    found = read_releases(settings.releases, settings, resolve)
    if found:
        yield Diagnosis("pass", "releases", "list", Said("latest_release", version=found[0].version))
    else:
        yield Diagnosis("warn", "releases", "list", Said("no_release"))
