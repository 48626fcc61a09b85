"""How a fall is reported, and when it is over."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.severity import Severity
from mindguard.feishu.card import render_card
from mindguard.jobs.event_volume import days_with_incidents
from mindguard.settings.volume import Funnel
from mindguard.volume.findings import Context, RowKey, findings, recoveries, recovery_key
from mindguard.volume.series import TOTAL
from mindguard.volume.suites import Suite, find_suite, validate
from tests.unit.volume.falls import CONTEXT, EXPLAINED, START, ZONE, events, world
from tests.unit.volume.worlds import DAY, history, judge


def judged_by(name: str, frame: pd.DataFrame, context: Context = CONTEXT) -> tuple[list[Any], set[str]]:
    suite = find_suite(name)
    judged = validate(suite, frame)
    ended = {each.recovery_key for each in recoveries(suite, judged, frame, context)}
    return findings(suite, judged, frame, context), ended


def test_a_confirmed_fall_is_one_p1_with_its_cause_and_chart() -> None:
    found, ended = judged_by("event_volume", events(world(submit=0.6)), EXPLAINED)
    (finding,) = found
    alert = finding.alert
    assert (alert.title, alert.severity) == ("Event volume fell: submit", Severity.P1)
    assert alert.happened_at == START + timedelta(hours=10)
    facts = {fact.name: (fact.value, fact.expected) for fact in alert.facts}
    assert facts["That day 2026-09-15"] == ("1,200", "2,000")
    assert facts["Against the day before"] == ("-40% (2,000)", "")
    assert facts["Mostly missing"][0] == "platform ios (93% of the loss)"
    assert facts["Release before it"][0] == "3.4.0 · 2026-09-15 09:00"
    assert facts["Fell with it"][0] == "share"
    assert alert.table.rows == (
        ("platform", "ios", "800", "60", "93%"),
        ("country", "CN", "1,960", "1,180", "97%"),
    )
    assert (len(alert.chart.points), alert.chart.mark) == (28, "09-15")
    assert finding.recovery_key == recovery_key("event_volume", ("submit",)) == "volume:event_volume:submit"
    assert "volume:event_volume:submit" not in ended
    assert "volume:event_volume:view" in ended


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_every_word_is_there_in_both_languages_and_the_card_holds_it(locale: Any) -> None:
    context = replace(EXPLAINED, locale=locale)
    (finding,), _ = judged_by("event_volume", events(world(submit=0.6)), context)
    card = json.dumps(render_card(finding.alert, locale=locale, zone=ZONE), ensure_ascii=False)
    assert "submit" in card
    assert "ios" in card
    assert ("埋点下降" in card) == (locale == "zh")


def test_the_same_day_is_reported_once_and_again_if_it_is_worse() -> None:
    (worse,), _ = judged_by("event_volume", events(world(submit=0.6)))
    (again,), _ = judged_by("event_volume", events(world(submit=0.5)))
    (next_day,), _ = judged_by("event_volume", events(world(submit=0.5)), replace(CONTEXT, day=DAY + timedelta(days=1)))
    assert worse.occurrence == again.occurrence != next_day.occurrence
    assert worse.alert.fingerprint == next_day.alert.fingerprint


def test_a_later_step_folds_into_the_fall_that_explains_it() -> None:
    funnel = Funnel(name="f", steps=("app_open", "start", "submit"))
    found, ended = judged_by("event_volume", events(world(start=0.5, submit=0.5), funnels=(funnel,)))
    assert [each.alert.subject for each in found] == ["event_volume / start"]
    assert "volume:event_volume:submit" not in ended


def test_the_first_broken_step_waits_for_its_event_and_the_next_for_it() -> None:
    steps = {"funnel": "f", "first_broken": "start", "verdict": "below", "conversion": 0.2, "usual_conversion": 0.4}
    frame = pd.DataFrame([{**steps, "step": step, "gap": 100.0} for step in ("start", "submit")])
    found, _ = judged_by("funnels", frame)
    parents = {each.recovery_key: each.parent for each in found}
    assert parents == {
        "volume:funnels:f/start": "volume:event_volume:start",
        "volume:funnels:f/submit": "volume:funnels:f/start",
    }


def unconfirmed() -> pd.DataFrame:
    """Two events that fell by the bare rule alone."""
    frame = events(world())
    low = frame["event_name"].isin(["submit", "view"])
    return frame.assign(verdict_dod=frame["verdict_dod"].mask(low, "below"), investigate=low)


def test_falls_that_nothing_confirms_are_one_p2_a_day() -> None:
    found, ended = judged_by("event_volume", unconfirmed())
    (finding,) = found
    assert (finding.alert.title, finding.alert.severity) == ("Events down day over day, unconfirmed: 2", Severity.P2)
    assert {row[0] for row in finding.alert.table.rows} == {"submit", "view"}
    assert finding.recovery_key not in ended
    assert "volume:event_volume:submit" not in ended
    _, later = judged_by("event_volume", events(world()))
    assert finding.recovery_key in later


def test_they_are_not_reported_while_the_day_runs() -> None:
    running = replace(CONTEXT, as_of=START + timedelta(hours=10))
    assert judged_by("event_volume", unconfirmed(), running)[0] == []
    found, ended = judged_by("event_volume", events(world(submit=0.5)), running)
    assert [each.alert.severity for each in found] == [Severity.P1]
    assert not any("unconfirmed" in key for key in ended)


def test_a_day_that_is_judged_again_later_ends_nothing_that_began_after_it() -> None:
    suite, frame = find_suite("event_volume"), events(world())
    judged = validate(suite, frame)
    for as_of, at in ((timedelta(days=9), timedelta(days=1)), (timedelta(hours=10), timedelta(hours=10))):
        ended = recoveries(suite, judged, frame, replace(CONTEXT, as_of=START + as_of))
        assert {each.at for each in ended} == {START + at}
        assert {each.about for each in ended} == {START}
    found = findings(suite, validate(suite, events(world(submit=0.5))), events(world(submit=0.5)), CONTEXT)
    assert {each.about for each in found} == {START}


def test_those_that_another_fall_explains_are_not_among_them() -> None:
    frame = unconfirmed()
    found, _ = judged_by("event_volume", frame.assign(folded_into=TOTAL))
    assert found == []


def test_an_outage_of_everything_is_a_p0() -> None:
    frame = judge(world(**dict.fromkeys(history(), 0.0))).reset_index()
    (finding,), ended = judged_by("total_volume", frame[frame["scope"] == "total"])
    assert (finding.alert.severity, finding.recovery_key) == (Severity.P0, recovery_key("total_volume", (TOTAL,)))
    assert ended == {"volume:total_volume:"}


def test_a_few_events_that_stay_away_at_night_are_no_p0() -> None:
    frame = judge(world()).reset_index()
    total = frame[frame["scope"] == "total"].assign(net_ratio=0.0, verdict_net="inconclusive", page=False)
    found, _ = judged_by("total_volume", total)
    assert found == []


@pytest.mark.parametrize(
    ("suite", "key", "stored", "row"),
    [
        ("event_volume", ("sos_click",), "volume:event_volume:sos_click", "sos_click"),
        ("total_volume", (TOTAL,), "volume:total_volume:*", TOTAL),
        ("funnels", ("checkin", "submit"), "volume:funnels:checkin/submit", "checkin/submit"),
        ("event_volume", (), "volume:event_volume:", ""),
    ],
)
def test_a_recovery_key_says_which_row_of_which_suite_it_is_about(
    suite: str, key: tuple[str, ...], stored: str, row: str
) -> None:
    assert recovery_key(suite, key) == stored
    assert RowKey.parse(stored) == RowKey(suite, row)


def test_a_key_of_another_source_is_about_no_row() -> None:
    assert RowKey.parse("monitor:event_volume:sos_click") is None


def incident(key: str, opened: datetime, resolved: datetime | None, severity: str = "P1") -> Incident:
    return Incident(recovery_key=key, opened_at=opened, resolved_at=resolved, severity=severity)


def test_days_of_incidents_are_no_baseline() -> None:
    noon = START + timedelta(hours=12)
    days = days_with_incidents(
        [
            incident("volume:event_volume:submit", noon - timedelta(days=5), noon - timedelta(days=3)),
            incident("volume:event_volume:view", noon - timedelta(days=2), noon - timedelta(days=2, hours=-3)),
            incident("volume:total_volume:*", noon - timedelta(days=1), None),
            incident("volume:event_volume:open", noon - timedelta(days=1), None, "P2"),
            incident("volume:event_volume:", noon - timedelta(days=1), None),
            incident("volume:event_volume/unconfirmed", noon - timedelta(days=1), None),
            incident("volume:funnels:f/submit", noon - timedelta(days=1), None),
            incident("monitor:submit", noon - timedelta(days=1), None),
        ],
        until=DAY,
        zone=ZONE,
    )
    assert days == {
        "submit": {DAY - timedelta(days=5), DAY - timedelta(days=4)},  # the day on which it ended was in order
        "view": {DAY - timedelta(days=2)},
        TOTAL: {DAY - timedelta(days=1)},
    }


def test_an_inconclusive_row_ends_nothing() -> None:
    frame = events(world())
    frame.loc[frame["event_name"] == "view", "verdict_net"] = "inconclusive"
    found, ended = judged_by("event_volume", frame)
    assert found == []
    assert "volume:event_volume:view" not in ended
    assert "volume:event_volume:submit" in ended


def quality(values: list[int]) -> tuple[list[Any], set[str]]:
    plain = {
        "type": "expect_column_values_to_be_between",
        "severity": "warning",
        "kwargs": {"column": "v", "max_value": 3},
    }
    suite = Suite.model_validate(
        {"name": "s", "meta": {"query": "q.sql", "connection": "app", "key": ["k"]}, "expectations": [plain]}
    )
    frame = pd.DataFrame({"k": [f"row {number}" for number in range(len(values))], "v": values})
    judged = validate(suite, frame)
    ended = {each.recovery_key for each in recoveries(suite, judged, frame, CONTEXT)}
    return findings(suite, judged, frame, CONTEXT), ended


def test_thousands_of_rows_that_fail_are_one_finding_and_a_few_are_one_each() -> None:
    (finding,), ended = quality([5] * 5_000 + [1])
    assert finding.recovery_key == recovery_key("s", ())
    (fact,) = finding.alert.facts
    assert "v ≤ 3: 5,000 / 5,001: row 0, row 1," in fact.value
    assert len(fact.value) < 300
    assert recovery_key("s", ()) not in ended
    assert recovery_key("s", ("row 5000",)) in ended
    few, ended = quality([5] * 200 + [1])
    assert len(few) == 200
    assert recovery_key("s", ()) in ended
