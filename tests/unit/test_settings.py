"""Break every rule of the settings file once, then read the one that comes with the package."""

from __future__ import annotations

import copy
import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from ruamel.yaml import YAML

from mindguard import documents
from mindguard.alerts.rota.rota import Rota, gaps
from mindguard.errors import SettingsError
from mindguard.resources import include_dir
from mindguard.settings import Settings, load_settings, settings_for_alerts, settings_path

SMALLEST: dict[str, Any] = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}
MONITOR = {"name": "api", "kind": "rate", "source": "postgres", "query": "m.sql", "error_above": 0.01}
HEARTBEAT = {"name": "agent", "kind": "heartbeat", "url": "https://agent.example.com/health"}
KAFKA = {"name": "group", "kind": "freshness", "source": "kafka", "group": "g", "topics": ["t"]}
PROMETHEUS = {"name": "p", "kind": "rate", "source": "prometheus", "promql": "up", "error_above": 0.01}
SNAPSHOTS = {"name": "s", "kind": "freshness", "source": "snapshots"}
SHIPPED = include_dir() / "config" / "mindguard.yaml"


def changed(place: str, value: Any) -> dict[str, Any]:
    """The smallest settings with one value put at a dotted place."""
    settings = copy.deepcopy(SMALLEST)
    *way, last = place.split(".")
    inner: Any = settings
    for step in way:
        inner = inner[int(step)] if step.isdigit() else inner.setdefault(step, {})
    inner[last] = value
    return settings


