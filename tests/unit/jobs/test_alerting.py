"""A card lacks what cannot be found out, and whoever is on duty cannot be found out is the whole group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

from mindguard.alerts import pipeline
from mindguard.alerts.alert import Alert, Person, Release
from mindguard.alerts.direct import Spool
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox.sender import Delivered, Sender
from mindguard.alerts.outbox.transport import Transport
from mindguard.alerts.severity import Severity
from mindguard.database.session import StoreUnavailable
from mindguard.jobs import alerting
from mindguard.jobs.alerting import Callers
from mindguard.settings import Settings
from tests.incidents import NOW, finding

EVERYONE = Person("@all", feishu_id="all")
OVERFLOW = "DTSTART;VALUE=DATE:20261101\nDTEND;VALUE=DATE:45000901\nRRULE:FREQ=DAILY\nSUMMARY:晚安A"
ENDLESS = "DTSTART:20261101T090000\nDTEND:20261101T100000\nRRULE:FREQ=DAILY;INTERVAL=0\nSUMMARY:晚安A"


@pytest.fixture
def with_calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    def write(event: str) -> Settings:
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", "BEGIN:VEVENT", "UID:1"]
        content = "\r\n".join([*lines, *event.splitlines(), "END:VEVENT", "END:VCALENDAR", ""])
        (tmp_path / "rota.ics").write_text(content, "utf-8")
        monkeypatch.setenv("MINDGUARD_SETTINGS", str(tmp_path / "mindguard.yaml"))
        return Settings.model_validate(
            {
                "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
                "rota": {"people": [{"name": "晚安A", "feishu_id": "ou_1"}], "ical": "rota.ics"},
                "alerts": {"acknowledge_base_url": "https://airflow.example.com"},
            }
        )

    return write


def an_incident(severity: Severity = Severity.P1) -> Any:
    return SimpleNamespace(
        id=7, name="I-7", state="open", ladder_from=NOW, alert=finding(severity=severity).alert, severity=severity.value
    )


def an_enrichment(settings: Settings, callers: Any) -> Callable[[Alert, Any], Alert]:
    def resolve(conn_id: str) -> Any:
        raise KeyError(conn_id)

    return alerting._Enrichment(settings, resolve, callers, lambda: NOW)


@pytest.mark.parametrize("event", [OVERFLOW, ENDLESS, "SUMMARY:晚安A"])
def test_a_calendar_that_cannot_be_expanded_calls_the_whole_group(
    event: str, with_calendar: Callable[[str], Settings], caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_calendar(event)
    callers = Callers(settings)
    assert callers.last_handover(NOW) is None
    assert callers.on_duty(NOW) == ()
    assert [callers(NOW, position) for position in (0, 1)] == [(EVERYONE,), (EVERYONE,)]
    assert callers.unreadable
    assert len(caplog.messages) == 1, "it is said once"
    assert "the whole group is called" in caplog.text
    for severity, duty in ((Severity.P0, (EVERYONE,)), (Severity.P1, (EVERYONE,)), (Severity.P2, ())):
        incident = an_incident(severity)
        assert an_enrichment(settings, callers)(incident.alert, incident).duty == duty


def test_of_a_calendar_with_a_bad_event_its_name_is_logged(
    with_calendar: Callable[[str], Settings], caplog: pytest.LogCaptureFixture
) -> None:
    assert Callers(with_calendar(OVERFLOW))(NOW, 0) == (EVERYONE,)
    assert "晚安A" in caplog.text


def test_where_everybody_declined_the_whole_group_is_called_and_not_those_who_did(
    with_calendar: Callable[[str], Settings],
) -> None:
    event = f"DTSTART:{NOW:%Y%m%dT%H%M%SZ}\nDURATION:PT1H\nSUMMARY:x\nATTENDEE;CN=晚安A;PARTSTAT=DECLINED:mailto:a@b.cn"
    settings = with_calendar(event)
    callers = Callers(settings)
    assert [callers(NOW, position) for position in (0, 1)] == [(EVERYONE,), (EVERYONE,)]
    assert callers.on_duty(NOW) == ()
    assert not callers.unreadable
    for severity, duty in ((Severity.P0, (EVERYONE,)), (Severity.P1, (EVERYONE,)), (Severity.P2, ())):
        incident = an_incident(severity)
        assert an_enrichment(settings, callers)(incident.alert, incident).duty == duty


def test_without_a_rota_the_first_step_still_calls_nobody(with_calendar: Callable[[str], Settings]) -> None:
    callers = Callers(with_calendar(ENDLESS).model_copy(update={"rota": None}))
    assert [callers(NOW, position) for position in (0, 1)] == [(), (EVERYONE,)]


@pytest.mark.parametrize("fails", ["people", "releases", "link"])
def test_what_cannot_be_added_to_a_card_takes_nothing_else_along(
    fails: str, with_calendar: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_calendar(ENDLESS)
    duty, release = Person("晚安A"), Release("1.2", NOW)
    broken = RuntimeError("\ud800 broken \x00")
    callers = create_autospec(Callers, instance=True, unreadable=False)
    callers.nobody_left.return_value = False
    callers.on_duty.side_effect = broken if fails == "people" else [(duty,)]
    monkeypatch.setattr(
        alerting, "latest_releases", create_autospec(alerting.latest_releases, side_effect=broken)
        if fails == "releases" else lambda *_: (release,)
    )  # fmt: skip
    monkeypatch.setattr(
        alerting,
        "sign",
        create_autospec(alerting.sign, side_effect=broken) if fails == "link" else lambda *_, **__: "t",
    )
    incident = an_incident()
    alert = an_enrichment(settings, callers)(incident.alert, incident)
    assert alert.duty == (() if fails == "people" else (duty,))
    assert alert.releases == (() if fails == "releases" else (release,))
    assert bool(alert.acknowledge_url) == (fails != "link")
    assert alert.known_at == NOW


def test_a_sender_whose_enrichment_fails_sends_the_alert_as_it_was_reported() -> None:
    def enrich(alert: Alert, incident: Incident) -> Alert:
        raise OverflowError("date value out of range")

    sender = Sender(
        store=create_autospec(IncidentStore, instance=True),
        transport=create_autospec(Transport, instance=True),
        retry_on=(),
        enrich=enrich,
        locale="zh",
        clock=lambda: NOW,
        sleep=lambda _: None,
    )
    incident = an_incident()
    assert sender._enriched(incident.alert, incident) == incident.alert


def test_an_alert_that_cannot_be_sent_directly_does_not_hold_up_the_others(tmp_path: Path) -> None:
    sent: list[str] = []

    def send(alert: Alert, **_: Any) -> Any:
        if alert.subject == "bad":
            raise ValueError("cannot be rendered")
        sent.append(alert.subject)
        return SimpleNamespace(message_id=None, form="card")

    def away() -> IncidentStore:
        raise StoreUnavailable("the store is away")

    transport = create_autospec(Transport, instance=True)
    transport.send.side_effect = send
    with pytest.raises(ValueError, match="cannot be rendered"):
        pipeline.store_and_deliver(
            [finding("bad"), finding("one"), finding("two")],
            [],
            store=away,
            transport=lambda: transport,
            sender=create_autospec(Sender),
            on_duty=lambda *_: (),
            ladders={},
            locale="zh",
            now=NOW,
            budget_s=5,
            spool=Spool(tmp_path / "spool"),
        )
    assert sent == ["one", "two"]


@pytest.mark.parametrize("step", ["pipeline.escalate", "hand_over", "remind_of_reviews"])
def test_a_step_that_fails_does_not_keep_what_is_due_from_being_sent(
    step: str, with_calendar: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_calendar(ENDLESS)
    sender = create_autospec(Sender, instance=True)
    sender.deliver_due.return_value = Delivered(sent=3)
    monkeypatch.setattr(alerting, "_sender", lambda *_: sender)
    monkeypatch.setattr(alerting.IncidentStore, "of", create_autospec(IncidentStore.of))
    monkeypatch.setattr(Callers, "last_handover", lambda *_: NOW)
    for each in ("pipeline.escalate", "hand_over", "remind_of_reviews"):
        failing = lambda *_, **__: 1 / 0  # noqa: E731
        monkeypatch.setattr(f"mindguard.jobs.alerting.{each}", failing if each == step else lambda *_, **__: None)
    with pytest.raises(ZeroDivisionError):
        alerting.deliver(settings, lambda _: SimpleNamespace(), now=NOW)  # type: ignore[arg-type, return-value]
    sender.deliver_due.assert_called_once()


def test_a_release_at_the_end_of_time_costs_a_card_its_releases_and_nothing_more() -> None:
    from zoneinfo import ZoneInfo

    from mindguard.feishu.forms import forms

    end_of_time = datetime.max.replace(tzinfo=UTC)
    alert = replace(finding(value="900 ms").alert, releases=(Release("9.9", end_of_time),))
    shown = [*forms(alert, locale="zh", zone=ZoneInfo("Asia/Shanghai"), now=NOW + timedelta(minutes=1), secrets=())]
    assert [form for form, _ in shown] == ["card", "text"]
    assert all("api is slow" in str(message) for _, message in shown)
    assert "900 ms" in str(shown[0])
    never = replace(alert, happened_at=end_of_time)
    last = [*forms(never, locale="zh", zone=ZoneInfo("Asia/Shanghai"), now=NOW, secrets=())][-1]
    assert last == ("text", {"msg_type": "text", "content": {"text": "P1 api is slow"}})
