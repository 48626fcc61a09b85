"""The keys of everything that lies in the bucket under the prefix.

```
<prefix>/parts/<table>/<content id>-<run>.parquet
<prefix>/schema/<digest>-<run>.dump
<prefix>/snapshots/<date>/<snapshot id>.json          the manifest
<prefix>/snapshots/<date>/<snapshot id>.proof.json    a restore drill proved it
<prefix>/snapshots/<date>/<snapshot id>.hold.json     kept whatever its age
<prefix>/probe/<random>                               written and removed by `mindguard doctor`
```
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import quote

MANIFEST = re.compile(r"/\d{4}-\d\d-\d\d/[^/.]+\.json$")


Kind = Literal["part", "schema", "manifest", "proof", "hold", "probe", "damaged"]


_FILED = r"snapshots/\d{4}-\d\d-\d\d/\d{8}T\d{6}Z-[0-9a-f]+"


_LAYOUT: dict[Kind, re.Pattern[str]] = {
    "part": re.compile(r"parts/[^/]+/[0-9a-f]{40,64}(-[0-9a-f]+)?\.parquet"),
    "schema": re.compile(r"schema/[0-9a-f]{64}(-[0-9a-f]+)?\.dump"),
    "manifest": re.compile(rf"{_FILED}\.json"),
    "proof": re.compile(rf"{_FILED}\.proof\.json"),
    "hold": re.compile(rf"{_FILED}\.hold\.json"),
    "probe": re.compile(r"probe/[0-9a-f]{16}"),
    "damaged": re.compile(r"damaged/[0-9a-f]{64}\.json"),
}


@dataclass(frozen=True)
class Layout:
    """The keys under one prefix, which has no slashes at its ends."""

    prefix: str

    def part_key(self, table: str, content_id: str) -> str:
        """Key of a part. The table's name is percent-encoded: it may hold anything."""
        return f"{self.prefix}/parts/{quote(table, safe='.')}/{content_id}.parquet"

    def schema_key(self, digest: str) -> str:
        """Key of a schema dump; `digest` is of what it says, not of its bytes."""
        return f"{self.prefix}/schema/{digest}.dump"

    def manifest_key(self, day: date, snapshot_id: str) -> str:
        """Key of a manifest; `day` is the day the snapshot was taken, in the settings' time zone."""
        return f"{self.prefix}/snapshots/{day:%Y-%m-%d}/{snapshot_id}.json"

    def damage_key(self, key: str) -> str:
        """Key of the note that the object under `key` is damaged."""
        return f"{self.prefix}/damaged/{hashlib.sha256(key.encode()).hexdigest()}.json"

    @staticmethod
    def beside(manifest_key: str, kind: Literal["proof", "hold"]) -> str:
        """Key of what is kept beside a manifest; manifests themselves never change."""
        return f"{manifest_key.removesuffix('.json')}.{kind}.json"

    def kind(self, key: str) -> Kind | None:
        """What the layout says the key is; None: it is not ours."""
        folder, below = key[: len(self.prefix) + 1], key[len(self.prefix) + 1 :]
        if folder != f"{self.prefix}/":
            return None
        return next((kind for kind, pattern in _LAYOUT.items() if pattern.fullmatch(below)), None)
