"""Suites and their commands against the real ClickHouse engine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from devstack.event_faults import EventFaults
from devstack.sample_data import load_events, load_tables
from devstack.stack import Stack
from mindguard.cli import app
from mindguard.connections import clickhouse_client, from_environment
from mindguard.settings import load_settings
from mindguard.volume.days import day_start
from mindguard.volume.suites import SuiteUnchecked


@pytest.fixture(scope="module")
def commands() -> Iterator[Any]:
    """`commands("suites", …)`; yesterday `checkin_submit` lost 60 %, and nothing else did."""
    with (
        tempfile.TemporaryDirectory(prefix="mindguard-suites-") as folder,
        Stack(Path(folder), airflow=False, parts=("postgres", "clickhouse")) as stack,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in stack.environment().items():
            patch.setenv(name, value)
        settings = load_settings()
        client = clickhouse_client(from_environment(settings.connections.events))
        today = datetime.now(UTC).astimezone(settings.zone).date()
        load_events(client, events=600_000, days=75, seed=1, today=today, progress=lambda line: None)
        owner = stack.postgres_conninfo("mindguard_app_owner")
        load_tables(owner, rows=30_000, seed=1, today=today, progress=lambda line: None)
        since, until = (day_start(day, settings.zone) for day in (today - timedelta(days=1), today))
        EventFaults(client, settings.volume.table).drop(since, until, share=0.6, names=["checkin_submit"])
        run = CliRunner()
        assert run.invoke(app, ["volume", "install"], catch_exceptions=False).exit_code == 0
        yield lambda *arguments: run.invoke(app, arguments, catch_exceptions=False)


def test_the_rollup_counts_what_the_raw_table_holds(commands: Any) -> None:
    done = commands("volume", "reconcile", "--json")
    assert done.exit_code == 0
    assert all(each["raw_events"] == each["rollup_events"] > 0 for each in json.loads(done.stdout))


def test_a_run_names_the_event_that_fell(commands: Any) -> None:
    done = commands("suites", "run", "event_volume", "--json")
    found = json.loads(done.stdout)
    paging = {tuple(each["key"]) for each in found["failures"] if each["severity"] == "warning"}
    assert (done.exit_code, paging, found["severity"]) == (1, {("checkin_submit",)}, "warning")


def test_a_run_by_funnels_names_the_step(commands: Any) -> None:
    failures = json.loads(commands("suites", "run", "funnels", "--json").stdout)["failures"]
    assert ["checkin", "checkin_submit"] in [each["key"] for each in failures]


def test_a_backtest_pages_on_the_day_of_the_fall_only(commands: Any) -> None:
    days = json.loads(commands("suites", "backtest", "--days", "5", "--json").stdout)
    of_events = {each["date"]: each["severity"] for each in days if each["suite"] == "event_volume"}
    assert len(of_events) == 5
    last = max(of_events)
    assert of_events.pop(last) == "warning"
    assert "warning" not in of_events.values()


@pytest.mark.parametrize("table", ["checkins", "behavior_tasks", "risk_signals"])
def test_sound_tables_pass_and_a_day_without_rows_does_not(commands: Any, table: str) -> None:
    done = commands("suites", "run", table, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["failures"], found["evaluated"], found["rows"]) == (0, [], 2, 1)
    with pytest.raises(SuiteUnchecked, match="null"):
        commands("suites", "run", table, "--date", "2020-01-01")
