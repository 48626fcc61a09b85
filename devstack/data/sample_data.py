"""Sample data for the embedded stack, the same for the same seed.

    python -m devstack.data.sample_data --help

The three key tables go into PostgreSQL, the product's events into ClickHouse. Both have the shape of a real
mini-program: growth, days and weeks, eager and quiet users, missing values, Chinese text. A second call with the
same numbers does nothing; other numbers rebuild everything, all or nothing. Tables that this program did not make
are never touched.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import clickhouse_connect
import numpy as np
import numpy.typing as npt
import psycopg
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from devstack.state import StackError

SHANGHAI = ZoneInfo("Asia/Shanghai")
SQL = Path(__file__).parents[1] / "sql"
HOUR_S = 3600

TABLES = ("checkins", "behavior_tasks", "risk_signals")
SHARES = (0.60, 0.35, 0.05)
TABLE_DAYS = 400
ROWS_PER_USER = 25
RECENT_PER_UPDATE = 10  # n updates are spread over this many times n of the newest rows

VERSIONS = ("2.3.0", "2.4.0", "2.5.0", "2.6.0")
RELEASED_AT = (0.25, 0.55, 0.85)  # of the window, for all but the first
RELEASED_TO = (1.0, 1.0, 0.2)  # shares of the users
EVENTS_PER_SESSION = 12
LATEST = timedelta(hours=5)  # no event lands later than this after the hour in which its session began
SESSION_S = 48
SESSIONS_PER_USER = 15

# Shares of a day's activity by hour in Asia/Shanghai: quiet nights, a lunch peak, a high evening.
HOUR_WEIGHTS = (2, 1, 0.6, 0.4, 0.4, 0.8, 2, 4, 5, 5, 4.5, 5, 6, 5, 4.5, 4.5, 4.5, 5, 6, 7, 8, 9, 8, 5)
# Monday to Sunday: people look after themselves at the start of a week, and go out on Saturday.
WEEKDAY_WEIGHTS = (1.08, 1.05, 1.02, 1.0, 0.96, 0.86, 0.95)
GROWTH = 1.6  # activity at the end of 400 days, relative to their beginning

Progress = Callable[[str], None]


class SampleDataError(StackError):
    """The data cannot be loaded; the text is one line for people."""


def midnight(day: date) -> datetime:
    """Return the start of a day in Asia/Shanghai."""
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)


@dataclass(frozen=True)
class Plan:
    """How activity is spread over the hours: `total` in the last `days` full days before `today`, then on as usual.

    Attributes:
        total: rows, or sessions, before the start of `today`.
        days: number of full days before `today`.
        today: day in Asia/Shanghai.
    """

    total: int
    days: int
    today: date

    @property
    def since(self) -> datetime:
        """The start of the first hour."""
        return midnight(self.today) - timedelta(days=self.days)

    def edges(self, hours: int | None = None) -> npt.NDArray[np.int64]:
        """Return how many there are by the start and by the end of each hour: one number more than `hours`.

        Args:
            hours: how many hours from the first one on. Default: those of the full days.
        """
        before = self.days * 24
        n = np.arange(max(before, hours or 0))
        weekday = (self.since.weekday() + n // 24) % 7
        trend = GROWTH ** (n / (TABLE_DAYS * 24))
        weights = np.array(HOUR_WEIGHTS)[n % 24] * np.array(WEEKDAY_WEIGHTS)[weekday] * trend
        done = np.concatenate([[0], np.cumsum(weights)])
        edges = np.rint(done / done[before] * self.total).astype(np.int64)
        return edges[: 1 + (before if hours is None else hours)]

    def hour(self, moment: datetime) -> float:
        """Return how many hours after the first one this moment is; before that, 0."""
        return max(0.0, (moment - self.since).total_seconds() / HOUR_S)

    def done(self, moment: datetime) -> int:
        """Return how many there are by this moment."""
        edges = self.edges(math.ceil(self.hour(moment)))
        return int(np.interp(self.hour(moment), np.arange(len(edges)), edges))


def load_tables(conninfo: str, *, rows: int, seed: int, today: date, progress: Progress) -> dict[str, int]:
    """Build the three key tables in one transaction, unless they are there already.

    Args:
        conninfo: connection string of libpq.
        rows: total over the three tables.
        seed: the same seed gives the same rows.
        today: day in Asia/Shanghai; the data ends before it.
        progress: prints one line of progress.

    Returns:
        Rows by table name.

    Raises:
        SampleDataError: tables of that name exist that were not made here, or the disk is full.
    """
    wanted = {"rows": rows, "seed": seed, "today": today.isoformat()}
    with _clear_errors(), psycopg.connect(conninfo) as connection:
        made = _prepare_marker(connection)
        if made and made["wanted"] == wanted:
            progress("key tables: already loaded")
            return {table: made["counts"][table] for table in TABLES}
        if not made:
            _refuse_foreign_tables(connection)
        connection.execute(_sql("postgres/drop_tables.sql"))
        connection.execute(_sql("postgres/create_tables.sql"))
        counts = _split(rows)
        for table, count in counts.items():
            began = time.monotonic()
            plan = Plan(count, TABLE_DAYS, today)
            slots = [
                (plan.since + timedelta(hours=hour), int(first) + 1, int(last - first))
                for hour, (first, last) in enumerate(pairwise(plan.edges()))
                if last > first
            ]
            _insert(connection, table, slots, slot_s=HOUR_S, seed=seed, users=_users(counts))
            progress(f"{table}: {count:,} rows in {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        connection.execute(_sql("postgres/create_indexes.sql"))
        connection.execute(_sql("postgres/set_sequences.sql"))
        connection.execute("ANALYZE public.checkins, public.behavior_tasks, public.risk_signals")
        connection.execute(
            "INSERT INTO devstack.loads (what, facts) VALUES ('tables', %s)"
            " ON CONFLICT (what) DO UPDATE SET facts = excluded.facts",
            [json.dumps({"wanted": wanted, "counts": counts})],
        )
        progress(f"indexes and statistics in {time.monotonic() - began:.1f} s")
    return counts


def load_releases(conninfo: str, *, days: int = 60, today: date) -> None:
    """Write the releases that the events of these days show to `public.releases`.

    Args:
        conninfo: connection string of libpq.
        days: full days of events before `today`.
        today: day in Asia/Shanghai.

    Raises:
        SampleDataError: the server refuses.
    """
    since = Plan(0, days, today).since
    released_at = [since + timedelta(days=share * days) for share in RELEASED_AT]
    with _clear_errors(), psycopg.connect(conninfo) as connection:
        connection.execute(_sql("postgres/create_releases.sql"))
        connection.execute(
            _sql("postgres/insert_releases.sql"),
            {"versions": list(VERSIONS[1:]), "released_at": released_at, "shares": list(RELEASED_TO)},
        )


def continue_tables(conninfo: str, *, rows: int, seed: int, today: date, until: datetime) -> None:
    """Append the rows that are due by now to the key tables; a second call for the same moment does nothing.

    Args:
        conninfo: connection string of libpq.
        rows: as it was given to `load_tables`, as are `seed` and `today`.
        seed: the same seed gives the same rows.
        today: day in Asia/Shanghai.
        until: a moment, aware.

    Raises:
        SampleDataError: the server refuses.
    """
    with _clear_errors(), psycopg.connect(conninfo) as connection:
        counts = _split(rows)
        for table, count in counts.items():
            last, newest = _last_row(connection, table)
            if (due := Plan(count, TABLE_DAYS, today).done(until) - last) > 0:
                slot_s = max(1.0, (until - newest).total_seconds())
                slots = [(newest, last + 1, due)]
                _insert(connection, table, slots, slot_s=slot_s, seed=seed, users=_users(counts))
        connection.execute(_sql("postgres/set_sequences.sql"))


def churn(conninfo: str, *, percent: float, seed: int, hours: float = 1) -> dict[str, int]:
    """Act as the application: append rows to each table, and change a tenth as many of the newest ones.

    A few rows arrive late by up to an hour, so that they come between earlier ones.

    Args:
        conninfo: connection string of libpq.
        percent: rows to append, in percent of those now in each table; at least one row.
        seed: another one for each call, or the text repeats itself.
        hours: the time over which the rows are spread.

    Returns:
        Rows appended, by table name.

    Raises:
        SampleDataError: the disk is full.
    """
    appended: dict[str, int] = {}
    with _clear_errors(), psycopg.connect(conninfo) as connection:
        known = connection.execute("SELECT max(user_id) FROM public.checkins").fetchone()
        users = (known and known[0]) or 20
        for table in TABLES:
            last, newest = _last_row(connection, table)
            added = max(1, round(last * percent / 100))
            _insert(connection, table, [(newest, last + 1, added)], slot_s=hours * HOUR_S, seed=seed, users=users)
            changed = max(1, added // RECENT_PER_UPDATE)
            connection.execute(
                _sql(f"postgres/update_{table}.sql"),
                {"recent": changed * RECENT_PER_UPDATE, "rows": changed, "seed": seed},
            )
            appended[table] = added
        connection.execute(_sql("postgres/set_sequences.sql"))
    return appended


def _last_row(connection: psycopg.Connection[Any], table: str) -> tuple[int, datetime]:
    """Return the number of the newest row, counted from 1, and its time; of an empty table, 0 and an hour ago."""
    number, column = ("count(*)", "detected_at") if table == "risk_signals" else ("coalesce(max(id), 0)", "created_at")
    found = connection.execute(
        f"SELECT {number}, coalesce(max({column}), now() - interval '1 hour') FROM public.{table}"
    ).fetchone()
    assert found is not None
    return found


def load_events(
    client: Client,
    *,
    events: int,
    days: int = 60,
    seed: int,
    today: date,
    progress: Progress,
) -> int:
    """Build `mindguard.events` beside the present table and exchange the two, unless the data is there already.

    Args:
        client: client of ClickHouse.
        events: the exact number of rows.
        days: full days before `today`.
        seed: the same seed gives the same events.
        today: day in Asia/Shanghai; the data ends before it.
        progress: prints one line of progress.

    Returns:
        Rows in the table.

    Raises:
        SampleDataError: a table of that name exists that was not made here, or the disk is full.
    """
    wanted = json.dumps({"events": events, "days": days, "seed": seed, "today": today.isoformat()})
    with _clear_errors():
        client.command("CREATE DATABASE IF NOT EXISTS mindguard")
        client.command("CREATE DATABASE IF NOT EXISTS devstack")
        client.command(
            "CREATE TABLE IF NOT EXISTS devstack.loads (loaded_at DateTime64(6) DEFAULT now64(6), facts String)"
            " ENGINE = MergeTree ORDER BY loaded_at"
        )
        made = str(client.command("SELECT argMax(facts, loaded_at) FROM devstack.loads"))
        present = bool(client.command("EXISTS TABLE mindguard.events"))
        if present and not made:
            raise SampleDataError("mindguard.events exists and was not made by this program; it is left alone")
        if present and made == wanted:
            progress("events: already loaded")
            return _count_events(client)
        began = time.monotonic()
        client.command("DROP TABLE IF EXISTS mindguard.events_loading SYNC")
        try:
            client.command(_sql("clickhouse/create_events.sql"))
            plan = Plan(math.ceil(events / EVENTS_PER_SESSION), days, today)
            _insert_events(client, "events_loading", plan, seed=seed, events=events)
            if present:
                client.command("EXCHANGE TABLES mindguard.events_loading AND mindguard.events")
            else:
                client.command("RENAME TABLE mindguard.events_loading TO mindguard.events")
        finally:
            client.command("DROP TABLE IF EXISTS mindguard.events_loading SYNC")
        client.insert("devstack.loads", [[wanted]], column_names=["facts"])
        loaded = _count_events(client)
    progress(f"events: {loaded:,} rows in {time.monotonic() - began:.1f} s")
    return loaded


def _count_events(client: Client) -> int:
    (count,) = client.query("SELECT count() FROM mindguard.events").result_rows[0]
    return int(count)


def continue_events(
    client: Client, *, events: int, days: int = 60, seed: int, today: date, after: datetime, until: datetime
) -> None:
    """Let the events land in `mindguard.events` that the same activity brings after the load.

    Args:
        client: client of ClickHouse.
        events: as it was given to `load_events`, as are `days`, `seed` and `today`.
        days: full days before `today`.
        seed: the same seed gives the same events.
        today: day in Asia/Shanghai.
        after: a moment, aware; events landed up to this one are there already.
        until: a moment, aware; the last that land.
    """
    plan = Plan(math.ceil(events / EVENTS_PER_SESSION), days, today)
    with _clear_errors():
        _insert_events(client, "events", plan, seed=seed, events=events, landed=(after, until))


def _insert_events(
    client: Client,
    table: str,
    plan: Plan,
    *,
    seed: int,
    events: int,
    landed: tuple[datetime, datetime] | None = None,
) -> None:
    """Insert the events of the full days of the plan, or those that land between two moments of the days after them."""
    full = plan.days * 24
    first, last = 0, full
    if landed:
        first, last = full, math.ceil(plan.hour(landed[1]))
        first = max(first, int(plan.hour(landed[0] - LATEST)))
    edges = plan.edges(last)[first:]
    start = int(plan.since.timestamp())
    landed_ms = [int(each.timestamp() * 1000) for each in landed] if landed else [0, 2**62]
    client.query(
        _sql("clickhouse/insert_events.sql"),
        parameters={
            "table": table,
            "seed": seed,
            "since": start + first * HOUR_S,
            "slot_s": float(HOUR_S - SESSION_S),
            "counts": np.diff(edges).tolist(),
            "session": int(edges[0]),
            "sessions": plan.total,
            "events": events,
            "users": max(20, plan.total // SESSIONS_PER_USER),
            "versions": list(VERSIONS),
            "releases": [start + int(share * full * HOUR_S) for share in RELEASED_AT],
            "landed_after": landed_ms[0],
            "landed_until": landed_ms[1],
        },
    )


def _split(rows: int) -> dict[str, int]:
    """Split the rows over the tables; the first table gets the rows that rounding leaves over."""
    tasks, signals = (int(rows * share) for share in SHARES[1:])
    return dict(zip(TABLES, (rows - tasks - signals, tasks, signals), strict=True))


def _users(counts: dict[str, int]) -> int:
    return max(20, counts["checkins"] // ROWS_PER_USER)


def _insert(
    connection: psycopg.Connection[Any],
    table: str,
    slots: list[tuple[datetime, int, int]],
    *,
    slot_s: float,
    seed: int,
    users: int,
) -> None:
    """Insert rows into time slots of `slot_s` seconds, each given as (start, first row number, number of rows)."""
    starts, firsts, counts = ([slot[part] for slot in slots] for part in range(3))
    checkins, tasks, signals = SHARES
    connection.execute(
        _sql(f"postgres/insert_{table}.sql"),
        {
            "starts": starts,
            "firsts": firsts,
            "counts": counts,
            "slot_s": slot_s,
            "seed": seed,
            "users": users,
            "checkins_per_task": checkins / tasks,
            "checkins_per_signal": checkins / signals,
        },
    )


def _prepare_marker(connection: psycopg.Connection[Any]) -> dict[str, Any] | None:
    """Return the facts that an earlier load noted, under a lock that makes a second loader wait."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('devstack.sample_data'))")
    connection.execute("CREATE SCHEMA IF NOT EXISTS devstack")
    connection.execute("CREATE TABLE IF NOT EXISTS devstack.loads (what text PRIMARY KEY, facts jsonb NOT NULL)")
    found = connection.execute("SELECT facts FROM devstack.loads WHERE what = 'tables'").fetchone()
    return dict(found[0]) if found else None


