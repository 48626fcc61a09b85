"""The words of the cards and plain texts that Feishu gets, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Locale, Texts

TEXTS = Texts(
    {
        "severity": {"zh": "级别", "en": "Severity"},
        "respond_by": {"zh": "响应期限", "en": "Respond by"},
        "respond_by_time": {"zh": "{time} 前", "en": "{time}"},
        "respond_within": {"zh": "{duration}内响应", "en": "respond within {duration}"},
        "since": {"zh": "发生于", "en": "Since"},
        "lasted": {"zh": "持续", "en": "Lasted"},
        "ended": {"zh": "恢复于", "en": "Resolved at"},
        "resolved": {"zh": "已恢复", "en": "resolved"},
        "subject": {"zh": "对象", "en": "Subject"},
        "expected": {"zh": "应为 {value}", "en": "expected {value}"},
        "more_facts": {"zh": "另有 {count} 项未显示", "en": "{count} more not shown"},
        "detail": {"zh": "错误详情", "en": "Error detail"},
        "includes": {"zh": "{severity} 级：{meaning}", "en": "{severity}: {meaning}"},
        "footer": {"zh": "时间按 {zone} · 指纹 {fingerprint}", "en": "Times in {zone} · fingerprint {fingerprint}"},
        "minutes": {"zh": "{minutes} 分钟", "en": "{minutes} min"},
        "hours": {"zh": "{hours} 小时", "en": "{hours} h"},
        "hours_minutes": {"zh": "{hours} 小时 {minutes} 分", "en": "{hours} h {minutes} min"},
        "weekday_0": {"zh": "周一", "en": "Mon"},
        "weekday_1": {"zh": "周二", "en": "Tue"},
        "weekday_2": {"zh": "周三", "en": "Wed"},
        "weekday_3": {"zh": "周四", "en": "Thu"},
        "weekday_4": {"zh": "周五", "en": "Fri"},
        "weekday_5": {"zh": "周六", "en": "Sat"},
        "weekday_6": {"zh": "周日", "en": "Sun"},
        "plain_alert": {"zh": "【{severity} 告警】{title}", "en": "[{severity} alert] {title}"},
        "plain_resolved": {"zh": "【{severity} 已恢复】{title}", "en": "[{severity} resolved] {title}"},
        "separator": {"zh": "：", "en": ": "},
        "list_separator": {"zh": "、", "en": ", "},
        "in_brackets": {"zh": "（{text}）", "en": " ({text})"},
        "role_primary": {"zh": "主值班", "en": "primary"},
        "role_backup": {"zh": "备岗", "en": "standby"},
        "role_next": {"zh": "下一位", "en": "next"},
        "incident": {"zh": "事件", "en": "Incident"},
        "on_duty": {"zh": "值班", "en": "On duty"},
        "time_left": {"zh": "发出时还剩 {duration}", "en": "{duration} left when sent"},
        "overdue": {"zh": "发出时已超时 {duration}", "en": "{duration} overdue when sent"},
        "acknowledge": {"zh": "我来处理", "en": "I'll take it"},
        "acknowledged_by": {"zh": "认领人", "en": "Acknowledged by"},
        "escalated_to": {"zh": "无人认领，已升级给", "en": "Not acknowledged; called"},
        "occurrences": {"zh": "已上报 {count} 次", "en": "reported {count} times"},
        "flaps": {
            "zh": "反复发生与恢复：第 {count} 次，不会每次都发卡片",
            "en": "comes and goes: time {count}; not each time sends a card",
        },
        "last_seen": {"zh": "最近一次 {time}", "en": "last {time}"},
        "releases": {"zh": "最近发布", "en": "Latest releases"},
        "share": {"zh": "覆盖 {share} 的用户", "en": "{share} of users"},
        "rolled_back": {"zh": "已回滚", "en": "rolled back"},
        "actual_line": {"zh": "实际", "en": "actual"},
        "expected_line": {"zh": "预期", "en": "expected"},
        "state_open": {"zh": "待认领", "en": "open"},
        "state_acknowledged": {"zh": "处理中", "en": "acknowledged"},
        "state_resolved": {"zh": "已恢复", "en": "resolved"},
        "state_silenced": {"zh": "静默中", "en": "silenced"},
        "state_silenced_over": {"zh": "在静默期间恢复", "en": "ended while silenced"},
        "silenced_until": {"zh": "静默（{name}）至", "en": "Silenced ({name}) until"},
        # Questions that wait for a person's approval.
        "answer_": {"zh": "等待批准", "en": "waiting for approval"},
        "answer_approved": {"zh": "已批准", "en": "approved"},
        "answer_rejected": {"zh": "已拒绝", "en": "rejected"},
        "answer_expired": {"zh": "已过期", "en": "expired"},
        "answered_by": {"zh": "答复人", "en": "Answered by"},
        "answered_by_nobody": {"zh": "无人答复", "en": "nobody"},
        "answered_by_unknown": {"zh": "未知", "en": "not known"},
        "answered_at": {"zh": "答复于", "en": "Answered at"},
        "expired_at": {"zh": "过期于", "en": "Expired at"},
        "answer_by": {"zh": "答复期限", "en": "Answer by"},
        "asked_at": {"zh": "申请于", "en": "Requested at"},
        "plan": {"zh": "计划", "en": "Plan"},
        "plain_question": {"zh": "【{answer}】{title}", "en": "[{answer}] {title}"},
        "digest_storm": {"zh": "告警风暴", "en": "storm"},
        "digest_handover": {"zh": "交接班", "en": "handover"},
        "digest_review": {"zh": "待复盘", "en": "review due"},
        "nothing_open": {"zh": "没有未恢复的告警。", "en": "Nothing is unresolved."},
        "times_in": {"zh": "时间按 {zone}", "en": "Times in {zone}"},
    }
)
"""Keys `weekday_0` to `weekday_6` are Monday to Sunday; `role_…`, `state_…`, `answer_…` and `digest_…` end with the
name that they translate."""


class Words:
    """The words in one language."""

    def __init__(self, locale: Locale) -> None:
        self.locale = locale

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a key, with the values filled in."""
        return TEXTS.say(key, self.locale, **values)

    def name_of(self, kind: str, name: str) -> str:
        """Return the word for a role, state or kind of digest; a name that has no word stays as it is."""
        key = f"{kind}_{name}"
        return self(key) if key in TEXTS.words else name
