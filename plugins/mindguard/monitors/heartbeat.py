"""The dead man's switch: a signal after each run. A system outside waits for it and raises an alarm when it stops."""

from __future__ import annotations

import logging
from pathlib import Path

from mindguard.fetch import FetchFailed, in_words, within
from mindguard.settings import Settings

_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


def beat(settings: Settings, dag: str) -> None:
    """Touch the file and call the address of the settings. A failure is only logged: the run itself succeeded."""
    if settings.watch.heartbeat_file:
        path = Path(settings.watch.heartbeat_file.replace("{dag}", dag))
        try:
            path.touch()
        except OSError as error:
            log.warning("cannot touch watch.heartbeat_file: %s", error)
    if settings.watch.heartbeat_url:
        import httpx

        def call(url: str = settings.watch.heartbeat_url.replace("{dag}", dag)) -> None:
            with httpx.stream("GET", url, timeout=_TIMEOUT_S) as answer:  # nobody reads what it says
                answer.raise_for_status()

        try:
            within(_TIMEOUT_S, call)
        except FetchFailed as error:
            log.warning("watch.heartbeat_url: %s", error)
        except httpx.HTTPStatusError as error:
            log.warning("watch.heartbeat_url answered HTTP %s", error.response.status_code)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # With most services the address is a credential, so it is not logged.
            log.warning("cannot call watch.heartbeat_url: %s", in_words(error))
