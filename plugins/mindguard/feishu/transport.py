"""How alerts leave for Feishu: one protocol, kept by a custom bot (hook mode) and by an app (app mode)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Digest, Person
from mindguard.alerts.severity import Locale
from mindguard.connections import Connection, Resolve
from mindguard.feishu.client import HookClient, hook_from_connection

if TYPE_CHECKING:
    from mindguard.settings import Settings

Form = Literal["card", "card without mentions", "text"]
Means = Literal["app", "sms", "phone"]


@dataclass(frozen=True)
class Sent:
    """What arrived. `message_id` is None where the message cannot be changed later."""

    message_id: str | None
    form: Form


class Transport(Protocol):
    """Delivers alerts. Every method tries again within its own time budget before it raises.

    Raises:
        FeishuThrottled, FeishuUnreachable: later may do; an unreachable Feishu may have taken the message.
        FeishuRefused: no further try will do.
    """

    @property
    def updates(self) -> bool:
        """Whether a card that was sent can be changed."""

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Sent:
        """Send a card; without mentions or as text where Feishu refuses it so.

        Args:
            uuid: the same for each try at one notification; an app's message is shown once an hour for it.
        """

    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Sent:
        """Show the alert in the card that was sent before; where Feishu no longer allows that, answer in its thread."""

    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Sent:
        """Send a digest; see `send`."""

    def urge(self, message_id: str, people: Sequence[Person], means: Means, *, now: datetime) -> str:
        """Call people to a message that was sent, and return what came of it in a line for the timeline."""


class HookTransport:
    """A custom bot: messages cannot be changed, nobody can be called."""

    updates = False

    def __init__(self, client: HookClient, *, locale: Locale, zone: ZoneInfo) -> None:
        self._client = client
        self._locale = locale
        self._zone = zone

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`. A custom bot knows no `uuid`."""
        return Sent(None, self._client.deliver(alert, now=now, locale=self._locale, zone=self._zone))

    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Sent:
        """Send a new card: the one that was sent stays as it is."""
        return self.send(alert, uuid=message_id, now=now)

    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`."""
        return Sent(None, self._client.deliver(digest, now=now, locale=self._locale, zone=self._zone))

    def urge(self, message_id: str, people: Sequence[Person], means: Means, *, now: datetime) -> str:
        """Do nothing, and say so."""
        return f"not called by {means}: a custom bot cannot; an app can (docs: Feishu, app mode)"


def transport_of(settings: Settings, resolve: Resolve) -> Transport:
    """The transport that the connection `connections.feishu` describes.

    Raises:
        MindGuardError: the connection is missing or not usable.
    """
    connection = resolve(settings.connections.feishu)
    return transport_from_connection(connection, locale=settings.locale, zone=settings.zone)


def transport_from_connection(connection: Connection, *, locale: Locale, zone: ZoneInfo) -> Transport:
    """App mode where the login is an app's id (`cli_…`), else hook mode. Raises as `transport_of`."""
    return HookTransport(hook_from_connection(connection), locale=locale, zone=zone)
