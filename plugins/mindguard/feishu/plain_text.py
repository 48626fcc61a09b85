"""Render alerts and digests as plain text, in case Feishu does not accept a card; same masking and size budget."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Digest
from mindguard.feishu.blocks import moment, role_of
from mindguard.feishu.card import asked_and_answered, released, repeated
from mindguard.feishu.digest_card import fewer, line_of
from mindguard.feishu.message import fits, text_message
from mindguard.feishu.safe import Cleaner, shrinking
from mindguard.feishu.texts import Words
from mindguard.texts import Locale


def render_text(alert: Alert, *, locale: Locale, zone: ZoneInfo, secrets: Iterable[str] = ()) -> str:
    """Return the alert as plain text; see `card.render_card`."""
    text = ""
    for smaller in shrinking(Cleaner(tuple(secrets)).alert(alert)):
        text = _text(smaller, len(alert.facts) - len(smaller.facts), Words(locale), zone)
        if fits(text_message(text)):
            break
    return text


def render_digest_text(digest: Digest, *, locale: Locale, zone: ZoneInfo, secrets: Iterable[str] = ()) -> str:
    """Return the digest as plain text; see `digest_card.render_digest`."""
    text, words = "", Words(locale)
    for smaller in fewer(Cleaner(tuple(secrets)).digest(digest)):
        lines = [
            f"【{words.name_of('digest', digest.kind)}】{smaller.title} · {moment(digest.happened_at, words, zone)}"
        ]
        lines += [f"- {group.severity} {line_of(group, words)}" for group in smaller.groups]
        if left_out := len(digest.groups) - len(smaller.groups):
            lines.append(words("more_facts", count=left_out))
        lines += [f"{link.label}{words('separator')}{link.url}" for link in smaller.links]
        text = "\n".join(lines).replace("<", "＜")
        if fits(text_message(text)):
            break
    return text


def _text(alert: Alert, facts_left_out: int, words: Words, zone: ZoneInfo) -> str:
    title = "plain_resolved" if alert.resolved else "plain_alert"
    first = words(title, severity=alert.severity, title=alert.title)
    if alert.question:
        first = words("plain_question", answer=words(f"answer_{alert.question.answer}"), title=alert.title)
    lines = [
        first,
        *_named(_when(alert, words, zone), words),
        *_named(_who(alert, words), words),
    ]
    if alert.flaps:
        lines.append(words("flaps", count=alert.flaps))
    if repeats := repeated(alert, words, zone):
        lines.append(repeats)
    for fact in alert.facts:
        expected = words("in_brackets", text=words("expected", value=fact.expected)) if fact.expected else ""
        lines.append(f"- {fact.name}{words('separator')}{fact.value}{expected}")
    if facts_left_out:
        lines.append(words("more_facts", count=facts_left_out))
    if alert.table:
        lines += [" | ".join(row) for row in (alert.table.columns, *alert.table.rows)]
    for release in alert.releases:
        rolled_back = f" {words('rolled_back')}" if release.rolled_back else ""
        lines.append(f"- {words('releases')} {release.version} · {released(release, words, zone)}{rolled_back}")
    if alert.to_be_taken:
        lines.append(f"{words('acknowledge')}{words('separator')}{alert.acknowledge_url}")
    lines += _named([(link.label, link.url) for link in alert.links], words)
    if alert.detail:
        lines.append(f"{words('plan' if alert.question else 'detail')}{words('separator')}\n{alert.detail}")
    lines.append(words("footer", zone=zone.key, fingerprint=alert.fingerprint))
    # Text messages have mentions (<at user_id="all">) but no escapes.
    return "\n".join(lines).replace("<", "＜")


def _when(alert: Alert, words: Words, zone: ZoneInfo) -> list[tuple[str, str]]:
    if alert.question:
        return [(words("subject"), alert.subject), *asked_and_answered(alert, alert.question, words, zone)]
    if alert.resolved_at:
        ends = (words("ended"), moment(alert.resolved_at, words, zone))
    elif alert.silence and alert.silenced_until:
        ends = (words("silenced_until", name=alert.silence), moment(alert.silenced_until, words, zone))
    else:
        ends = (words("respond_by"), words("respond_by_time", time=moment(alert.respond_by, words, zone)))
    return [(words("subject"), alert.subject), (words("since"), moment(alert.happened_at, words, zone)), ends]


def _who(alert: Alert, words: Words) -> list[tuple[str, str]]:
    duty = words("list_separator").join(person.name + role_of(person, words) for person in alert.duty)
    return [
        (words("incident"), alert.incident_id),
        (words("on_duty"), "" if alert.resolved else duty),
        (words("acknowledged_by"), alert.acknowledged_by),
        (words("escalated_to"), "" if alert.resolved else alert.escalated_to),
    ]


def _named(pairs: list[tuple[str, str]], words: Words) -> list[str]:
    return [f"{name}{words('separator')}{value}" for name, value in pairs if value]
