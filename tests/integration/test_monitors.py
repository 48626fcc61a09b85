"""The shipped monitors on the real engines: what each fault is reported as."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from devstack.data.live_data import LiveData, create_tables, land_events, load_user_moods
from devstack.data.sample_data import load_tables
from devstack.kafka_broker import KafkaBroker
from devstack.stack import Stack
from mindguard.connections import Connection, Resolve, from_environment
from mindguard.database.session import OpsDatabase
from mindguard.doctor.monitors import examine_monitors
from mindguard.monitors.deadline import latest_due
from mindguard.monitors.result import Result
from mindguard.monitors.run import choose, run_monitors
from mindguard.monitors.store import MonitorStore
from mindguard.resources import include_dir
from mindguard.settings import Settings, load_settings
from tests.connections import connection_of

SHIPPED = load_settings(include_dir() / "config" / "mindguard.yaml")


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    made = stack.clickhouse.client()
    made.command("DROP DATABASE IF EXISTS mindguard SYNC")
    yield made
    made.command("DROP DATABASE IF EXISTS mindguard SYNC")
    made.close()


@pytest.fixture
def conninfo(client: Client, fresh_database: str) -> str:
    """The application's database, with everything that the monitors look at; nothing in it is new."""
    load_tables(fresh_database, rows=400, seed=1, today=date(2026, 11, 24), progress=lambda line: None)
    create_tables(client, fresh_database)
    with psycopg.connect(fresh_database) as connection:
        connection.execute("update public.risk_signals set routed_at = detected_at where routed_at is null")
    return fresh_database


@pytest.fixture
def resolve(stack: Stack, request: pytest.FixtureRequest) -> Resolve:
    """The stack's connections; for a test with a `client` or a `conninfo`, that application's database."""
    own = {"client", "conninfo"} & {*request.fixturenames}
    conninfo = request.getfixturevalue("conninfo") if own else None

    def found(conn_id: str) -> Connection:
        if conninfo and conn_id == "mindguard_app":
            return connection_of(conninfo, conn_id)
        return from_environment(conn_id, stack.environment())

    return found


DAY = 2 * 24 * 3600  # events of a day, two each second

Measure = Callable[..., dict[str, Result]]


@pytest.fixture
def measure(resolve: Resolve) -> Measure:
    """`measure("crash_rate")`: the results by name, with the dimension where there is one."""

    def run(*names: str, settings: Settings = SHIPPED, kafka: Connection | None = None) -> dict[str, Result]:
        def look_up(conn_id: str) -> Connection:
            return kafka if kafka and conn_id == "mindguard_kafka" else resolve(conn_id)

        results = run_monitors(settings, look_up, now=datetime.now(UTC), memory=None, names=names)
        return {f"{each.monitor} {each.dimension}".strip(): each for each in results}

    return run


def verdicts(results: dict[str, Result]) -> dict[str, tuple[str, str]]:
    return {name: (result.status, result.reason) for name, result in results.items()}


def with_monitor(**facts: Any) -> Settings:
    plain = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}
    return Settings.model_validate({**plain, "monitors": [{"name": "m", **facts}]})


def query(folder: Path, text: str) -> str:
    path = folder / "measure.sql"
    path.write_text(text, "utf-8")
    return str(path)


def test_all_is_well(stack: Stack, conninfo: str, measure: Measure) -> None:
    broker = KafkaBroker()
    kafka = Connection("mindguard_kafka", **broker.connection())  # type: ignore[arg-type]
    with LiveData(stack.clickhouse.client(), conninfo, broker, say=print):
        (report,) = choose(SHIPPED, ["weekly_report"])
        due = latest_due(report, now=datetime.now(UTC), zone=SHIPPED.zone)  # type: ignore[arg-type]
        with psycopg.connect(conninfo) as connection:  # too few check-ins for one each week
            connection.execute(
                "insert into public.weekly_reports values (%s, 1, 3, 5.5) on conflict do nothing",
                [due.params()["iso_week"]],
            )
        results = measure(kafka=kafka)
    snapshot, landing = results.pop("snapshot_age"), results.pop("event_landing")
    day = results.pop("crash_rate_day")
    assert {result.status for result in results.values()} == {"pass"}, results
    # No drill has proven a snapshot here; nothing landed on the days before; and it may be just after midnight.
    assert (snapshot.status, snapshot.reason) in (("unknown", "not_proven_yet"), ("pass", ""))
    assert (landing.status, landing.reason) == ("unknown", "low_base")
    assert landing.value is not None
    assert landing.value < 120
    assert landing.note.startswith("lag p50 ")
    assert day.status in ("pass", "unknown")
    assert sum(name.startswith("api_error_rate /api/v1/") for name in results) == 5


