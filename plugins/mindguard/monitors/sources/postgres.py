"""PostgreSQL: read-only queries, each in its own transaction with a time limit that the server enforces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mindguard import postgres_session
from mindguard.connections import Connection, postgres_conninfo
from mindguard.masking import mask_secrets
from mindguard.monitors.sources.base import (
    MAX_ROWS,
    MeasurementFailed,
    Row,
    SourceTimeout,
    SourceUnreachable,
    query_text,
    require_used,
    table,
)
from mindguard.settings.monitors import Monitor

if TYPE_CHECKING:
    import psycopg

_CONNECT_TIMEOUT_S = 5


class Postgres:
    """A source with one connection."""

    def __init__(self, connection: Connection) -> None:
        self._conn_id, self._conninfo = connection.conn_id, postgres_conninfo(connection)
        self._connection = self._connected()

    def _connected(self) -> psycopg.Connection[Any]:
        import psycopg

        try:
            connected = postgres_session.connect(self._conninfo, connect_timeout=_CONNECT_TIMEOUT_S, autocommit=True)
        except psycopg.Error as error:
            raise SourceUnreachable(_line(error)) from None
        connected.read_only = True
        return connected

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Row]:
        """See MonitorSource."""
        import psycopg

        text = query_text(str(monitor.query))
        require_used(monitor.params, lambda name: f"%({name})" in text)
        try:
            with self._connection.transaction(force_rollback=True):  # what a query sets must not reach the next one
                postgres_session.limit_transaction(self._connection, monitor.timeout_s)
                # The query comes from a file of this project, never from input; its values are bound.
                values = {**monitor.params, **params}
                answer = postgres_session.read(self._connection, text, values, most=MAX_ROWS + 1)
                return table(monitor, *answer)
        except psycopg.errors.QueryCanceled:
            raise SourceTimeout(f"no answer within {monitor.timeout_s:g} s") from None
        except psycopg.DataError as error:
            # Python has no time such as 'infinity' or after the year 9999. The server's own errors have an SQLSTATE.
            hint = "correct the query" if error.sqlstate else "leave out such rows"
            raise MeasurementFailed(f"{self._conn_id}: {_line(error)}", hint=hint) from None
        except psycopg.Error as error:
            wrong = isinstance(error, psycopg.errors.SyntaxError)
            hint = "correct the query, which must be one SELECT" if wrong else "correct the query"
            if self._connection.broken:
                self._connection = self._connected()  # raises SourceUnreachable unless only this query was ended
                hint = "see the logs of the server and of poolers before it"
            raise MeasurementFailed(f"{self._conn_id}: {_line(error)}", hint=hint) from None
        except (KeyError, TypeError) as error:
            raise MeasurementFailed(f"a parameter is missing or wrong: {error}", hint="see `params`") from None

    def close(self) -> None:
        """See MonitorSource."""
        self._connection.close()


def _line(error: Exception) -> str:
    return mask_secrets(str(error).strip().partition("\n")[0]) or "the connection broke"
