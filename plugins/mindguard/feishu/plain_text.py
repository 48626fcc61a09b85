"""Alerts and digests as plain text, for when a card is not taken; same masking and budget."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Digest
from mindguard.feishu.blocks import moment, role_of
from mindguard.feishu.card import released, repeated
from mindguard.feishu.digest_card import fewer, line_of
from mindguard.feishu.message import fits, text_message
from mindguard.feishu.safe import Cleaner, ever_smaller
from mindguard.feishu.texts import TEXTS, Texts
from mindguard.texts import Locale


def render_text(alert: Alert, *, locale: Locale, zone: ZoneInfo, secrets: Iterable[str] = ()) -> str:
    """The alert as plain text; see `card.render_card`."""
    text = ""
    for smaller in ever_smaller(Cleaner(tuple(secrets)).alert(alert)):
        text = _text(smaller, len(alert.facts) - len(smaller.facts), TEXTS[locale], zone)
        if fits(text_message(text)):
            break
    return text


def render_digest_text(digest: Digest, *, locale: Locale, zone: ZoneInfo, secrets: Iterable[str] = ()) -> str:
    """The digest as plain text; see `digest_card.render_digest`."""
    text, texts = "", TEXTS[locale]
    for smaller in fewer(Cleaner(tuple(secrets)).digest(digest)):
        lines = [f"【{texts.digests[digest.kind]}】{smaller.title} · {moment(digest.happened_at, texts, zone)}"]
        lines += [f"- {group.severity} {line_of(group, texts)}" for group in smaller.groups]
        if left_out := len(digest.groups) - len(smaller.groups):
            lines.append(texts.more_facts.format(count=left_out))
        lines += [f"{link.label}{texts.separator}{link.url}" for link in smaller.links]
        text = "\n".join(lines).replace("<", "＜")
        if fits(text_message(text)):
            break
    return text


def _text(alert: Alert, facts_left_out: int, texts: Texts, zone: ZoneInfo) -> str:
    title = texts.plain_resolved if alert.resolved else texts.plain_alert
    lines = [
        title.format(severity=alert.severity, title=alert.title),
        *_named(_when(alert, texts, zone), texts),
        *_named(_who(alert, texts), texts),
    ]
    if repeats := repeated(alert, texts, zone):
        lines.append(repeats)
    for fact in alert.facts:
        expected = f" ({texts.expected.format(value=fact.expected)})" if fact.expected else ""
        lines.append(f"- {fact.name}{texts.separator}{fact.value}{expected}")
    if facts_left_out:
        lines.append(texts.more_facts.format(count=facts_left_out))
    if alert.table:
        lines += [" | ".join(row) for row in (alert.table.columns, *alert.table.rows)]
    for release in alert.releases:
        taken_back = f" {texts.rolled_back}" if release.rolled_back else ""
        lines.append(f"- {texts.releases} {release.version} · {released(release, texts, zone)}{taken_back}")
    if alert.to_be_taken:
        lines.append(f"{texts.acknowledge}{texts.separator}{alert.acknowledge_url}")
    lines += _named([(link.label, link.url) for link in alert.links], texts)
    if alert.detail:
        lines.append(f"{texts.detail}{texts.separator}\n{alert.detail}")
    lines.append(texts.footer.format(zone=zone.key, fingerprint=alert.fingerprint))
    # Text messages know mentions (<at user_id="all">) and no escapes.
    return "\n".join(lines).replace("<", "＜")


def _when(alert: Alert, texts: Texts, zone: ZoneInfo) -> list[tuple[str, str]]:
    ends = (
        (texts.ended, moment(alert.resolved_at, texts, zone))
        if alert.resolved_at
        else (texts.respond_by, texts.respond_by_time.format(time=moment(alert.respond_by, texts, zone)))
    )
    return [(texts.subject, alert.subject), (texts.since, moment(alert.happened_at, texts, zone)), ends]


def _who(alert: Alert, texts: Texts) -> list[tuple[str, str]]:
    duty = texts.list_separator.join(person.name + role_of(person, texts) for person in alert.duty)
    return [
        (texts.incident, alert.incident_id),
        (texts.on_duty, "" if alert.resolved else duty),
        (texts.acknowledged_by, alert.acknowledged_by),
        (texts.escalated_to, "" if alert.resolved else alert.escalated_to),
    ]


def _named(pairs: list[tuple[str, str]], texts: Texts) -> list[str]:
    return [f"{name}{texts.separator}{value}" for name, value in pairs if value]
