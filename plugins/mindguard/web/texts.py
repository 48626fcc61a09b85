"""Every word of the pages, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        "acknowledge_title": {"zh": "认领告警", "en": "Acknowledge an alert"},
        "link_invalid": {"zh": "链接无效或已过期", "en": "This link is not valid any more"},
        "link_invalid_help": {
            "zh": "请打开最新的告警卡片，或在 Airflow 的“告警事件”页面认领。",
            "en": "Open the newest card, or acknowledge the alert on Airflow's page “Incidents”.",
        },
        "store_down": {"zh": "事件库暂时无法访问", "en": "The incident store cannot be reached"},
        "store_down_help": {
            "zh": "请稍后再试；告警仍会直接发送。",
            "en": "Try again in a minute. Alerts are still sent directly.",
        },
        "subject": {"zh": "对象", "en": "Subject"},
        "since": {"zh": "发生于", "en": "Since"},
        "acknowledged_by": {"zh": "认领人", "en": "Acknowledged by"},
        "resolved_at": {"zh": "恢复于", "en": "Resolved at"},
        "your_name": {"zh": "你的姓名", "en": "Your name"},
        "take": {"zh": "我来处理", "en": "I take it"},
        "take_help": {
            "zh": "认领后不再升级通知；处理完成后告警会自动转绿。",
            "en": "Nobody else will be called. The card turns green by itself when the alert is over.",
        },
        "taken": {"zh": "已有人认领，不再升级通知。", "en": "Somebody has taken it; nobody else will be called."},
        "over": {"zh": "告警已恢复，无需认领。", "en": "The alert is over; there is nothing to take."},
        "incidents": {"zh": "告警事件", "en": "Incidents"},
        "unresolved": {"zh": "未恢复", "en": "Unresolved"},
        "latest": {"zh": "最近全部", "en": "Latest"},
        "severity": {"zh": "级别", "en": "Severity"},
        "incident": {"zh": "事件", "en": "Incident"},
        "state": {"zh": "状态", "en": "State"},
        "occurrences": {"zh": "次数", "en": "Times"},
        "open": {"zh": "待认领", "en": "open"},
        "acknowledged": {"zh": "处理中", "en": "acknowledged"},
        "resolved": {"zh": "已恢复", "en": "resolved"},
        "none": {"zh": "没有告警事件。", "en": "No incidents."},
        "timeline": {"zh": "时间线", "en": "Timeline"},
        "detail": {"zh": "错误详情", "en": "Error detail"},
        "reports": {"zh": "数据检查", "en": "Data checks"},
        "well": {"zh": "通过", "en": "passed"},
        "unchecked": {"zh": "未能检查", "en": "could not be checked"},
        "no_reports": {"zh": "还没有检查记录。", "en": "Nothing has been checked yet."},
    }
)