def file_with(folder: Path, content: Any) -> Path:
    """A settings file; JSON is YAML."""
    path = folder / "settings.yaml"
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("typo", 1, "typo: unknown key"),
        ("ty\npo", 1, "ty po: unknown key"),
        ("connections.typo", "x", "connections.typo: unknown key"),
        ("snapshot.typo", 1, "snapshot.typo: unknown key"),
        ("snapshot.retention.typo", 1, "snapshot.retention.typo: unknown key"),
        ("snapshot.tables.0.typo", 1, "snapshot.tables[public.t].typo: unknown key"),
        (
            "snapshot.tables.0.name",
            "checkins",
            "snapshot.tables[checkins].name: 'checkins' is not schema-qualified; wr",
        ),
        ("snapshot.tables.0.name", "checkins", "write for instance public.checkins"),
        ("snapshot.tables.0.name", "app.public.checkins", "'app.public.checkins' is not schema-qualified"),
        ("snapshot.tables.0.name", ".checkins", "'.checkins' is not schema-qualified"),
        ("snapshot.tables.0.name", "public.", "'public.' is not schema-qualified"),
        ("snapshot.tables.0.name", "public.t\n", r"'public.t\n' is not schema-qualified"),
        ("snapshot.tables.0.name", "public.a\nb", r"'public.a\nb' is not schema-qualified"),
        ("snapshot.tables.0.part_by", "", "snapshot.tables[public.t].part_by: must not be empty"),
        ("snapshot.tables", [], "snapshot.tables: must have at least 1 entry"),
        (
            "snapshot.tables",
            [{"name": "public.t"}, {"name": "public.u"}, {"name": "public.t", "part_by": "x"}],
            "snapshot.tables[public.t]: listed twice: public.t",
        ),
        ("monitors", [MONITOR, MONITOR], "monitors[api]: listed twice: api"),
        (
            "monitors",
            [{**MONITOR, "kind": "typo"}],
            "monitors[api].kind: write one of 'freshness', 'rate', 'latency', 'hear",
        ),
        (
            "monitors",
            [{**MONITOR, "name": "A b"}],
            "monitors[A b].name: use lower-case letters, digits and _, beginning wi",
        ),
        (
            "monitors",
            [{**MONITOR, "source": "snapshots"}],
            "monitors[api].source: write 'clickhouse', 'postgres' or 'prometheus',",
        ),
        ("monitors", [{**MONITOR, "query": None}], "monitors[api]: source postgres needs query"),
        ("monitors", [{**MONITOR, "url": "http://x"}], "monitors[api].url: source postgres does not use url"),
        (
            "monitors",
            [{**MONITOR, "warn_above": 0.02}],
            "monitors[api]: thresholds must rise from warn through error to escalate",
        ),
        (
            "monitors",
            [{**MONITOR, "escalate_above": 0.001}],
            "monitors[api]: thresholds must rise from warn through error to escalate",
        ),
        ("monitors", [{**MONITOR, "timeout_s": 31}], "monitors[api].timeout_s: must be at most 30, not 31"),
        (
            "monitors",
            [{**MONITOR, "error_after_s": 1}],
            "monitors[api].error_after_s: unknown key; did you mean error_above?",
        ),
        (
            "monitors",
            [{**HEARTBEAT, "url": "https://"}],
            "monitors[agent].url: write a whole address, such as https://status.exa",
        ),
        (
            "monitors",
            [{**HEARTBEAT, "url": "https://a:port/"}],
            "monitors[agent].url: write a whole address, such as https://status.exa",
        ),
        (
            "monitors",
            [{**HEARTBEAT, "url": "ftp://a/"}],
            "monitors[agent].url: write an address that begins with http:// or https://",
        ),
        ("monitors", [{**PROMETHEUS, "min_base": 5}], "monitors[p]: min_base and base_promql need each other"),
        ("monitors", [{**PROMETHEUS, "base_promql": "up"}], "monitors[p]: min_base and base_promql need each other"),
        ("monitors", [{**PROMETHEUS, "params": {"a": 1}}], "monitors[p].params: source prometheus does not use params"),
        ("monitors", [{**PROMETHEUS, "error_above": 5.0}], "a share is never above 1: write 0.05 for 5 %"),
        ("monitors", [{**MONITOR, "escalate_above": 1.0}], "a share is never above 1"),
        (
            "monitors",
            [{**MONITOR, "base_promql": "up"}],
            "monitors[api].base_promql: source postgres does not use base_promql",
        ),
        (
            "monitors",
            [{**HEARTBEAT, "connection": "c"}],
            "monitors[agent].connection: source http does not use connection",
        ),
        ("monitors", [{**HEARTBEAT, "params": {"a": 1}}], "monitors[agent].params: source http does not use params"),
        (
            "monitors",
            [{**MONITOR, "min_base": 0.5}],
            "monitors[api]: min_base of a rate is a number of events: with Promethe",
        ),
        ("monitors", [{**KAFKA, "min_base": 1}], "monitors[group].min_base: source kafka does not use min_base"),
        ("monitors", [{**KAFKA, "params": {"a": 1}}], "monitors[group].params: source kafka does not use params"),
        ("monitors", [{**SNAPSHOTS, "min_base": 1}], "monitors[s].min_base: source snapshots does not use min_base"),
        ("monitors", [{**SNAPSHOTS, "params": {"a": 1}}], "monitors[s].params: source snapshots does not use params"),
        (
            "monitors",
            [{**SNAPSHOTS, "source": "prometheus", "promql": "up", "max_future_s": 5}],
            "monitors[s].max_future_s: source prometheus does not use max_future_s",
        ),
        ("monitors", [{**KAFKA, "topics": []}], "monitors[group]: source kafka needs topics"),
        ("monitors", [{**KAFKA, "group": None}], "monitors[group]: source kafka needs group"),
        ("timezone", "Asia/Peking", "timezone: 'Asia/Peking' is not a known time zone"),
        ("timezone", "", "timezone: must not be empty"),
        ("timezone", "Asia", "'Asia' is not a known time zone"),
        ("timezone", "/etc/localtime", "'/etc/localtime' is not a known time zone"),
        ("timezone", 8, "timezone: write a text in quotes, not a number"),
        ("locale", "de", "locale: write 'zh' or 'en', not 'de'"),
        ("snapshot.sse", "none", "snapshot.sse: write 'AES256' or 'aws:kms', not 'none'"),
        ("snapshot.prefix", "", "snapshot.prefix: must not be empty"),
        ("snapshot.prefix", "/", "snapshot.prefix: must not begin or end with /"),
        ("snapshot.prefix", "/a", "snapshot.prefix: must not begin or end with /"),
        ("snapshot.prefix", "a/", "snapshot.prefix: must not begin or end with /"),
        ("snapshot.part_mb", 0, "snapshot.part_mb: must be at least 1, not 0"),
        ("snapshot.part_mb", 2049, "snapshot.part_mb: must be at most 2048, not 2049"),
        ("snapshot.connections", 0, "snapshot.connections: must be at least 1, not 0"),
        ("snapshot.connections", 33, "snapshot.connections: must be at most 32, not 33"),
        ("snapshot.max_age_minutes", 0, "snapshot.max_age_minutes: must be at least 1, not 0"),
        (
            "snapshot.max_age_minutes",
            24 * 60 - 14,
            "snapshot.max_age_minutes: retention.grace_hours must be at least 15 mi",
        ),
        ("snapshot.retention.days", 0, "snapshot.retention.days: must be at least 1, not 0"),
        ("snapshot.retention.days", 1.5, "snapshot.retention.days: write a whole number, not 1.5"),
        ("snapshot.retention.days", True, "snapshot.retention.days: write a whole number, not true"),
        ("snapshot.retention.days", "30", "snapshot.retention.days: write a whole number, not '30'"),
        ("snapshot.verify_days", 91, "snapshot.verify_days: must be at most 90, not 91"),
        ("snapshot.drill.max_gb", 0, "snapshot.drill.max_gb: must be more than 0, not 0"),
        ("snapshot.drill.every_days", 0, "snapshot.drill.every_days: must be at least 1, not 0"),
        (
            "snapshot.drill",
            {"max_gb": 50, "every_days": 30},
            "snapshot.drill.every_days: drill.every_days must be less than retention.days",
        ),
        ("snapshot.gate.max_shrink", True, "snapshot.gate.max_shrink: write a number, not true"),
        ("snapshot.gate.expected", ["t"], "snapshot.gate.expected[#1]: 't' is not among snapshot.tables; did you"),
        (
            "snapshot.gate.expected",
            ["public.tt"],
            "snapshot.gate.expected[#1]: 'public.tt' is not among snapshot.tables;",
        ),
        ("snapshot.gate.expected", ["other"], "snapshot.gate.expected[#1]: 'other' is not among snapshot.tables; writ"),
        ("snapshot.gate.expected", ["pg_catalog.pg_largeobject"], "pg_largeobject' is not among snapshot.tables"),
        ("snapshot.retention.minimum", 0, "snapshot.retention.minimum: must be at least 1, not 0"),
        (
            "snapshot.retention.max_expire_per_run",
            0,
            "snapshot.retention.max_expire_per_run: must be at least 1, not 0",
        ),
        ("snapshot.bucket", None, "snapshot.bucket: write a text; it is empty"),
        ("snapshot.bucket", "", "snapshot.bucket: must not be empty"),
        ("connections.app", "", "connections.app: must not be empty"),
        ("connections", None, "connections: write keys with values; it is empty"),
        ("snapshot", None, "snapshot: write keys with values; it is empty"),
    ],
)
def test_a_broken_rule_is_one_line_that_names_the_place(place: str, value: Any, said: str, tmp_path: Path) -> None:
    assert said in refusal(file_with(tmp_path, changed(place, value)))


