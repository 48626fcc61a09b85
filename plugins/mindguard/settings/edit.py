"""Changes to a settings file that keep every other line, comment and value as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mindguard.documents import child, composed, parsed
from mindguard.errors import MindGuardError, SettingsError
from mindguard.settings import Settings
from mindguard.settings.volume import KeyEvent

_INSTALLED = ("site-packages", "dist-packages")


def own_settings(path: Path) -> Path:
    """Return the file, which may be changed.

    Raises:
        SettingsError: it belongs to the installed package, and the next upgrade would undo a change.
    """
    if any(part in _INSTALLED for part in path.resolve().parts):
        raise SettingsError(
            f"{path} belongs to the installed package, and an upgrade replaces it",
            hint="`mindguard init FILE` writes settings of your own; name that file in MINDGUARD_SETTINGS",
        )
    return path


def add_key_event(path: Path, name: str) -> None:
    """Add one more key event to a settings file, which may be JSON.

    Raises:
        SettingsError: the file cannot be changed without changing anything else; nothing was written.
    """
    with path.open(encoding="utf-8", newline="") as opened:
        before = opened.read()
    settings = parsed(before, Settings, name=str(path), error=SettingsError)
    wanted = settings.model_copy(update={"key_events": (*settings.key_events, KeyEvent(name=name))})
    after = _with_key_event(before, name)
    try:
        read = parsed(after, Settings, name=str(path), error=SettingsError)
    except MindGuardError:
        read = None
    if read != wanted:
        raise SettingsError(
            f"{path} is written in a way in which nothing can be added to it safely",
            hint=f"add {{name: {json.dumps(name, ensure_ascii=False)}}} to key_events by hand",
        )
    with path.open("w", encoding="utf-8", newline="") as opened:
        opened.write(after)


def _with_key_event(text: str, name: str) -> str:
    root = composed(text)
    found = child(root, "key_events")
    quoted = json.dumps(name, ensure_ascii=False)
    if root.flow_style:
        entry = f'{{"name": {quoted}}}'  # JSON
        if not found:
            return _inserted(text, root, f'"key_events": [{entry}]')
    else:
        entry = f"{{name: {name if _is_plain(name) else quoted}}}"
        if not found:
            return f"{text.rstrip()}{_newline(text)}key_events:{_newline(text)}  - {entry}{_newline(text)}"
    listed = found[1]
    return _inserted(text, listed, entry) if listed.flow_style else _with_line(text, listed, entry)


def _is_plain(name: str) -> bool:
    from ruamel.yaml import YAML

    return bool(re.fullmatch(r"\w+", name)) and YAML(typ="safe").load(name) == name


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _inserted(text: str, node: Any, more: str) -> str:
    """Return the text with one more entry before the closing bracket of a list or mapping."""
    end = node.end_mark.index - 1
    begin = text[:end].rstrip()
    comma = "" if begin.endswith(("[", "{", ",")) else ","
    gap = " " if comma and "\n" not in text[len(begin) : end] else text[len(begin) : end]
    return f"{begin}{comma}{gap}{more}{text[len(begin) : end]}{text[end:]}"


def _with_line(text: str, listed: Any, entry: str) -> str:
    """Return the text with one more line after the last entry of a list that is written with dashes."""
    lines = text.splitlines(keepends=True)
    dash = " " * listed.start_mark.column
    end = listed.value[-1].start_mark.line + 1
    while end < len(lines) and lines[end].startswith(f"{dash} "):  # further lines of the last entry
        end += 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += _newline(text)
    return "".join([*lines[:end], f"{dash}- {entry}{_newline(text)}", *lines[end:]])
