"""A response that breaks off."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Dropped(Response):
    """Closes the connection in the middle of the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce 64 bytes and send none of them."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64")]})
