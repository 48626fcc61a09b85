"""Make alerts and digests safe to show: secrets are masked, texts printable, and everything has a limited length.

Parts of an alert that is still too large for a message are left out in a fixed order, see `LIMITS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mindguard.alerts.alert import Alert, Chart, Digest, Link, Person, Release, Table
from mindguard.masking import fold, mask_secrets, printable

# In characters, each at most 6 bytes once escaped: title, subject, people, footer and links alone stay in the budget.
_TITLE, _SUBJECT, _FACT_NAME, _FACT_VALUE, _LABEL, _URL, _LINKS = 120, 200, 60, 300, 30, 900, 5
_PEOPLE, _RELEASES, _COLUMNS, _ROWS, _CELL, _POINTS = 4, 3, 6, 10, 60, 60
_DIGEST_LINES = 60


@dataclass(frozen=True)
class Limits:
    """The limits of an alert's parts in a message: characters of the detail, and numbers of the other parts."""

    detail: int
    chart: bool = True
    rows: int = _ROWS
    facts: int = 12
    releases: int = _RELEASES


LIMITS = (
    *(Limits(detail) for detail in (6000, 3000, 1500, 600, 0)),
    Limits(0, chart=False),
    Limits(0, chart=False, rows=3),
    *(Limits(0, chart=False, rows=0, facts=facts) for facts in (12, 6, 3)),
    Limits(0, chart=False, rows=0, facts=0, releases=0),
)
"""The limits from most to least: first the detail is left out, then chart, table, facts, and finally the releases."""


def shrinking(alert: Alert) -> Iterator[Alert]:
    """Yield the alert with less and less content."""
    for limits in LIMITS:
        table = alert.table
        yield replace(
            alert,
            detail=fold(alert.detail, limits.detail),
            chart=alert.chart if limits.chart else None,
            table=replace(table, rows=table.rows[: limits.rows]) if table and limits.rows else None,
            facts=alert.facts[: limits.facts],
            releases=alert.releases[: limits.releases],
        )


class Cleaner:
    """Masks the given secrets, besides those recognisable by their form."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def alert(self, alert: Alert) -> Alert:
        """Return the alert with all texts safe."""
        line = self.line
        return replace(
            alert,
            title=line(alert.title, _TITLE),
            subject=line(alert.subject, _SUBJECT),
            fingerprint=line(alert.fingerprint, _LABEL),
            incident_id=line(alert.incident_id, _LABEL),
            acknowledged_by=line(alert.acknowledged_by, _LABEL),
            escalated_to=line(alert.escalated_to, _FACT_NAME),
            silence=line(alert.silence, _LABEL),
            question=alert.question and replace(alert.question, answered_by=line(alert.question.answered_by, _LABEL)),
            # The token permits the click, so it is not masked. This package makes the address; it is not foreign text.
            acknowledge_url=alert.acknowledge_url if _shown(alert.acknowledge_url) else "",
            facts=tuple(
                replace(
                    fact,
                    name=line(fact.name, _FACT_NAME),
                    value=line(fact.value, _FACT_VALUE),
                    expected=line(fact.expected, _FACT_NAME),
                )
                for fact in alert.facts
            ),
            detail=mask_secrets(printable(alert.detail), self._secrets).strip(),
            links=self.links(alert.links),
            duty=self.people(alert.duty),
            releases=tuple(self._release(release) for release in alert.releases[:_RELEASES]),
            table=self._table(alert.table),
            chart=self._chart(alert.chart),
        )

    def digest(self, digest: Digest) -> Digest:
        """Return the digest with all texts safe."""
        return replace(
            digest,
            title=self.line(digest.title, _TITLE),
            groups=tuple(
                replace(
                    group,
                    title=self.line(group.title, _TITLE),
                    subject=self.line(group.subject, _FACT_NAME),
                    incident_id=self.line(group.incident_id, _LABEL),
                    state=self.line(group.state, _LABEL),
                )
                for group in digest.groups[:_DIGEST_LINES]
            ),
            duty=self.people(digest.duty),
            links=self.links(digest.links),
        )

    def line(self, text: str, limit: int) -> str:
        """Return the text as one line of at most `limit` characters."""
        masked = " ".join(mask_secrets(printable(text), self._secrets).split())
        return fold(masked, limit).replace("\n", " ")

    def links(self, links: tuple[Link, ...]) -> tuple[Link, ...]:
        """Return the first links that can be shown."""
        cleaned = (
            Link(self.line(link.label, _LABEL), mask_secrets(printable(link.url).strip(), self._secrets))
            for link in links
        )
        return tuple(link for link in cleaned if _shown(link.url))[:_LINKS]

    def people(self, people: tuple[Person, ...]) -> tuple[Person, ...]:
        """Return people with names and roles only; telephone numbers must not reach the group."""
        return tuple(
            Person(self.line(person.name, _LABEL), person.feishu_id, role=self.line(person.role, _LABEL))
            for person in people[:_PEOPLE]
        )

    def _release(self, release: Release) -> Release:
        return replace(release, version=self.line(release.version, _LABEL), note=self.line(release.note, _FACT_NAME))

    def _table(self, table: Table | None) -> Table | None:
        if table is None or not table.columns or not table.rows:
            return None
        columns = table.columns[:_COLUMNS]
        return Table(
            tuple(self.line(name, _LABEL) for name in columns),
            tuple(tuple(self.line(cell, _CELL) for cell in row[: len(columns)]) for row in table.rows[:_ROWS]),
        )

    def _chart(self, chart: Chart | None) -> Chart | None:
        if chart is None:
            return None
        cleaned = Chart(
            self.line(chart.title, _FACT_NAME),
            self._points(chart.points),
            None if chart.mark is None else self.line(chart.mark, _LABEL),
            self._points(chart.expected),
        )
        return cleaned if cleaned.points else None

    def _points(self, points: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
        return tuple((self.line(label, _LABEL), value) for label, value in points[-_POINTS:] if math.isfinite(value))


def _shown(url: str) -> bool:
    return url.startswith(("https://", "http://")) and len(url) <= _URL and url.isprintable()