def usual(client: Client) -> None:
    """As much landed at this time on each of the days before."""
    for days in range(1, 8):
        until = datetime.now(UTC) - timedelta(days=days) + timedelta(minutes=2)
        land_events(client, until=until, minutes=10, seed=days, per_minute=6)


def test_a_stall_of_landing_is_late_and_a_fast_clock_does_not_hide_it(client: Client, measure: Measure) -> None:
    usual(client)
    land_events(client, until=datetime.now(UTC) - timedelta(minutes=6), minutes=10, seed=90)
    land_events(client, until=datetime.now(UTC) + timedelta(days=2), minutes=5, seed=91)
    result = measure("event_landing")["event_landing"]
    assert (result.status, result.reason) == ("error", "above")
    assert result.value is not None
    assert 355 < result.value < 500
    land_events(client, until=datetime.now(UTC), minutes=1, seed=92)
    assert measure("event_landing")["event_landing"].status == "pass"


def test_a_stall_of_days_has_its_age(client: Client, measure: Measure) -> None:
    """It began in hours that are not read as long as events land."""
    since = datetime.now(UTC) - timedelta(days=3, hours=10)
    land_events(client, until=since, minutes=10, seed=94)
    for days in range(4, 8):  # so that it is no quiet hour
        until = datetime.now(UTC) - timedelta(days=days) + timedelta(minutes=2)
        land_events(client, until=until, minutes=10, seed=days, per_minute=6)
    result = measure("event_landing")["event_landing"]
    assert (result.status, result.reason) == ("error", "above")
    assert result.value == pytest.approx((result.at - since).total_seconds(), abs=90)


def test_landing_is_measured_by_the_hours_that_it_needs(client: Client, measure: Measure) -> None:
    (landing,) = choose(SHIPPED, ["event_landing"])
    text = (include_dir() / str(landing.query)).read_text("utf-8")

    def store(first_day: int, last_day: int) -> None:
        client.command(
            "INSERT INTO mindguard.events (event_time, ingest_time, event_name, session_id)"
            f" SELECT now() - INTERVAL {first_day} DAY - number / 2 AS happened, happened + 1, 'api_request',"
            f" toString(intDiv(number, 12)) FROM numbers({(last_day - first_day) * DAY})"
        )

    def rows_read() -> int:
        return int(client.query(text, parameters=landing.params).summary["read_rows"])

    land_events(client, until=datetime.now(UTC), minutes=5, seed=1)
    store(0, 8)
    few = rows_read()
    assert few < 3 * DAY  # the last day and an hour of each day before, in granules of 8192 rows
    store(8, 40)
    assert rows_read() < few + DAY
    result = measure("event_landing")["event_landing"]
    assert (result.status, result.reason) == ("pass", "")


