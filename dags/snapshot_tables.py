"""
### snapshot_tables: one consistent, verified snapshot of the key tables, every day

**What.** Copies the tables named in the settings (`snapshot.tables`) as they are at one instant into the backup
bucket: Parquet parts first, the manifest last. Without a manifest a snapshot does not exist. Then every stored
part is read again and compared with the manifest; only a verified snapshot updates the asset `mindguard_snapshot`.

**When.** 02:00 Asia/Shanghai, when the application is quiet (operations document, 5.4: daily snapshots).

**A rerun** (clear, or a manual trigger) takes a new snapshot of *now*, also for an old logical date, and says so in
its log. It never replaces an older snapshot. Parts that are stored already are found by their content and not
read again, so a retry resumes where the last try ended.

**When it fails**, nothing was published and earlier snapshots are untouched.

1. Read the error on the card: it says what to do. `mindguard doctor` checks every connection and right.
2. Put that right, then clear the failed task (or run `mindguard snapshot take`).
3. If `verify_snapshot` failed, stored bytes are damaged: take a new snapshot now, and keep the other for analysis.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Metadata, dag, get_current_context, task

from mindguard.alerts.severity import Severity
from mindguard.dag_defaults import ZONE, dag_defaults

SNAPSHOT = Asset("mindguard_snapshot")

log = logging.getLogger(__name__)


@dag(
    schedule=CronTriggerTimetable("0 2 * * *", timezone=ZONE.key, interval=timedelta(days=1)),
    dagrun_timeout=timedelta(hours=4),
    # P1: the day has no proven snapshot (operations document, 4.1; data is at risk, none is lost yet).
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("snapshots",)),
)
def snapshot_tables() -> None:
    @task(execution_timeout=timedelta(hours=3))
    def take_snapshot() -> dict[str, Any]:
        """Export and publish; returns the snapshot's id and what it cost."""
        from mindguard.airflow_clients import app_conninfo, backup_store
        from mindguard.settings import load_settings
        from mindguard.snapshots.take import take_snapshot as take

        settings = load_settings()
        taken = take(
            app_conninfo(settings),
            backup_store(settings),
            settings.snapshot,
            now=datetime.now(UTC),
            zone=settings.zone,
            logical_date=get_current_context().get("logical_date"),
            progress=log.info,
        )
        return taken.summary()

    @task(execution_timeout=timedelta(hours=2), outlets=[SNAPSHOT])
    def verify_snapshot(taken: dict[str, Any]) -> Any:
        """Read the published snapshot back; the asset's event carries its id."""
        from mindguard.airflow_clients import backup_store
        from mindguard.settings import load_settings
        from mindguard.snapshots.catalog import find_snapshot
        from mindguard.snapshots.verify import verify_snapshot as verify

        store = backup_store(load_settings())
        verify(find_snapshot(store, taken["snapshot_id"]), store, progress=log.info).check()
        yield Metadata(SNAPSHOT, extra={"snapshot_id": taken["snapshot_id"], "key": taken["key"]})

    verify_snapshot(take_snapshot())


snapshot_tables()
