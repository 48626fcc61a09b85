"""`mindguard doctor`: look at every connection before a run has to, and say what to change."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from mindguard.alerts.masking import mask_secrets
from mindguard.connections import Resolve, postgres_conninfo, s3_client
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.snapshots.source import Source, open_source
from mindguard.snapshots.store import ObjectExists, Store, StoreError

_TOLERATED_SKEW_S = 30.0
_SHOWN_GAPS = 3

_LATE_S = 300.0
"""Age of a notification at which `alert_delivery`, which runs every minute, is at fault."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    status: Literal["ok", "warn", "error"]
    what: str
    text: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def examine(settings: Settings, resolve: Resolve, *, now: Callable[[], datetime]) -> list[Finding]:
    """Everything that can be found out without changing anything but one probe object, which is removed again.

    Args:
        resolve: looks a connection up.
        now: aware current time, asked for each clock comparison.
    """
    ids = settings.connections
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        (ids.app, lambda: _source(settings, resolve, now)),
        (ids.backup, lambda: _store(settings, resolve)),
        (ids.ops, lambda: _incidents(ids.ops, resolve, now())),
        (ids.drill, lambda: _postgres(ids.drill, resolve)),
        (ids.events, lambda: _clickhouse(ids.events, resolve)),
        (ids.feishu, lambda: _feishu(ids.feishu, resolve)),
        ("rota", lambda: _rota(settings, now())),
        ("releases", lambda: _releases(settings, resolve)),
    ]
    findings: list[Finding] = []
    for conn_id, check in checks:
        try:
            findings.extend(check())
        except MindGuardError as error:
            findings.append(Finding("error", conn_id, str(error)))
        except Exception as error:  # noqa: BLE001 - one check that breaks must not hide what the others find
            text = mask_secrets(f"could not be checked, the check itself broke: {type(error).__name__}: {error}")
            findings.append(Finding("error", conn_id, " ".join(text.split())))
    return findings


def _source(settings: Settings, resolve: Resolve, now: Callable[[], datetime]) -> Iterator[Finding]:
    conn_id = settings.connections.app
    with open_source(postgres_conninfo(resolve(conn_id)), max_age_s=60) as source:
        version = source.identity.server_version
        yield Finding(
            "ok",
            conn_id,
            f"PostgreSQL {version // 10_000}.{version % 10_000}, database {source.identity.database}, "
            "a snapshot can be exported",
        )
        yield _clock(conn_id, source.server_time, now())
        for table in settings.snapshot.tables:
            yield from _table(source, table.name, table.part_by)


def _table(source: Source, name: str, part_by: str | None) -> Iterator[Finding]:
    try:
        table = source.describe(name, part_by)
        source.probe(table)
    except MindGuardError as error:
        yield Finding("error", name, str(error))
        return
    yield Finding("ok", name, f"readable, {table.bytes / 1e6:,.1f} MB, parts by {table.part_by}")
    if not table.part_by_indexed:
        yield Finding(
            "warn",
            name,
            f"{table.part_by} leads no index, so each part scans the whole table – index it, or drop part_by",
        )


def _store(settings: Settings, resolve: Resolve) -> Iterator[Finding]:
    conn_id = settings.connections.backup
    store = Store.of(s3_client(resolve(conn_id)), settings.snapshot)
    snapshots = store.manifest_keys()
    yield Finding("ok", conn_id, f"s3://{store.bucket}/{store.prefix} can be listed, {len(snapshots)} snapshots")
    body = secrets.token_bytes(64)
    key = f"{store.prefix}/probe/{secrets.token_hex(8)}"
    sha256 = hashlib.sha256(body).hexdigest()
    store.create(key, body, sha256=sha256, size=len(body))
    try:
        if store.digest(key) != (sha256, len(body)):
            yield Finding("error", conn_id, "the store gives back other bytes than were written")
        try:
            store.create(key, body, sha256=sha256, size=len(body))
        except ObjectExists:
            yield Finding("ok", conn_id, f"create-only writes with SHA-256, class {settings.snapshot.storage_class}")
        else:
            yield Finding(
                "error",
                conn_id,
                "the store ignores If-None-Match, so two runs could overwrite each other – use a store that honours it",
            )
    finally:
        yield from _removed(store, key, conn_id)


