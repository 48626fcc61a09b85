"""Suites and their commands against the real ClickHouse engine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import time_machine
from typer.testing import CliRunner, Result

from devstack.data.event_faults import EventFaults
from devstack.data.sample_data import load_events, load_tables
from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.severity import Severity
from mindguard.cli import app
from mindguard.connections import clickhouse_client, from_environment
from mindguard.doctor.events import examine_clickhouse
from mindguard.errors import SettingsError
from mindguard.resources import include_dir
from mindguard.settings import load_settings
from mindguard.volume.days import Moment, day_start
from mindguard.volume.findings import Context, findings, recoveries
from mindguard.volume.frames import Frames
from mindguard.volume.suites import Suite, SuiteUnchecked, SuiteUnsound, find_suite, validate
from tests.folders import engine_folder

ZONE = load_settings().zone
TODAY = date(2026, 11, 24)  # a Tuesday; the walk through of docs/suites.md is about the day before
YESTERDAY, MIDNIGHT = (day_start(day, ZONE) for day in (TODAY - timedelta(days=1), TODAY))


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of its own, since the tests spoil its data; its connections are in the environment."""
    with (
        engine_folder("mindguard-suites-") as folder,
        Stack(folder, airflow=False, parts=("postgres", "clickhouse")) as started,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in started.environment().items():
            patch.setenv(name, value)
        yield started


@pytest.fixture(scope="module")
def commands(stack: Stack) -> Any:
    """`commands("suites", …)` at four in the morning; yesterday `checkin_submit` lost 60 %, and nothing else did."""
    settings = load_settings()
    client = clickhouse_client(from_environment(settings.connections.events))
    load_events(client, events=600_000, days=75, seed=1, today=TODAY, progress=lambda line: None)
    EventFaults(client, settings.volume.table).drop(YESTERDAY, MIDNIGHT, share=0.6, names=["checkin_submit"])

    def run(*arguments: str) -> Result:
        with time_machine.travel(MIDNIGHT + timedelta(hours=4)):
            return CliRunner().invoke(app, arguments, catch_exceptions=False)

    assert run("volume", "install").exit_code == 0
    return run


def test_the_rollup_counts_what_the_raw_table_holds(commands: Any) -> None:
    done = commands("volume", "reconcile", "--json")
    assert done.exit_code == 0
    assert all(each["raw_events"] == each["rollup_events"] > 0 for each in json.loads(done.stdout))


def test_a_run_names_the_event_that_fell(commands: Any) -> None:
    done = commands("suites", "run", "event_volume", "--json")
    found = json.loads(done.stdout)
    paging = {tuple(each["key"]) for each in found["failures"] if each["severity"] == "warning"}
    assert (done.exit_code, paging, found["severity"]) == (1, {("checkin_submit",)}, "warning")


def test_key_events_are_compared_with_the_names_that_events_have(
    commands: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text((include_dir() / "config" / "mindguard.yaml").read_text("utf-8"), "utf-8")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(own))
    with pytest.raises(SettingsError, match=r"is called 'api_requets'; did you mean api_request\?"):
        commands("suites", "new", "api_requets")
    settings, now = load_settings(), MIDNIGHT + timedelta(hours=4)
    assert [each.status for each in examine_clickhouse(settings, from_environment, lambda: now)] == ["pass", "pass"]
    assert commands("suites", "new", "api_requets", "--unseen").exit_code == 0
    *_, found = examine_clickhouse(load_settings(), from_environment, lambda: now)
    assert (found.status, found.check) == ("warn", "key events")
    assert found.text == "no event of the last 63 days is called 'api_requets'; did you mean api_request?"
    assert f"warning: key_events: {found.text}\n" in commands("suites", "lint").stderr


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


TABLES = {"checkins": "created_at", "behavior_tasks": "created_at", "risk_signals": "detected_at"}


@pytest.fixture(scope="module")
def sound(stack: Stack) -> psycopg.Connection[Any]:
    """The key tables as their owner sees them, and a copy of each, `saved_…`.

    They are without the constraints that would reject the wrong rows which the tests put in.
    """
    owner = stack.postgres_conninfo("mindguard_app_owner")
    load_tables(owner, rows=120_000, seed=1, today=TODAY, progress=lambda line: None)
    connection = psycopg.connect(owner, autocommit=True)
    for statement in (
        "ALTER TABLE checkins DROP CONSTRAINT checkins_mood_score, DROP CONSTRAINT checkins_sleep_hours",
        "ALTER TABLE checkins ALTER mood DROP NOT NULL",
        "ALTER TABLE behavior_tasks DROP CONSTRAINT behavior_tasks_difficulty, DROP CONSTRAINT behavior_tasks_order",
        "ALTER TABLE behavior_tasks ALTER title DROP NOT NULL",
        "ALTER TABLE risk_signals DROP CONSTRAINT risk_signals_score, DROP CONSTRAINT risk_signals_order",
        "ALTER TABLE risk_signals ALTER category DROP NOT NULL",
        "ALTER TYPE mood ADD VALUE 'numb'",
        "ALTER TYPE task_status ADD VALUE 'paused'",
        "ALTER TYPE risk_level ADD VALUE 'severe'",
        *(f"CREATE TABLE saved_{table} AS TABLE {table}" for table in TABLES),
    ):
        connection.execute(statement)
    return connection


@pytest.fixture
def tables(sound: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The same tables; after the test, yesterday's rows are restored."""
    yield sound
    for table, at in TABLES.items():
        sound.execute(f"DELETE FROM {table} WHERE {at} >= %s", [YESTERDAY])
        sound.execute(
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM saved_{table} WHERE {at} >= %s", [YESTERDAY]
        )


def reported(table: str) -> tuple[list[Finding], list[Recovery]]:
    """Return the findings and recoveries of yesterday's rows, half an hour after midnight."""
    settings, suite = load_settings(), find_suite(table)
    moment = Moment(TODAY - timedelta(days=1), MIDNIGHT + timedelta(minutes=30))
    frame = Frames(settings, moment, resolve=from_environment).of(suite)
    context = Context(moment.day, moment.as_of, ZONE, "en")
    judged = validate(suite, frame)
    return findings(suite, judged, frame, context), recoveries(suite, judged, frame, context)


def wrong_values(finding: Finding) -> dict[str, tuple[str, str]]:
    return {fact.name: (fact.value, fact.expected) for fact in finding.alert.facts if fact.wrong}


@pytest.mark.parametrize("table", TABLES)
def test_sound_rows_pass_and_end_what_was_wrong(tables: psycopg.Connection[Any], table: str) -> None:
    found, ended = reported(table)
    assert found == []
    assert f"volume:{table}:public.{table}" in {each.recovery_key for each in ended}


# By table and column: a change, how many of yesterday's rows get it (no row gets two), and what the column may be.
FAULTS: dict[str, dict[str, tuple[str, int, str]]] = {
    "checkins": {
        "null_required": ("mood = NULL", 1, "≤ 0"),
        "mood_score_out_of_range": ("mood_score = 11", 2, "≤ 0"),
        "sleep_hours_out_of_range": ("sleep_hours = -1", 3, "≤ 0"),
        "unknown_mood": ("mood = 'numb'", 4, "≤ 0"),
    },
    "behavior_tasks": {
        "null_required": ("title = NULL", 1, "≤ 0"),
        "difficulty_out_of_range": ("difficulty = 0", 2, "≤ 0"),
        "reward_points_out_of_range": ("reward_points = -5", 3, "≤ 0"),
        "unknown_status": ("status = 'paused', completed_at = NULL", 4, "≤ 0"),
        "contradictory": ("status = 'completed', completed_at = NULL", 5, "≤ 0"),
        "unknown_category": ("category = 'juggling'", 6, "≤ 0"),
    },
    "risk_signals": {
        "null_required": ("category = NULL", 1, "≤ 0"),
        "score_out_of_range": ("score = 1.5", 2, "≤ 0"),
        "unknown_level": ("level = 'severe'", 3, "≤ 0"),
        "unknown_category": ("category = 'unheard of'", 2, "≤ 0"),
        "contradictory": ("routed_at = detected_at - interval '1 s', escalated_at = NULL", 1, "≤ 0"),
    },
}


@pytest.mark.parametrize("table", TABLES)
def test_wrong_rows_are_one_finding_that_counts_each_kind(tables: psycopg.Connection[Any], table: str) -> None:
    at, done = TABLES[table], 0
    for change, rows, _ in FAULTS[table].values():
        changed = tables.execute(
            f"UPDATE {table} SET {change} WHERE id IN"
            f" (SELECT id FROM saved_{table} WHERE {at} >= %s ORDER BY id OFFSET {done} LIMIT {rows})",
            [YESTERDAY],
        )
        assert changed.rowcount == rows
        done += rows
    (finding,), ended = reported(table)
    expected = {column: (str(rows), allowed) for column, (_, rows, allowed) in FAULTS[table].items()}
    assert wrong_values(finding) == expected
    assert (finding.alert.severity, finding.recovery_key) == (Severity.P1, f"volume:{table}:public.{table}")
    assert finding.recovery_key not in {each.recovery_key for each in ended}


# By table: columns that a row needs, and what stands there.
COLUMNS = {
    "checkins": ("id, mood, mood_score, checkin_date", "-n, 'okay', 5, %(since)s"),
    "behavior_tasks": ("id, title, category", "-n, 'Breathe', 'breathing'"),
    "risk_signals": ("id, level, category, score", "gen_random_uuid(), 'low', 'anxiety', 0.1"),
}


def fill(connection: psycopg.Connection[Any], table: str, rows: int, *, lost: int = 0, dangling: int = 0) -> None:
    """Give yesterday these rows alone: `lost` of them without a user, `dangling` with keys that point nowhere."""
    (names, values), at = COLUMNS[table], TABLES[table]
    if table != "checkins":
        names, values = f"{names}, checkin_id", f"{values}, CASE WHEN n <= %(dangling)s THEN -1 ELSE 1 END"
    connection.execute(f"DELETE FROM {table} WHERE {at} >= %s", [YESTERDAY])
    connection.execute(
        f"INSERT INTO {table} ({names}, user_id, {at}) OVERRIDING SYSTEM VALUE"
        f" SELECT {values}, CASE WHEN n > %(lost)s THEN 1 END, %(until)s - n * interval '1 s'"
        " FROM generate_series(1, %(rows)s) AS n",
        {"since": YESTERDAY, "until": MIDNIGHT, "rows": rows, "lost": lost, "dangling": dangling},
    )


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("lost", "rows"), [(1, 1), (2, 19), (110, 1000)])
def test_a_share_that_chance_explains_is_no_finding(
    tables: psycopg.Connection[Any], table: str, lost: int, rows: int
) -> None:
    fill(tables, table, rows, lost=lost)
    assert reported(table)[0] == []


@pytest.mark.parametrize("table", ["behavior_tasks", "risk_signals"])
def test_a_few_keys_that_point_nowhere_are_no_finding(tables: psycopg.Connection[Any], table: str) -> None:
    fill(tables, table, 150, dangling=2)
    assert reported(table)[0] == []


@pytest.mark.parametrize("table", TABLES)
def test_a_share_that_is_too_high_is_told_with_what_it_is_at_least(tables: psycopg.Connection[Any], table: str) -> None:
    keys = {} if table == "checkins" else {"dangling": 20}
    fill(tables, table, 1000, lost=200, **keys)
    (finding,), _ = reported(table)
    shares = {fact.name: (fact.value, fact.expected, fact.wrong) for fact in finding.alert.facts}
    # As scipy.stats.binomtest(200, 1000, alternative="greater").proportion_ci(0.99, "wilsoncc") has it.
    expected = {"null_user_share_at_least": ("0.1718", "≤ 0.1", True), "null_user_share": ("0.2", "", False)}
    if keys:
        expected |= {
            "dangling_checkin_share_at_least": ("0.01162", "≤ 0.01", True),
            "dangling_checkin_share": ("0.02", "", False),
        }
    assert shares == expected
    assert finding.alert.severity is Severity.P2


@pytest.mark.parametrize("table", ["behavior_tasks", "risk_signals"])
def test_keys_that_point_nowhere_and_lost_users_are_looked_at_by_day(
    tables: psycopg.Connection[Any], table: str
) -> None:
    tables.execute(f"UPDATE {table} SET checkin_id = -1, user_id = NULL WHERE {TABLES[table]} >= %s", [YESTERDAY])
    (finding,), _ = reported(table)
    allowed = {name: fact for name, (_, fact) in wrong_values(finding).items()}
    assert allowed == {"null_user_share_at_least": "≤ 0.1", "dangling_checkin_share_at_least": "≤ 0.01"}
    measured = {fact.name: fact.value for fact in finding.alert.facts if not fact.wrong}
    assert measured == {"null_user_share": "1", "dangling_checkin_share": "1"}
    assert finding.alert.severity is Severity.P2


def test_a_table_whose_newest_row_is_old_is_found_though_the_day_has_rows(tables: psycopg.Connection[Any]) -> None:
    tables.execute("DELETE FROM checkins WHERE created_at >= %s", [MIDNIGHT - timedelta(hours=7)])
    (finding,), _ = reported("checkins")
    ((name, (value, allowed)),) = wrong_values(finding).items()
    assert (name, allowed) == ("newest_age_h", "0 … 6")
    assert 7 <= float(value) < 9


@pytest.mark.parametrize("table", TABLES)
def test_a_day_without_rows_is_never_a_pass(tables: psycopg.Connection[Any], table: str) -> None:
    tables.execute(f"DELETE FROM {table} WHERE {TABLES[table]} >= %s", [YESTERDAY])
    (finding,), _ = reported(table)
    assert set(wrong_values(finding)) == {"row_count", "newest_age_h"}


@pytest.mark.parametrize("table", TABLES)
def test_the_queries_read_no_whole_table(sound: psycopg.Connection[Any], table: str) -> None:
    query = (include_dir() / "sql" / "postgres" / f"select_{table}_quality.sql").read_text("utf-8")
    bounds = {"since": YESTERDAY, "until": MIDNIGHT}
    with sound.cursor() as cursor:
        sound.execute(f"ANALYZE {table}")
        ((plan,),) = cursor.execute(f"EXPLAIN (FORMAT JSON) {query}".encode(), bounds).fetchall()
    assert "Index" in json.dumps(plan)
    assert "Seq Scan" not in json.dumps(plan)


def test_a_day_that_runs_is_judged_by_the_last_24_hours(tables: psycopg.Connection[Any]) -> None:
    tables.execute("UPDATE checkins SET mood_score = 11 WHERE created_at >= %s", [YESTERDAY])
    settings, suite = load_settings(), find_suite("checkins")
    early = Frames(settings, Moment(TODAY, MIDNIGHT + timedelta(minutes=30)), resolve=from_environment)
    (row,) = early.of(suite).to_dict("records")
    assert row["row_count"] == row["mood_score_out_of_range"] > 0


def test_a_table_that_is_missing_is_no_pass(sound: psycopg.Connection[Any]) -> None:
    sound.execute("ALTER TABLE checkins RENAME TO hidden")
    try:
        with pytest.raises(SuiteUnchecked, match=r"checkins.*does not exist"):
            reported("checkins")
    finally:
        sound.execute("ALTER TABLE hidden RENAME TO checkins")


def test_a_percent_sign_in_a_query_is_itself(stack: Stack, tmp_path: Path) -> None:
    query = tmp_path / "select_names.sql"
    query.write_text("select 'a%' as name, 7 % 4 as rest where 'ab' like 'a%' and %(since)s < %(until)s", "utf-8")
    meta = {"query": str(query), "connection": "app", "key": ["name"]}
    entry = {"type": "expect_column_values_to_be_unique", "severity": "info", "kwargs": {"column": "name"}}
    suite = Suite.model_validate({"name": "names", "meta": meta, "expectations": [entry]})
    frames = Frames(load_settings(), Moment(TODAY, MIDNIGHT + timedelta(hours=1)), resolve=from_environment)
    assert frames.of(suite).to_dict("records") == [{"name": "a%", "rest": 3}]


@pytest.mark.parametrize("connection", ["app", "events"])
def test_a_query_that_names_no_column_is_a_fault_of_the_suite(stack: Stack, tmp_path: Path, connection: str) -> None:
    """No retry could help, unlike with a table that is missing while it is migrated."""
    query = tmp_path / "select_nope.sql"
    query.write_text("select nope, 1 as name", "utf-8")
    meta = {"query": str(query), "connection": connection, "key": ["name"]}
    entry = {"type": "expect_column_values_to_be_unique", "severity": "info", "kwargs": {"column": "name"}}
    suite = Suite.model_validate({"name": "names", "meta": meta, "expectations": [entry]})
    frames = Frames(load_settings(), Moment(TODAY, MIDNIGHT + timedelta(hours=1)), resolve=from_environment)
    with pytest.raises(SuiteUnsound, match=r"names: .*nope"):
        frames.of(suite)
    query.write_text("select 1 as name from not_there_yet", "utf-8")
    with pytest.raises(SuiteUnchecked, match=r"names: .*not_there_yet"):
        frames.of(suite)


def walk_through(page: str) -> list[list[str]]:
    """Arguments of the commands in the page for data engineers."""
    text = (ROOT / page).read_text("utf-8")
    (block,) = [each for each in text.split("```")[1::2] if "mindguard suites lint" in each]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("mindguard ")]


