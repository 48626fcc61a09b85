"""Keep results and states of the monitors in the operations database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Index, Insert, delete, func, insert, select, tuple_
from sqlalchemy.orm import Mapped, mapped_column

from mindguard.database.base import Base
from mindguard.database.session import OpsDatabase
from mindguard.monitors.judge import State
from mindguard.monitors.result import Key, Result
from mindguard.settings import Settings


class MonitorResult(Base):
    """One result; see Result. A monitor without dimensions adds one row a minute."""

    __tablename__ = "monitor_results"
    __table_args__ = (Index("monitor_results_at", "at"),)

    monitor: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    status: Mapped[str]
    value: Mapped[float | None]
    threshold: Mapped[float]
    unit: Mapped[str]
    reason: Mapped[str]
    cause: Mapped[str]
    note: Mapped[str]
    escalated: Mapped[bool]
    since: Mapped[datetime | None]
    unknown_since: Mapped[datetime | None]
    took_s: Mapped[float]
    skew_s: Mapped[float | None]


class MonitorState(Base):
    """The state of one monitor and dimension; see State."""

    __tablename__ = "monitor_states"

    monitor: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[str]
    since: Mapped[datetime | None]
    measured_at: Mapped[datetime | None]
    warn_since: Mapped[datetime | None]
    error_since: Mapped[datetime | None]
    below_warn_since: Mapped[datetime | None]
    below_error_since: Mapped[datetime | None]
    unknown_since: Mapped[datetime | None]


class MonitorStore:
    """The memory of runs, and the history that people look at.

    Args:
        database: where results and states are kept.
        keep: results that are older than the newest one by more than this are removed.

    Raises:
        StoreUnavailable: from every method.
    """

    def __init__(self, database: OpsDatabase, *, keep: timedelta) -> None:
        self._database = database
        self._keep = keep

    @classmethod
    def of(cls, database: OpsDatabase, settings: Settings) -> Self:
        """Return the store that keeps results as long as the settings say."""
        return cls(database, keep=timedelta(days=settings.monitor_results_keep_days))

    def states(self) -> Mapping[Key, State]:
        """See Memory."""
        with self._database.session() as session:
            return {Key(row.monitor, row.dimension): _as(State, row) for row in session.scalars(select(MonitorState))}

    def save(self, results: Sequence[Result], states: Mapping[Key, State], measured: Collection[str]) -> None:
        """See Memory."""
        if not results:
            return
        with self._database.session() as session:
            session.execute(_all_at_once(MonitorResult), [asdict(result) for result in results])
            session.execute(delete(MonitorState).where(MonitorState.monitor.in_(measured)))
            if states:
                session.execute(
                    _all_at_once(MonitorState),
                    [{**key._asdict(), **asdict(state)} for key, state in states.items()],
                )
            newest = max(result.at for result in results)
            session.execute(delete(MonitorResult).where(MonitorResult.at < newest - self._keep))

    def history(self, monitor: str, *, since: datetime) -> list[Result]:
        """Return a monitor's results since a moment, oldest first."""
        query = select(MonitorResult).where(MonitorResult.monitor == monitor, MonitorResult.at >= since)
        with self._database.session() as session:
            rows = session.scalars(query.order_by(MonitorResult.at, MonitorResult.dimension))
            return [_as(Result, row) for row in rows]

    def latest(self, *, since: datetime) -> list[Result]:
        """Return the newest result since a moment of each monitor and dimension."""
        key = (MonitorResult.monitor, MonitorResult.dimension)
        newest = select(*key, func.max(MonitorResult.at)).where(MonitorResult.at >= since).group_by(*key)
        query = select(MonitorResult).where(tuple_(*key, MonitorResult.at).in_(newest)).order_by(*key)
        with self._database.session() as session:
            return [_as(Result, row) for row in session.scalars(query)]


def _all_at_once(table: type[Base]) -> Insert:
    """Return a statement that inserts all rows together. By default each row with other nulls begins a new one."""
    return insert(table).execution_options(render_nulls=True)


def _as(kind: Any, row: Any) -> Any:
    """Return the dataclass of this kind with the row's values."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})