def test_an_etl_table_that_is_empty_old_or_of_a_silent_source(client: Client, measure: Measure) -> None:
    land_events(client, until=datetime.now(UTC), minutes=5, seed=1)
    empty = measure("etl_user_mood_daily")["etl_user_mood_daily"]
    assert (empty.status, empty.reason, empty.cause) == ("error", "empty", "pipeline_late")
    load_user_moods(client)
    assert measure("etl_user_mood_daily")["etl_user_mood_daily"].status == "pass"
    client.command("TRUNCATE TABLE mindguard.user_mood_daily SYNC")
    old = datetime.now(UTC) - timedelta(minutes=20)
    client.insert("mindguard.user_mood_daily", [[old.date(), 1, 1, old]])
    late = measure("etl_user_mood_daily")["etl_user_mood_daily"]
    assert (late.status, late.cause) == ("error", "pipeline_late")
    client.command("TRUNCATE TABLE mindguard.events SYNC")
    land_events(client, until=old - timedelta(minutes=1), minutes=5, seed=2)
    assert measure("etl_user_mood_daily")["etl_user_mood_daily"].cause == "source_silent"


def test_a_weekly_report_not_started_running_and_empty(conninfo: str, measure: Measure) -> None:
    (report,) = choose(SHIPPED, ["weekly_report"])
    due = latest_due(report, now=datetime.now(UTC), zone=SHIPPED.zone)  # type: ignore[arg-type]
    week = due.params()["iso_week"]

    def note() -> str:
        result = measure("weekly_report")["weekly_report"]
        assert result.value == pytest.approx(max(0.0, (result.at - due.at).total_seconds()), abs=60)
        return result.note

    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("insert into public.weekly_report_runs values ('2020-W01', now(), now())")
        assert note() == "not started"
        connection.execute("insert into public.weekly_report_runs values (%s, now())", [week])
        assert note() == "running"
        connection.execute("update public.weekly_report_runs set finished_at = now()")
        assert note() == "empty"


def test_risk_routing_is_as_old_as_the_oldest_that_waits(conninfo: str, measure: Measure) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        assert measure("risk_routing")["risk_routing"].value == 0
        connection.execute(
            "update public.risk_signals"
            " set routed_at = null, escalated_at = null, detected_at = now() - interval '7 min'"
            " where id = (select min(id::text)::uuid from public.risk_signals)"
        )
    result = measure("risk_routing")["risk_routing"]
    assert (result.status, result.note) == ("error", "1 waiting")
    assert result.value == pytest.approx(420, abs=60)


def test_crashes_failures_and_slow_answers(client: Client, measure: Measure) -> None:
    land_events(
        client,
        until=datetime.now(UTC),
        minutes=70,
        seed=3,
        crashes=0.3,
        failures=0.2,
        path="/api/v1/checkins",
        latency_s=900,
    )
    results = measure("crash_rate", "api_error_rate", "risk_response")
    assert verdicts(results) == {
        "crash_rate": ("error", "above"),
        "api_error_rate /api/v1/behavior_tasks": ("pass", ""),
        "api_error_rate /api/v1/checkins": ("error", "above"),
        "api_error_rate /api/v1/risk_signals": ("pass", ""),
        "api_error_rate /api/v1/suggestions": ("pass", ""),
        "api_error_rate /api/v1/user_profile": ("pass", ""),
        "risk_response": ("error", "above"),
    }
    assert results["api_error_rate /api/v1/checkins"].escalated
    assert results["risk_response"].escalated


def test_one_minute_without_crash_is_no_crash_rate(client: Client, measure: Measure) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    land_events(client, until=minute - timedelta(minutes=2), minutes=6, seed=4, crashes=0.5)
    land_events(client, until=minute + timedelta(minutes=1), minutes=3, seed=5)
    result = measure("crash_rate")["crash_rate"]
    assert (result.status, result.value) == ("pass", 0)


def test_a_quiet_night_is_unknown_and_not_false(client: Client, measure: Measure) -> None:
    names = ("event_landing", "crash_rate", "crash_rate_day", "api_error_rate", "risk_response")
    assert set(verdicts(measure(*names)).values()) == {("unknown", "low_base")}
    land_events(client, until=datetime.now(UTC), minutes=7, seed=6, per_minute=2, crashes=1.0)
    assert verdicts(measure("crash_rate"))["crash_rate"] == ("unknown", "low_base")


