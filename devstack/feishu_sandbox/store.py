"""The received messages, in an append-only file of JSON lines that is read again after a restart."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from devstack.feishu_sandbox.contract import Answer

_FINGERPRINT = re.compile(r'"element_id":\s*"fp_([0-9a-f]{16})"')


class Store:
    """Messages, oldest first, each with its later changes: the `history` of a card, and `urgent` calls.

    A message of the app is kept in the form of a custom bot's, so that readers need to know only one form.

    Args:
        path: the file, made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.records: list[dict[str, Any]] = []
        self._by_id: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                try:
                    self._apply(json.loads(line))
                except ValueError:
                    continue  # a kill in the middle of the write has cut this line off
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        if self.records or path.stat().st_size:
            self._file.write("\n")  # a line that was cut off must not swallow the next one

    def add(self, message: Any, answer: Answer, at: datetime, **more: Any) -> None:
        """Keep a request for a new message.

        Args:
            message: the message in a custom bot's form; its signature is left out.
            answer: the sandbox's answer.
            at: when it was received, aware.
            **more: `message_id`, `uuid`, `thread` (the message that it replies to).
        """
        message = {k: v for k, v in message.items() if k != "sign"} if isinstance(message, dict) else None
        found = _FINGERPRINT.search(json.dumps(message))
        self._write(
            {
                "received_at": _stamp(at),
                "code": answer.code,
                "msg": answer.msg,
                "fingerprint": found.group(1) if found else None,
                "message": message,
                **more,
            }
        )

    def change(self, message_id: str, message: dict[str, Any], at: datetime) -> None:
        """Put another card in a message's place."""
        self._write({"event": "change", "message_id": message_id, "message": message, "at": _stamp(at)})

    def urge(self, message_id: str, means: str, people: list[str], at: datetime) -> None:
        """Note that people were called to a message."""
        self._write({"event": "urgent", "message_id": message_id, "means": means, "people": people, "at": _stamp(at)})

    def message(self, message_id: str) -> dict[str, Any] | None:
        """Return the message of this id."""
        return self._by_id.get(message_id)

    def by_uuid(self, uuid: str, since: float) -> dict[str, Any] | None:
        """Return the message that was sent with this uuid after `since` (Unix seconds)."""
        for record in reversed(self.records):
            if datetime.fromisoformat(record["received_at"]).timestamp() <= since:
                return None
            if uuid and record.get("uuid") == uuid and record.get("message_id"):
                return record
        return None

    def _write(self, line: dict[str, Any]) -> None:
        self._apply(line)
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _apply(self, line: dict[str, Any]) -> None:
        event = line.get("event")
        if event is None:
            record = dict(line)
            self.records.append(record)
            if record.get("message_id"):
                self._by_id[record["message_id"]] = record
            return
        record = self._by_id[line["message_id"]]
        if event == "urgent":
            record.setdefault("urgent", []).append({key: line[key] for key in ("means", "people", "at")})
            return
        shown_since = record.get("changed_at", record["received_at"])
        record.setdefault("history", []).append({"message": record["message"], "at": shown_since})
        record.update(message=line["message"], changed_at=line["at"])


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
