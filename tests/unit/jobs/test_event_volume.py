"""Which day a check judges, which suites share a task, and what happens if data cannot be read."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mindguard.connections import Connection
from mindguard.errors import ConnectionMissing
from mindguard.jobs.event_volume import due, groups, judge_day, why_not_reconciled
from mindguard.resources import include_dir
from mindguard.settings import Settings, load_settings
from mindguard.volume.days import Moment
from mindguard.volume.run import SuitesUnchecked, outcome_of
from mindguard.volume.suites import suites_dir

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a folder of suites that a test can break."""
    shipped = load_settings(include_dir() / "config" / "mindguard.yaml")
    for name in ("event_volume", "total_volume", "funnels"):
        shutil.copy(suites_dir() / f"{name}.yaml", tmp_path)
    return shipped.model_copy(update={"suites": str(tmp_path)})


A_QUALITY = (
    "name: a_quality\nmeta: {query: sql/clickhouse/select_event_counts.sql, connection: app, key: [name]}\n"
    "expectations: [{type: expect_column_values_to_not_be_null, severity: info, kwargs: {column: name}}]\n"
)


@pytest.mark.parametrize(
    ("hour", "minute", "judged"),
    [(0, 30, date(2026, 9, 14)), (0, 59, date(2026, 9, 14)), (1, 30, date(2026, 9, 15)), (23, 30, date(2026, 9, 15))],
)
def test_the_first_check_after_midnight_judges_the_day_that_ended(
    settings: Settings, hour: int, minute: int, judged: date
) -> None:
    at = datetime(2026, 9, 15, hour, minute, tzinfo=SHANGHAI).astimezone(UTC)
    assert due(at, settings) == Moment(judged, at)


def test_suites_of_one_database_share_a_task_and_an_unreadable_one_has_its_own(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a_quality.yaml").write_text(A_QUALITY)
    (tmp_path / "broken.yaml").write_text("name: [")
    assert groups(settings) == [["event_volume", "funnels", "total_volume"], ["a_quality"], ["broken"]]


def test_without_suites_of_product_events_there_is_no_rollup_to_compare(settings: Settings, tmp_path: Path) -> None:
    over, running = MOMENT, Moment(MOMENT.day, MOMENT.as_of - timedelta(hours=1))
    assert why_not_reconciled(settings, over) == ""
    assert why_not_reconciled(settings, running) == "the day is still running"
    own = tmp_path / "own"
    own.mkdir()
    (own / "a_quality.yaml").write_text(A_QUALITY)
    for suites in (str(own), "none"):
        without = settings.model_copy(update={"suites": suites})
        assert why_not_reconciled(without, over) == "no suite judges product events"


def no_connections(conn_id: str) -> Connection:
    raise ConnectionMissing(conn_id)


MOMENT = Moment(date(2026, 9, 15), datetime(2026, 9, 16, 0, 30, tzinfo=SHANGHAI))


def test_without_clickhouse_nothing_passes_and_nothing_recovers(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run = judge_day(["event_volume", "total_volume"], settings, no_connections, MOMENT)
    assert "days with incidents count as baselines" in caplog.text
    assert outcome_of(run, settings) == ((), ())
    assert not run.may_pass_later, "somebody must add the connection"
    with pytest.raises(SuitesUnchecked, match=r"2 not checked: .*mindguard_events"):
        run.check()


def test_a_suite_with_an_invalid_file_is_not_retried(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: [")
    run = judge_day(["broken"], settings, no_connections, MOMENT)
    assert not run.may_pass_later
    with pytest.raises(SuitesUnchecked, match=r"broken\.yaml"):
        run.check()
