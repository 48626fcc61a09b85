"""The endpoints of an app's bot: token, messages, changes, thread replies, urgent calls. One app in one group."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devstack.feishu_sandbox import contract
from devstack.feishu_sandbox.contract import Answer
from devstack.feishu_sandbox.faults import SLOW_S, Faults, answer_to
from devstack.feishu_sandbox.responses import Dropped
from devstack.feishu_sandbox.store import Store

_MESSAGES = "/open-apis/im/v1/messages"


@dataclass(frozen=True)
class App:
    """The app that the sandbox knows."""

    app_id: str = ""
    app_secret: str = field(default="", repr=False)
    chat_id: str = ""


class AppApi:
    """Serves the app's endpoints over the shared store and faults.

    Args:
        app: the only app that gets a token.
        store: keeps messages.
        faults: failures that were ordered.
        clock: returns the time in Unix seconds.
    """

    def __init__(self, app: App, store: Store, faults: Faults, clock: Callable[[], float]) -> None:
        self._app = app
        self._store = store
        self._faults = faults
        self._clock = clock
        self._limit = contract.RateLimit(per_minute=1000)

    def routes(self) -> list[Route]:
        """Return the app's routes."""
        return [
            Route("/open-apis/auth/v3/tenant_access_token/internal", self.token, methods=["POST"]),
            Route(_MESSAGES, self.create, methods=["POST"]),
            Route(_MESSAGES + "/{message_id}", self.change, methods=["PATCH"]),
            Route(_MESSAGES + "/{message_id}/reply", self.reply, methods=["POST"]),
            Route(_MESSAGES + "/{message_id}/urgent_{means}", self.urge, methods=["PATCH"]),
        ]

    async def token(self, request: Request) -> Response:
        """Grant an access token."""
        asked = await _json(request)
        if not self._app.app_id or asked.get("app_id") != self._app.app_id:
            answer = contract.WRONG_APP
        elif not hmac.compare_digest(str(asked.get("app_secret", "")).encode(), self._app.app_secret.encode()):
            answer = contract.WRONG_APP_SECRET
        else:
            ends = int(self._clock()) + contract.TOKEN_LASTS_S
            granted = {"tenant_access_token": self._token(ends), "expire": contract.TOKEN_LASTS_S}
            return JSONResponse({"code": 0, "msg": "ok", **granted})
        return JSONResponse(answer.body(), answer.status)

    async def create(self, request: Request) -> Response:
        """Receive a new message."""
        body = await _json(request)
        if request.query_params.get("receive_id_type") != "chat_id":
            refusal: Answer | None = contract.invalid("receive_id_type")
        else:
            refusal = contract.NOT_IN_CHAT if body.get("receive_id") != self._app.chat_id else None
        return await self._new(request, body, refusal, None)

    async def reply(self, request: Request) -> Response:
        """Receive a message that replies to another in its thread."""
        body = await _json(request)
        of = request.path_params["message_id"]
        refusal = None if self._store.message(of) else contract.invalid("message_id")
        return await self._new(request, body, refusal, of)

    async def _new(self, request: Request, body: dict[str, Any], refusal: Answer | None, of: str | None) -> Response:
        message, answer = contract.check_app_content(body.get("msg_type"), body.get("content"))
        uuid = str(body.get("uuid") or "")
        if len(uuid) > 50:
            refusal = refusal or contract.invalid("uuid")
        answer = self._unauthorised(request) or refusal or answer
        shown = self._store.by_uuid(uuid, self._clock() - contract.SHOWN_ONCE_FOR_S)
        if answer is contract.SUCCESS and not self._limit.allow(self._clock()):
            answer = contract.APP_THROTTLED
        answer, fault = await self._with_fault(message, answer)
        if answer is contract.SUCCESS:
            message_id = shown["message_id"] if shown else f"om_{secrets.token_hex(16)}"
            data = {"message_id": message_id, "chat_id": self._app.chat_id, "msg_type": body.get("msg_type")}
            if not shown:
                thread = {"thread": of} if of else {}
                self._store.add(message, answer, self._now(), message_id=message_id, uuid=uuid, **thread)
            answer = replace(answer, data=data)
        else:
            self._store.add(message, answer, self._now(), uuid=uuid)
        return _response(answer, fault)

    async def change(self, request: Request) -> Response:
        """Put another card in the place of a message."""
        body = await _json(request)
        record = self._store.message(request.path_params["message_id"])
        message, answer = contract.check_app_content("interactive", body.get("content"))
        if record is None or record["message"]["msg_type"] != "interactive":
            answer = contract.invalid("message_id")
        elif self._clock() - datetime.fromisoformat(record["received_at"]).timestamp() > contract.CHANGES_FOR_S:
            answer = contract.TOO_OLD
        elif answer is contract.SUCCESS and not _shared(record["message"]["card"]):
            answer = contract.invalid("the card is not shared: config.update_multi")
        answer = self._unauthorised(request) or answer
        if answer is contract.SUCCESS and not self._limit.allow(self._clock()):
            answer = contract.APP_THROTTLED
        answer, fault = await self._with_fault(message, answer)
        if answer is contract.SUCCESS and record and message:
            self._store.change(record["message_id"], message, self._now())
        return _response(answer, fault)

    async def urge(self, request: Request) -> Response:
        """Call people to a message."""
        body = await _json(request)
        record = self._store.message(request.path_params["message_id"])
        means, people = request.path_params["means"], body.get("user_id_list")
        answer = contract.SUCCESS
        if means not in ("app", "sms", "phone") or request.query_params.get("user_id_type") != "open_id":
            answer = contract.invalid("user_id_type")
        elif record is None or not isinstance(people, list) or not 0 < len(people) <= 200:
            answer = contract.invalid("message_id or user_id_list")
        answer = self._unauthorised(request) or answer
        answer, fault = await self._with_fault(None, answer, urgent=True)
        if answer is contract.SUCCESS and record:
            invalid = [person for person in people if not str(person).startswith("ou_")]
            called = [person for person in people if person not in invalid]
            self._store.urge(record["message_id"], means, called, self._now())
            answer = replace(answer, data={"invalid_user_id_list": invalid})
        return _response(answer, fault)

    async def _with_fault(
        self, message: dict[str, Any] | None, answer: Answer, *, urgent: bool = False
    ) -> tuple[Answer, str]:
        """Let the next ordered fault that fits change the answer.

        Returns:
            The answer, and the mode of the fault (empty without one).
        """
        fault = self._faults.next(message, app=True, urgent=urgent) if answer is contract.SUCCESS else ""
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        elif fault and fault != "drop_stored":
            answer = answer_to(fault, app=True)
        return answer, fault

    def _unauthorised(self, request: Request) -> Answer | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return contract.NO_ACCESS_TOKEN
        ends = token.split("-")[1] if token.count("-") == 2 else ""
        genuine = ends.isdecimal() and hmac.compare_digest(self._token(int(ends)).encode(), token.encode())
        return None if genuine and int(ends) > self._clock() else contract.WRONG_ACCESS_TOKEN

    def _token(self, ends: int) -> str:
        """Make a token that a restarted sandbox still recognises."""
        return f"t-{ends}-{hmac.digest(self._app.app_secret.encode(), str(ends).encode(), hashlib.sha256).hex()}"

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _shared(card: dict[str, Any]) -> bool:
    return bool((card.get("config") or {}).get("update_multi", True))


def _response(answer: Answer, fault: str) -> Response:
    if fault in ("drop", "drop_stored"):
        return Dropped()
    return JSONResponse(answer.body(), answer.status)


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
