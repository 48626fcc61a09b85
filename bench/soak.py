"""Simulated months of snapshots, proofs and expiry, over the real engines.

    python bench/soak.py [--days 36] [--churn 1] [--rows 1000000] [--keep-days 30] [--write FILE]

On every simulated day the application adds and changes rows, a snapshot is taken and proven by a drill, and retention
is applied; the time is passed in. At the end everything is checked: the snapshots that are kept are those that the
rules name, they are stored at the promised price, and every one of them is whole.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from devstack.data.sample_data import SHANGHAI, churn, load_tables
from devstack.simulated_store import SimulatedStore
from devstack.stack import Stack
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.take import take_snapshot
from mindguard.snapshots.restore.drill import DrillBroke, drill
from mindguard.snapshots.retention.expire import expire_snapshots
from mindguard.snapshots.storage.catalog import list_snapshots, proven
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.proof import Proof
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot

PROMISED_STORAGE = 1.6
"""The size of all snapshots together, relative to the newest one alone, at 1 % churn a day."""
DAY = timedelta(days=1)
BUCKET = "soak"


@dataclass
class Day:
    """The figures of one simulated day. Sizes are in bytes, times in seconds."""

    number: int
    rows: int
    snapshot_bytes: int
    written_parts: int
    reused_parts: int
    stored_bytes: int
    kept: int
    expired: int
    take_s: float
    drill_s: float


@dataclass
class Soak:
    """The result of a simulation; `faults` is empty when every promise was kept."""

    days: list[Day] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def storage_factor(self) -> float:
        """The size of everything under the prefix, relative to the newest snapshot alone."""
        return self.days[-1].stored_bytes / self.days[-1].snapshot_bytes


def simulate(
    app_conninfo: str,
    drill_conninfo: str,
    store: SimulatedStore,
    settings: SnapshotSettings,
    *,
    days: int,
    percent: float,
    start: datetime,
    progress: Callable[[Day], None] = lambda day: None,
) -> Soak:
    """Simulate some days; the sample tables are loaded already.

    Args:
        app_conninfo: the source, as a role that may write: the application.
        drill_conninfo: scratch server, as a role that may create databases.
        store: an empty prefix.
        settings: tables and retention.
        days: number of days to simulate.
        percent: rows that each day adds, in percent.
        start: the real time, aware; it becomes the time of the first day.
        progress: called with each day when it is done.
    """
    soak = Soak()
    taken_at: dict[str, datetime] = {}
    for number in range(days):
        now = store.now = start + number * DAY
        if number:
            churn(app_conninfo, percent=percent, seed=number)
        taken = take_snapshot(app_conninfo, store, settings, now=now, zone=SHANGHAI)
        proof = _prove(taken.manifest, store, drill_conninfo, now)
        taken_at[taken.manifest.snapshot_id] = taken.manifest.taken_at
        expired = expire_snapshots(store, settings.retention, now=now, apply=True)
        soak.faults += expired.faults + [f"foreign: {key}" for key in expired.foreign]
        kept = {each.snapshot_id for each in list_snapshots(store)}
        wanted = {each for each, at in taken_at.items() if now - at <= settings.retention.days * DAY}
        wanted.update(sorted(taken_at)[-settings.retention.minimum :])
        if kept != wanted:
            soak.faults.append(f"day {number}: kept but not wanted {kept - wanted}, wanted but gone {wanted - kept}")
        reports = taken.tables.values()
        soak.days.append(
            Day(
                number=number,
                rows=taken.manifest.rows,
                snapshot_bytes=taken.manifest.stored_bytes,
                written_parts=sum(each.parts_written for each in reports),
                reused_parts=sum(each.parts_reused for each in reports),
                stored_bytes=sum(each.bytes for each in store.listing()),
                kept=len(kept),
                expired=len(expired.snapshots),
                take_s=taken.seconds,
                drill_s=proof.seconds,
            )
        )
        progress(soak.days[-1])
    soak.faults += _faults_at_the_end(store, drill_conninfo, start + days * DAY)
    return soak


def _prove(manifest: Manifest, store: Store, conninfo: str, now: datetime) -> Proof:
    """Prove a snapshot by a drill.

    A drill that failed only afterwards, while it cleaned up, has left its proof all the same.
    """
    try:
        return drill(manifest, store, conninfo, now=now)
    except DrillBroke as error:
        if proof := proven(store).get(manifest.snapshot_id):
            print(error, file=sys.stderr)
            return proof
        raise


def _faults_at_the_end(store: Store, drill_conninfo: str, now: datetime) -> list[str]:
    """Check that every kept snapshot is whole and proven, and that every stored object is needed by one of them."""
    snapshots = list_snapshots(store)
    faults = [fault for each in snapshots for fault in verify_snapshot(each, store).faults]
    proofs = proven(store)
    faults += [f"{each.snapshot_id} is not proven" for each in snapshots if each.snapshot_id not in proofs]
    # The kept snapshots were proven when they were new; what has expired since must not have taken parts of theirs.
    for each in (snapshots[0], snapshots[len(snapshots) // 2]):
        drill(each, store, drill_conninfo, now=now)
    needed = {stored.key for each in snapshots for stored in each.objects}
    orphans = {each.key for each in store.listing() if store.layout.kind(each.key) in {"part", "schema"}} - needed
    return faults + [f"{key} is stored but no snapshot needs it" for key in sorted(orphans)]


def figures(soak: Soak, command: str) -> dict[str, Any]:
    """Make the table for docs/benchmarks.md, with every fifth day and the last."""
    heads = ("day", "rows", "one snapshot MB", "parts written", "reused", "kept", "all stored MB", "factor")
    return {
        "title": "Months of snapshots: storage against one snapshot",
        "command": command,
        "note": f"{soak.days[-1].kept} kept snapshots are stored at {soak.storage_factor:.2f} × one snapshot.",
        "columns": [*heads, "take s", "rebuild s"],
        "rows": [
            [
                day.number,
                f"{day.rows:,}",
                f"{day.snapshot_bytes / 1e6:,.2f}",
                day.written_parts,
                day.reused_parts,
                day.kept,
                f"{day.stored_bytes / 1e6:,.2f}",
                f"{day.stored_bytes / day.snapshot_bytes:.2f}",
                f"{day.take_s:.1f}",
                f"{day.drill_s:.1f}",
            ]
            for day in soak.days
            if day.number % 5 == 0 or day is soak.days[-1]
        ],
    }


def main(argv: list[str] | None = None) -> int:
    """Start PostgreSQL and S3, simulate the days, and print the result.

    Returns:
        The exit status: 1 when a promise was broken.
    """
    parser = argparse.ArgumentParser(prog="python bench/soak.py", description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=int, default=36, help="days to simulate (%(default)s)")
    parser.add_argument("--churn", type=float, default=1.0, help="rows added each day, in percent (%(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows at the beginning (%(default)s)")
    parser.add_argument("--keep-days", type=int, default=30, help="retention in days (%(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the figures as JSON")
    arguments = parser.parse_args(argv)
    settings = SnapshotSettings.model_validate(
        {
            "bucket": BUCKET,
            "storage_class": "STANDARD",
            "tables": [
                {"name": "public.checkins", "part_by": "created_at"},
                {"name": "public.behavior_tasks", "part_by": "created_at"},
                {"name": "public.risk_signals", "part_by": "detected_at"},
            ],
            "retention": {"days": arguments.keep_days},
        }
    )
    start = datetime.now(UTC).replace(microsecond=0)

    def say(line: Any) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="mindguard-soak-", ignore_cleanup_errors=True) as folder,
        Stack(Path(folder) / "state", airflow=False, parts=("postgres", "seaweedfs")) as stack,
    ):
        os.chmod(folder, 0o711)  # PostgreSQL may run as another user
        client = stack.seaweedfs.client()
        client.create_bucket(Bucket=BUCKET)
        app = stack.postgres_conninfo("mindguard_app_owner")
        load_tables(app, rows=arguments.rows, seed=1, today=start.date() - 2 * DAY, progress=say)
        soak = simulate(
            app,
            stack.postgres_conninfo("mindguard_drill"),
            SimulatedStore(client, bucket=BUCKET, prefix="key-tables", sse="AES256"),
            settings,
            days=arguments.days,
            percent=arguments.churn,
            start=start,
            progress=lambda day: say(f"day {day.number}: {day.kept} kept, {day.stored_bytes / 1e6:,.1f} MB stored"),
        )
    command = (
        f"python bench/soak.py --days {arguments.days} --churn {arguments.churn:g} --rows {arguments.rows}"
        f" --keep-days {arguments.keep_days}"
    )
    found = figures(soak, command)
    table = Table(box=box.MARKDOWN)
    for head in found["columns"]:
        table.add_column(head, justify="right", no_wrap=True)
    for row in found["rows"]:
        table.add_row(*map(str, row))
    Console(width=140).print(table)
    print(found["note"])
    if arguments.write:
        arguments.write.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if arguments.churn <= 1 and soak.storage_factor > PROMISED_STORAGE:
        soak.faults.append(f"stored at {soak.storage_factor:.2f} × one snapshot, promised {PROMISED_STORAGE}")
    for fault in soak.faults:
        print(f"FAILED {fault}")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
