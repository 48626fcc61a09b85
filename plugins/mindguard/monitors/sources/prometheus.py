"""Prometheus: one expression, evaluated over its HTTP API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mindguard.connections import Connection, http_address
from mindguard.monitors.sources.base import MeasurementFailed, PartialAnswer, Row, SourceTimeout, SourceUnreachable
from mindguard.settings.monitors import Monitor

# Thanos and VictoriaMetrics answer with what they have if a store is away, unless they are asked not to. Prometheus
# itself ignores both.
_WHOLE = {"partial_response": "false", "deny_partial_response": "1"}


class Prometheus:
    """A source with one HTTP client. The connection's schema is the protocol; login and password are HTTP's."""

    def __init__(self, connection: Connection) -> None:
        import httpx

        auth = (connection.login, connection.password) if connection.login else None
        self._client = httpx.Client(base_url=http_address(connection).geturl(), auth=auth)

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Row]:
        """See MonitorSource. A series is a row; its labels are the dimension."""
        import httpx

        try:
            answer = self._client.get(
                "/api/v1/query",
                params={**_WHOLE, "query": str(monitor.promql), "timeout": f"{round(monitor.timeout_s * 1000)}ms"},
                timeout=monitor.timeout_s,
            )
            if answer.status_code in (401, 403):
                raise MeasurementFailed(f"Prometheus: HTTP {answer.status_code}", hint="check login and password")
            content = answer.json()
            if content["status"] != "success":
                raise MeasurementFailed(f"Prometheus: {content['errorType']}: {content['error']}"[:300])
            if left_out := content.get("warnings") or (["isPartial"] if content.get("isPartial") else []):
                raise PartialAnswer("; ".join(map(str, left_out)))
            return _rows(content["data"])
        except httpx.ConnectError as error:
            raise SourceUnreachable(f"Prometheus: {type(error).__name__}") from None
        except httpx.TimeoutException:
            raise SourceTimeout(f"no answer within {monitor.timeout_s:g} s") from None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise MeasurementFailed(f"not an answer of Prometheus: {type(error).__name__}") from None

    def close(self) -> None:
        """See MonitorSource."""
        self._client.close()


def _rows(data: Any) -> list[Row]:
    if data["resultType"] == "scalar":
        return [{"value": float(data["result"][1])}]
    if data["resultType"] != "vector":
        raise MeasurementFailed(
            f"the expression returns a {data['resultType']}", hint="make it return a vector or a scalar"
        )
    if not data["result"]:
        raise MeasurementFailed("the expression returns no series", hint="check its names, or add `or vector(0)`")
    return [
        {
            "dimension": ",".join(
                f"{name}={label}" for name, label in sorted(series["metric"].items()) if name != "__name__"
            ),
            "value": float(series["value"][1]),
        }
        for series in data["result"]
    ]
