"""Keeps what the pages on checks show: one section for each suite and day, in the operations database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Date, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from mindguard.database.base import Base
from mindguard.database.session import OpsDatabase
from mindguard.settings import Settings
from mindguard.volume.page.render import Section, worst


class SuiteReport(Base):
    """The newest look at one suite's day; `content` is a `Section`."""

    __tablename__ = "suite_reports"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    suite: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[datetime]
    content: Mapped[dict[str, Any]]


@dataclass(frozen=True)
class DayReported:
    """A day that has a page: its worst severity, and whether some suite could not be checked."""

    day: date
    severity: str | None
    unchecked: bool


def write_report(sections: Sequence[Section], *, database: OpsDatabase, day: date, keep_days: int) -> None:
    """Keep what the day's page shows of these suites; an older look does not replace a newer one.

    Args:
        keep_days: pages of days that are older than this one by more are removed.

    Raises:
        StoreUnavailable: it cannot be written.
    """
    if not sections:
        return
    rows = [
        {
            "day": day,
            "suite": each.suite,
            "as_of": datetime.fromisoformat(each.as_of),
            "content": each.to_json(),
        }
        for each in sections
    ]
    added = insert(SuiteReport).values(rows)
    newest = added.on_conflict_do_update(
        index_elements=[SuiteReport.day, SuiteReport.suite],
        set_={"as_of": added.excluded.as_of, "content": added.excluded.content},
        where=SuiteReport.as_of <= added.excluded.as_of,
    )
    with database.session() as session:
        session.execute(newest)
        session.execute(delete(SuiteReport).where(SuiteReport.day < day - timedelta(days=keep_days)))


def read_report(database: OpsDatabase, day: date) -> list[dict[str, Any]]:
    """Sections of one day's page, for `render_page`; none where nothing was checked.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    with database.session() as session:
        return list(session.scalars(select(SuiteReport.content).where(SuiteReport.day == day)))


def days_reported(database: OpsDatabase) -> list[DayReported]:
    """Days that have a page, newest first.

    Raises:
        StoreUnavailable: they cannot be read.
    """
    severity, unchecked = SuiteReport.content["severity"].astext, SuiteReport.content["unchecked"].astext
    wanted = (
        select(SuiteReport.day, func.array_agg(severity.distinct()), func.bool_or(unchecked != ""))
        .group_by(SuiteReport.day)
        .order_by(SuiteReport.day.desc())
    )
    with database.session() as session:
        return [
            DayReported(day, worst([each for each in severities if each]), missing)
            for day, severities, missing in session.execute(wanted)
        ]


def page_url(settings: Settings, day: date) -> str:
    """Where people open the day's page; empty while `alerts.acknowledge_base_url`, Airflow's address, is not set."""
    base = settings.alerts.acknowledge_base_url
    return f"{base.rstrip('/')}/mindguard/reports/{day}" if base else ""
