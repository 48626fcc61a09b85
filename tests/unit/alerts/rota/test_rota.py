"""Who is on duty: each change of shift to the minute, make-up workdays, holidays, fair turns, summer time, changes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mindguard.alerts.rota.rota import (
    Rota,
    duties,
    gaps,
    handover_moments,
    next_in_line,
    on_duty,
    unpublished_years,
)
from mindguard.settings.rota import CalendarSettings, RotaSettings

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")

REQUIRED = """
people:
  - {name: A, feishu_id: ou_a, phone: "+86 100 0000 0001"}
  - {name: B}
  - {name: C}
  - {name: N}
  - {name: M}
shifts:
  - {name: day, days: workday, from: "09:00", to: "23:00", rotation: [A, B, C], rotate: daily}
  - {name: night, from: "23:00", to: "09:00", rotation: [N, M], rotate: weekly, starting: 2026-01-05}
  - {name: on-call, days: [weekend, holiday], from: "09:00", to: "23:00", rotation: [A, B, C], rotate: daily,
     backup: next}
"""
"""The operations document's rota, section 4.3."""


def rota_of(text: str, zone: ZoneInfo = SHANGHAI, **changes: Any) -> Rota:
    return Rota.of(RotaSettings.model_validate({**YAML(typ="safe").load(text), **changes}), zone)


