"""Heartbeat addresses and status pages: the time that they take to answer, and whether the answer is as expected."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from mindguard.monitors.judge import Reading
from mindguard.settings.monitors import HeartbeatMonitor, Monitor

_READ_AT_MOST = 1_000_000  # bytes


class Http:
    """A source with one client. It follows no redirects, since a login page is not a heartbeat."""

    def __init__(self) -> None:
        import httpx

        self._client = httpx.Client(headers={"User-Agent": "mindguard"})

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Reading]:
        """See MonitorSource. A dependency that does not answer is down: a finding, not a failed measurement."""
        import httpx

        assert isinstance(monitor, HeartbeatMonitor)
        began = time.monotonic()
        body = b""
        try:
            with self._client.stream("GET", str(monitor.url), timeout=monitor.timeout_s) as answer:
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > _READ_AT_MOST or time.monotonic() - began > monitor.timeout_s:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The error's text quotes the address, which may hold a key.
            return [Reading(down=True, note=type(error).__name__)]
        took_s = time.monotonic() - began
        if not answer.is_success:
            return [Reading(value=took_s, down=True, note=f"HTTP {answer.status_code}")]
        if monitor.expect and monitor.expect.encode() not in body:
            return [Reading(value=took_s, down=True, note=f"the answer does not contain {monitor.expect!r}")]
        return [Reading(value=took_s)]

    def close(self) -> None:
        """See MonitorSource."""
        self._client.close()
