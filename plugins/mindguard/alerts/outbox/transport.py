"""What the sender asks of a way to the group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from mindguard.alerts.alert import Alert, Digest, Person


class Sent(Protocol):
    """What a transport says of a message that arrived."""

    @property
    def message_id(self) -> str | None: ...
    @property
    def form(self) -> str: ...


class Transport(Protocol):
    """Brings messages to the group. `updates`: can change a card that it sent."""

    @property
    def updates(self) -> bool: ...
    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Sent: ...
    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Sent: ...
    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Sent: ...
    def urge(
        self, message_id: str, people: Sequence[Person], means: Literal["app", "sms", "phone"], *, now: datetime
    ) -> str: ...
