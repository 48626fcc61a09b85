"""Errors that no retry can mend."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from zoneinfo import ZoneInfo

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowFailException
from botocore.exceptions import ClientError
from clickhouse_connect.driver.exceptions import DatabaseError

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.airflow.permanent import not_retried
from mindguard.alerts.severity import Severity
from mindguard.connections import WrongType
from mindguard.database.session import StoreUnavailable
from mindguard.errors import ConnectionMissing, MindGuardError, SettingsError
from mindguard.settings.volume import VolumeSettings
from mindguard.snapshots.export import source_errors
from mindguard.snapshots.export.source_errors import ColumnMissing, TableMissing
from mindguard.snapshots.restore import target
from mindguard.snapshots.storage import s3_errors
from mindguard.snapshots.storage.encryption import KeyMissing
from mindguard.snapshots.storage.s3_errors import StoreError
from mindguard.volume.days import Moment
from mindguard.volume.run import Run, SuitesUnchecked
from mindguard.volume.source import EventSource, EventsUnreadable
from mindguard.volume.suites import SuiteUnchecked, SuiteUnsound


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


def refused(error: str) -> Exception:
    """Return what a database's error with this name becomes; its SQLSTATE comes with the class."""
    return source_errors.explained(getattr(psycopg.errors, error)("x"))


def answered(code: str) -> Exception:
    """Return what an answer of the store becomes."""
    with pytest.raises(StoreError) as caught, s3_errors.explained("read k", bucket="b", locking=False):
        raise ClientError({"Error": {"Code": code, "Message": "x"}}, "GetObject")
    return caught.value


def unreadable(says: str) -> Exception:
    """Return what an error of ClickHouse becomes."""
    client = MagicMock()
    client.command.side_effect = DatabaseError(says)
    with pytest.raises(EventsUnreadable) as caught:
        EventSource(client, VolumeSettings(), ZoneInfo("Asia/Shanghai")).run("x")
    return caught.value


MOMENT = Moment(date(2026, 9, 15), datetime(2026, 9, 16, tzinfo=UTC))
GONE, AWAY = ConnectionMissing("mindguard_events"), SuiteUnchecked("away")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionMissing("mindguard_app"),
        WrongType("x"),
        TableMissing("x"),
        ColumnMissing("x"),
        KeyMissing(["k"], "it"),
        SuiteUnsound("x"),
        refused("InsufficientPrivilege"),
        target.explained(psycopg.errors.InsufficientPrivilege("x")),
        *map(answered, ("NoSuchBucket", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")),
        unreadable("Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)"),
        unreadable("Code: 497. DB::Exception: default: Not enough privileges. (ACCESS_DENIED)"),
    ],
    ids=str,
)
def test_what_only_a_person_can_mend_is_not_retried(error: Exception) -> None:
    """Its card came ten minutes later, after two retries in vain."""
    with pytest.raises(AirflowFailException, match=re.escape(str(error))), not_retried():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        refused("LockNotAvailable"),
        refused("QueryCanceled"),
        refused("AdminShutdown"),
        refused("OperationalError"),
        target.explained(psycopg.errors.LockNotAvailable("x")),
        *map(answered, ("InternalError", "ServiceUnavailable", "SlowDown", "503", "NoSuchKey", "ExpiredToken")),
        unreadable("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"),
        StoreUnavailable("x"),
    ],
    ids=str,
)
def test_what_may_pass_is_retried(error: Exception) -> None:
    with pytest.raises(type(error)), not_retried():
        raise error


@pytest.mark.parametrize(("broken", "retried"), [((GONE,), False), ((GONE, AWAY), True)])
def test_suites_are_judged_again_if_one_of_them_may_pass(broken: tuple[MindGuardError, ...], *, retried: bool) -> None:
    run = Run(MOMENT, broken={str(each): each for each in broken})
    with pytest.raises(SuitesUnchecked if retried else AirflowFailException), not_retried():
        run.check()


def test_other_errors_are_retried() -> None:
    with pytest.raises(AirflowFailException, match="no such key"), not_retried():
        raise SettingsError("no such key")
    with pytest.raises(AirflowFailException, match="refused"), not_retried(StoreUnavailable):
        raise StoreUnavailable("refused")
    with pytest.raises(MindGuardError, match="away"), not_retried(StoreUnavailable):
        raise MindGuardError("away")
    with pytest.raises(MindGuardError, match="away"), not_retried():
        raise MindGuardError("away")
