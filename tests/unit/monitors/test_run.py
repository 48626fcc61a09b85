"""A run over sources that are slow, dead or wrong: only their own monitors suffer."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mindguard.connections import Connection
from mindguard.errors import ConnectionMissing, MindGuardError
from mindguard.monitors import run
from mindguard.monitors.judge import Reading, State
from mindguard.monitors.result import Key, Result
from mindguard.monitors.run import MonitorMissing, run_monitors
from mindguard.monitors.sources.base import MeasurementFailed, SourceTimeout, SourceUnreachable, readings, table
from mindguard.settings import Settings

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECRET = "s3cr3t-Value"


class Remembering:
    """Keeps everything in this process."""

    def __init__(self) -> None:
        self.kept: dict[Key, State] = {}
        self.results: list[Result] = []

    def states(self) -> Mapping[Key, State]:
        return dict(self.kept)

    def save(self, results: Sequence[Result], states: Mapping[Key, State], measured: Collection[str]) -> None:
        self.results += results
        self.kept = {key: state for key, state in self.kept.items() if key[0] not in measured} | dict(states)


class Unavailable(Remembering):
    def states(self) -> Mapping[Key, State]:
        raise MindGuardError("the store is down")


def rows_of(monitor: Any, rows: Any) -> Any:
    """Rows as every source returns them."""
    return table(monitor, list(rows[0]), [list(row.values()) for row in rows]) if rows else []


class Scripted:
    """A source that does what the script says for each monitor."""

    def __init__(self, script: Mapping[str, Any]) -> None:
        self.script = script

    def measure(self, monitor: Any, params: Mapping[str, Any]) -> Any:
        does = self.script[monitor.name]
        if isinstance(does, Exception):
            raise does
        return rows_of(monitor, does(params) if callable(does) else does)

    def close(self) -> None:
        if closing := self.script.get("close"):
            closing()


def settings(*names: str, connection: Mapping[str, str] | None = None, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
            "monitors": [
                {
                    "name": name,
                    "kind": "rate",
                    "source": "postgres",
                    "query": "m.sql",
                    "error_above": 0.01,
                    "connection": (connection or {}).get(name),
                    **more,
                }
                for name in names
            ],
        }
    )


def resolve(conn_id: str) -> Connection:
    if conn_id == "missing":
        raise ConnectionMissing(conn_id)
    return Connection(conn_id, "postgres")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each monitor's source does."""
    scripted: dict[str, Any] = {}

    def prepare(source: str, conn_id: str | None, settings: Settings, resolve: Any) -> Any:
        resolve(conn_id)
        does = scripted.get(f"open {conn_id}")

        def opened() -> Scripted:
            scripted[f"opened {conn_id}"] = scripted.get(f"opened {conn_id}", 0) + 1
            if does:
                raise does
            return Scripted(scripted)

        return opened

    monkeypatch.setattr(run, "prepare", prepare)
    return scripted


def by_name(results: Sequence[Result]) -> dict[str, tuple[str, str]]:
    return {f"{result.monitor}/{result.dimension}".rstrip("/"): (result.status, result.reason) for result in results}


def measured(asked: Settings, memory: Any = None, **more: Any) -> dict[str, tuple[str, str]]:
    return by_name(run_monitors(asked, resolve, now=more.pop("now", NOW), memory=memory, **more))


def test_every_fault_is_its_own_monitors_alone(script: dict[str, Any]) -> None:
    script |= {
        "good": [{"value": 0.0}],
        "bad": [{"value": 1.0}],
        "wrong": [{"count": 1}],
        "nothing": [{"value": None}],
        "failing": MeasurementFailed("no such table"),
        "slow": SourceTimeout("no answer within 10 s"),
        "broken": ZeroDivisionError(f"password={SECRET}"),
    }
    results = run_monitors(settings(*script), resolve, now=NOW, memory=None)
    assert by_name(results) == {
        "good": ("pass", ""),
        "bad": ("error", "above"),
        "wrong": ("unknown", "failed"),
        "nothing": ("unknown", "no_value"),
        "failing": ("unknown", "failed"),
        "slow": ("unknown", "timeout"),
        "broken": ("unknown", "failed"),
    }
    assert [result.monitor for result in results] == ["good", "bad", "wrong", "nothing", "failing", "slow", "broken"]
    assert SECRET not in str(results)


