"""Heartbeat addresses and status pages: the time that they take to answer, and whether the answer is as expected."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mindguard.fetch import FetchFailed, in_words, within
from mindguard.monitors.judge import Reading
from mindguard.monitors.sources.base import MeasurementFailed
from mindguard.settings.monitors import HeartbeatMonitor, Monitor

_READ_AT_MOST = 1_000_000  # bytes
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_META = re.compile(rb"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


class _Answer(NamedTuple):
    status: int
    success: bool
    charset: str | None
    body: bytes


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
        try:
            answer = within(monitor.timeout_s, lambda: self._get(str(monitor.url), monitor.timeout_s))
        except FetchFailed as error:
            return [Reading(down=True, note=str(error))]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The error's text quotes the address, which may hold a key.
            return [Reading(down=True, note=in_words(error))]
        took_s = time.monotonic() - began
        if not answer.success:
            return [Reading(value=took_s, down=True, note=f"HTTP {answer.status}")]
        if monitor.expect and not any(monitor.expect in text for text in _texts(answer)):
            if len(answer.body) > _READ_AT_MOST:
                raise MeasurementFailed(
                    f"the answer is larger than {_READ_AT_MOST / 1e6:g} MB, and {monitor.expect!r} is not in this part",
                    hint="let `url` be a smaller page",
                )
            return [Reading(value=took_s, down=True, note=f"the answer does not contain {monitor.expect!r}")]
        return [Reading(value=took_s)]

    def _get(self, url: str, timeout_s: float) -> _Answer:
        body = b""
        with self._client.stream("GET", url, timeout=timeout_s) as answer:
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _READ_AT_MOST:
                    break
        return _Answer(answer.status_code, answer.is_success, answer.charset_encoding, body)

    def close(self) -> None:
        """See MonitorSource."""
        self._client.close()


def _texts(answer: _Answer) -> Iterator[str]:
    """Yield the answer as text, in the encoding that it names or UTF-8, and once more without JSON's escapes."""
    named = next((name for mark, name in _MARKS if answer.body.startswith(mark)), answer.charset)
    meta = _META.search(answer.body[:2000])
    encoding = named or (meta[1].decode() if meta else "utf-8")
    try:
        text = answer.body.decode(encoding, "replace")
    except (LookupError, ValueError):  # Python does not know the encoding, or has none of texts by that name
        text = answer.body.decode("utf-8", "replace")
    yield text
    yield _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), text)
