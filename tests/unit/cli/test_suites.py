"""`mindguard suites` without a connection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mindguard.cli import app
from mindguard.errors import SettingsError
from mindguard.settings import load_settings, settings_path
from mindguard.volume.suites import SuiteUnsound

RUN = CliRunner()


def test_lint_lists_what_great_expectations_will_check() -> None:
    done = RUN.invoke(app, ["suites", "lint", "--json"], catch_exceptions=False)
    found = {each["suite"]: each for each in json.loads(done.stdout)}
    assert found["event_volume"]["expectations"] == 3
    assert [line for each in found.values() for line in each["warnings"]] == []
    assert done.stderr == ""


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
    assert RUN.invoke(app, ["suites", "new", "sos_close"], catch_exceptions=False).exit_code == 0
    added = set(own.read_text("utf-8").splitlines()) ^ set(before.splitlines())
    assert added == {"  - {name: sos_close}"}
    assert load_settings().key_events[-1].name == "sos_close"
    with pytest.raises(SettingsError, match="already"):
        RUN.invoke(app, ["suites", "new", "sos_close"], catch_exceptions=False)


def test_a_wrong_name_or_date_is_said_before_anything_is_asked() -> None:
    with pytest.raises(SuiteUnsound, match="no suite 'nothing'"):
        RUN.invoke(app, ["suites", "run", "nothing"], catch_exceptions=False)
    assert RUN.invoke(app, ["suites", "run", "event_volume", "--date", "today"]).exit_code == 2
