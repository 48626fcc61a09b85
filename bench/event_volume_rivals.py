"""One way of asking which key events fell yesterday, measured in this process; `bench/event_volume.py cost` runs it.

python bench/event_volume_rivals.py mindguard|raw|great_expectations|interval_operator 2026-11-24
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from mindguard.connections import clickhouse_client, from_environment
from mindguard.settings import load_settings
from mindguard.volume.days import Moment
from mindguard.volume.frames import Frames
from mindguard.volume.source import EventSource
from mindguard.volume.suites import load_suites, validate

SETTINGS = load_settings()
NAMES = [event.name for event in SETTINGS.key_events]
BY_DAY = """
    SELECT event_name, today / greatest(yesterday, 1) AS day_over_day FROM (
        SELECT event_name,
               countIf(toDate(event_time, 'Asia/Shanghai') = '{day}') AS today,
               countIf(toDate(event_time, 'Asia/Shanghai') = '{before}') AS yesterday
        FROM mindguard.events
        WHERE event_name IN ({names}) AND toDate(event_time, 'Asia/Shanghai') BETWEEN '{before}' AND '{day}'
        GROUP BY event_name
    )
"""


def client() -> Any:
    """Return a client of the stack's ClickHouse."""
    return clickhouse_client(from_environment("mindguard_events"))


class Counting:
    """Passes queries on, and adds up their number and the seconds until their answers."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.queries, self.seconds = inner, 0, 0.0

    def query_df(self, *arguments: Any, **named: Any) -> Any:
        """Run a query, as the client's own method does."""
        return self._timed(self._inner.query_df, *arguments, **named)

    def query(self, *arguments: Any, **named: Any) -> Any:
        """Run a query whose answer is no frame, such as that for the views."""
        return self._timed(self._inner.query, *arguments, **named)

    def _timed(self, run: Any, *arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return run(*arguments, **named)
        finally:
            self.queries += 1
            self.seconds += time.perf_counter() - began


def mindguard(today: date) -> dict[str, float]:
    """Do the daily run on a closed day on which an event fell.

    It builds the frames from the rollup, with nine weeks of history, finds the causes of the fall, and judges the
    suites.
    """
    counting = Counting(client())
    as_of = datetime(today.year, today.month, today.day, 0, 30, tzinfo=SETTINGS.zone)
    frames = Frames(SETTINGS, Moment(today - timedelta(days=1), as_of), resolve=from_environment)
    frames.source = EventSource(counting, SETTINGS.volume, SETTINGS.zone)  # type: ignore[arg-type]
    judged = [validate(suite, frames.of(suite)) for suite in load_suites() if suite.meta.frame]
    assert [(each.rows, each.severity) for each in judged] == [(len(NAMES), "warning"), (7, "info"), (1, None)]
    return {"queries": counting.queries, "query_s": counting.seconds}


def raw(today: date) -> dict[str, float]:
    """Ask the raw table for the same counts by event and day."""
    began = time.perf_counter()
    since = today - timedelta(days=64)
    client().query_df(
        "SELECT event_name, toDate(event_time, 'Asia/Shanghai') AS day, count() FROM mindguard.events"
        f" WHERE event_time >= '{since}' GROUP BY event_name, day"
    )
    return {"queries": 1, "query_s": time.perf_counter() - began}


def great_expectations(today: date) -> dict[str, float]:
    """Check day over day with six expectations of a suite, which Great Expectations runs on ClickHouse itself."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    count = 0

    def counted(*_: Any) -> None:
        nonlocal count
        count += 1

    event.listen(Engine, "before_cursor_execute", counted)
    found = from_environment("mindguard_events")
    url = f"clickhousedb://{found.login}:{found.password}@{found.host}:{found.port}/mindguard"
    context = gx.get_context(mode="ephemeral")
    names = ", ".join(f"'{name}'" for name in NAMES)
    query = BY_DAY.format(day=today - timedelta(days=1), before=today - timedelta(days=2), names=names)
    began = time.perf_counter()
    asset = context.data_sources.add_sql("events", connection_string=url, create_temp_table=False).add_query_asset(
        "events", query=query
    )
    batch = asset.add_batch_definition_whole_table("all").get_batch()
    suite = gx.ExpectationSuite(
        name="events",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(min_value=1),
            gxe.ExpectColumnValuesToNotBeNull(column="event_name"),
            gxe.ExpectColumnValuesToBeUnique(column="event_name"),
            gxe.ExpectColumnValuesToNotBeNull(column="day_over_day"),
            gxe.ExpectColumnValuesToBeBetween(column="day_over_day", min_value=0.8),
            gxe.ExpectColumnMinToBeBetween(column="day_over_day", min_value=0.5),
        ],
    )
    result = batch.validate(suite)
    assert len(result.results) == 6
    assert not [each for each in result.results if each.exception_info.get("raised_exception")], result
    return {"queries": count, "query_s": time.perf_counter() - began}


def interval_operator(today: date) -> dict[str, float]:
    """Apply the bare rule with Airflow's SQLIntervalCheckOperator, one metric for each key event."""
    from airflow.providers.common.sql.operators.sql import SQLIntervalCheckOperator

    metrics = {f"countIf(event_name = '{name}')": 1.25 for name in NAMES}
    operator = SQLIntervalCheckOperator(
        task_id="check",
        conn_id="mindguard_events",
        table="(SELECT *, toDate(event_time, 'Asia/Shanghai') AS day FROM mindguard.events)",
        date_filter_column="day",
        days_back=-1,
        metrics_thresholds=metrics,
    )
    # The operator renders its dates only in a task, so they are inserted here.
    operator.sql1 = operator.sql1.replace("{{ ds }}", str(today - timedelta(days=1)))
    operator.sql2 = operator.sql2.replace("{{ macros.ds_add(ds, -1) }}", str(today - timedelta(days=2)))
    began = time.perf_counter()
    try:
        operator.execute({})
    except Exception as error:  # it fails when a metric moved by more than 25 %, up or down
        if "not satisfied" not in str(error) and "tests have failed" not in str(error):
            raise
    return {"queries": 2, "query_s": time.perf_counter() - began}


WAYS: dict[str, Callable[[date], dict[str, float]]] = {
    each.__name__: each for each in (mindguard, raw, great_expectations, interval_operator)
}


def peak_mb() -> float:
    """Return the largest resident size of this program in megabytes; ru_maxrss would count the parent's too."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> None:
    """Run the way that is named, and print what it took."""
    began = time.perf_counter()
    measured = WAYS[sys.argv[1]](date.fromisoformat(sys.argv[2]))
    measured |= {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time(),
        "peak_mb": peak_mb(),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
