"""Pages that Airflow's API server shows: acknowledgement by signed link, incidents, and data checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/mindguard"
"""Path under which the API server mounts the pages."""


async def pages(scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
    """Serve the pages as an ASGI application, which is made at the first request.

    Every Airflow process loads the plugin, but only the API server needs the libraries of the pages.
    """
    await _application()(scope, receive, send)


@cache
def _application() -> Any:
    from mindguard.web.application import application

    return application()
