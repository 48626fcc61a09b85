"""Makes text safe to show: masks secrets, removes control characters and limits the length.

Error texts quote connection strings, request headers and pre-signed URLs, and a chat group or a log keeps them.
Masking therefore rather hides too much. Mask the whole text first and shorten it afterwards, because half a secret
is not recognised.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

MASK = "***"

# Masking shorter secrets would blank out ordinary words.
_SHORTEST_KNOWN_SECRET = 4

_SHORTEST_WITH_TAIL = 200

_SENSITIVE = r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key)"
# A name may continue (`secret_access_key`, `tokenValue`). Its beginning is not matched, so it may have any prefix.
# The limits keep the search linear on long runs of word characters.
_NAMED = rf"({_SENSITIVE}[\w.-]{{0,40}}\\*[\"']?[ \t]*(?:=>|[:=])[ \t]*)"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", MASK),
        # The last @ before the path ends the password, so that a password may contain an @.
        (r"(://[^\s:/@]{0,200}:)[^\s/?#\"'<>]+@", rf"\1{MASK}@"),
        (r"(/bot/(?:v\d/)?hook/)[^\s\"'<>?#\\]+", rf"\1{MASK}"),
        (
            r"\b((?:X-(?:Amz|Goog|Cos)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|OSSAccessKeyId"
            r"|q-ak|q-signature|Signature)(?:=|%3D))[^&\s\"'<>\\]+",
            rf"\1{MASK}",
        ),
        (r"([?&]sign=)[^&\s\"'<>\\]+", rf"\1{MASK}"),
        (r"(authorization\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?)[^\r\n\"'\\]+", rf"\1{MASK}"),
        (r"\b(bearer[ \t]+)[\w.~+/=-]+", rf"\1{MASK}"),
        # A value in escaped quotes, in quotes, in a query string, or unquoted up to the next space.
        (rf"{_NAMED}(\\+[\"'])[^\r\n]*?(\\+[\"']|$)", rf"\1\2{MASK}\3"),
        (rf"{_NAMED}\"(?:\\.|[^\"\\\n])*(?:\"|$)", rf'\1"{MASK}"'),
        (rf"{_NAMED}'(?:\\.|[^'\\\n])*(?:'|$)", rf"\1'{MASK}'"),
        (rf"([?&][\w.-]{{0,40}}{_SENSITIVE}[\w.-]{{0,40}}=)[^&\s\"'<>\\]+", rf"\1{MASK}"),
        (rf"{_NAMED}(?!\\*[\"']|\*\*\*&)\S+", rf"\1{MASK}"),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", MASK),
    )
)

_CASE_SENSITIVE_PATTERNS = (
    # AWS, Tencent Cloud and Aliyun access key ids.
    re.compile(r"\b(?:(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}|AKID[A-Za-z0-9]{32}|LTAI[A-Za-z0-9]{12,24})\b"),
    # AWS secret keys: 40 base64 characters of mixed case with a digit, unlike a hexadecimal digest.
    re.compile(
        r"(?<![\w/+])(?=[A-Za-z/+]{0,39}\d)(?=[a-z\d/+]{0,39}[A-Z])(?=[A-Z\d/+]{0,39}[a-z])"
        r"[A-Za-z0-9/+]{40}(?![\w/+=])"
    ),
)

_ANSI_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
# Control characters, and the marks that reorder text so that it reads as something else; newline and tab are kept.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


def printable(text: str) -> str:
    """Return the text without terminal escapes, control characters, bidirectional overrides and lone surrogates."""
    text = _ANSI_ESCAPE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("", text).encode("utf-8", "replace").decode("utf-8")


def name_of(text: str, limit: int = 200) -> str:
    """Return a foreign text as a name that can be kept and indexed: one printable line of limited length.

    A name that had to be changed ends in a digest of the original, so that different texts stay different.
    """
    name = " ".join(printable(text).split())
    if name == text and len(name) <= limit:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: limit - len(digest) - 1]}~{digest}"


def mask_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace secrets with `***`: those that the caller knows, and those that are recognisable by their form.

    The recognised forms are passwords in URLs, named values (`password=`, `"token": "…"`,
    `AWS_SECRET_ACCESS_KEY=`), keys of AWS, Tencent Cloud and Aliyun, Feishu hook URLs, `Authorization` headers and
    bearer tokens, JSON web tokens, private keys, and signatures and credentials in pre-signed URLs.

    Args:
        text: the text to mask.
        secrets: values to hide wherever they occur, also URL-encoded or JSON-escaped. Values of fewer than four
            characters are ignored.
    """
    known = {
        form
        for secret in secrets
        if len(secret) >= _SHORTEST_KNOWN_SECRET
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
    }
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    for pattern in _CASE_SENSITIVE_PATTERNS:
        text = pattern.sub(MASK, text)
    return text


def fold(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text: its start and, if it is long, twice as much of its end.

    The end matters more because a traceback says in its last lines what failed. No emoji or accented letter is
    split.
    """
    if len(text) <= limit:
        return text
    if limit < _SHORTEST_WITH_TAIL:
        return text[: _boundary(text, max(limit - 1, 0), step=-1)] + "…"[:limit]
    marker = f"\n… ({len(text) - limit}) …\n"
    tail = (limit - len(marker)) * 2 // 3
    head = limit - len(marker) - tail
    return text[: _boundary(text, head, step=-1)] + marker + text[_boundary(text, len(text) - tail, step=1) :]


def _boundary(text: str, index: int, *, step: int) -> int:
    """Return the nearest place at or beyond `index`, in the direction of `step`, where the text may be cut."""
    while 0 < index < len(text) and _joined(text, index):
        index += step
    return index


def _joined(text: str, index: int) -> bool:
    """Return whether the characters on both sides of `index` form one visible sign."""
    before, after = text[index - 1], text[index]
    if "\u200d" in (before, after) or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # skin tones
        return True
    flags = 0  # two regional indicators make one flag
    while flags < index and "\U0001f1e6" <= text[index - 1 - flags] <= "\U0001f1ff":
        flags += 1
    return flags % 2 == 1 and "\U0001f1e6" <= after <= "\U0001f1ff"