def test_the_gate_may_expect_every_table_that_is_taken(tmp_path: Path) -> None:
    settings = changed("snapshot.gate.expected", ["public.t", "pg_catalog.pg_largeobject"])
    settings["snapshot"]["large_objects"] = True
    assert load_settings(file_with(tmp_path, settings)).snapshot.gate.expected[0] == "public.t"


WRITTEN = """\
timezone: Asia/Shanghai
retention: {days: 3}
snapshot:
  bucket: b
  tables:
    - {name: public.t, part: x}
    - name: public.u
      inherited: both
    - {name: public.t}
  retention: &kept
    days: 30
    dasy: 30
rota:
  people: [{name: A}]
  shifts:
    - {name: s, from: "09:00", to: "24:00", rotation: [A],
       backup: [C]}
key_events:
- {name: a}
funnels:
- {name: f, steps: [a, b]}
"""


def test_each_fault_is_said_with_its_line_and_the_key_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_MOST_FAULTS", 50)
    path = file_with(tmp_path, WRITTEN)
    assert refusal(path).split(" (") == [
        f"{path} has 5 faults:",
        "1) line 2: retention: unknown key; it belongs below snapshot",
        "2) line 6: snapshot.tables[public.t].part: unknown key; did you mean part_by?",
        "3) line 8: snapshot.tables[public.u].inherited: write 'own' or 'all', not 'both'",
        "4) line 12: snapshot.retention.dasy: unknown key; did you mean days?",
        "5) line 17: rota.shifts[s].backup: C is not among people",
    ]
    one = WRITTEN.replace("retention: {days: 3}", "").replace(", part: x", "").replace("both", "own")
    one = one.replace("    dasy: 30\n", "").replace("[C]", "[A]")
    assert refusal(file_with(tmp_path, one)) == f"{path} line 9: snapshot.tables[public.t]: listed twice: public.t"
    one = one.replace("    - {name: public.t}\n", "")
    assert refusal(file_with(tmp_path, one)) == f"{path} line 18: funnels[f].steps[#2]: 'b' is not under key_events"


