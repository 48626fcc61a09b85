"""The timeline in both languages, wherever a person reads it; what is stored belongs to no language."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from mindguard.alerts.alert import Alert, Person, fingerprint
from mindguard.alerts.incidents.models import EntryKind, Incident, TimelineEntry
from mindguard.alerts.incidents.timeline import opened_text, raised_text, shown_entry, shown_timeline, silenced_text
from mindguard.alerts.postmortem import postmortem
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.cli import incidents as commands
from mindguard.feishu.answers import URGENT_NOT_ALLOWED, FeishuRefused
from mindguard.feishu.transport import AppTransport, HookTransport
from mindguard.monitors.findings import recovery_key as monitor_key
from mindguard.texts import Locale
from mindguard.volume.findings import recovery_key as volume_key
from mindguard.web.rendering import render

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
KINDS: tuple[EntryKind, ...] = get_args(EntryKind)


def shown(kind: EntryKind, text: str, locale: Locale) -> str:
    return shown_entry(TimelineEntry.of(1, kind, at=AT, text=text), locale).text


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_words_in_both_languages(kind: EntryKind) -> None:
    words = {locale: shown_entry(TimelineEntry.of(1, kind, at=AT), locale).what for locale in ("zh", "en")}
    assert re.search(r"[\u4e00-\u9fff]", words["zh"])
    assert re.fullmatch(r"[A-Za-z ]+", words["en"])


def test_every_kind_with_words_exists() -> None:
    assert {key.removeprefix("kind_") for key in TEXTS.words if key.startswith("kind_")} == set(KINDS)


def test_what_a_later_version_stored_is_shown_as_it_is() -> None:
    entry = TimelineEntry(incident_id=1, at=AT, kind="merged", by="ann", text="I-3")
    found = shown_entry(entry, "zh")
    assert (found.what, found.by, found.text) == ("merged", "ann", "I-3")


@pytest.mark.parametrize(
    ("kind", "stored", "zh", "en"),
    [
        ("opened", opened_text("Disk full", None), "Disk full", "Disk full"),
        ("opened", opened_text("Disk full", 7), "Disk full（上一次：I-7）", "Disk full (previously I-7)"),
        ("raised", raised_text("P2", "P1"), "由 P2 升为 P1", "from P2 to P1"),
        ("silenced", silenced_text("S-3", "new disk"), "S-3：new disk", "S-3: new disk"),
        (
            "heard",
            "S-3",
            "S-3 不再适用，事件仍未恢复，现在通知",
            "S-3 no longer applies and the incident is unresolved; people are notified now",
        ),
        ("reopened", "7", "反复发生与恢复，第 7 次", "it comes and goes: time 7"),
        ("raised", "something else", "something else", "something else"),
        ("released", "I-7", "I-7 已恢复", "I-7 is resolved"),
        ("inhibited", "airflow:dag.task r:1", "Airflow 任务 dag.task r:1", "Airflow task dag.task r:1"),
        ("inhibited", monitor_key("lag"), "监控 lag", "monitor lag"),
        ("inhibited", monitor_key("errors", "POST /sos"), "监控 errors / POST /sos", "monitor errors / POST /sos"),
        ("inhibited", monitor_key("source", "kafka"), "监控的数据源 kafka", "monitored source kafka"),
        ("inhibited", monitor_key("checker", "rates"), "监控 DAG rates", "monitoring DAG rates"),
        (
            "inhibited",
            volume_key("event_volume", ("sos_click",)),
            "数据检查 event_volume / sos_click",
            "data check event_volume / sos_click",
        ),
        ("inhibited", "other:thing", "other:thing", "other:thing"),
        ("inhibited", "no key", "no key", "no key"),
        ("note", "P2 → P1", "P2 → P1", "P2 → P1"),
    ],
)
def test_what_the_program_wrote_is_put_into_words(kind: EntryKind, stored: str, zh: str, en: str) -> None:
    assert shown(kind, stored, "zh") == zh
    assert shown(kind, stored, "en") == en


def test_stored_texts_stay_as_they_were() -> None:
    assert opened_text("Disk full", 7) == "Disk full ← I-7"
    assert raised_text("P2", "P1") == "P2 → P1"


class App:
    """An app's client that refuses phone calls and does not reach everybody."""

    wire = SimpleNamespace(deadline=lambda: 0.0)

    def urge(self, message_id: str, open_ids: list[str], means: str, *, deadline: float) -> list[str]:
        if means == "phone":
            raise FeishuRefused(next(iter(URGENT_NOT_ALLOWED)), "no quota")
        return ["ou_bob"]


def called(*people: Person, means: Any = "sms") -> str:
    app: Any = App()
    return AppTransport(app, locale="zh", zone=SHANGHAI).urge("om_1", people, means, now=AT)


ANN, BOB, EVE = Person("甲", "ou_ann"), Person("乙", "ou_bob"), Person("丙")


