"""### snapshot_tables: take one consistent, verified snapshot of the key tables every day.

**What.** Copies the tables named in the settings (`snapshot.tables`) as they are at one instant into the backup bucket:
Parquet parts first, the manifest last. Without a manifest, a snapshot does not exist. Then what is new is read again
and compared with the manifest, and of the other parts a share each day, each within `verify_days`; at once what is
listed otherwise than it was read, and all if one is damaged (`docs/adr/0038`). Only a verified snapshot that is not
quarantined updates the asset `mindguard_snapshot`. Then snapshots expire: those older than `retention.days` that have
enough newer proven ones and no hold. Stored parts that no snapshot names any more are removed (`docs/adr/0010`).

**When.** 02:00 Asia/Shanghai, when the application is quiet (operations document, 5.4: daily snapshots).

**A rerun** (clear, or a manual trigger) takes a new snapshot of *now*, even for an old logical date, and says so in its
log. It never replaces an older snapshot. Parts that are stored already are recognised by their content and not read
again, so a retry continues where the last try ended.

**When it fails**, read the error on the card: it says what to do. `mindguard doctor` checks all connections and rights.

1. `take_snapshot` fails: nothing was published, and earlier snapshots are untouched. Correct the cause, then clear the
   task (or run `mindguard snapshot take`).
2. `verify_snapshot` says *damaged*: take a new snapshot now, which writes the damaged parts again. `mindguard snapshot
   hold` keeps the damaged one for analysis, `list` says how long ago parts were read, `verify` reads all of a snapshot.
3. `verify_snapshot` says *quarantined*: a table is empty, much smaller or has other columns, or there is no good
   snapshot that can be read and compared with. Nothing expires until this is settled. If the table is as it should be,
   name it in `snapshot.gate.expected` and take a new snapshot. If it is not, rows were lost: restore them from the last
   good snapshot.
4. `expire_snapshots` fails: the new snapshot is good. What could not be removed is tried again the next day. If it
   refuses because of the time, correct the clock that it names; if because of the store's listings, look at
   `mindguard snapshot list` first. `mindguard snapshot expire` without `--apply` only shows the plan.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Metadata, dag, get_current_context, task

from mindguard.airflow.dag_defaults import ZONE, dag_defaults
from mindguard.airflow.notifier import FeishuNotifier
from mindguard.airflow.permanent import not_retried
from mindguard.alerts.severity import Severity

SNAPSHOT = Asset("mindguard_snapshot")

log = logging.getLogger(__name__)


@dag(
    schedule=CronTriggerTimetable("0 2 * * *", timezone=ZONE.key, interval=timedelta(days=1)),
    dagrun_timeout=timedelta(hours=4),
    # P1: the day has no proven snapshot (operations document, 4.1). Data is at risk, but none is lost yet.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("snapshots",)),
)
def snapshot_tables() -> None:
    @task(execution_timeout=timedelta(hours=3))
    def take_snapshot() -> dict[str, Any]:
        """Export and publish a snapshot; return its id and the figures of the run."""
        from mindguard.airflow.clients import app_conninfo, backup_store
        from mindguard.settings import load_settings
        from mindguard.snapshots.export.take import take_snapshot as take
        from mindguard.snapshots.progress import to_log

        settings = load_settings()
        with not_retried():
            taken = take(
                app_conninfo(settings),
                backup_store(settings),
                settings.snapshot,
                now=datetime.now(UTC),
                zone=settings.zone,
                logical_date=get_current_context().get("logical_date"),
                progress=to_log(log),
            )
        return taken.summary()

    @task(execution_timeout=timedelta(hours=2), outlets=[SNAPSHOT])
    def verify_snapshot(taken: dict[str, Any]) -> Any:
        """Read what is new in the snapshot and what is due; the event of the asset carries its id."""
        from airflow.sdk.exceptions import AirflowFailException

        from mindguard.airflow.clients import backup_store
        from mindguard.settings import load_settings
        from mindguard.snapshots.progress import to_log
        from mindguard.snapshots.storage.catalog import find_snapshot
        from mindguard.snapshots.storage.verify import verify_due

        with not_retried():
            settings, now = load_settings(), datetime.now(UTC)
            store, days = backup_store(settings), settings.snapshot.verify_days
            manifest = find_snapshot(store, taken["snapshot_id"])
            verified = verify_due(manifest, store, now=now, verify_days=days, progress=to_log(log))
        log.info("%s", verified)
        verified.check()
        if manifest.quarantined_for:
            # A retry would find the same rows; a person has to look before anything expires.
            raise AirflowFailException(f"{manifest.snapshot_id} is quarantined: {'; '.join(manifest.quarantined_for)}")
        yield Metadata(SNAPSHOT, extra={"snapshot_id": taken["snapshot_id"], "key": taken["key"]})

    # P2, unlike the DAG: the day's snapshot is good, and old ones only take up space.
    @task(execution_timeout=timedelta(minutes=30), on_failure_callback=[FeishuNotifier(severity=Severity.P2)])
    def expire_snapshots() -> dict[str, Any]:
        """Remove snapshots that are beyond their retention; return what was decided and done."""
        from mindguard.airflow.clients import backup_store
        from mindguard.settings import load_settings
        from mindguard.snapshots.progress import to_log
        from mindguard.snapshots.retention.expire import expire_snapshots as expire

        settings = load_settings()
        store, snapshot, to = backup_store(settings), settings.snapshot, to_log(log)
        now, per_proof = datetime.now(UTC), snapshot.drill.days_per_proof
        with not_retried():
            expired = expire(store, snapshot.retention, now=now, apply=True, days_per_proof=per_proof, progress=to)
        expired.check()
        return expired.summary()

    verify_snapshot(take_snapshot()) >> expire_snapshots()


snapshot_tables()
