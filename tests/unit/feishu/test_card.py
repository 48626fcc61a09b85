from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from devstack.feishu_sandbox import card_contract, contract, page
from mindguard.alerts.alert import Alert, Chart, Digest, DigestLine, Fact, Link, Person, Release, Table
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.feishu import blocks, card
from mindguard.feishu import message as message_of
from mindguard.feishu.cases import CASES, DIGESTS, preview, sample, to_send
from mindguard.feishu.digest_card import render_digest
from mindguard.feishu.plain_text import render_digest_text, render_text

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
LOCALES: tuple[Literal["zh", "en"], ...] = ("zh", "en")
BOTH = pytest.mark.parametrize("locale", LOCALES)
EVERY_CASE = pytest.mark.parametrize("case", [*CASES, *DIGESTS])


@BOTH
@EVERY_CASE
def test_the_golden_cards(case: str, locale: Literal["zh", "en"], golden: Callable[[str, str], None]) -> None:
    text, card_json = preview(case, locale)
    golden(f"cards/{case}.{locale}.json", card_json + "\n")
    golden(f"cards/{case}.{locale}.txt", text + "\n")


@BOTH
@EVERY_CASE
@pytest.mark.parametrize("pages", [None, "https://airflow.example/x/"])
def test_what_is_sent_to_try_the_bot_says_so_and_leads_nowhere_else(
    case: str, locale: Literal["zh", "en"], pages: str | None
) -> None:
    shown, mark = to_send(case, locale, pages=pages), {"zh": "【示例】", "en": "[sample]"}[locale]
    if isinstance(shown, Digest):
        rendered = render_digest(shown, locale=locale, zone=ZONE)
        text = render_digest_text(shown, locale=locale, zone=ZONE)
        assert text.count(mark) == 1 + len(shown.groups)
    else:
        rendered = card.render_card(shown, locale=locale, zone=ZONE)
        text = render_text(shown, locale=locale, zone=ZONE)
        assert {"zh": "不是告警", "en": "nothing is wrong"}[locale] in text
    assert rendered["header"]["title"]["content"].startswith(mark)
    assert mark in rendered["config"]["summary"]["content"]
    message = message_of.hook_message(rendered)
    assert contract.check_message(message) == contract.SUCCESS
    written = json.dumps(rendered, ensure_ascii=False)
    assert set(re.findall(r'"default_url": "([^"]*)"', written)) == (
        {"https://airflow.example/x/mindguard/incidents"} if pages else set()
    )
    assert "<at id=ou" not in written
    assert "I-1" not in written.replace("&#45;", "-"), "there may be such an incident"


@BOTH
@EVERY_CASE
def test_feishu_would_take_it(case: str, locale: Literal["zh", "en"]) -> None:
    text, card_json = preview(case, locale)
    for message in (message_of.hook_message(json.loads(card_json)), message_of.text_message(text)):
        assert contract.check_message(message) == contract.SUCCESS
        signed = {"timestamp": "1599360473", "sign": "=" * 44, **message}
        assert len(message_of.encode(signed)) <= message_of.BUDGET_BYTES


@BOTH
def test_a_card_says_that_it_is_silenced_and_that_it_comes_and_goes(locale: Literal["zh", "en"]) -> None:
    alert = Alert(
        title="Errors",
        severity=Severity.P1,
        subject="api",
        happened_at=AT,
        fingerprint="0" * 16,
        silence="S-3",
        silenced_until=AT + timedelta(hours=2),
        flaps=7,
    )
    shown = card.render_card(alert, locale=locale, zone=ZONE)
    text = render_text(alert, locale=locale, zone=ZONE)
    for message in (message_of.hook_message(shown), message_of.text_message(text)):
        assert contract.check_message(message) == contract.SUCCESS
    promise = shown["header"]["text_tag_list"][1]["text"]["content"]
    assert promise == {"zh": "静默中", "en": "silenced"}[locale]
    for written in (json.dumps(shown, ensure_ascii=False).replace("&#58;", ":").replace("&#45;", "-"), text):
        assert "S-3" in written
        assert "16:02" in written
        assert {"zh": "第 7 次", "en": "time 7"}[locale] in written


