"""The words of the findings on suites, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        "event": {"zh": "埋点下降：{name}", "en": "Event volume fell: {name}"},
        "total": {"zh": "全部埋点下降", "en": "All event traffic fell"},
        "funnel": {"zh": "漏斗转化下降：{name}", "en": "Funnel conversion fell: {name}"},
        "quality": {"zh": "数据质量：{name}", "en": "Data quality: {name}"},
        "today": {"zh": "当日", "en": "That day"},
        "yesterday": {"zh": "环比前一日", "en": "Against the day before"},
        "weekday": {
            "zh": "往周同日中位数（{days} 天，已扣除大盘）",
            "en": "Median of {days} same weekdays, net of all events",
        },
        "onset": {"zh": "开始下降", "en": "Falls since"},
        "main": {"zh": "主要缺失", "en": "Mostly missing"},
        "share": {"zh": "{value}（占缺失的 {share:.0%}）", "en": "{value} ({share:.0%} of the loss)"},
        "together": {"zh": "同时下降", "en": "Fell with it"},
        "release": {"zh": "之前的发布", "en": "Release before it"},
        "misdated": {"zh": "手机时钟错误的埋点", "en": "Events with a wrong clock"},
        "conversion": {"zh": "转化率", "en": "Conversion"},
        "gap": {"zh": "缺口（预期 − 实际）", "en": "Gap (expected − actual)"},
        "unconfirmed": {
            "zh": "埋点环比下降，待核实：{count} 个",
            "en": "Events down day over day, unconfirmed: {count}",
        },
        "all": {"zh": "全部", "en": "all traffic"},
        "day": {"zh": "日期", "en": "Day"},
        "name": {"zh": "埋点", "en": "Event"},
        "against_yesterday": {"zh": "环比", "en": "Day over day"},
        "against_weekdays": {"zh": "对比往周同日", "en": "Same weekdays"},
        "more": {"zh": "{names} 等 {count} 个", "en": "{names} and others, {count} in all"},
        "expectation": {"zh": "未满足的规则", "en": "Failed expectations"},
        "owner": {"zh": "负责人", "en": "Owner"},
        "runbook": {"zh": "处置手册", "en": "Runbook"},
        "page": {"zh": "查看当日检查", "en": "Open the day's checks"},
        "chart": {"zh": "最近 {days} 天", "en": "The last {days} days"},
        "dimension": {"zh": "维度", "en": "Dimension"},
        "value": {"zh": "取值", "en": "Value"},
        "expected": {"zh": "预期", "en": "Expected"},
        "actual": {"zh": "实际", "en": "Actual"},
        "lost": {"zh": "占缺失", "en": "Of the loss"},
        "unseen": {
            "zh": "最近 {days} 天没有名为 {name} 的埋点{meant}",
            "en": "no event of the last {days} days is called {name}{meant}",
        },
        "unseen_meant": {"zh": "（是不是 {name}？）", "en": "; did you mean {name}?"},
        "platform": {"zh": "平台", "en": "platform"},
        "app_version": {"zh": "版本", "en": "version"},
        "country": {"zh": "国家/地区", "en": "country"},
    }
)
