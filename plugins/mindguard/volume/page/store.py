"""Stores the content of the pages on checks: one section for each suite and day, in the operations database."""

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


class PageSection(Base):
    """The latest section of one suite and day; `content` is the JSON of a `Section`."""

    __tablename__ = "suite_reports"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    suite: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[datetime]
    content: Mapped[dict[str, Any]]


@dataclass(frozen=True)
class DayWithPage:
    """A day that has a page: its worst severity, and whether any suite could not be checked."""

    day: date
    severity: str | None
    unchecked: bool


def write_page(sections: Sequence[Section], *, database: OpsDatabase, day: date, keep_days: int) -> None:
    """Keep what the day's page shows of these suites. An earlier judgement does not replace a later one.

    Args:
        sections: one for each suite.
        database: where they are kept.
        day: the day of the checks.
        keep_days: pages of days that lie further than this before `day` are removed.

    Raises:
        StoreUnavailable: The database cannot be written.
    """
    if not sections:
        return
    rows = [
        {
            "day": day,
            "suite": each.suite,
            "as_of": each.as_of,
            "content": each.to_json(),
        }
        for each in sections
    ]
    added = insert(PageSection).values(rows)
    newest = added.on_conflict_do_update(
        index_elements=[PageSection.day, PageSection.suite],
        set_={"as_of": added.excluded.as_of, "content": added.excluded.content},
        where=PageSection.as_of <= added.excluded.as_of,
    )
    with database.session() as session:
        session.execute(newest)
        session.execute(delete(PageSection).where(PageSection.day < day - timedelta(days=keep_days)))


def read_page(database: OpsDatabase, day: date) -> list[dict[str, Any]]:
    """Return the sections of one day's page for `render_page`; none if nothing was checked.

    Raises:
        StoreUnavailable: The database cannot be read.
    """
    with database.session() as session:
        return list(session.scalars(select(PageSection.content).where(PageSection.day == day)))


def days_with_page(database: OpsDatabase) -> list[DayWithPage]:
    """Return the days that have a page, newest first.

    Raises:
        StoreUnavailable: The database cannot be read.
    """
    severity, unchecked = PageSection.content["severity"].astext, PageSection.content["unchecked"].astext
    query = (
        select(PageSection.day, func.array_agg(severity.distinct()), func.bool_or(unchecked != ""))
        .group_by(PageSection.day)
        .order_by(PageSection.day.desc())
    )
    with database.session() as session:
        return [
            DayWithPage(day, worst([each for each in severities if each]), any_unchecked)
            for day, severities, any_unchecked in session.execute(query)
        ]


def page_url(settings: Settings, day: date) -> str:
    """Return the address of the day's page; empty unless `alerts.acknowledge_base_url`, Airflow's address, is set."""
    base = settings.alerts.acknowledge_base_url
    return f"{base.rstrip('/')}/mindguard/reports/{day}" if base else ""
