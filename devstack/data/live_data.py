"""Data of the present for the monitors: minutes of events that land now, an ETL load, a weekly report.

The large sample ends in the past; without live data everything would be late.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType

import psycopg
from clickhouse_connect.driver.client import Client

from devstack.data.sample_data import SHANGHAI, continue_events, continue_tables, midnight
from devstack.kafka_broker import KafkaBroker

SQL = Path(__file__).parents[1] / "sql"
STEP_S = 10.0
LOAD_EVERY_S = 60.0
BACK_MINUTES = 70.0


def create_tables(client: Client, conninfo: str) -> None:
    """Create the tables that are missing: the events, the table of the ETL job, the tables of the report."""
    client.command("CREATE DATABASE IF NOT EXISTS mindguard")
    events = (SQL / "clickhouse/create_events.sql").read_text("utf-8")
    client.command(
        events.replace("CREATE TABLE mindguard.events_loading", "CREATE TABLE IF NOT EXISTS mindguard.events")
    )
    client.command((SQL / "clickhouse/create_user_mood_daily.sql").read_text("utf-8"))
    with psycopg.connect(conninfo) as connection:
        connection.execute((SQL / "postgres/create_report_tables.sql").read_text("utf-8"))


def land_events(
    client: Client,
    *,
    until: datetime,
    minutes: float,
    seed: int,
    per_minute: int = 60,
    crashes: float = 0.0,
    failures: float = 0.0,
    path: str = "",
    latency_s: float = 90.0,
) -> None:
    """Let sessions of some minutes land, with the faults that are asked for.

    Args:
        client: client of ClickHouse.
        until: when the last event lands, aware.
        minutes: length of the range that ends there.
        seed: the same seed gives the same events.
        per_minute: sessions per minute.
        crashes: share of sessions that crash.
        failures: share of the requests to `path` that fail.
        path: the endpoint whose requests fail.
        latency_s: mean time in which risk signals are answered.
    """
    client.command(
        (SQL / "clickhouse/insert_live_events.sql").read_text("utf-8"),
        parameters={
            "since": int((until - timedelta(minutes=minutes)).timestamp()),
            "until": int(until.timestamp()),
            "per_minute": per_minute,
            "seed": seed,
            "crashes": crashes,
            "failures": failures,
            "path": path,
            "latency_s": latency_s,
        },
    )


def load_user_moods(client: Client) -> None:
    """Run the ETL job once."""
    client.command((SQL / "clickhouse/insert_user_mood_daily.sql").read_text("utf-8"))


def write_weekly_reports(conninfo: str, *, iso_week: str) -> None:
    """Run the job of the report once.

    Args:
        conninfo: connection string of libpq.
        iso_week: the week to report on, for instance 2026-W47.
    """
    starts = datetime.strptime(iso_week + "-1", "%G-W%V-%u").replace(tzinfo=UTC).date()
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            (SQL / "postgres/insert_weekly_reports.sql").read_text("utf-8"),
            {"iso_week": iso_week, "period_start": starts, "period_end": starts + timedelta(days=7)},
        )


def last_landing(client: Client, *, since: datetime, until: datetime) -> datetime:
    """Return when the last event landed of those that happened since a moment; that moment, if there is none.

    Args:
        client: client of ClickHouse.
        since: a moment, aware.
        until: a moment, aware; later landings do not count.
    """
    ((landed_ms,),) = client.query(
        (SQL / "clickhouse/select_last_landing.sql").read_text("utf-8"),
        parameters={"since": int(since.timestamp()), "until": int(until.timestamp())},
    ).result_rows
    return max(since, datetime.fromtimestamp(landed_ms / 1000, UTC))


@dataclass(frozen=True)
class Sample:
    """The sample data that were loaded, by the arguments of `load_tables` and `load_events`."""

    rows: int
    events: int
    seed: int
    today: date


class LiveData:
    """Keeps the stack in the present, in a thread: events land, a group reads its topic, the ETL loads, reports come.

    With a sample, its activity goes on; what was due since its end is written on entering. Later the key tables grow
    only once `tables_grow` is set. Without a sample, on entering data of the last `BACK_MINUTES` is written, as if the
    thread had run before.

    Args:
        client: client of ClickHouse; from then on only the thread uses it.
        conninfo: connection string of libpq for the application's database, as its owner.
        broker: the Kafka broker whose topic is written and read.
        say: prints what fails. The thread goes on then, since a part may just be restarting.
        sample: the sample that was loaded, if any.

    Attributes:
        tables_grow: set it when further rows may appear in the key tables.
    """

    def __init__(
        self,
        client: Client,
        conninfo: str,
        broker: KafkaBroker,
        *,
        say: Callable[[str], None],
        sample: Sample | None = None,
    ) -> None:
        self.tables_grow = threading.Event()
        self._client = client
        self._conninfo = conninfo
        self._broker = broker
        self._say = say
        self._sample = sample
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-data", daemon=True)
        self._landed: datetime | None = None
        self._loaded = datetime.min.replace(tzinfo=UTC)
        self._reported = ""

    def __enter__(self) -> LiveData:
        create_tables(self._client, self._conninfo)
        now = datetime.now(UTC)
        self._grow(now)
        self.step(now)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def step(self, now: datetime) -> None:
        """Write all data up to `now`, an aware instant."""
        self._land(now)
        self._broker.produce(20, at=now)
        self._broker.consume()
        if (now - self._loaded).total_seconds() >= LOAD_EVERY_S:
            load_user_moods(self._client)
            if self.tables_grow.is_set():
                self._grow(now)
            self._loaded = now
        year, week, _ = (now.astimezone(SHANGHAI) - timedelta(days=7)).isocalendar()
        if self._reported != (iso_week := f"{year}-W{week:02}"):
            write_weekly_reports(self._conninfo, iso_week=iso_week)
            self._reported = iso_week

    def _land(self, now: datetime) -> None:
        if of := self._sample:
            after = self._landed or last_landing(self._client, since=midnight(of.today), until=now)
            continue_events(self._client, events=of.events, seed=of.seed, today=of.today, after=after, until=now)
        else:
            since = now - timedelta(minutes=BACK_MINUTES)
            minutes = (now - max(self._landed or since, since)).total_seconds() / 60
            land_events(self._client, until=now, minutes=minutes, seed=int(now.timestamp()), crashes=0.001)
        self._landed = now

    def _grow(self, now: datetime) -> None:
        if of := self._sample:
            continue_tables(self._conninfo, rows=of.rows, seed=of.seed, today=of.today, until=now)

    def _run(self) -> None:
        while not self._stopping.wait(STEP_S):
            try:
                self.step(datetime.now(UTC))
            except Exception as error:
                self._say(f"live data: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