def test_a_key_that_another_mapping_brings_has_its_line(tmp_path: Path) -> None:
    text = "snapshot:\n  tables:\n    - &t\n      name: public.t\n      typo: 1\n    - {<<: *t, name: public.u}\n"
    assert "line 5: snapshot.tables[public.u].typo: unknown key" in refusal(file_with(tmp_path, text))


def test_many_faults_are_one_short_line(tmp_path: Path) -> None:
    message = refusal(file_with(tmp_path, {**SMALLEST, **{"x" * 300 + str(number): 1 for number in range(99)}}))
    assert " has 99 faults: (1) line 1: " in message
    assert message.endswith(" and 94 more")
    assert len(message) < 2000


def test_values_are_not_shown_where_they_may_be_private(tmp_path: Path) -> None:
    rota = {**ROTA, "people": [{"name": "A", "phone": 13800000000}, {"name": "B", "email": 13800000000}]}
    private = {**SMALLEST, "watch": {"heartbeat_url": "user:13800000000@host"}, "rota": rota}
    assert "13800000000" not in refusal(file_with(tmp_path, private))


def test_every_pattern_of_a_setting_has_words() -> None:
    text = SHIPPED.with_name("mindguard.schema.json").read_text("utf-8")
    patterns = {json.loads(found) for found in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', text)}
    assert len(patterns) > 5
    assert patterns == set(documents.PATTERNS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("locale: zh\nlocale: en", " line 2 is not YAML: the key locale is written twice"),
        ("snapshot:\n\tbucket: b", " line 2 is not YAML: a tab; use spaces"),
        ("a: 1\n---\nb: 2", " line 2 is not YAML: `---` begins a second document"),
        ("[" * 600, " is not YAML: it is nested too deeply"),
        ("a: b: c", " line 1 is not YAML: mapping values are not allowed here"),
    ],
)
def test_the_line_of_what_is_not_yaml_is_said(text: str, said: str, tmp_path: Path) -> None:
    path = file_with(tmp_path, text)
    assert refusal(path) == f"{path}{said}"


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    broken = {"locale": "de", "typo": 1, "snapshot": {"bucket": "b"}}
    message = refusal(file_with(tmp_path, broken))
    for place in ("locale: ", "typo: ", "snapshot.tables: missing"):
        assert place in message


@pytest.mark.parametrize(
    "content",
    [
        "snapshot: [",
        "a:\n\tb: 1",
        "locale: zh\nlocale: en",
        "a: 1\n---\nb: 2",
        "a: \x01",
        "!!python/object/apply:os.getcwd []",
        "timezone: 2026-13-45",
        "timezone: !!bool maybe",
        "[" * 600,
        "locale: 中文".encode("gbk"),
    ],
)
def test_what_is_not_yaml_is_said_so(content: Any, tmp_path: Path) -> None:
    assert "is not YAML: " in refusal(file_with(tmp_path, content))


