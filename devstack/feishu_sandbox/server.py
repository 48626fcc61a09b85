"""The web application: the hook, the app, the controls for faults and clock, the feed and the page."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from devstack.feishu_sandbox import contract, page
from devstack.feishu_sandbox.app_api import App, AppApi
from devstack.feishu_sandbox.faults import SLOW_S, Faults, answer_to
from devstack.feishu_sandbox.responses import Dropped
from devstack.feishu_sandbox.store import Store

_NO_APP = App()


class Sandbox:
    """One custom bot with one hook, and one app in one group.

    Args:
        token: last part of the hook's path.
        secret: signing secret; empty turns the signature check off.
        state: file that keeps what was received.
        app: the app; an empty one makes the app's endpoints refuse everybody.
    """

    def __init__(self, token: str, secret: str, state: Path, app: App = _NO_APP) -> None:
        self._token = token
        self._secret = secret
        self._store = Store(state)
        self._ahead_s = 0.0
        self._limit = contract.RateLimit()
        self._faults = Faults(self._clock)
        self._api = AppApi(app, self._store, self._faults, self._clock)

    def _clock(self) -> float:
        return time.time() + self._ahead_s

    def app(self) -> Starlette:
        """Return the web application."""
        return Starlette(
            routes=[
                Route("/open-apis/bot/v2/hook/{token}", self.hook, methods=["POST"]),
                *self._api.routes(),
                Route("/_control/fail", self.fail, methods=["POST"]),
                Route("/_control/clock", self.set_clock, methods=["POST"]),
                Route("/_messages", self.messages),
                Route("/_cards", self.cards),
                Route("/", self.index),
            ],
            # Pages of other sites must not reach it under a host name of their own.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        )

    async def hook(self, request: Request) -> Response:
        """Receive a message of the custom bot."""
        body = await request.body()
        message, answer = self._judge(request.path_params["token"], body)
        fault = self._faults.next(message) if answer is contract.SUCCESS else ""
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        elif fault and fault != "drop_stored":
            answer = answer_to(fault, app=False)
        self._store.add(message, answer, datetime.fromtimestamp(self._clock(), UTC))
        if fault in ("drop", "drop_stored"):
            return Dropped()
        return JSONResponse(answer.body(), status_code=answer.status)

    def _judge(self, token: str, body: bytes) -> tuple[Any, contract.Answer]:
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return None, contract.WRONG_TOKEN
        if len(body) > contract.MAX_BODY_BYTES:
            return None, contract.TOO_LARGE
        try:
            message = json.loads(body)
        except ValueError:
            return None, contract.BAD_REQUEST
        if not isinstance(message, dict):
            return None, contract.BAD_REQUEST
        if not contract.check_signature(message, self._secret, self._clock()):
            return message, contract.WRONG_SIGNATURE
        if not self._limit.allow(self._clock()):
            return message, contract.THROTTLED
        return message, contract.check_message(message)

    async def fail(self, request: Request) -> Response:
        """Order a fault; see `Faults.order`."""
        try:
            return JSONResponse({"faults": self._faults.order(await request.json())})
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    async def set_clock(self, request: Request) -> Response:
        """Take `{"ahead_s": s}`: the sandbox's clock is then ahead by that many seconds."""
        self._ahead_s = float((await request.json())["ahead_s"])
        return JSONResponse({"now": datetime.fromtimestamp(self._clock(), UTC).isoformat()})

    async def messages(self, _: Request) -> Response:
        """Return everything that was received, as JSON."""
        return JSONResponse({"messages": self._store.records})

    async def cards(self, _: Request) -> Response:
        """Return the newest 100 messages as HTML."""
        return HTMLResponse(page.messages(self._store.records[-100:]))

    async def index(self, _: Request) -> Response:
        """Return the page with the newest 100 messages."""
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        body = page.document(page.messages(self._store.records[-100:]), nonce)
        return HTMLResponse(body, headers={"Content-Security-Policy": policy})
