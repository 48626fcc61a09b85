"""What a reader of a snapshot would miss, in Chinese and English."""

from __future__ import annotations

from mindguard.texts import Texts

TEXTS = Texts(
    {
        "children_left_out": {
            "zh": "{table}：`inherited: own` 不包含子表 {children} 的行",
            "en": "{table}: `inherited: own` leaves out the rows of {children}",
        },
        "large_objects": {
            "zh": "{column} 引用了 {count:,} 个大对象，快照里没有它们的内容",
            "en": "{column} refers to {count:,} large objects; their content is not in the snapshot",
        },
        "other_large_objects": {
            "zh": "数据库里另有 {count:,} 个大对象，这些表的 oid 或 lo 列都没有引用它们，快照里没有它们的内容",
            "en": "the database has {count:,} large objects to which no column of type oid or lo of these tables "
            "refers; their content is not in the snapshot",
        },
        "closed_sequences": {
            "zh": "这个角色无权读取序列 {sequences} 的当前值，恢复后这些序列会从头开始",
            "en": "the position of {sequences} cannot be read by this role, so a restored sequence begins anew",
        },
    }
)
