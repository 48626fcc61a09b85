"""Pages that Airflow's API server shows: acknowledgement by signed link, and the incidents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/mindguard"
"""Path below which the API server mounts the pages."""


async def pages(scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
    """The pages as an ASGI application that is made at the first request: every Airflow process loads the plugin,
    and only the API server needs what the pages are made of."""
    await _application()(scope, receive, send)


@cache
def _application() -> Any:
    from mindguard.web.application import application

    return application()
