"""The first settings file of somebody's own: written for the tables and events that their connections show."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from mindguard import postgres_session
from mindguard.connections import Resolve, clickhouse_client, conn_id_of, postgres_conninfo
from mindguard.documents import parsed
from mindguard.errors import ConnectionMissing, MindGuardError, SettingsError
from mindguard.resources import include_dir
from mindguard.settings import Settings, packaged_settings
from mindguard.settings.connections import Connections
from mindguard.settings.edit import own_settings
from mindguard.settings.volume import VolumeSettings
from mindguard.sql import clickhouse_identifier, clickhouse_statement, statement
from mindguard.units import counted, size
from mindguard.volume.source import EventSource
from mindguard.volume.suites import suites_dir

_DAYS = 21
_MOST_TABLES = 30
_MOST_EVENTS = 20
_SEEN_ON_DAYS = 14
_MIN_A_DAY = 100
_SUITES = ("event_volume.yaml", "total_volume.yaml")
"""The suites that suit any events; those that come with the package also judge tables of its own sample."""

_FIRST_TIMES = re.compile(r"creat|insert|occur|detect|happen|record|regist|sent|order|start")
_LATER_TIMES = re.compile(r"updat|modif|chang|last|delet|expir|due|end|complet|finish")
_NAMES = ("event_name", "event", "event_type", "name")
_TIMES = ("event_time", "timestamp", "occurred_at", "event_at", "created_at", "time", "ts")
_LANDED = ("ingest_time", "ingested_at", "received_at", "inserted_at", "loaded_at", "server_time")
_IDS = ("event_id", "uuid", "message_id", "insert_id")
_DIMENSIONS = ("platform", "app_version", "country", "os", "device_type", "channel", "browser", "language")


@dataclass(frozen=True)
class FoundTable:
    """A table of the application: how the settings name it, and what is wrong with taking it."""

    name: str
    part_by: str | None
    inherited: bool
    bytes: int
    estimate: int
    against: str = ""


@dataclass(frozen=True)
class FoundEvents:
    """The table of product events, and its names: to be watched, and others with their number in three weeks."""

    volume: VolumeSettings
    watched: tuple[str, ...]
    others: tuple[tuple[str, int], ...]


def write_first_settings(
    path: Path, resolve: Resolve, *, ids: Connections, bucket: str, table: str | None, now: datetime
) -> list[str]:
    """Write a settings file, and beside it its schema for editors, and the suites that suit any events.

    Args:
        path: the file, which must not exist.
        resolve: looks up a connection by its id.
        ids: the ids of the connections to look at and to name in the file.
        bucket: the bucket for snapshots.
        table: `database.table` of the product events; None finds it.
        now: the present time, aware.

    Returns:
        One line for each thing that was found, or not looked at.

    Raises:
        SettingsError: the file exists, belongs to the installed package, or cannot be written.
        ConnectionMissing: neither connection is configured.
        MindGuardError: a connection that is configured cannot be used.
    """
    own_settings(path)
    suites = path.resolve().with_name(f"{path.stem}-expectations")
    schema = path.with_name(f"{path.stem}.schema.json")
    for each in (path, schema, suites):
        if each.exists():
            raise SettingsError(f"{each} exists already; nothing was written", hint="choose another name")
    tables, events, told = _found(resolve, ids, table, now)
    text = settings_text(tables, events, ids=ids, bucket=bucket, suites=suites)
    text = f"# yaml-language-server: $schema={schema.name}\n{text}"
    parsed(text, Settings, name=str(path), error=SettingsError)
    try:
        if events:
            suites.mkdir(parents=True)
            for name in (*_SUITES, "suite.schema.json"):
                shutil.copy(suites_dir() / name, suites)
            told.append(f"suites for these events are in {suites}")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(packaged_settings().with_name("mindguard.schema.json"), schema)
        with path.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise SettingsError(f"cannot write {error.filename or path}: {error.strerror}") from error
    return told


def _found(
    resolve: Resolve, ids: Connections, table: str | None, now: datetime
) -> tuple[list[FoundTable], FoundEvents | None, list[str]]:
    told: list[str] = []
    tables: list[FoundTable] = []
    events: FoundEvents | None = None
    missing: list[ConnectionMissing] = []
    try:
        tables = find_tables(postgres_conninfo(resolve(ids.app)))
        told.append(f"{ids.app}: {len(tables)} tables")
    except ConnectionMissing as error:
        missing.append(error)
        told.append(f"{error.message}: replace public.change_me in the file by your tables")
    try:
        client = clickhouse_client(resolve(ids.events))
        events = find_events(EventSource(client, VolumeSettings(), _ZONE, ids.events), table, now)
        told.append(f"{ids.events}: {_of_events(events)}")
    except ConnectionMissing as error:
        missing.append(error)
        told.append(f"{error.message}: product events are not watched")
    if len(missing) == 2:
        raise missing[0]
    return tables, events, told


_ZONE = ZoneInfo("Asia/Shanghai")


def _of_events(events: FoundEvents | None) -> str:
    if events is None:
        return "no table looks like one of product events; name it with --events-table"
    return f"{len(events.watched)} events of {events.volume.table} are watched, {len(events.others)} are not"


def find_tables(conninfo: str) -> list[FoundTable]:
    """Return the tables of the application's database, the largest first."""
    import psycopg

    try:
        with postgres_session.connect(conninfo, connect_timeout=10) as connection:
            connection.read_only = True
            postgres_session.limit_transaction(connection, 60)
            found = connection.cursor(row_factory=psycopg.rows.dict_row).execute(statement("select_candidates"))
            return [_table(row) for row in found.fetchall()]
    except psycopg.Error as error:
        line = f"{conn_id_of(conninfo)}: the tables cannot be listed: {' '.join(str(error).split())[:300]}"
        raise MindGuardError(line) from error