@pytest.mark.parametrize(
    ("stored", "zh", "en"),
    [
        (called(ANN), "已通过短信通知：甲", "called by text message: 甲"),
        (called(ANN, means="app"), "已通过飞书加急通知：甲", "called in Feishu: 甲"),
        (
            called(ANN, BOB, EVE),
            "已通过短信通知：甲；没有飞书 ID：丙；未能通知到：乙",
            "called by text message: 甲; no Feishu id: 丙; not reached: 乙",
        ),
        (called(BOB), "没有通知到任何人；未能通知到：乙", "nobody was called; not reached: 乙"),
        (called(EVE), "没有通知到任何人；没有飞书 ID：丙", "nobody was called; no Feishu id: 丙"),
    ],
)
def test_the_result_of_a_call_is_put_into_words(stored: str, zh: str, en: str) -> None:
    assert shown("called", stored, "zh") == zh
    assert shown("called", stored, "en") == en


def test_a_means_that_is_not_allowed_is_named() -> None:
    stored = called(ANN, means="phone")
    assert shown("called", stored, "zh").startswith("已通过短信通知：甲；飞书不允许电话加急：code ")
    assert "Feishu does not allow phone calls: code " in shown("called", stored, "en")


def test_a_custom_bot_that_cannot_call_says_so() -> None:
    bot: Any = HookTransport(SimpleNamespace(), locale="zh", zone=SHANGHAI)  # type: ignore[arg-type]
    stored = bot.urge("om_1", [ANN], "phone", now=AT)
    assert shown("called", stored, "zh") == "未通知：自定义机器人不能电话加急，应用机器人可以"
    assert shown("called", stored, "en") == "not called: a custom bot cannot use phone calls; an app can"


@pytest.fixture
def incident() -> Incident:
    alert = Alert(
        title="Disk full",
        severity=Severity.P1,
        subject="server",
        happened_at=AT,
        fingerprint=fingerprint("test", "server"),
    )
    stored: list[tuple[EntryKind, str, str]] = [
        ("opened", "", opened_text("Disk full", 7)),
        ("inhibited", "", monitor_key("source", "kafka")),
        ("released", "", "I-8"),
        ("raised", "", raised_text("P2", "P1")),
        ("acknowledged", "ann", ""),
        ("note", "ann", "password=not-a-real-password-1234"),
    ]
    return Incident(
        id=12,
        fingerprint=alert.fingerprint,
        recovery_key="test:server",
        source="test",
        severity="P1",
        state="acknowledged",
        alert=alert,
        opened_at=AT,
        last_seen_at=AT,
        occurrences=3,
        acknowledged_by="ann",
        acknowledged_at=AT,
        escalated_to="",
        resolved_by="",
        impact="",
        cause="",
        remedy="",
        actions=[],
        timeline=[
            TimelineEntry.of(12, kind, at=AT + timedelta(minutes=n), by=by, text=text)
            for n, (kind, by, text) in enumerate(stored)
        ],
    )


WORDS: dict[Locale, tuple[str, ...]] = {
    "zh": ("发生", "上一次：I-7", "监控的数据源 kafka", "I-8 已恢复", "由 P2 升为 P1", "认领", "备注"),
    "en": ("opened", "previously I-7", "monitored source kafka", "I-8 is resolved", "from P2 to P1", "acknowledged"),
}


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_page_post_mortem_and_command_line_show_the_readers_language(
    incident: Incident, locale: Locale, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = render(
        "incident.html",
        locale=locale,
        zone=SHANGHAI,
        nonce="n",
        incident=incident,
        timeline=shown_timeline(incident, locale),
        matchers=(),
        longest_h=168,
    )
    document = postmortem(incident, locale=locale, zone=SHANGHAI)
    settings = SimpleNamespace(locale=locale, zone=SHANGHAI, timezone=SHANGHAI.key)
    monkeypatch.setattr(commands, "_settings_and_store", lambda: (settings, SimpleNamespace(get=lambda name: incident)))
    printed = CliRunner().invoke(commands.app, ["show", "I-12"])
    assert printed.exit_code == 0, printed.output
    for text in (page, document, printed.output):
        for word in WORDS[locale]:
            assert word in text
        for raw in ("← I-7", "P2 → P1", "monitor:source"):
            assert raw not in text
    assert "not-a-real-password" not in page + document


def test_programs_get_what_is_stored(incident: Incident, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SimpleNamespace(locale="zh", zone=SHANGHAI, timezone=SHANGHAI.key)
    monkeypatch.setattr(commands, "_settings_and_store", lambda: (settings, SimpleNamespace(get=lambda name: incident)))
    printed = CliRunner().invoke(commands.app, ["show", "I-12", "--json"]).output
    for raw in ("Disk full ← I-7", "P2 → P1", "monitor:source:kafka", '"acknowledged"'):
        assert raw in printed
