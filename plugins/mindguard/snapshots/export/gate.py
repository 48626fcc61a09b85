"""The gate: a snapshot that differs too much from the last good one is kept, but quarantined."""

from __future__ import annotations

from collections.abc import Sequence

from mindguard.errors import first_few
from mindguard.settings.snapshot import GateSettings
from mindguard.snapshots.storage.catalog import SnapshotQuarantined
from mindguard.snapshots.storage.manifest import Manifest, Table

ADVICE = (
    "check the table; accept the change by snapshot.gate.expected and take a new snapshot, "
    "or restore this one with --quarantined"
)
"""What to do about a quarantined snapshot."""


def refuse_quarantined(manifest: Manifest) -> None:
    """Raise SnapshotQuarantined, with the reasons, unless the snapshot counts as good."""
    if manifest.quarantined_for:
        reasons = "; ".join(manifest.quarantined_for)
        raise SnapshotQuarantined(f"{manifest.snapshot_id} is quarantined: {reasons}", hint=ADVICE)


def suspicions(
    tables: Sequence[Table], last_good: Manifest | None, gate: GateSettings, *, unreadable: bool = False
) -> tuple[str, ...]:
    """Return the reasons why the tables do not look like the last good snapshot a day later, one line for each.

    Pure: the decision depends on the arguments alone.

    Args:
        tables: the tables of the new snapshot.
        last_good: the last snapshot that is not quarantined; None if there is none that can be read.
        gate: thresholds, and the tables for which a change is expected.
        unreadable: whether there are earlier snapshots that cannot be read. If none can, nothing shows that the tables
            are as they were.
    """
    if last_good is None:
        unknown = [table.name for table in tables if unreadable and table.name not in gate.expected]
        return tuple(f"{name} cannot be compared, because no earlier good snapshot can be read" for name in unknown)
    before = {table.name: table for table in last_good.contents}
    found = []
    for table in tables:
        if table.name in before and table.name not in gate.expected:
            found += _of_table(table, before[table.name], gate)
    return tuple(found)


def _of_table(now: Table, before: Table, gate: GateSettings) -> list[str]:
    found = []
    if before.rows and not now.rows:
        found.append(f"{now.name} is empty, it had {before.rows:,} rows")
    elif now.rows < before.rows * (1 - gate.max_shrink):
        found.append(f"{now.name} has {now.rows:,} rows, it had {before.rows:,}")
    shape_now = [(column.name, column.type) for column in now.columns]
    shape_before = [(column.name, column.type) for column in before.columns]
    gone = [f"{name} {kind}" for name, kind in shape_before if (name, kind) not in shape_now]
    new = [f"{name} {kind}" for name, kind in shape_now if (name, kind) not in shape_before]
    if gone or new:
        found.append(f"{now.name} has other columns: gone {first_few(gone) or 'none'}; new {first_few(new) or 'none'}")
    return found
