"""Opens transactions on the operations database, and turns its errors into one with a hint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from mindguard import postgres_session
from mindguard.connections import conn_id_of
from mindguard.database.migrate import NewerSchema, is_current, migrate
from mindguard.errors import MindGuardError, about
from mindguard.masking import mask_secrets
from mindguard.sql import statement

if TYPE_CHECKING:
    from mindguard import connections

_LIMIT_MS = "5000"


class StoreUnavailable(MindGuardError):
    """The operations database cannot be reached, or does not answer in time."""


class OpsDatabase:
    """The operations database. The stores of incidents, monitors and pages are given one and share its connections.

    Raises:
        StoreUnavailable: by every method.
    """

    def __init__(self, engine: Engine, conn_id: str = "") -> None:
        self.engine = engine
        self._conn_id = conn_id
        self._migrated = False

    @classmethod
    def of(cls, connection: connections.Connection) -> OpsDatabase:
        """Return the database of a `postgres` connection. It connects at the first use."""
        from mindguard.connections import postgres_conninfo

        # A pool of connections must not be shared with a process that was forked.
        return _database(postgres_conninfo(connection), os.getpid())

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a transaction that is committed at the end. The first use creates the schema."""
        with about(self._conn_id, StoreUnavailable):
            try:
                if not self._migrated:
                    migrate(self.engine)
                    self._migrated = True
                with Session(self.engine, expire_on_commit=False) as session, session.begin():
                    yield session
            except (OperationalError, PoolTimeout, NewerSchema) as error:
                raise _unavailable(error) from None
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise _unavailable(error) from None
                reason = mask_secrets(str(error.orig or "").partition("\n")[0])
                hint = "" if isinstance(error, DataError) else "the user of connections.ops must own its database"
                raise StoreUnavailable(f"the incident store refused: {reason}", hint=hint) from None

    def migrated(self) -> bool:
        """Return whether the schema is up to date. This changes nothing."""
        with about(self._conn_id, StoreUnavailable):
            try:
                with self.engine.connect() as connection:
                    return is_current(connection)
            except (OperationalError, PoolTimeout, NewerSchema) as error:
                raise _unavailable(error) from None


@lru_cache(maxsize=8)
def _database(conninfo: str, pid: int) -> OpsDatabase:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: postgres_session.connect(conninfo, connect_timeout=3),
        pool_size=2,
        max_overflow=4,
        pool_timeout=5,
        pool_pre_ping=True,
    )
    event.listen(engine, "begin", _set_locally)
    return OpsDatabase(engine, conn_id_of(conninfo))


def _set_locally(connection: Connection) -> None:
    """Set what each transaction needs, in the transaction: a pooler may give its session to others afterwards."""
    limit = statement("set_limits").as_string()
    connection.exec_driver_sql(limit, {"milliseconds": _LIMIT_MS})
    connection.exec_driver_sql("set local timezone = 'UTC'")


def _unavailable(error: Exception) -> StoreUnavailable:
    if isinstance(error, NewerSchema):
        return StoreUnavailable(
            f"the incident store belongs to a newer version of mindguard-ops (its schema is {error})",
            hint="upgrade the package here too; there is no way back but the database's own backup",
        )
    cause = getattr(error, "orig", None) or error
    reason = mask_secrets(" ".join(str(cause).split()))[:300]
    return StoreUnavailable(
        f"the incident store cannot be used: {reason}", hint="check connections.ops and its PostgreSQL"
    )
