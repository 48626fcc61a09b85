"""Heartbeat addresses and status pages: how long they take, and whether they say what they should."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from mindguard.monitors.judge import Reading
from mindguard.settings.monitors import HeartbeatMonitor, Monitor

_READ_AT_MOST = 1_000_000  # bytes


class Http:
    """One client; follows no redirects, since a login page is no heartbeat."""

    def __init__(self) -> None:
        import httpx

        self._client = httpx.Client(headers={"User-Agent": "mindguard"})

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Reading]:
        """See MonitorSource. A dependency that does not answer is down, which is a finding and not a failure."""
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
            return [Reading(down=True, note=type(error).__name__)]  # its text quotes the address, which may hold a key
        took_s = time.monotonic() - began
        if not answer.is_success:
            return [Reading(value=took_s, down=True, note=f"HTTP {answer.status_code}")]
        if monitor.expect and monitor.expect.encode() not in body:
            return [Reading(value=took_s, down=True, note=f"the answer lacks {monitor.expect!r}")]
        return [Reading(value=took_s)]

    def close(self) -> None:
        """See MonitorSource."""
        self._client.close()
