"""`mindguard doctor`: examines every connection before a run needs it, and says what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from mindguard.connections import Resolve
from mindguard.doctor import airflow, alerts, database, drills, events, files, keys, monitors, store
from mindguard.doctor.diagnosis import Diagnosis, how_to_add, tried
from mindguard.doctor.needs import needs
from mindguard.doctor.texts import Said
from mindguard.errors import ConnectionMissing
from mindguard.settings import Settings

_NAMED = 3
_MISSED = ("drill", "ops", "feishu", "airflow")
"""Keys of connections without which the package stays silent, or the bucket grows, whatever the settings say."""


def examine(settings: Settings, resolve: Resolve, *, now: Callable[[], datetime]) -> list[Diagnosis]:
    """Return everything that can be found out without changing anything except probe objects, which are removed again.

    Args:
        settings: names the connections, tables and monitors to examine.
        resolve: looks up a connection.
        now: returns the present time, aware; called for each comparison of clocks.
    """
    ids, needed = settings.connections, needs(settings)
    connections: dict[str, Iterator[Diagnosis]] = {
        "app": database.examine_source(settings, resolve, now),
        "backup": store.examine_store(settings, resolve, now),
        "keys": keys.examine_keys(settings, resolve),
        "drill": database.examine_drill(settings, resolve, now),
        "restore": database.examine_restore(settings, resolve, now),
        "ops": alerts.examine_incident_store(settings, resolve, now),
        "events": events.examine_clickhouse(settings, resolve, now),
        # Their monitors say more than an attempt of their own would.
        "prometheus": _found(ids.prometheus, resolve),
        "kafka": _found(ids.kafka, resolve),
        "feishu": alerts.examine_feishu(ids.feishu, resolve),
        "airflow": airflow.examine_airflow(settings, resolve, now),
        "metrics": airflow.examine_metrics(settings, resolve),
    }
    checks: list[tuple[str, str, Iterator[Diagnosis]]] = [
        ("settings", "file", files.examine_settings()),
        *(
            (conn_id, "connection", _as_needed(key, conn_id, needed.get(key, ()), findings))
            for key, findings in connections.items()
            for conn_id in (getattr(ids, key),)
        ),
        (ids.drill, "drills in parts", drills.examine_drills(settings, resolve, now)),
        ("rota", "connection", alerts.examine_rota(settings, now)),
        ("releases", "connection", alerts.examine_releases(settings, resolve)),
        ("suites", "folder", files.examine_suites(settings)),
        ("monitors", "connection", monitors.examine_monitors(settings, resolve, now)),
    ]
    return [finding for what, check, findings in checks for finding in tried(what, check, findings)]


def _found(conn_id: str, resolve: Resolve) -> Iterator[Diagnosis]:
    resolve(conn_id)
    yield from ()


def _as_needed(
    key: str, conn_id: str, needed_by: tuple[str, ...], findings: Iterator[Diagnosis]
) -> Iterator[Diagnosis]:
    """Yield the findings; if the connection is missing, say which settings need it, or what goes wrong without it."""
    try:
        yield from findings
    except ConnectionMissing as error:
        if error.conn_id != conn_id:
            raise
        if needed_by:
            text = Said("needed", needed_by=_first(needed_by), hint=how_to_add(error))
            yield Diagnosis("error", conn_id, "connection", text)
        else:
            missed = key in _MISSED
            facts = {"without": Said(f"without_{key}"), "hint": how_to_add(error)}
            text = Said("missed" if missed else "not_used", **facts)
            yield Diagnosis("warn" if missed else "unused", conn_id, "connection", text)


def _first(settings: tuple[str, ...]) -> str:
    named = ", ".join(settings[:_NAMED])
    return named if len(settings) <= _NAMED else Said("and_more", first=named, count=len(settings))
