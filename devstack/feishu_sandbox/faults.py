"""Failures on request: for the next n requests, or for n seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devstack.feishu_sandbox import contract
from devstack.feishu_sandbox.card_contract import mentions

SLOW_S = 30.0

ON_CARDS = frozenset({"refuse_card", "invalid_mention"})
ON_URGENT = frozenset({"quota", "policy"})
ON_APP = frozenset({"token_expired"})
ON_ALL = frozenset({"throttle", "http500", "slow", "drop", "drop_stored"})
"""`drop` loses the request and its answer, `drop_stored` loses only the answer."""
MODES = ON_ALL | ON_CARDS | ON_URGENT | ON_APP


@dataclass
class _Fault:
    mode: str
    left: int | None
    until: float | None


class Faults:
    """Chooses the fault that the next request meets: the first one ordered that fits.

    Args:
        clock: returns the time in Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._faults: list[_Fault] = []

    def order(self, wanted: dict[str, Any]) -> list[str]:
        """Order a fault.

        Args:
            wanted: `{"mode": …, "count": n}` or `{"mode": …, "seconds": s}`; `{"count": 0}` cancels all orders.

        Returns:
            The modes that are ordered now: each as often as it has requests left, or once if it lasts for seconds.

        Raises:
            ValueError: there is no such mode.
        """
        if wanted.get("count") == 0:
            self._faults.clear()
        elif (mode := wanted.get("mode")) not in MODES:
            raise ValueError(f"mode is one of {', '.join(sorted(MODES))}")
        elif "seconds" in wanted:
            self._faults.append(_Fault(mode, None, self._clock() + float(wanted["seconds"])))
        else:
            self._faults.append(_Fault(mode, int(wanted.get("count", 1)), None))
        return [fault.mode for fault in self._faults for _ in range(fault.left or 1)]

    def next(self, message: dict[str, Any] | None, *, app: bool = False, urgent: bool = False) -> str:
        """Take the fault for this request.

        Args:
            message: the message in a custom bot's form, or None.
            app: the request comes from the app.
            urgent: the request is an urgent call.

        Returns:
            The mode; empty when no fault fits.
        """
        now = self._clock()
        self._faults = [fault for fault in self._faults if fault.left != 0 and (fault.until or now + 1) > now]
        for fault in self._faults:
            if _fits(fault.mode, message, app=app, urgent=urgent):
                if fault.left is not None:
                    fault.left -= 1
                return fault.mode
        return ""


def _fits(mode: str, message: dict[str, Any] | None, *, app: bool, urgent: bool) -> bool:
    if mode in ON_URGENT:
        return urgent
    if mode in ON_APP:
        return app
    card = message.get("card") if message else None
    if mode == "invalid_mention":
        return card is not None and mentions(card)
    return card is not None if mode == "refuse_card" else True


def answer_to(mode: str, *, app: bool) -> contract.Answer:
    """Return the sandbox's answer under this fault.

    Args:
        mode: the fault.
        app: the request comes from the app.
    """

    def refusal(code: int, reason: str) -> contract.Answer:
        return contract.app_card_refusal(code, reason) if app else contract.card_refusal(reason)

    return {
        "throttle": contract.APP_THROTTLED if app else contract.THROTTLED,
        "refuse_card": refusal(11310, "refused on request"),
        "invalid_mention": refusal(100290, "invalid user resource in at tag"),
        "http500": contract.Answer(2200, "Internal Error", 500),
        "drop": contract.Answer(-1, "dropped on request"),
        "token_expired": contract.WRONG_ACCESS_TOKEN,
        "quota": contract.QUOTA,
        "policy": contract.POLICY,
    }[mode]