@BOTH
def test_nothing_hostile_gets_through(locale: Literal["zh", "en"]) -> None:
    text, card_json = preview("hostile", locale)
    for secret in ("example-password", "example-token", "ex@mple", "0a1b2c"):
        assert secret not in card_json
        assert secret not in text
    assert "<at" not in text
    assert "javascript:" not in json.dumps(
        [e for e in card_contract.walk(json.loads(card_json)["body"]["elements"]) if e["tag"] == "button"]
    )
    shown = page.messages(
        [
            {
                "received_at": "2026-11-19T06:02:00+00:00",
                "code": 0,
                "msg": "",
                "message": message_of.hook_message(json.loads(card_json)),
            }
        ]
    )
    assert "@所有人" not in shown
    assert "<script" not in shown
    assert 'javascript:alert(1)"' not in shown


def test_colour_follows_severity_and_recovery() -> None:
    colours = {case: json.loads(preview(case, "zh")[1])["header"]["template"] for case in CASES}
    assert colours["p0-sos"] == "red"
    assert colours["p1-unproven"] == "orange"
    assert colours["p2-trend"] == "blue"
    assert colours["resolved"] == "green"


def test_the_time_to_respond_by_is_shown_in_the_zone() -> None:
    alert = sample("p0-sos", "zh")
    assert "14&#58;17 前" in json.dumps(card.render_card(alert, locale="zh", zone=ZONE), ensure_ascii=False)
    late = replace(alert, happened_at=alert.happened_at + timedelta(hours=9, minutes=50))
    shown = json.dumps(card.render_card(late, locale="zh", zone=ZONE), ensure_ascii=False)
    assert "11&#45;20 周五 00&#58;07 前" in shown, "past midnight the day is named"


def test_the_fingerprint_travels_in_the_card() -> None:
    alert = sample("p0-sos", "en")
    assert f'"fp_{alert.fingerprint}"' in json.dumps(card.render_card(alert, locale="en", zone=ZONE))
    odd = replace(alert, fingerprint="not hexadecimal")
    assert "element_id" not in json.dumps(card.render_card(odd, locale="en", zone=ZONE))


@given(st.text())
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    from html import unescape

    visible = blocks.escape(text)
    shown = page.markdown(visible).replace("<br>", "\n")
    kept = "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)
    if kept == text:
        assert unescape(shown) == unescape(page.escape(text)), "no element, no mention, no entity of its own"


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300) | st.text('😀"\\<&\ud800', max_size=2000)


SHORT = st.text(st.characters(exclude_categories=()), max_size=80)
SECRET = "example-secret-0123456789"
NUMBERS = st.floats(width=32)
ALERTS = st.builds(
    Alert,
    title=ANY_TEXT,
    severity=st.sampled_from(Severity),
    subject=ANY_TEXT,
    happened_at=st.just(AT),
    fingerprint=ANY_TEXT,
    facts=st.lists(st.builds(Fact, ANY_TEXT, ANY_TEXT, ANY_TEXT, st.booleans()), max_size=30).map(tuple),
    detail=ANY_TEXT.map(lambda text: f"{text * 30} password={SECRET}"),
    links=st.lists(st.builds(Link, ANY_TEXT, ANY_TEXT.map(lambda text: f"https://h/{text * 5}")), max_size=7).map(
        tuple
    ),
    resolved_at=st.none() | st.just(AT),
    incident_id=SHORT,
    acknowledge_url=st.sampled_from(["", "https://h/a?token=x", "javascript:alert(1)"]),
    acknowledged_by=SHORT,
    acknowledged_at=st.none() | st.just(AT),
    occurrences=st.integers(0, 10**12),
    last_seen_at=st.none() | st.just(AT),
    escalated_to=SHORT,
    duty=st.lists(st.builds(Person, SHORT, SHORT | st.just("ou_1"), SHORT, SHORT), max_size=9).map(tuple),
    mention=st.booleans(),
    releases=st.lists(
        st.builds(Release, SHORT, st.just(AT), st.none() | st.floats(0, 1), st.booleans(), SHORT), max_size=5
    ).map(tuple),
    table=st.none()
    | st.builds(
        Table,
        st.lists(SHORT, max_size=9).map(tuple),
        st.lists(st.lists(SHORT, max_size=9).map(tuple), max_size=15).map(tuple),
    ),
    chart=st.none()
    | st.builds(
        Chart,
        SHORT,
        st.lists(st.tuples(SHORT, NUMBERS), max_size=70).map(tuple),
        st.none() | SHORT,
        st.lists(st.tuples(SHORT, NUMBERS), max_size=80).map(tuple),
    ),
)


