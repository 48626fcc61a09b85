"""### snapshot_tables: take one consistent, verified snapshot of the key tables every day.

**What.** Copies the tables named in the settings (`snapshot.tables`) as they are at one instant into the backup bucket:
Parquet parts first, the manifest last. Without a manifest, a snapshot does not exist. Then what is new is read again
and compared with the manifest, and an equal share of the other parts each day, each within `verify_days`. A part whose
listing changed is read at once, and all if one is damaged (`docs/adr/0037`). Only a verified snapshot that is not
quarantined updates the asset `mindguard_snapshot`. Then snapshots expire: those older than `retention.days` that have
enough newer proven ones and no hold. Stored parts that no snapshot names any more are removed (`docs/adr/0010`).

**When.** 02:00 Asia/Shanghai, when the application is quiet (operations document, 5.4: daily snapshots).

**A rerun** (clear, or a manual trigger) takes a new snapshot of *now*, even for an old logical date, and says so in its
log. It never replaces an older snapshot. Parts that are stored already are recognised and not read again.

**When it fails**, read the error on the card: it says what to do. `mindguard doctor` checks all connections and rights.

1. `take_snapshot` fails: nothing was published, and earlier snapshots are untouched. Correct the cause, then clear the
   task (or run `mindguard snapshot take`).
2. `verify_snapshot` says *damaged*: take a new snapshot now, which writes the damaged parts again. `mindguard snapshot
   hold` keeps the damaged one for analysis, `list` says how long ago parts were read, `verify` reads all of a snapshot.
3. `verify_snapshot` says *quarantined*: a table is empty, much smaller or has other columns, or there is no good
   snapshot that can be read and compared with. Nothing expires until this is settled. If the table is as it should be,
   name it in `snapshot.gate.expected` and take a new snapshot. If it is not, rows were lost: restore them from the last
   good snapshot.
4. `check_history` fails: values had changed although no transaction seems to have written them. The new snapshot is
   right, because it read all values. Find out who put an earlier state of the server back, or altered its files. Older
   snapshots that `mindguard snapshot list` calls *doubtful* may hold older values; `show` says of which tables.
5. `expire_snapshots` fails: the new snapshot is good. What could not be removed is tried again the next day. If it
   refuses because of the time, correct the clock that it names; if because of the store's listings, look at
   `mindguard snapshot list` first. `mindguard snapshot expire` without `--apply` only shows the plan.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Metadata, dag, get_current_context, task

from mindguard.airflow.dag_defaults import ZONE, dag_defaults
from mindguard.airflow.notifier import FeishuNotifier
from mindguard.airflow.permanent import not_retried
from mindguard.alerts.severity import Severity

SNAPSHOT = Asset("mindguard_snapshot")


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
        from mindguard.jobs.snapshotting import take
        from mindguard.settings import load_settings

        settings = load_settings()
        logical_date = get_current_context().get("logical_date")
        with not_retried():
            return take(settings, app_conninfo(settings), backup_store(settings), logical_date=logical_date)

    @task(execution_timeout=timedelta(hours=2), outlets=[SNAPSHOT])
    def verify_snapshot(taken: dict[str, Any]) -> Any:
        """Read what is new in the snapshot and what is due; the event of the asset carries its id."""
        from mindguard.airflow.clients import backup_store
        from mindguard.jobs.snapshotting import verify
        from mindguard.settings import load_settings

        settings = load_settings()
        with not_retried():
            verify(settings, taken["snapshot_id"], backup_store(settings))
        yield Metadata(SNAPSHOT, extra={"snapshot_id": taken["snapshot_id"], "key": taken["key"]})

    @task(execution_timeout=timedelta(minutes=5))
    def check_history(taken: dict[str, Any]) -> None:
        """Fail if values had changed although no transaction seems to have written them."""
        from mindguard.snapshots.export.trust import check_history as check

        with not_retried():
            check(taken["contradicted"])

    # P2, unlike the DAG: the day's snapshot is good, and old ones only take up space.
    @task(execution_timeout=timedelta(minutes=30), on_failure_callback=[FeishuNotifier(severity=Severity.P2)])
    def expire_snapshots() -> dict[str, Any]:
        """Remove snapshots that are beyond their retention; return what was decided and done."""
        from mindguard.airflow.clients import backup_store
        from mindguard.jobs.snapshotting import expire
        from mindguard.settings import load_settings

        settings = load_settings()
        with not_retried():
            return expire(settings, backup_store(settings))

    taken = take_snapshot()
    check_history(taken)
    verify_snapshot(taken) >> expire_snapshots()


snapshot_tables()
