"""Alert → Feishu card JSON 2.0, as pure functions.

Made to be read in three seconds: the header's colour is the severity, its tags say how soon to answer, the
strip below says until when and since when, then who has it, then the numbers that are wrong in red, then where to go.
A stack trace stays folded.

Source: Feishu's card JSON 2.0 documentation and custom bot limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Fact, Link, Release
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
from mindguard.feishu.safe import Cleaner, ever_smaller
from mindguard.feishu.texts import TEXTS, Texts
from mindguard.texts import Locale

COLOURS = {Severity.P0: "red", Severity.P1: "orange", Severity.P2: "blue"}

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
    """The alert as a card JSON 2.0 whose message stays within `BUDGET_BYTES`.

    Secrets are masked first. What does not fit is left out in the order of `safe.ROOMS`.

    Args:
        zone: in which all times are shown.
        now: aware; the card says how much time to respond was left then. None: it does not.
        secrets: known values to mask, besides those recognisable by their form.
        mentions: whether the alert may call people; False shows their names instead.
    """
    card: Json = {}
    for smaller in ever_smaller(Cleaner(tuple(secrets)).alert(alert)):
        card = _Card(smaller, len(alert.facts) - len(smaller.facts), locale, zone, now, mentions).render()
        if fits(hook_message(card)):
            break
    return card


class _Card:
    def __init__(
        self, alert: Alert, facts_left_out: int, locale: Locale, zone: ZoneInfo, now: datetime | None, mentions: bool
    ) -> None:
        self._alert = alert
        self._facts_left_out = facts_left_out
        self._locale = locale
        self._texts = TEXTS[locale]
        self._zone = zone
        self._now = now
        self._mentions = mentions
        self._colour = "green" if alert.resolved else COLOURS[alert.severity]

    def render(self) -> Json:
        alert, texts = self._alert, self._texts
        promise = self._promise()
        tags = [(alert.severity.value, self._colour), (promise, self._colour)]
        if alert.incident_id:
            tags.append((alert.incident_id, "neutral"))
        return {
            "schema": "2.0",
            # The preview in the chat list and on a locked phone.
            "config": {"summary": {"content": f"{alert.severity} {promise}{texts.separator}{alert.title}"}},
            "header": {
                "template": self._colour,
                "title": plain(alert.title),
                "text_tag_list": [{"tag": "text_tag", "text": plain(text), "color": colour} for text, colour in tags],
            },
            "body": {"vertical_spacing": "12px", "elements": list(self._elements())},
        }

    def _promise(self) -> str:
        alert, texts = self._alert, self._texts
        if alert.resolved:
            return texts.resolved
        if alert.acknowledged_by:
            return texts.states["acknowledged"]
        return texts.respond_within.format(duration=duration(alert.severity.respond_within, texts))

    def _elements(self) -> Iterator[Json]:
        alert, texts = self._alert, self._texts
        yield markdown(f"**{escape(alert.subject)}**", text_size="heading")
        yield columns(self._strip(), background_style="grey")
        if who := list(self._who()):
            yield markdown("\n".join(who))
        yield from _facts(alert.facts, texts, alarming=not alert.resolved)
        if self._facts_left_out:
            yield caption(escape(texts.more_facts.format(count=self._facts_left_out)))
        if alert.chart:
            yield chart(alert.chart, texts)
        if alert.table:
            yield table(alert.table)
        if alert.releases:
            yield columns([pair(texts.releases, "\n".join(self._release(release) for release in alert.releases))])
        if alert.detail:
            yield folded(texts.detail, alert.detail)
        if links := self._links():
            yield buttons(links)
        yield self._footer()

    def _strip(self) -> list[list[Json]]:
        """Columns: how bad, until when, since when; once resolved: how bad, for how long, until when."""
        alert, texts, zone = self._alert, self._texts, self._zone
        how_bad = pair(texts.severity, f"**{alert.severity}** {escape(alert.severity.label(self._locale))}")
        if alert.resolved_at:
            lasted = duration(alert.resolved_at - alert.happened_at, texts)
            return [
                how_bad,
                pair(texts.lasted, f"**{escape(lasted)}**"),
                pair(texts.ended, f"**{escape(moment(alert.resolved_at, texts, zone))}**"),
            ]
        since = pair(texts.since, f"**{escape(moment(alert.happened_at, texts, zone))}**")
        if alert.acknowledged_by:
            return [how_bad, pair(texts.acknowledged_by, f"**{escape(alert.acknowledged_by)}**"), since]
        return [how_bad, self._respond_by(), since]

    def _respond_by(self) -> list[Json]:
        alert, texts, zone = self._alert, self._texts, self._zone
        respond_by = alert.respond_by.astimezone(zone)
        same_day = respond_by.date() == alert.happened_at.astimezone(zone).date()
        limit = texts.respond_by_time.format(
            time=respond_by.strftime("%H:%M") if same_day else moment(alert.respond_by, texts, zone)
        )
        cell = pair(texts.respond_by, f"<font color='{self._colour}'>**{escape(limit)}**</font>")
        if self._now:
            left = alert.respond_by - self._now
            template = texts.time_left if left.total_seconds() > 0 else texts.overdue
            cell.append(caption(escape(template.format(duration=duration(abs(left), texts)))))
        return cell

    def _who(self) -> Iterator[str]:
        """Lines of markdown: who is on duty, who took it, who was called, how often it happened."""
        alert, texts, zone = self._alert, self._texts, self._zone
        if alert.duty and not alert.resolved:
            names = people(alert.duty, texts, mention=alert.mention and self._mentions)
            yield f"{escape(texts.on_duty + texts.separator)}{names}"
        if alert.acknowledged_by and (alert.acknowledged_at or alert.resolved):
            when = f" · {moment(alert.acknowledged_at, texts, zone)}" if alert.acknowledged_at else ""
            yield escape(f"{texts.acknowledged_by}{texts.separator}{alert.acknowledged_by}{when}")
        if alert.escalated_to and not alert.resolved:
            line = escape(f"{texts.escalated_to}{texts.separator}{alert.escalated_to}")
            yield f"<font color='red'>{line}</font>"
        if repeats := repeated(alert, texts, zone):
            yield escape(repeats)

    def _release(self, release: Release) -> str:
        line = f"**{escape(release.version)}** {escape(released(release, self._texts, self._zone))}"
        return f"{line} <font color='red'>{escape(self._texts.rolled_back)}</font>" if release.rolled_back else line

    def _links(self) -> list[Link]:
        alert = self._alert
        take = [Link(self._texts.acknowledge, alert.acknowledge_url)] if alert.to_be_taken else []
        return [*take, *alert.links]

    def _footer(self) -> Json:
        alert, texts = self._alert, self._texts
        footer = caption(
            escape(
                texts.includes.format(severity=alert.severity, meaning=alert.severity.meaning(self._locale))
                + " · "
                + texts.footer.format(zone=self._zone.key, fingerprint=alert.fingerprint)
            )
        )
        if _FINGERPRINT.fullmatch(alert.fingerprint):
            footer["element_id"] = f"fp_{alert.fingerprint}"
        return footer


def repeated(alert: Alert, texts: Texts, zone: ZoneInfo) -> str:
    """How often it was reported and when last; empty for what was reported once."""
    if alert.occurrences <= 1:
        return ""
    line = texts.occurrences.format(count=f"{alert.occurrences:,}")
    if alert.last_seen_at:
        line += " · " + texts.last_seen.format(time=moment(alert.last_seen_at, texts, zone))
    return line


def released(release: Release, texts: Texts, zone: ZoneInfo) -> str:
    """When a release went out, to whom, and what was noted."""
    share = [] if release.share is None else [texts.share.format(share=f"{release.share:.0%}")]
    note = [release.note] if release.note else []
    return " · ".join([moment(release.released_at, texts, zone), *share, *note])


def _facts(facts: tuple[Fact, ...], texts: Texts, *, alarming: bool) -> list[Json]:
    """Two facts in a row; a long one has a row of its own."""
    rows: list[list[list[Json]]] = []
    open_row = False
    for fact in facts:
        value = f"**{escape(fact.value)}**"
        if fact.wrong and alarming:
            value = f"<font color='red'>{value}</font>"
        cell = pair(fact.name, value)
        if fact.expected:
            cell.append(caption(escape(texts.expected.format(value=fact.expected))))
        short = len(fact.value) <= _LONGEST_HALF_ROW
        if open_row and short:
            rows[-1].append(cell)
            open_row = False
        else:
            rows.append([cell])
            open_row = short
    return [columns(row) for row in rows]


def _footer(alert: Alert, texts: Texts, locale: Locale, zone: ZoneInfo) -> Json:
    footer = caption(
        escape(
            texts.includes.format(severity=alert.severity, meaning=alert.severity.meaning(locale))
            + " · "
            + texts.footer.format(zone=zone.key, fingerprint=alert.fingerprint)
        )
    )
    if _FINGERPRINT.fullmatch(alert.fingerprint):
        footer["element_id"] = f"fp_{alert.fingerprint}"
    return footer
