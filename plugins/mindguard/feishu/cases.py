"""Sample alerts, one for each kind of card, for `mindguard feishu preview|send CASE` and the golden files.

The numbers are made up; the time is fixed, so that a preview is the same every day.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import (
    Alert,
    Chart,
    Digest,
    DigestLine,
    Fact,
    Link,
    Person,
    Question,
    Release,
    Table,
    fingerprint,
)
from mindguard.alerts.dag_runs.approval import approval_request
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.feishu.card import render_card
from mindguard.feishu.digest_card import render_digest
from mindguard.feishu.plain_text import render_digest_text, render_text
from mindguard.texts import Locale

Say = Callable[[str, str], str]
"""A function that chooses between the Chinese and the English wording."""

_ZONE = ZoneInfo("Asia/Shanghai")
_AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
_AIRFLOW = "http://127.0.0.1:8080"
_GRID = f"{_AIRFLOW}/dags/snapshot_tables"

_TRACEBACK = """\
Traceback (most recent call last):
  File "mindguard/snapshots/export.py", line 141, in export_part
    for batch in reader:
  File "adbc_driver_manager/_reader.pyx", line 89, in read_next_batch
adbc_driver_manager.OperationalError: IO: [libpq] connection to postgresql://mindguard_ro:example-password@127.0.0.1:5432/app
failed: server closed the connection unexpectedly
"""


def _links(say: Say) -> tuple[Link, ...]:
    return (
        Link(say("查看日志", "Open log"), f"{_GRID}/runs/scheduled__2026-11-19/tasks/export"),
        Link(say("处置手册", "Runbook"), f"{_GRID}/details"),
    )


def _p0_data_loss(say: Say) -> Alert:
    return Alert(
        title=say("恢复演练发现数据丢失", "Restore drill found lost data"),
        severity=Severity.P0,
        subject="public.risk_signals",
        happened_at=_AT,
        fingerprint=fingerprint("restore_drill", "public.risk_signals"),
        facts=(
            Fact(say("恢复出的行数", "Rows restored"), "48,112", "48,640", wrong=True),
            Fact(say("缺失行数", "Rows missing"), "528", "0", wrong=True),
            Fact(say("快照", "Snapshot"), "2026-11-19T02-00-00"),
            Fact(say("上一份通过恢复验证的快照", "Last proven snapshot"), "2026-11-18T02-00-00"),
        ),
        links=_links(say),
    )


def _p0_sos(say: Say) -> Alert:
    return Alert(
        title=say("SOS 求助正在失败", "SOS calls are failing"),
        severity=Severity.P0,
        subject=say("SOS 求助 · 短信通道", "SOS · SMS channel"),
        happened_at=_AT,
        fingerprint=fingerprint("service_levels", "sos"),
        facts=(
            Fact(say("成功率（5 分钟）", "Success rate (5 min)"), "61.4 %", "> 98 %", wrong=True),
            Fact(say("失败的求助", "Failed calls"), "17", "0", wrong=True),
        ),
        links=_links(say)[1:],
    )


def _p1_unproven(say: Say) -> Alert:
    return Alert(
        title=say("今日快照未通过恢复验证", "Today's snapshot is not proven"),
        severity=Severity.P1,
        subject="snapshot_tables · public.checkins",
        happened_at=_AT,
        fingerprint=fingerprint("restore_drill", "public.checkins"),
        facts=(
            Fact(say("最近一次通过恢复验证", "Last proven"), say("31 小时前", "31 h ago"), "≤ 24 h", wrong=True),
            Fact(say("演练", "Drill"), say("第 3 步：指纹不一致", "step 3: fingerprints differ"), wrong=True),
        ),
        links=_links(say),
    )


def _p1_task_failed(say: Say) -> Alert:
    return Alert(
        title=say("任务失败：每日快照", "Task failed: daily snapshot"),
        severity=Severity.P1,
        subject="snapshot_tables.export",
        happened_at=_AT,
        fingerprint=fingerprint("snapshot_tables", "export", run="scheduled__2026-11-19"),
        facts=(
            Fact(
                say("错误", "Error"),
                "OperationalError: server closed the connection unexpectedly",
                wrong=True,
            ),
            Fact(say("尝试", "Try"), "3", "≤ 3"),
            Fact(say("运行", "Run"), "scheduled__2026-11-19"),
        ),
        detail=_TRACEBACK,
        links=_links(say),
    )


def _p2_trend(say: Say) -> Alert:
    return Alert(
        title=say("关键埋点环比下降", "A key event fell day over day"),
        severity=Severity.P2,
        subject="checkin_submit",
        happened_at=_AT,
        fingerprint=fingerprint("event_volume", "checkin_submit"),
        facts=(
            Fact(say("环比前一日", "Day over day"), "−27.3 %", "≥ −20 %", wrong=True),
            Fact(say("昨日 / 前日", "Yesterday / day before"), "91,204 / 125,451"),
            Fact(
                say("可能原因", "Likely cause"),
                say(
                    "仅 iOS、版本 2.8.1 下降，先查 SDK 上报",
                    "only iOS with release 2.8.1 fell: check its SDK first",
                ),
            ),
        ),
        links=_links(say)[1:],
    )


def _duty(say: Say) -> tuple[Person, ...]:
    return (
        Person(say("值班甲", "Engineer A"), "ou_sample7d8a6e6df7621556ce0d2192a", role="primary"),
        Person(say("值班乙", "Engineer B"), "ou_sample84aad35d084aa403a838cf73b", role="backup"),
    )


def _p1_full(say: Say) -> Alert:
    """Return an alert with everything that a card can show."""
    days = [f"11-{day:02}" for day in range(6, 20)]
    seen = (118.2, 121.0, 124.9, 102.3, 99.8, 119.4, 120.8, 122.6, 125.1, 126.0, 103.9, 101.2, 121.7, 88.4)
    usual = (119.0, 120.5, 123.1, 103.0, 100.9, 119.2, 121.3, 121.9, 124.2, 125.3, 103.5, 101.4, 121.1, 122.0)
    return Alert(
        title=say("打卡提交量环比下降", "Check-ins fell day over day"),
        severity=Severity.P1,
        subject="checkin_submit",
        happened_at=_AT,
        fingerprint=fingerprint("event_volume", "checkin_submit", kind="full"),
        incident_id="I-1042",
        acknowledge_url="https://airflow.example/mindguard/acknowledge?token=sample",
        occurrences=6,
        last_seen_at=_AT + timedelta(minutes=12),
        escalated_to=say("值班乙", "Engineer B"),
        duty=_duty(say),
        mention=True,
        facts=(
            Fact(say("环比前一日", "Day over day"), "−27.3 %", "≥ −20 %", wrong=True),
            Fact(say("昨日 / 前日", "Yesterday / day before"), "88.4 k / 121.7 k"),
        ),
        table=Table(
            (
                say("平台", "Platform"),
                say("版本", "Version"),
                say("昨日", "Yesterday"),
                say("环比前一日", "Day over day"),
            ),
            (
                ("iOS", "2.8.1", "11,204", "−71.2 %"),
                ("iOS", "2.8.0", "30,118", "−1.4 %"),
                ("Android", "2.8.1", "47,078", "+0.6 %"),
            ),
        ),
        chart=Chart(
            say("每日打卡（千次）", "Check-ins a day (thousands)"),
            tuple(zip(days, seen, strict=True)),
            days[-1],
            tuple(zip(days, usual, strict=True)),
        ),
        releases=(
            Release("2.8.1", _AT - timedelta(hours=20), 0.1, rolled_back=True, note=say("iOS 灰度", "iOS canary")),
            Release("2.8.0", _AT - timedelta(days=3), 1.0),
            Release("2.7.4", _AT - timedelta(days=9), 1.0),
        ),
        links=(*_links(say), Link(say("链路追踪", "Trace"), "https://trace.example/t/4bf92f35")),
    )


def _p1_taken(say: Say) -> Alert:
    taken = replace(_p1_full(say), acknowledged_by=say("值班甲", "Engineer A"), escalated_to="", mention=False)
    return replace(taken, acknowledged_at=_AT + timedelta(minutes=14), chart=None, table=None)


def _storm(say: Say) -> Digest:
    sources = ("snapshot_tables.export", "pipeline_freshness.check", "restore_drill.compare")
    return Digest(
        say("一分钟内 37 条告警，合并为一条", "37 incidents within a minute, in one message"),
        Severity.P0,
        _AT,
        (
            DigestLine(Severity.P0, 1, say("SOS 求助正在失败", "SOS calls are failing"), "SOS", "I-1040", "open"),
            *(DigestLine(Severity.P1, 12, say("任务失败", "Task failed"), source, "", "open") for source in sources),
        ),
        "storm",
        duty=_duty(say)[:1],
        mention=True,
        links=_links(say)[1:],
    )


def _handover(say: Say) -> Digest:
    return Digest(
        say("夜班接班：2 条未恢复", "Night shift takes over: 2 open"),
        Severity.P1,
        _AT,
        (
            DigestLine(Severity.P1, 1, _p1_full(say).title, "checkin_submit", "I-1042", "acknowledged"),
            DigestLine(Severity.P2, 3, say("周报生成变慢", "Weekly report is slow"), "weekly_report", "I-1037", "open"),
            DigestLine(Severity.P1, 1, _p1_task_failed(say).title, "snapshot_tables.export", "I-1041", "resolved"),
        ),
        "handover",
        duty=_duty(say),
        mention=True,
        links=_links(say)[1:],
    )


def _handover_quiet(say: Say) -> Digest:
    return Digest(say("早班接班", "Day shift takes over"), Severity.P2, _AT, (), "handover", duty=_duty(say))


def _review(say: Say) -> Digest:
    return Digest(
        say("1 个事件的复盘将到期", "One review is nearly due"),
        Severity.P1,
        _AT,
        (
            DigestLine(
                Severity.P0,
                1,
                _p0_data_loss(say).title,
                "public.risk_signals",
                "I-1031",
                say("剩余 6 小时", "6 h left"),
            ),
        ),
        "review",
        duty=_duty(say)[:1],
    )


def _resolved(say: Say) -> Alert:
    failed = _p1_task_failed(say)
    return Alert(
        title=failed.title,
        severity=failed.severity,
        subject=failed.subject,
        happened_at=failed.happened_at,
        fingerprint=failed.fingerprint,
        facts=(Fact(say("结果", "Outcome"), say("重跑成功，快照已通过恢复验证", "rerun succeeded, snapshot proven")),),
        links=_links(say)[:1],
        resolved_at=_AT + timedelta(minutes=18),
    )


def _hostile(say: Say) -> Alert:
    """Return an alert full of what must not get through: markup, mentions, secrets, long text, broken characters."""
    return Alert(
        title="**<at id=all></at>** [click](javascript:alert(1)) \x1b[31m\u202e" + "标题" * 80,
        severity=Severity.P1,
        subject="`tables` | ~~a_b~~ <font color='green'>ok</font> &#60;b&#62; \ud800",
        happened_at=_AT,
        fingerprint=fingerprint("hostile", "everything"),
        facts=(
            Fact("<script>alert(1)</script>", "password=example-password <at id=all></at>", "a*b_c", wrong=True),
            Fact("dsn", "postgresql://user:ex@mple@127.0.0.1/app?sslpassword=example-password"),
            Fact(
                "url",
                "https://bucket.example/x?X-Amz-Credential=EXAMPLE%2F20261119&X-Amz-Signature=0a1b2c&part=7",
            ),
            *(Fact(f"fact {number}", "👩‍👩‍👧‍👦" * 60) for number in range(20)),
        ),
        detail="</at>```\n<at id=all></at>\n"
        + "第一行 'quoted' \\ \"double\" 🇨🇳 é\n" * 4000
        + '{"token": "example-token"}',
        links=(
            Link("javascript", "javascript:alert(1)"),
            Link("**bold** & <b>", 'https://example.com/?a="b"&c=<d>&token=example-token'),
        ),
    )


_UNANSWERED = Question(_AT + timedelta(hours=12))


def _approval(say: Say, answer: Question = _UNANSWERED) -> Alert:
    """Return a question that waits for approval, or has its answer."""
    locale: Locale = "zh" if say("zh", "") else "en"
    return approval_request(
        dag_id="restore_tables",
        run_id="manual__2026-11-19T06:01:40",
        question=say(
            "恢复 public.checkins、public.risk_signals（按 user_id 筛选）",
            "Restore public.checkins, public.risk_signals (rows chosen by user_id)",
        ),
        severity=Severity.P2,
        happened_at=_AT,
        page_url=f"{_AIRFLOW}/dags/restore_tables/runs/manual__1/tasks/approve_restore/required_actions",
        locale=locale,
        facts=(
            Fact(say("快照", "Snapshot"), "20261118T180000Z-3f9a1c"),
            Fact(
                say("快照时间", "Taken"), say("11-19 周四 02:00，距今 12 小时 2 分", "11-19 Thu 02:00, 12 h 2 min ago")
            ),
            Fact(
                say("恢复验证", "Proven by a drill"),
                say("尚未通过：恢复演练还没有成功重建过它", "no: no restore drill has rebuilt it"),
                wrong=True,
            ),
            Fact(
                say("筛选", "Only rows with"),
                say("user_id（1 个值）；取值只显示在批准页面上", "user_id (values: 1)"),
            ),
            Fact(
                say("将恢复", "Rows it would bring"),
                say(
                    "public.checkins 30 行、public.risk_signals 2 行",
                    "public.checkins: 30, public.risk_signals: 2",
                ),
            ),
            Fact(
                say("写入", "Into"),
                say(
                    "schema restored_20261118t180000z_3f9a1c，线上表不变",
                    "schema restored_20261118t180000z_3f9a1c; live tables stay as they are",
                ),
            ),
            Fact(say("申请人", "Requested by"), say("值班甲", "Engineer A")),
        ),
        answer=answer,
    )


def _approval_given(say: Say) -> Alert:
    answer = Question(
        answer="approved", answered_by=say("值班乙", "Engineer B"), answered_at=_AT + timedelta(minutes=9)
    )
    return _approval(say, answer)


def _approval_refused(say: Say) -> Alert:
    answer = Question(
        answer="rejected", answered_by=say("值班乙", "Engineer B"), answered_at=_AT + timedelta(minutes=9)
    )
    return _approval(say, answer)


def _approval_expired(say: Say) -> Alert:
    return _approval(say, Question(answer="expired", answered_at=_AT + timedelta(hours=12)))


CASES: dict[str, Callable[[Say], Alert]] = {
    "p0-data-loss": _p0_data_loss,
    "p0-sos": _p0_sos,
    "p1-unproven": _p1_unproven,
    "p1-task-failed": _p1_task_failed,
    "p1-full": _p1_full,
    "p1-taken": _p1_taken,
    "p2-trend": _p2_trend,
    "resolved": _resolved,
    "approval": _approval,
    "approval-given": _approval_given,
    "approval-refused": _approval_refused,
    "approval-expired": _approval_expired,
    "hostile": _hostile,
}

DIGESTS: dict[str, Callable[[Say], Digest]] = {
    "storm": _storm,
    "handover": _handover,
    "handover-quiet": _handover_quiet,
    "review": _review,
}


def sample(case: str, locale: Locale) -> Alert | Digest:
    """Return the sample with this name, in the language of the locale.

    Raises:
        MindGuardError: There is no such case; the message lists the cases that exist.
    """
    make = CASES.get(case) or DIGESTS.get(case)
    if make is None:
        raise MindGuardError(f"no sample alert {case!r}", hint=f"choose one of {', '.join([*CASES, *DIGESTS])}")
    return make(lambda zh, en: zh if locale == "zh" else en)


def to_send(case: str, locale: Locale, *, pages: str | None) -> Alert | Digest:
    """Return the sample as it may be sent to a group, where nobody must take it for an alert.

    Its title, a tag or its lines, and its first fact say that it is a sample. It mentions nobody, and what it would
    link to does not exist.

    Args:
        case: see `sample`.
        locale: language of the sample.
        pages: Airflow's address, to whose page of incidents the sample links instead; None: it has no links.
    """
    say: Say = lambda zh, en: zh if locale == "zh" else en  # noqa: E731
    shown, mark = sample(case, locale), say("【示例】", "[sample] ")
    title = f"{mark}{shown.title}"
    links = (Link(say("告警事件", "Incidents"), f"{pages.rstrip('/')}/mindguard/incidents"),) if pages else ()
    if isinstance(shown, Digest):
        groups = tuple(replace(group, title=f"{mark}{group.title}", incident_id="") for group in shown.groups)
        return replace(shown, title=title, groups=groups, links=links, mention=False)
    notice = Fact(
        say("说明", "Note"),
        say("手动发送的示例，不是告警，无需处理", "a sample that somebody sent to try the channel; nothing is wrong"),
    )
    return replace(
        shown,
        title=title,
        incident_id=say("示例", "sample"),
        facts=(notice, *shown.facts),
        links=links,
        acknowledge_url="",
        mention=False,
    )


def preview(case: str, locale: Locale, *, zone: ZoneInfo = _ZONE) -> tuple[str, str]:
    """Return the sample as plain text and as indented card JSON, as they would be sent. See `sample` for errors."""
    shown = sample(case, locale)
    if isinstance(shown, Digest):
        card = render_digest(shown, locale=locale, zone=zone)
        text = render_digest_text(shown, locale=locale, zone=zone)
    else:
        card = render_card(shown, locale=locale, zone=zone, now=shown.last_seen_at)
        text = render_text(shown, locale=locale, zone=zone)
    return text, json.dumps(card, ensure_ascii=False, indent=2)
