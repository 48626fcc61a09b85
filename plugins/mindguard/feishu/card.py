"""Render an alert as a Feishu card (JSON 2.0). Pure.

The card can be read in three seconds: the header's colour is the severity, and its tags say how soon to answer. The
strip below says until when and since when; then come who handles it, the values that are wrong in red, and the links.
A stack trace stays folded.

Source: Feishu's card JSON 2.0 documentation and custom bot limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Fact, Link, Question, Release
from mindguard.alerts.severity import Severity
from mindguard.feishu.blocks import (
    buttons,
    caption,
    chart,
    columns,
    duration,
    escape,
    folded,
    markdown,
    moment,
    pair,
    people,
    plain,
    table,
)
from mindguard.feishu.message import Json, fits, hook_message
from mindguard.feishu.safe import Cleaner, shrinking
from mindguard.feishu.texts import Words
from mindguard.texts import Locale

COLOURS = {Severity.P0: "red", Severity.P1: "orange", Severity.P2: "blue"}
_ANSWERED = {"approved": "green", "rejected": "grey", "expired": "grey"}

_LONGEST_HALF_ROW = 36

_FINGERPRINT = re.compile("[0-9a-f]{16}")


def render_card(
    alert: Alert,
    *,
    locale: Locale,
    zone: ZoneInfo,
    now: datetime | None = None,
    secrets: Iterable[str] = (),
    mentions: bool = True,
) -> Json:
    """Return the alert as a card whose message stays within `BUDGET_BYTES`.

    Secrets are masked first. Parts that do not fit are left out in the order of `safe.LIMITS`.

    Args:
        alert: the alert to show.
        locale: the language of the card's own texts.
        zone: the time zone of all shown times.
        now: the present time, aware; the card shows how much time to respond was left then. None: it does not.
        secrets: known values to mask, besides those recognisable by their form.
        mentions: whether the alert may mention people; if not, their names are shown.
    """
    card: Json = {}
    for smaller in shrinking(Cleaner(tuple(secrets)).alert(alert)):
        facts_left_out = len(alert.facts) - len(smaller.facts)
        card = _Card(smaller, facts_left_out, locale, zone, now, mentions=mentions).render()
        if fits(hook_message(card)):
            break
    return card


class _Card:
    def __init__(
        self, alert: Alert, facts_left_out: int, locale: Locale, zone: ZoneInfo, now: datetime | None, *, mentions: bool
    ) -> None:
        self._alert = alert
        self._facts_left_out = facts_left_out
        self._locale = locale
        self._words = Words(locale)
        self._zone = zone
        self._now = now
        self._mentions = mentions
        self._colour = "green" if alert.resolved else COLOURS[alert.severity]
        if alert.question and alert.question.answer:
            self._colour = _ANSWERED[alert.question.answer]

    def render(self) -> Json:
        alert = self._alert
        promise = self._promise()
        tags = [(promise, self._colour)]
        if not alert.question:
            tags.insert(0, (alert.severity.value, self._colour))
        if alert.incident_id:
            tags.append((alert.incident_id, "neutral"))
        return {
            "schema": "2.0",
            # The preview in the chat list and on a locked phone.
            "config": {"summary": {"content": self._summary(promise)}},
            "header": {
                "template": self._colour,
                "title": plain(alert.title),
                "text_tag_list": [{"tag": "text_tag", "text": plain(text), "color": colour} for text, colour in tags],
            },
            "body": {"vertical_spacing": "12px", "elements": list(self._elements())},
        }

    def _summary(self, promise: str) -> str:
        line = f"{promise}{self._words('separator')}{self._alert.title}"
        return line if self._alert.question else f"{self._alert.severity} {line}"

    def _promise(self) -> str:
        alert, words = self._alert, self._words
        if alert.question:
            return words(f"answer_{alert.question.answer}")
        if alert.resolved:
            return words("resolved")
        if alert.silence:
            return words("state_silenced")
        if alert.acknowledged_by:
            return words("state_acknowledged")
        return words("respond_within", duration=duration(alert.severity.respond_within, words))

    def _elements(self) -> Iterator[Json]:
        alert, words = self._alert, self._words
        yield markdown(f"**{escape(alert.subject)}**", text_size="heading")
        yield columns(self._strip(), background_style="grey")
        if who := list(self._who()):
            yield markdown("\n".join(who))
        answered = bool(alert.question and alert.question.answer)
        yield from _facts(alert.facts, words, alarming=not (alert.resolved or answered))
        if self._facts_left_out:
            yield caption(escape(words("more_facts", count=self._facts_left_out)))
        if alert.chart:
            yield chart(alert.chart, words)
        if alert.table:
            yield table(alert.table)
        if alert.releases:
            yield columns([pair(words("releases"), "\n".join(self._release(release) for release in alert.releases))])
        if alert.detail:
            yield folded(words("plan" if alert.question else "detail"), alert.detail)
        if links := self._links():
            yield buttons(links)
        yield self._footer()

    def _strip(self) -> list[list[Json]]:
        """Return the columns severity, respond by, since; once resolved: severity, duration, end."""
        alert, words, zone = self._alert, self._words, self._zone
        if alert.question:
            named = asked_and_answered(alert, alert.question, words, zone)
            return [pair(name, f"**{escape(value)}**") for name, value in named]
        severity = pair(words("severity"), f"**{alert.severity}** {escape(alert.severity.label(self._locale))}")
        if alert.resolved_at:
            lasted = duration(alert.resolved_at - alert.happened_at, words)
            return [
                severity,
                pair(words("lasted"), f"**{escape(lasted)}**"),
                pair(words("ended"), f"**{escape(moment(alert.resolved_at, words, zone))}**"),
            ]
        if alert.silence and alert.silenced_until:
            until = f"**{escape(moment(alert.silenced_until, words, zone))}**"
            since = pair(words("since"), f"**{escape(moment(alert.happened_at, words, zone))}**")
            return [severity, pair(words("silenced_until", name=alert.silence), until), since]
        since = pair(words("since"), f"**{escape(moment(alert.happened_at, words, zone))}**")
        if alert.acknowledged_by:
            return [severity, pair(words("acknowledged_by"), f"**{escape(alert.acknowledged_by)}**"), since]
        return [severity, self._respond_by(), since]

    def _respond_by(self) -> list[Json]:
        alert, words, zone = self._alert, self._words, self._zone
        respond_by = alert.respond_by.astimezone(zone)
        same_day = respond_by.date() == alert.happened_at.astimezone(zone).date()
        limit = words(
            "respond_by_time", time=respond_by.strftime("%H:%M") if same_day else moment(alert.respond_by, words, zone)
        )
        cell = pair(words("respond_by"), f"<font color='{self._colour}'>**{escape(limit)}**</font>")
        if self._now:
            left = alert.respond_by - self._now
            key = "time_left" if left.total_seconds() > 0 else "overdue"
            cell.append(caption(escape(words(key, duration=duration(abs(left), words)))))
        return cell

    def _who(self) -> Iterator[str]:
        """Yield lines of markdown: who is on duty, who acknowledged, who was called, how often it was reported."""
        alert, words, zone = self._alert, self._words, self._zone
        if alert.duty and not alert.resolved:
            names = people(alert.duty, words, mention=alert.mention and self._mentions)
            yield f"{escape(words('on_duty') + words('separator'))}{names}"
        if alert.acknowledged_by and (alert.acknowledged_at or alert.resolved):
            when = f" · {moment(alert.acknowledged_at, words, zone)}" if alert.acknowledged_at else ""
            yield escape(f"{words('acknowledged_by')}{words('separator')}{alert.acknowledged_by}{when}")
        if alert.escalated_to and not alert.resolved:
            line = escape(f"{words('escalated_to')}{words('separator')}{alert.escalated_to}")
            yield f"<font color='red'>{line}</font>"
        if alert.flaps:
            yield f"**{escape(words('flaps', count=alert.flaps))}**"
        if repeats := repeated(alert, words, zone):
            yield escape(repeats)

    def _release(self, release: Release) -> str:
        line = f"**{escape(release.version)}** {escape(released(release, self._words, self._zone))}"
        return f"{line} <font color='red'>{escape(self._words('rolled_back'))}</font>" if release.rolled_back else line

    def _links(self) -> list[Link]:
        alert = self._alert
        take = [Link(self._words("acknowledge"), alert.acknowledge_url)] if alert.to_be_taken else []
        return [*take, *alert.links]

    def _footer(self) -> Json:
        alert, words = self._alert, self._words
        meaning = words("includes", severity=alert.severity, meaning=alert.severity.meaning(self._locale))
        times = words("footer", zone=self._zone.key, fingerprint=alert.fingerprint)
        footer = caption(escape(times if alert.question else f"{meaning} · {times}"))
        if _FINGERPRINT.fullmatch(alert.fingerprint):
            footer["element_id"] = f"fp_{alert.fingerprint}"
        return footer


def asked_and_answered(alert: Alert, question: Question, words: Words, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Return, with their names, when was asked and until when can be answered, or who answered and when."""
    asked = (words("asked_at"), moment(alert.happened_at, words, zone))
    if not question.answer:
        return [asked, (words("answer_by"), moment(question.answer_by, words, zone))] if question.answer_by else [asked]
    if question.answer == "expired":
        who, when = words("answered_by_nobody"), words("expired_at")
    else:
        who, when = question.answered_by or words("answered_by_unknown"), words("answered_at")
    at = [(when, moment(question.answered_at, words, zone))] if question.answered_at else []
    return [(words("answered_by"), who), *at, asked]