@pytest.mark.parametrize(
    ("source", "text", "status", "reason", "words"),
    [
        ("postgres", "select pg_sleep(5), 0 as value", "unknown", "timeout", "within 0.5 s"),
        (
            "clickhouse",
            "SELECT sum(sipHash64(number)) AS value FROM numbers(100000000000)",
            "unknown",
            "timeout",
            "within 0.5 s",
        ),
        ("postgres", "select value from nowhere", "unknown", "failed", "nowhere"),
        ("clickhouse", "SELECT value FROM nowhere", "unknown", "failed", "nowhere"),
        ("postgres", "create table public.made (n int)", "unknown", "failed", "syntax error"),
        ("postgres", "select lo_create(0)::int as value", "unknown", "failed", "read-only"),
        ("postgres", "select %(absent)s as value", "unknown", "failed", "absent"),
        ("postgres", "select null::timestamptz as newest", "error", "empty", ""),
        ("postgres", "select '1970-01-01 00:00+00'::timestamptz as newest", "error", "empty", ""),
        ("postgres", "select 'infinity'::timestamptz as newest", "unknown", "failed", "– leave out such rows"),
        ("postgres", "select '-infinity'::timestamptz as newest", "unknown", "failed", "– leave out such rows"),
        ("postgres", "select '12000-01-01'::timestamptz as newest", "unknown", "failed", "– leave out such rows"),
        ("postgres", "select '1-01-01 BC'::timestamptz as newest", "unknown", "failed", "– leave out such rows"),
        ("postgres", "select 1 / 0 as value", "unknown", "failed", "– correct the query"),
        ("postgres", "select 1e300 as value", "error", "empty", ""),
        ("clickhouse", "select max(now64()) as newest from numbers(0)", "error", "empty", ""),
        ("postgres", "select 0 as value where 'ab' like 'a%'", "pass", "", ""),
        ("postgres", "select 7 % 4 as value, 'a%' || %(timezone)s || '%%' || format('%s', 1) as note", "pass", "", "1"),
        ("clickhouse", "SELECT CAST(NULL, 'Nullable(DateTime)') AS newest", "error", "empty", ""),
        ("postgres", "select localtimestamp as newest", "unknown", "failed", "time zone"),
        ("postgres", "select now() + interval '2 min' as newest", "unknown", "future", ""),
        ("clickhouse", "SELECT now() AS newest", "pass", "", ""),
        ("clickhouse", "SELECT now() AS newest WHERE 0; \n", "error", "empty", ""),
        (
            "clickhouse",
            "SELECT 1 AS age WHERE 0 -- nothing",
            "unknown",
            "failed",
            "the query returns the unknown column age",
        ),
        ("postgres", "select 1 as age where false", "unknown", "failed", "the query returns the unknown column age"),
        ("clickhouse", "SELECT now64(3, 'Asia/Shanghai') AS newest", "pass", "", ""),
        ("clickhouse", "SELECT now() AS newest, now() AS source_now", "pass", "", ""),
        ("postgres", "select 'NaN'::numeric as value", "unknown", "no_value", ""),
        ("postgres", "select 0 as value, 'NaN'::numeric as base", "unknown", "no_value", ""),
        (
            "clickhouse",
            "SELECT count() AS value FROM numbers(1000000)\n"
            "SETTINGS max_rows_to_read = 10, read_overflow_mode = 'break'",
            "unknown",
            "failed",
            "read_overflow_mode = 'break' makes its answer partial",
        ),
    ],
)
def test_what_a_query_may_do(
    source: str, text: str, status: str, reason: str, words: str, measure: Measure, tmp_path: Path
) -> None:
    settings = with_monitor(kind="freshness", source=source, query=query(tmp_path, text), timeout_s=0.5)
    result = measure(settings=settings)["m"]
    assert (result.status, result.reason) == (status, reason), result.note
    assert words in result.note


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("copy (select 1) to stdout", "syntax error"),
        ("commit", "syntax error"),
        ("select 0 as value; select 400 as value", "syntax error"),
        ("select 0 as value, set_config('search_path', 'nowhere', false) as note", ""),
        ("-- a remark; and\nselect 0 as value, ';' as note; -- 'another' /* one */ ; \n/* one more */ ", ""),
        ("values (0)", "unknown column column1"),
        ("select pg_terminate_backend(pg_backend_pid())::int as value", "terminating connection"),
        ("select 0 as value, generate_series(1, 100000000)::text as dimension", "more than 200 rows"),
        ("select 0 as value, repeat('x', 200000) as dimension", "more than 100,000 characters"),
        ("select 0 as value, now() as newest", "the query returns newest and value – return one of them"),
        ("select '13900001111' as value", "value is not a number, but of the type str"),
        ("select repeat('x', 30000000) as note, 0 as value", ""),
    ],
)
def test_what_a_query_does_stays_with_its_monitor(
    text: str, words: str, resolve: Resolve, fresh_database: str, tmp_path: Path
) -> None:
    """All queries of one thread use the same connection."""
    monitors = []
    well = "select 1 as value where current_setting('search_path') <> 'nowhere'"
    for number, each in enumerate([well] * 4 + [text] * 4 + [well] * 8):
        (folder := tmp_path / str(number)).mkdir()
        name = f"{'hostile' if each == text else 'well'}{number}"
        monitors.append({"name": name, "kind": "freshness", "source": "postgres", "query": query(folder, each)})
    settings = Settings.model_validate(
        {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}, "monitors": monitors}
    )
    results = run_monitors(settings, resolve, now=datetime.now(UTC), memory=None)
    assert {each.status for each in results if each.monitor.startswith("well")} == {"pass"}, results
    hostile = [each for each in results if each.monitor.startswith("hostile")]
    assert {(each.status, each.reason) for each in hostile} == {("unknown", "failed") if words else ("pass", "")}
    assert all(words in each.note and "13900001111" not in each.note for each in hostile), hostile