def test_a_file_in_another_encoding_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "mindguard.yaml"
    path.write_bytes("# 设置".encode("gbk"))
    assert refusal(path).endswith("is not YAML: it is not text in UTF-8 – save it as UTF-8")


@pytest.mark.parametrize("text", ["", "- a", "only words"])
def test_yaml_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    assert "settings.yaml: write keys with values" in refusal(file_with(tmp_path, text))


def test_a_missing_file_is_named_with_what_to_set(tmp_path: Path) -> None:
    assert "No such file or directory – set MINDGUARD_SETTINGS" in refusal(tmp_path / "absent.yaml")
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("snapshot.part_mb", 1),
        ("snapshot.part_mb", 2048),
        ("snapshot.connections", 1),
        ("snapshot.connections", 32),
        ("snapshot.max_age_minutes", 1),
        ("snapshot.max_age_minutes", 24 * 60 - 15),
        ("snapshot.sse", None),
        ("snapshot.prefix", "a"),
        ("snapshot.prefix", "backups/key tables/中文"),
        ("snapshot.tables.0.name", 'Public."Check-ins" 打卡'),
        ("snapshot.gate.expected", ("public.t",)),
        ("snapshot.gate.max_shrink", 1),
        ("timezone", "UTC"),
        ("locale", "en"),
    ],
)
def test_the_bounds_themselves_are_allowed(place: str, value: Any, tmp_path: Path) -> None:
    read: Any = load_settings(file_with(tmp_path, changed(place, value))).model_dump()
    for step in place.split("."):
        read = read[int(step)] if step.isdigit() else read[step]
    assert read == value


def test_settings_cannot_be_changed_once_read() -> None:
    settings = Settings.model_validate(SMALLEST)
    with pytest.raises(ValidationError, match="frozen"):
        settings.snapshot.retention.days = 1  # type: ignore[misc]


def test_the_environment_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(file_with(tmp_path, changed("timezone", "UTC"))))
    assert load_settings().zone == ZoneInfo("UTC")
    monkeypatch.setenv("MINDGUARD_SETTINGS", "")
    assert settings_path() == SHIPPED
    monkeypatch.delenv("MINDGUARD_SETTINGS")
    assert settings_path() == SHIPPED


