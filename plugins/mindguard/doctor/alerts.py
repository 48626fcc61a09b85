"""What alerts need: the incident store, the way to Feishu, the rota, the list of releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from mindguard.connections import Resolve
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.settings import Settings

_SHOWN_GAPS = 3

_LATE_S = 300.0
"""Age of a notification at which `alert_delivery`, which runs every minute, is at fault."""


def examine_incidents(conn_id: str, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Whether notifications leave the incident store. Raises ConnectionMissing, StoreUnavailable."""
    from mindguard.alerts.incidents.store import IncidentStore

    store = IncidentStore.of(resolve(conn_id))
    if not store.database.migrated():
        text = "the incident store's tables are made or updated at its first use"
        yield Diagnosis("pass", conn_id, "incident store", text)
        return
    depth = store.depth(now=now())
    waits = f"up to date, {depth.pending} notifications wait, the oldest for {depth.oldest_s:.0f} s"
    yield Diagnosis("warn" if depth.oldest_s > _LATE_S else "pass", conn_id, "incident store", waits)
    if depth.dead:
        text = f"Feishu refused {depth.dead} notifications – `mindguard incidents list` says why"
        yield Diagnosis("error", conn_id, "dead letters", text)


def examine_feishu(conn_id: str, resolve: Resolve) -> Iterator[Diagnosis]:
    """Whether the connection makes a client; nothing is sent. Raises ConnectionMissing."""
    from mindguard.feishu.app_client import app_from_connection, is_app
    from mindguard.feishu.client import hook_from_connection

    connection = resolve(conn_id)
    if is_app(connection):
        app = app_from_connection(connection)
        way = f"app {app.app_id} at {app.host}"
    else:
        way = f"hook at {hook_from_connection(connection).host}"
    yield Diagnosis("pass", conn_id, "connection", f"{way}; `mindguard feishu send resolved` sends a card to prove it")


def examine_rota(settings: Settings, now: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Whether somebody is on duty in every minute to come; nothing where no rota is set."""
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
    """Whether the list of releases can be read; nothing where none is set."""
    from mindguard.alerts.releases import read_releases

    if settings.releases is None:
        return
    found = read_releases(settings.releases, settings, resolve)
    if found:
        yield Diagnosis("pass", "releases", "list", f"latest is {found[0].version}")
    else:
        yield Diagnosis("warn", "releases", "list", "the list is empty")
