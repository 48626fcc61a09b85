"""Several incidents as one message of a few lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from mindguard.alerts.alert import Digest, DigestLine
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.texts import Locale

if TYPE_CHECKING:
    from pydantic import TypeAdapter


_MOST_LINES = 40
"""Lines of a digest that fit on a Feishu card."""


@cache
def digests() -> TypeAdapter[Digest]:
    """Return the converter of digests to JSON and back."""
    from pydantic import TypeAdapter

    return TypeAdapter(Digest)


def digest_lines(incidents: Sequence[Incident], locale: Locale) -> tuple[DigestLine, ...]:
    """Return a few lines for many incidents, worst first; each incident is named in one of the lines."""
    distinct = sorted({incident.id: incident for incident in incidents}.values(), key=lambda each: each.id)
    lines: list[DigestLine] = []
    for title_of in (
        lambda incident: incident.alert.title,
        lambda incident: TEXTS.say("various", locale, source=incident.source),
        lambda incident: TEXTS.say("various", locale, source="…"),
    ):
        together: dict[tuple[str, str, str], list[Incident]] = defaultdict(list)
        for incident in distinct:
            together[incident.severity, _state(incident), title_of(incident)].append(incident)
        lines = [
            DigestLine(
                severity=Severity(severity),
                count=len(group),
                title=title,
                subject=group[0].alert.subject + (" …" if len(group) > 1 else ""),
                incident_id=_names(group),
                state=state,
            )
            for (severity, state, title), group in sorted(together.items())
        ]
        if len(lines) <= _MOST_LINES:
            break
    return tuple(lines)


def _state(incident: Incident) -> str:
    if not incident.silenced_by:
        return incident.state
    return "silenced_over" if incident.state == "resolved" else "silenced"


def _names(incidents: Sequence[Incident]) -> str:
    """Return the names with runs joined, for instance `I-3–I-9, I-12`."""
    runs: list[list[int]] = []
    for incident in incidents:
        if runs and incident.id == runs[-1][1] + 1:
            runs[-1][1] = incident.id
        else:
            runs.append([incident.id, incident.id])
    return ", ".join(f"I-{first}" if first == last else f"I-{first}–I-{last}" for first, last in runs)
