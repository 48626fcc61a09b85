"""Heartbeat addresses and status pages: the time that they take to answer, and whether the answer is as expected."""

from __future__ import annotations

import codecs
import html
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mindguard.fetch import FetchFailed, in_words, within
from mindguard.monitors.judge import Reading
from mindguard.monitors.sources.base import MeasurementFailed
from mindguard.settings.monitors import HeartbeatMonitor, Monitor

_READ_AT_MOST = 1_000_000  # bytes
_MOST_DECLARED = 3
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# A page's `meta`, or the first line of XML.
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# Pages that name an older one use characters of the newer, as browsers know.
_OF_CHINA = {"gb2312", "gb_2312-80", "gbk", "x-gbk", "cp936", "windows-936"}
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"\\/bfnrt]))")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


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
    """Yield the answer as text in each encoding that it may mean, also without the escapes of JSON and of HTML."""
    for encoding in dict.fromkeys(_encodings(answer)):
        try:
            text = answer.body.decode(encoding, "replace")
        except (LookupError, ValueError):  # Python does not know the encoding, or has none of texts by that name
            continue
        yield text
        yield _ESCAPED.sub(_unescaped, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        yield html.unescape(text)


def _encodings(answer: _Answer) -> Iterator[str]:
    """Yield the encodings that the answer names, the surest first, and the usual ones."""
    named = [name for mark, name in _MARKS if answer.body.startswith(mark)][:1]
    named += [answer.charset] if answer.charset else []
    named += [found[1].decode() for found in _DECLARED.finditer(answer.body[:2000])][:_MOST_DECLARED]
    for name in named:
        yield "gb18030" if name.lower() in _OF_CHINA else name
    yield "utf-8"
    if 0 in answer.body[:2]:  # JSON in UTF-16 needs no mark
        yield "utf-16-be" if answer.body[0] == 0 else "utf-16-le"


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _SHORT.get(escape[2], escape[2])
