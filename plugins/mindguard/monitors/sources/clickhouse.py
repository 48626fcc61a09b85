"""ClickHouse: read only, each query with a time limit that both the server and the client keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mindguard.connections import Connection, clickhouse_client
from mindguard.errors import MindGuardError
from mindguard.masking import mask_secrets
from mindguard.monitors.sources.base import MeasurementFailed, Row, SourceTimeout, SourceUnreachable, query_text, table
from mindguard.settings.monitors import Monitor

_TIMEOUTS = ("TIMEOUT_EXCEEDED", "code 159")
_CONNECT_TIMEOUT_S = 5
_ANSWER_TIMEOUT_S = 31  # beyond every monitor's own, which the server keeps


class ClickHouse:
    """One HTTP client."""

    def __init__(self, connection: Connection) -> None:
        limits = {"connect_timeout": _CONNECT_TIMEOUT_S, "send_receive_timeout": _ANSWER_TIMEOUT_S}
        try:
            self._client = clickhouse_client(connection, **limits)
        except MindGuardError as error:
            raise SourceUnreachable(mask_secrets(error.message)) from None

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Row]:
        """See MonitorSource."""
        from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

        text = query_text(str(monitor.query))
        # Only what the server binds: given anything else, the client takes each % of the query for a placeholder.
        bound = {name: value for name, value in {**monitor.params, **params}.items() if f"{{{name}:" in text}
        limits = {"max_execution_time": monitor.timeout_s, "readonly": 2}
        try:
            result = self._client.query(text, parameters=bound or None, settings=limits, query_tz=UTC)
            columns: Sequence[str] = result.column_names
            if not columns:  # a result without rows comes without names
                described = f"DESCRIBE TABLE ({text.rstrip().removesuffix(';')}\n)"
                columns = self._client.query(described, parameters=bound or None, settings=limits).result_columns[0]
        except ClickHouseError as error:
            line = mask_secrets(" ".join(str(error).split()))[:300]
            if any(sign in line for sign in _TIMEOUTS):
                raise SourceTimeout(f"no answer within {monitor.timeout_s:g} s") from None
            # The server's own errors are DatabaseError; OperationalError is the way to it.
            if type(error) is OperationalError:
                raise SourceUnreachable(line, hint="see `mindguard doctor`") from None
            raise MeasurementFailed(line, hint="correct the query") from None
        return table(monitor, columns, [list(map(_aware, row)) for row in result.result_rows])

    def close(self) -> None:
        """See MonitorSource."""
        self._client.close()


def _aware(value: Any) -> Any:
    """The client gives instants in UTC without saying so."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
