"""The page on a day's checks: it shows everything that was found, in both languages, and data cannot inject markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from mindguard.volume.details import EventDetails
from mindguard.volume.page.render import Section, render_page, section, unchecked
from mindguard.volume.page.texts import TEXTS
from mindguard.volume.series import TOTAL
from mindguard.volume.suites import SuiteUnchecked, find_suite, validate
from tests.unit.volume.falls import BASELINE, CAUSE, CONTEXT, COUNTS, EXPLAINED, ZONE, events, world
from tests.unit.volume.worlds import DAY, history, judge, judge_steps

HOSTILE = '"><script>alert(1)</script>'


def a_section(name: str, frame: pd.DataFrame, **changed: Any) -> Section:
    suite = find_suite(name)
    return section(suite, validate(suite, frame), frame, replace(CONTEXT, **changed))


def page(*sections: Section, locale: Any = "en") -> str:
    stored = [json.loads(json.dumps(each.to_json(), allow_nan=False)) for each in sections]
    return render_page(stored, day=DAY, locale=locale, zone=ZONE)


def text(html: str) -> str:
    return " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def the_fall() -> Section:
    return a_section("event_volume", events(world(submit=0.6)), details=EXPLAINED.details)


def quality(**wrong: float) -> pd.DataFrame:
    row = {each.kwargs["column"]: 0.0 for each in find_suite("checkins").expectations}
    return pd.DataFrame([{"table_name": "public.checkins", **row, "row_count": 1500, **wrong}])


def test_a_fall_is_shown_with_its_figures_onset_cause_and_release() -> None:
    shown = text(page(the_fall()))
    assert "submit P1 Actual 1,200 Expected 2,000 Day over day -40% below Same weekdays, net -40% below" in shown
    assert "Falls since 2026-09-15 10:00 Mostly missing platform ios, 93% of the loss" in shown.replace(
        "Platform", "platform"
    )
    assert "Release before it 3.4.0 · 2026-09-15 09:00 Fell with it share" in shown
    assert "The other 5 events have not fallen" in shown
    assert "expect_event_volume_falls_unconfirmed" in shown
    assert "event_volume 6 3 1 P1" in shown


def test_the_chart_marks_the_day_and_the_days_compared_with_where_their_counts_are() -> None:
    html = page(the_fall())
    (points,) = re.findall(r'<polyline class="line" points="([^"]+)"', html)
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert len(heights) == 28
    assert heights[-1] > heights[0] == min(heights)
    ((day_y,), (expected_y,)) = (
        re.findall(rf'<circle class="{mark}" cx="[\d.]+" cy="([\d.]+)"', html) for mark in ("day", "expected")
    )
    assert (float(day_y), float(expected_y)) == (heights[-1], heights[0])
    assert html.count('<circle class="baseline"') == 3  # of four, one lies before the 28 days


def test_the_worst_expectation_of_a_row_gives_its_colour() -> None:
    fallen = next(row for row in the_fall().rows if row["event_name"] == "submit")
    assert {failure["severity"] for failure in fallen["failures"]} == {"info", "warning"}
    assert fallen["severity"] == "warning"


def test_an_event_that_only_fell_against_yesterday_is_shown_as_to_be_investigated() -> None:
    counted = world()
    for name in counted:
        counted[name][DAY] = round(counted[name][DAY] * 0.7)
    found = a_section("event_volume", events(counted))
    assert "P2" in text(page(found))
    assert "explained by the fall of All events" in text(page(found))


def test_funnels_all_traffic_and_wrong_rows_have_their_tables() -> None:
    total = judge(world(submit=0.1)).reset_index()
    broken = history()
    for name in ("submit", "pay"):
        broken[name][DAY] = round(broken[name][DAY] * 0.5)
    shown = text(
        page(
            a_section("checkins", quality(null_user_share_at_least=0.22, null_user_share=0.25)),
            a_section("funnels", judge_steps(broken).reset_index()),
            a_section("total_volume", total[total["event_name"] == TOTAL]),
        )
    )
    assert "All traffic total_volume" in shown
    assert "P2 buy: submit 3,000 33.3% 66.7% 1,000" in shown
    assert "buy: pay 1,000 25.0% 25.0% 0" in shown
    assert "from submit on" in shown
    assert "null_user_share_at_least 0.22 ≤ 0.1 P2 null_user_share 0.25" in shown
    assert "row_count 1,500 ≥ 1 passed" in shown


def test_what_could_not_be_checked_is_no_pass() -> None:
    shown = text(page(unchecked("funnels", SuiteUnchecked("funnels: ClickHouse is down"), CONTEXT.as_of)))
    assert "Could not be checked: funnels" in shown
    assert "ClickHouse is down" in shown
    assert TEXTS.say("all_well", "en") not in shown
    assert "passed" not in shown


def test_a_day_on_which_all_is_well_says_so() -> None:
    assert TEXTS.say("all_well", "en") in text(page(a_section("event_volume", events(world()))))


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_every_word_is_there_in_both_languages(locale: Any) -> None:
    html = page(the_fall(), a_section("checkins", quality(unknown_mood=3)), locale=locale)
    assert f'<html lang="{locale}">' in html
    assert TEXTS.say("how", locale) in html
    assert "{" not in text(html)


class Elements(HTMLParser):
    """Every element's name, and every attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs


def test_names_from_the_data_are_text_and_the_page_loads_nothing() -> None:
    worst = replace(CAUSE.losses["platform"][0], value=HOSTILE)
    cause = replace(
        CAUSE,
        main=replace(CAUSE.main, value=HOSTILE),
        losses={"platform": [worst], HOSTILE: [worst]},
        co_moving=(HOSTILE,),
        release=replace(CAUSE.release, version=HOSTILE),
    )
    frame = events(world(submit=0.6))
    frame = frame.assign(
        owner=HOSTILE, runbook="javascript:alert(1)", event_name=frame["event_name"].replace("submit", HOSTILE)
    )
    html = page(a_section("event_volume", frame, details={HOSTILE: EventDetails(COUNTS, BASELINE, cause)}))
    found = Elements(html)
    assert html.count("&lt;script&gt;") > 8
    assert "script" not in found.names
    assert not {name for name, _ in found.attributes} & {"src", "style", "onload", "onclick", "xlink:href"}
    assert all(str(value).startswith("#") for name, value in found.attributes if name == "href")
    assert "@import" not in html
    assert "url(" not in html


def test_secrets_in_an_error_are_masked() -> None:
    why = SuiteUnchecked("checkins: postgresql://demo:not-a-real-password-1234@db.example/mindguard refused")
    assert "not-a-real-password-1234" not in page(unchecked("checkins", why, CONTEXT.as_of))


@pytest.mark.parametrize(("locale", "said"), [("en", "check their names: typo"), ("zh", "请核对名称：typo")])
def test_a_key_event_that_was_never_seen_is_said_so(locale: str, said: str) -> None:
    frame = events({**world(), "typo": {}})
    assert said in text(page(a_section("event_volume", frame), locale=locale))
