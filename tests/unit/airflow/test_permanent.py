"""Errors that no retry can mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.airflow.permanent import not_retried
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError, SettingsError


def test_faulty_settings_fail_every_task_without_retries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_task = dag_defaults(severity=Severity.P1, doc="doc")["default_args"]["pre_execute"]
    before_task({})
    (tmp_path / "own.yaml").write_text("locale: de\n")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(tmp_path / "own.yaml"))
    with pytest.raises(AirflowFailException, match=r"own\.yaml has 2 faults: .* locale: write 'zh' or 'en', not 'de'"):
        before_task({})


def test_other_errors_are_retried() -> None:
    with pytest.raises(AirflowFailException, match="no such key"), not_retried(SettingsError):
        raise SettingsError("no such key")
    with pytest.raises(MindGuardError, match="away"), not_retried(SettingsError):
        raise MindGuardError("away")
    with pytest.raises(MindGuardError, match="away"), not_retried():
        raise MindGuardError("away")
