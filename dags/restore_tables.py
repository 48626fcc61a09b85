"""
### restore_tables: bring tables, or rows of them, back from a snapshot, after a person has approved

**What.** Reads tables of a snapshot into a new schema of the application's database and counts how they differ from the
live ones. With *swap* they then take the live tables' places in one transaction; the former ones stay under
`<table>_before_<snapshot id>`. Nothing is written before the approval: the plan is in the log of `plan_restore`, on the
approval page and on the card.

**When.** By hand: *Trigger*, fill in the form. With Airflow down: `mindguard snapshot restore` does the same.

**A rerun** (clear from `plan_restore`) plans and asks again. A schema that holds the tables from an earlier try is
refused: name another one, or drop it.

**When it fails**, live tables are as they were and what was made in the new schema is gone.

1. Read the error on the card: it says what to do. A swap that is refused names what hangs on the live table.
2. *the snapshot is at fault*: choose an older one; `mindguard snapshot list` shows them.
3. After a swap that was a mistake, the former table is one `ALTER TABLE … RENAME` away; foreign keys see docs/adr/0009.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, get_current_context, task

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.airflow.notifier import ApprovalNotifier
from mindguard.alerts.severity import Severity

log = logging.getLogger(__name__)

FORM = {
    "snapshot_id": Param("latest", type="string", title="Snapshot", description="Its id, or `latest`."),
    "tables": Param(
        [],
        type="array",
        items={"type": "string"},
        title="Tables",
        description="For instance public.checkins, one a line. None: all of the snapshot.",
    ),
    "where_key": Param(
        [],
        type="array",
        items={"type": "string", "pattern": "^[^=]+="},
        title="Only rows with",
        description="COLUMN=VALUE, one a line, for instance user_id=42. None: all rows.",
    ),
    "into": Param("", type="string", title="Into schema", description="A new one. Empty: restored_<snapshot id>."),
    "swap": Param(False, type="boolean", title="Swap", description="Then put them in the live tables' places."),
    "connection": Param("", type="string", title="Target", description="Connection id. Empty: connections.restore."),
}


@dag(
    schedule=None,
    dagrun_timeout=timedelta(hours=24),
    params=FORM,
    # P1: somebody waits for these rows.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("snapshots",)),
)
def restore_tables() -> None:
    @task(execution_timeout=timedelta(minutes=10))
    def plan_restore() -> dict[str, Any]:
        """Say what would be read and written; change nothing."""
        from mindguard.snapshots.restore.tables import plan_restore as plan

        manifest, _, conninfo, request = _asked(get_current_context()["params"])
        lines = plan(manifest, conninfo, request).lines()
        for line in lines:
            log.info(line)
        return {"snapshot_id": manifest.snapshot_id, "text": "\n".join(f"- {line}" for line in lines)}

    # retries=0: a person looks at what failed before more is written.
    @task(execution_timeout=timedelta(hours=6), retries=0)
    def restore_tables(planned: dict[str, Any]) -> dict[str, Any]:
        """Do what was approved: `latest` is by now the snapshot that was the latest when it was planned."""
        from mindguard.snapshots.restore.tables import restore

        params = get_current_context()["params"] | {"snapshot_id": planned["snapshot_id"]}
        manifest, store, conninfo, request = _asked(params)
        done = restore(manifest, store, conninfo, request, progress=log.info)
        for line in done.lines():
            log.info(line)
        return done.summary()

    planned = plan_restore()
    approved = ApprovalOperator(
        task_id="approve_restore",
        subject="restore {{ ', '.join(params.tables) or 'all tables' }}{{ ' AND SWAP' if params.swap }}",
        body="{{ ti.xcom_pull(task_ids='plan_restore')['text'] }}",
        doc_md="Waits for a person. *Reject* restores nothing, and is no failure.",
        response_timeout=timedelta(hours=12),
        notifiers=[ApprovalNotifier(severity=Severity.P2)],
    )
    planned >> approved >> restore_tables(planned)


def _asked(params: Any) -> tuple[Any, Any, str, Any]:
    """Manifest, store, target and request that the form's values name."""
    from mindguard.airflow.clients import backup_store, connection
    from mindguard.connections import postgres_conninfo
    from mindguard.settings import load_settings
    from mindguard.snapshots.restore.tables import RestoreRequest
    from mindguard.snapshots.storage.catalog import find_snapshot

    settings = load_settings()
    store = backup_store(settings)
    conninfo = postgres_conninfo(connection(params["connection"] or settings.connections.restore))
    request = RestoreRequest(tuple(params["tables"]), tuple(params["where_key"]), params["into"], params["swap"])
    return find_snapshot(store, params["snapshot_id"]), store, conninfo, request


restore_tables()
