"""### restore_tables: bring back tables, or rows of them, from a snapshot after a person has approved.

**What.** Reads tables of a snapshot into a new schema of the application's database and counts how they differ from the
live ones. With *swap*, they then take the live tables' places in one transaction; the former tables stay under
`<table>_before_<snapshot id>`. Nothing is written before the approval: the plan is in the log of `plan_restore`, on the
approval page and on the card.

**When.** By hand: choose *Trigger* and fill in the form. With Airflow down, `mindguard snapshot restore` does the same.

**A rerun** (clear from `plan_restore`) plans and asks again. What a killed restore left is removed first.

**When it fails**, the live tables are unchanged, and what was created is removed, or the error says how to remove it.
It is no failure if rows contradict a constraint of today: the log says which is made as NOT VALID, or left out.

1. Read the error on the card: it says what to do. A swap that is refused names what depends on the live table.
2. *the snapshot is at fault*: choose an older one; `mindguard snapshot list` shows them.
3. If a swap was a mistake, `ALTER TABLE … RENAME` brings the former table back; for foreign keys see docs/adr/0009.
"""

from __future__ import annotations

import logging
from collections import namedtuple
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, get_current_context, task

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.airflow.notifier import ApprovalNotifier
from mindguard.alerts.severity import Severity

log = logging.getLogger(__name__)
_Job = namedtuple("_Job", "manifest store conninfo request")  # a snapshot, its store, the target, what to restore
TEXT = ["null", "string"]  # may be left empty
FORM = {
    "snapshot_id": Param("latest", type="string", title="Snapshot", description="Its id, or `latest`."),
    "tables": Param(
        [],
        type="array",
        items={"type": "string"},
        title="Tables",
        description="For instance public.checkins, one per line. Empty: all tables of the snapshot.",
    ),
    "where_key": Param(
        [],
        type="array",
        items={"type": "string", "pattern": "^[^=]+="},
        title="Only rows with",
        description="COLUMN=VALUE, one per line, for instance user_id=42. Empty: all rows.",
    ),
    "into": Param(None, type=TEXT, title="Into schema", description="A new one. Empty: restored_<snapshot id>."),
    "swap": Param(default=False, type="boolean", title="Swap", description="Put them in the live tables' places."),
    "quarantined": Param(default=False, type="boolean", title="Quarantined", description="Accept a quarantined one."),
    "connection": Param(None, type=TEXT, title="Target", description="Its id. Empty: connections.restore."),
}


@dag(
    schedule=None,
    dagrun_timeout=timedelta(hours=24),
    params=FORM,
    # P1: somebody is waiting for these rows.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("snapshots",)),
)
def restore_tables() -> None:
    @task(execution_timeout=timedelta(minutes=10))
    def plan_restore() -> dict[str, Any]:
        """Log and return the plan of the restore; change nothing."""
        from mindguard.snapshots.restore.tables import plan_restore as plan

        job = _job(get_current_context()["params"])
        lines = plan(job.manifest, job.conninfo, job.request).lines()
        for line in lines:
            log.info(line)
        return {"snapshot_id": job.manifest.snapshot_id, "text": "\n".join(f"- {line}" for line in lines)}

    # retries=0: a person must look at the failure before more is written.
    @task(execution_timeout=timedelta(hours=6), retries=0)
    def restore_tables(planned: dict[str, Any]) -> dict[str, Any]:
        """Restore as approved; `latest` still means the snapshot that was the latest when the plan was made."""
        from mindguard.snapshots.restore.tables import restore

        params = get_current_context()["params"] | {"snapshot_id": planned["snapshot_id"]}
        job = _job(params)
        done = restore(job.manifest, job.store, job.conninfo, job.request, progress=log.info)
        for line in done.lines():
            log.info(line)
        return done.summary()

    planned = plan_restore()
    approved = ApprovalOperator(
        task_id="approve_restore",
        subject="restore {{ ', '.join(params.tables) or 'all tables' }}{{ ' AND SWAP' if params.swap }}",
        body="{{ ti.xcom_pull(task_ids='plan_restore')['text'] }}",
        doc_md="Waits for a person. *Reject* restores nothing and is not a failure.",
        response_timeout=timedelta(hours=12),
        notifiers=[ApprovalNotifier(severity=Severity.P2)],
    )
    planned >> approved >> restore_tables(planned)


def _job(params: Any) -> _Job:
    """Return the snapshot, store, target and request that the form's values name."""
    from mindguard.airflow.clients import backup_store, connection
    from mindguard.connections import postgres_conninfo
    from mindguard.settings import load_settings
    from mindguard.snapshots.restore.tables import RestoreRequest
    from mindguard.snapshots.storage.catalog import find_snapshot

    settings = load_settings()
    store = backup_store(settings)
    conninfo = postgres_conninfo(connection(params["connection"] or settings.connections.restore))
    request = RestoreRequest(tuple(params["tables"]), tuple(params["where_key"]), params["into"] or "", params["swap"])
    found = find_snapshot(store, params["snapshot_id"], quarantined=params["quarantined"])
    return _Job(found, store, conninfo, request)


restore_tables()
