"""The keys of all objects in the bucket under the prefix.

```
<prefix>/parts/<table>/<content id>-<run>.parquet
<prefix>/schema/<digest>-<run>.dump
<prefix>/snapshots/<date>/<snapshot id>.json          the manifest
<prefix>/snapshots/<date>/<snapshot id>.proof.json    a restore drill proved the snapshot
<prefix>/snapshots/<date>/<snapshot id>.hold.json     the snapshot is kept whatever its age
<prefix>/snapshots/<date>/<snapshot id>.doubt.json    its values may be older than it says
<prefix>/damaged/<digest of a key>.json               the object under that key is damaged
<prefix>/verified/<snapshot id>/<time>-<random>.json  when the snapshot's objects were last read
<prefix>/drills/<snapshot id>/<time>-<random>.json    a restore drill rebuilt some of its tables
<prefix>/probe/<random>                               written and removed by `mindguard doctor`
```
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args
from urllib.parse import quote

MANIFEST = re.compile(r"/\d{4}-\d\d-\d\d/[^/.]+\.json$")

Kind = Literal["part", "schema", "manifest", "proof", "hold", "doubt", "probe", "damaged", "verified", "drill"]
Beside = Literal["proof", "hold", "doubt"]
"""What may be stored beside a manifest, which itself never changes."""
BESIDE: tuple[Beside, ...] = get_args(Beside)

_STAMP = r"\d{8}T\d{6}Z-[0-9a-f]+"
_SNAPSHOT = rf"snapshots/\d{{4}}-\d\d-\d\d/{_STAMP}"

_LAYOUT: dict[Kind, re.Pattern[str]] = {
    "part": re.compile(r"parts/[^/]+/[0-9a-f]{40,64}(?:-[0-9a-f]+)?\.parquet"),
    "schema": re.compile(r"schema/[0-9a-f]{64}(?:-[0-9a-f]+)?\.dump"),
    "manifest": re.compile(rf"{_SNAPSHOT}\.json"),
    "proof": re.compile(rf"{_SNAPSHOT}\.proof\.json"),
    "hold": re.compile(rf"{_SNAPSHOT}\.hold\.json"),
    "doubt": re.compile(rf"{_SNAPSHOT}\.doubt\.json"),
    "probe": re.compile(r"probe/[0-9a-f]{16}"),
    "damaged": re.compile(r"damaged/[0-9a-f]{64}\.json"),
    "drill": re.compile(rf"drills/{_STAMP}/{_STAMP}\.json"),
    "verified": re.compile(rf"verified/{_STAMP}/{_STAMP}\.json"),
}


_RUN = re.compile(r"-([0-9a-f]{8})([0-9a-f]{6})\.[a-z]+$")
_ID = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]+")
_TIME = "%Y%m%dT%H%M%SZ"
_BELOW = re.compile(f"(?:^|/)({'|'.join(pattern.pattern for pattern in _LAYOUT.values())})$")


def below_prefix(key: str) -> str | None:
    """Return what follows the prefix in a key, whatever the prefix; None: the key does not belong to this package."""
    found = _BELOW.search(key)
    return found[1] if found else None


def run_of(snapshot_id: str) -> str:
    """Return the hexadecimal digits that end the keys of the parts that the snapshot's run writes.

    They tell which snapshot an object was written for, so that its manifest can be looked up without a listing.
    """
    return f"{round(time_in(snapshot_id).timestamp()):08x}{snapshot_id.rpartition('-')[2]}"


def is_snapshot_id(text: str) -> bool:
    """Return whether the text may be the id of a snapshot."""
    try:
        time_in(text)
    except ValueError:
        return False
    return True


def time_in(snapshot_id: str) -> datetime:
    """Return the time, aware, with which a snapshot's id begins.

    Raises:
        ValueError: it is no snapshot's id.
    """
    found = _ID.fullmatch(snapshot_id)
    if not found:
        raise ValueError(f"{snapshot_id!r} is no snapshot's id")
    return datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Layout:
    """The keys under one prefix, which neither begins nor ends with a slash."""

    prefix: str

    def part_key(self, table: str, content_id: str) -> str:
        """Return the key of a part. The table's name is percent-encoded, because it may contain any character."""
        return f"{self.prefix}/parts/{quote(table, safe='.')}/{content_id}.parquet"

    def schema_key(self, digest: str) -> str:
        """Return the key of a schema dump; `digest` is that of the schema's SQL, not of the stored bytes."""
        return f"{self.prefix}/schema/{digest}.dump"

    def manifest_key(self, day: date, snapshot_id: str) -> str:
        """Return the key of a manifest; `day` is the day it was taken, in the settings' time zone."""
        return f"{self.prefix}/snapshots/{day:%Y-%m-%d}/{snapshot_id}.json"

    def possible_manifest_keys(self, snapshot_id: str) -> set[str]:
        """Return the keys of a snapshot's manifest in all time zones."""
        try:
            day = time_in(snapshot_id).date()
            return {self.manifest_key(day + timedelta(days=days), snapshot_id) for days in (-1, 0, 1)}
        except (ValueError, OverflowError):  # nobody took a snapshot at such a time
            return set()

    def written_for(self, key: str) -> str | None:
        """Return the id of the snapshot that an object belongs to, or for which it was written first.

        Nobody can tell from the names of parts that versions up to 0.1 wrote.
        """
        if self.kind(key) in ("manifest", *BESIDE):
            return key.rpartition("/")[2].partition(".")[0]
        if self.kind(key) in ("verified", "drill"):
            return key.split("/")[-2]
        if self.kind(key) in ("part", "schema") and (found := _RUN.search(key)):
            return f"{datetime.fromtimestamp(int(found[1], 16), UTC):{_TIME}}-{found[2]}"
        return None

    def check_key(self, snapshot_id: str, at: datetime, suffix: str) -> str:
        """Return the key of a record of a verification that began at this time; the suffix makes it unique."""
        return f"{self.prefix}/verified/{snapshot_id}/{at.astimezone(UTC):{_TIME}}-{suffix}.json"

    def drill_key(self, snapshot_id: str, at: datetime, suffix: str) -> str:
        """Return the key of a record of a part of a drill; the suffix makes it unique."""
        return f"{self.prefix}/drills/{snapshot_id}/{at.astimezone(UTC):{_TIME}}-{suffix}.json"

    def damage_key(self, key: str) -> str:
        """Return the key of the note that the object under `key` is damaged; a copy under another prefix keeps it."""
        return self._damage_key(below_prefix(key) or key)

    def damage_keys(self, key: str) -> set[str]:
        """Return the keys under which that note may be: versions up to 0.1 named it after the whole key."""
        return {self.damage_key(key), self._damage_key(key)}

    def _damage_key(self, name: str) -> str:
        return f"{self.prefix}/damaged/{hashlib.sha256(name.encode()).hexdigest()}.json"

    @staticmethod
    def beside(manifest_key: str, kind: Beside) -> str:
        """Return the key of what is stored of this kind beside a manifest."""
        return f"{manifest_key.removesuffix('.json')}.{kind}.json"

    def kind(self, key: str) -> Kind | None:
        """Return which kind of object has this key; None: it does not belong to this package."""
        folder, below = key[: len(self.prefix) + 1], key[len(self.prefix) + 1 :]
        if folder != f"{self.prefix}/":
            return None
        return next((kind for kind, pattern in _LAYOUT.items() if pattern.fullmatch(below)), None)