@pytest.mark.parametrize(
    "text",
    [
        "SELECT number AS value, toString(number) AS dimension FROM numbers(100000000)",
        "SELECT 0 AS value, arrayStringConcat(arrayMap(each -> repeat('x', 100000), range(200))) AS note, "
        "toString(number) AS dimension FROM numbers(3)",
    ],
    ids=["rows", "bytes"],
)
def test_an_answer_of_any_size_fills_no_memory(text: str, measure: Measure, tmp_path: Path) -> None:
    settings = with_monitor(kind="freshness", source="clickhouse", query=query(tmp_path, text), timeout_s=30)
    result = measure(settings=settings)["m"]
    assert (result.status, result.reason) == ("unknown", "failed")
    assert result.note == "the answer is larger than 10,000 rows or 10 MB – return one or a few rows"


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("select 'done' as state, null::int as rows", "error", "empty"),
        ("select 'done' as state, -1 as rows", "error", "empty"),
        ("select 'done' as state, 'NaN'::numeric as rows", "error", "empty"),
        ("values ('done', 5), ('running', 0)", "unknown", "more than one row"),
        ("select 'done' as state", "pass", "done"),
    ],
)
def test_a_deadline_is_met_by_work_that_is_there(
    text: str, status: str, words: str, measure: Measure, tmp_path: Path
) -> None:
    if text.startswith("values"):
        text = f"select * from ({text}) as made (state, rows)"
    settings = with_monitor(
        kind="deadline", source="postgres", at="00:00", error_after_s=0, query=query(tmp_path, text)
    )
    result = measure(settings=settings)["m"]
    assert (result.status, words in result.note) == (status, True), result.note