def at(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def names(rota: Rota, moment: datetime) -> list[str]:
    return [person.name for person in on_duty(rota, moment).people]


ROTA = rota_of(REQUIRED)


@pytest.mark.parametrize(
    ("moment", "shift"),
    [
        ("2026-11-24T08:59:59.999999", "night"),
        ("2026-11-24T09:00", "day"),
        ("2026-11-24T22:59:59.999999", "day"),
        ("2026-11-24T23:00", "night"),
        ("2026-11-25T00:00", "night"),
        # Friday to Saturday, Sunday to Monday
        ("2026-11-27T22:59", "day"),
        ("2026-11-28T08:59", "night"),
        ("2026-11-28T09:00", "on-call"),
        ("2026-11-29T22:59", "on-call"),
        ("2026-11-30T09:00", "day"),
        # Saturdays and a Sunday worked in exchange for a holiday
        ("2026-02-14T12:00", "day"),
        ("2026-09-20T12:00", "day"),
        ("2026-10-10T09:00", "day"),
        # National Day, a Thursday, to the last day off, a Wednesday
        ("2026-09-30T22:59", "day"),
        ("2026-10-01T09:00", "on-call"),
        ("2026-10-07T12:00", "on-call"),
        ("2026-10-08T09:00", "day"),
        # Spring Festival
        ("2026-02-16T12:00", "on-call"),
        ("2026-02-23T12:00", "on-call"),
        ("2026-02-24T12:00", "day"),
        # The year's end, into a holiday
        ("2025-12-31T22:59", "day"),
        ("2025-12-31T23:00", "night"),
        ("2026-01-01T08:59", "night"),
        ("2026-01-01T09:00", "on-call"),
    ],
)
def test_the_shift_at_each_border(moment: str, shift: str) -> None:
    assert on_duty(ROTA, at(moment)).shift == shift


def test_duty_names_people_their_roles_and_its_borders_in_the_rotas_zone() -> None:
    duty = on_duty(ROTA, at("2026-11-28T12:00").astimezone(UTC))
    assert [person.role for person in duty.people] == ["primary", "backup"]
    assert (duty.since, duty.until) == (at("2026-11-28T09:00"), at("2026-11-28T23:00"))
    assert duty.since.tzinfo is SHANGHAI
    primary = next(
        p for d in duties(ROTA, duty.since, duty.since + timedelta(days=7)) for p in d.people if p.name == "A"
    )
    assert (primary.feishu_id, primary.phone) == ("ou_a", "+86 100 0000 0001")


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        on_duty(ROTA, datetime(2026, 11, 24, 9))  # noqa: DTZ001


def test_turns_go_on_over_days_that_the_shift_does_not_have() -> None:
    days = ["2026-09-23", "2026-09-24", "2026-09-28", "2026-09-29", "2026-09-30", "2026-10-08"]
    turns = [names(ROTA, at(f"{day}T12:00"))[0] for day in days]
    assert {tuple(pair) for pair in pairwise(turns)} == {("A", "B"), ("B", "C"), ("C", "A")}


def test_a_week_begins_on_the_weekday_of_its_first_day() -> None:
    text = """
    people: [{name: A}, {name: B}]
    shifts: [{name: all, from: "00:00", to: "24:00", rotation: [A, B], rotate: weekly, starting: 2026-01-07}]
    """
    rota = rota_of(text)
    assert names(rota, at("2026-01-06T23:59")) == ["B"]
    assert names(rota, at("2026-01-07T00:00")) == ["A"]
    assert names(rota, at("2026-01-13T23:59")) == ["A"]
    assert names(rota, at("2026-01-14T00:00")) == ["B"]
    assert gaps(rota, at("2026-01-01T00:00"), 31) == ()


@pytest.mark.parametrize("rotate", ["daily", "weekly"])
@pytest.mark.parametrize("days", ["everyday", "workday", "weekend", "holiday"])
def test_over_a_year_everybody_has_equally_many_turns(rotate: str, days: str) -> None:
    shift = {"name": "s", "days": days, "from": "09:00", "to": "23:00", "rotation": ["A", "B", "C"], "rotate": rotate}
    rota = rota_of(REQUIRED, shifts=[shift])
    turns: Counter[str] = Counter()
    seen = set()
    for duty in duties(rota, at("2026-01-05T00:00"), at("2027-01-04T00:00")):
        day = duty.since.date()
        turn = day if rotate == "daily" else day - timedelta(days=day.weekday())
        if duty.people and turn not in seen:
            seen.add(turn)
            turns[duty.people[0].name] += 1
    assert sum(turns.values()) >= 8
    assert max(turns.values()) - min(turns[name] for name in "ABC") <= 1


def test_pairs_and_backups_follow_the_primary_in_order() -> None:
    shift = {"name": "s", "from": "09:00", "to": "09:00", "rotation": [["A", "B"], "C"], "backup": ["N", "A"]}
    rota = rota_of(REQUIRED, shifts=[{**shift, "starting": date(2026, 1, 5)}])
    assert names(rota, at("2026-01-05T09:00")) == ["A", "B", "N"]
    assert names(rota, at("2026-01-12T09:00")) == ["C", "N", "A"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"person": "C"}, ["C", "N"]),
        ({"person": "N"}, ["N"]),
        ({"person": "C", "instead_of": "N"}, ["A", "C"]),
        ({"person": "C", "instead_of": "M"}, ["A", "N"]),
        ({"person": "C", "shift": "other"}, ["A", "N"]),
        ({"swap": ["A", "B"]}, ["B", "N"]),
        ({"swap": ["A", "N"]}, ["N", "A"]),
    ],
)
def test_overrides(override: dict[str, Any], expected: list[str]) -> None:
    shift = {"from": "23:00", "to": "09:00", "rotation": ["A"], "backup": ["N"]}
    rota = rota_of(
        REQUIRED,
        shifts=[
            {"name": "s", **shift},
            {"name": "other", "days": "holiday", "from": "10:00", "to": "11:00", "rotation": ["B"]},
        ],
        overrides=[{"from": date(2026, 11, 24), "to": date(2026, 11, 25), **override}],
    )
    # A night belongs to the day on which it begins.
    assert names(rota, at("2026-11-24T08:59")) == ["A", "N"]
    assert names(rota, at("2026-11-24T23:00")) == expected
    assert names(rota, at("2026-11-26T08:59")) == expected
    assert names(rota, at("2026-11-26T23:00")) == ["A", "N"]


def test_a_swap_exchanges_two_peoples_days() -> None:
    week = [at(f"2026-11-{day}T12:00") for day in (23, 24, 25)]
    before = [names(ROTA, day)[0] for day in week]
    one, other, third = before
    swapped = rota_of(
        REQUIRED, overrides=[{"from": date(2026, 11, 23), "to": date(2026, 11, 25), "swap": [one, other]}]
    )
    assert [names(swapped, day)[0] for day in week] == [other, one, third]


def test_the_settings_own_days_take_precedence_over_published_ones() -> None:
    own = {"holidays": [date(2026, 11, 24)], "workdays": [date(2026, 10, 1), date(2026, 11, 28)]}
    rota = rota_of(REQUIRED, calendar=own)
    assert on_duty(rota, at("2026-11-24T12:00")).shift == "on-call"
    assert on_duty(rota, at("2026-10-01T12:00")).shift == "day"
    assert on_duty(rota, at("2026-11-28T12:00")).shift == "day"