def _removed(store: Store, key: str, conn_id: str) -> Iterator[Finding]:
    try:
        store.remove_probe(key)
    except StoreError:
        # Fine for an exporter's key: the right to delete belongs to expiry alone.
        yield Finding("warn", conn_id, f"no right to delete, so the probe {key} stays")


def _postgres(conn_id: str, resolve: Resolve) -> Iterator[Finding]:
    with open_source(postgres_conninfo(resolve(conn_id)), max_age_s=60) as source:
        yield Finding("ok", conn_id, f"reachable, database {source.identity.database}")


def _incidents(conn_id: str, resolve: Resolve, now: datetime) -> Iterator[Finding]:
    from mindguard.alerts.incidents.store import IncidentStore

    store = IncidentStore.of(resolve(conn_id))
    if not store.migrated():
        yield Finding("ok", conn_id, "reachable; the incident store's tables are made or updated at its first use")
        return
    depth = store.depth(now=now)
    waits = f"{depth.pending} notifications wait, the oldest for {depth.oldest_s:.0f} s"
    yield Finding("warn" if depth.oldest_s > _LATE_S else "ok", conn_id, f"incident store up to date, {waits}")
    if depth.dead:
        yield Finding(
            "error", conn_id, f"Feishu refused {depth.dead} notifications – `mindguard incidents list` says why"
        )


def _clickhouse(conn_id: str, resolve: Resolve) -> Iterator[Finding]:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    found = resolve(conn_id)
    try:
        client = clickhouse_connect.get_client(
            host=found.host,
            port=found.port or 0,
            username=found.login or None,
            password=found.password,
            database=found.schema or "__default__",
            secure=bool(found.extra.get("secure", False)),
            connect_timeout=10,
        )
        version = client.server_version
        client.close()
    except (ClickHouseError, OSError) as error:
        line = " ".join(str(error).split())[:200]
        yield Finding("error", conn_id, f"ClickHouse: {line} – check host, port, user and password")
        return
    yield Finding("ok", conn_id, f"ClickHouse {version}")


def _feishu(conn_id: str, resolve: Resolve) -> Iterator[Finding]:
    from mindguard.feishu.app_client import app_from_connection, is_app
    from mindguard.feishu.client import hook_from_connection

    connection = resolve(conn_id)
    prove = "`mindguard feishu send resolved` sends a card to prove it"
    if is_app(connection):
        app = app_from_connection(connection)
        yield Finding("ok", conn_id, f"app {app.app_id} at {app.host}; {prove}")
    else:
        yield Finding("ok", conn_id, f"hook at {hook_from_connection(connection).host}; {prove}")


def _rota(settings: Settings, now: datetime) -> Iterator[Finding]:
    from mindguard.alerts.rota import gaps, unpublished, unpublished_years
    from mindguard.alerts.rota_ical import load_rota

    rota = load_rota(settings)
    if rota is None:
        return
    found = gaps(rota, now)
    for gap in found[:_SHOWN_GAPS]:
        yield Finding("error" if gap.kind == "nobody" else "warn", "rota", str(gap))
    if len(found) > _SHOWN_GAPS:
        yield Finding("warn", "rota", f"{len(found) - _SHOWN_GAPS} more; `mindguard rota check` lists all")
    if not found:
        yield Finding("ok", "rota", "every minute of the next 7 days has somebody on duty")
    for year in unpublished_years(rota, now):
        yield Finding("warn", "rota", unpublished(year))


def _releases(settings: Settings, resolve: Resolve) -> Iterator[Finding]:
    from mindguard.alerts.releases import read_releases

    if settings.releases is None:
        return
    found = read_releases(settings.releases, settings, resolve)
    if found:
        yield Finding("ok", "releases", f"latest is {found[0].version}")
    else:
        yield Finding("warn", "releases", "the list is empty")


def _clock(conn_id: str, theirs: datetime, ours: datetime) -> Finding:
    skew_s = abs((theirs - ours).total_seconds())
    if skew_s > _TOLERATED_SKEW_S:
        return Finding("warn", conn_id, f"clocks differ by {skew_s:.0f} s – synchronise this machine with NTP")
    return Finding("ok", conn_id, f"clocks agree within {skew_s:.1f} s")