def _refuse_foreign_tables(connection: psycopg.Connection[Any]) -> None:
    for table in TABLES:
        found = connection.execute("SELECT to_regclass(%s)", [f"public.{table}"]).fetchone()
        if found and found[0]:
            raise SampleDataError(f"public.{table} exists and was not made by this program; it is left alone")


def _sql(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn an error of a server into one line for people."""
    try:
        yield
    except (psycopg.Error, ClickHouseError) as error:
        text = " ".join(str(error).split())
        if isinstance(error, psycopg.errors.DiskFull) or "No space left" in text or "NOT_ENOUGH_SPACE" in text:
            raise SampleDataError(f"the disk is full, nothing was loaded: {text[:300]}") from error
        raise SampleDataError(text[:500]) from error


def main() -> int:
    """Load the data that the command line asks for.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m devstack.data.sample_data", description="Load sample data; a second call does nothing."
    )
    parser.add_argument("--rows", type=int, default=200_000, help="rows over the three key tables")
    parser.add_argument("--events", type=int, default=1_000_000, help="events")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same data")
    parser.add_argument("--today", type=date.fromisoformat, help="YYYY-MM-DD; default: today; the data ends before it")
    parser.add_argument(
        "--postgres-env", metavar="VARIABLE", help="environment variable with the libpq connection string"
    )
    parser.add_argument("--clickhouse", metavar="URL", help="http://user@host:port, without the password")
    parser.add_argument("--clickhouse-password-env", metavar="VARIABLE", default="CLICKHOUSE_PASSWORD")
    arguments = parser.parse_args()
    if not (arguments.postgres_env or arguments.clickhouse):
        parser.error("give --postgres-env, --clickhouse or both")
    # The driver also logs the errors that it raises; one line is enough.
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    today: date = arguments.today or datetime.now(SHANGHAI).date()

    def progress(line: str) -> None:
        print(line, flush=True)

    try:
        if arguments.postgres_env:
            conninfo = _environment(arguments.postgres_env)
            load_tables(conninfo, rows=arguments.rows, seed=arguments.seed, today=today, progress=progress)
        if arguments.clickhouse:
            with _clear_errors():
                client = _connect(arguments.clickhouse, _environment(arguments.clickhouse_password_env))
            with client:
                load_events(client, events=arguments.events, seed=arguments.seed, today=today, progress=progress)
    except SampleDataError as error:
        print(f"sample_data: {error}", file=sys.stderr)
        return 1
    return 0


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SampleDataError(f"environment variable {name} is not set")
    return value


def _connect(url: str, password: str) -> Client:
    parts = urlsplit(url)
    if parts.password:
        raise SampleDataError("pass the password in the environment, not in the URL")
    return clickhouse_connect.get_client(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 8123,
        username=unquote(parts.username or "default"),
        password=password,
        send_receive_timeout=600,
    )


if __name__ == "__main__":
    sys.exit(main())
