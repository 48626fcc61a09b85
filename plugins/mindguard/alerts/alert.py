"""The neutral alert: what happened, to what, and since when. It depends on no channel and no markup."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from mindguard.alerts.severity import Severity
from mindguard.masking import mask_secrets, printable
from mindguard.texts import Locale

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Fact:
    """One named value, with the expected or allowed value if there is one.

    `wrong` marks the value that caused the alert; renderers emphasise it.
    """

    name: str
    value: str
    expected: str = ""
    wrong: bool = False


@dataclass(frozen=True)
class Link:
    """A page to open next: log, runbook, rerun. Only http and https addresses are shown."""

    label: str
    url: str


@dataclass(frozen=True)
class Person:
    """Somebody on duty. `feishu_id` is an open_id (`ou_…`); `role` is for instance `primary` or `backup`."""

    name: str
    feishu_id: str = ""
    phone: str = ""
    role: str = ""


@dataclass(frozen=True)
class Release:
    """A released version: when (aware), to which share of the users (0 to 1), and whether it was rolled back."""

    version: str
    released_at: datetime
    share: float | None = None
    rolled_back: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table; each row has as many cells as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A line over labels, oldest first; `expected` is a second line and `mark` the label where it went wrong."""

    title: str
    points: tuple[tuple[str, float], ...]
    mark: str | None = None
    expected: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class FailedInstance:
    """A failed instance of a mapped task, by its map index.

    Attributes:
        error: its error as one line; empty if it is not known, None if there are too many different ones to keep.
    """

    index: int
    error: str | None = ""


@dataclass(frozen=True)
class FailedInstances:
    """The instances of a mapped task that failed in one run, in the order in which they were reported.

    Attributes:
        occurrence: the identity of the run's failure.
        whole: whether the run itself has been asked, so that none is missing.
        locale: language of the facts that are made from them.
    """

    occurrence: str
    failed: tuple[FailedInstance, ...]
    whole: bool
    locale: Locale


@dataclass(frozen=True)
class Question:
    """What makes an alert a question to a person: until when it can be answered, and the answer.

    Attributes:
        answer_by: when it ends without an answer, aware; None: never.
        answer: the answer; empty while it is awaited.
        answered_by: who answered; empty: nobody, or it is not known.
        answered_at: when it was answered, or ended without an answer, aware.
    """

    answer_by: datetime | None = None
    answer: Literal["", "approved", "rejected", "expired"] = ""
    answered_by: str = ""
    answered_at: datetime | None = None


