"""The document that the review of an incident starts from, in Markdown. Pure.

Source: operations document, section 6.1: timeline, impact, root cause, remedy; 6.3: action items with their owners.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.timeline import shown_timeline
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.masking import mask_secrets, printable
from mindguard.texts import Locale

_MARKUP = str.maketrans({character: f"\\{character}" for character in r"\`*_[]<>#|"})


def postmortem(incident: Incident, *, locale: Locale, zone: ZoneInfo) -> str:
    """Return the post-mortem of an incident with its timeline; what nobody has written yet is marked as such."""

    def say(key: str, **values: str) -> str:
        return TEXTS.say(key, locale, **values)

    def moment(at: datetime | None, otherwise: str) -> str:
        return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if at else say(otherwise)

    def section(key: str, text: str) -> list[str]:
        return [f"## {say(key)}", "", _safe(text) or say("missing"), ""]

    severity = Severity(incident.severity)
    taken = moment(incident.acknowledged_at, "nobody")
    lasted = incident.resolved_at and str(int((incident.resolved_at - incident.opened_at).total_seconds() // 60))
    summary = (
        ("severity", f"{severity} {severity.label(locale)}"),
        ("subject", incident.alert.subject),
        ("began", moment(incident.opened_at, "unresolved")),
        ("acknowledged_at", f"{taken} {incident.acknowledged_by}".strip()),
        ("ended", f"{moment(incident.resolved_at, 'unresolved')} {incident.resolved_by}".strip()),
        ("lasted", lasted or say("unresolved")),
        ("occurrences", str(incident.occurrences)),
    )
    lines = [
        f"# {say('postmortem', name=incident.name, title=_safe(incident.alert.title))}",
        "",
        *(f"- {say(key)}{say('colon')}{_safe(value)}" for key, value in summary),
        "",
        *section("impact", incident.impact),
        *section("cause", incident.cause),
        *section("remedy", incident.remedy),
        f"## {say('timeline')}",
        "",
        *_table(
            (say("time", zone=zone.key), say("what"), say("who"), say("text")),
            (
                (moment(each.at, "unresolved"), each.what, each.by, each.text)
                for each in shown_timeline(incident, locale)
            ),
        ),
        "",
        f"## {say('actions')}",
        "",
    ]
    if incident.actions:
        actions = ((each["text"], each["owner"], each["due"]) for each in incident.actions)
        lines += _table((say("action"), say("owner"), say("due")), actions)
    else:
        lines.append(say("missing"))
    return "\n".join([*lines, ""])


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(_safe(cell) for cell in row)} |" for row in rows),
    ]


def _safe(text: str) -> str:
    """Return the text as one line without secrets and without markup."""
    return " ".join(mask_secrets(printable(text)).split()).translate(_MARKUP)