def test_a_view_that_cuts_its_answer_short_is_not_judged(client: Client, measure: Measure, tmp_path: Path) -> None:
    """On the real engine, the sum over this view lacks most rows, and nothing says so."""
    client.command("CREATE DATABASE IF NOT EXISTS mindguard")
    client.command("CREATE TABLE mindguard.many (n Int64) ENGINE = MergeTree ORDER BY n SETTINGS index_granularity = 8")
    client.command("INSERT INTO mindguard.many SELECT number FROM numbers(100000)")
    client.command(
        "CREATE VIEW mindguard.some AS SELECT n FROM mindguard.many SETTINGS max_rows_to_read = 1000, "
        "read_overflow_mode = 'break', max_threads = 1, max_block_size = 100"
    )
    client.command("CREATE VIEW mindguard.over AS SELECT n FROM mindguard.some")
    whole, part = (client.query(f"SELECT sum(n) FROM mindguard.{name}").first_row[0] for name in ("many", "some"))
    assert part < whole
    answers = {
        "SELECT sum(n) AS value FROM mindguard.over": ("unknown", "failed"),
        "SELECT sum(n) AS value FROM (SELECT n FROM mindguard.many SETTINGS limit = 3)": ("unknown", "failed"),
        "SELECT 0 AS value, sum(n) AS base FROM mindguard.many": ("pass", ""),
    }
    for number, (text, expected) in enumerate(answers.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        result = measure(settings=with_monitor(kind="freshness", source="clickhouse", query=query(folder, text)))["m"]
        assert (result.status, result.reason) == expected
        assert ("makes its answer partial – remove that setting" in result.note) == (result.status == "unknown")


def test_texts_that_no_store_can_keep_cost_no_monitor_its_result(
    resolve: Resolve, fresh_database: str, tmp_path: Path
) -> None:
    hostile = (
        "SELECT 1 AS value, concat('/api', char(0), {end}) AS dimension, concat(char(0), repeat('n', 5000)) AS note"
    )
    text = " UNION ALL ".join(hostile.format(end=end) for end in ("'a'", "'b'", "repeat('x', 6000)", "char(255)"))
    plain = {"kind": "rate", "source": "clickhouse", "error_above": 0.5}
    monitors = [{"name": "hostile", **plain, "query": query(tmp_path, text)}]
    (tmp_path / "harmless").mkdir()
    harmless = query(tmp_path / "harmless", "SELECT 1 AS value, toFixedString('/b', 4) AS dimension")
    monitors.append({"name": "harmless", **plain, "query": harmless})
    snapshot = {"bucket": "b", "tables": [{"name": "public.t"}]}
    settings = Settings.model_validate({"snapshot": snapshot, "monitors": monitors})
    store = MonitorStore(OpsDatabase.of(connection_of(fresh_database)), keep=timedelta(days=1))
    results = run_monitors(settings, resolve, now=datetime.now(UTC), memory=store)
    assert [result.status for result in results] == ["error"] * 5, results
    assert max(len(result.dimension) for result in results) == 200
    assert store.latest(since=datetime.now(UTC) - timedelta(hours=1)) != []
    assert {key.monitor for key in store.states()} == {"hostile", "harmless"}


@pytest.mark.parametrize("source", ["postgres", "clickhouse"])
@pytest.mark.parametrize(
    ("text", "facts", "reason", "words"),
    [
        ("select 400 as value", {"min_base": 5}, "failed", "min_base has no effect"),
        ("select 400 as value, null as base", {"min_base": 5}, "low_base", ""),
        ("select 400 as value", {"params": {"hours": 2}}, "failed", "does not use the parameter hours"),
    ],
)
def test_a_setting_that_a_query_would_ignore(
    source: str, text: str, facts: dict[str, Any], reason: str, words: str, measure: Measure, tmp_path: Path
) -> None:
    settings = with_monitor(kind="freshness", source=source, query=query(tmp_path, text), **facts)
    result = measure(settings=settings)["m"]
    assert (result.status, result.reason) == ("unknown", reason), result.note
    assert words in result.note


def test_a_source_with_another_clock_is_judged_by_it_and_the_difference_told(measure: Measure, tmp_path: Path) -> None:
    text = "select now() + interval '1 hour' as newest, now() + interval '1 hour 1 minute' as source_now"
    result = measure(settings=with_monitor(kind="freshness", source="postgres", query=query(tmp_path, text)))["m"]
    assert (result.status, result.value) == ("pass", 60)
    assert result.skew_s == pytest.approx(3660, abs=30)


@pytest.mark.parametrize("source", ["postgres", "clickhouse"])
def test_a_dead_source_is_unknown_and_only_its_own_monitors(source: str, resolve: Resolve, tmp_path: Path) -> None:
    lives, dies = (
        {"kind": "freshness", "source": each, "query": query(tmp_path, "select 1 as value"), "connection": connection}
        for each, connection in (("postgres", None), (source, "dead"))
    )
    plain = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}
    settings = Settings.model_validate({**plain, "monitors": [{"name": "a", **lives}, {"name": "b", **dies}]})
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

        def found(conn_id: str) -> Connection:
            dead = Connection(conn_id, source, host="127.0.0.1", port=port, login="u", password="s3cret", schema="d")
            return dead if conn_id == "dead" else resolve(conn_id)

        alive, gone = run_monitors(settings, found, now=datetime.now(UTC), memory=None)
    assert alive.status == "pass"
    assert (gone.status, gone.reason) == ("unknown", "unreachable")
    assert "s3cret" not in gone.note