def repeated(alert: Alert, words: Words, zone: ZoneInfo) -> str:
    """Return how often the alert was reported and when last; empty if it was reported once."""
    if alert.occurrences <= 1:
        return ""
    line = words("occurrences", count=f"{alert.occurrences:,}")
    if alert.last_seen_at:
        line += " · " + words("last_seen", time=moment(alert.last_seen_at, words, zone))
    return line


def released(release: Release, words: Words, zone: ZoneInfo) -> str:
    """Return when a release was published, its share of users, and its note."""
    share = [] if release.share is None else [words("share", share=f"{release.share:.0%}")]
    note = [release.note] if release.note else []
    return " · ".join([moment(release.released_at, words, zone), *share, *note])


def _facts(facts: tuple[Fact, ...], words: Words, *, alarming: bool) -> list[Json]:
    """Return the facts, two in a row; a long fact has a row of its own."""
    rows: list[list[list[Json]]] = []
    open_row = False
    for fact in facts:
        value = f"**{escape(fact.value)}**"
        if fact.wrong and alarming:
            value = f"<font color='red'>{value}</font>"
        cell = pair(fact.name, value)
        if fact.expected:
            cell.append(caption(escape(words("expected", value=fact.expected))))
        short = len(fact.value) <= _LONGEST_HALF_ROW
        if open_row and short:
            rows[-1].append(cell)
            open_row = False
        else:
            rows.append([cell])
            open_row = short
    return [columns(row) for row in rows]
