"""`mindguard rota` as a person and a program see it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from typer.testing import CliRunner, Result

from mindguard.cli.rota import app
from mindguard.errors import SettingsError

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
DAY = {"name": "白班", "from": "09:00", "to": "23:00", "rotation": ["值班A"], "backup": ["值班B"]}
NIGHT = {"name": "晚安模式", "days": ["everyday"], "from": "23:00", "to": "09:00", "rotation": ["晚安A"]}
PEOPLE = [{"name": "值班A", "feishu_id": "ou_a", "phone": "+86 100 0000 0001"}, {"name": "值班B"}, {"name": "晚安A"}]


@pytest.fixture
def rota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`rota("who", shifts=[…])` runs the command with these shifts at NOW."""

    def run(*arguments: str, shifts: list[Any], ical: str = "", now: datetime = NOW) -> Result:
        file = tmp_path / "mindguard.yaml"
        settings: dict[str, Any] = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}
        if shifts:
            settings["rota"] = {"people": PEOPLE, "shifts": shifts}
        elif ical:
            settings["rota"] = {"people": PEOPLE, "ical": ical}
        file.write_text(json.dumps(settings, ensure_ascii=False), "utf-8")
        monkeypatch.setenv("MINDGUARD_SETTINGS", str(file))
        with time_machine.travel(now, tick=False):
            return CliRunner().invoke(app, arguments)

    return run


def test_who(rota: Any) -> None:
    shown = rota("who", shifts=[DAY, NIGHT])
    assert shown.exit_code == 0
    assert "白班  2026-11-24 09:00 to 2026-11-24 23:00 (Asia/Shanghai)" in shown.output
    assert "+86 100 0000 0001" in shown.output
    assert "called in this order: 值班A, 值班B, 晚安A" in shown.output


@pytest.mark.parametrize("moment", ["2026-11-25T01:30", "2026-11-24T17:30:00Z", "2026-11-24T18:30:00+01:00"])
def test_who_at_another_time_as_json(rota: Any, moment: str) -> None:
    assert json.loads(rota("who", "--at", moment, "--json", shifts=[DAY, NIGHT]).output) == {
        "at": "2026-11-25T01:30:00+08:00",
        "shift": "晚安模式",
        "since": "2026-11-24T23:00:00+08:00",
        "until": "2026-11-25T09:00:00+08:00",
        "people": [{"name": "晚安A", "feishu_id": "", "phone": "", "role": "primary"}],
        "declined": [],
        "whole_group": False,
        "called_in_order": ["晚安A", "值班A"],
    }


def test_who_where_nobody_is_on_duty(rota: Any) -> None:
    alone = rota("who", "--at", "2026-11-25T01:30", shifts=[DAY])
    assert alone.exit_code == 1
    assert "nobody is on duty from 2026-11-25 01:30 to 2026-11-25 09:00" in alone.output
    assert "called in this order: 值班A" in alone.output
    assert json.loads(rota("who", "--at", "2026-11-25T01:30", "--json", shifts=[DAY]).stdout)["people"] == []


def test_what_everybody_declined_is_said_by_who_and_check(rota: Any, tmp_path: Path) -> None:
    declined = "ATTENDEE;CN=值班A;PARTSTAT=DECLINED:mailto:a@example.com"
    event = f"UID:1\nDTSTART:20261124T010000Z\nDTEND:20261124T150000Z\nCATEGORIES:白班\n{declined}"
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", "BEGIN:VEVENT", *event.split(), "END:VEVENT"]
    (tmp_path / "rota.ics").write_text("\r\n".join([*lines, "END:VCALENDAR", ""]), "utf-8")
    text = "白班 was declined by 值班A, and nobody is left, so the whole group is called"
    who = rota("who", shifts=[], ical="rota.ics")
    assert who.exit_code == 1
    assert f"{text} from 2026-11-24 09:00 to 2026-11-24 23:00" in who.output
    assert "called in this order: the whole group" in who.output
    as_json = json.loads(rota("who", "--json", shifts=[], ical="rota.ics").stdout)
    assert (as_json["people"], as_json["declined"], as_json["whole_group"]) == ([], ["值班A"], True)
    check = rota("check", shifts=[], ical="rota.ics")
    assert check.exit_code == 1
    assert text in " ".join(check.output.split())


def test_who_at_what_is_no_time_is_a_wrong_call(rota: Any) -> None:
    wrong = rota("who", "--at", "tomorrow", shifts=[DAY])
    assert wrong.exit_code == 2
    assert "2026-10-01T09:00" in wrong.output


def test_check_passes_on_a_whole_rota(rota: Any) -> None:
    passed = rota("check", shifts=[DAY, NIGHT])
    assert (passed.exit_code, passed.output) == (
        0,
        "every minute of 7 days from 2026-11-24 12:00 has somebody on duty\n",
    )
    found = json.loads(rota("check", "--days", "1", "--json", shifts=[DAY, NIGHT]).stdout)
    assert found == {"from": "2026-11-24T12:00:00+08:00", "days": 1, "gaps": [], "unpublished_years": []}


def test_check_fails_on_a_gap_and_lists_each(rota: Any) -> None:
    failed = rota("check", "--days", "2", shifts=[DAY])
    assert failed.exit_code == 1
    assert failed.output.count("nobody is on duty") == 2
    as_json = rota("check", "--days", "1", "--json", shifts=[DAY])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["gaps"] == [
        {
            "kind": "nobody",
            "begins": "2026-11-24T23:00:00+08:00",
            "ends": "2026-11-25T09:00:00+08:00",
            "text": "nobody is on duty",
        }
    ]


def test_check_warns_of_a_year_whose_holidays_are_unknown(rota: Any) -> None:
    far = [{**DAY, "days": ["workday", "weekend", "holiday"]}, NIGHT]
    # No release of the calendar will ever know it.
    warned = rota("check", shifts=far, now=NOW.replace(year=2999))
    assert warned.exit_code == 0
    assert "warning: holidays of 2999 are not known" in warned.output


def test_ics_is_a_calendar(rota: Any) -> None:
    written = rota("ics", "--days", "1", shifts=[DAY, NIGHT]).output
    assert written.startswith("BEGIN:VCALENDAR")
    assert written.endswith("END:VCALENDAR\n")
    assert written.count("BEGIN:VEVENT") == 3


@pytest.mark.parametrize("command", ["who", "check", "ics"])
def test_without_a_rota_every_command_says_so(rota: Any, command: str) -> None:
    told = rota(command, shifts=[])
    assert isinstance(told.exception, SettingsError)
    assert "docs/rota.md" in str(told.exception)
