"""Prometheus: one expression, evaluated over its HTTP API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from mindguard.connections import Connection, http_address
from mindguard.fetch import AnswerTooLarge, FetchFailed, from_json, in_words, read, within
from mindguard.monitors.sources.base import MeasurementFailed, PartialAnswer, Row, SourceTimeout, SourceUnreachable
from mindguard.settings.monitors import Monitor

_NO_SERIES = "the expression returns no series"
_NO_SERIES_HINT = "check its names, or add `or vector(0)`"

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
        ends = time.monotonic() + monitor.timeout_s
        rows = self._asked(str(monitor.promql), monitor, ends)
        if monitor.base_promql:
            return _with_base(rows, self._asked(monitor.base_promql, monitor, ends))
        if not rows:
            raise MeasurementFailed(_NO_SERIES, hint=_NO_SERIES_HINT)
        return rows

    def _asked(self, promql: str, monitor: Monitor, ends: float) -> list[Row]:
        import httpx

        remaining_s, status = max(0.01, ends - time.monotonic()), HTTPStatus.OK.value
        try:
            status, body = within(remaining_s, lambda: self._get(promql, remaining_s))
            if status in (401, 403):
                raise MeasurementFailed(f"Prometheus: HTTP {status}", hint="check login and password")
            if status >= 500 and not body.startswith(b"{"):  # a proxy says so
                raise MeasurementFailed(
                    f"Prometheus: HTTP {status}", hint="see its log, or that of the proxy before it"
                )
            content = from_json(body)
            if content["status"] != "success":
                raise MeasurementFailed(f"Prometheus: {content['errorType']}: {content['error']}"[:300])
            if left_out := content.get("warnings") or (["isPartial"] if content.get("isPartial") else []):
                raise PartialAnswer("; ".join(map(str, left_out)))
            return _rows(content["data"])
        except httpx.ConnectError as error:
            raise SourceUnreachable(f"Prometheus: {in_words(error)}") from None
        except AnswerTooLarge as error:
            raise MeasurementFailed(f"Prometheus: {error}", hint="make the expression return fewer series") from None
        except (httpx.TimeoutException, FetchFailed):
            raise SourceTimeout(f"no answer within {monitor.timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise MeasurementFailed(f"Prometheus: {in_words(error)}") from None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            said = f" (HTTP {status})" if status != HTTPStatus.OK else ""
            raise MeasurementFailed(
                f"not an answer of Prometheus{said}", hint="check host and port of the connection"
            ) from None

    def _get(self, promql: str, timeout_s: float) -> tuple[int, bytes]:
        asked = {**_WHOLE, "query": promql, "timeout": f"{round(timeout_s * 1000)}ms"}
        with self._client.stream("GET", "/api/v1/query", params=asked, timeout=timeout_s) as answer:
            return answer.status_code, read(answer)

    def close(self) -> None:
        """See MonitorSource."""
        self._client.close()


def _with_base(rows: Sequence[Row], bases: Sequence[Row]) -> list[Row]:
    """Give each row the base with the same labels, or the only base if that has none.

    A series without a base had no traffic, and so had a base without a series, if it is low.
    """
    if not bases:
        raise MeasurementFailed(f"base_promql: {_NO_SERIES}", hint=_NO_SERIES_HINT)
    values, found = _by_labels(rows, "promql"), _by_labels(bases, "base_promql")
    if set(found) == {""}:
        return [{"dimension": each, "value": values.get(each), "base": found[""]} for each in values or found]
    if values and not set(values) & set(found):
        raise MeasurementFailed(
            "no series of base_promql has the labels of a series of promql", hint="group both by the same labels"
        )
    return [
        {"dimension": each, "value": values.get(each), "base": found.get(each, 0.0)} for each in {**values, **found}
    ]


def _by_labels(rows: Sequence[Row], key: str) -> dict[str, float]:
    found = {row.get("dimension", ""): row["value"] for row in rows}
    if len(found) < len(rows):
        raise MeasurementFailed(f"{key}: several series have the same labels", hint="sum them, or name one metric")
    return found


def _rows(data: Any) -> list[Row]:
    if data["resultType"] == "scalar":
        return [{"value": float(data["result"][1])}]
    if data["resultType"] != "vector":
        raise MeasurementFailed(
            f"the expression returns a {data['resultType']}", hint="make it return a vector or a scalar"
        )
    if any("histogram" in series for series in data["result"]):
        raise MeasurementFailed("the expression returns a histogram", hint="wrap it in histogram_quantile or the like")
    return [
        {
            "dimension": ",".join(
                f"{name}={label}" for name, label in sorted(series["metric"].items()) if name != "__name__"
            ),
            "value": float(series["value"][1]),
        }
        for series in data["result"]
    ]
