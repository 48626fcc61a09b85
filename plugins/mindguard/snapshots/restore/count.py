"""Count the rows that a restore would bring: only the columns by which rows are chosen are decoded."""

from __future__ import annotations

from mindguard.errors import about
from mindguard.snapshots.restore.load import decoded, fetch, open_part
from mindguard.snapshots.restore.rows import RowFilter
from mindguard.snapshots.restore.tables import Plan, PlannedTable
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.tempdisk import temporary_file

MOST_BYTES = 256 * 1024**2
"""Stored bytes of a table's parts above which its chosen rows are not counted: a person waits for the answer."""


def count_rows(plan: Plan, store: Store) -> dict[str, int]:
    """Return the number of rows that would come, by table, without the tables of which too much would have to be read.

    Args:
        plan: the plan of the restore.
        store: where the parts are.

    Raises:
        SnapshotAtFault, StoreError, DiskFull: a part that the restore needs cannot be read.
    """
    counted = {}
    for each in plan.tables:
        if each.row_filter is None:
            counted[each.table.name] = sum(part.rows for part in each.parts)
        elif sum(part.bytes for part in each.parts) <= MOST_BYTES:
            counted[each.table.name] = _chosen(each, each.row_filter, store)
    return counted


def _chosen(planned: PlannedTable, row_filter: RowFilter, store: Store) -> int:
    rows = 0
    columns = [choice.column.name for choice in row_filter.choices]
    for part in planned.parts:
        with about(planned.table.name), temporary_file() as file:
            fetch(part, store, file)
            stored = open_part(part, file, store.encryption)
            groups = row_filter.row_groups(stored)
            rows += sum(row_filter.select(batch).num_rows for batch in decoded(stored, groups, part, columns))
    return rows