def test_a_dead_source_is_asked_once_by_each_thread_and_others_go_on(script: dict[str, Any]) -> None:
    dead = [f"dead{n}" for n in range(40)]
    script |= {"alive": [{"value": 0.0}], "open gone": SourceUnreachable("gone")}
    asked = settings("alive", *dead, connection=dict.fromkeys(dead, "gone"))
    results = measured(asked)
    assert results.pop("alive") == ("pass", "")
    assert set(results.values()) == {("unknown", "unreachable")}
    assert script["opened gone"] <= 4


def test_a_missing_connection_is_unknown_and_named(script: dict[str, Any]) -> None:
    script |= {"alive": [{"value": 0.0}]}
    results = run_monitors(settings("alive", "lost", connection={"lost": "missing"}), resolve, now=NOW, memory=None)
    assert by_name(results) == {"alive": ("pass", ""), "lost": ("unknown", "unreachable")}
    assert "AIRFLOW_CONN_MISSING" in results[1].note


def test_a_source_that_hangs_ends_with_the_time_box(script: dict[str, Any]) -> None:
    release = threading.Event()
    script |= {"alive": [{"value": 0.0}], "stuck": lambda params: release.wait(60)}
    results = measured(settings("alive", "stuck", connection={"stuck": "hangs"}), time_box_s=0.3)
    release.set()
    assert results == {"alive": ("pass", ""), "stuck": ("unknown", "timeout")}


def test_a_run_ends_when_its_sources_are_closed(script: dict[str, Any]) -> None:
    """A driver that is still closing when the process ends may crash it."""
    closed = threading.Event()
    script |= {"alive": [{"value": 0.0}], "close": lambda: closed.wait(0.3) or closed.set()}
    assert measured(settings("alive")) == {"alive": ("pass", "")}
    assert closed.is_set()


def test_states_are_remembered_and_each_dimension_has_its_own(script: dict[str, Any]) -> None:
    memory, asked = Remembering(), settings("api", for_s=60, recover_for_s=0)
    script["api"] = [{"dimension": "/a", "value": 1.0}, {"dimension": "/b", "value": 0.0}]
    assert measured(asked, memory) == {"api//a": ("pass", "holding"), "api//b": ("pass", "")}
    later = NOW + timedelta(minutes=2)
    assert measured(asked, memory, now=later) == {"api//a": ("error", "above"), "api//b": ("pass", "")}
    assert len(memory.results) == 4


def test_a_bad_endpoint_without_traffic_is_unknown_and_a_good_one_forgotten(script: dict[str, Any]) -> None:
    memory, asked = Remembering(), settings("api")
    script["api"] = [{"dimension": "/a", "value": 1.0}, {"dimension": "/b", "value": 0.0}]
    measured(asked, memory)
    script["api"] = [{"dimension": "/c", "value": 0.0}]
    assert measured(asked, memory) == {"api//c": ("pass", ""), "api//a": ("unknown", "low_base")}
    assert set(memory.kept) == {("api", "/a"), ("api", "/c")}


def test_a_failed_measurement_keeps_the_states_of_all_dimensions(script: dict[str, Any]) -> None:
    memory, asked = Remembering(), settings("api")
    script["api"] = [{"dimension": "/a", "value": 1.0}]
    measured(asked, memory)
    script["api"] = SourceTimeout("slow")
    assert measured(asked, memory) == {"api": ("unknown", "timeout")}
    assert set(memory.kept) == {("api", "/a"), ("api", "")}
    script["api"] = [{"dimension": "/a", "value": 1.0}]
    measured(asked, memory)
    assert set(memory.kept) == {("api", "/a")}


def test_without_its_memory_a_run_still_judges(script: dict[str, Any]) -> None:
    script["m"] = [{"value": 1.0}]
    assert measured(settings("m"), Unavailable()) == {"m": ("error", "above")}


