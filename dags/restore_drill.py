"""### restore_drill: rebuild each new snapshot and prove that it equals its source.

**What.** Rebuilds a snapshot in a scratch database on `connections.drill`: schema, rows, indexes, constraints and
sequences. Every table's row count and value fingerprint must then equal those of the source, and an INSERT must get an
unused number. The proof, with the seconds that the rebuild took (RTO), is stored beside the manifest; retention counts
proven snapshots only. The scratch database is dropped afterwards, whatever happened.

**When.** On the asset `mindguard_snapshot`, so after each verified snapshot. The oldest snapshot and one in between are
drilled with it, since stored bytes can decay. A run by hand does the same, or drills only the snapshot whose id is in
the form.

**In parts.** With `snapshot.drill.max_gb`, a run rebuilds whole tables of one snapshot up to that size, and goes on
with it on the next days. It is proven when every table was rebuilt and equal, within `drill.every_days`; then the
newest one has its turn, and older ones are not sampled. What needs tables of several parts at once, such as a foreign
key between them, is not shown by it, and the proof names it. `mindguard snapshot list` says how many are rebuilt.

**A rerun** drills again. An existing proof stays.

**When it is skipped**, the snapshot expired between its choice and the end of its drill, so there is nothing to prove.

**When it fails**, the card says what is at fault.

1. *cannot be restored* (P0): the snapshot is at fault. Take a new one now (`mindguard snapshot take`) and drill it.
   Keep the bad one. `mindguard snapshot list` and further drills show which is the newest good one.
2. *the drill broke* (P2): the scratch server, the network, the disk or a program is at fault. Correct that, then clear
   the task. What a killed drill left is removed by the next one.
3. *all values are proven, but …*, or in parts *… are equal, but …* (P2): a rebuilt database would lack the constraint,
   index or trigger that is named, or rows contradict it. The values are safe, and the proof is stored. Correct it in
   the source, or note what to do by hand after a restore.
4. *there is no snapshot …* (P2): the form names one that never was. `mindguard snapshot list` shows all.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, dag, get_current_context, task

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.airflow.forms import read_form
from mindguard.airflow.permanent import not_retried
from mindguard.alerts.severity import Severity

SNAPSHOT = Asset("mindguard_snapshot")

log = logging.getLogger(__name__)


@dag(
    schedule=SNAPSHOT,
    dagrun_timeout=timedelta(hours=12),
    params={"snapshot_id": read_form().field("drill", None, type=["null", "string"])},
    # P2: a drill that broke. An unrestorable snapshot raises an error whose own severity is P0.
    **dag_defaults(severity=Severity.P2, doc=__doc__, tags=("snapshots",)),
)
def restore_drill() -> None:
    @task(execution_timeout=timedelta(minutes=10))
    def choose_snapshots() -> list[str]:
        """Return the ids of the snapshots to rebuild, or of the one of which a part is due."""
        from mindguard.airflow.clients import backup_store
        from mindguard.jobs.drilling import choose
        from mindguard.settings import load_settings

        context = get_current_context()
        if asked := context["params"]["snapshot_id"]:
            return [asked]
        events = [event for found in context["triggering_asset_events"].values() for event in found]
        # There may be several events, in no order, if the DAG was paused. An id begins with the snapshot's time.
        ids = [event.extra["snapshot_id"] for event in events]
        with not_retried():
            settings = load_settings()
            return choose(backup_store(settings), settings.snapshot, ids, now=datetime.now(UTC))

    # retries=0: a drill must fail loudly. One at a time: they share the scratch server.
    @task(
        execution_timeout=timedelta(hours=4),
        retries=0,
        max_active_tis_per_dagrun=1,
        doc_md="Rebuild the snapshot, or a part of it, compare it, store the proof.",
    )
    def drill_snapshot(snapshot_id: str) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from mindguard.airflow.clients import backup_store, connection
        from mindguard.connections import postgres_conninfo
        from mindguard.jobs.drilling import drill_day
        from mindguard.settings import load_settings
        from mindguard.snapshots.progress import to_log
        from mindguard.snapshots.restore.drill import SnapshotExpired

        settings = load_settings()
        try:
            return drill_day(
                snapshot_id,
                backup_store(settings),
                settings.snapshot,
                postgres_conninfo(connection(settings.connections.drill)),
                now=datetime.now(UTC),
                asked=bool(get_current_context()["params"]["snapshot_id"]),
                progress=to_log(log),
            )
        except SnapshotExpired as error:
            raise AirflowSkipException(str(error)) from error

    drill_snapshot.expand(snapshot_id=choose_snapshots())


restore_drill()
