"""Errors that no retry can mend."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.airflow.permanent import not_retried
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError, SettingsError


def test_faulty_settings_fail_every_task_without_retries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_task = dag_defaults(severity=Severity.P1, doc="doc")["default_args"]["pre_execute"]
    context = {"dag": SimpleNamespace(params={}), "dag_run": SimpleNamespace(conf=None)}
    before_task(context)
    (tmp_path / "own.yaml").write_text("locale: de\n")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(tmp_path / "own.yaml"))
    with pytest.raises(AirflowFailException, match=r"own\.yaml has 2 faults: .* locale: write 'zh' or 'en', not 'de'"):
        before_task(context)


@pytest.mark.parametrize(
    ("conf", "refused"),
    [
        (None, ""),
        ({}, ""),
        ({"tables": []}, ""),
        ({"table": ["public.checkins"]}, "the form has no field table – it has snapshot_id, tables: correct it"),
        ({"tables": [], "snapshotId": "latest"}, "no field snapshotId – "),
        ({"a\nb" + 100 * "x": 1}, "no field a"),
    ],
)
def test_a_value_that_the_form_does_not_have_is_refused(conf: dict[str, Any] | None, refused: str) -> None:
    """It was ignored, so that a restore of one table became one of all."""
    before_task = dag_defaults(severity=Severity.P1, doc="doc")["default_args"]["pre_execute"]
    params = {"snapshot_id": "latest", "tables": []}
    context = {"dag": SimpleNamespace(params=params), "dag_run": SimpleNamespace(conf=conf)}
    if not refused:
        before_task(context)
        return
    with pytest.raises(AirflowFailException, match=refused) as caught:
        before_task(context)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_of_a_dag_without_a_form_may_carry_anything() -> None:
    before_task = dag_defaults(severity=Severity.P1, doc="doc")["default_args"]["pre_execute"]
    before_task({"dag": SimpleNamespace(params={}), "dag_run": SimpleNamespace(conf={"severity": "P0"})})


def test_other_errors_are_retried() -> None:
    with pytest.raises(AirflowFailException, match="no such key"), not_retried(SettingsError):
        raise SettingsError("no such key")
    with pytest.raises(MindGuardError, match="away"), not_retried(SettingsError):
        raise MindGuardError("away")
    with pytest.raises(MindGuardError, match="away"), not_retried():
        raise MindGuardError("away")
