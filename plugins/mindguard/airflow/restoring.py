"""What the tasks of `restore_tables` do: they read the form, and Airflow's connections."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mindguard.airflow.permanent import not_retried

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mindguard.alerts.dag_runs.approval import Asked
    from mindguard.jobs.restoring import Asker, PutBackMode
    from mindguard.settings import Settings
    from mindguard.snapshots.restore.put_back import PutBackRequest
    from mindguard.snapshots.restore.tables import RestoreRequest
    from mindguard.snapshots.storage.manifest import Manifest
    from mindguard.snapshots.storage.store import Store

log = logging.getLogger(__name__)


class _Job(NamedTuple):
    """A snapshot, its store, the target, and what to restore, as the form names them."""

    settings: Settings
    manifest: Manifest
    store: Store
    connection: str
    conninfo: str
    request: RestoreRequest


def plan(context: Context) -> dict[str, Any]:
    """Plan the restore that the form asks for; return the snapshot's id and what a person is asked.

    Raises:
        AirflowFailException: the form asks for what cannot be done; asking again would not help.
    """
    from mindguard.snapshots.restore.target import RestoreRefused
    from mindguard.snapshots.storage.catalog import SnapshotMissing

    with not_retried(RestoreRefused, SnapshotMissing):
        return _plan(context)


def _plan(context: Context) -> dict[str, Any]:
    from mindguard.jobs.restoring import restore_asked
    from mindguard.snapshots.restore import tables
    from mindguard.snapshots.restore.count import count_rows
    from mindguard.snapshots.restore.rows import parse_where
    from mindguard.snapshots.restore.target import RestoreRefused
    from mindguard.snapshots.storage.state import state_of

    job = _job(context["params"])
    then: PutBackMode = context["params"]["put_back"]
    if job.request.swap and then != "no":
        raise RestoreRefused(
            "rows that are swapped in cannot be put back too", hint="choose one of the two in the form"
        )
    planned = tables.plan_restore(job.manifest, job.conninfo, job.request)
    _log(planned.lines())
    rows = count_rows(planned, job.store)
    asker = _asker(context, job)
    state = state_of(job.store, job.manifest, now=asker.now)
    asked = restore_asked(planned, job.manifest, state, parse_where(job.request.where), rows, asker, then=then)
    return _as_result(asked, job)


def restore(context: Context, snapshot_id: str) -> dict[str, Any]:
    """Restore what was approved; `latest` still means the snapshot that was the latest when the plan was made."""
    from mindguard.snapshots.progress import to_log
    from mindguard.snapshots.restore import tables

    job = _job(context["params"] | {"snapshot_id": snapshot_id})
    done = tables.restore(job.manifest, job.store, job.conninfo, job.request, progress=to_log(log))
    _log(done.lines(job.connection))
    return done.summary()


@not_retried()
def plan_put_back(context: Context, restored: dict[str, Any]) -> dict[str, Any]:
    """Show how the restored rows differ from the live ones, as far as the form asks for them to be put back.

    Raises:
        AirflowSkipException: it does not ask for it, or nothing is missing or differs.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    from mindguard.jobs.restoring import put_back_asked
    from mindguard.snapshots.restore.put_back import show
    from mindguard.snapshots.storage.state import state_of

    if context["params"]["put_back"] == "no":
        raise AirflowSkipException("the form does not ask for rows to be put back")
    job = _job(context["params"] | {"snapshot_id": restored["snapshot_id"]})
    request = _put_back_request(context, restored)
    shown = show(job.manifest, job.conninfo, request, now=datetime.now(UTC), progress=log.info)
    if not any(each.missing or (request.overwrite and each.changed) for each in shown.tables.values()):
        raise AirflowSkipException("no row is to be put back")
    asker = _asker(context, job)
    state = state_of(job.store, job.manifest, now=asker.now)
    asked = put_back_asked(shown, job.manifest, state, asker, overwrite=request.overwrite)
    shown_at = {name: each.shown_at.isoformat() for name, each in shown.tables.items()}
    return _as_result(asked, job) | {"shown_at": shown_at}


def put_back(context: Context, restored: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any]:
    """Put back what was approved, as the difference was shown; log the statements that undo it.

    Raises:
        DifferenceVoid: what was approved is not what would be put back; the error names the task that asks again.
    """
    from mindguard.snapshots.restore import put_back as back

    job = _job(context["params"] | {"snapshot_id": restored["snapshot_id"]})
    shown_at = {name: datetime.fromisoformat(at) for name, at in planned["shown_at"].items()}
    request = _put_back_request(context, restored)
    try:
        done = back.put_back(job.manifest, job.conninfo, request, shown_at=shown_at, progress=log.info)
    except back.DifferenceVoid as error:
        error.hint = "clear the task plan_put_back with what follows it: it shows the difference of now, and asks again"
        raise
    _log(done.lines())
    return done.summary()


def _log(lines: Iterable[str]) -> None:
    for line in lines:
        log.info(line)


def _put_back_request(context: Context, restored: dict[str, Any]) -> PutBackRequest:
    from mindguard.snapshots.restore.put_back import PutBackRequest

    overwrite = context["params"]["put_back"] == "changed"
    return PutBackRequest(tuple(restored["tables"]), restored["schema"], overwrite=overwrite, asked=True)


def _as_result(asked: Asked, job: _Job) -> dict[str, Any]:
    _log(asked.lines(job.settings.locale))
    return {"snapshot_id": job.manifest.snapshot_id, "asked": asked.to_json()}


def _asker(context: Context, job: _Job) -> Asker:
    from mindguard.jobs.restoring import Asker

    dag_run: Any = context["dag_run"]
    settings = job.settings
    return Asker(
        name=dag_run.triggering_user_name or "",
        run_type=str(dag_run.run_type.value),
        connection=job.connection,
        locale=settings.locale,
        zone=settings.zone,
        now=datetime.now(UTC),
    )


def _job(params: Any) -> _Job:
    from mindguard.airflow.clients import backup_store, connection
    from mindguard.connections import postgres_conninfo
    from mindguard.settings import load_settings
    from mindguard.snapshots.restore.tables import RestoreRequest
    from mindguard.snapshots.storage.catalog import find_snapshot

    settings = load_settings()
    store = backup_store(settings)
    conn_id = params["connection"] or settings.connections.restore
    request = RestoreRequest(
        tuple(params["tables"] or ()), tuple(params["where_key"] or ()), params["into"] or "", params["swap"]
    )
    found = find_snapshot(store, params["snapshot_id"], quarantined=params["quarantined"])
    return _Job(settings, found, store, conn_id, postgres_conninfo(connection(conn_id)), request)
