"""What begins and recovers again and again, on PostgreSQL, with a clock that the tests turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from mindguard.alerts import pipeline
from mindguard.alerts.finding import Recovery
from mindguard.alerts.incidents.flapping import Flapping
from mindguard.alerts.incidents.silences import SilenceStore
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.severity import Severity
from tests.connections import connection_of
from tests.incidents import MINUTE, NOW, finding
from tests.integration.test_delivery import HOUR, LADDERS, Group, deliver, on_duty
from tests.integration.test_silences import silence


@pytest.fixture
def incidents(fresh_database: str) -> IncidentStore:
    return IncidentStore.of(connection_of(fresh_database))


def flap(
    store: IncidentStore,
    group: Group | None,
    times: int,
    *,
    start: datetime = NOW,
    severity: Severity = Severity.P1,
    well: timedelta = MINUTE,
) -> datetime:
    """Let it begin and recover, a minute each, with a delivery after each; return the moment after that."""
    at = start
    for _ in range(times):
        store.record([finding(at=at, severity=severity)], now=at)
        if group:
            pipeline.escalate(store, LADDERS, on_duty, now=at)
            deliver(store, group, at=at)
        store.recover([Recovery("test:api", at=at + MINUTE)], now=at + MINUTE)
        if group:
            deliver(store, group, at=at + MINUTE)
        at += MINUTE + well
    return at


@pytest.mark.parametrize("updates", [True, False])
def test_what_comes_and_goes_becomes_one_incident_with_few_cards(incidents: IncidentStore, updates: bool) -> None:
    group = Group(updates=updates)
    end = flap(incidents, group, 60)  # for two hours
    found = incidents.list(states=("open", "resolved"))
    assert [each.flaps for each in found] == [60, 0]
    # Red and green for each of the first two, then one a half hour; each change of a card is a request too.
    assert len(group.requests) - len(group.calls) <= 4 + 5
    deliver(incidents, group, at=end)
    assert not [*group.cards.values()][-1].resolved  # it may come again at any moment
    deliver(incidents, group, at=end + 31 * MINUTE)
    last = [*group.cards.values()][-1]
    assert (last.resolved, last.flaps, last.incident_id) == (True, found[0].flaps, found[0].name)


def test_the_third_time_is_told_at_once_and_later_ones_after_a_gap(incidents: IncidentStore) -> None:
    group = Group()
    at = flap(incidents, group, 2)
    before = len(group.requests)
    at = flap(incidents, group, 1, start=at)
    assert len(group.requests) == before + 1
    assert [*group.cards.values()][-1].flaps == 3
    flap(incidents, group, 5, start=at)
    assert len(group.requests) == before + 1


def test_after_a_quiet_time_it_is_an_incident_of_its_own(incidents: IncidentStore) -> None:
    at = flap(incidents, None, 5)
    (again,) = incidents.record([finding(at=at + 2 * HOUR)], now=at + 2 * HOUR)
    assert again.flaps == 0
    assert again.id == 3


def test_what_begins_after_its_green_card_is_told_at_once(incidents: IncidentStore) -> None:
    group = Group()
    at = flap(incidents, group, 5, severity=Severity.P0)
    (former,) = incidents.list(states=("resolved",), limit=1)
    deliver(incidents, group, at=at + 31 * MINUTE)
    assert [*group.cards.values()][-1].resolved
    again_at = at + 35 * MINUTE  # within the window
    calls = len(group.calls)
    (again,) = incidents.record([finding(at=again_at, severity=Severity.P0)], now=again_at)
    pipeline.escalate(incidents, LADDERS, on_duty, now=again_at)
    deliver(incidents, group, at=again_at)
    assert (again.id != former.id, again.flaps) == (True, 0)
    assert not [*group.cards.values()][-1].resolved
    assert [name for _, name in group.calls[calls:]] == ["ann"] * 3


def test_the_first_time_that_counts_as_flapping_is_told_at_once(incidents: IncidentStore) -> None:
    """It may be the fourth time: what a person resolved is counted, but does not begin again."""
    group = Group()
    at = flap(incidents, group, 1)
    (incident,) = incidents.record([finding(at=at)], now=at)
    incidents.resolve(incident.id, by="ann", now=at + MINUTE)
    at = flap(incidents, group, 1, start=at + 2 * MINUTE)
    assert [*group.cards.values()][-1].resolved
    incidents.record([finding(at=at)], now=at)
    deliver(incidents, group, at=at)
    last = [*group.cards.values()][-1]
    assert (last.resolved, last.flaps) == (False, 4)


def test_what_a_person_has_resolved_is_new_when_it_comes_again(incidents: IncidentStore) -> None:
    at = flap(incidents, None, 4)
    (incident,) = incidents.record([finding(at=at)], now=at)
    incidents.resolve(incident.id, by="ann", now=at + MINUTE)
    (again,) = incidents.record([finding(at=at + 2 * MINUTE)], now=at + 2 * MINUTE)
    assert (again.id != incident.id, again.flaps) == (True, 0)


def test_a_p0_calls_at_once_and_while_it_flaps_the_ladder_goes_on(incidents: IncidentStore) -> None:
    group = Group()
    flap(incidents, group, 1, severity=Severity.P0)
    assert {name for _, name in group.calls} == {"ann"}
    at = flap(incidents, group, 12, start=NOW + 2 * MINUTE, severity=Severity.P0)
    assert "bob" in {name for _, name in group.calls}  # nobody took it for 15 minutes
    incidents.record([finding(at=at, severity=Severity.P0)], now=at)
    (incident,) = incidents.list()
    assert incident.state == "open"


def test_an_incident_that_flaps_and_becomes_a_p0_is_told_at_once(incidents: IncidentStore) -> None:
    group = Group()
    at = flap(incidents, group, 5)
    before = len(group.requests)
    incidents.record([finding(at=at, severity=Severity.P0)], now=at)
    incidents.record([finding(at=at, severity=Severity.P0)], now=at)
    pipeline.escalate(incidents, LADDERS, on_duty, now=at)
    deliver(incidents, group, at=at)
    assert len(group.requests) > before
    assert [*group.cards.values()][-1].severity is Severity.P0
    assert group.calls


def test_an_acknowledged_one_stays_acknowledged_and_its_card_says_so_at_once(incidents: IncidentStore) -> None:
    group = Group()
    at = flap(incidents, group, 3)
    (incident,) = incidents.record([finding(at=at)], now=at)
    incidents.acknowledge(incident.id, by="ann", now=at)
    deliver(incidents, group, at=at)
    assert [*group.cards.values()][-1].acknowledged_by == "ann"
    flap(incidents, group, 2, start=at)
    (incident,) = incidents.record([finding(at=at + HOUR / 2)], now=at + HOUR / 2)
    assert incident.state == "acknowledged"


def test_what_flaps_in_a_silence_is_quiet_and_told_afterwards(incidents: IncidentStore) -> None:
    group = Group()
    silence(SilenceStore(incidents.database))
    at = flap(incidents, group, 8)
    incidents.record([finding(at=at)], now=at)
    assert group.requests == []
    SilenceStore(incidents.database).settle(now=NOW + HOUR)
    deliver(incidents, group, at=NOW + HOUR + MINUTE)
    (card,) = group.cards.values()
    assert (card.resolved, card.flaps, card.silence) == (False, 9, "")


def test_a_card_that_was_shown_turns_green_also_if_another_incident_explains_it(incidents: IncidentStore) -> None:
    group = Group()
    at = flap(incidents, group, 3)
    incidents.record([finding("source", at=at)], now=at)
    incidents.record([finding(at=at, parent="test:source")], now=at)
    deliver(incidents, group, at=at + 40 * MINUTE)
    incidents.recover([Recovery("test:api", at=at + HOUR)], now=at + HOUR)
    deliver(incidents, group, at=at + 2 * HOUR)
    assert [card.resolved for card in group.cards.values() if card.subject == "api"] == [True, True]


def test_many_writers_reopen_it_once(incidents: IncidentStore) -> None:
    at = flap(incidents, None, 3)
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda _: incidents.record([finding(at=at)], now=at), range(16))]
    (incident,) = incidents.list()
    assert (incident.flaps, incident.occurrences) == (4, 3 - 1 + 16)


def test_without_a_window_each_time_is_an_incident(fresh_database: str) -> None:
    store = IncidentStore.of(connection_of(fresh_database), Flapping(window=timedelta(0)))
    flap(store, None, 4)
    assert len(store.list(states=("resolved",))) == 4
