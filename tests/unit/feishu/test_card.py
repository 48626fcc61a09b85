from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.feishu_sandbox import contract, page
from mindguard.alerts.alert import Alert, Fact, Link
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.feishu import blocks, card
from mindguard.feishu import message as message_of
from mindguard.feishu.cases import CASES, DIGESTS, preview, sample
from mindguard.feishu.plain_text import render_text

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
def test_feishu_would_take_it(case: str, locale: Literal["zh", "en"]) -> None:
    text, card_json = preview(case, locale)
    for message in (message_of.hook_message(json.loads(card_json)), message_of.text_message(text)):
        assert contract.check_message(message) == contract.SUCCESS
        signed = {"timestamp": "1599360473", "sign": "=" * 44, **message}
        assert len(message_of.encode(signed)) <= message_of.BUDGET_BYTES


@BOTH
def test_nothing_hostile_gets_through(locale: Literal["zh", "en"]) -> None:
    text, card_json = preview("hostile", locale)
    for secret in ("example-password", "example-token", "ex@mple", "0a1b2c"):
        assert secret not in card_json
        assert secret not in text
    assert "<at" not in text
    assert "javascript:" not in json.dumps(
        [e for e in contract.walk(json.loads(card_json)["body"]["elements"]) if e["tag"] == "button"]
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


@settings(max_examples=60, deadline=None)
@given(
    title=ANY_TEXT,
    subject=ANY_TEXT,
    facts=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), max_size=30),
    detail=ANY_TEXT.map(lambda text: text * 30),
    url=ANY_TEXT,
    resolved=st.booleans(),
)
def test_any_alert_gives_a_card_within_the_budget(
    title: str, subject: str, facts: list[tuple[str, str, str]], detail: str, url: str, resolved: bool
) -> None:
    base = sample("p1-task-failed", "en")
    alert = Alert(
        title=title,
        severity=Severity.P0,
        subject=subject,
        happened_at=base.happened_at,
        fingerprint=title,
        facts=tuple(Fact(*fact) for fact in facts),
        detail=detail,
        links=tuple(Link(title, "https://h/" + url * 5) for _ in range(7)),
        resolved_at=base.happened_at if resolved else None,
    )
    message = message_of.hook_message(card.render_card(alert, locale="zh", zone=ZONE))
    assert message_of.fits(message)
    assert contract.check_message(message) == contract.SUCCESS
    assert message_of.fits(message_of.text_message(render_text(alert, locale="en", zone=ZONE)))


def test_an_unknown_case_names_those_there_are() -> None:
    with pytest.raises(MindGuardError, match="p0-sos"):
        preview("nonsense", "zh")