@settings(
    max_examples=20,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(ALERTS, st.sampled_from(LOCALES))
def test_any_alert_gives_messages_within_the_budget_without_secrets(alert: Alert, locale: Literal["zh", "en"]) -> None:
    shown = card.render_card(alert, locale=locale, zone=ZONE, now=AT, secrets=(SECRET,))
    text = render_text(alert, locale=locale, zone=ZONE, secrets=(SECRET,))
    for message in (message_of.hook_message(shown), message_of.text_message(text)):
        assert message_of.fits(message)
        assert contract.check_message(message) == contract.SUCCESS
        assert SECRET not in json.dumps(message)
    json.dumps(shown, allow_nan=False)
    assert page.messages(
        [{"received_at": AT.isoformat(), "code": 0, "msg": "", "message": message_of.hook_message(shown)}]
    )


@given(
    st.lists(
        st.builds(DigestLine, st.sampled_from(Severity), st.integers(1, 10**6), SHORT, SHORT, SHORT, SHORT),
        max_size=90,
    )
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_digest_stays_within_the_budget(groups: list[DigestLine]) -> None:
    digest = Digest(SECRET, Severity.P0, AT, tuple(groups), "storm", links=(Link("x", "https://h"),))
    shown = render_digest(digest, locale="zh", zone=ZONE, secrets=(SECRET,))
    text = render_digest_text(digest, locale="zh", zone=ZONE, secrets=(SECRET,))
    for message in (message_of.hook_message(shown), message_of.text_message(text)):
        assert message_of.fits(message)
        assert contract.check_message(message) == contract.SUCCESS
        assert SECRET not in json.dumps(message)


def test_a_digest_says_how_many_are_left_out() -> None:
    line = DigestLine(Severity.P2, 1, "t", "s")
    digest = Digest("d", Severity.P2, AT, (line,) * 100, "storm")
    assert "另有 40 项未显示" in json.dumps(render_digest(digest, locale="zh", zone=ZONE), ensure_ascii=False)
    assert "另有 40 项未显示" in render_digest_text(digest, locale="zh", zone=ZONE)


def full(**changes: Any) -> str:
    alert = sample("p1-full", "zh")
    assert isinstance(alert, Alert)
    shown = card.render_card(replace(alert, **changes), locale="zh", zone=ZONE, now=AT + timedelta(minutes=13))
    return json.dumps(shown, ensure_ascii=False)


def test_people_are_mentioned_by_open_id_only_and_never_once_it_is_over() -> None:
    assert "<at id=ou_1></at>（主值班）、乙" in full(
        duty=(Person("甲", "ou_1", role="primary"), Person("乙", "x></at>"))
    )
    assert "<at id=all></at>" in full(duty=(Person("@all", "all"),))
    assert "<at" not in full(mention=False)
    assert "<at" not in full(resolved_at=AT)


def test_no_telephone_number_reaches_the_group() -> None:
    assert "5550100" not in full(duty=(Person("甲", "ou_1", phone="+1 5550100"),))


def test_the_button_to_take_it_is_there_while_it_can_be_taken() -> None:
    assert "token=sample" in full(), "its token is what permits the click"
    assert "token=sample" not in full(acknowledged_by="甲")
    assert "token=sample" not in full(resolved_at=AT)
    assert "javascript" not in full(acknowledge_url="javascript:alert(1)")


@pytest.mark.parametrize(("minutes", "left"), [(13, "发出时还剩 17 分钟"), (90, "发出时已超时 1 小时")])
def test_the_time_that_is_left(minutes: int, left: str) -> None:
    alert = replace(sample("p1-full", "zh"), acknowledged_by="")
    shown = card.render_card(alert, locale="zh", zone=ZONE, now=AT + timedelta(minutes=minutes))
    assert left in json.dumps(shown, ensure_ascii=False)


def test_a_chart_gives_way_before_facts_and_releases() -> None:
    facts = tuple(Fact(f"f{n}", "😀" * 300) for n in range(11))
    shown = full(facts=facts, detail="d" * 9000)
    assert '"chart"' not in shown
    assert "f5" in shown
    assert "2&#46;8&#46;1" in shown or "2.8.1" in shown


def test_an_unknown_case_names_those_there_are() -> None:
    with pytest.raises(MindGuardError, match="p0-sos"):
        preview("nonsense", "zh")
