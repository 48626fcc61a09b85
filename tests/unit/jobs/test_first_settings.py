"""The first settings file, without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mindguard.connections import from_environment
from mindguard.errors import ConnectionMissing, SettingsError
from mindguard.jobs import first_settings
from mindguard.jobs.event_volume import groups
from mindguard.jobs.first_settings import FoundEvents, FoundTable, part_by, volume_of, write_first_settings
from mindguard.settings import load_settings, packaged_settings
from mindguard.settings.connections import Connections
from mindguard.settings.volume import VolumeSettings
from mindguard.volume.names import sound_suite

NOW = datetime(2026, 9, 15, tzinfo=UTC)
TABLES = [
    FoundTable("public.orders", "created_at", inherited=False, bytes=2_000_000, estimate=1000),
    FoundTable("public.parent", None, inherited=True, bytes=1, estimate=1),
    FoundTable("public.secret", None, inherited=False, bytes=1, estimate=1, against="the role may not read it"),
    FoundTable('a b."c": {d} #', "when?", inherited=False, bytes=1, estimate=0),
]
EVENTS = FoundEvents(
    VolumeSettings(table="web.hits", ingest_time="event_time"), ("click", "no", "x: y"), (("rare", 3),)
)
NEITHER = {"AIRFLOW_CONN_MINDGUARD_APP": "", "AIRFLOW_CONN_MINDGUARD_EVENTS": ""}


def write(path: Path, monkeypatch: pytest.MonkeyPatch, *, tables: Any = None, events: Any = None) -> list[str]:
    """Write a file; what is None has no connection."""
    environment = dict(NEITHER)
    if tables is not None:
        environment["AIRFLOW_CONN_MINDGUARD_APP"] = "postgres://u:p@h/d"
        monkeypatch.setattr(first_settings, "find_tables", lambda conninfo: tables)
    if events is not None:
        environment["AIRFLOW_CONN_MINDGUARD_EVENTS"] = "clickhouse://h"
        monkeypatch.setattr(first_settings, "clickhouse_client", lambda connection: None)
        monkeypatch.setattr(first_settings, "find_events", lambda source, table, now: events or None)
    resolve = lambda conn_id: from_environment(conn_id, environment)  # noqa: E731
    return write_first_settings(path, resolve, ids=Connections(), bucket="b", table=None, now=NOW)


def test_tables_and_events_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = write(tmp_path / "new" / "own.yaml", monkeypatch, tables=TABLES, events=EVENTS)
    settings = load_settings(tmp_path / "new" / "own.yaml")
    assert [(table.name, table.part_by, table.inherited) for table in settings.snapshot.tables] == [
        ("public.orders", "created_at", None),
        ("public.parent", None, "own"),
        ('a b."c": {d} #', "when?", None),
    ]
    assert [event.name for event in settings.key_events] == ["click", "no", "x: y"]
    assert settings.volume == EVENTS.volume
    assert {sound_suite(name, settings).name for name in ("event_volume", "total_volume")}
    text = (tmp_path / "new" / "own.yaml").read_text("utf-8")
    assert "    - {name: public.orders, part_by: created_at}  # 2.0 MB, about 1,000 rows\n" in text
    assert "    # - {name: public.secret}  # 1 byte, about 1 row, the role may not read it\n" in text
    assert "  # - {name: rare}  # 3 in 21 days\n" in text
    assert "\n# rota:\n" in text
    schema = tmp_path / "new" / text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert schema.read_text("utf-8") == packaged_settings().with_name("mindguard.schema.json").read_text("utf-8")
    assert told[1] == "mindguard_events: 3 events of web.hits are watched, 1 are not"


@pytest.mark.parametrize(("tables", "events"), [(TABLES, None), (None, EVENTS), ([], False), (TABLES, False)])
def test_it_works_with_the_connections_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: Any, events: Any
) -> None:
    told = " ".join(write(tmp_path / "own.yaml", monkeypatch, tables=tables, events=events))
    settings = load_settings(tmp_path / "own.yaml")
    assert bool(settings.key_events) == bool(events)
    assert bool(groups(settings)) == bool(events), "those of the package judge other tables"
    assert (settings.snapshot.tables[0].name == "public.change_me") == (not tables)
    for conn_id, found in (("mindguard_app", tables), ("mindguard_events", events)):
        assert (f"connection '{conn_id}' is not configured" in told) == (found is None)


def test_without_any_connection_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionMissing, match="set AIRFLOW_CONN_MINDGUARD_APP"):
        write(tmp_path / "own.yaml", monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_the_installed_package_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text("mine")
    with pytest.raises(SettingsError, match=r"own\.yaml exists already; nothing was written"):
        write(tmp_path / "own.yaml", monkeypatch, tables=TABLES)
    assert (tmp_path / "own.yaml").read_text() == "mine"
    (tmp_path / "other-expectations").mkdir()
    with pytest.raises(SettingsError, match="other-expectations exists already"):
        write(tmp_path / "other.yaml", monkeypatch, tables=TABLES)
    with pytest.raises(SettingsError, match="belongs to the installed package"):
        write(tmp_path / "site-packages" / "own.yaml", monkeypatch, tables=TABLES)
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot write"):
        write(tmp_path / "file" / "own.yaml", monkeypatch, tables=TABLES)


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ([], None),
        (["updated_at"], None),
        (["due_on", "updated_at"], None),
        (["at", "updated_at"], "at"),
        (["at", "created_at"], "created_at"),
        (["detected_at"], "detected_at"),
    ],
)
def test_a_part_is_cut_by_a_time_that_a_row_keeps(times: list[str], chosen: str | None) -> None:
    assert part_by(times) == chosen


def test_a_table_of_events_is_known_by_its_columns() -> None:
    found = volume_of(
        "web.hits",
        {"event": "String", "timestamp": "DateTime64(3)", "os": "LowCardinality(String)", "uuid": "UUID"},
    )
    assert found == VolumeSettings(
        table="web.hits", name="event", event_time="timestamp", ingest_time="timestamp", event_id="uuid",
        dimensions=("os",),
    )  # fmt: skip
    assert volume_of("web.users", {"name": "String", "id": "UInt64"}) is None
    assert volume_of("web.hits", {"event": "String", "timestamp": "DateTime"}) is None
