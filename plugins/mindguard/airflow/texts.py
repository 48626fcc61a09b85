"""What the forms of the DAGs ask for, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        "snapshot": {"zh": "快照", "en": "Snapshot"},
        "snapshot_help": {
            "zh": "快照编号，或 latest（最新的可用快照）。命令 mindguard snapshot list 会列出全部。",
            "en": "Its id, or latest (the newest good one); the command mindguard snapshot list lists them.",
        },
        "tables": {"zh": "表", "en": "Tables"},
        "tables_help": {
            "zh": "留空：快照中的全部表。可选的是当前配置里的表；"
            "快照里的其他表，请写在下面“高级选项”（Advanced Options）的 JSON 中。",
            "en": "Empty: all tables of the snapshot. The choices are the tables of the present settings; write "
            "other tables of the snapshot into the JSON under Advanced Options.",
        },
        "tables_free_help": {
            "zh": "例如 public.checkins，每行一个。留空：快照中的全部表。",
            "en": "For instance public.checkins, one per line. Empty: all tables of the snapshot.",
        },
        "where": {"zh": "只恢复这些行", "en": "Only rows with"},
        "where_help": {
            "zh": "列=值，每行一个，例如 user_id=42。留空：全部行。",
            "en": "COLUMN=VALUE, one per line, for instance user_id=42. Empty: all rows.",
        },
        "into": {"zh": "写入 schema", "en": "Into schema"},
        "into_help": {
            "zh": "新 schema 的名称。留空：restored_<快照编号>。",
            "en": "The name of a new schema. Empty: restored_<snapshot id>.",
        },
        "put_back": {"zh": "写回线上表", "en": "Put back"},
        "put_back_help": {
            "zh": "恢复之后把哪些行写回线上表；写回之前会展示差异，再请求一次批准。",
            "en": "Which rows then go back into the live tables; their difference is shown and needs a second "
            "approval.",
        },
        "put_back_no": {"zh": "不写回", "en": "no"},
        "put_back_missing": {"zh": "缺失的行", "en": "missing rows"},
        "put_back_changed": {"zh": "缺失的和有变动的行", "en": "missing and changed rows"},
        "swap": {"zh": "替换线上表", "en": "Swap"},
        "swap_help": {
            "zh": "恢复后用它们替换线上表。",
            "en": "Then put the restored tables in the place of the live ones.",
        },
        "quarantined": {"zh": "已隔离的快照", "en": "Quarantined"},
        "quarantined_help": {"zh": "允许使用已隔离的快照。", "en": "Accept a quarantined snapshot."},
        "target": {"zh": "目标连接", "en": "Target"},
        "target_help": {
            "zh": "连接的 ID。留空：用 connections.restore。",
            "en": "Its id. Empty: connections.restore.",
        },
        "drill": {"zh": "快照", "en": "Snapshot"},
        "drill_help": {
            "zh": "只演练这一份。留空：最新的一份，以及抽查的旧快照。",
            "en": "Drill only this one. Empty: the newest and a sample of older ones.",
        },
        "day": {"zh": "日期", "en": "Date"},
        "day_help": {"zh": "检查这一天。留空：最近的一天。", "en": "Judge this day. Empty: the latest."},
    }
)