def test_names_choose_monitors_and_an_unknown_name_is_an_error(script: dict[str, Any]) -> None:
    script |= {"a": [{"value": 0.0}], "b": [{"value": 0.0}]}
    assert set(measured(settings("a", "b"), names=["b"])) == {"b"}
    with pytest.raises(MonitorMissing, match="no monitor c – the settings have a, b"):
        measured(settings("a", "b"), names=["c"])


def test_a_deadlines_query_learns_the_period_and_no_row_is_not_started(script: dict[str, Any]) -> None:
    seen: dict[str, Any] = {}
    asked = Settings.model_validate(
        {
            "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
            "monitors": [
                {
                    "name": "report",
                    "kind": "deadline",
                    "source": "postgres",
                    "query": "m.sql",
                    "weekday": "mon",
                    "at": "09:00",
                }
            ],
        }
    )
    script["report"] = lambda params: seen.update(params) or []
    (result,) = run_monitors(asked, resolve, now=NOW, memory=None)
    assert seen.pop("timezone") == "Asia/Shanghai"
    assert seen == {"period_start": "2026-11-16", "period_end": "2026-11-23", "iso_week": "2026-W47"}
    assert (result.status, result.note) == ("error", "not started")
    script["report"] = [{"state": "done", "rows": 5}]
    assert measured(asked) == {"report": ("pass", "")}


def test_a_bad_endpoint_without_traffic_for_a_day_is_forgotten(script: dict[str, Any]) -> None:
    memory, asked = Remembering(), settings("api")
    script["api"] = [{"dimension": "/a", "value": 1.0}]
    measured(asked, memory)
    script["api"] = [{"dimension": "/b", "value": 0.0}]
    almost = NOW + timedelta(hours=23, minutes=59)
    assert measured(asked, memory, now=almost) == {"api//b": ("pass", ""), "api//a": ("unknown", "low_base")}
    assert measured(asked, memory, now=NOW + timedelta(hours=25)) == {"api//b": ("pass", "")}
    assert set(memory.kept) == {("api", "/b")}


@pytest.mark.parametrize(
    ("kind", "columns", "message"),
    [
        (
            "freshness",
            ["value", "lag"],
            "the query returns the unknown column lag – a freshness query may return newest, value, upstream",
        ),
        ("freshness", ["base"], "the query does not return newest or value – give its column that name"),
        ("rate", ["newest"], "the query returns the unknown column newest – a rate query may return value"),
        ("latency", ["base"], "the query does not return value"),
        ("deadline", ["rows"], "the query does not return state"),
        (
            "deadline",
            ["state", "value"],
            "the query returns the unknown column value – a deadline query may return state, rows",
        ),
        ("rate", ["value", "value"], "the query returns the column value twice"),
        ("rate", [], "the query does not return value"),
    ],
)
def test_columns_are_checked_even_without_a_row(kind: str, columns: list[str], message: str) -> None:
    more = {"deadline": {"at": "09:00"}, "freshness": {}}.get(kind, {"error_above": 0.01})
    entry = {"name": "m", "kind": kind, "source": "postgres", "query": "m.sql", **more}
    asked = Settings.model_validate(
        {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}, "monitors": [entry]}
    )
    with pytest.raises(MeasurementFailed) as caught:
        table(asked.monitors[0], columns, [])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"newest": datetime(2026, 1, 1)}], "newest is not a time with a time zone"),  # noqa: DTZ001
        ([{"newest": 5}], "newest is not a time"),
        ([{"value": "5"}], "value is not a number"),
        ([{"value": True}], "value is not a number"),
        ([{"value": 1}, {"value": 2}], "several rows for dimension ''"),
        ([{"value": 1, "dimension": str(n)} for n in range(201)], "more than 200 rows"),
    ],
)
def test_rows_that_are_not_a_measurement(rows: list[dict[str, Any]], message: str) -> None:
    (monitor,) = Settings.model_validate(
        {
            "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
            "monitors": [{"name": "m", "kind": "freshness", "source": "postgres", "query": "m.sql"}],
        }
    ).monitors
    with pytest.raises(MeasurementFailed, match=message):
        readings(rows_of(monitor, rows))


def test_no_row_is_no_traffic() -> None:
    assert readings([]) == [Reading(base=0)]
