"""Connections to PostgreSQL: free of other people's time limits, and leaving nothing behind in a pooler.

A role or a database can have settings that end a long statement, an idle transaction or an idle session. A pooler can
give one server connection to many clients in turn; what one of them sets in its session, the others find there.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mindguard.errors import MindGuardError
from mindguard.sql import first_rows, literal, statement, with_percents

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

# The server applies these before the first statement. `transaction_timeout` exists only since PostgreSQL 17.
_UNLIMITED = (
    *(
        f"-c {name}=0"
        for name in (
            "statement_timeout",
            "lock_timeout",
            "idle_session_timeout",
            "idle_in_transaction_session_timeout",
        )
    ),
    # The driver that reads parts learns the names of types as soon as it connects, and knows none in quotes.
    "-c quote_all_identifiers=off",
)
# Words of the errors with which servers and poolers refuse the above.
_OPTIONS_REFUSED = ("startup parameter", "command-line options", "idle_session_timeout")
_RESET_WAIT_S = 5.0


class NoOwnSession(MindGuardError):
    """A pooler shares the server connection with others, so what is set on it would not last, or would reach them."""

    permanent = True

    def __init__(self, database: str) -> None:
        super().__init__(
            f"database {database} is reached through a pooler that shares server connections between its clients",
            hint="connect to the server itself, or to a pool of whole sessions that are reset (pgbouncer: "
            "pool_mode = session)",
        )


def connect(conninfo: str, **arguments: Any) -> psycopg.Connection[Any]:
    """Open a connection without the time limits of the role and the database.

    Where the server or a pooler refuses such options, the connection is opened without them; then only `pinned` and
    `limit_transaction` lift the limits. No statement is prepared on the server, where a pooler would lose it.

    Args:
        conninfo: libpq connection string.
        **arguments: further arguments of `psycopg.connect`.
    """
    import psycopg

    try:
        return psycopg.connect(_with_options(conninfo, *_UNLIMITED), prepare_threshold=None, **arguments)
    except psycopg.OperationalError as error:
        if not any(words in str(error) for words in _OPTIONS_REFUSED):
            raise
    return psycopg.connect(conninfo, prepare_threshold=None, **arguments)


def unlimited(conninfo: str, connection: psycopg.Connection[Any]) -> str:
    """Return the connection string for other drivers and programs, with the options that were accepted before.

    It leads to the same server, even if several hosts are named, or one name has several addresses.

    Args:
        conninfo: libpq connection string.
        connection: a connection that `connect` has opened with it.
    """
    conninfo = _to_same_server(conninfo, connection)
    if _UNLIMITED[0] not in connection.info.options:
        return conninfo
    newer = ("-c transaction_timeout=0",) if connection.info.server_version >= 17_00_00 else ()
    return _with_options(conninfo, *_UNLIMITED, *newer)


def _with_options(conninfo: str, *options: str) -> str:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    given = conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS", "")
    return make_conninfo(conninfo, options=" ".join(filter(None, (str(given), *options))))


def _to_same_server(conninfo: str, connection: psycopg.Connection[Any]) -> str:
    from psycopg.conninfo import make_conninfo

    info = connection.info
    return make_conninfo(conninfo, host=info.host or None, hostaddr=info.hostaddr or None, port=info.port)


def limit_transaction(connection: psycopg.Connection[Any], limit_s: float) -> None:
    """Set the time limit of each statement of this transaction, and lift all other limits of its role and database."""
    connection.execute(statement("set_limits"), {"milliseconds": str(round(limit_s * 1000))})


def read(
    connection: psycopg.Connection[Any], query: str, values: Mapping[str, Any] | None, *, most: int
) -> tuple[list[str], list[Any]]:
    """Return the columns and the first rows of one query that somebody wrote.

    The server keeps the other rows, so that an endless answer fills no memory here. Anything else is refused: a second
    statement would not be seen, and a COPY would leave the connection unusable. A cursor of the server would do that
    too, but is never read in parallel.

    Args:
        connection: a connection.
        query: the query, whose only placeholders are `%(name)s`; without values, it has none.
        values: values by the names of placeholders.
        most: the largest number of rows.

    Raises:
        psycopg.Error: the server refuses the query, or it returns no column.
    """
    import psycopg

    text = first_rows(query, most)
    answer = connection.execute(text.encode() if values is None else with_percents(text), values)
    if not answer.description:
        raise psycopg.ProgrammingError("the query returns no column")
    return [column.name for column in answer.description], answer.fetchall()


def pinned(limit_s: float, *, lock_timeout_s: float = 10, local: bool = True) -> Composed:
    """Return the statement that sets what the text of values depends on, and the time limits.

    Args:
        limit_s: seconds after which the server ends a statement; 0: never.
        lock_timeout_s: seconds after which a statement gives up waiting for a lock.
        local: for this transaction only. Otherwise for the session, which must be the connection's own.
    """
    limits = {"statement_timeout": limit_s, "lock_timeout": lock_timeout_s}
    return statement(
        "pin_session",
        local=literal(local),
        **{name: literal(f"{seconds * 1000:.0f}ms") for name, seconds in limits.items()},
    )


def require_own_session(connection: psycopg.Connection[Any]) -> None:
    """Make sure that the connection has a server session of its own, or one that a pooler resets before others get it.

    Without a pooler, the client knows the process id of its server session; a pooler gives it another number. Then a
    second connection takes an advisory lock for its session and closes. The server says whether the lock is gone,
    whoever uses that session now: a lock that stays shows that a session's settings would stay too.

    Args:
        connection: an idle connection in autocommit mode.

    Raises:
        NoOwnSession: a pooler passes sessions on as their last client left them.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    try:
        with _transaction(connection):
            if _row(connection, "select_backend")["pid"] == connection.info.backend_pid:
                return
    except psycopg.errors.ProtocolViolation:  # a pooler that shares them between statements allows no transaction
        raise NoOwnSession(connection.info.dbname) from None
    lock = {"first": secrets.randbits(31), "second": secrets.randbits(31)}
    conninfo = make_conninfo(connection.info.dsn, password=connection.info.password)
    conninfo = _to_same_server(conninfo, connection)
    with connect(conninfo, autocommit=True) as visitor:
        with _transaction(visitor):
            pid = _row(visitor, "lock_session", **lock)["pid"]
        with _transaction(visitor):
            kept = _row(visitor, "select_backend")["pid"] == pid and pid in _holders(visitor, lock)
    stays = _lock_stays(connection, lock)
    if stays or not kept:
        raise NoOwnSession(connection.info.dbname)


def _lock_stays(connection: psycopg.Connection[Any], lock: dict[str, int]) -> bool:
    """Return whether the lock outlasts its connection. Release it if this connection gets that session."""
    deadline = time.monotonic() + _RESET_WAIT_S
    while True:
        with _transaction(connection):
            if not (holders := _holders(connection, lock)):
                return False
            if _row(connection, "select_backend")["pid"] in holders:
                connection.execute(statement("unlock_session"), lock)
                return True
        if time.monotonic() > deadline:
            return True
        time.sleep(0.02)


@contextmanager
def _transaction(connection: psycopg.Connection[Any]) -> Iterator[None]:
    with connection.transaction():
        connection.execute(pinned(10))
        yield


def _row(connection: psycopg.Connection[Any], name: str, **values: Any) -> dict[str, Any]:
    """Return the only row that the SQL file of this name gives."""
    from psycopg.rows import dict_row

    return connection.cursor(row_factory=dict_row).execute(statement(name), values).fetchall()[0]


def _holders(connection: psycopg.Connection[Any], lock: dict[str, int]) -> list[int]:
    """Return the process ids of the sessions that hold the lock."""
    holders: list[int] = _row(connection, "select_lock_holders", **lock)["pids"]
    return holders
