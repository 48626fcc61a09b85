"""Deliver alerts to Feishu: one protocol with two implementations, a custom bot (hook mode) and an app (app mode)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Digest, Person
from mindguard.connections import Connection, Resolve
from mindguard.feishu.answers import TOO_OLD, URGENT_NOT_ALLOWED, FeishuRefused
from mindguard.feishu.app_client import AppClient, Means, app_from_connection, is_app
from mindguard.feishu.client import HookClient, hook_from_connection
from mindguard.feishu.forms import Form, forms
from mindguard.feishu.message import Json, encode, text_message
from mindguard.masking import mask_secrets, printable
from mindguard.texts import Locale

if TYPE_CHECKING:
    from mindguard.settings import Settings

_LONGEST_UUID = 50

_MEANS: tuple[Means, ...] = ("app", "sms", "phone")


@dataclass(frozen=True)
class Sent:
    """A message that arrived, and its form. `message_id` is None if the message cannot be changed later."""

    message_id: str | None
    form: Form


class Transport(Protocol):
    """Delivers alerts. Every method repeats its attempt within its own time budget before it raises.

    Raises:
        FeishuThrottled, FeishuUnreachable: A later attempt may succeed. If Feishu is unreachable, the message may have
            arrived.
        FeishuRefused: No further attempt will succeed.
    """

    @property
    def updates(self) -> bool:
        """Whether a card that was sent can be changed."""

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Sent:
        """Send a card; if Feishu refuses it, send it without mentions, and at last as text.

        Args:
            alert: the alert to show.
            uuid: the same for each attempt at one notification; Feishu shows an app's message with it once an hour.
            now: the present time, aware.
        """

    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Sent:
        """Show the alert in the card that was sent before; if Feishu no longer allows that, answer in its thread."""

    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Sent:
        """Send a digest; see `send`."""

    def say(self, text: str, *, uuid: str, now: datetime) -> Sent:
        """Send a line of plain text; secrets recognisable by their form are masked."""

    def urge(self, message_id: str, people: Sequence[Person], means: Means, *, now: datetime) -> str:
        """Call people to a message that was sent, and return the result as a line for the timeline."""


class HookTransport:
    """A custom bot: its messages cannot be changed, and it can call nobody."""

    updates = False

    def __init__(self, client: HookClient, *, locale: Locale, zone: ZoneInfo) -> None:
        self._client = client
        self._locale = locale
        self._zone = zone

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`. A custom bot ignores `uuid`."""
        return Sent(None, self._client.deliver(alert, now=now, locale=self._locale, zone=self._zone))

    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Sent:
        """Send a new card; the one that was sent stays as it is."""
        return self.send(alert, uuid=message_id, now=now)

    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`."""
        return Sent(None, self._client.deliver(digest, now=now, locale=self._locale, zone=self._zone))

    def say(self, text: str, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`."""
        self._client.send(text_message(_clean(text)), now)
        return Sent(None, "text")

    def urge(self, message_id: str, people: Sequence[Person], means: Means, *, now: datetime) -> str:
        """Return a line that says that nobody was called."""
        return f"not called by {means}: a custom bot cannot; an app can"


class AppTransport:
    """An app's bot: its cards change in place, and it can call people."""

    updates = True

    def __init__(self, client: AppClient, *, locale: Locale, zone: ZoneInfo) -> None:
        self._client = client
        self._locale = locale
        self._zone = zone

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`."""
        return self._send(alert, uuid, now)

    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`."""
        return self._send(digest, uuid, now)

    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Sent:
        """See `Transport`. A card that Feishu no longer changes, after 14 days, is answered in its thread."""

        def change(message: Json, form: Form, deadline: float) -> str:
            if form != "text":
                try:
                    self._client.change(message_id, message, deadline=deadline)
                except FeishuRefused as refused:
                    if refused.code not in TOO_OLD:
                        raise
                else:
                    return message_id
            # A card cannot become text. The uuid depends on the content, so the same content is answered only once.
            uuid = _uuid_of(f"{message_id} {encode(alert.to_json()).decode()}")
            return self._client.reply(message_id, message, uuid=uuid, deadline=deadline)

        return self._first_accepted(alert, now, change)

    def say(self, text: str, *, uuid: str, now: datetime) -> Sent:
        """See `Transport`."""
        deadline = self._client.wire.deadline()
        return Sent(self._client.send(text_message(_clean(text)), uuid=_uuid_of(uuid), deadline=deadline), "text")

    def urge(self, message_id: str, people: Sequence[Person], means: Means, *, now: datetime) -> str:
        """See `Transport`. If quota or policy forbid a means, the next less urgent one is used.

        People who cannot be called are named in the returned line; they are not an error.
        """
        reachable = [person for person in people if person.feishu_id.startswith("ou_")]
        open_ids = [person.feishu_id for person in reachable]
        unknown = [person.name for person in people if person not in reachable]
        notes = [f"without a Feishu id: {', '.join(unknown)}"] if unknown else []
        if not open_ids:
            return "; ".join(["nobody called", *notes])
        deadline = self._client.wire.deadline()
        for tried in reversed(_MEANS[: _MEANS.index(means) + 1]):
            try:
                missed = self._client.urge(message_id, open_ids, tried, deadline=deadline)
            except FeishuRefused as refused:
                if refused.code not in URGENT_NOT_ALLOWED:
                    raise
                notes.append(f"{tried} not allowed: code {refused.code}, {refused.msg}")
                continue
            called = [person.name for person in reachable if person.feishu_id not in missed]
            not_called = [person.name for person in reachable if person.feishu_id in missed]
            notes += [f"not reached: {', '.join(not_called)}"] if not_called else []
            return "; ".join([f"called by {tried}: {', '.join(called) or 'nobody'}", *notes])
        return "; ".join(["nobody called", *notes])

    def _send(self, item: Alert | Digest, uuid: str, now: datetime) -> Sent:
        def send(message: Json, form: Form, deadline: float) -> str:
            return self._client.send(message, uuid=_uuid_of(uuid), deadline=deadline)

        return self._first_accepted(item, now, send)

    def _first_accepted(self, item: Alert | Digest, now: datetime, send: Callable[[Json, Form, float], str]) -> Sent:
        """Send the forms one after the other until Feishu accepts one."""
        deadline = self._client.wire.deadline()
        secrets = self._client.secrets
        for form, message in forms(item, locale=self._locale, zone=self._zone, now=now, secrets=secrets):
            try:
                return Sent(send(message, form, deadline), form)
            except FeishuRefused as refused:
                if not refused.about_content or form == "text":
                    raise
        raise AssertionError("text is the last form")


def _clean(text: str) -> str:
    return mask_secrets(printable(text)).replace("<", "＜")


def _uuid_of(uuid: str) -> str:
    """Shorten the uuid to Feishu's limit. It does not depend on the form, so no message is shown in two forms."""
    return uuid if len(uuid) <= _LONGEST_UUID else hashlib.sha256(uuid.encode()).hexdigest()[:_LONGEST_UUID]


def transport_of(settings: Settings, resolve: Resolve) -> Transport:
    """Return the transport that the connection `connections.feishu` describes.

    Raises:
        MindGuardError: The connection is missing or not usable.
    """
    connection = resolve(settings.connections.feishu)
    return transport_from_connection(connection, locale=settings.locale, zone=settings.zone)


def transport_from_connection(connection: Connection, *, locale: Locale, zone: ZoneInfo) -> Transport:
    """Return an app's transport if the connection names an app, else a custom bot's.

    See `app_from_connection` and `hook_from_connection`.

    Raises:
        MindGuardError: The connection is not usable.
    """
    if is_app(connection):
        return AppTransport(app_from_connection(connection), locale=locale, zone=zone)
    return HookTransport(hook_from_connection(connection), locale=locale, zone=zone)
