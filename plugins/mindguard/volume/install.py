"""Create the rollup and its view, fill the rollup, and check it against the raw events. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mindguard.errors import MindGuardError
from mindguard.sql import clickhouse_identifier, clickhouse_statement
from mindguard.volume.source import EventSource


class RollupDiffers(MindGuardError):
    """The rollup's counts differ from the raw table's rows."""


@dataclass(frozen=True)
class Difference:
    """One day's number of events in both tables."""

    day: date
    raw_events: int
    rollup_events: int
    duplicates: int
    """The number of raw rows beyond the first of each event id. They are counted in both tables."""


def install(source: EventSource) -> list[str]:
    """Create the rollup and its view if they are missing, and count all raw events again.

    Each month is counted in a table beside the rollup and exchanged in one step, so that repeating this counts nothing
    twice. Events that land meanwhile are counted by the view or by the new count; `reconcile` shows whether any were
    missed, and repeating this adds them.

    Returns:
        The months that were filled, as ClickHouse names partitions (202611).

    Raises:
        EventsUnreadable: The server refuses a statement.
    """
    columns = ", ".join(f"{clickhouse_identifier(name)} LowCardinality(String)" for name in source.settings.dimensions)
    rollup = source.name("_rollup")
    source.run(
        clickhouse_statement("create_event_rollup", rollup=rollup, columns=columns, dimensions=source.dimensions)
    )
    source.run(
        clickhouse_statement(
            "create_event_rollup_view", view=source.name("_rollup_view"), rollup=rollup, cells=source.cells()
        )
    )
    return fill(source)


def fill(source: EventSource) -> list[str]:
    """Count all raw events again and exchange the rollup's months; see `install`."""
    target = source.name("_rollup_loading")
    drop = f"DROP TABLE IF EXISTS {target} SYNC"
    source.run(drop)
    try:
        source.run(clickhouse_statement("create_rollup_copy", target=target, rollup=source.name("_rollup")))
        source.run(clickhouse_statement("insert_event_rollup", target=target, cells=source.cells()))
        database, table = source.settings.table.split(".")
        answer = source.query(
            clickhouse_statement("select_partitions"),
            ["partition_id"],
            database=database,
            table=f"{table}_rollup_loading",
        )
        partitions = [str(each) for each in answer["partition_id"]]
        for partition in partitions:
            source.run(
                clickhouse_statement("replace_partition", rollup=source.name("_rollup"), target=target),
                partition=partition,
            )
    finally:
        source.run(drop)
    return partitions


def reconcile(source: EventSource, days: Sequence[date]) -> list[Difference]:
    """Count the days' events in both tables.

    Args:
        source: both tables.
        days: consecutive days, oldest first.

    Raises:
        EventsUnreadable: The server refuses a statement.
    """
    starts = source.edges(days)
    until = next(iter(source.edges([days[-1] + timedelta(days=1)])))
    bounds = {"edges": [*starts, until], "since": min(starts), "until": until}
    ingest = clickhouse_identifier(source.settings.ingest_time)
    # A clock more than five minutes ahead is not believed, so no event of these days landed before this.
    landed = f"{ingest} >= toDateTime({{since:UInt32}} - 600, 'UTC')"
    counted = source.query(
        clickhouse_statement("select_rollup_difference", rollup=source.name("_rollup"), cells=source.cells(landed)),
        ["day_start", "raw_events", "rollup_events"],
        **bounds,
    )
    by_start = counted.set_index("day_start")
    duplicates = _duplicates(source, bounds)
    return [
        Difference(
            day,
            int(by_start["raw_events"].get(start, 0)),
            int(by_start["rollup_events"].get(start, 0)),
            duplicates.get(start, 0),
        )
        for start, day in starts.items()
    ]


def _duplicates(source: EventSource, bounds: dict[str, object]) -> dict[int, int]:
    if source.settings.event_id is None:
        return {}
    counted = source.query(
        clickhouse_statement(
            "select_event_duplicates",
            table=source.name(),
            event_time=clickhouse_identifier(source.settings.event_time),
            event_id=clickhouse_identifier(source.settings.event_id),
        ),
        ["day_start", "duplicates"],
        **bounds,
    )
    return dict(zip(map(int, counted["day_start"]), map(int, counted["duplicates"]), strict=True))


def require_equal(differences: Sequence[Difference]) -> None:
    """Raise if the tables differ on any day.

    Raises:
        RollupDiffers: They differ; the message names the days.
    """
    unequal = [each for each in differences if each.raw_events != each.rollup_events]
    if unequal:
        days = ", ".join(f"{each.day} {each.rollup_events:,} of {each.raw_events:,}" for each in unequal[:5])
        raise RollupDiffers(
            f"the rollup differs from the raw events on {len(unequal)} day(s): {days}",
            hint="`mindguard volume install` counts all events again",
        )
