"""Every word that a card says on its own account, in Chinese and English."""

from __future__ import annotations

from dataclasses import dataclass

from mindguard.alerts.severity import Locale


@dataclass(frozen=True)
class Texts:
    """The words of one language; fields with braces are `str.format` templates."""

    severity: str
    respond_by: str
    respond_by_time: str
    respond_within: str
    since: str
    lasted: str
    ended: str
    resolved: str
    subject: str
    expected: str
    more_facts: str
    detail: str
    includes: str
    footer: str
    minutes: str
    hours: str
    hours_minutes: str
    weekdays: tuple[str, ...]
    plain_alert: str
    plain_resolved: str
    separator: str


TEXTS: dict[Locale, Texts] = {
    "zh": Texts(
        severity="级别",
        respond_by="响应期限",
        respond_by_time="{time} 前",
        respond_within="{duration}内响应",
        since="发生于",
        lasted="持续",
        ended="恢复于",
        resolved="已恢复",
        subject="对象",
        expected="应为 {value}",
        more_facts="另有 {count} 项未显示",
        detail="错误详情",
        includes="{severity} 级：{meaning}",
        footer="时间按 {zone} · 指纹 {fingerprint}",
        minutes="{minutes} 分钟",
        hours="{hours} 小时",
        hours_minutes="{hours} 小时 {minutes} 分",
        weekdays=("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
        plain_alert="【{severity} 告警】{title}",
        plain_resolved="【{severity} 已恢复】{title}",
        separator="：",
    ),
    "en": Texts(
        severity="Severity",
        respond_by="Respond by",
        respond_by_time="{time}",
        respond_within="respond within {duration}",
        since="Since",
        lasted="Lasted",
        ended="Resolved at",
        resolved="resolved",
        subject="Subject",
        expected="expected {value}",
        more_facts="{count} more not shown",
        detail="Error detail",
        includes="{severity}: {meaning}",
        footer="Times in {zone} · fingerprint {fingerprint}",
        minutes="{minutes} min",
        hours="{hours} h",
        hours_minutes="{hours} h {minutes} min",
        weekdays=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
        plain_alert="[{severity} alert] {title}",
        plain_resolved="[{severity} resolved] {title}",
        separator=": ",
    ),
}
