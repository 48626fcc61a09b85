"""Fetches things while an alert waits for them: within a time limit, and with errors that reveal no address."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from mindguard.errors import MindGuardError, one_line

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 3.0
_LARGEST = 5_000_000  # bytes
_LOOK_S = 0.5
_DEEPEST = 10

Fetched = TypeVar("Fetched")


class FetchFailed(MindGuardError):
    """Something could not be fetched, or not in time."""


class AnswerTooLarge(FetchFailed):
    """The answer is larger than anybody needs."""


class Abandoned(MindGuardError):
    """Nobody waits for the answer any more; the error that ended the work is the one to read."""


def within(timeout_s: float, fetch: Callable[[], Fetched], ended: Event | None = None) -> Fetched:
    """Return the result of `fetch`, which runs in a thread of its own that is abandoned when time runs out.

    The time limits of clients are not enough, because they start again for each address and each read.

    Args:
        timeout_s: time limit in seconds.
        fetch: the function to call.
        ended: set when the answer is not wanted any more.

    Raises:
        FetchFailed: time ran out.
        Abandoned: `ended` was set.
        Exception: whatever `fetch` raised.
    """
    answer: SimpleQueue[tuple[Fetched | None, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            answer.put((fetch(), None))
        except Exception as error:  # noqa: BLE001 - raised again in the waiting thread
            answer.put((None, error))

    Thread(target=work, name="fetch", daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while True:
        if ended and ended.is_set():
            raise Abandoned("stopped")
        left_s = max(deadline - time.monotonic(), 0)
        try:
            result, error = answer.get(timeout=min(left_s, _LOOK_S) if ended else left_s)
            break
        except Empty:
            if time.monotonic() >= deadline:
                raise FetchFailed(f"no answer within {timeout_s:g} s") from None
    if error:
        raise error
    return result  # type: ignore[return-value]  # None only if `fetch` returned None


def read(answer: httpx.Response, *, most: int = _LARGEST) -> bytes:
    """Return the content of an answer whose body is still to be read.

    Args:
        answer: an answer that `httpx` streams.
        most: the largest number of bytes.

    Raises:
        AnswerTooLarge: it is larger.
        httpx.HTTPError: the connection broke.
    """
    content = b""
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > most:
            raise AnswerTooLarge(f"the answer is larger than {most / 1e6:g} MB")
    return content


def from_json(content: bytes | str) -> Any:
    """Return what a foreign text in JSON says.

    Raises:
        ValueError: it is not JSON, or is nested deeper than anybody needs.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None


def in_words(error: Exception, *more: tuple[type[Exception], str]) -> str:
    """Return why a call failed, in words that name no address.

    Args:
        error: an error of `httpx`, or of another client.
        more: kinds of errors of that client, with words for them.
    """
    import httpx

    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and len(causes) < _DEEPEST:
        causes.append(cause)
    for kind, words in (
        (httpx.TimeoutException, "no answer in time"),
        (httpx.InvalidURL, "the address is not valid"),
        (httpx.UnsupportedProtocol, "the address does not begin with http:// or https://"),
        (httpx.TooManyRedirects, "it redirects again and again"),
        (httpx.DecodingError, "its answer is not compressed as it says"),
        (socket.gaierror, "its host name is not known"),
        (ConnectionRefusedError, "the connection is refused: nothing listens there"),
        (ConnectionResetError, "the connection was reset"),
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (ssl.SSLError, "there is no TLS connection to it"),
        (TimeoutError, "no answer in time"),
        (httpx.ProxyError, "the proxy refuses the connection"),
        (httpx.RemoteProtocolError, "it does not speak HTTP, or closed the connection"),
        *more,
        (httpx.NetworkError, "the connection broke"),
        (ConnectionError, "the connection broke"),
        (json.JSONDecodeError, "its answer is not JSON"),
        (UnicodeDecodeError, "its answer is not text in UTF-8"),
    ):
        if any(isinstance(each, kind) for each in causes):
            return words
    return "the call failed"


def explained(error: Exception) -> str:
    """Return an error that nobody foresaw in one line for people: a failed call in words, others with their kind."""
    import httpx

    if isinstance(error, MindGuardError):
        return str(error)
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL | json.JSONDecodeError | ssl.SSLError | socket.gaierror):
        return in_words(error)
    try:
        text = one_line(" ".join(str(error).split()))
    except Exception:  # noqa: BLE001 - the class is not ours
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def download(url: str, *, timeout_s: float = TIMEOUT_S) -> bytes:
    """Return the content at an http or https address, of at most 5 MB.

    Args:
        url: the address; redirects are followed.
        timeout_s: time limit in seconds for everything together.

    Raises:
        FetchFailed: it could not be fetched in time. The address may be a secret, so only its host is named.
    """
    import httpx

    def get() -> bytes:
        with httpx.stream("GET", url, timeout=timeout_s, follow_redirects=True) as answer:
            return read(answer.raise_for_status())

    host = urlsplit(url).hostname
    try:
        return within(timeout_s, get)
    except FetchFailed as error:
        raise FetchFailed(f"{host}: {error}", hint="open it in a browser") from None
    except httpx.HTTPStatusError as error:
        raise FetchFailed(f"{host}: HTTP {error.response.status_code}", hint="open it in a browser") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailed(f"{host}: {in_words(error)}", hint="open it in a browser") from None
