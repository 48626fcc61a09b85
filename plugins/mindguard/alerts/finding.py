"""Reports from checks: that something is wrong, or still is, or that it has recovered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from mindguard.alerts.alert import Alert
from mindguard.errors import one_line
from mindguard.masking import name_of, printable

_LONGEST_KEY = 500  # characters: an index of PostgreSQL refuses rows above 2.7 kB


class RecoveryKey(NamedTuple):
    """The subject of an incident, and so of the recovery that ends it, in two parts. It is stored as `SOURCE:ABOUT`.

    Attributes:
        source: who reports: `airflow`, `monitor`, `volume` and so on.
        about: the source's name for the subject, for instance `snapshot_tables.take` or `event_volume:sos_click`.
    """

    source: str
    about: str

    def __str__(self) -> str:
        return f"{self.source}:{self.about}"

    @classmethod
    def parse(cls, stored: str) -> RecoveryKey:
        """Return the parts of a stored key. A key without a colon is all source, with an empty `about`."""
        source, _, about = stored.partition(":")
        return cls(source, about)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of `about`, from the general to the special: at least one. Run ids of Airflow stay whole."""
        if self.source == "airflow":
            return (self.about,)
        return tuple(part for part in self.about.split(":") if part) or ("",)


class Order(NamedTuple):
    """The order of reports about one subject: that a day or a run went well says nothing about a later one.

    Reports may arrive in another order: an old day is judged again, or the callback of an older run comes late.

    Attributes:
        about: the start of what was judged, aware.
        at: when it was so, aware; it decides between two reports about the same.
    """

    about: datetime
    at: datetime


@dataclass(frozen=True)
class Finding:
    """Somebody reports that something is wrong, or still is.

    Attributes:
        alert: the alert that people read; its fingerprint is the incident's identity.
        source: who reports: `airflow`, `monitor`, `volume` and so on.
        recovery_key: incidents with this key end together, for instance `airflow:snapshot_tables.take`; see
            `RecoveryKey`.
        occurrence: the same for all reports of one event; only the first of them counts. Empty: every report counts.
        parent: recovery key of an incident that would explain this one. While it lasts, nobody is notified of this one.
        about: the start of what was judged (a day, a run), aware; None: the moment at which the alert happened.
    """

    alert: Alert
    source: str
    recovery_key: str
    occurrence: str = ""
    parent: str = ""
    about: datetime | None = None

    @property
    def event(self) -> tuple[str, str]:
        """The identity of the event: its incident's fingerprint, and the occurrence."""
        return self.alert.fingerprint, self.occurrence

    def __post_init__(self) -> None:
        # Names of events, endpoints and runs come from elsewhere, and one that the store cannot keep would cost others.
        for name in ("recovery_key", "occurrence", "parent"):
            object.__setattr__(self, name, name_of(getattr(self, name), _LONGEST_KEY))
        title, subject = one_line(printable(self.alert.title)), name_of(self.alert.subject)
        object.__setattr__(self, "alert", replace(self.alert, title=title, subject=subject))

    @property
    def order(self) -> Order:
        """The place of this report among others about the same subject."""
        return Order(self.about or self.alert.happened_at, self.alert.happened_at)


@dataclass(frozen=True)
class Recovery:
    """Somebody reports that all is well again.

    Attributes:
        recovery_key: ends every unresolved incident with this key, unless its last finding is later in `order`.
        at: when it recovered, aware.
        note: text for the timeline.
        about: the start of what was judged (a day, a run), aware; None: the moment of recovery.
    """

    recovery_key: str
    at: datetime
    note: str = ""
    about: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "recovery_key", name_of(self.recovery_key, _LONGEST_KEY))

    @property
    def order(self) -> Order:
        """The place of this report among others about the same subject."""
        return Order(self.about or self.at, self.at)


class Outcome(NamedTuple):
    """The report of a check: its findings and its recoveries."""

    findings: tuple[Finding, ...]
    recoveries: tuple[Recovery, ...]
