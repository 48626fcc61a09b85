"""Every word of alerts, incidents and post-mortems, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        # Severities.
        "severity_label_P0": {"zh": "紧急", "en": "critical"},
        "severity_label_P1": {"zh": "重要", "en": "warning"},
        "severity_label_P2": {"zh": "提示", "en": "info"},
        "severity_meaning_P0": {
            "zh": "全量不可用、SOS 失败、数据丢失",
            "en": "all users down, SOS failing, data loss",
        },
        "severity_meaning_P1": {
            "zh": "错误率超 5%、风险响应超时、快照未通过恢复验证",
            "en": "errors above 5 %, risk response late, snapshot not proven",
        },
        "severity_meaning_P2": {"zh": "指标趋势异常、单模块降级", "en": "trend anomaly, one module degraded"},
        # Failed tasks and runs.
        "task_failed": {"zh": "任务失败：{task}", "en": "Task failed: {task}"},
        "run_failed": {"zh": "运行失败：{dag}", "en": "Run failed: {dag}"},
        "run_timed_out": {"zh": "运行超时：{dag}", "en": "Run timed out: {dag}"},
        "error": {"zh": "错误", "en": "Error"},
        "run": {"zh": "运行", "en": "Run"},
        "error_of": {"zh": "错误（实例 {indexes}）", "en": "Error of instance {indexes}"},
        "failed_instances": {"zh": "失败的实例", "en": "Failed instances"},
        "instances": {"zh": "{count} 个：{indexes}", "en": "{count}: {indexes}"},
        "further_errors": {"zh": "其他错误", "en": "Further errors"},
        "errors_left_out": {"zh": "实例 {indexes}，请看其日志", "en": "of instance {indexes}: see the logs"},
        "tries": {"zh": "尝试次数", "en": "Tries"},
        "no_error": {
            "zh": "没有收到错误信息，请看任务日志",
            "en": "no error was received; see the task's log",
        },
        "marked_failed": {"zh": "由 {who} 在 Airflow 中标记为失败", "en": "marked as failed in Airflow by {who}"},
        "reason_failed": {
            "zh": "没有任务失败，Airflow 也没有记录原因：可能超过了运行时限，或由人标记为失败",
            "en": "no task failed, and Airflow recorded no reason: the run exceeded its time limit, or somebody "
            "marked it "
            "as failed",
        },
        "reason_timed_out": {"zh": "超过了运行时限（dagrun_timeout）", "en": "over its time limit (dagrun_timeout)"},
        "reason_all_tasks_deadlocked": {
            "zh": "剩下的任务都无法开始（all_tasks_deadlocked）",
            "en": "none of the remaining tasks can start (all_tasks_deadlocked)",
        },
        "reason_task_failure": {
            "zh": "有任务失败，但 Airflow 没有说是哪一个",
            "en": "a task failed, but Airflow does not say which one",
        },
        "error_text_late": {
            "zh": "（{seconds} 秒内没能读到错误内容）",
            "en": "(its text did not come within {seconds} s)",
        },
        "error_text_failed": {
            "zh": "（错误内容无法读取：{failure}）",
            "en": "(its text cannot be read: {failure})",
        },
        "open_log": {"zh": "打开失败任务的日志", "en": "Open the failing task's log"},
        "open_run": {"zh": "查看本次运行", "en": "Open the run"},
        "open_runbook": {"zh": "处置手册（Dag 文档）", "en": "Runbook (Dag Docs)"},
        "ends": {"zh": "恢复条件", "en": "Resolved when"},
        "ends_by_itself": {
            "zh": "清除（Clear）本次运行并重跑成功，或执行 mindguard incidents resolve；"
            "参数是手动填写的，其他运行成功不算",
            "en": "this run, whose parameters were chosen by hand, is cleared and succeeds, or somebody runs "
            "mindguard incidents resolve",
        },
        # Approvals.
        "open_approval": {"zh": "打开批准页面", "en": "Open the approval page"},
        "open_answer": {"zh": "查看批准页面", "en": "See the approval page"},
        "nobody_answered": {
            "zh": "{hours} 小时内无人答复，未做任何改动；如仍需要，请重新触发",
            "en": "nobody answered within {hours} h, and nothing was changed; if it is still needed, trigger it again",
        },
        "chosen_values": {"zh": "筛选值 {column}", "en": "Values of {column}"},
        "more_values": {"zh": "另有 {count} 个（见本次运行的参数）", "en": "{count} more (see the run's parameters)"},
        "colon": {"zh": "：", "en": ": "},
        "comma": {"zh": "、", "en": ", "},
        # Alerts that are sent without the incident store.
        "store": {"zh": "事件库", "en": "Incident store"},
        "sent_directly": {
            "zh": "无法访问：本条绕过它直接发送，重复的告警不会合并，无人认领也不会升级",
            "en": "cannot be reached: this alert was sent without it, so repeats are not merged and nobody else is "
            "called",
        },
        # Digests.
        "storm": {"zh": "告警风暴：{count} 条告警合并为一条", "en": "Alert storm: {count} incidents in one message"},
        "various": {"zh": "来自 {source} 的多种告警", "en": "various, from {source}"},
        "review": {"zh": "复盘逾期：{count} 个事件", "en": "Reviews overdue: {count} incidents"},
        "handover": {"zh": "交接班：{count} 个事件未恢复", "en": "Handover: {count} incidents unresolved"},
        "handover_silenced": {
            "zh": "交接班：{count} 个事件未恢复，{quiet} 个在静默期间恢复",
            "en": "Handover: {count} incidents unresolved, {quiet} ended while silenced",
        },
        # Post-mortems.
        "postmortem": {"zh": "事件复盘 {name}：{title}", "en": "Post-mortem {name}: {title}"},
        "severity": {"zh": "级别", "en": "Severity"},
        "subject": {"zh": "对象", "en": "Subject"},
        "began": {"zh": "发生", "en": "Began"},
        "acknowledged_at": {"zh": "认领", "en": "Acknowledged"},
        "ended": {"zh": "恢复", "en": "Ended"},
        "lasted": {"zh": "持续（分钟）", "en": "Lasted (minutes)"},
        "occurrences": {"zh": "次数", "en": "Times"},
        "unresolved": {"zh": "未恢复", "en": "not yet"},
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
        # Kinds of timeline entries.
        "kind_opened": {"zh": "发生", "en": "opened"},
        "kind_raised": {"zh": "级别上调", "en": "severity raised"},
        "kind_inhibited": {"zh": "由另一个事件引起", "en": "caused by another incident"},
        "kind_released": {"zh": "引起它的事件已恢复", "en": "the incident that caused it is over"},
        "kind_escalated": {"zh": "升级通知", "en": "escalated"},
        "kind_called": {"zh": "加急通知", "en": "called"},
        "kind_acknowledged": {"zh": "认领", "en": "acknowledged"},
        "kind_resolved": {"zh": "恢复", "en": "resolved"},
        "kind_note": {"zh": "备注", "en": "note"},
        "kind_impact": {"zh": "影响范围", "en": "Impact"},
        "kind_cause": {"zh": "根因分析", "en": "Root cause"},
        "kind_remedy": {"zh": "补救措施", "en": "Remedy"},
        "kind_reviewed": {"zh": "复盘完成", "en": "reviewed"},
        "kind_silenced": {"zh": "静默", "en": "silenced"},
        "kind_reopened": {"zh": "再次发生", "en": "began again"},
        "kind_heard": {"zh": "静默结束", "en": "silence ended"},
        "kind_review overdue": {"zh": "复盘逾期提醒", "en": "review overdue"},
        # What the program writes into timeline entries.
        "opened_again": {"zh": "{title}（上一次：{former}）", "en": "{title} (previously {former})"},
        "severity_change": {"zh": "由 {before} 升为 {after}", "en": "from {before} to {after}"},
        "silenced_by": {"zh": "{name}：{why}", "en": "{name}: {why}"},
        "begun_again": {"zh": "反复发生与恢复，第 {count} 次", "en": "it comes and goes: time {count}"},
        "silence_over": {
            "zh": "{name} 不再适用，事件仍未恢复，现在通知",
            "en": "{name} no longer applies and the incident is unresolved; people are notified now",
        },
        "ended_incident": {"zh": "{name} 已恢复", "en": "{name} is resolved"},
        "key_airflow": {"zh": "Airflow 任务 {about}", "en": "Airflow task {about}"},
        "key_monitor": {"zh": "监控 {about}", "en": "monitor {about}"},
        "key_monitor_source": {"zh": "监控的数据源 {about}", "en": "monitored source {about}"},
        "key_monitor_checker": {"zh": "监控 DAG {about}", "en": "monitoring DAG {about}"},
        "key_volume": {"zh": "数据检查 {about}", "en": "data check {about}"},
        "between_notes": {"zh": "；", "en": "; "},
        "call_app": {"zh": "已通过飞书加急通知：{names}", "en": "called in Feishu: {names}"},
        "call_sms": {"zh": "已通过短信通知：{names}", "en": "called by text message: {names}"},
        "call_phone": {"zh": "已通过电话通知：{names}", "en": "called by phone: {names}"},
        "call_nobody": {"zh": "没有通知到任何人", "en": "nobody was called"},
        "call_missed": {"zh": "未能通知到：{names}", "en": "not reached: {names}"},
        "call_without_id": {"zh": "没有飞书 ID：{names}", "en": "no Feishu id: {names}"},
        "call_refused": {"zh": "飞书不允许{means}：{reason}", "en": "Feishu does not allow {means}: {reason}"},
        "call_impossible": {
            "zh": "未通知：自定义机器人不能{means}，应用机器人可以",
            "en": "not called: a custom bot cannot use {means}; an app can",
        },
        # Faults of the rota.
        "gap_unknown": {
            "zh": "{shift}里有人不在 rota.people 中：{names}",
            "en": "{shift} names people who are not in rota.people: {names}",
        },
        "gap_overlap": {"zh": "{one} 与 {other} 重叠，以前者为准", "en": "{one} and {other} overlap; the first counts"},
        "vacant": {"zh": "无人值班", "en": "nobody is on duty"},
        "vacant_unknown": {
            "zh": "值班的人都不在值班表名单里，因此会通知全组",
            "en": "nobody is on duty whom the rota knows, so the whole group is called",
        },
        "vacant_declined": {
            "zh": "{names} 拒绝了 {shift}，没有其他人值班，因此会通知全组",
            "en": "{shift} was declined by {names}, and nobody is left, so the whole group is called",
        },
        "some_event": {"zh": "某个日程", "en": "an event"},
        # How people are called.
        "means_app": {"zh": "应用内加急", "en": "calls in Feishu"},
        "means_sms": {"zh": "短信加急", "en": "text messages"},
        "means_phone": {"zh": "电话加急", "en": "phone calls"},
    }
)
