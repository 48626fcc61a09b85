"""Every word that a card says on its own account, in Chinese and English."""

from __future__ import annotations

from dataclasses import dataclass

from mindguard.texts import Locale


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
    list_separator: str
    in_brackets: str
    roles: dict[str, str]
    incident: str
    on_duty: str
    time_left: str
    overdue: str
    acknowledge: str
    acknowledged_by: str
    escalated_to: str
    occurrences: str
    last_seen: str
    releases: str
    share: str
    rolled_back: str
    actual_line: str
    expected_line: str
    states: dict[str, str]
    digests: dict[str, str]
    nothing_open: str
    times_in: str


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
        list_separator="、",
        in_brackets="（{text}）",
        roles={"primary": "主值班", "backup": "备份", "next": "下一位"},
        incident="事件",
        on_duty="值班",
        time_left="发出时还剩 {duration}",
        overdue="发出时已超时 {duration}",
        acknowledge="我来处理",
        acknowledged_by="认领人",
        escalated_to="无人认领，已升级给",
        occurrences="已上报 {count} 次",
        last_seen="最近一次 {time}",
        releases="最近发布",
        share="覆盖 {share}",
        rolled_back="已回滚",
        actual_line="实际",
        expected_line="预期",
        states={"open": "待认领", "acknowledged": "处理中", "resolved": "已恢复"},
        digests={"storm": "告警合并", "handover": "交接班", "review": "待复盘"},
        nothing_open="没有未恢复的告警。",
        times_in="时间按 {zone}",
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
        list_separator=", ",
        in_brackets=" ({text})",
        roles={"primary": "primary", "backup": "backup", "next": "next"},
        incident="Incident",
        on_duty="On duty",
        time_left="{duration} left when sent",
        overdue="{duration} overdue when sent",
        acknowledge="I take it",
        acknowledged_by="Taken by",
        escalated_to="Nobody took it; called",
        occurrences="reported {count} times",
        last_seen="last {time}",
        releases="Latest releases",
        share="{share} of users",
        rolled_back="rolled back",
        actual_line="actual",
        expected_line="expected",
        states={"open": "open", "acknowledged": "in progress", "resolved": "resolved"},
        digests={"storm": "storm", "handover": "handover", "review": "review due"},
        nothing_open="Nothing is open.",
        times_in="Times in {zone}",
    ),
}
