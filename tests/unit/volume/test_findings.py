"""What people are told of a fall, and when it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from mindguard.alerts.severity import Severity
from mindguard.feishu.card import render_card
from mindguard.settings import Funnel
from mindguard.volume.days import day_start
from mindguard.volume.findings import Context, findings, recoveries, recovery_key
from mindguard.volume.frame import TOTAL
from mindguard.volume.suites import find_suite, judge
from tests.unit.volume.worlds import DAY, history
from tests.unit.volume.worlds import judge as judged_frame

ZONE = ZoneInfo("Asia/Shanghai")
START = day_start(DAY, ZONE)
CAUSE = {
    "main": {"dimension": "platform", "value": "ios", "share": 0.93},
    "losses": {
        "platform": [
            {"value": "ios", "expected": 800.0, "actual": 60, "loss": 740.0, "share": 0.93, "usual_share": 0.4},
            {"value": "android", "expected": 1200.0, "actual": 1240, "loss": -40.0, "share": -0.05, "usual_share": 0.6},
        ]
    },
    "co_moving": ["share"],
    "release": {"version": "3.4.0", "released_at": (START + timedelta(hours=9)).isoformat()},
    "misdated": 0,
}
CONTEXT = Context(
    day=DAY,
    day_start=START,
    as_of=START + timedelta(hours=24, minutes=30),
    zone=ZONE,
    locale="en",
    history={"submit": [(DAY - timedelta(days=back), 2000) for back in range(27, 0, -1)] + [(DAY, 1200)]},
)


def world(**fallen: float) -> dict[str, dict[date, int]]:
    found = history()
    for name, share in fallen.items():
        found[name][DAY] = round(found[name][DAY] * share)
    return found


def events(counted: Mapping[str, Mapping[date, int]], funnels: tuple[Funnel, ...] = ()) -> pd.DataFrame:
    frame = judged_frame(counted, funnels=funnels).reset_index()
    return frame[frame["scope"] == "event"]


def explained(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    there = frame["event_name"] == name
    onsets = [START + timedelta(hours=10) if each else None for each in there]
    return frame.assign(
        onset=pd.Series(onsets, index=frame.index).astype("datetime64[us, UTC]"),
        cause=there.map({True: json.dumps(CAUSE), False: ""}),
    )


def told(name: str, frame: pd.DataFrame, context: Context = CONTEXT) -> tuple[list[Any], set[str]]:
    suite = find_suite(name)
    judged = judge(suite, frame)
    ended = {each.recovery_key for each in recoveries(suite, judged, frame, context)}
    return findings(suite, judged, frame, context), ended


def test_a_confirmed_fall_is_one_p1_with_its_cause_and_chart() -> None:
    found, ended = told("event_volume", explained(events(world(submit=0.6)), "submit"))
    (finding,) = found
    alert = finding.alert
    assert (alert.title, alert.severity) == ("Event volume fell: submit", Severity.P1)
    assert alert.happened_at == START + timedelta(hours=10)
    facts = {fact.name: (fact.value, fact.expected) for fact in alert.facts}
    assert facts["That day 2026-09-15"] == ("1,200", "2,000")
    assert facts["Against the day before"] == ("-40%", "2,000")
    assert facts["Mostly missing"][0] == "platform ios (93% of the loss)"
    assert facts["Release before it"][0] == "3.4.0, 2026-09-15 09:00"
    assert facts["Fell with it"][0] == "share"
    assert alert.table.rows == (("platform", "ios", "800", "60", "93%"),)
    assert (len(alert.chart.points), alert.chart.mark) == (28, "09-15")
    assert finding.recovery_key == recovery_key("event_volume", ("submit",)) == "volume:event_volume:submit"
    assert "volume:event_volume:submit" not in ended
    assert "volume:event_volume:view" in ended


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_every_word_is_there_in_both_languages_and_the_card_holds_it(locale: Any) -> None:
    context = replace(CONTEXT, locale=locale)
    (finding,), _ = told("event_volume", explained(events(world(submit=0.6)), "submit"), context)
    card = json.dumps(render_card(finding.alert, locale=locale, zone=ZONE), ensure_ascii=False)
    assert "submit" in card
    assert "ios" in card
    assert ("埋点下降" in card) == (locale == "zh")


def test_the_same_day_is_told_once_and_again_where_it_is_worse() -> None:
    (worse,), _ = told("event_volume", events(world(submit=0.6)))
    (again,), _ = told("event_volume", events(world(submit=0.5)))
    (next_day,), _ = told("event_volume", events(world(submit=0.5)), replace(CONTEXT, day=DAY + timedelta(days=1)))
    assert worse.occurrence == again.occurrence != next_day.occurrence
    assert worse.alert.fingerprint == next_day.alert.fingerprint


def test_a_later_step_waits_for_the_one_that_explains_it() -> None:
    funnel = Funnel(name="f", steps=("app_open", "start", "submit"))
    found, _ = told("event_volume", events(world(start=0.5, submit=0.5), funnels=(funnel,)))
    parents = {each.alert.subject: each.parent for each in found}
    assert parents == {
        "event_volume / start": "",
        "event_volume / submit": "volume:event_volume:start",
    }


def test_an_outage_of_everything_is_a_p0() -> None:
    frame = judged_frame(world(**dict.fromkeys(history(), 0.0))).reset_index()
    (finding,), ended = told("total_volume", frame[frame["scope"] == "total"])
    assert (finding.alert.severity, finding.recovery_key) == (Severity.P0, recovery_key("total_volume", (TOTAL,)))
    assert ended == {"volume:total_volume:"}


def test_what_cannot_be_told_ends_nothing() -> None:
    frame = events(world())
    frame.loc[frame["event_name"] == "view", "verdict_net"] = "inconclusive"
    found, ended = told("event_volume", frame)
    assert found == []
    assert "volume:event_volume:view" not in ended
    assert "volume:event_volume:submit" in ended
