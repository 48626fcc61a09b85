"""The timeline of an incident in the reader's language. Pure.

The database keeps an entry's kind and, where the program itself wrote the entry, a short text that is the same in
every language, for instance `P2 → P1`. This module has both the functions that write these texts and those that read
them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mindguard.alerts.finding import RecoveryKey
from mindguard.alerts.incidents.models import EntryKind, Incident, TimelineEntry
from mindguard.alerts.texts import TEXTS
from mindguard.texts import Locale

_OPENED_AGAIN = re.compile(r"(?P<title>.*) ← (?P<former>I-\d+)", re.DOTALL)
_SILENCED = re.compile(r"(?P<name>S-\d+): (?P<why>.*)", re.DOTALL)
_SEVERITY_CHANGE = re.compile(r"(?P<before>P\d) → (?P<after>P\d)")

# As `mindguard.feishu.transport` writes them; a call may have several of them.
_BETWEEN_CALL_NOTES = "; "
_CALL_IMPOSSIBLE = re.compile(r"not called by (?P<means>app|sms|phone): a custom bot cannot; an app can")
_CALL_NOTES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"nobody called|called by \w+: nobody"), "call_nobody"),
    (re.compile(r"called by app: (?P<names>.*)"), "call_app"),
    (re.compile(r"called by sms: (?P<names>.*)"), "call_sms"),
    (re.compile(r"called by phone: (?P<names>.*)"), "call_phone"),
    (re.compile(r"not reached: (?P<names>.*)"), "call_missed"),
    (re.compile(r"without a Feishu id: (?P<names>.*)"), "call_without_id"),
    (re.compile(r"(?P<means>app|sms|phone) not allowed: (?P<reason>.*)"), "call_refused"),
)


@dataclass(frozen=True)
class ShownEntry:
    """One line of a timeline as a person reads it.

    Attributes:
        at: when it happened, aware.
        what: the kind of the entry, in words.
        by: who did it; empty if nobody did.
        text: further details; it may hold secrets, which the caller masks.
    """

    at: datetime
    what: str
    by: str
    text: str


def shown_timeline(incident: Incident, locale: Locale) -> list[ShownEntry]:
    """Return the entries of an incident's timeline in one language, oldest first."""
    return [shown_entry(entry, locale) for entry in incident.timeline]


def shown_entry(entry: TimelineEntry, locale: Locale) -> ShownEntry:
    """Return one entry in one language. A kind that this version does not know is shown as it is stored."""
    key = f"kind_{entry.kind}"
    what = TEXTS.say(key, locale) if key in TEXTS.words else entry.kind
    read = _READERS.get(entry.kind)
    return ShownEntry(entry.at, what, entry.by, read(entry.text, locale) if read else entry.text)


def opened_text(title: str, former: int | None) -> str:
    """Return the stored text of an entry `opened`.

    Args:
        title: the title of the alert.
        former: number of the last incident with the same fingerprint; None if there was none.
    """
    return f"{title} ← I-{former}" if former else title


def raised_text(before: str, after: str) -> str:
    """Return the stored text of an entry `raised`, from one severity to a worse one."""
    return f"{before} → {after}"


def silenced_text(name: str, why: str) -> str:
    """Return the stored text of an entry `silenced`, with the silence and its reason."""
    return f"{name}: {why}"


def _read_silenced(text: str, locale: Locale) -> str:
    found = _SILENCED.fullmatch(text)
    return TEXTS.say("silenced_by", locale, **found.groupdict()) if found else text


def _read_heard(text: str, locale: Locale) -> str:
    return TEXTS.say("silence_over", locale, name=text)


def _read_reopened(text: str, locale: Locale) -> str:
    return TEXTS.say("begun_again", locale, count=text) if text.isdecimal() else text


def _read_opened(text: str, locale: Locale) -> str:
    found = _OPENED_AGAIN.fullmatch(text)
    return TEXTS.say("opened_again", locale, **found.groupdict()) if found else text


def _read_raised(text: str, locale: Locale) -> str:
    found = _SEVERITY_CHANGE.fullmatch(text)
    return TEXTS.say("severity_change", locale, **found.groupdict()) if found else text


def _read_inhibited(text: str, locale: Locale) -> str:
    """Return the words for the recovery key of the incident that explains this one."""
    key = RecoveryKey.parse(text)
    kind, *name = key.parts
    if f"key_{key.source}_{kind}" in TEXTS.words and name:
        return TEXTS.say(f"key_{key.source}_{kind}", locale, about=" / ".join(name))
    if f"key_{key.source}" in TEXTS.words:
        return TEXTS.say(f"key_{key.source}", locale, about=" / ".join(key.parts))
    return text


def _read_released(text: str, locale: Locale) -> str:
    return TEXTS.say("ended_incident", locale, name=text)


def _read_called(text: str, locale: Locale) -> str:
    if found := _CALL_IMPOSSIBLE.fullmatch(text):
        return TEXTS.say("call_impossible", locale, means=TEXTS.say(f"means_{found['means']}", locale))
    notes = [_read_call_note(note, locale) for note in text.split(_BETWEEN_CALL_NOTES)]
    return TEXTS.say("between_notes", locale).join(notes)


def _read_call_note(note: str, locale: Locale) -> str:
    for pattern, key in _CALL_NOTES:
        if found := pattern.fullmatch(note):
            values = found.groupdict()
            if "means" in values:
                values["means"] = TEXTS.say(f"means_{values['means']}", locale)
            return TEXTS.say(key, locale, **values)
    return note


_READERS: Mapping[EntryKind, Callable[[str, Locale], str]] = {
    "opened": _read_opened,
    "raised": _read_raised,
    "inhibited": _read_inhibited,
    "released": _read_released,
    "called": _read_called,
    "silenced": _read_silenced,
    "heard": _read_heard,
    "reopened": _read_reopened,
}