def _table(row: dict[str, Any]) -> FoundTable:
    name = f"{row['schema']}.{row['name']}"
    against = ""
    if "." in row["schema"] or "." in row["name"] or not name.isprintable():
        against = "its name cannot be written here"
    elif not row["readable"]:
        against = "the connection's role may not read it"
    elif row["row_security"]:
        against = "row-level security would hide rows from the connection's role"
    return FoundTable(name, part_by(row["times"]), row["has_children"], row["bytes"] or 0, row["estimate"], against)


def part_by(times: Sequence[str]) -> str | None:
    """Return the time by which rows stay in the part that they were written to; None leaves the primary key.

    A time that changes later, such as that of the last update, would move rows from part to part.
    """
    first = [name for name in times if _FIRST_TIMES.search(name) and not _LATER_TIMES.search(name)]
    return next(iter(first or [name for name in times if not _LATER_TIMES.search(name)]), None)


def find_events(source: EventSource, wanted: str | None, now: datetime) -> FoundEvents | None:
    """Return the largest table that looks like one of product events, or the wanted one; None if there is none.

    Raises:
        SettingsError: the wanted table does not exist, or has no name or time of events.
        EventsUnreadable: ClickHouse refuses a query.
    """
    heads = ("database", "table_name", "total", "name", "type")
    found: dict[str, dict[str, str]] = {}
    for row in source.query(clickhouse_statement("select_event_tables"), heads).to_dict("records"):
        found.setdefault(f"{row['database']}.{row['table_name']}", {})[row["name"]] = row["type"]
    if wanted and wanted not in found:
        raise SettingsError(f"ClickHouse has no table {wanted!r:.80}", hint="write it as database.table")
    for table, columns in found.items():
        if wanted in (None, table) and (volume := volume_of(table, columns)):
            return _named(replace(source, settings=volume), now)
    if wanted:
        raise SettingsError(
            f"{wanted} has no column that is called like the name or the time of an event",
            hint="write `volume` in the settings by hand: docs/settings.md",
        )
    return None


def volume_of(table: str, columns: dict[str, str]) -> VolumeSettings | None:
    """Return the settings for a table by the names and types of its columns; None if it is not one of events."""
    texts = [name for name, kind in columns.items() if "String" in kind or "Enum" in kind]
    times = [name for name, kind in columns.items() if "DateTime" in kind]
    name = next((each for each in _NAMES if each in texts), None)
    event_time = next((each for each in _TIMES if each in times), None)
    few = [each for each in texts if each != name and ("LowCardinality" in columns[each] or "Enum" in columns[each])]
    dimensions = [each for each in _DIMENSIONS if each in texts] or few
    if not (name and event_time and dimensions and re.fullmatch(r"[^.]+\.[^.]+", table)):
        return None
    return VolumeSettings(
        table=table,
        name=name,
        event_time=event_time,
        ingest_time=next((each for each in _LANDED if each in times), event_time),
        event_id=next((each for each in _IDS if each in columns), None),
        dimensions=tuple(dimensions[:3]),
    )


def _named(source: EventSource, now: datetime) -> FoundEvents:
    text = clickhouse_statement(
        "select_raw_event_names",
        table=source.name(),
        event=clickhouse_identifier(source.settings.name),
        event_time=clickhouse_identifier(source.settings.event_time),
    )
    since = now - timedelta(days=_DAYS)
    bounds = {"since": int(since.timestamp()), "until": int(now.timestamp()), "zone": source.zone.key}
    rows = source.query(text, ("name", "count", "days"), **bounds).to_dict("records")
    rows = [row for row in rows if row["name"].strip() and row["name"].isprintable()]
    usual = [row["name"] for row in rows if row["days"] >= _SEEN_ON_DAYS and row["count"] >= _MIN_A_DAY * row["days"]][
        :_MOST_EVENTS
    ]
    others = [(row["name"], int(row["count"])) for row in rows if row["name"] not in usual]
    return FoundEvents(source.settings, tuple(usual), tuple(others))


