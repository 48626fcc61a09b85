"""The words of the monitors' findings, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        "freshness": {"zh": "数据延迟：{name}", "en": "Late: {name}"},
        "deadline": {"zh": "未按时完成：{name}", "en": "Not done in time: {name}"},
        "rate": {"zh": "超过阈值：{name}", "en": "Above its threshold: {name}"},
        "latency": {"zh": "响应过慢：{name}", "en": "Too slow: {name}"},
        "heartbeat": {"zh": "依赖响应变慢：{name}", "en": "Dependency is slow: {name}"},
        "down": {"zh": "依赖不可用：{name}", "en": "Dependency is down: {name}"},
        "not_proven_yet": {"zh": "没有通过恢复验证的快照：{name}", "en": "No snapshot is proven: {name}"},
        "unknown": {"zh": "监控无法测量：{name}", "en": "Cannot be measured: {name}"},
        "unreachable": {"zh": "监控的数据源无法连接：{name}", "en": "A monitored source cannot be reached: {name}"},
        "interrupted": {"zh": "监控曾中断：{name}", "en": "Monitoring was interrupted: {name}"},
        "stopped": {"zh": "监控已停止：{name}", "en": "Monitoring has stopped: {name}"},
        "value": {"zh": "当前值", "en": "Value"},
        "never": {"zh": "查询范围内没有任何数据", "en": "no data in the whole period that the query covers"},
        "none_proven": {
            "zh": "还没有任何快照通过恢复验证",
            "en": "no restore drill has proven any snapshot yet",
        },
        "to_do": {"zh": "怎么办", "en": "What to do"},
        "take_first": {
            "zh": "还没有快照：启用 snapshot_tables 和 restore_drill，再触发 snapshot_tables，之后会自动演练",
            "en": "there is no snapshot: unpause snapshot_tables and restore_drill, and trigger snapshot_tables",
        },
        "drill_first": {
            "zh": "已有快照，但还没有一份通过恢复演练：启用并触发 restore_drill；如果失败，请看它的日志",
            "en": "there are snapshots, but no drill has proven one: unpause and trigger restore_drill; if it fails, "
            "see "
            "its log",
        },
        "status": {"zh": "状态", "en": "Status"},
        "cause": {"zh": "可能原因", "en": "Likely cause"},
        "source_silent": {
            "zh": "上游没有新数据，管道本身没有落后",
            "en": "the source is silent; the pipeline is not behind it",
        },
        "pipeline_late": {"zh": "上游有新数据，是管道落后", "en": "the source has newer data; the pipeline is behind"},
        "reason": {"zh": "原因", "en": "Reason"},
        "no_value": {"zh": "查询结果为空或不是数字", "en": "the query does not return a number"},
        "negative": {"zh": "查询结果为负数", "en": "the query returns a negative number"},
        "future": {
            "zh": "最新数据的时间晚于现在，有时钟不准",
            "en": "the newest row lies in the future: a clock is wrong",
        },
        "position": {
            "zh": "消费组的位点（offset）不在 topic 现有消息的范围内",
            "en": "the consumer group's offset is outside the range of messages that the topic holds",
        },
        "timeout": {"zh": "数据源没有在时限内响应", "en": "the source did not answer in time"},
        "partial": {
            "zh": "数据源返回的数据不完整，无法判断",
            "en": "the source's answer is incomplete, so it is not judged",
        },
        "failed": {"zh": "查询失败", "en": "the query failed"},
        "no_connection": {"zh": "无法连接", "en": "cannot be reached"},
        "for": {"zh": "已持续", "en": "For"},
        "gap": {"zh": "两次运行的间隔", "en": "Between two runs"},
        "affected": {"zh": "受影响的监控", "en": "Monitors affected"},
        "owner": {"zh": "负责人", "en": "Owner"},
        "detail": {"zh": "详情", "en": "Detail"},
        "runbook": {"zh": "处置手册", "en": "Runbook"},
        "dag_runbook": {"zh": "处置手册（Dag 文档）", "en": "Runbook (Dag Docs)"},
        "log": {"zh": "查看日志", "en": "Open log"},
        "not started": {"zh": "未开始", "en": "not started"},
        "unfinished": {"zh": "到了截止时间，运行仍未结束", "en": "not finished at its deadline"},
        "run": {"zh": "运行", "en": "Run"},
        "running": {"zh": "运行中", "en": "running"},
        "empty": {"zh": "已完成，但没有数据", "en": "done, but without any data"},
    }
)
