"""The neutral alert: what happened, to what, since when. It knows no channel and no markup."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from mindguard.alerts.severity import Severity


@dataclass(frozen=True)
class Fact:
    """One named value, with the value that was expected or allowed where there is one.

    `wrong` marks the value that caused the alert; renderers emphasise it.
    """

    name: str
    value: str
    expected: str = ""
    wrong: bool = False


@dataclass(frozen=True)
class Link:
    """A place to go next: log, runbook, rerun. Only http and https addresses are shown."""

    label: str
    url: str


@dataclass(frozen=True)
class Alert:
    """One thing that a person must know.

    Attributes:
        title: what is wrong, in one line, in the reader's language.
        severity: how soon someone must answer.
        subject: what it is about: a table, a DAG and task, an event.
        happened_at: aware; since when it is so.
        fingerprint: the same for every report of the same incident; see `fingerprint()`.
        facts: most important first; a renderer short of space drops the last ones.
        detail: free text such as a traceback; the first thing that a renderer cuts.
        links: most useful first.
        resolved_at: aware; when it ended. None while it lasts.

    Raises:
        ValueError: a time without zone, which would be shown wrong by hours.
    """

    title: str
    severity: Severity
    subject: str
    happened_at: datetime
    fingerprint: str
    facts: tuple[Fact, ...] = ()
    detail: str = ""
    links: tuple[Link, ...] = ()
    resolved_at: datetime | None = None

    def __post_init__(self) -> None:
        for moment in (self.happened_at, self.resolved_at):
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(f"{moment!r} has no time zone")

    @property
    def resolved(self) -> bool:
        """Whether this reports the end of an incident."""
        return self.resolved_at is not None

    @property
    def respond_by(self) -> datetime:
        """When someone must have taken it."""
        return self.happened_at + self.severity.respond_within


def fingerprint(source: str, subject: str, **dimensions: object) -> str:
    """Identity of an incident: 16 hexadecimal digits, stable across processes and the order of dimensions.

    Args:
        source: who reports, for instance a dag_id or a monitor's name.
        subject: what it is about.
        dimensions: whatever else tells two incidents apart, for instance the run. Compared as text.
    """
    identity = [source, subject, sorted((name, str(value)) for name, value in dimensions.items())]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