def test_an_unpublished_year_has_plain_weekends_and_is_named() -> None:
    assert on_duty(ROTA, at("2099-10-01T12:00")).shift == "day"  # a Thursday
    assert on_duty(ROTA, at("2099-10-03T12:00")).shift == "on-call"
    assert unpublished_years(ROTA, at("2026-12-20T12:00")) == []
    assert unpublished_years(ROTA, at("2098-12-28T12:00")) == [2098, 2099]
    known = rota_of(REQUIRED, calendar=CalendarSettings(holidays=(date(2099, 10, 1),)).model_dump())
    assert unpublished_years(known, at("2099-06-01T12:00")) == []
    assert on_duty(known, at("2099-10-01T12:00")).shift == "on-call"


def test_a_rota_by_weekdays_alone_asks_for_no_holidays() -> None:
    rota = rota_of(
        REQUIRED, shifts=[{"name": "s", "days": ["mon", "sun"], "from": "09:00", "to": "10:00", "rotation": ["A"]}]
    )
    assert unpublished_years(rota, at("2099-06-01T12:00")) == []
    assert on_duty(rota, at("2026-11-29T09:30")).shift == "s"
    assert on_duty(rota, at("2026-11-28T09:30")).shift == ""


def test_the_line_goes_from_the_primary_over_the_backup_to_the_next_turns_and_again() -> None:
    saturday = at("2026-11-28T12:00")
    first, second = names(ROTA, saturday)
    line = [next_in_line(ROTA, saturday, step)[0] for step in range(6)]
    # then the night's, Sunday's and Monday's
    night = names(ROTA, at("2026-11-28T23:00"))[0]
    assert [person.name for person in line[:3]] == [first, second, night]
    assert {person.name for person in line[:5]} == set("ABCNM")
    assert line[5] == line[0]


def test_in_a_gap_the_next_turn_is_called() -> None:
    rota = rota_of(REQUIRED, shifts=[{"name": "s", "days": "mon", "from": "09:00", "to": "10:00", "rotation": ["A"]}])
    assert names(rota, at("2026-11-24T12:00")) == []
    assert [person.name for person in next_in_line(rota, at("2026-11-24T12:00"), 0)] == ["A"]


def test_without_any_turn_within_a_month_nobody_is_called() -> None:
    rota = rota_of(
        REQUIRED, shifts=[{"name": "s", "days": "holiday", "from": "09:00", "to": "10:00", "rotation": ["A"]}]
    )
    assert next_in_line(rota, at("2026-10-08T12:00"), 0) == ()


def test_handover_moments_are_where_somebody_takes_over() -> None:
    moments = handover_moments(ROTA, at("2026-11-24T09:00"), at("2026-11-25T09:00"))
    assert moments == (at("2026-11-24T09:00"), at("2026-11-24T23:00"))
    assert handover_moments(ROTA, at("2026-11-24T09:00") + timedelta.resolution, at("2026-11-24T23:00")) == ()


def test_a_person_who_stays_on_duty_takes_nothing_over() -> None:
    shift = {"name": "s", "from": "09:00", "to": "09:00", "rotation": ["A", "B"], "starting": date(2026, 1, 5)}
    moments = handover_moments(rota_of(REQUIRED, shifts=[shift]), at("2026-11-23T00:00"), at("2026-12-07T00:00"))
    assert moments == (at("2026-11-23T09:00"), at("2026-11-30T09:00"))


def test_gaps_are_exact() -> None:
    rota = rota_of(
        REQUIRED,
        shifts=[
            {"name": "day", "from": "09:00", "to": "22:59", "rotation": ["A"]},
            {"name": "night", "from": "23:00", "to": "09:01", "rotation": ["N"]},
        ],
    )
    found = gaps(rota, at("2026-11-24T12:00"), 1)
    assert [(gap.kind, gap.begins, gap.ends) for gap in found] == [
        ("nobody", at("2026-11-24T22:59"), at("2026-11-24T23:00")),
        ("overlap", at("2026-11-25T09:00"), at("2026-11-25T09:01")),
    ]
    assert "day and night" in found[1].text
    # If two overlap, the first one in the settings counts, and the other has the rest of its time.
    assert on_duty(rota, at("2026-11-25T09:00")).shift == "day"
    assert on_duty(rota, at("2026-11-25T08:59")).until == at("2026-11-25T09:00")


