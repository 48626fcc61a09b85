"""The interface of a transport, which brings the sender's messages to the group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from mindguard.alerts.alert import Alert, Digest, Person


class Sent(Protocol):
    """The result of a message that arrived."""

    @property
    def message_id(self) -> str | None: ...
    @property
    def form(self) -> str: ...


class Transport(Protocol):
    """Brings messages to the group."""

    @property
    def updates(self) -> bool:
        """Whether the transport can change a card that it sent."""
        ...

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Sent:
        """Send a new card; a channel that supports it shows cards with the same `uuid` once."""
        ...

    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Sent:
        """Change a card that was sent, if the channel can change cards."""
        ...

    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Sent:
        """Send a digest; for `uuid` see `send`."""
        ...

    def urge(
        self, message_id: str, people: Sequence[Person], means: Literal["app", "sms", "phone"], *, now: datetime
    ) -> str:
        """Call people to a message, and return the result as a line for the timeline."""
        ...