def test_the_shipped_file_holds_the_documented_values() -> None:
    shipped = load_settings(SHIPPED).model_dump(exclude={"key_events", "funnels"})
    monitors = shipped.pop("monitors")
    assert {each["name"]: each.get("error_after_s", each.get("error_above")) for each in monitors} == {
        "event_landing": 300,
        "event_consumers": 300,
        "etl_user_mood_daily": 900,
        "weekly_report": 300,
        "risk_routing": 300,
        "snapshot_age": 93600,
        "crash_rate": 0.005,
        "crash_rate_day": 0.01,
        "api_error_rate": 0.01,
        "risk_response": 300,
    }
    assert shipped == {
        "timezone": "Asia/Shanghai",
        "locale": "zh",
        "connections": {
            "app": "mindguard_app",
            "ops": "mindguard_ops",
            "restore": "mindguard_restore",
            "drill": "mindguard_drill",
            "events": "mindguard_events",
            "backup": "mindguard_backup",
            "keys": "mindguard_keys",
            "prometheus": "mindguard_prometheus",
            "kafka": "mindguard_kafka",
            "feishu": "mindguard_feishu",
            "airflow": "mindguard_airflow",
            "metrics": "mindguard_metrics",
        },
        "snapshot": {
            "bucket": "mindguard-backup",
            "prefix": "key-tables",
            "storage_class": "STANDARD_IA",
            "sse": "AES256",
            "sse_kms_key_id": None,
            "object_lock": None,
            "encryption": {"enabled": False, "reuse_across_keys": False, "accept_unencrypted": False},
            "drill": {"max_gb": None, "every_days": 7},
            "verify_days": 7,
            "tables": (
                {"name": "public.checkins", "part_by": "created_at", "inherited": None},
                {"name": "public.behavior_tasks", "part_by": "created_at", "inherited": None},
                {"name": "public.risk_signals", "part_by": "detected_at", "inherited": None},
            ),
            "retention": {
                "days": 30,
                "minimum": 7,
                "max_expire_per_run": 10,
                "grace_hours": 24,
                "max_gap_days": 8,
            },
            "large_objects": False,
            "gate": {"max_shrink": 0.5, "expected": ()},
            "detect": "tuples",
            "recheck_days": 7,
            "part_mb": 96,
            "connections": 3,
            "lock_timeout_s": 10,
            "max_age_minutes": 120,
            "max_mb_per_s": None,
        },
        "rota": None,
        "escalation": {
            "P0": (
                {"after_minutes": 0, "position": 0, "means": ("app", "sms", "phone")},
                {"after_minutes": 15, "position": 1, "means": ("card", "app", "sms", "phone")},
                {"after_minutes": 30, "position": 2, "means": ("card", "app", "sms", "phone")},
                {"after_minutes": 45, "position": 3, "means": ("card", "app", "sms", "phone")},
            ),
            "P1": ({"after_minutes": 30, "position": 1, "means": ("card", "app")},),
            "P2": (),
        },
        "releases": None,
        "alerts": {
            "acknowledge_base_url": None,
            "acknowledge_hours": 72,
            "review_hours": 48,
            "resolved_keep_days": 400,
            "spool_folder": None,
            "storm_threshold": 10,
            "silence_max_hours": 168,
            "flap_window_minutes": 60,
            "flap_card_minutes": 30,
        },
        "volume": {
            "table": "mindguard.events",
            "event_time": "event_time",
            "ingest_time": "ingest_time",
            "name": "event_name",
            "event_id": "event_id",
            "dimensions": ("platform", "app_version", "country"),
            "excluded_days": (),
            "calendar": None,
            "report_days": 90,
        },
        "suites": None,
        "watch": {
            "late_after_s": 180,
            "unknown_after_s": 600,
            "textfile": None,
            "heartbeat_file": None,
            "heartbeat_url": None,
        },
        "monitor_results_keep_days": 90,
    }


def test_the_example_in_the_shipped_file_is_valid_once_it_is_uncommented(tmp_path: Path) -> None:
    text = SHIPPED.read_text("utf-8")
    head, begin, example = text.partition("# rota:\n")
    settings = load_settings(file_with(tmp_path, head + re.sub("^# ", "", begin + example, flags=re.MULTILINE)))
    assert settings.rota
    assert settings.releases
    assert settings.alerts.acknowledge_base_url
    assert gaps(Rota.of(settings.rota, settings.zone), datetime(2026, 9, 20, tzinfo=settings.zone), days=120) == ()


