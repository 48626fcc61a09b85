"""The words of the page on a day's checks, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        "separator": {"zh": "、", "en": ", "},
        "colon": {"zh": "：", "en": ": "},
        "title": {"zh": "数据检查", "en": "Data checks"},
        "all_well": {"zh": "没有发现异常", "en": "Nothing is wrong"},
        "worst": {"zh": "最高级别：{}", "en": "Worst: {}"},
        "not_checked": {"zh": "未能检查：{}", "en": "Could not be checked: {}"},
        "none": {"zh": "这一天没有检查记录。", "en": "Nothing was checked on this day."},
        "as_of": {"zh": "数据截至", "en": "As of"},
        "summary": {"zh": "概览", "en": "Summary"},
        "suite": {"zh": "规则集", "en": "Suite"},
        "rows": {"zh": "行", "en": "Rows"},
        "expectations": {"zh": "规则", "en": "Expectations"},
        "failed": {"zh": "不符的行", "en": "Failing rows"},
        "outcome": {"zh": "结论", "en": "Outcome"},
        "passed": {"zh": "通过", "en": "passed"},
        "unchecked": {"zh": "未能检查", "en": "Could not be checked"},
        "all_traffic": {"zh": "全部流量", "en": "All traffic"},
        "key_events": {"zh": "关键埋点", "en": "Key events"},
        "funnels": {"zh": "漏斗", "en": "Funnels"},
        "query": {"zh": "数据质量", "en": "Data quality"},
        "total": {"zh": "全部埋点", "en": "All events"},
        "event": {"zh": "埋点", "en": "Event"},
        "actual": {"zh": "实际", "en": "Actual"},
        "expected": {"zh": "预期", "en": "Expected"},
        "dod": {"zh": "环比前一日", "en": "Day over day"},
        "net": {"zh": "对比往周同日（扣除大盘）", "en": "Same weekdays, net"},
        "verdict": {"zh": "结论", "en": "Verdict"},
        "notes": {"zh": "备注", "en": "Notes"},
        "ok": {"zh": "正常", "en": "ok"},
        "below": {"zh": "下降", "en": "below"},
        "inconclusive": {"zh": "无法判断", "en": "inconclusive"},
        "new": {"zh": "新埋点", "en": "new event"},
        "learning": {"zh": "积累基线中", "en": "learning its baseline"},
        "never_seen": {"zh": "从未出现过", "en": "never seen"},
        "unseen": {
            "zh": "近 9 周从未出现过的关键埋点，请核对名称：{}",
            "en": "Key events that were never seen in nine weeks; check their names: {}",
        },
        "no_baseline": {"zh": "没有基线", "en": "no baseline"},
        "low": {"zh": "量小，按 7 天合并判断", "en": "low volume: judged over 7 days"},
        "folded": {"zh": "由 {} 下降引起", "en": "explained by the fall of {}"},
        "rest": {"zh": "其余 {} 个没有下降的埋点", "en": "The other {} events have not fallen"},
        "since": {"zh": "开始下降", "en": "Falls since"},
        "main": {"zh": "主要缺失", "en": "Mostly missing"},
        "main_value": {"zh": "{} {}，占缺失的 {}", "en": "{} {}, {} of the loss"},
        "release": {"zh": "之前的发布", "en": "Release before it"},
        "together": {"zh": "同时下降", "en": "Fell with it"},
        "misdated": {"zh": "手机时钟错误的埋点", "en": "Events with a wrong clock"},
        "owner": {"zh": "负责人", "en": "Owner"},
        "runbook": {"zh": "处置手册", "en": "Runbook"},
        "chart": {"zh": "最近 {} 天", "en": "The last {} days"},
        "legend_day": {"zh": "当日", "en": "judged day"},
        "legend_expected": {"zh": "预期", "en": "expected"},
        "legend_baseline": {"zh": "基线日", "en": "baseline days"},
        "platform": {"zh": "平台", "en": "Platform"},
        "app_version": {"zh": "版本", "en": "Version"},
        "country": {"zh": "国家/地区", "en": "Country"},
        "dimension": {"zh": "维度", "en": "Dimension"},
        "value": {"zh": "取值", "en": "Value"},
        "lost": {"zh": "占缺失", "en": "Of the loss"},
        "usual": {"zh": "平时占比", "en": "Usually"},
        "step": {"zh": "漏斗：步骤", "en": "Funnel: step"},
        "arrived": {"zh": "上一步", "en": "Step before"},
        "conversion": {"zh": "转化率", "en": "Conversion"},
        "usual_conversion": {"zh": "平时", "en": "Usual"},
        "gap": {"zh": "缺口", "en": "Gap"},
        "interval": {"zh": "区间", "en": "Interval"},
        "from_step": {"zh": "自 {} 起", "en": "from {} on"},
        "measure": {"zh": "指标", "en": "Measure"},
        "measured": {"zh": "当前值", "en": "Value"},
        "allowed": {"zh": "允许", "en": "Allowed"},
        "all_passed": {"zh": "{0} 条全部通过", "en": "All {0} passed"},
        "some_failed": {"zh": "{0} 条中有 {1} 条未满足", "en": "{1} of {0} failed"},
        "week": {"zh": "7 天：{}", "en": "7 days: {}"},
        "not_met": {"zh": "未满足的规则：{}", "en": "Failed expectations: {}"},
        "how": {"zh": "这些数字怎么来的", "en": "Where these figures come from"},
        "how_rollup": {
            "zh": (
                "ClickHouse 中的汇总表按 5 分钟、落库延迟、平台、版本、国家/地区计数，检查只读汇总表。埋点按自身时"
                "间计入；手机时钟明显错误的按到达时间计入，并单独计数。"
            ),
            "en": (
                "A rollup in ClickHouse counts by five minutes, lag, platform, version and country, and checks "
                "read nothing else. An event counts at its own time; where the phone's clock is clearly wrong, it "
                "counts at its arrival and is also counted apart."
            ),
        },
        "how_lenses": {
            "zh": (
                "两个视角：一是环比前一日（运营文档 3.4，阈值见各埋点的 tolerance，默认 20%）；二是最近 {baseline} "
                "个往周同日（只取无异常日）的中位数，并扣除全部埋点的整体变化。只有一个视角下降是“待核实”（P2）；两个都下降，或第二个视角"
                "偏离超过 {strong:g} 个标准差，才通知值班人员。"
            ),
            "en": (
                "Two lenses: day over day (operations document, 3.4; each event's tolerance, by default 20 %), and "
                "the median of the last {baseline} clean same weekdays, net of how all events moved. One of them "
                "below opens an investigation (P2). Both, or the second by more than {strong:g} standard "
                "deviations, page somebody."
            ),
        },
        "how_chance": {
            "zh": (
                "下降必须超过 {z:g} 个标准差，才不算偶然；节假日另加 {holiday:.0%} 的波动。量小的埋点按 7 天合并判"
                "断。无法判断不等于通过。"
            ),
            "en": (
                "A fall must exceed {z:g} standard deviations to be more than chance; holidays add a noise of "
                "{holiday:.0%}. Rare events are judged over seven days. Inconclusive is not a pass."
            ),
        },
        "how_clean": {
            "zh": (
                "无异常日：当天没有未恢复的告警事件、不是节假日、不在 excluded_days 中。当天还没结束时，"
                "与往日截至同一时"
                "刻的数据比较。"
            ),
            "en": (
                "A clean day had no open incident, is no holiday and is not in excluded_days. A running day is "
                "compared with earlier days as they looked at the same time of day."
            ),
        },
        "how_funnels": {
            "zh": (
                "漏斗：预期 = 上一步今天的量 × 平时转化率的中位数；缺口 = 预期 − 实际。后续步骤的下降归到第一个断点。"
            ),
            "en": (
                "Funnels: expected = what the step before brought × the usual conversion's median; gap = expected −"
                " actual. Later steps fold into the first broken one."
            ),
        },
        "how_quality": {
            "zh": (
                "数据质量：PostgreSQL 对当天的行做一次聚合，得到一行计数，再由 Great Expectations 判断。占比按其置"
                "信区间的下限（…_at_least）判断：行数少时，占比容易偶然偏高。"
            ),
            "en": (
                "Data quality: PostgreSQL counts the day's rows into one row, which Great Expectations judges. A "
                "share is judged by the lower bound of its confidence interval (…_at_least), since chance easily "
                "makes it high where rows are few."
            ),
        },
        "how_onset": {
            "zh": (
                "开始时间：每 5 分钟的计数里最能解释“之前正常、之后按固定比例减少”的那一刻。主要缺失：某个取值占缺"
                "失的 70% 以上，且明显高于平时占比。"
            ),
            "en": (
                "Onset: the five minutes that best explain counts as usual before and as a fixed share of it from "
                "then on. Mostly missing: one value holds 70 % of the loss or more, and clearly more than its "
                "usual share."
            ),
        },
    }
)
