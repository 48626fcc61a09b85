"""Client-side encryption: the store sees neither values nor names. docs/adr/0011 has the reasons for this design.

A key ring holds master keys by id, one of which is current, and a naming key. Each object is encrypted with a key of
its own, derived from a master key and the object's key in the store, so that no object can take another's place.
Parts are encrypted Parquet (Parquet Modular Encryption); everything else is sealed as a whole. The id of the master
key that an object needs is in the clear: a part's folder begins with it, as in
`parts/<key id>.<opaque table>/<opaque content id>.parquet`, and a sealed object's bytes name it in their first line.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mindguard.connections import Resolve
from mindguard.errors import MindGuardError

if TYPE_CHECKING:
    from pyarrow._parquet import FileDecryptionProperties, FileEncryptionProperties

    from mindguard.settings import Settings

_KEY_BYTES = 32
_NONCE_BYTES = 12
_LABEL = r"[a-z0-9][a-z0-9-]{0,31}"
_KEY_ID = rf"{_LABEL}-[0-9a-f]{{8}}"
_ENCRYPTED_PART = re.compile(rf"parts/({_KEY_ID})\.[0-9a-f]{{40}}/[^/]+$")
_SEAL = re.compile(rb"MGSEAL1 (%s)\n" % _KEY_ID.encode())
KEYS_VARIABLE = "MINDGUARD_KEYS"
KEYS_FILE_VARIABLE = "MINDGUARD_KEYS_FILE"


class KeyRingInvalid(MindGuardError):
    """The key ring cannot be used. The message never quotes what the ring contains."""

    permanent = True


class Unreadable(MindGuardError):
    """A stored object cannot be decrypted or is damaged, however often it is read; the subclass says why."""


class KeyMissing(Unreadable):
    """Master keys that are needed are not in the ring."""

    permanent = True

    def __init__(self, key_ids: Iterable[str], needed_for: str) -> None:
        self.key_ids = tuple(sorted(key_ids))
        super().__init__(
            f"{needed_for} needs the master key {', '.join(self.key_ids)}, which is not in the key ring",
            hint="put it back into the ring, with encryption on; if it was destroyed, what it encrypted is lost",
        )


class SealBroken(Unreadable):
    """An object differs from the one that was sealed under its key: it was altered, cut off, moved or never sealed."""


class PartName(NamedTuple):
    """A part's folder below `parts/` and its content id, either of which may be opaque."""

    folder: str
    content_id: str


@dataclass(frozen=True)
class KeyRing:
    """Master keys by id, newest last, and the naming key. Its `repr` shows no key."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)
    naming: bytes = field(repr=False)

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> KeyRing:
        """Read a key ring that `new_key_ring` wrote.

        Args:
            text: the JSON.
            origin: where the text comes from, for error messages.

        Raises:
            KeyRingInvalid: the text is not a valid key ring; the message says why and never quotes it.
        """
        # Always `from None`: the original errors quote the text, which contains the keys.
        try:
            raw: Any = json.loads(text)
            ring = cls(
                str(raw.pop("current")), _decoded(raw.pop("keys")), *_decoded({"naming": raw.pop("naming")}).values()
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _invalid(origin, "is not JSON with current, keys and naming, each key 32 bytes in base64") from None
        if raw:
            raise _invalid(origin, f"has {len(raw)} unknown fields")
        for key_id, key in ring.keys.items():
            if not re.fullmatch(_KEY_ID, key_id) or not key_id.endswith(f"-{_check(key)}"):
                raise _invalid(origin, "holds a key that does not belong to its id: mixed up, or cut while copied")
        if ring.current not in ring.keys:
            raise _invalid(origin, "does not hold the key that it calls current")
        if ring.naming in ring.keys.values():
            raise _invalid(origin, "uses one key for two purposes")
        return ring


def _decoded(keys: Mapping[str, str]) -> dict[str, bytes]:
    decoded = {key_id: base64.b64decode(key, validate=True) for key_id, key in keys.items()}
    if any(len(key) != _KEY_BYTES for key in decoded.values()):
        raise binascii.Error("wrong length")
    return decoded


def _invalid(origin: str, why: str) -> KeyRingInvalid:
    return KeyRingInvalid(f"the key ring in {origin} {why}", hint="restore it from where you keep it safe")


def _check(key: bytes) -> str:
    """Return the eight digits that end a key's id, so that a wrong key under a known id is found before any work."""
    return _derived(key, "check")[:4].hex()


def _derived(key: bytes, purpose: str, name: str = "") -> bytes:
    """Derive a key of 32 bytes by HKDF-Expand (RFC 5869) with SHA-256."""
    return hmac.digest(key, f"mindguard 1 {purpose}\0{name}".encode() + b"\x01", "sha256")


