"""Changes to a settings file, however it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mindguard.errors import SettingsError
from mindguard.settings import load_settings
from mindguard.settings.edit import add_key_event, own_settings

SNAPSHOT = "snapshot: {bucket: b, tables: [{name: public.t}]}\n"
JSON = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SNAPSHOT, f"{SNAPSHOT}key_events:\n  - {{name: new}}\n"),
        (f"{SNAPSHOT}key_events:\n- {{name: a}}\n", f"{SNAPSHOT}key_events:\n- {{name: a}}\n- {{name: new}}\n"),
        (
            f"key_events:\n  -\n    name: a\n    owner: o  # who\n\n# snapshots\n{SNAPSHOT}",
            f"key_events:\n  -\n    name: a\n    owner: o  # who\n  - {{name: new}}\n\n# snapshots\n{SNAPSHOT}",
        ),
        (f"{SNAPSHOT}key_events:\n  - name: a", f"{SNAPSHOT}key_events:\n  - name: a\n  - {{name: new}}\n"),
        (f"{SNAPSHOT}key_events: [{{name: a}}]\n", f"{SNAPSHOT}key_events: [{{name: a}}, {{name: new}}]\n"),
        (f"{SNAPSHOT}key_events: []  # none\n", f"{SNAPSHOT}key_events: [{{name: new}}]  # none\n"),
        (
            f"{SNAPSHOT}key_events:\n  - {{name: a}}\n".replace("\n", "\r\n"),
            f"{SNAPSHOT}key_events:\n  - {{name: a}}\n  - {{name: new}}\n".replace("\n", "\r\n"),
        ),
    ],
)
def test_one_more_key_event_changes_nothing_else(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(before.encode())
    add_key_event(path, "new")
    assert path.read_bytes().decode() == after


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("events", [None, [], [{"name": "a"}, {"name": "b", "tolerance": 0.5}]])
def test_json_remains_json(tmp_path: Path, events: list[dict[str, str]] | None, indent: int | None) -> None:
    path = tmp_path / "own.json"
    content = JSON if events is None else {**JSON, "key_events": events}
    path.write_text(json.dumps(content, indent=indent))
    add_key_event(path, "new")
    assert json.loads(path.read_text()) == {**JSON, "key_events": [*(events or []), {"name": "new"}]}


@pytest.mark.parametrize("name", ["点击", "yes", "123", "a: b", 'x"}, {name: "y', "x}\n  - {name: y", "#", "{a}", "''"])
@pytest.mark.parametrize("before", [SNAPSHOT, json.dumps(JSON), f"{SNAPSHOT}key_events: [{{name: a}}]\n"])
def test_a_name_is_only_ever_a_name(tmp_path: Path, before: str, name: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(before, "utf-8")
    add_key_event(path, name)
    assert load_settings(path).key_events[-1].name == name


@pytest.mark.parametrize(
    "before",
    [
        f"{SNAPSHOT}...\n",
        "snapshot: {bucket: b, tables: [{name: public.t}]}\nkey_events: [{name: a} # all\n  ]\n",
    ],
)
def test_a_file_to_which_nothing_can_be_added_is_left_alone(tmp_path: Path, before: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(before)
    with pytest.raises(SettingsError, match=r"nothing can be added .* – add \{name: \"new\"\} to key_events by hand"):
        add_key_event(path, "new")
    assert path.read_text() == before


def test_a_file_of_the_installed_package_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "site-packages" / "mindguard" / "include" / "config" / "mindguard.yaml"
    with pytest.raises(SettingsError, match="an upgrade replaces it – `mindguard init FILE`"):
        own_settings(path)
    assert own_settings(tmp_path / "own.yaml") == tmp_path / "own.yaml"
