"""What is fetched from elsewhere while an alert waits for it: bounded in time, and errors that tell no address."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar
from urllib.parse import urlsplit

from mindguard.errors import MindGuardError

TIMEOUT_S = 3.0

Fetched = TypeVar("Fetched")


class FetchFailed(MindGuardError):
    """It could not be had, or not in time."""


def within(timeout_s: float, fetch: Callable[[], Fetched]) -> Fetched:
    """What `fetch` gives. It runs in a thread of its own, which is left behind when the time is over.

    The clients' own limits are not enough: they count anew for each address and each read.

    Raises:
        FetchFailed: the time is over.
        Exception: what `fetch` raised.
    """
    answer: SimpleQueue[tuple[Fetched | None, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            answer.put((fetch(), None))
        except Exception as error:  # noqa: BLE001 - raised again, by whoever waits
            answer.put((None, error))

    Thread(target=work, name="fetch", daemon=True).start()
    try:
        got, error = answer.get(timeout=timeout_s)
    except Empty:
        raise FetchFailed(f"no answer within {timeout_s:g} s") from None
    if error:
        raise error
    return got  # type: ignore[return-value]  # None is what it gave


def download(url: str, *, timeout_s: float = TIMEOUT_S) -> bytes:
    """What is at an http or https address.

    Raises:
        FetchFailed: it cannot be had in time. The address may be a secret, so only its host is named.
    """
    import httpx

    def get() -> bytes:
        return httpx.get(url, timeout=timeout_s, follow_redirects=True).raise_for_status().content

    host = urlsplit(url).hostname
    try:
        return within(timeout_s, get)
    except FetchFailed as error:
        raise FetchFailed(f"{host}: {error}", hint="open it in a browser") from None
    except httpx.HTTPStatusError as error:
        raise FetchFailed(f"{host}: HTTP {error.response.status_code}", hint="open it in a browser") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailed(f"{host}: {type(error).__name__}", hint="open it in a browser") from None
