"""Every word of the page on a day's checks, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Locale

TEXTS: dict[Locale, dict[str, str]] = {
    "zh": {
        "title": "数据检查",
        "all_well": "没有发现异常",
        "worst": "最高级别 {}",
        "not_checked": "未能检查：{}",
        "none": "这一天没有检查记录。",
        "as_of": "数据截至",
        "summary": "概览",
        "suite": "规则集",
        "rows": "行",
        "expectations": "规则",
        "failed": "不符的行",
        "outcome": "结论",
        "passed": "通过",
        "unchecked": "未能检查",
        "all_traffic": "全部流量",
        "key_events": "关键埋点",
        "funnels": "漏斗",
        "query": "数据质量",
        "total": "全部埋点",
        "event": "埋点",
        "actual": "实际",
        "expected": "预期",
        "dod": "环比前一日",
        "net": "对比同星期（扣除大盘）",
        "verdict": "结论",
        "notes": "备注",
        "ok": "正常",
        "below": "下降",
        "inconclusive": "无法判断",
        "new": "新埋点",
        "learning": "积累基线中",
        "no_baseline": "没有基线",
        "low": "量小，按 7 天合并判断",
        "folded": "由 {} 的下降解释",
        "rest": "其余 {} 个没有下降的埋点",
        "since": "开始下降",
        "main": "主要缺失",
        "main_value": "{} {}，占缺失的 {}",
        "release": "之前的发布",
        "together": "同时下降",
        "misdated": "时钟错误的事件",
        "owner": "负责人",
        "runbook": "处理手册",
        "chart": "最近 {} 天",
        "legend_day": "当日",
        "legend_expected": "预期",
        "legend_baseline": "基线日",
        "platform": "平台",
        "app_version": "版本",
        "country": "国家/地区",
        "dimension": "维度",
        "value": "取值",
        "lost": "占缺失",
        "usual": "平时占比",
        "step": "漏斗：步骤",
        "arrived": "上一步",
        "conversion": "转化率",
        "usual_conversion": "平时",
        "gap": "缺口",
        "interval": "区间",
        "from_step": "自 {} 起",
        "measure": "指标",
        "measured": "当前值",
        "allowed": "允许",
        "all_passed": "{0} 项全部通过",
        "some_failed": "{0} 项中有 {1} 项未满足",
        "week": "7 天：{}",
        "not_met": "未满足的规则",
        "how": "这些数字怎么来的",
        "how_rollup": (
            "ClickHouse 中的汇总表按 5 分钟、到达延迟、平台、版本、国家/地区计数，检查只读汇总表。事件按自身时间计入"
            "；手机时钟明显错误的事件按到达时间计入，并单独计数。"
        ),
        "how_lenses": (
            "两个视角：一是环比前一日（运营文档 3.4，阈值见各埋点的 tolerance，默认 20%）；二是最近 {baseline} 个干净"
            "同星期的中位数，并扣除全部埋点的整体变化。任一下降即“待排查”（P2）；两者都下降，或第二个视角偏离超过 {st"
            "rong:g} 个标准差，才告警。"
        ),
        "how_chance": (
            "下降必须超过 {z:g} 个标准差，才不算偶然；节假日另加 {holiday:.0%} 的波动。量小的埋点按 7 天合并判断。无"
            "法判断不等于通过。"
        ),
        "how_clean": (
            "干净的日子：没有未恢复的事件、不是节假日、不在 excluded_days 中。当天仍在进行时，与过去各天“同一时刻看到"
            "的样子”比较。"
        ),
        "how_funnels": (
            "漏斗：预期 = 上一步今天的量 × 平时转化率的中位数；缺口 = 预期 − 实际。后续步骤的下降归到第一个断点。"
        ),
        "how_quality": (
            "数据质量：PostgreSQL 对当天的行做一次聚合，得到一行计数，再由 Great Expectations 判断。占比按其置信区间"
            "的下限（…_at_least）判断：行数少时，占比容易偶然偏高。"
        ),
        "how_onset": (
            "开始时间：每 5 分钟的计数里最能解释“之前正常、之后按固定比例减少”的那一刻。主要缺失：某个取值占缺失的 70"
            "% 以上，且明显高于平时占比。"
        ),
    },
    "en": {
        "title": "Data checks",
        "all_well": "Nothing is wrong",
        "worst": "Worst: {}",
        "not_checked": "Could not be checked: {}",
        "none": "Nothing was checked on this day.",
        "as_of": "As of",
        "summary": "Summary",
        "suite": "Suite",
        "rows": "Rows",
        "expectations": "Expectations",
        "failed": "Failing rows",
        "outcome": "Outcome",
        "passed": "passed",
        "unchecked": "Could not be checked",
        "all_traffic": "All traffic",
        "key_events": "Key events",
        "funnels": "Funnels",
        "query": "Data quality",
        "total": "All events",
        "event": "Event",
        "actual": "Actual",
        "expected": "Expected",
        "dod": "Day over day",
        "net": "Same weekdays, net",
        "verdict": "Verdict",
        "notes": "Notes",
        "ok": "ok",
        "below": "below",
        "inconclusive": "inconclusive",
        "new": "new event",
        "learning": "learning its baseline",
        "no_baseline": "no baseline",
        "low": "low volume: judged over 7 days",
        "folded": "explained by the fall of {}",
        "rest": "The other {} events have not fallen",
        "since": "Falls since",
        "main": "Mostly missing",
        "main_value": "{} {}, {} of the loss",
        "release": "Release before it",
        "together": "Fell with it",
        "misdated": "Events with a wrong clock",
        "owner": "Owner",
        "runbook": "Runbook",
        "chart": "The last {} days",
        "legend_day": "judged day",
        "legend_expected": "expected",
        "legend_baseline": "baseline days",
        "platform": "Platform",
        "app_version": "Version",
        "country": "Country",
        "dimension": "Dimension",
        "value": "Value",
        "lost": "Of the loss",
        "usual": "Usually",
        "step": "Funnel: step",
        "arrived": "Step before",
        "conversion": "Conversion",
        "usual_conversion": "Usual",
        "gap": "Gap",
        "interval": "Interval",
        "from_step": "from {} on",
        "measure": "Measure",
        "measured": "Value",
        "allowed": "Allowed",
        "all_passed": "All {0} passed",
        "some_failed": "{1} of {0} failed",
        "week": "7 days: {}",
        "not_met": "Failed expectations",
        "how": "How these figures are made",
        "how_rollup": (
            "A rollup in ClickHouse counts by five minutes, lag, platform, version and country, and checks read "
            "nothing else. An event counts at its own time; where the phone's clock is clearly wrong, at its "
            "landing, and it is counted as such."
        ),
        "how_lenses": (
            "Two lenses: day over day (operations document, 3.4; each event's tolerance, by default 20 %), and the "
            "median of the last {baseline} clean same weekdays, net of how all events moved. Either one below opens "
            "an investigation (P2). Both, or the second by more than {strong:g} standard deviations, page somebody."
        ),
        "how_chance": (
            "A fall must exceed {z:g} standard deviations to be more than chance; holidays add a noise of "
            "{holiday:.0%}. Rare events are judged over seven days. What is inconclusive is no pass."
        ),
        "how_clean": (
            "Clean days have no open incident, are no holiday and not in excluded_days. A running day is compared "
            "with earlier days as they looked at the same age."
        ),
        "how_funnels": (
            "Funnels: expected = what the step before brought × the usual conversion's median; gap = expected − "
            "actual. Later steps fold into the first broken one."
        ),
        "how_quality": (
            "Data quality: PostgreSQL counts the day's rows into one row, which Great Expectations judges. A share is "
            "judged by the lower bound of its confidence interval (…_at_least), since chance easily makes it high "
            "where rows are few."
        ),
        "how_onset": (
            "Onset: the five minutes that best explain counts as usual before and as a fixed share of it from then "
            "on. Mostly missing: one value holds 70 % of the loss or more, and clearly more than its usual share."
        ),
    },
}