ROTA: dict[str, Any] = {
    "people": [{"name": "A"}, {"name": "B"}],
    "shifts": [{"name": "s", "from": "09:00", "to": "24:00", "rotation": ["A", ["B", "A"]]}],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"people": []}, "rota.people"),
        ({"people": [{"name": "A"}, {"name": "B"}, {"name": "A"}]}, "listed twice: A"),
        ({"people": [{"name": "A, B"}]}, "rota.people[A, B].name: must not contain , ; / or :"),
        (
            {"people": [{"name": "A", "feishu_id": "zhang"}]},
            "rota.people[A].feishu_id: write an open_id, which begins with ou_",
        ),
        (
            {"people": [{"name": "A", "phone": 13800000000}]},
            "rota.people[A].phone: write a text in quotes, not a number",
        ),
        ({"people": [{"name": "A"}]}, "rota.shifts[s].rotation[#2]: B is not among people"),
        ({"shifts": []}, "either shifts or ical"),
        ({"ical": "rota.ics"}, "either shifts or ical"),
        (
            {"shifts": [{"name": "s", "from": "9:00", "to": "23:00", "rotation": ["A"]}]},
            "rota.shifts[s].from: write a time as HH:MM, for instance 09:00; midnig",
        ),
        (
            {"shifts": [{"name": "s", "from": "09:00", "to": "24:01", "rotation": ["A"]}]},
            "rota.shifts[s].to: write a time as HH:MM, for instance 09:00; midnight",
        ),
        (
            {"shifts": [{"name": "s", "from": "09:00", "to": "10:00", "rotation": []}]},
            "rota.shifts[s].rotation: must have at least 1 entry",
        ),
        (
            {"shifts": [{"name": "s", "from": "09:00", "to": "10:00", "rotation": [[]]}]},
            "rota.shifts[s].rotation[#1]: must have at least 1 entry",
        ),
        (
            {"shifts": [{"name": "s", "days": "monday", "from": "09:00", "to": "10:00", "rotation": ["A"]}]},
            "rota.shifts[s].days: write 'everyday', 'workday', 'weekend', 'holiday'",
        ),
        (
            {"shifts": [{"name": "s", "from": "09:00", "to": "10:00", "rotation": ["A"], "backup": ["C"]}]},
            "rota.shifts[s].backup: C is not among people",
        ),
        ({"shifts": ROTA["shifts"] * 2}, "listed twice: s"),
        ({"overrides": [{"from": "2026-10-01"}]}, "either person or swap"),
        ({"overrides": [{"from": "2026-10-01", "person": "A", "swap": ["A", "B"]}]}, "either person or swap"),
        ({"overrides": [{"from": "2026-10-01", "instead_of": "A", "swap": ["A", "B"]}]}, "instead_of goes with person"),
        (
            {"overrides": [{"from": "2026-10-01", "swap": ["A"]}]},
            "rota.overrides[#1].swap: must have at least 2 entries",
        ),
        ({"overrides": [{"from": "2026-10-02", "to": "2026-10-01", "person": "A"}]}, "`to` is before `from`"),
        ({"overrides": [{"from": "2026-10-01", "person": "C"}]}, "rota.overrides[#1].person: C is not among people"),
        (
            {"overrides": [{"from": "2026-10-01", "person": "A", "shift": "t"}]},
            "rota.overrides[#1].shift: there is no shift t",
        ),
        ({"calendar": {"holidays": ["2026-02-30"]}}, "rota.calendar.holidays[#1]: day is out of range for month"),
        (
            {"calendar": {"workdays": [20261231]}},
            "rota.calendar.workdays[#1]: write a date such as 2026-12-31, not a number",
        ),
        (
            {"overrides": [{"from": 0, "person": "A"}]},
            "rota.overrides[#1].from: write a date such as 2026-12-31, not a number",
        ),
    ],
)
def test_a_rota_that_makes_no_sense_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert Settings.model_validate({**SMALLEST, "rota": ROTA}).rota
    assert said in refusal(file_with(tmp_path, {**SMALLEST, "rota": {**ROTA, **change}}))


def test_dates_are_the_same_as_dates_of_yaml_and_as_text(tmp_path: Path) -> None:
    base = json.dumps({**SMALLEST, "rota": ROTA})[:-2]
    for quote in ("", '"'):
        day = f"{quote}2026-12-31{quote}"
        changes = f"overrides: [{{from: {day}, to: {day}, person: A}}]"
        more = f", {changes}, calendar: {{holidays: [{day}], workdays: [{day}]}}}}}}"
        rota = load_settings(file_with(tmp_path, base + more)).rota
        assert rota
        days = {rota.overrides[0].first, rota.overrides[0].last, *rota.calendar.holidays, *rota.calendar.workdays}
        assert days == {date(2026, 12, 31)}


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("releases", {}, "either query or url"),
        ("releases", {"query": "q.sql", "url": "https://releases.example.com"}, "either query or url"),
        ("releases.url", "ftp://releases.example.com", "releases.url"),
        (
            "escalation.P0",
            [{"after_minutes": 0, "position": 0, "means": []}],
            "escalation.P0[#1].means: must have at least 1 entry",
        ),
        (
            "escalation.P1",
            [{"after_minutes": 0, "position": 0, "means": ["fax"]}],
            "escalation.P1[#1].means[#1]: write 'card', 'app', 'sms' or 'phone', not 'fax'",
        ),
        ("escalation.P2", [{"after_minutes": n, "position": 0, "means": ["app"]} for n in (2, 1)], "in the order of"),
        ("alerts.acknowledge_base_url", "https://airflow.example.com/?a=b", "alerts.acknowledge_base_url"),
    ],
)
def test_settings_of_alerts_that_make_no_sense_are_refused(place: str, value: Any, said: str, tmp_path: Path) -> None:
    assert said in refusal(file_with(tmp_path, changed(place, value)))


