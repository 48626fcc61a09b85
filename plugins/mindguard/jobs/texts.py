"""What the DAG of restores asks a person to approve, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        "separator": {"zh": "、", "en": ", "},
        # The question.
        "restore": {"zh": "恢复 {tables}{rows}{after}", "en": "Restore {tables}{rows}{after}"},
        "restore_where": {"zh": "（按 {columns} 筛选）", "en": " (rows chosen by {columns})"},
        "restore_swap": {"zh": "，并替换线上表", "en": " AND SWAP them with the live tables"},
        "more": {"zh": "另有 {count} 项", "en": "and {count} more"},
        # Its facts.
        "snapshot": {"zh": "快照", "en": "Snapshot"},
        "taken": {"zh": "快照时间", "en": "Taken"},
        "taken_ago": {"zh": "{time}，请求批准时距今 {age}", "en": "{time}, {age} old when this was asked"},
        "and_doubtful": {
            "zh": "{taken}；但 {tables} 的值可能更早：之后的快照发现，有些值改动过，却没有被察觉",
            "en": "{taken}; but rows of {tables} may be older: a later snapshot found values changed unnoticed",
        },
        "days": {"zh": "{days} 天", "en": "{days} days"},
        "days_hours": {"zh": "{days} 天 {hours} 小时", "en": "{days} d {hours} h"},
        "proven": {"zh": "恢复验证", "en": "Proven by a drill"},
        "proven_at": {"zh": "已通过，{time}", "en": "yes, {time}"},
        "not_proven": {"zh": "尚未通过：恢复演练还没有成功重建过它", "en": "no: no restore drill has rebuilt it"},
        "proven_in_part": {
            "zh": "尚未通过：恢复演练至今重建了 {tables} 张表中的 {rebuilt} 张",
            "en": "no: restore drills have rebuilt {rebuilt} of {tables} tables so far",
        },
        "and_checked": {"zh": "{proven}；{checked}", "en": "{proven}; {checked}"},
        "checked": {
            "zh": "全部分片在请求批准前 {age} 内都读过",
            "en": "all parts were read within {age} before this was asked",
        },
        "unchecked": {"zh": "没有分片的读取记录", "en": "there is no record of its parts having been read"},
        "unread": {
            "zh": "{count} 个存储对象没有读取记录",
            "en": "there is no record of {count} stored objects having been read",
        },
        "altered": {
            "zh": "{count} 个存储对象缺失，或大小不符",
            "en": "{count} stored objects are missing or have another size",
        },
        "damaged": {"zh": "已知 {count} 个存储对象损坏", "en": "{count} stored objects are known to be damaged"},
        "quarantined": {"zh": "已隔离", "en": "Quarantined"},
        "tables": {"zh": "表", "en": "Tables"},
        "filter": {"zh": "筛选", "en": "Only rows with"},
        "filter_column": {"zh": "{column}（{count} 个值）", "en": "{column} (values: {count})"},
        "filter_values": {
            "zh": "{columns}；取值只显示在批准页面上",
            "en": "{columns}; the values are on the approval page only",
        },
        "no_filter": {"zh": "无，全部行", "en": "none: all rows"},
        "rows": {"zh": "将恢复", "en": "Rows it would bring"},
        "rows_of": {"zh": "{table} {rows} 行", "en": "{table}: {rows}"},
        "rows_at_most": {"zh": "{table} 至多 {rows} 行", "en": "{table}: at most {rows}"},
        "target": {"zh": "目标", "en": "Target"},
        "target_of": {
            "zh": "连接 {connection}，数据库 {database}",
            "en": "connection {connection}, database {database}",
        },
        "into": {"zh": "写入", "en": "Into"},
        "into_schema": {"zh": "schema {schema}，线上表不变", "en": "schema {schema}; live tables stay as they are"},
        "into_swap": {
            "zh": "替换线上表；原表改名为 {kept} 保留；快照之后写入的行只在原表中",
            "en": "the live tables' places; the former ones stay as {kept}, and only they have rows written since",
        },
        "unfinished": {"zh": "会先清除", "en": "Removed first"},
        "unfinished_of": {"zh": "{what}（上次中断的恢复留下的）", "en": "{what}, left by an interrupted restore"},
        # What follows a restore of rows.
        "then": {"zh": "之后", "en": "Then"},
        "then_missing": {
            "zh": "再次请求批准，把缺失的行写回线上表",
            "en": "asks again before missing rows are put back",
        },
        "then_changed": {
            "zh": "再次请求批准，把缺失的行写回线上表，并覆盖有变动的行",
            "en": "asks again before missing rows are put back and changed ones overwritten",
        },
        "put_back": {
            "zh": "写回线上表 {tables}：补回 {missing} 行",
            "en": "Put {missing} rows back into {tables}",
        },
        "put_back_over": {
            "zh": "写回线上表 {tables}：补回 {missing} 行，覆盖 {changed} 行",
            "en": "Put {missing} rows back into {tables}, AND OVERWRITE {changed}",
        },
        "difference": {"zh": "差异", "en": "Difference"},
        "difference_of": {
            "zh": "{table} 缺失 {missing} 行、有变动 {changed} 行、相同 {equal} 行",
            "en": "{table}: {missing} missing, {changed} differ, {equal} equal",
        },
        "changed_rows": {"zh": "有变动的行", "en": "Rows that differ"},
        "changed_stay": {"zh": "保持不变", "en": "stay as they are"},
        "changed_go": {
            "zh": "恢复为快照中的值；现在的值保留在 schema {schema} 中",
            "en": "get the snapshot's values; what they have now is kept in schema {schema}",
        },
        "since": {"zh": "此后又变动的行", "en": "Rows that change meanwhile"},
        "since_stay": {"zh": "保持不变", "en": "stay as they are"},
        "triggers": {"zh": "会执行的触发器", "en": "Triggers that fire"},
        "requester": {"zh": "申请人", "en": "Requested by"},
        "no_requester": {"zh": "未知（{run_type} 运行）", "en": "not known ({run_type} run)"},
    }
)