def test_a_day_is_one_of_the_settings_time_zone(client: Client, measure: Measure) -> None:
    # In one of them midnight is some hours ago; one of them changes its clocks.
    zone = next(each for each in ("Europe/Berlin", "Asia/Shanghai") if datetime.now(ZoneInfo(each)).hour not in (0, 23))
    midnight = datetime.combine(datetime.now(ZoneInfo(zone)).date(), time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    land_events(client, until=midnight - timedelta(seconds=5), minutes=5, seed=1, crashes=1.0)
    land_events(client, until=midnight + timedelta(minutes=35), minutes=30, seed=2)
    result = measure("crash_rate_day", settings=SHIPPED.model_copy(update={"timezone": zone}))["crash_rate_day"]
    assert (result.status, result.value) == ("pass", 0)


FINE = "select now() as newest, now() as source_now"


@pytest.mark.parametrize(
    ("text", "changed", "status", "line_begins"),
    [
        (FINE, {}, "pass", "can be measured, in "),
        (None, {}, "error", "cannot read the query {file}: No such file or directory – correct `query`"),
        (
            "select now() as loaded",
            {},
            "error",
            "the query returns the unknown column loaded – a freshness query may return newest, value, "
            "upstream_newest, dimension, base, source_now, note",
        ),
        ("select now()", {}, "error", "the query returns the unknown column now – a freshness query may return newest"),
        ("select now() as newest where", {}, "error", 'mindguard_app: syntax error at or near ")" – correct the query'),
        (FINE, {"connection": "typo"}, "error", "connection 'typo' is not configured – set AIRFLOW_CONN_TYPO"),
        (
            None,
            {"source": "kafka", "query": None, "group": "typo", "topics": ["t"]},
            "warn",
            "t: 1 behind, group typo has committed nothing – correct `group`, start its consumer, or reset its offsets",
        ),
        (
            None,
            {"source": "kafka", "query": None, "group": "g", "topics": ["typo"]},
            "error",
            "typo: there is no topic typo, or its user may not see it – correct `topics`",
        ),
        (
            None,
            {"source": "http", "kind": "heartbeat", "query": None, "url": "http://127.0.0.1:9/up"},
            "warn",
            "the connection is refused: nothing listens there – correct `url` or `expect`, unless it really is down",
        ),
    ],
)
def test_a_monitor_is_some_settings_and_one_file_and_doctor_says_in_a_line_what_is_wrong(
    text: str | None, changed: dict[str, Any], status: str, line_begins: str, resolve: Resolve, tmp_path: Path
) -> None:
    file = tmp_path / "measure_mine.sql"
    if text:
        file.write_text(text, "utf-8")
    entry = {"name": "mine", "kind": "freshness", "source": "postgres", "query": str(file), **changed}
    settings_file = tmp_path / "mindguard.yaml"
    settings_file.write_text(
        "snapshot: {bucket: b, tables: [{name: public.t}]}\n"
        f"monitors:\n  - {json.dumps({key: value for key, value in entry.items() if value})}\n",
        "utf-8",
    )
    broker = KafkaBroker()
    broker.produce(1, at=datetime.now(UTC), topic="t")
    kafka = Connection("mindguard_kafka", **broker.connection())  # type: ignore[arg-type]
    found = list(
        examine_monitors(
            load_settings(settings_file),
            lambda conn_id: kafka if conn_id == "mindguard_kafka" else resolve(conn_id),
            lambda: datetime.now(UTC),
        )
    )
    ((got, line),) = [(each.status, each.text) for each in found]
    assert got == status, line
    assert line.startswith(line_begins.replace("{file}", str(file)))
    assert "\n" not in line


PAGES = {
    "/up": ("text/plain", b"operational"),
    "/gbk": ("text/html; charset=gbk", "正常".encode("gbk")),
    "/meta": ("text/html", '<meta charset="gb18030"><p>正常'.encode("gb18030")),
    "/utf-16": ("text/plain", "正常".encode("utf-16")),
    "/json": ("application/json", json.dumps({"status": "正常"}).encode()),
    "/odd": ("text/plain; charset=no-such-code", "正常".encode()),
    "/large": ("text/plain", b"x" * 1_500_000 + "正常".encode()),
    "/utf-32": ("text/plain", "正常".encode("utf-32")),
    "/json-utf-16": ("application/json", '{"status": "正常"}'.encode("utf-16-le")),
    "/xml": ("application/xml", '<?xml version="1.0" encoding="GBK"?><a>正常</a>'.encode("gbk")),
    "/wrong-header": ("text/html; charset=ISO-8859-1", '<meta charset="gbk">正常'.encode("gbk")),
    "/entities": ("text/html", b"<p>&#27491;&#x5e38;"),
    "/alias": ("text/html; charset=x-gbk", "正常".encode("gbk")),
    "/newer": ("text/html; charset=gb2312", "朱镕基".encode("gbk")),
    "/emoji": ("application/json", json.dumps({"status": "😀"}).encode()),
    "/slash": ("application/json", b'{"status": "up\\/running, \\"yes\\""}'),
    "/other": ("text/html; charset=gbk", "维护".encode("gbk")),
}


class Answers(BaseHTTPRequestHandler):
    """Some addresses of a dependency."""

    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/down" else 200)
        kind, body = PAGES.get(self.path, ("text/plain", b"maintenance"))
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def dependency() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "expect", "status", "note"),
    [
        ("/up", "operational", "pass", ""),
        ("/down", "operational", "error", "HTTP 503"),
        ("/other", "operational", "error", "the answer does not contain 'operational'"),
        *((path, "正常", "pass", "") for path in ("/gbk", "/meta", "/utf-16", "/json", "/odd")),
        *((path, "正常", "pass", "") for path in ("/utf-32", "/json-utf-16", "/xml", "/wrong-header")),
        *((path, "正常", "pass", "") for path in ("/entities", "/alias")),
        ("/newer", "朱镕基", "pass", ""),
        ("/emoji", "😀", "pass", ""),
        ("/slash", 'up/running, "yes"', "pass", ""),
        ("/other", "正常", "error", "the answer does not contain '正常'"),
        (
            "/large",
            "正常",
            "unknown",
            "the answer is larger than 1 MB, and '正常' is not in this part – let `url` be a smaller page",
        ),
    ],
)
def test_a_heartbeat(path: str, expect: str, status: str, note: str, dependency: str) -> None:
    settings = with_monitor(kind="heartbeat", url=dependency + path, expect=expect)
    (result,) = run_monitors(settings, from_environment, now=datetime.now(UTC), memory=None)
    assert (result.status, result.note) == (status, note)


def test_a_dependency_without_listener_is_down() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = with_monitor(kind="heartbeat", url=f"http://127.0.0.1:{free.getsockname()[1]}/key=secret")
        (result,) = run_monitors(settings, from_environment, now=datetime.now(UTC), memory=None)
    assert (result.status, result.reason) == ("error", "down")
    assert result.note == "the connection is refused: nothing listens there"
