"""ClickHouse: read-only queries, each with a time limit that both the server and the client enforce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mindguard.connections import LARGEST_ANSWER, Connection, clickhouse_client, clickhouse_limits
from mindguard.errors import MindGuardError
from mindguard.masking import mask_secrets
from mindguard.monitors.sources.base import (
    MeasurementFailed,
    Row,
    SourceTimeout,
    SourceUnreachable,
    query_text,
    require_used,
    table,
)
from mindguard.settings.monitors import Monitor
from mindguard.whole_answers import views, what_cuts

_TIMEOUTS = ("TIMEOUT_EXCEEDED", "code 159")
_TOO_LARGE = "TOO_MANY_ROWS_OR_BYTES"
_MOST_ROWS = 10_000  # of the whole answer; `table` says more clearly how many are too many
_CONNECT_TIMEOUT_S = 5
_ANSWER_TIMEOUT_S = 31  # longer than any monitor's timeout, which the server enforces


class ClickHouse:
    """A source with one HTTP client."""

    def __init__(self, connection: Connection) -> None:
        limits = {"connect_timeout": _CONNECT_TIMEOUT_S, "send_receive_timeout": _ANSWER_TIMEOUT_S}
        self._conn_id = connection.conn_id
        try:
            self._client = clickhouse_client(connection, **limits)
        except MindGuardError as error:
            raise SourceUnreachable(mask_secrets(error.message), hint=error.hint) from None

    @cached_property
    def _views(self) -> dict[str, str]:
        return views(self._client)

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Row]:
        """See MonitorSource."""
        from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

        text = query_text(str(monitor.query))
        require_used(monitor.params, lambda name: f"{{{name}:" in text)
        # Only parameters that the server binds: with any other, the client would take each % in the query as a
        # placeholder.
        bound = {name: value for name, value in {**monitor.params, **params}.items() if f"{{{name}:" in text}
        if cuts := what_cuts(text, map(str, bound.values()), self._views):
            raise MeasurementFailed(f"{cuts} makes its answer partial", hint="remove that setting")
        sizes = clickhouse_limits(self._client, max_result_rows=_MOST_ROWS, max_result_bytes=LARGEST_ANSWER)
        limits = {"max_execution_time": monitor.timeout_s, "readonly": 2, **sizes}
        try:
            result = self._client.query(text, parameters=bound or None, settings=limits, query_tz=UTC)
            columns: Sequence[str] = result.column_names
            if not columns:  # the client returns no column names with an empty result
                described = f"DESCRIBE TABLE ({text.rstrip().removesuffix(';')}\n)"
                columns = self._client.query(described, parameters=bound or None, settings=limits).result_columns[0]
        except ClickHouseError as error:
            line = mask_secrets(" ".join(str(error).split()))[:300]
            if any(sign in line for sign in _TIMEOUTS):
                raise SourceTimeout(f"no answer within {monitor.timeout_s:g} s") from None
            if _TOO_LARGE in line:
                raise MeasurementFailed(
                    f"the answer is larger than {_MOST_ROWS:,} rows or {LARGEST_ANSWER / 1e6:g} MB",
                    hint="return one or a few rows",
                ) from None
            # The server's own errors are DatabaseError; OperationalError means that the server was not reached.
            if type(error) is OperationalError and not self._client.ping():
                raise SourceUnreachable(line, hint="see `mindguard doctor`") from None
            raise MeasurementFailed(f"{self._conn_id}: {line}", hint="correct the query") from None
        return table(monitor, columns, [list(map(_aware, row)) for row in result.result_rows])

    def close(self) -> None:
        """See MonitorSource."""
        self._client.close()


def _aware(value: Any) -> Any:
    """Return the value; a time gets its time zone, since the client returns UTC times as naive ones."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
