"""Signed links with which a person acknowledges an incident without a login.

A link holds the incident's number, the time until which it is valid, and their HMAC-SHA256. Whoever has the
link can acknowledge that one incident and do nothing else. It is shown on cards, whose readers may acknowledge.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mindguard.errors import MindGuardError

if TYPE_CHECKING:
    from mindguard.connections import Resolve
    from mindguard.settings import Settings

_PURPOSE = b"mindguard acknowledgement v1"
_PAYLOAD_BYTES = 12
_SIGNATURE_BYTES = 32


class LinkInvalid(MindGuardError):
    """The link was not signed here, was changed, or is too old. The error does not say which."""


def sign(incident_id: int, settings: Settings, resolve: Resolve, *, expires: datetime) -> str:
    """Return the token of a link, which is safe in an address.

    Args:
        incident_id: number of the incident.
        settings: the settings, which name the connection whose secrets make the key.
        resolve: gives a connection by its id.
        expires: when the link ceases to be valid, aware.

    Raises:
        MindGuardError: the connection `connections.feishu` is missing or holds no secret to derive a key from.
    """
    payload = incident_id.to_bytes(8) + int(expires.timestamp()).to_bytes(4)
    signature = hmac.digest(_key(settings, resolve), payload, hashlib.sha256)
    return base64.urlsafe_b64encode(payload + signature).decode().rstrip("=")


def incident_of(token: str, settings: Settings, resolve: Resolve, *, now: datetime) -> int:
    """Return the number of the incident that a link is for.

    Args:
        token: the token in the link.
        settings: the settings, which name the connection whose secrets make the key.
        resolve: gives a connection by its id.
        now: the present time, aware.

    Raises:
        LinkInvalid: the link is not valid, or is too old.
    """
    length = _PAYLOAD_BYTES + _SIGNATURE_BYTES
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raw = b""
    payload, signature = raw[:_PAYLOAD_BYTES], raw[_PAYLOAD_BYTES:]
    expected = hmac.digest(_key(settings, resolve), payload, hashlib.sha256)
    # Other last characters would decode to the same bytes in Base64, but a link must have only one valid token.
    canonical = len(raw) == length and base64.urlsafe_b64encode(raw).decode().rstrip("=") == token
    if not (hmac.compare_digest(signature, expected) and canonical):
        raise LinkInvalid("the link is not valid", hint="open the newest card")
    if datetime.fromtimestamp(int.from_bytes(payload[8:]), UTC) < now:
        raise LinkInvalid("the link is not valid", hint="open the newest card")
    return int.from_bytes(payload[:8])


def _key(settings: Settings, resolve: Resolve) -> bytes:
    """Return a key derived from the bot's secrets, so that a change of the secrets also ends the old links."""
    connection = resolve(settings.connections.feishu)
    secret = f"{connection.password}\n{connection.extra.get('secret') or ''}"
    if not secret.strip():
        raise MindGuardError(
            f"connection {connection.conn_id!r} holds no secret", hint="links are signed with a key derived from it"
        )
    return hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