@pytest.mark.parametrize(
    ("connection", "query", "why"),
    [
        ("app", "select 1 as k, 1 as v; select 1 as k, 9 as v", "own: mindguard_app: syntax error"),
        ("app", "select 1 as k, generate_series(1, 100000000) as v", "own: the frame has more than 10,000 rows"),
        ("events", "SELECT 1 AS k, number AS v FROM numbers(100000000)", "own: .*max rows: 10.*correct the query"),
        ("events", "SELECT 1 AS k, v FROM nowhere", "own: .*nowhere"),
    ],
)
def test_a_query_that_is_wrong_or_endless_is_its_suites_own_fault(
    connection: str, query: str, why: str, stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "own.sql").write_text(query)
    expectation = {
        "type": "expect_column_values_to_be_between",
        "severity": "warning",
        "kwargs": {"column": "v", "max_value": 3},
    }
    meta = {"query": str(tmp_path / "own.sql"), "connection": connection, "key": ["k"]}
    suite = Suite.model_validate({"name": "own", "meta": meta, "expectations": [expectation]})
    frames = Frames(load_settings(), Moment(TODAY, MIDNIGHT), resolve=from_environment)
    with pytest.raises((SuiteUnchecked, SuiteUnsound), match=why):
        validate(suite, frames.of(suite))


