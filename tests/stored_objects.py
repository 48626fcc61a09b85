"""Tamper with stored objects behind the package's back."""

from __future__ import annotations

from collections.abc import Callable

from mindguard.snapshots.storage.store import Store


def overwrite(store: Store, key: str, body: bytes) -> None:
    """Store other bytes under the key, without the metadata that the package writes."""
    store._client.put_object(Bucket=store.bucket, Key=key, Body=body)


def damage(store: Store, key: str, change: Callable[[bytes], bytes]) -> None:
    """Change an object's bytes and leave its recorded SHA-256 as it was, as a rotten disk does."""
    metadata = store._client.head_object(Bucket=store.bucket, Key=key)["Metadata"]
    store._client.put_object(Bucket=store.bucket, Key=key, Body=change(store.read(key)), Metadata=metadata)


def flipped(body: bytes, position: int = 0) -> bytes:
    """Return the bytes with one bit changed in the byte at this position."""
    changed = bytearray(body)
    changed[position] ^= 1
    return bytes(changed)


def remove(store: Store, key: str) -> None:
    """Delete one object."""
    store._client.delete_object(Bucket=store.bucket, Key=key)


def copy_objects(source: Store, target: Store) -> None:
    """Copy every object of one bucket into another, where a test may damage it."""
    for key in source.keys():  # noqa: SIM118 - a store is not a mapping
        overwrite(target, key, source.read(key))
