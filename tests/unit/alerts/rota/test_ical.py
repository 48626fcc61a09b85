"""Rotas in calendars: every way in which an event names people and times, and what is written is read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import thread_time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mindguard.alerts.rota.ical import RotaUnreadable, load_rota, plan_of, to_ical
from mindguard.alerts.rota.rota import Rota, gaps, next_in_line, on_duty
from mindguard.settings import Settings
from mindguard.settings.rota import RotaSettings

SHANGHAI = ZoneInfo("Asia/Shanghai")
PEOPLE = [{"name": "值班A", "email": "a@example.com"}, {"name": "值班B"}, {"name": "值班C"}]
SHIFTS = [
    {"name": "白班", "days": "workday", "from": "09:00", "to": "23:00", "rotation": ["值班A", "值班B"]},
    {"name": "晚安模式", "from": "23:00", "to": "09:00", "rotation": ["值班C"]},
    {"name": "周末", "days": ["weekend", "holiday"], "from": "09:00", "to": "23:00", "rotation": ["值班B", "值班C"],
     "backup": "next"},
]  # fmt: skip
MONDAY = "DTSTART;TZID=Asia/Shanghai:20261123T090000\nDTEND;TZID=Asia/Shanghai:20261123T230000\n"


def calendar(*events: str) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test"]
    for number, event in enumerate(events):
        own = "" if "UID:" in event else f"UID:{number}\n"
        lines += ["BEGIN:VEVENT", *(own + event).splitlines(), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def rota_of(ical: bytes, **more: Any) -> Rota:
    settings = RotaSettings.model_validate({"people": PEOPLE, "ical": "rota.ics", **more})
    return Rota.of(settings, SHANGHAI, plan_of(ical, settings.people, SHANGHAI))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def seen(rota: Rota, text: str) -> tuple[str, list[str]]:
    duty = on_duty(rota, at(text))
    return duty.shift, [person.name for person in duty.people]


def test_what_is_written_is_read_back_the_same() -> None:
    settings = RotaSettings.model_validate({"people": PEOPLE, "shifts": SHIFTS})
    rota = Rota.of(settings, SHANGHAI)
    start = at("2026-09-24T12:00")  # over Mid-autumn Festival, National Day and a make-up Saturday
    back = rota_of(to_ical(rota, start, start + timedelta(days=20), now=start).encode())
    assert gaps(rota, start, 20) == gaps(back, start, 20) == ()
    for quarter in range(20 * 24 * 4):
        moment = start + timedelta(minutes=15 * quarter)
        assert on_duty(rota, moment) == on_duty(back, moment)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("SUMMARY:值班A", ("", ["值班A"])),
        ("SUMMARY:值班B\\, 值班A", ("", ["值班B", "值班A"])),
        ("SUMMARY:值班B、值班C/值班A", ("", ["值班B", "值班C", "值班A"])),
        ("SUMMARY:白班：值班B", ("白班", ["值班B"])),
        ("SUMMARY:On call: 值班B\nCATEGORIES:Day", ("Day", ["值班B"])),
        ("SUMMARY:On call\nATTENDEE;CN=值班C:mailto:c@example.com", ("", ["值班C"])),
        ("SUMMARY:On call\nATTENDEE:mailto:A@Example.com", ("", ["值班A"])),
        (
            "SUMMARY:x\nATTENDEE;CN=值班C;ROLE=OPT-PARTICIPANT:mailto:c@example.com\nATTENDEE;CN=值班B:mailto:b@example.com",
            ("", ["值班B", "值班C"]),
        ),
        (
            "SUMMARY:x\nATTENDEE;CN=值班C;PARTSTAT=DECLINED:mailto:c@example.com\nATTENDEE;CN=值班B:mailto:b@example.com",
            ("", ["值班B"]),
        ),
        ("SUMMARY:值班A\nATTENDEE:mailto:stranger@example.com", ("", ["值班A"])),
        ("SUMMARY:值班A\nSTATUS:CANCELLED", ("", [])),
    ],
)  # fmt: skip
def test_whom_an_event_names(event: str, expected: tuple[str, list[str]]) -> None:
    assert seen(rota_of(calendar(MONDAY + event)), "2026-11-23T12:00") == expected


A, B, C = (f"CN=值班{letter}:mailto:{letter.lower()}@example.com" for letter in "ABC")
VACANT = ("", [])


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        # Nobody who declined is called, whoever else names them.
        (f"SUMMARY:值班A\nATTENDEE;PARTSTAT=DECLINED;{A}\nATTENDEE;{B}", ("", ["值班B"])),
        (f"SUMMARY:值班A\nATTENDEE;PARTSTAT=DECLINED;{A}", VACANT),
        (f"SUMMARY:值班A、值班B\nATTENDEE;PARTSTAT=DECLINED;{A}", ("", ["值班B"])),
        (f"SUMMARY:x\nATTENDEE;PARTSTAT=declined;{A}\nATTENDEE;{B}", ("", ["值班B"])),
        (f"SUMMARY:x\nATTENDEE;PARTSTAT=DECLINED;{A}\nATTENDEE;PARTSTAT=DECLINED;{B}", VACANT),
        (f"SUMMARY:x\nATTENDEE;PARTSTAT=DECLINED:mailto:A@example.com\nATTENDEE;{A}\nATTENDEE;{C}", ("", ["值班C"])),
        ("SUMMARY:x\nATTENDEE;PARTSTAT=DECLINED;" + A + "\nATTENDEE:mailto:stranger@example.com", VACANT),
        # Who has not answered, or not for certain, is called.
        (f"SUMMARY:x\nATTENDEE;PARTSTAT=TENTATIVE;{A}\nATTENDEE;PARTSTAT=ACCEPTED;{B}", ("", ["值班A", "值班B"])),
        (f"SUMMARY:x\nATTENDEE;PARTSTAT=NEEDS-ACTION;{A}", ("", ["值班A"])),
        # Who is delegated to takes the place, unless there is an answer of the delegate's own.
        (
            f'SUMMARY:x\nATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:c@example.com";{A}\nATTENDEE;{B}\nATTENDEE;{C}',
            ("", ["值班C", "值班B"]),
        ),
        (f'SUMMARY:x\nATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:A@example.com";{B}', ("", ["值班A"])),
        (f'SUMMARY:值班A\nATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:x@example.com";{A}', VACANT),
        (f"SUMMARY:x\nATTENDEE;PARTSTAT=DELEGATED;{A}\nATTENDEE;{B}", ("", ["值班B"])),
        (
            f'SUMMARY:x\nATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:c@example.com";{A}'
            f"\nATTENDEE;PARTSTAT=DECLINED;{C}",
            VACANT,
        ),
        (
            f'SUMMARY:x\nATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:c@example.com";{A}'
            f'\nATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:a@example.com";{C}',
            VACANT,
        ),
        # Rooms are not people, nor is who only shall know of it, or who wrote the event.
        (f"SUMMARY:x\nATTENDEE;CUTYPE=ROOM;{A}\nATTENDEE;CUTYPE=RESOURCE;{B}\nATTENDEE;{C}", ("", ["值班C"])),
        (f"SUMMARY:值班B\nATTENDEE;CUTYPE=ROOM;{A}", ("", ["值班B"])),
        (f"SUMMARY:x\nATTENDEE;CUTYPE=GROUP:mailto:team@example.com\nATTENDEE;{C}", ("", ["值班C"])),
        (f"SUMMARY:x\nATTENDEE;CUTYPE=GROUP;{A}", ("", ["值班A"])),
        (f"SUMMARY:x\nATTENDEE;ROLE=NON-PARTICIPANT;{A}\nATTENDEE;{B}", ("", ["值班B"])),
        (f"SUMMARY:值班B\nORGANIZER;{A}", ("", ["值班B"])),
        (f"SUMMARY:x\nORGANIZER;{A}", VACANT),
        # The event itself.
        ("SUMMARY:值班A\nSTATUS:CANCELLED", VACANT),
        ("SUMMARY:值班A\nSTATUS:TENTATIVE", ("", ["值班A"])),
        ("SUMMARY:值班A\nTRANSP:TRANSPARENT", ("", ["值班A"])),
        # An address says more than a name.
        ("SUMMARY:x\nATTENDEE;CN=值班B:mailto:a@example.com", ("", ["值班A"])),
    ],
)
def test_who_is_called_after_the_answers_to_an_invitation(event: str, expected: tuple[str, list[str]]) -> None:
    assert seen(rota_of(calendar(MONDAY + event)), "2026-11-23T12:00") == expected


@pytest.mark.parametrize("evening", ["STATUS:TENTATIVE", f"ATTENDEE;PARTSTAT=DECLINED;{B}", "STATUS:CANCELLED"])
def test_a_swap_that_is_not_certain_or_was_declined_does_not_count(evening: str) -> None:
    week = "DTSTART;VALUE=DATE:20261123\nDTEND;VALUE=DATE:20261130\nSUMMARY:值班A"
    swap = "DTSTART:20261125T180000\nDTEND:20261125T220000\nSUMMARY:值班B\n"
    assert seen(rota_of(calendar(week, swap + evening)), "2026-11-25T19:00") == ("", ["值班A"])


def test_where_nobody_is_left_the_whole_group_is_called_and_the_gap_names_who_declined() -> None:
    declined = f"CATEGORIES:白班\nSUMMARY:x\nATTENDEE;PARTSTAT=DECLINED;{A}\nATTENDEE;PARTSTAT=DECLINED;{B}"
    tuesday = MONDAY.replace("20261123", "20261124")
    rota = rota_of(calendar(MONDAY + declined, f"{tuesday}SUMMARY:值班C"))
    assert next_in_line(rota, at("2026-11-23T12:00"), 0) == next_in_line(rota, at("2026-11-23T12:00"), 1) == ()
    duty = on_duty(rota, at("2026-11-23T12:00"))
    assert (duty.vacant, duty.declined, duty.until) == (True, ("值班A", "值班B"), at("2026-11-23T23:00"))
    (gap, *_) = gaps(rota, at("2026-11-23T12:00"), 1)
    assert (gap.kind, gap.text) == (
        "nobody",
        "白班 was declined by 值班A, 值班B, and nobody is left, so the whole group is called",
    )
    (person,) = next_in_line(rota, at("2026-11-23T23:00"), 0)
    assert person.name == "值班C", "where no event is, the next turn is called as before"


def test_who_declined_is_not_called_for_it_with_the_next_turn_either() -> None:
    tuesday = MONDAY.replace("20261123", "20261124")
    monday = f"{MONDAY}SUMMARY:x\nATTENDEE;PARTSTAT=DECLINED;{A}\nATTENDEE;{B}"
    rota = rota_of(calendar(monday, f"{tuesday}SUMMARY:值班A", f"{tuesday.replace('1124', '1125')}SUMMARY:值班C"))
    line = [next_in_line(rota, at("2026-11-23T12:00"), step)[0].name for step in range(3)]
    assert line == ["值班B", "值班C", "值班B"]
    assert next_in_line(rota, at("2026-11-24T12:00"), 0)[0].name == "值班A"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"person": "值班C"}, ["值班C", "值班B"]),
        ({"instead_of": "值班A", "person": "值班C"}, ["值班C", "值班B"]),
        ({"instead_of": "值班B", "person": "值班A"}, []),
        ({"swap": ["值班A", "值班C"]}, ["值班C", "值班B"]),
    ],
)
def test_an_override_can_replace_who_declined_and_cannot_bring_them_back(change: Any, names: list[str]) -> None:
    event = f"{MONDAY}SUMMARY:x\nATTENDEE;PARTSTAT=DECLINED;{A}\nATTENDEE;{B}"
    rota = rota_of(calendar(event), overrides=[{"from": "2026-11-23", **change}])
    assert seen(rota, "2026-11-23T12:00") == ("", names)


def test_an_override_can_fill_what_everybody_declined() -> None:
    event = f"{MONDAY}SUMMARY:x\nATTENDEE;PARTSTAT=DECLINED;{A}"
    rota = rota_of(calendar(event), overrides=[{"from": "2026-11-23", "person": "值班C"}])
    assert seen(rota, "2026-11-23T12:00") == ("", ["值班C"])


@pytest.mark.parametrize(
    ("times", "begins", "ends"),
    [
        (MONDAY, "2026-11-23T09:00", "2026-11-23T23:00"),
        ("DTSTART:20261123T010000Z\nDURATION:PT14H\n", "2026-11-23T09:00", "2026-11-23T23:00"),
        ("DTSTART:20261123T233000\nDTEND:20261124T003000\n", "2026-11-23T23:30", "2026-11-24T00:30"),
        ("DTSTART:20261124T000000\nDTEND:20261124T070000\n", "2026-11-24T00:00", "2026-11-24T07:00"),
        ("DTSTART;VALUE=DATE:20261123\n", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("DTSTART;VALUE=DATE:20261123\nDTEND;VALUE=DATE:20261130\n", "2026-11-23T00:00", "2026-11-30T00:00"),
        (
            "DTSTART;TZID=Europe/Berlin:20261123T020000\nDTEND;TZID=Europe/Berlin:20261123T160000\n",
            "2026-11-23T09:00",
            "2026-11-23T23:00",
        ),
    ],
)
def test_when_an_event_is(times: str, begins: str, ends: str) -> None:
    rota = rota_of(calendar(times + "SUMMARY:值班A"))
    for moment in (at(begins), at(ends) - timedelta.resolution):
        duty = on_duty(rota, moment)
        assert (len(duty.people), duty.since, duty.until) == (1, at(begins), at(ends))
    assert not on_duty(rota, at(begins) - timedelta.resolution).people
    assert not on_duty(rota, at(ends)).people


def test_recurring_events_with_exceptions_and_moved_instances() -> None:
    weekly = (
        MONDAY
        + "UID:w\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO\nEXDATE;TZID=Asia/Shanghai:20261207T090000\nSUMMARY:值班A"
    )
    moved = (
        "UID:w\nRECURRENCE-ID;TZID=Asia/Shanghai:20261221T090000\nDTSTART;TZID=Asia/Shanghai:20261222T090000\n"
        "DTEND;TZID=Asia/Shanghai:20261222T230000\nSUMMARY:值班B"
    )
    rota = rota_of(calendar(weekly, moved))
    days = ("2026-11-23", "2026-11-30", "2026-12-07", "2026-12-21", "2026-12-22", "2027-01-04")
    people = [seen(rota, f"{day}T12:00")[1] for day in days]
    assert people == [["值班A"], [], [], [], ["值班B"], ["值班A"]]


def test_the_shorter_of_two_events_counts_and_the_overlap_is_reported() -> None:
    week = "DTSTART;VALUE=DATE:20261123\nDTEND;VALUE=DATE:20261130\nSUMMARY:值班A"
    evening = "DTSTART:20261125T180000\nDTEND:20261125T220000\nSUMMARY:值班B"
    rota = rota_of(calendar(week, evening))
    assert [seen(rota, f"2026-11-25T{clock}")[1] for clock in ("17:59", "18:00", "22:00")] == [
        ["值班A"],
        ["值班B"],
        ["值班A"],
    ]
    assert on_duty(rota, at("2026-11-23T09:00")).until == at("2026-11-25T18:00")
    assert [gap.kind for gap in gaps(rota, at("2026-11-23T00:00"), 7)] == ["overlap"]


@pytest.mark.parametrize("summary", ["SUMMARY:stranger", "SUMMARY:", "DESCRIPTION:x"])
def test_an_event_without_a_known_person_is_a_gap_with_its_reason(summary: str) -> None:
    found = gaps(rota_of(calendar(MONDAY + summary)), at("2026-11-23T09:00"), 1)
    assert [gap.kind for gap in found if gap.begins == at("2026-11-23T09:00")] == ["nobody", "unknown person"]


def test_an_unknown_person_is_reported_and_a_known_one_beside_is_on_duty() -> None:
    rota = rota_of(calendar(MONDAY + "SUMMARY:stranger\\, 值班B"))
    duty = on_duty(rota, at("2026-11-23T12:00"))
    assert [(person.name, person.role) for person in duty.people] == [("值班B", "primary")]
    assert any("stranger" in gap.text for gap in gaps(rota, at("2026-11-23T12:00"), 1))


def test_overrides_apply_to_calendars_too() -> None:
    changes = [{"from": "2026-11-23", "person": "值班C"}]
    assert seen(rota_of(calendar(MONDAY + "SUMMARY:值班A"), overrides=changes), "2026-11-23T12:00") == ("", ["值班C"])


@pytest.mark.parametrize(
    "event",
    [
        "SUMMARY:值班A",
        "DTSTART:2026-11-23\nSUMMARY:值班A",
        MONDAY + "RRULE:FREQ=SOMETIMES\nSUMMARY:值班A",
        MONDAY + "DURATION:PT1H\nSUMMARY:值班A",
        "DTSTART;VALUE=DATE:20261123\nDTEND:20261124T010000Z\nSUMMARY:值班A",
    ],
)
def test_an_event_without_a_valid_time_is_refused_at_once(event: str) -> None:
    with pytest.raises(RotaUnreadable, match="not a valid calendar"):
        rota_of(calendar(event))


HEALTHY = MONDAY + "RRULE:FREQ=WEEKLY\nSUMMARY:值班B"
HOUR = "DTSTART;TZID=Asia/Shanghai:20260101T090000\nDTEND;TZID=Asia/Shanghai:20260101T100000\n"


@pytest.mark.parametrize(
    "event",
    [
        "DTSTART;VALUE=DATE:20261101\nDTEND;VALUE=DATE:45000901\n",
        "DTSTART;VALUE=DATE:20261101\nDTEND;VALUE=DATE:45000901\nRRULE:FREQ=DAILY\n",
        HOUR + "RRULE:FREQ=DAILY;INTERVAL=0\n",
        HOUR + "RRULE:FREQ=YEARLY;INTERVAL=0\n",
        HOUR + "RRULE:FREQ=SECONDLY\n",
        HOUR + "RRULE:FREQ=MINUTELY;INTERVAL=5\n",
        HOUR + "RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30\n",
        "DTSTART:19700101T000000\nDURATION:PT1M\nRRULE:FREQ=MINUTELY\n",
        HOUR + "RRULE:FREQ=DAILY\nEXDATE;VALUE=DATE:00010101\nRDATE:99991231T235959\nDURATION:P9999999D\n",
    ],
)
def test_an_event_that_cannot_be_expanded_is_named_in_time(event: str) -> None:
    """And each later question has the same answer: the library holds a lock after such an error."""
    settings = RotaSettings.model_validate({"people": PEOPLE, "ical": "rota.ics"})
    began = thread_time()
    with pytest.raises(RotaUnreadable, match=r"值班A|not a valid calendar") as refused:
        gaps(
            Rota.of(
                settings,
                SHANGHAI,
                plan_of(calendar(HEALTHY, f"{event}SUMMARY:值班A"), settings.people, SHANGHAI, work_s=0.5),
            ),
            at("2026-11-23T09:00"),
            7,
        )
    assert thread_time() - began < 5, "the time of this thread, whatever else the machine does"
    assert "值班B" not in str(refused.value)


def test_after_an_event_that_cannot_be_expanded_every_day_gives_the_same_error() -> None:
    broken = "DTSTART;VALUE=DATE:20261101\nDTEND;VALUE=DATE:45000901\nRRULE:FREQ=DAILY\nSUMMARY:值班A"
    rota = rota_of(calendar(HEALTHY, broken))
    texts = set()
    for day in ("2026-11-23T12:00", "2026-11-24T12:00", "2026-11-23T12:00"):
        with pytest.raises(RotaUnreadable) as refused:
            on_duty(rota, at(day))
        texts.add(str(refused.value))
    assert len(texts) == 1


def test_a_year_of_a_busy_calendar_is_checked_in_time() -> None:
    daily = [
        f"DTSTART:20240101T{hour:02}0000\nDTEND:20240101T{hour:02}3000\nRRULE:FREQ=DAILY\nSUMMARY:值班A"
        for hour in range(24)
    ]
    began = thread_time()
    settings = RotaSettings.model_validate({"people": PEOPLE, "ical": "rota.ics"})
    rota = Rota.of(settings, SHANGHAI, plan_of(calendar(*daily), settings.people, SHANGHAI, work_s=60))
    assert len(gaps(rota, at("2026-11-23T00:00"), 60)) == 60 * 24
    assert thread_time() - began < 30


@pytest.mark.parametrize("content", [b"", b"<html>login</html>", b"\xff\xfe", b"BEGIN:VCALENDAR"])
def test_content_that_is_not_a_calendar_is_refused(content: bytes) -> None:
    with pytest.raises(RotaUnreadable):
        rota_of(content)


def test_the_file_lies_beside_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(tmp_path / "mindguard.yaml"))
    snapshot = {"bucket": "b", "tables": [{"name": "public.t"}]}
    settings = Settings.model_validate({"snapshot": snapshot, "rota": {"people": PEOPLE, "ical": "on-call/rota.ics"}})
    with pytest.raises(RotaUnreadable, match=r"on-call/rota\.ics.*No such file"):
        load_rota(settings)
    (tmp_path / "on-call").mkdir()
    (tmp_path / "on-call" / "rota.ics").write_bytes(calendar(MONDAY + "SUMMARY:值班A"))
    rota = load_rota(settings)
    assert rota
    assert seen(rota, "2026-11-23T12:00") == ("", ["值班A"])
    assert load_rota(settings.model_copy(update={"rota": None})) is None


def test_an_exports_events_are_stable_and_in_utc() -> None:
    rota = Rota.of(RotaSettings.model_validate({"people": PEOPLE, "shifts": SHIFTS}), SHANGHAI)
    start = at("2026-11-24T12:00")
    text = to_ical(rota, start, start + timedelta(hours=1), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert text.count("BEGIN:VEVENT") == 1
    assert "UID:20261124T010000Z-白班@mindguard" in text
    assert "DTSTART:20261124T010000Z" in text
    assert "DTEND:20261124T150000Z" in text