def new_key_ring(label: str, ring: KeyRing | None = None) -> str:
    """Return one line of JSON for a person to store: a new ring, or `ring` with a new current key.

    Args:
        label: names the new key for people, for instance by its period, `2026-11`. It becomes part of object keys.
        ring: the ring to rotate; its keys stay in it, so that what they encrypted stays readable.

    Raises:
        KeyRingInvalid: the label does not consist of lower-case letters, digits and hyphens.
    """
    if not re.fullmatch(_LABEL, label):
        raise KeyRingInvalid(
            f"a key cannot be called {label!r}", hint="1 to 32 lower-case letters, digits and hyphens: 2026-11"
        )
    key = secrets.token_bytes(_KEY_BYTES)
    key_id = f"{label}-{_check(key)}"
    keys = {**(ring.keys if ring else {}), key_id: key}
    naming = ring.naming if ring else secrets.token_bytes(_KEY_BYTES)
    encoded = {each: base64.b64encode(value).decode() for each, value in keys.items()}
    return json.dumps({"current": key_id, "keys": encoded, "naming": base64.b64encode(naming).decode()})


def read_key_ring(conn_id: str, resolve: Resolve, environ: Mapping[str, str] = os.environ) -> KeyRing:
    """Read the key ring from the first of three places that has one.

    The places are the variable `MINDGUARD_KEYS`, the file that `MINDGUARD_KEYS_FILE` names, and the password of the
    connection.

    Args:
        conn_id: id of the connection.
        resolve: finds a connection by its id.
        environ: environment variables.

    Raises:
        ConnectionMissing: none of the places has a ring.
        KeyRingInvalid: the ring that was found cannot be used.
    """
    if text := environ.get(KEYS_VARIABLE):
        return KeyRing.from_json(text, origin=KEYS_VARIABLE)
    if file := environ.get(KEYS_FILE_VARIABLE):
        try:
            return KeyRing.from_json(Path(file).read_text("utf-8"), origin=file)
        except OSError as error:
            raise KeyRingInvalid(f"cannot read the key ring {file}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise _invalid(file, "is not text") from None
    return KeyRing.from_json(resolve(conn_id).password, origin=f"the password of connection {conn_id}")


def key_of_part(object_key: str) -> str | None:
    """Return the id of the master key that the part under this key needs, or None if it is not an encrypted part."""
    found = _ENCRYPTED_PART.search(object_key)
    return found[1] if found else None


def sealed_with(stored: bytes) -> str | None:
    """Return the id of the master key that opens these bytes, or None if they are not sealed. It needs no key."""
    found = _SEAL.match(stored)
    return found[1].decode() if found else None


class Encryption:
    """Encrypts with the ring's current key and decrypts with any of its keys. Immutable, so threads may share it.

    Args:
        ring: the keys.
        reuse_across_keys: whether new snapshots may reuse parts that an older key encrypted; they then need that
            key as well. If not, the first snapshot after a rotation is written in full.
        accept_unencrypted: whether objects from before encryption was switched on are read. If they are, whoever
            can write to the store can replace them with forged ones.
    """

    def __init__(self, ring: KeyRing, *, reuse_across_keys: bool = False, accept_unencrypted: bool = False) -> None:
        self._ring = ring
        self._reusable = tuple(reversed(tuple(ring.keys))) if reuse_across_keys else ()
        self._accept_unencrypted = accept_unencrypted

    def opaque(self, text: str) -> str:
        """Return 64 hexadecimal digits that reveal nothing but whether two texts under one key are equal."""
        return self._opaque(self._ring.current, text)

    def part_names(self, table: str, content_id: str) -> tuple[PartName, ...]:
        """Return the names under which a part may be stored: first the one to write, then those that may be reused."""
        key_ids = dict.fromkeys((self._ring.current, *self._reusable))
        return tuple(PartName(self._folder(key_id, table), self._opaque(key_id, content_id)[:40]) for key_id in key_ids)

    def named(self, key_id: str, tables: Iterable[str], folders: Iterable[str]) -> bool:
        """Return whether this ring gives any of the folders as the name of one of the tables under this key."""
        return not {self._folder(key_id, table) for table in tables}.isdisjoint(folders)

    def needed_keys(self, part_keys: Iterable[str]) -> tuple[str, ...]:
        """Return the ids of the master keys that are needed for a manifest with these parts if it is sealed now."""
        return tuple(sorted({self._ring.current, *filter(None, map(key_of_part, part_keys))}))

    def require(self, key_ids: Iterable[str], needed_for: str) -> None:
        """Check that the ring holds these keys.

        Args:
            key_ids: ids of the keys.
            needed_for: what needs them, for the error message.

        Raises:
            KeyMissing: keys are missing; the message names all of them.
        """
        if missing := set(key_ids) - set(self._ring.keys):
            raise KeyMissing(missing, needed_for)

    def writing(self, object_key: str) -> FileEncryptionProperties | None:
        """Return the `encryption_properties` for a `ParquetWriter`: AES-256-GCM for the footer and all columns.

        Raises:
            SealBroken: the object's key was not made from one of `part_names`.
            KeyMissing: the ring does not hold the master key.
        """
        import pyarrow.parquet.encryption as pe

        key_id = key_of_part(object_key)
        if key_id is None:
            raise SealBroken(f"{object_key} does not say which key encrypts it")
        # The stubs are of an older pyarrow.
        properties: FileEncryptionProperties = pe.create_encryption_properties(  # type: ignore[attr-defined]
            self._data_key(key_id, "part", object_key), aad_prefix=object_key.encode(), store_aad_prefix=False
        )
        return properties

    def reading(self, object_key: str) -> FileDecryptionProperties | None:
        """Return the `decryption_properties` for a `ParquetFile`, or None if the part is not encrypted.

        Raises:
            SealBroken: the part is not encrypted, and unencrypted parts are not accepted.
            KeyMissing: the ring does not hold the master key.
        """
        import pyarrow.parquet.encryption as pe

        key_id = key_of_part(object_key)
        if key_id is None:
            self._check_accepted(object_key)
            return None
        properties: FileDecryptionProperties = pe.create_decryption_properties(  # type: ignore[attr-defined]
            self._data_key(key_id, "part", object_key), aad_prefix=object_key.encode()
        )
        return properties

    def seal(self, object_key: str, body: bytes) -> bytes:
        """Return the bytes to store instead of `body`: the current key's id in the clear, then AES-256-GCM."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id = self._ring.current
        header = f"MGSEAL1 {key_id}\n".encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._data_key(key_id, "blob", object_key))
        return header + nonce + cipher.encrypt(nonce, body, header + object_key.encode())

    def open(self, object_key: str, stored: bytes) -> bytes:
        """Return the body that `seal` was given for this key.

        Raises:
            KeyMissing: the ring does not hold the key that sealed it.
            SealBroken: the bytes were altered, cut off or taken from another object, or are not sealed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id = sealed_with(stored)
        if key_id is None:
            self._check_accepted(object_key)
            return stored
        start = stored.index(b"\n") + 1
        header, nonce, sealed = stored[:start], stored[start : start + _NONCE_BYTES], stored[start + _NONCE_BYTES :]
        cipher = AESGCM(self._data_key(key_id, "blob", object_key))
        try:
            return cipher.decrypt(nonce, sealed, header + object_key.encode())
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            raise SealBroken(
                f"{object_key} was altered, cut off or moved from another key after {key_id} sealed it"
            ) from None

    def _folder(self, key_id: str, table: str) -> str:
        return f"{key_id}.{self._opaque(key_id, table)[:40]}"

    def _opaque(self, key_id: str, text: str) -> str:
        # The name depends on the master key, so that an object is never found by a ring that cannot decrypt it.
        return hmac.digest(self._ring.naming, f"{key_id}\0{text}".encode(), "sha256").hex()

    def _data_key(self, key_id: str, purpose: str, object_key: str) -> bytes:
        self.require([key_id], object_key)
        return _derived(self._ring.keys[key_id], purpose, object_key)

    def _check_accepted(self, object_key: str) -> None:
        if not self._accept_unencrypted:
            raise SealBroken(
                f"{object_key} is not encrypted",
                hint="if it is from before encryption was switched on, set snapshot.encryption.accept_unencrypted",
            )


class NoEncryption(Encryption):
    """Stores everything in the clear. Reading an encrypted object raises KeyMissing, which names the key it needs."""

    def __init__(self) -> None:
        super().__init__(KeyRing("", {}, b""), accept_unencrypted=True)

    def opaque(self, text: str) -> str:
        """Return the text itself."""
        return text

    def part_names(self, table: str, content_id: str) -> tuple[PartName, ...]:
        """Return the name made of the table's name and the content id themselves."""
        return (PartName(table, content_id),)

    def needed_keys(self, part_keys: Iterable[str]) -> tuple[str, ...]:
        """Return no ids, because no key is needed."""
        return ()

    def writing(self, object_key: str) -> None:
        """Return None: Parquet is written in the clear."""

    def seal(self, object_key: str, body: bytes) -> bytes:
        """Return the body itself."""
        return body


def encryption_of(settings: Settings, resolve: Resolve) -> Encryption:
    """Return the encryption that the settings ask for; the key ring is read only if encryption is on.

    Raises:
        ConnectionMissing, KeyRingInvalid: see `read_key_ring`.
    """
    chosen = settings.snapshot.encryption
    if not chosen.enabled:
        return NoEncryption()
    return Encryption(
        read_key_ring(settings.connections.keys, resolve),
        reuse_across_keys=chosen.reuse_across_keys,
        accept_unencrypted=chosen.accept_unencrypted,
    )