def test_the_shipped_file_says_nothing_but_the_defaults() -> None:
    """So a user who deletes a line of it changes nothing, except which monitors there are."""
    shipped = load_settings(SHIPPED)
    assert shipped.monitors
    shipped = shipped.model_copy(update={"monitors": ()})
    named = {
        "snapshot": shipped.snapshot.model_dump(include={"bucket", "tables"}),
        "key_events": [{"name": event.name} for event in shipped.key_events],
        "funnels": [funnel.model_dump() for funnel in shipped.funnels],
    }
    assert Settings.model_validate(named) == shipped


def test_the_shipped_funnels_follow_the_users_way() -> None:
    shipped = load_settings(SHIPPED)
    assert {funnel.name: funnel.steps for funnel in shipped.funnels} == {
        "checkin": ("app_open", "checkin_start", "checkin_submit"),
        "task": ("app_open", "task_view", "task_start", "task_complete"),
        "risk": ("checkin_submit", "risk_signal_detected", "risk_signal_escalate"),
    }
    assert "sos_click" in {event.name for event in shipped.key_events}


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ({"key_events": [{"name": "a"}, {"name": "a"}]}, "listed twice: a"),
        (
            {"key_events": [{"name": "a"}], "funnels": [{"name": "f", "steps": ["a", "b"]}]},
            "funnels[f].steps[#2]: 'b' is not under key_events",
        ),
        ({"key_events": [{"name": "a", "tolerance": 20}]}, "less than 1"),
        ({"key_events": [{"name": "a", "since": "yesterday"}]}, "since"),
        ({"volume": {"table": "events"}}, "does not name its database"),
        ({"volume": {"dimensions": []}}, "dimensions"),
    ],
)
def test_a_broken_volume_setting_is_an_error(added: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    YAML().dump({**SMALLEST, **added}, file)
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings(file)


def test_days_are_read_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    text = "snapshot: {bucket: b, tables: [{name: public.t}]}\nvolume: {excluded_days: [2026-11-11]}\n"
    file.write_text(text, "utf-8")
    assert load_settings(file).volume.excluded_days == (date(2026, 11, 11),)


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    schema = json.loads(SHIPPED.with_name("mindguard.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_editors_schema_takes_the_shipped_file(schema: Draft202012Validator) -> None:
    text = SHIPPED.read_text("utf-8")
    schema.validate(YAML(typ="safe").load(text))
    assert text.startswith("# yaml-language-server: $schema=mindguard.schema.json\n")


@pytest.mark.parametrize(
    ("place", "value"),
    [("typo", 1), ("snapshot.tables.0.typo", 1), ("snapshot.tables", []), ("snapshot.part_mb", 0), ("locale", "de")],
)
def test_the_editors_schema_marks_a_broken_rule(place: str, value: Any, schema: Draft202012Validator) -> None:
    assert not schema.is_valid(changed(place, value))
    assert schema.is_valid(SMALLEST)


@pytest.mark.parametrize(
    ("text", "ops", "locale"),
    [
        ("snapshot: {bukcet: x}\nconnections: {ops: their_ops}\nlocale: en\n", "their_ops", "en"),
        ("connections: {ops: their_ops, nobody: x}\nlocale: en\n", "mindguard_ops", "en"),
        ("locale: [\n", "mindguard_ops", "zh"),
        ("- a list\n", "mindguard_ops", "zh"),
        ("", "mindguard_ops", "zh"),
        (None, "mindguard_ops", "zh"),
    ],
)
def test_a_faulty_file_does_not_silence_the_alert_that_tells_of_it(
    text: str | None, ops: str, locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each section that is right is used, so that the alert reaches their own group."""
    file = tmp_path / "mindguard.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(file))
    with pytest.raises(SettingsError):
        load_settings()
    settings = settings_for_alerts()
    assert (settings.connections.ops, settings.locale) == (ops, locale)
