"""What was reported while the incident store was away, kept until the store takes it.

The folder is on the disk of the machine that reported. Whatever is wrong with the disk costs only this memory, never
the alert.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from mindguard.alerts.alert import Alert
from mindguard.alerts.finding import Finding
from mindguard.masking import fold

log = logging.getLogger(__name__)

KEY_OF_UNSTORED = "mindguard_sent_directly"
"""XCom key under which a failed task keeps its failure if the incident store did not take it."""

_MOST_FILES = 500
_LARGEST = 100_000  # bytes
_LONGEST_DETAIL, _LONGEST_FACT = 6000, 1500  # characters: about what a card shows
_KEPT_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Told:
    """How people were told of a finding without the store.

    Attributes:
        at: when, aware.
        message_id: the message, if it can be changed later; otherwise empty.
        form: the form of the message.
    """

    at: datetime
    message_id: str = ""
    form: str = "card"


@dataclass(frozen=True)
class Unstored:
    """A finding that the store has not taken yet; `told` is None if nobody was told of it."""

    finding: Finding
    told: Told | None = None

    @property
    def to_store(self) -> Finding:
        """The finding with an occurrence, so that it counts once, however often it is adopted."""
        at = self.finding.alert.happened_at
        return replace(self.finding, occurrence=self.finding.occurrence or f"direct {at.isoformat()}")

    def is_about(self, finding: Finding) -> bool:
        """Return whether it is a report of the same event."""
        return self.finding.event == finding.event

    def to_text(self) -> str:
        """Return the finding as JSON of limited size; `Alert.to_json` masks secrets."""
        alert = self.finding.alert
        facts = tuple(replace(fact, value=fold(fact.value, _LONGEST_FACT)) for fact in alert.facts)
        short = replace(alert, facts=facts, detail=fold(alert.detail, _LONGEST_DETAIL)).to_json()
        finding = self.finding
        kept: dict[str, Any] = {
            "alert": short,
            "source": finding.source,
            "recovery_key": finding.recovery_key,
            "occurrence": finding.occurrence,
            "parent": finding.parent,
            "about": finding.about.isoformat() if finding.about else None,
        }
        if self.told:
            kept["told"] = {
                "at": self.told.at.isoformat(),
                "message_id": self.told.message_id,
                "form": self.told.form,
            }
        return json.dumps(kept, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return what `to_text` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            kept = json.loads(text)
            finding = Finding(
                Alert.from_json(kept["alert"]),
                source=str(kept["source"]),
                recovery_key=str(kept["recovery_key"]),
                occurrence=str(kept["occurrence"]),
                parent=str(kept["parent"]),
                about=_moment(kept["about"]) if kept["about"] else None,
            )
            told = kept.get("told")
            return cls(finding, _told(told) if told else None)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no finding: {type(error).__name__}") from None


def replaces(new: Alert, old: Alert) -> bool:
    """Return whether a report of the same event knows the error, which the other one did not."""
    return old.error_unknown and not new.error_unknown


class Spool:
    """The folder for findings that the store has not taken. No method raises an error of the disk.

    Args:
        folder: it is created when it is needed, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, unstored: Unstored) -> None:
        """Write a finding down, in the place of what was kept of the same event."""
        try:
            self._write(unstored)
        except Exception as error:  # noqa: BLE001 - the disk is full or read-only; the alert matters more
            log.warning("a finding is not kept for the incident store: %s", _reason(error))

    def find(self, finding: Finding) -> Unstored | None:
        """Return what was kept of the same event."""
        path = self._path(finding)
        return self._read(path) if self._private() and path.is_file() else None

    def all(self) -> list[Unstored]:
        """Return all that is kept, oldest first. What is too old or cannot be read is removed."""
        kept = [self._read(path) for path in self._files()]
        return sorted((each for each in kept if each), key=lambda each: each.finding.order)

    def remove(self, unstored: Unstored) -> None:
        """Forget a finding that the store has taken, unless more has become known since."""
        path = self._path(unstored.finding)
        if (now_kept := self._read(path)) and now_kept.to_text() != unstored.to_text():
            return
        self._unlink(path)

    def _path(self, finding: Finding) -> Path:
        identity = json.dumps(finding.event)
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"

    def _private(self) -> bool:
        """Return whether the folder is there, and belongs to this user alone: others could write alerts into it."""
        try:
            found = os.lstat(self._folder)
        except OSError:
            return False
        owned = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        return owned and not stat.S_IMODE(found.st_mode) & 0o077

    def _write(self, unstored: Unstored) -> None:
        content = unstored.to_text().encode()
        if len(content) > _LARGEST:
            raise ValueError(f"{len(content)} bytes are too many")
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if not self._private():
            raise PermissionError(f"{self._folder} is not a folder of this user alone")
        path = self._path(unstored.finding)
        if not path.exists() and len(self._files()) >= _MOST_FILES:
            raise ValueError(f"{_MOST_FILES} findings are kept already")
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(content)
            temporary.replace(path)
        finally:
            self._unlink(temporary)

    def _files(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.json")) if self._private() else []
        except OSError:
            return []

    def _read(self, path: Path) -> Unstored | None:
        try:
            found = os.lstat(path)
            if time.time() - found.st_mtime < _KEPT_S and stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST:
                return Unstored.from_text(path.read_text("utf-8"))
            log.warning("a finding that was kept for the incident store is too old")
        except FileNotFoundError:
            return None  # another process has brought it to the store
        except OSError as error:
            log.warning("a finding that was kept for the incident store cannot be read: %s", _reason(error))
            return None
        except ValueError:
            log.warning("a finding that was kept for the incident store is damaged")
        self._unlink(path)
        return None

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a finding that was kept for the incident store cannot be removed: %s", _reason(error))


def _told(kept: Mapping[str, Any]) -> Told:
    return Told(_moment(kept["at"]), str(kept["message_id"]), str(kept["form"]))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) and error.errno else str(error)
