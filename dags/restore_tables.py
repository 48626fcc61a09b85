"""### restore_tables: bring back tables, or rows of them, from a snapshot after a person has approved.

**What.** Reads tables of a snapshot into a new schema of the application's database and counts how they differ from the
live ones. With *swap*, they then take the live tables' places in one transaction; the former tables stay under
`<table>_before_<snapshot id>`. With *put back*, rows that are missing there, or have changed, go back into the live
tables instead, once their difference was shown and approved too; the log of `put_rows_back` says how to undo it.
Nothing is written before an approval: page and card say which snapshot it is, whether it is proven, how many rows come,
where they go, and who asks. Only the page shows the values by which rows are chosen. The card then says who decided.

**When.** By hand: choose *Trigger* and fill in the form. With Airflow down, `mindguard snapshot restore` does the same.

**A rerun** (clear from `plan_restore`) plans and asks again. What a killed restore left is removed first. Without an
answer for 12 hours the run fails, and nothing more is written. *Reject* is no failure. To see the difference of now
before rows go back, clear from `plan_put_back`.

**Afterwards**, whoever needs nothing from it any more runs `DROP SCHEMA "restored_<snapshot id>" CASCADE`: it is a copy
of what the snapshot has, but also keeps what a put-back has overwritten, without which it cannot be undone.

**When it fails**, the live tables are unchanged, and what was created is removed, or the error says how to remove it.
It is no failure if rows contradict a constraint of today: the log says which is made as NOT VALID, or left out.

1. Read the error on the card: it says what to do. A swap that is refused names what depends on the live table.
2. *the snapshot is at fault*: choose an older one; `mindguard snapshot list` shows them.
3. If a swap was a mistake, `ALTER TABLE … RENAME` brings the former table back; for foreign keys see docs/adr/0009.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, get_current_context, task

from mindguard.airflow import restoring
from mindguard.airflow.approval import Approval
from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.airflow.forms import LINES, read_form
from mindguard.alerts.severity import Severity

TEXT = ["null", "string"]  # may be left empty
form = read_form()
FORM = {
    "snapshot_id": form.field("snapshot", "latest", type="string"),
    "tables": form.chosen_tables(),
    "where_key": form.field("where", [], **LINES | {"items": {"type": "string", "pattern": "^[^=]+="}}),
    "into": form.field("into", None, type=TEXT),
    "put_back": form.field(
        "put_back",
        "no",
        type="string",
        enum=["no", "missing", "changed"],
        values_display={each: form.say(f"put_back_{each}") for each in ("no", "missing", "changed")},
    ),
    "swap": form.field("swap", default=False, type="boolean"),
    "quarantined": form.field("quarantined", default=False, type="boolean"),
    "connection": form.field("target", None, type=TEXT),
}


@dag(
    schedule=None,
    dagrun_timeout=timedelta(hours=36),  # two approvals, and the work
    params=FORM,
    # P1: somebody is waiting for these rows.
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("snapshots",)),
)
def restore_tables() -> None:
    @task(execution_timeout=timedelta(minutes=10))
    def plan_restore() -> dict[str, Any]:
        """Log the plan of the restore, and return what a person is asked; change nothing."""
        return restoring.plan(get_current_context())

    # retries=0: a person must look at the failure before more is written.
    @task(execution_timeout=timedelta(hours=6), retries=0)
    def restore_tables(planned: dict[str, Any]) -> dict[str, Any]:
        """Restore as approved; `latest` still means the snapshot that was the latest when the plan was made."""
        return restoring.restore(get_current_context(), planned["snapshot_id"])

    @task(execution_timeout=timedelta(hours=1))
    def plan_put_back(restored: dict[str, Any]) -> dict[str, Any]:
        """Show how restored and live rows differ, and return what a person is asked; skipped if nothing is to do."""
        return restoring.plan_put_back(get_current_context(), restored)

    # retries=0: a person must look at the failure before more is written.
    @task(execution_timeout=timedelta(hours=2), retries=0)
    def put_rows_back(restored: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
        """Put rows back in one transaction, as approved; what came or changed since the difference was shown stays."""
        return restoring.put_back(get_current_context(), restored, shown)

    planned = plan_restore()
    approved = Approval(
        task_id="approve_restore",
        planned_by="plan_restore",
        values_in="where_key",
        doc_md="Waits 12 hours for a person. *Reject* restores nothing and is not a failure; no answer is one.",
    )
    restored = restore_tables(planned)
    planned >> approved >> restored
    shown = plan_put_back(restored)
    approved_again = Approval(
        task_id="approve_put_back",
        planned_by="plan_put_back",
        values_in="where_key",
        doc_md="Waits 12 hours for a person. *Reject* leaves the rows in their schema and is not a failure.",
    )
    shown >> approved_again >> put_rows_back(restored, shown)


restore_tables()
