"""An incident as the document that its review starts from: Markdown, pure.

Source: operations document, section 6.1: timeline, impact, root cause, remedy; 6.3: action items with their owners.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.severity import Severity
from mindguard.masking import mask_secrets, printable
from mindguard.texts import Locale

_TEXTS: dict[str, dict[Locale, str]] = {
    "title": {"zh": "事件复盘 {name}：{title}", "en": "Post-mortem {name}: {title}"},
    "severity": {"zh": "级别", "en": "Severity"},
    "subject": {"zh": "对象", "en": "Subject"},
    "began": {"zh": "发生", "en": "Began"},
    "acknowledged_at": {"zh": "认领", "en": "Acknowledged"},
    "ended": {"zh": "恢复", "en": "Ended"},
    "lasted": {"zh": "持续（分钟）", "en": "Lasted (minutes)"},
    "occurrences": {"zh": "次数", "en": "Times"},
    "still": {"zh": "未恢复", "en": "not yet"},
    "nobody": {"zh": "无人认领", "en": "nobody"},
    "impact": {"zh": "影响范围", "en": "Impact"},
    "cause": {"zh": "根因分析", "en": "Root cause"},
    "remedy": {"zh": "补救措施", "en": "Remedy"},
    "missing": {"zh": "（待补充）", "en": "(to be written)"},
    "timeline": {"zh": "时间线", "en": "Timeline"},
    "time": {"zh": "时间（{zone}）", "en": "Time ({zone})"},
    "what": {"zh": "事项", "en": "What"},
    "who": {"zh": "人员", "en": "Who"},
    "text": {"zh": "说明", "en": "Detail"},
    "actions": {"zh": "行动项", "en": "Action items"},
    "action": {"zh": "行动", "en": "Action"},
    "owner": {"zh": "负责人", "en": "Owner"},
    "due": {"zh": "期限", "en": "Due"},
    "opened": {"zh": "发生", "en": "opened"},
    "raised": {"zh": "升级严重度", "en": "raised"},
    "inhibited": {"zh": "已被上级事件解释", "en": "explained by another incident"},
    "released": {"zh": "上级事件已恢复", "en": "not explained any more"},
    "escalated": {"zh": "升级通知", "en": "escalated"},
    "called": {"zh": "加急通知", "en": "called"},
    "acknowledged": {"zh": "认领", "en": "acknowledged"},
    "resolved": {"zh": "恢复", "en": "resolved"},
    "note": {"zh": "备注", "en": "note"},
    "reviewed": {"zh": "复盘完成", "en": "reviewed"},
    "review overdue": {"zh": "复盘超期提醒", "en": "review overdue"},
}

_MARKUP = str.maketrans({character: f"\\{character}" for character in r"\`*_[]<>#|"})


def postmortem(incident: Incident, *, locale: Locale, zone: ZoneInfo) -> str:
    """The document of an incident with its timeline; what nobody has written yet is marked as such."""

    def say(key: str, **values: str) -> str:
        return _TEXTS[key][locale].format(**values)

    def moment(at: datetime | None, otherwise: str) -> str:
        return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if at else say(otherwise)

    def section(key: str, text: str) -> list[str]:
        return [f"## {say(key)}", "", _safe(text) or say("missing"), ""]

    severity = Severity(incident.severity)
    taken = moment(incident.acknowledged_at, "nobody")
    lasted = incident.resolved_at and str(int((incident.resolved_at - incident.opened_at).total_seconds() // 60))
    summary = (
        ("severity", f"{severity} {severity.label(locale)}"),
        ("subject", incident.alert.subject),
        ("began", moment(incident.opened_at, "still")),
        ("acknowledged_at", f"{taken} {incident.acknowledged_by}".strip()),
        ("ended", f"{moment(incident.resolved_at, 'still')} {incident.resolved_by}".strip()),
        ("lasted", lasted or say("still")),
        ("occurrences", str(incident.occurrences)),
    )
    lines = [
        f"# {say('title', name=incident.name, title=_safe(incident.alert.title))}",
        "",
        *(f"- {say(key)}: {_safe(value)}" for key, value in summary),
        "",
        *section("impact", incident.impact),
        *section("cause", incident.cause),
        *section("remedy", incident.remedy),
        f"## {say('timeline')}",
        "",
        *_table(
            (say("time", zone=zone.key), say("what"), say("who"), say("text")),
            ((moment(each.at, "still"), say(each.kind), each.by, each.text) for each in incident.timeline),
        ),
        "",
        f"## {say('actions')}",
        "",
    ]
    if incident.actions:
        actions = ((each["text"], each["owner"], each["due"]) for each in incident.actions)
        lines += _table((say("action"), say("owner"), say("due")), actions)
    else:
        lines.append(say("missing"))
    return "\n".join([*lines, ""])


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(_safe(cell) for cell in row)} |" for row in rows),
    ]


def _safe(text: str) -> str:
    """One line without secrets and without markup."""
    return " ".join(mask_secrets(printable(text)).split()).translate(_MARKUP)