def test_the_walk_through_is_what_the_commands_do(
    commands: Any, sound: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = walk_through("docs/suites.md")
    assert lines == walk_through("docs/suites.zh-CN.md")
    own = tmp_path / "mindguard.yaml"
    shutil.copy(include_dir() / "config" / "mindguard.yaml", own)
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(own))
    monkeypatch.chdir(tmp_path)
    outputs = {}
    for words in lines:
        done = commands(*words)
        # Yesterday `checkin_submit` fell.
        assert done.exit_code == (1 if words[1] in ("run", "report") else 0), (words, done.output)
        outputs[words[1]] = done.output
    assert list(outputs) == ["lint", "new", "run", "backtest", "report"]
    assert "event_volume" in outputs["lint"]
    assert "api_request" in own.read_text("utf-8")
    assert "12 rows" in outputs["run"]
    assert "of 14 days" in outputs["backtest"]
    page = (tmp_path / "checks.html").read_text("utf-8")
    assert 'id="checkin_submit" class="fall warning"' in page
    assert "sleep_hours_out_of_range" in page
    assert "<script" not in page


def test_init_writes_settings_for_the_tables_and_events_there_are(
    commands: Any, sound: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound.execute('CREATE TABLE "Odd, {name}: #1" (id int primary key, updated_at timestamptz not null)')
    sound.execute('CREATE INDEX ON "Odd, {name}: #1" (updated_at)')
    sound.execute("CREATE TABLE hidden_away (id int)")
    sound.execute("ALTER TABLE hidden_away ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    own = tmp_path / "own.yaml"
    try:
        done = commands("init", str(own), "--bucket", "our-backups")
    finally:
        sound.execute('DROP TABLE "Odd, {name}: #1", hidden_away')
    assert "events of mindguard.events are watched" in done.stdout
    assert f"written {own}; next: export MINDGUARD_SETTINGS={own}, mindguard doctor" in done.stdout
    settings = load_settings(own)
    tables = {table.name: table.part_by for table in settings.snapshot.tables}
    assert {name: tables[f"public.{name}"] for name in TABLES} == TABLES
    assert tables["public.Odd, {name}: #1"] is None
    assert settings.snapshot.bucket == "our-backups"
    assert {"app_open", "checkin_submit"} < {event.name for event in settings.key_events}
    assert settings.volume == load_settings(include_dir() / "config" / "mindguard.yaml").volume
    text = own.read_text("utf-8")
    assert re.search(r"- \{name: public.hidden_away\}  # ", text)
    assert re.search(r"- \{name: public.checkins, part_by: created_at\}  # [\d.]+ MB", text)
    with pytest.raises(SettingsError, match=r"own\.yaml exists already; nothing was written"):
        commands("init", str(own))
    assert own.read_text("utf-8") == text
    # Its suites judge the events that were found, and nothing of the package's sample.
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(own))
    assert commands("suites", "run", "event_volume").exit_code in (0, 1)
    assert "checkins" not in commands("suites", "lint").stdout
