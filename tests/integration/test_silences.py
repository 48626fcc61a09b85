"""Planned work, on PostgreSQL, with a clock that the tests turn: who is notified when, and that nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from mindguard.alerts import pipeline
from mindguard.alerts.direct import Told, Unstored
from mindguard.alerts.finding import Recovery
from mindguard.alerts.incidents.models import Notification, Silence
from mindguard.alerts.incidents.silences import SilenceStore
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.matchers import SilenceRefused, parse_matchers
from mindguard.alerts.reminders import hand_over, remind_of_reviews
from mindguard.alerts.severity import Severity
from mindguard.cli import app
from mindguard.doctor.alerts import examine_silences
from mindguard.settings import load_settings
from tests.connections import as_variable, connection_of
from tests.incidents import MINUTE, NOW, finding
from tests.integration.test_delivery import HOUR, LADDERS, Group, Later, Refused, deliver, on_duty, titles
from tests.processes import plain_environment


@pytest.fixture
def incidents(fresh_database: str) -> IncidentStore:
    return IncidentStore.of(connection_of(fresh_database))


@pytest.fixture
def silences(incidents: IncidentStore) -> SilenceStore:
    return SilenceStore(incidents.database)


def silence(
    store: SilenceStore,
    *match: str,
    start: datetime = NOW,
    lasts: timedelta = HOUR,
    now: datetime | None = None,
    including_p0: bool = False,
) -> Silence:
    return store.add(
        parse_matchers(match or ("subject=api",), including_p0=including_p0),
        starts_at=start,
        ends_at=start + lasts,
        by="ann",
        why="new disk",
        now=now or start,
        longest=timedelta(hours=168),
        including_p0=including_p0,
    )


def kinds(store: IncidentStore, number: int) -> list[str]:
    return [entry.kind for entry in store.get(number).timeline]


@pytest.mark.parametrize("updates", [True, False])
def test_what_is_silenced_is_recorded_and_its_card_goes_out_when_the_silence_ends(
    incidents: IncidentStore, silences: SilenceStore, updates: bool
) -> None:
    group = Group(updates=updates)
    silence(silences)
    (incident,) = incidents.record([finding(at=NOW + MINUTE)], now=NOW + MINUTE)
    incidents.record([finding("db", at=NOW + MINUTE)], now=NOW + MINUTE)
    assert pipeline.escalate(incidents, LADDERS, on_duty, now=NOW + 45 * MINUTE) == [incident.id + 1]
    deliver(incidents, group, at=NOW + 45 * MINUTE)
    assert "api on" not in titles(group)
    assert "db on" in titles(group)
    assert kinds(incidents, incident.id) == ["opened", "silenced"]

    end = NOW + HOUR
    assert silences.settle(now=end) == [incident.id]
    assert silences.settle(now=end) == []
    deliver(incidents, group, at=end + MINUTE)
    assert titles(group).count("api on") == 1
    assert incident.id in pipeline.escalate(incidents, LADDERS, on_duty, now=end + 31 * MINUTE)  # P1: 30 minutes
    assert kinds(incidents, incident.id) == ["opened", "silenced", "heard", "escalated"]


def test_a_recovery_in_silence_is_recorded_and_told_at_the_handover(
    incidents: IncidentStore, silences: SilenceStore
) -> None:
    group = Group()
    silence(silences)
    (incident,) = incidents.record([finding()], now=NOW)
    incidents.recover([Recovery("test:api", at=NOW + MINUTE)], now=NOW + MINUTE)
    deliver(incidents, group, at=NOW + 2 * MINUTE)
    assert group.requests == []
    assert remind_of_reviews(incidents, within=HOUR, locale="en", now=NOW + 90 * HOUR) == []
    assert hand_over(incidents, NOW, (), locale="en", now=NOW + 2 * HOUR)
    deliver(incidents, group, at=NOW + 2 * HOUR)
    (digest,) = group.digests.values()
    assert digest.title == "Handover: 0 incidents unresolved, 1 ended while silenced"
    assert [(line.incident_id, line.state) for line in digest.groups] == [(incident.name, "silenced_over")]
    assert not hand_over(incidents, NOW + 9 * HOUR, (), locale="en", now=NOW + 9 * HOUR)  # it was told


def test_a_silenced_incident_is_told_at_the_handover(incidents: IncidentStore, silences: SilenceStore) -> None:
    group = Group()
    silence(silences)
    incidents.record([finding()], now=NOW)
    hand_over(incidents, NOW, (), locale="en", now=NOW)
    deliver(incidents, group)
    (digest,) = group.digests.values()
    assert [line.state for line in digest.groups] == ["silenced"]


def test_a_silence_that_begins_while_it_is_open_stops_calls_and_the_card_says_so(
    incidents: IncidentStore, silences: SilenceStore
) -> None:
    group = Group()
    (incident,) = incidents.record([finding(severity=Severity.P0)], now=NOW)
    pipeline.escalate(incidents, LADDERS, on_duty, now=NOW)
    deliver(incidents, group)
    called = len(group.calls)
    pipeline.escalate(incidents, LADDERS, on_duty, now=NOW + 16 * MINUTE)  # is still to be sent when the silence begins
    made = silence(silences, start=NOW + 17 * MINUTE, including_p0=True)
    deliver(incidents, group, at=NOW + 17 * MINUTE)
    assert pipeline.escalate(incidents, LADDERS, on_duty, now=NOW + 50 * MINUTE) == []
    assert len(group.calls) == called
    (card,) = group.cards.values()
    assert (card.silence, card.silenced_until, card.mention) == (made.name, made.ends_at, False)
    longer = silence(silences, start=NOW + 20 * MINUTE, lasts=2 * HOUR, including_p0=True)
    deliver(incidents, group, at=NOW + 20 * MINUTE)
    (card,) = group.cards.values()
    assert (card.silence, card.silenced_until) == (longer.name, longer.ends_at)

    incidents.recover([Recovery("test:api", at=NOW + 51 * MINUTE)], now=NOW + 51 * MINUTE)
    deliver(incidents, group, at=NOW + 52 * MINUTE)
    assert titles(group) == ["api over"]  # its red card was shown, so it turns green
    assert remind_of_reviews(incidents, within=HOUR, locale="en", now=NOW + 90 * HOUR) == [incident.id]


def test_requests_that_fail_when_a_silence_begins_are_not_sent_later(
    incidents: IncidentStore, silences: SilenceStore
) -> None:
    group = Group(fault=lambda: Later("busy"))
    incidents.record([finding()], now=NOW)
    deliver(incidents, group)
    silence(silences, start=NOW + MINUTE)
    group.fault = lambda: None
    deliver(incidents, group, at=NOW + 5 * MINUTE)
    assert group.cards == {}
    silences.end("S-1", by="bob", now=NOW + 10 * MINUTE)
    deliver(incidents, group, at=NOW + 11 * MINUTE)
    assert titles(group) == ["api on"]


def test_a_p0_is_silenced_only_if_that_is_asked_for(incidents: IncidentStore, silences: SilenceStore) -> None:
    group = Group()
    silence(silences)
    incidents.record([finding()], now=NOW)
    deliver(incidents, group)
    assert group.cards == {}
    incidents.record([finding(severity=Severity.P0)], now=NOW + MINUTE)  # it became worse
    pipeline.escalate(incidents, LADDERS, on_duty, now=NOW + MINUTE)
    deliver(incidents, group, at=NOW + MINUTE)
    assert titles(group) == ["api on"]
    assert group.calls


def test_what_is_silenced_hides_its_children_except_a_p0(incidents: IncidentStore, silences: SilenceStore) -> None:
    group = Group()
    silence(silences)
    incidents.record([finding()], now=NOW)
    incidents.record([finding("child", parent="test:api")], now=NOW)
    incidents.record([finding("sos", parent="test:api", severity=Severity.P0)], now=NOW)
    deliver(incidents, group)
    assert titles(group) == ["sos on"]


def test_a_silence_of_the_parent_releases_a_p0_that_it_explained(
    incidents: IncidentStore, silences: SilenceStore
) -> None:
    group = Group()
    incidents.record([finding()], now=NOW)
    incidents.record([finding("sos", parent="test:api", severity=Severity.P0)], now=NOW)
    deliver(incidents, group)
    assert titles(group) == ["api on"]
    silence(silences)
    deliver(incidents, group, at=NOW + 3 * MINUTE)
    assert titles(group) == ["api on", "sos on"]


def test_a_silence_that_ends_leaves_it_to_what_explains_the_incident_now(
    incidents: IncidentStore, silences: SilenceStore
) -> None:
    group = Group()
    silence(silences, "subject=child")
    (child,) = incidents.record([finding("child", parent="test:api")], now=NOW)
    incidents.record([finding(at=NOW + MINUTE)], now=NOW + MINUTE)
    silences.settle(now=NOW + HOUR)
    deliver(incidents, group, at=NOW + HOUR)
    assert titles(group) == ["api on"]
    assert kinds(incidents, child.id) == ["opened", "silenced", "inhibited"]
    incidents.recover([Recovery("test:api", at=NOW + HOUR)], now=NOW + HOUR)
    deliver(incidents, group, at=NOW + HOUR + 3 * MINUTE)
    assert "child on" in titles(group)


def test_what_feishu_had_refused_is_not_sent_during_a_silence(incidents: IncidentStore, silences: SilenceStore) -> None:
    group = Group(fault=lambda: Refused("no"))
    incidents.record([finding(severity=Severity.P0)], now=NOW)
    deliver(incidents, group)
    silence(silences, including_p0=True)
    group.fault = lambda: None
    assert incidents.retry_dead(now=NOW + MINUTE) == 0
    deliver(incidents, group, at=NOW + MINUTE)
    assert (group.cards, group.calls) == ({}, [])
    silences.settle(now=NOW + HOUR)
    deliver(incidents, group, at=NOW + HOUR)
    assert titles(group) == ["api on"]


def test_a_card_that_was_sent_without_the_store_says_that_it_is_silenced(
    incidents: IncidentStore, silences: SilenceStore
) -> None:
    """The sweep knows the failure first; only then, another machine brings how people were told."""
    group = Group(at=NOW)
    message = group.send(finding().alert, uuid="direct", now=NOW).message_id or ""
    made = silence(silences)
    incidents.record([finding(occurrence="r1")], now=NOW + MINUTE)
    incidents.adopt(Unstored(finding(occurrence="r1"), Told(NOW, message)), now=NOW + 2 * MINUTE)
    deliver(incidents, group, at=NOW + 2 * MINUTE)
    (card,) = group.cards.values()
    assert (card.silence, card.mention) == (made.name, False)


def test_what_ends_in_silence_after_a_quiet_handover_waits_for_the_next(
    incidents: IncidentStore, silences: SilenceStore
) -> None:
    silence(silences)
    assert not hand_over(incidents, NOW, (), locale="en", now=NOW)
    incidents.record([finding()], now=NOW + MINUTE)
    incidents.recover([Recovery("test:api", at=NOW + 2 * MINUTE)], now=NOW + 2 * MINUTE)
    assert not hand_over(incidents, NOW, (), locale="en", now=NOW + 3 * MINUTE)
    assert hand_over(incidents, NOW + 9 * HOUR, (), locale="en", now=NOW + 9 * HOUR)
    incidents.forget(before=NOW + 10 * HOUR)
    with incidents.database.session() as session:
        assert session.scalars(select(Notification).where(Notification.state == "dropped")).all() == []


def test_a_silence_begins_and_ends_by_itself(incidents: IncidentStore, silences: SilenceStore) -> None:
    made = silence(silences, start=NOW + HOUR, now=NOW)
    (incident,) = incidents.record([finding()], now=NOW)
    assert made.state(NOW) == "coming"
    assert incidents.get(incident.id).silenced_by is None
    assert silences.settle(now=NOW + HOUR) == [incident.id]
    assert silences.settle(now=NOW + 2 * HOUR) == [incident.id]
    assert silences.list(now=NOW + 2 * HOUR) == []
    assert [each.name for each in silences.list(now=NOW + 2 * HOUR, everything=True)] == [made.name]


def test_a_silence_that_cannot_be_read_silences_nothing(incidents: IncidentStore, silences: SilenceStore) -> None:
    from sqlalchemy import text

    silence(silences)
    with incidents.database.session() as session:
        session.execute(text("""update mindguard.silences set matchers = '[{"fild": 1}]'"""))
    (incident,) = incidents.record([finding()], now=NOW)
    assert not incident.silenced_by
    with incidents.database.session() as session:
        session.execute(text("alter table mindguard.silences rename to elsewhere"))
    (incident,) = incidents.record([finding("db")], now=NOW)
    assert not incident.silenced_by


def test_the_doctor_names_active_silences_and_those_that_match_nothing(
    incidents: IncidentStore, silences: SilenceStore, fresh_database: str
) -> None:
    def said(at: datetime) -> list[tuple[str, str]]:
        found = examine_silences(load_settings(), lambda conn_id: connection_of(fresh_database), lambda: at)
        return [(each.status, each.check) for each in found]

    assert said(NOW) == []
    silence(silences, lasts=3 * HOUR)
    silence(silences, "subject=typo", lasts=3 * HOUR)
    incidents.record([finding()], now=NOW)
    assert said(NOW) == [("pass", "S-2"), ("pass", "S-1")]
    assert said(NOW + 2 * HOUR) == [("warn", "S-2"), ("pass", "S-1")]
    assert said(NOW + 4 * HOUR) == []


@pytest.mark.parametrize(
    ("start", "lasts", "words"),
    [
        (NOW, timedelta(0), "before it begins"),
        (NOW - 2 * HOUR, HOUR, "over already"),
        (NOW, timedelta(hours=169), "at most 168 hours"),
        (datetime(9999, 12, 31, 20, tzinfo=UTC), HOUR, "more than a year"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(
    silences: SilenceStore, start: datetime, lasts: timedelta, words: str
) -> None:
    with pytest.raises(SilenceRefused, match=words):
        silence(silences, start=start, lasts=lasts, now=NOW)
    with pytest.raises(SilenceRefused, match="who ends"):
        silences.end("S-1", by=" ", now=NOW)
    for name in ("S-99", "x", "S-" + "9" * 30):
        with pytest.raises(SilenceRefused, match="there is no silence"):
            silences.end(name, by="ann", now=NOW)


def test_the_command_line_adds_lists_and_ends(fresh_database: str) -> None:
    environment = plain_environment() | as_variable(connection_of(fresh_database))

    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["silences", *arguments], env=environment)
        assert done.exit_code == status, done.output
        return done.stdout

    added = json.loads(
        run("add", "--match", "monitor=api_*", "--to", "+2h", "--why", "new disk", "--by", "ann", "--json")
    )
    assert (added["id"], added["state"], added["made_by"], added["why"]) == ("S-1", "active", "ann", "new disk")
    assert "silences dag=etl from" in run(
        "add", "--match", "dag=etl", "--from", "+1d", "--to", "+1h", "--why", "move", "--by", "bob"
    )
    assert [each["state"] for each in json.loads(run("list", "--json"))] == ["coming", "active"]
    for name, known in (("api_error_rate", True), ("api_eror_rate", False), ("api_*", True), ("source", True)):
        words = ["silences", "add", "--match", f"monitor={name}", "--from", "+1d", "--to", "+1h", "--why", "x"]
        done = CliRunner().invoke(app, [*words, "--by", "ann"], env=environment)
        assert (f"no monitor in these settings is called {name}" in done.stderr) is not known
        run("end", done.stdout.split()[0], "--by", "ann")
    assert "S-1 is over" in run("end", "S-1", "--by", "bob")
    assert [each["id"] for each in json.loads(run("list", "--json"))] == ["S-2"]
    assert "ended by bob" in run("list", "--all")
    refused = CliRunner().invoke(
        app, ["silences", "add", "--match", "x=y", "--to", "+1h", "--why", "x"], env=environment
    )
    assert "is no matcher" in str(refused.exception)
