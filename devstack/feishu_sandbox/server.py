"""The web application: the hook, the fault switch, the feed and the page."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from devstack.feishu_sandbox import contract, page

MODES = ("throttle", "http500", "slow", "drop", "refuse_card")
SLOW_S = 30.0

_FINGERPRINT = re.compile(r'"element_id":\s*"fp_([0-9a-f]{16})"')


class Store:
    """What was received, oldest first, in an append-only file of JSON lines that a restart reads again."""

    def __init__(self, path: Path) -> None:
        self.records: list[dict[str, Any]] = []
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                try:
                    self.records.append(json.loads(line))
                except ValueError:
                    continue  # cut off by a kill in the middle of the write
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        if self.records or path.stat().st_size:
            self._file.write("\n")  # a line that was cut off must not swallow the next one

    def add(self, message: Any, answer: contract.Answer) -> None:
        message = {k: v for k, v in message.items() if k != "sign"} if isinstance(message, dict) else None
        text = json.dumps(message)
        found = _FINGERPRINT.search(text)
        record = {
            "received_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "code": answer.code,
            "msg": answer.msg,
            "fingerprint": found.group(1) if found else None,
            "message": message,
        }
        self.records.append(record)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


class _Dropped(Response):
    """Closes the connection in the middle of the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64")]})


class Sandbox:
    """One bot with one hook.

    Args:
        token: last part of the hook's path.
        secret: signing secret; empty turns the signature check off.
    """

    def __init__(self, token: str, secret: str, state: Path, clock: Callable[[], float] = time.time) -> None:
        self._token = token
        self._secret = secret
        self._store = Store(state)
        self._clock = clock
        self._limit = contract.RateLimit()
        self._faults: deque[str] = deque()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/open-apis/bot/v2/hook/{token}", self.hook, methods=["POST"]),
                Route("/_control/fail", self.fail, methods=["POST"]),
                Route("/_messages", self.messages),
                Route("/_cards", self.cards),
                Route("/", self.index),
            ],
            # Pages of other sites must not reach it under a name of theirs.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        )

    async def hook(self, request: Request) -> Response:
        body = await request.body()
        message, answer = self._judge(request.path_params["token"], body)
        fault = self._next_fault(message) if answer is contract.SUCCESS else ""
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        elif fault:
            answer = {
                "throttle": contract.THROTTLED,
                "refuse_card": contract.card_refusal("refused on request"),
                "http500": contract.Answer(2200, "Internal Error", 500),
                "drop": contract.Answer(-1, "dropped on request"),
            }[fault]
        self._store.add(message, answer)
        return _Dropped() if fault == "drop" else JSONResponse(answer.body(), status_code=answer.status)

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

    def _next_fault(self, message: dict[str, Any]) -> str:
        if not self._faults or (self._faults[0] == "refuse_card" and message["msg_type"] != "interactive"):
            return ""
        return self._faults.popleft()

    async def fail(self, request: Request) -> Response:
        """`{"mode": …, "count": n}`: the next n acceptable messages fail so; count 0 forgets all faults."""
        wanted = await request.json()
        mode, count = wanted.get("mode"), int(wanted.get("count", 1))
        if count == 0:
            self._faults.clear()
        elif mode not in MODES:
            return JSONResponse({"error": f"mode is one of {', '.join(MODES)}"}, status_code=400)
        self._faults.extend([mode] * count)
        return JSONResponse({"faults": list(self._faults)})

    async def messages(self, _: Request) -> Response:
        return JSONResponse({"messages": self._store.records})

    async def cards(self, _: Request) -> Response:
        return HTMLResponse(page.messages(self._store.records[-100:]))

    async def index(self, _: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        body = page.document(page.messages(self._store.records[-100:]), nonce)
        return HTMLResponse(body, headers={"Content-Security-Policy": policy})
