"""Data of the present for the monitors: minutes of events that land now, an ETL load, a weekly report.

The large sample ends in the past; without this everything would be late.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from clickhouse_connect.driver.client import Client

SQL = Path(__file__).with_name("sql")


def create_tables(client: Client, conninfo: str) -> None:
    """Make what is missing: the events, the ETL's table, the report's tables."""
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
        until: aware; the landing of the last event.
        crashes: share of sessions that crash.
        failures: share of the requests to `path` that fail.
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
    """The ETL job runs once."""
    client.command((SQL / "clickhouse/insert_user_mood_daily.sql").read_text("utf-8"))


def write_weekly_reports(conninfo: str, *, iso_week: str) -> None:
    """The report's job runs for this week, for instance 2026-W47."""
    starts = datetime.strptime(iso_week + "-1", "%G-W%V-%u").replace(tzinfo=UTC).date()
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            (SQL / "postgres/insert_weekly_reports.sql").read_text("utf-8"),
            {"iso_week": iso_week, "period_start": starts, "period_end": starts + timedelta(days=7)},
        )