@dataclass(frozen=True)
class Alert:
    """One thing that a person must know.

    Attributes:
        title: what is wrong, in one line, in the reader's language.
        severity: how soon someone must answer.
        subject: the thing that it is about: a table, a DAG and task, an event.
        happened_at: when the problem began, aware.
        known_at: when people learned of it, aware; the time to respond counts from then. None: at `happened_at`.
        fingerprint: the same for every report of the same incident; see `fingerprint()`.
        facts: the facts, most important first; a renderer short of space drops the last ones.
        detail: free text such as a traceback; the first thing that a renderer cuts.
        links: the links, most useful first.
        resolved_at: when it ended, aware; None while it lasts.
        incident_id: the incident's name for people, for instance `I-1042`; empty if it is not recorded.
        acknowledge_url: the page where a person takes it. Its address carries its own permission and is not masked.
        acknowledged_by: who took it; `acknowledged_at` (aware) says when.
        flaps: number of times that it began again and again; 0 if it does not come and go.
        occurrences: number of reports; `last_seen_at` (aware) is the time of the last one.
        escalated_to: who was called because nobody took it.
        silence: the silence because of which nobody is called, for instance `S-3`; empty if there is none.
        silenced_until: when that silence ends, aware.
        duty: who is on duty, primary first.
        mention: whether the card mentions them, which notifies them.
        releases: the latest releases, newest first.
        table: further rows, for instance the causes of a fall.
        chart: the development of the value.
        error_unknown: whether the reporter does not know the error; a report of the same event that does replaces it.
        instances: if a mapped task failed, which of its instances; the first facts say so too.
        question: if it asks a person for approval, until when, and what was answered; None: it is no question.

    Raises:
        ValueError: a time has no time zone, so it would be shown wrong by hours.
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
    incident_id: str = ""
    acknowledge_url: str = ""
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    flaps: int = 0
    occurrences: int = 1
    last_seen_at: datetime | None = None
    escalated_to: str = ""
    silence: str = ""
    silenced_until: datetime | None = None
    duty: tuple[Person, ...] = ()
    mention: bool = False
    releases: tuple[Release, ...] = ()
    table: Table | None = None
    chart: Chart | None = None
    known_at: datetime | None = None
    error_unknown: bool = False
    instances: FailedInstances | None = None
    question: Question | None = None

    def __post_init__(self) -> None:
        moments = (self.happened_at, self.resolved_at, self.acknowledged_at, self.last_seen_at, self.known_at)
        question = (self.question.answer_by, self.question.answered_at) if self.question else ()
        for moment in (*moments, *question, self.silenced_until, *(release.released_at for release in self.releases)):
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(f"{moment!r} has no time zone")

    @property
    def to_be_taken(self) -> bool:
        """Whether a person can and should take the incident now at `acknowledge_url`."""
        return bool(self.acknowledge_url) and not self.resolved and not self.acknowledged_by

    def to_json(self) -> dict[str, Any]:
        """Return the alert for a store, without fields that have their default, and with times in ISO format.

        Secrets that can be recognised by their form are masked, and characters that jsonb refuses are removed.
        """
        plain = _adapter().dump_python(self, mode="json", exclude_defaults=True)
        if self.instances:
            plain["instances"]["failed"] = _by_error(plain["instances"]["failed"])
        plain = _storable(plain)
        if self.acknowledge_url:
            plain["acknowledge_url"] = self.acknowledge_url
        return dict(plain)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Alert:
        """Return the alert that `to_json` wrote.

        Raises:
            ValueError: a field is unknown or has another type.
        """
        if isinstance(stored.get("instances"), dict):
            failed = _each_with_its_error(stored["instances"].get("failed"))
            stored = {**stored, "instances": {**stored["instances"], "failed": failed}}
        # Strict validation of JSON turns a string into a time or a severity, but converts nothing else.
        return _adapter().validate_json(json.dumps(stored), strict=True, extra="forbid")

    @property
    def resolved(self) -> bool:
        """Whether the alert reports the end of an incident."""
        return self.resolved_at is not None

    @property
    def respond_by(self) -> datetime:
        """The time by which someone must have taken the incident."""
        return (self.known_at or self.happened_at) + self.severity.respond_within


@dataclass(frozen=True)
class DigestLine:
    """One incident of a digest, or `count` alike. `state` is open, acknowledged or resolved, or free text."""

    severity: Severity
    count: int
    title: str
    subject: str
    incident_id: str = ""
    state: str = ""


@dataclass(frozen=True)
class Digest:
    """Several incidents in one message: a storm of incidents, a handover between shifts, or overdue reviews.

    Attributes:
        title: the title, in the reader's language.
        severity: the worst severity of the groups.
        happened_at: the moment that the digest describes, aware.
        groups: the groups of incidents, worst first; a renderer short of space drops the last ones and says how many.
        kind: the reason for the digest.
        duty: the people who take over, or whose review is overdue.
        mention: whether the card mentions them, which notifies them.
        links: the links, most useful first.
    """

    title: str
    severity: Severity
    happened_at: datetime
    groups: tuple[DigestLine, ...]
    kind: Literal["storm", "handover", "review"]
    duty: tuple[Person, ...] = ()
    mention: bool = False
    links: tuple[Link, ...] = ()

    def __post_init__(self) -> None:
        if self.happened_at.utcoffset() is None:
            raise ValueError(f"{self.happened_at!r} has no time zone")


@cache
def _adapter() -> TypeAdapter[Alert]:
    from pydantic import TypeAdapter

    return TypeAdapter(Alert)


def _by_error(failed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return failed instances with each error once: a thousand copies of a long error are too large to keep."""
    indexes: dict[str | None, list[int]] = {}
    for each in failed:
        indexes.setdefault(each.get("error", ""), []).append(each["index"])
    return [{"indexes": of_error, "error": error} for error, of_error in indexes.items()]


def _each_with_its_error(failed: Any) -> Any:
    """Return failed instances as `_by_error` got them; those with an error each, as they were once stored, stay so."""
    if not isinstance(failed, list):
        return failed
    known = [each for each in failed if isinstance(each, dict) and isinstance(each.get("indexes"), list)]
    if len(known) != len(failed):
        return failed
    return [{"index": index, "error": each.get("error")} for each in known for index in each["indexes"]]


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return mask_secrets(printable(value))
    if isinstance(value, dict):
        return {key: _storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(inner) for inner in value]
    return value


def fingerprint(source: str, subject: str, **dimensions: object) -> str:
    """Return the identity of an incident: 16 hexadecimal digits that are the same in every process.

    Args:
        source: who reports, for instance a dag_id or a monitor's name.
        subject: the thing that the alert is about.
        **dimensions: whatever else distinguishes two incidents, for instance the run. They are compared as text,
            in any order.
    """
    identity = [source, subject, sorted((name, str(value)) for name, value in dimensions.items())]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
