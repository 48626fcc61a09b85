"""What monitors remember and what they measured, in the real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from mindguard.database.session import OpsDatabase
from mindguard.monitors.judge import State
from mindguard.monitors.result import Key, Result
from mindguard.monitors.store import MonitorStore
from tests.connections import connection_of

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
RESULT = Result(
    monitor="api",
    dimension="/a",
    at=NOW,
    status="error",
    value=0.02,
    threshold=0.01,
    unit="ratio",
    reason="above",
    cause="",
    note="中文",
    escalated=False,
    since=NOW - timedelta(minutes=3),
    unknown_since=None,
    took_s=0.1,
)


@pytest.fixture
def store(fresh_database: str) -> MonitorStore:
    return MonitorStore(OpsDatabase.of(connection_of(fresh_database)), keep=timedelta(days=2))


def test_what_is_saved_is_there_and_old_results_go(store: MonitorStore) -> None:
    old = replace(RESULT, at=NOW - timedelta(days=3))
    store.save([old], {}, [])
    assert store.history("api", since=NOW - timedelta(days=9)) == [old]
    other = replace(RESULT, dimension="/b", value=None, status="unknown", reason="low_base", skew_s=-70.5)
    store.save([RESULT, other], {}, [])
    assert store.history("api", since=NOW - timedelta(days=9)) == [RESULT, other]
    assert store.history("api", since=NOW + timedelta(seconds=1)) == []
    assert store.history("other", since=NOW) == []


def test_all_results_of_a_run_are_one_statement(fresh_database: str) -> None:
    database = OpsDatabase.of(connection_of(fresh_database))
    store = MonitorStore(database, keep=timedelta(days=2))
    store.save([RESULT], {}, [])
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *about: statements.append(about[2].split()[0]))
    # Neighbours differ in what they leave empty.
    empty = replace(RESULT, value=None, since=None, status="unknown", reason="low_base")
    results = [replace(each, monitor=f"m{number}") for number in range(10) for each in (RESULT, empty)]
    results = [replace(each, dimension=str(number)) for number, each in enumerate(results)]
    states = {each.key: State(since=each.since, error_since=None if each.since else NOW) for each in results}
    store.save(results, states, [each.monitor for each in results])
    assert [statement for statement in statements if statement == "INSERT"] == ["INSERT"] * 2
    assert dict(store.states()) == states


def test_states_of_the_measured_monitors_are_replaced_and_others_stay(store: MonitorStore) -> None:
    state = State(level="warn", since=NOW, measured_at=NOW, warn_since=NOW, unknown_since=NOW)
    store.save([RESULT], {Key("api", "/a"): state, Key("api", "/b"): State(), Key("etl", ""): state}, ["api", "etl"])
    store.save([replace(RESULT, at=NOW + timedelta(minutes=1))], {Key("api", "/a"): State()}, ["api"])
    assert dict(store.states()) == {Key("api", "/a"): State(), Key("etl", ""): state}
