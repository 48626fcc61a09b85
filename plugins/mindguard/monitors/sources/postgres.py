"""PostgreSQL: read-only queries, each in its own transaction with a time limit that the server enforces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from mindguard.sql import with_percents

_CONNECT_TIMEOUT_S = 5


class Postgres:
    """A source with one connection."""

    def __init__(self, connection: Connection) -> None:
        import psycopg

        try:
            self._connection = postgres_session.connect(
                postgres_conninfo(connection), connect_timeout=_CONNECT_TIMEOUT_S, autocommit=True
            )
            self._connection.read_only = True
        except psycopg.Error as error:
            raise SourceUnreachable(f"{connection.conn_id}: {_line(error)}") from None

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Row]:
        """See MonitorSource."""
        import psycopg

        text = query_text(str(monitor.query))
        require_used(monitor.params, lambda name: f"%({name})" in text)
        try:
            with self._connection.transaction():
                postgres_session.limit_transaction(self._connection, monitor.timeout_s)
                # The query comes from a file of this project, never from input; its values are bound.
                answer = self._connection.execute(with_percents(text), {**monitor.params, **params})
                columns = [column.name for column in answer.description or ()]
                return table(monitor, columns, answer.fetchmany(MAX_ROWS + 1) if columns else ())
        except psycopg.errors.QueryCanceled:
            raise SourceTimeout(f"no answer within {monitor.timeout_s:g} s") from None
        except psycopg.DataError as error:
            # Python has no time such as 'infinity' or after the year 9999. The server's own errors have an SQLSTATE.
            hint = "correct the query" if error.sqlstate else "leave out such rows"
            raise MeasurementFailed(_line(error), hint=hint) from None
        except psycopg.Error as error:
            if self._connection.broken:
                raise SourceUnreachable(_line(error), hint="see `mindguard doctor`") from None
            raise MeasurementFailed(_line(error), hint="correct the query") from None
        except (KeyError, TypeError) as error:
            raise MeasurementFailed(f"a parameter is missing or wrong: {error}", hint="see `params`") from None

    def close(self) -> None:
        """See MonitorSource."""
        self._connection.close()


def _line(error: Exception) -> str:
    return mask_secrets(str(error).strip().partition("\n")[0]) or "the connection broke"