def settings_text(
    tables: Sequence[FoundTable], events: FoundEvents | None, *, ids: Connections, bucket: str, suites: Path
) -> str:
    """Return the text of the file, with comments on what each part is for and what to decide."""
    connections = [f"  {key}: {value}" for key, value in ids.model_dump().items()]
    return "\n".join(
        [
            "# Settings of MindGuard Ops, written by `mindguard init`. docs/settings.md lists all keys; another one",
            "# is an error. Name this file in MINDGUARD_SETTINGS, then run `mindguard doctor`.",
            "timezone: Asia/Shanghai  # in which days begin and end, and times are shown",
            "locale: zh  # language of cards and pages: zh or en",
            "connections:  # ids of Airflow connections; docs/existing-airflow.md says what each is for",
            *connections,
            "",
            "snapshot:",
            f"  bucket: {_written(bucket)}  # must exist; `mindguard doctor` checks it",
            "  # Choose the tables that the product cannot do without; all are taken at one instant. `part_by` is a",
            "  # time that a row keeps, so that parts of the past are stored once. Default: the primary key.",
            "  tables:",
            *_table_lines(tables),
            "  retention: {days: 30, minimum: 7}  # a snapshot expires after 30 days, if 7 newer ones are proven",
            "",
            *_event_lines(events, suites),
            "monitors:  # measured every minute; docs/monitors.md",
            "  # 93600 seconds are 26 hours: a daily snapshot that is two hours late.",
            "  - {name: snapshot_age, kind: freshness, source: snapshots, error_after_s: 93600, severity: P1}",
            "",
            _example(),
        ]
    )


def _table_lines(tables: Sequence[FoundTable]) -> list[str]:
    lines: list[str] = []
    for table in tables:
        keys = [f"name: {_written(table.name)}"]
        keys += [f"part_by: {_written(table.part_by)}"] if table.part_by else []
        keys += ["inherited: own"] if table.inherited else []
        facts = [size(table.bytes)]
        facts += [f"about {counted(table.estimate, 'row')}"] if table.estimate else []  # none before the first ANALYZE
        facts += [table.against] if table.against else []
        taken = not table.against and sum(line.startswith("    -") for line in lines) < _MOST_TABLES
        lines.append(f"    {'' if taken else '# '}- {{{', '.join(keys)}}}  # {', '.join(facts)}")
    if not any(line.startswith("    -") for line in lines):
        lines.insert(0, "    - {name: public.change_me}")
    return lines


def _event_lines(events: FoundEvents | None, suites: Path) -> list[str]:
    if events is None:
        return [
            "# No table of product events was found, so leave the DAG event_volume paused. docs/volume.md says how to",
            "# watch events: key_events, funnels and volume.",
            "suites: none  # nothing is checked; docs/suites.md says how to write suites, here their folder is named",
            "",
        ]
    volume = events.volume
    lines = [
        "# Product events whose daily number must not fall unnoticed: those that were seen on most of the last 21",
        f"# days, at least {_MIN_A_DAY} a day. Leave those that matter; set tolerance, owner, runbook: docs/volume.md.",
        f"key_events:{'' if events.watched else ' []'}",
        *(f"  - {{name: {_written(name)}}}" for name in events.watched),
        *(f"  # - {{name: {_written(name)}}}  # {count:,} in 21 days" for name, count in events.others[:_MOST_EVENTS]),
        "# Funnels are steps that users take one after another; each step is a key event.",
        "# funnels:",
        f"#   - {{name: checkin, steps: [{', '.join(map(_written, (*events.watched[:2], 'next_step')))}]}}",
        "volume:",
        *(f"  {key}: {_written(getattr(volume, key))}" for key in ("table", "event_time")),
    ]
    same = (
        "  # no column was found that says when an event was stored" if volume.ingest_time == volume.event_time else ""
    )
    lines += [
        f"  ingest_time: {_written(volume.ingest_time)}{same}",
        f"  name: {_written(volume.name)}",
        f"  event_id: {_written(volume.event_id) if volume.event_id else 'null  # duplicates are not looked for'}",
        f"  dimensions: [{', '.join(map(_written, volume.dimensions))}]  # columns by which a loss is explained",
        f"suites: {_written(str(suites))}  # expectations on events and tables: docs/volume.md",
        "",
    ]
    return lines


def _example() -> str:
    """Return the commented example of rota, releases and alerts that the package's own settings have."""
    text = (include_dir() / "config" / "mindguard.yaml").read_text("utf-8")
    return text[text.index("# Who is on duty,") :]


def _written(text: str) -> str:
    """Return a text as YAML writes it inside braces."""
    from ruamel.yaml import YAML

    plain = bool(re.fullmatch(r"[A-Za-z_/][\w./-]*", text)) and YAML(typ="safe").load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)
