"""`mindguard suites` without a connection."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mindguard.cli import app
from mindguard.errors import SettingsError
from mindguard.jobs.event_volume import groups
from mindguard.settings import load_settings, settings_path
from mindguard.volume.suites import SuiteUnsound

RUN = CliRunner()


def test_lint_lists_what_great_expectations_will_check() -> None:
    done = RUN.invoke(app, ["suites", "lint", "--json"], catch_exceptions=False)
    found = {each["suite"]: each for each in json.loads(done.stdout)}
    assert found["event_volume"]["expectations"] == 3
    assert [line for each in found.values() for line in each["warnings"]] == []
    assert done.stderr.startswith("note: the names of key events were not compared with ClickHouse: connection ")
    assert done.stderr.count("\n") == 1


def test_lint_warns_of_a_share_of_any_number_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.yaml").write_text(
        "name: own\nmeta: {frame: key_events}\nexpectations:\n"
        "- {type: expect_column_values_to_be_between, severity: info, kwargs: {column: net_ratio, max_value: 0.1}}\n",
        "utf-8",
    )
    monkeypatch.setattr("mindguard.volume.suites.suites_dir", lambda settings: tmp_path)
    done = RUN.invoke(app, ["suites", "lint"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stderr.startswith("warning: own.yaml line 4: expectations[#1]: `net_ratio` is a share of any")


def test_a_new_key_event_is_one_more_line_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings_path().read_text("utf-8")
    own = tmp_path / "mindguard.yaml"
    own.write_text(before, "utf-8")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(own))
    with pytest.raises(SettingsError, match=r"could not be found out: connection .* – `--unseen` adds the name"):
        RUN.invoke(app, ["suites", "new", "sos_close"], catch_exceptions=False)
    assert own.read_text("utf-8") == before
    asked = RUN.invoke(app, ["suites", "new", "sos_close", "--unseen"], catch_exceptions=False)
    assert f"watched from the next check on that reads {own}" in asked.stdout
    added = set(own.read_text("utf-8").splitlines()) ^ set(before.splitlines())
    assert added == {"  - {name: sos_close}"}
    assert load_settings().key_events[-1].name == "sos_close"
    with pytest.raises(SettingsError, match="already"):
        RUN.invoke(app, ["suites", "new", "sos_close"], catch_exceptions=False)


def test_a_name_that_no_event_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "mindguard.yaml"
    own.write_text(settings_path().read_text("utf-8"), "utf-8")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(own))
    monkeypatch.setattr("mindguard.volume.registry.seen_names", lambda *asked: ["api_request", "sos_click"])
    for name, said in (
        ("api_requets", "is called 'api_requets'; did you mean api_request?"),
        ("x}\n  - {name: y", "is not the name of an event"),
        ("x}, {name: y", "is called 'x}, {name: y'"),
        (" ", "is not the name of an event"),
    ):
        with pytest.raises(SettingsError, match=re.escape(said)):
            RUN.invoke(app, ["suites", "new", name], catch_exceptions=False)
    assert RUN.invoke(app, ["suites", "new", "api_request"], catch_exceptions=False).exit_code == 0
    assert load_settings().key_events[-1].name == "api_request"


def test_lint_warns_of_key_events_that_were_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [event.name for event in load_settings().key_events]
    monkeypatch.setattr("mindguard.volume.registry.seen_names", lambda *asked: [*names[1:], "session_started"])
    done = RUN.invoke(app, ["suites", "lint"], catch_exceptions=False)
    assert done.exit_code == 0
    said = "no event of the last 63 days is called 'session_start'; did you mean session_started?"
    assert done.stderr == f"warning: key_events: {said}\n"


def test_without_suites_it_is_said_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(own))
    own.write_text("snapshot: {bucket: b, tables: [{name: public.t}]}\nsuites: none\n")
    done = RUN.invoke(app, ["suites", "lint"], catch_exceptions=False)
    said = f"no suites: {own} says `suites: none`; docs/suites.md says how to write one\n"
    assert (done.exit_code, done.stdout) == (0, said)
    assert groups(load_settings()) == []
    with pytest.raises(SuiteUnsound, match=r"there are no suites: .* – docs/suites\.md"):
        RUN.invoke(app, ["suites", "run", "checkins"], catch_exceptions=False)
    own.write_text(f"snapshot: {{bucket: b, tables: [{{name: public.t}}]}}\nsuites: {tmp_path / 'empty'}\n")
    with pytest.raises(SuiteUnsound, match=r"contains no suite – write one there .* or `suites: none` in the settings"):
        RUN.invoke(app, ["suites", "lint"], catch_exceptions=False)


def test_a_wrong_name_or_date_is_said_before_anything_is_asked() -> None:
    with pytest.raises(SuiteUnsound, match="no suite 'nothing'"):
        RUN.invoke(app, ["suites", "run", "nothing"], catch_exceptions=False)
    assert RUN.invoke(app, ["suites", "run", "event_volume", "--date", "today"]).exit_code == 2