def test_a_later_shift_continues_when_an_earlier_one_is_over() -> None:
    rota = rota_of(
        REQUIRED,
        shifts=[
            {"name": "lunch", "from": "12:00", "to": "13:00", "rotation": ["A"]},
            {"name": "day", "from": "09:00", "to": "23:00", "rotation": ["B"]},
        ],
    )
    seen = [(d.shift, d.since, d.until) for d in duties(rota, at("2026-11-24T10:00"), at("2026-11-24T23:00"))]
    assert seen == [
        ("day", at("2026-11-24T09:00"), at("2026-11-24T12:00")),
        ("lunch", at("2026-11-24T12:00"), at("2026-11-24T13:00")),
        ("day", at("2026-11-24T13:00"), at("2026-11-24T23:00")),
    ]


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])
def test_the_nights_of_summer_time_have_no_gap(day: str) -> None:
    rota = rota_of(REQUIRED, BERLIN)
    assert gaps(rota, at(f"{day}T12:00", BERLIN), 2) == ()
    duty = on_duty(rota, at(f"{day}T23:30", BERLIN))
    hours = (duty.until.astimezone(UTC) - duty.since.astimezone(UTC)) / timedelta(hours=1)
    assert hours == {"2026-03-28": 9, "2026-10-24": 11}[day]


def test_a_border_in_the_hour_that_spring_skips_is_the_jump() -> None:
    rota = rota_of(
        REQUIRED,
        BERLIN,
        shifts=[
            {"name": "early", "from": "02:30", "to": "03:00", "rotation": ["A"]},
            {"name": "rest", "from": "03:00", "to": "02:30", "rotation": ["B"]},
        ],
    )
    assert gaps(rota, at("2026-03-28T12:00", BERLIN), 2) == ()
    assert [d.shift for d in duties(rota, at("2026-03-28T12:00", BERLIN), at("2026-03-29T12:00", BERLIN))] == [
        "rest"
    ] * 2
    assert on_duty(rota, at("2026-03-29T01:59", BERLIN)).until == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_the_hour_that_autumn_repeats_is_walked_through_once() -> None:
    shifts = [
        {"name": "early", "from": "00:00", "to": "02:30", "rotation": ["A"]},
        {"name": "rest", "from": "02:30", "to": "24:00", "rotation": ["B"]},
    ]
    rota = rota_of(REQUIRED, BERLIN, shifts=shifts)
    first = at("2026-10-25T02:30", BERLIN)
    assert handover_moments(rota, first, first.replace(minute=45)) == (first,)
    # An hour later the clocks show half past two again, and the shift goes on.
    second = first.replace(fold=1)
    assert handover_moments(rota, second, second.replace(minute=45)) == ()
    assert [d.shift for d in duties(rota, at("2026-10-25T01:00", BERLIN), second.replace(minute=15))] == [
        "early",
        "rest",
    ]


QUARTERS = st.integers(0, 95).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
DAYS = st.one_of(
    st.just(["everyday"]),
    st.lists(st.sampled_from(["workday", "weekend", "holiday", "mon", "sat"]), min_size=1, max_size=3),
)


@st.composite
def rotas(draw: st.DrawFn) -> Rota:
    """Generate a day cut into shifts, some only on some days, so that some rotas are complete and most are not."""
    borders = sorted(draw(st.sets(QUARTERS, min_size=1, max_size=4)))
    whole = draw(st.booleans())
    shifts = [
        {
            "name": f"{begins} {part}",
            "days": days,
            "from": begins,
            "to": ends,
            "rotation": draw(st.lists(st.sampled_from("ABC"), min_size=1, max_size=3)),
            "rotate": draw(st.sampled_from(["daily", "weekly"])),
        }
        for begins, ends in zip(borders, borders[1:] + borders[:1], strict=True)
        for part, days in enumerate([["workday"], ["weekend", "holiday"]] if whole else [draw(DAYS)])
    ]
    return rota_of(REQUIRED, draw(st.sampled_from([SHANGHAI, BERLIN])), shifts=shifts)


@settings(max_examples=60)
@given(rotas(), st.dates(date(2025, 1, 1), date(2026, 12, 20)), st.data())
def test_a_rota_without_gaps_has_one_primary_at_every_minute(rota: Rota, day: date, data: st.DataObject) -> None:
    start = datetime.combine(day, time(), rota.zone)
    found = gaps(rota, start)
    minutes = data.draw(st.lists(st.integers(0, 7 * 24 * 60 - 61), min_size=5, max_size=20))
    for minute in minutes:
        moment = start.astimezone(UTC) + timedelta(minutes=minute)
        covering = rota.slots(moment, moment + timedelta.resolution)
        faults = {gap.kind for gap in found if gap.begins <= moment < gap.ends}
        assert faults == ({"nobody"} if not covering else {"overlap"} if len(covering) > 1 else set())
        duty = on_duty(rota, moment)
        assert [person.role for person in duty.people[:1]] == (["primary"] if covering else [])
        assert duty.since <= moment < duty.until
