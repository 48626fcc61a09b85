"""What somebody reports: that something is wrong, or still is; and that it is well again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from mindguard.alerts.alert import Alert


@dataclass(frozen=True)
class Finding:
    """Somebody reports that something is wrong, or still is.

    Attributes:
        alert: how it reads; its fingerprint is the incident's identity.
        source: who reports: `airflow`, `monitor`, `volume` and so on.
        recovery_key: incidents with this key end together, for instance `airflow:snapshot_tables.take`.
        occurrence: the same for reports of one event, of which the first counts. Empty: every report counts.
        parent: recovery key of what would explain it. While an incident with that key lasts, this one notifies nobody.
    """

    alert: Alert
    source: str
    recovery_key: str
    occurrence: str = ""
    parent: str = ""


@dataclass(frozen=True)
class Recovery:
    """It is well again.

    Attributes:
        recovery_key: ends every unresolved incident with this key that began before `at`.
        at: aware.
        note: for the timeline.
    """

    recovery_key: str
    at: datetime
    note: str = ""


class Outcome(NamedTuple):
    """What a check has to report: what is wrong, and what is well again."""

    findings: tuple[Finding, ...]
    recoveries: tuple[Recovery, ...]
