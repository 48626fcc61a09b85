"""From the outbox to Feishu, on PostgreSQL, with a clock that the tests turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from mindguard.alerts import pipeline
from mindguard.alerts.alert import Alert, Digest, Person
from mindguard.alerts.escalation import Step, ladders
from mindguard.alerts.finding import Recovery
from mindguard.alerts.incidents.models import Notification
from mindguard.alerts.incidents.store import ActionItem, IncidentStore
from mindguard.alerts.outbox.sender import Delivered, NotDelivered, Sender
from mindguard.alerts.reminders import hand_over, remind_of_reviews
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.settings.alerts import EscalationSettings
from tests.connections import connection_of
from tests.incidents import MINUTE, NOW, finding, mapped_failure

HOUR = 60 * MINUTE
LADDERS = ladders(EscalationSettings())


class Later(MindGuardError):
    """Feishu does not answer."""


class Refused(MindGuardError):
    """Feishu refuses the message."""


@dataclass(frozen=True)
class Arrived:
    message_id: str | None
    form: str = "card"


@dataclass
class Group:
    """A chat group that asserts Feishu's limits, shows one message per idempotency key, and fails on demand."""

    updates: bool = True
    at: datetime = NOW
    took: timedelta = timedelta(seconds=0.05)
    fault: Callable[[], Exception | None] = lambda: None
    requests: list[datetime] = field(default_factory=list)
    cards: dict[str, Alert] = field(default_factory=dict)
    digests: dict[str, Digest] = field(default_factory=dict)
    shown_at: dict[str, datetime] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=max(seconds, 0.001))

    def _request(self) -> None:
        second = [each for each in self.requests if self.at - each < timedelta(seconds=1)]
        minute = [each for each in self.requests if self.at - each < MINUTE]
        assert len(second) < 5, "more than 5 requests in a second"
        assert len(minute) < 100, "more than 100 requests in a minute"
        self.requests.append(self.at)
        self.at += self.took
        if error := self.fault():
            raise error

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Arrived:
        self._request()
        self.cards.setdefault(uuid, alert)
        self.shown_at.setdefault(uuid, self.at)
        return Arrived(uuid if self.updates else None)

    def update(self, message_id: str, alert: Alert, *, now: datetime) -> Arrived:
        self._request()
        assert message_id in self.cards
        self.cards[message_id] = alert
        return Arrived(message_id)

    def digest(self, digest: Digest, *, uuid: str, now: datetime) -> Arrived:
        self._request()
        self.digests.setdefault(uuid, digest)
        self.shown_at.setdefault(uuid, self.at)
        return Arrived(uuid if self.updates else None)

    def urge(self, message_id: str, people: Sequence[Person], means: str, *, now: datetime) -> str:
        self._request()
        self.calls.append((means, ", ".join(person.name for person in people)))
        return f"called by {means}"


@pytest.fixture
def incidents(fresh_database: str) -> IncidentStore:
    return IncidentStore.of(connection_of(fresh_database))


def sender(store: IncidentStore, group: Group) -> Sender:
    return Sender(
        store=store,
        transport=group,
        retry_on=(Later,),
        enrich=lambda alert, incident: alert,
        locale="en",
        clock=group.clock,
        sleep=group.sleep,
        jitter=lambda: 1.0,
    )


def deliver(store: IncidentStore, group: Group, *, at: datetime | None = None, budget_s: float = 50.0) -> Delivered:
    group.at = max(group.at, at) if at else group.at
    return sender(store, group).deliver_due(budget_s=budget_s)


def on_duty(at: datetime, position: int) -> tuple[Person, ...]:
    return (Person(("ann", "bob", "cat", "dan")[position], feishu_id="ou_x"),)


def titles(group: Group) -> list[str]:
    return [f"{alert.subject} {'over' if alert.resolved else 'on'}" for alert in group.cards.values()]


def test_an_app_shows_one_card_that_changes(incidents: IncidentStore) -> None:
    group = Group()
    (incident,) = incidents.record([finding()], now=NOW)
    deliver(incidents, group)
    for minute in range(1, 50):
        incidents.record([finding(at=NOW + minute * MINUTE)], now=NOW + minute * MINUTE)
    deliver(incidents, group, at=NOW + 50 * MINUTE)
    assert len(group.requests) == 2  # 49 repeats are one change
    (card,) = group.cards.values()
    assert (card.incident_id, card.occurrences) == (incident.name, 50)
    incidents.acknowledge(incident.id, by="ann", now=NOW)
    deliver(incidents, group)
    incidents.recover([Recovery("test:api", at=NOW + HOUR)], now=NOW + HOUR)
    deliver(incidents, group, at=NOW + HOUR + MINUTE)
    (card,) = group.cards.values()
    assert card.resolved
    assert card.acknowledged_by == "ann"
    assert deliver(incidents, group).sent == 0


def test_a_webhook_shows_the_beginning_and_the_end_and_no_repeats(incidents: IncidentStore) -> None:
    group = Group(updates=False)
    incidents.record([finding()], now=NOW)
    deliver(incidents, group)
    incidents.record([finding(at=NOW + MINUTE)], now=NOW + MINUTE)
    deliver(incidents, group, at=NOW + MINUTE)
    incidents.recover([Recovery("test:api", at=NOW + 2 * MINUTE)], now=NOW + 2 * MINUTE)
    deliver(incidents, group, at=NOW + 2 * MINUTE)
    assert titles(group) == ["api on", "api over"]


@pytest.mark.parametrize("updates", [True, False])
def test_instances_that_fail_after_the_card_was_sent_are_on_a_card(incidents: IncidentStore, updates: bool) -> None:
    """A webhook cannot change its card, so it shows one more when the run has ended."""
    group = Group(updates=updates)
    for index in range(5):
        incidents.record([mapped_failure(index, error=f"ValueError: {index // 3}")], now=NOW + index * MINUTE)
        deliver(incidents, group, at=NOW + index * MINUTE)
    for minute in (5, 6):
        incidents.record([mapped_failure(*range(5), whole=True)], now=NOW + minute * MINUTE)
        deliver(incidents, group, at=NOW + minute * MINUTE)
    cards = list(group.cards.values())
    assert len(cards) == (1 if updates else 2)
    values = [fact.value for fact in cards[-1].facts]
    assert values == ["ValueError: 0", "5: 0-4", "ValueError: 1", "r0"]


@pytest.mark.parametrize("known", [(0, 1), (0,)])
def test_a_webhook_is_not_told_twice_what_its_card_shows(incidents: IncidentStore, known: tuple[int, ...]) -> None:
    group = Group(updates=False)
    incidents.record([mapped_failure(index, error="ValueError: x") for index in known], now=NOW)
    deliver(incidents, group)
    incidents.record([mapped_failure(0, 1, whole=True)], now=NOW + MINUTE)
    deliver(incidents, group, at=NOW + MINUTE)
    assert len(group.cards) == (1 if known == (0, 1) else 2)


def test_an_instance_that_fails_while_the_card_is_on_its_way_is_on_another_card(incidents: IncidentStore) -> None:
    """Its callback read the clock before the card was made, as it does where a worker is slow."""
    group = Group(updates=False)
    incidents.record([mapped_failure(0, error="ValueError: x")], now=NOW)

    def another_fails() -> None:
        group.fault = lambda: None
        incidents.record([mapped_failure(1, error="ValueError: x")], now=NOW)

    group.fault = another_fails
    deliver(incidents, group, at=NOW + MINUTE)
    incidents.record([mapped_failure(0, 1, whole=True)], now=NOW + MINUTE)
    deliver(incidents, group, at=NOW + 2 * MINUTE)
    assert ["2: 0-1" in str(card.facts) for card in group.cards.values()] == [False, True]


def test_what_ended_before_it_was_sent_is_one_green_card(incidents: IncidentStore) -> None:
    group = Group(updates=False)
    incidents.record([finding()], now=NOW)
    incidents.recover([Recovery("test:api", at=NOW + MINUTE)], now=NOW + MINUTE)
    deliver(incidents, group, at=NOW + MINUTE)
    assert titles(group) == ["api over"]
    assert incidents.depth(now=group.at).pending == 0


def test_a_recovery_while_the_card_is_on_its_way_is_told_afterwards(incidents: IncidentStore) -> None:
    group = Group()

    def recovers() -> None:
        group.fault = lambda: None
        incidents.recover([Recovery("test:api", at=group.at)], now=group.at)

    group.fault = recovers
    incidents.record([finding()], now=NOW)
    deliver(incidents, group)
    assert titles(group) == ["api over"]


def test_what_feishu_does_not_take_now_arrives_later_and_once(incidents: IncidentStore) -> None:
    """Ten minutes without Feishu; each try may have arrived, since the answer was lost."""
    group = Group()
    incidents.record([finding(f"s{n}") for n in range(5)], now=NOW)
    for minute in range(10):
        group.fault = lambda: Later("no answer")
        assert 1 <= deliver(incidents, group, at=NOW + minute * MINUTE).later <= 3  # then Feishu counts as away
    assert incidents.depth(now=group.at).oldest_s > 500
    group.fault = lambda: None
    for minute in (11, 12):
        deliver(incidents, group, at=NOW + minute * MINUTE)
    assert sorted(titles(group)) == [f"s{n} on" for n in range(5)]
    assert incidents.depth(now=group.at).pending == 0


class Picky(Group):
    """A group that never takes some messages: those about one subject, or calls by one means."""

    def __init__(self, refused: str) -> None:
        super().__init__()
        self.refused = refused

    def send(self, alert: Alert, *, uuid: str, now: datetime) -> Arrived:
        self._refuse(alert.subject)
        return super().send(alert, uuid=uuid, now=now)

    def urge(self, message_id: str, people: Sequence[Person], means: str, *, now: datetime) -> str:
        self._refuse(means)
        return super().urge(message_id, people, means, now=now)

    def _refuse(self, what: str) -> None:
        if what == self.refused:
            self._request()
            self.at += timedelta(seconds=12)  # as long as the wire tries
            raise Later("503")


def test_a_card_that_feishu_never_takes_holds_up_no_other(incidents: IncidentStore) -> None:
    group = Picky("sick")
    incidents.record([finding("sick", severity=Severity.P0)], now=NOW)
    for minute in range(4):
        names = [f"p1 of minute {minute}", f"p2 of minute {minute}"]
        found = [finding(name, severity=Severity(name[:2].upper())) for name in names]
        incidents.record(found, now=NOW + minute * MINUTE)
        delivered = deliver(incidents, group, at=NOW + minute * MINUTE)
        assert (delivered.sent, delivered.later) == (2, 1)
        assert titles(group)[-2:] == [f"{name} on" for name in names]


def test_means_of_a_call_do_not_wait_for_each_other(incidents: IncidentStore) -> None:
    group = Picky("app")
    incidents.record([finding(severity=Severity.P0)], now=NOW)
    incidents.record([finding(f"other {n}") for n in range(7)], now=NOW)
    steps = {Severity.P0: (Step(timedelta(0), 0, ("app", "sms", "phone")),)}
    pipeline.escalate(incidents, steps, on_duty, now=NOW)
    deliver(incidents, group, at=NOW)
    deliver(incidents, group, at=NOW + MINUTE)
    assert sorted(group.calls) == [("phone", "ann"), ("sms", "ann")]
    assert len(group.cards) == 8


def test_when_feishu_comes_back_p0_is_first(incidents: IncidentStore) -> None:
    group = Group(took=timedelta(seconds=12), fault=lambda: Later("no answer"))
    incidents.record([finding("worst", severity=Severity.P0)], now=NOW)
    for minute in range(8):
        incidents.record([finding(f"p2 {minute}", severity=Severity.P2)], now=NOW + minute * MINUTE)
        deliver(incidents, group, at=NOW + minute * MINUTE)
    group.fault = lambda: None
    incidents.record([finding("late", severity=Severity.P2)], now=NOW + 8 * MINUTE)
    group.shown_at.clear()
    group.cards.clear()
    deliver(incidents, group, at=NOW + 8 * MINUTE)
    assert titles(group)[0] == "worst on"


def test_a_message_whose_answer_was_lost_is_shown_once(incidents: IncidentStore) -> None:
    group = Group()
    lost = iter([True])

    class Deaf(Group):
        def send(self, alert: Alert, *, uuid: str, now: datetime) -> Arrived:
            arrived = Group.send(group, alert, uuid=uuid, now=now)
            if next(lost, False):
                raise Later("the answer was lost")
            return arrived

    incidents.record([finding()], now=NOW)
    first = replace(sender(incidents, group), transport=Deaf())
    assert first.deliver_due(budget_s=10).later == 1
    group.at += 2 * MINUTE
    assert first.deliver_due(budget_s=10).sent == 1
    assert titles(group) == ["api on"]


def test_what_feishu_refuses_is_said_kept_and_sent_again_on_demand(incidents: IncidentStore) -> None:
    group = Group(fault=lambda: Refused("wrong token"))
    (incident,) = incidents.record([finding()], now=NOW)
    delivered = deliver(incidents, group)
    with pytest.raises(NotDelivered, match="wrong token"):
        delivered.check()
    assert incidents.undeliverable() == {incident.id: "wrong token"}
    assert incidents.depth(now=group.at).dead == 1
    assert deliver(incidents, group, at=NOW + HOUR).sent == 0
    group.fault = lambda: None
    assert incidents.retry_dead(now=group.at) == 1
    assert deliver(incidents, group).sent == 1
    assert titles(group) == ["api on"]


def test_one_message_that_cannot_be_made_does_not_stop_the_others(incidents: IncidentStore) -> None:
    faults = iter([ValueError("password=not-a-real-password-1234")])
    group = Group(fault=lambda: next(faults, None))
    incidents.record([finding("a"), finding("b")], now=NOW)
    delivered = deliver(incidents, group)
    assert (delivered.sent, len(delivered.dead)) == (1, 1)
    assert "not-a-real" not in delivered.dead[0]


def test_a_storm_of_a_thousand_findings_in_a_minute(incidents: IncidentStore) -> None:
    """Three bursts contain P0s. No limit is exceeded (the group asserts it), nothing is lost, P0s are there in 5 s."""
    group = Group()
    reported: dict[str, datetime] = {}
    for second in range(60):
        at = NOW + timedelta(seconds=second)
        group.at = max(group.at, at)
        burst = [
            finding(
                f"s{second}.{n}",
                at=at,
                severity=Severity.P0 if second in (5, 20, 40) and n < 4 else Severity.P1 if n % 2 else Severity.P2,
            )
            for n in range(17)
        ]
        for incident in incidents.record(burst, now=at):
            reported[incident.name] = at
        deliver(incidents, group, budget_s=max((at + timedelta(seconds=1) - group.at).total_seconds(), 0.01))
    for _ in range(3):
        group.at += MINUTE
        deliver(incidents, group)
    assert len(reported) == 1020
    assert named(group) == set(reported)
    urgent = {each.name for each in incidents.list(limit=2000) if each.severity == "P0"}
    assert len(urgent) == 12
    waits = [
        (group.shown_at[uuid] - reported[name]).total_seconds()
        for uuid, names in names_by_message(group).items()
        for name in names & urgent
    ]
    assert len(waits) == len(urgent)
    assert max(waits) <= 5
    assert len(group.cards) + len(group.digests) <= 15
    assert incidents.depth(now=group.at).pending == 0


def names_by_message(group: Group) -> dict[str, set[str]]:
    shown = {uuid: {alert.incident_id} for uuid, alert in group.cards.items()}
    for uuid, digest in group.digests.items():
        shown[uuid] = {name for line in digest.groups for name in spelled_out(line.incident_id)}
    return shown


def named(group: Group) -> set[str]:
    """Return the names of all incidents that some message names."""
    return set().union(*names_by_message(group).values())


def spelled_out(ranges: str) -> set[str]:
    """Return each name of a list with ranges: `I-3–I-5` stands for three."""
    names: set[str] = set()
    for part in ranges.split(", "):
        first, _, last = part.partition("–")
        numbers = range(int(first[2:]), int((last or first)[2:]) + 1)
        names |= {f"I-{number}" for number in numbers}
    return names


def escalate(store: IncidentStore, group: Group, at: datetime) -> list[int]:
    group.at = max(group.at, at)
    called = pipeline.escalate(store, LADDERS, on_duty, now=at)
    deliver(store, group)
    return called


def test_p0_calls_who_is_on_duty_at_once_and_the_next_after_15_minutes(incidents: IncidentStore) -> None:
    group = Group()
    (incident,) = incidents.record([finding(severity=Severity.P0)], now=NOW)
    escalate(incidents, group, NOW)
    assert group.calls == [(means, "ann") for means in ("app", "sms", "phone")]
    assert escalate(incidents, group, NOW + timedelta(minutes=14, seconds=59)) == []
    assert escalate(incidents, group, NOW + 15 * MINUTE) == [incident.id]
    assert group.calls[3:] == [(means, "bob") for means in ("app", "sms", "phone")]
    assert incidents.get(incident.id).escalated_to == "bob"
    (card,) = group.cards.values()
    assert card.escalated_to == "bob"
    assert card.duty[0].name == "bob"


def test_p1_calls_the_next_on_the_rota_after_30_minutes_and_p2_nobody(incidents: IncidentStore) -> None:
    group = Group(updates=False)
    incidents.record([finding("p1"), finding("p2", severity=Severity.P2)], now=NOW)
    deliver(incidents, group)
    assert escalate(incidents, group, NOW + timedelta(minutes=29, seconds=59)) == []
    called = escalate(incidents, group, NOW + 30 * MINUTE + timedelta(seconds=30))
    assert len(called) == 1
    last = [*group.cards.values()][-1]
    assert (last.subject, last.mention, last.duty[0].name) == ("p1", True, "bob")
    assert escalate(incidents, group, NOW + 10 * HOUR) == []
    assert incidents.depth(now=group.at).pending == 0


def test_acknowledgement_stops_the_ladder_also_for_a_call_that_waits(incidents: IncidentStore) -> None:
    group = Group()
    (incident,) = incidents.record([finding(severity=Severity.P0)], now=NOW)
    deliver(incidents, group)
    pipeline.escalate(incidents, LADDERS, on_duty, now=NOW + 15 * MINUTE)
    incidents.acknowledge(incident.id, by="ann", now=NOW + 15 * MINUTE)
    deliver(incidents, group, at=NOW + 15 * MINUTE)
    assert group.calls == []
    assert escalate(incidents, group, NOW + HOUR) == []


def test_reviews_are_due_after_48_hours_and_recalled_daily_until_closed(incidents: IncidentStore) -> None:
    group = Group()
    p0, p2 = (
        incidents.record([finding(severity.value, severity=severity)], now=NOW)[0]
        for severity in (Severity.P0, Severity.P2)
    )
    for incident in (p0, p2):
        incidents.resolve(incident.id, by="ann", now=NOW)
    deliver(incidents, group)

    def remind(hours: float) -> list[int]:
        at = NOW + hours * HOUR
        found = remind_of_reviews(incidents, within=48 * HOUR, locale="en", now=at)
        deliver(incidents, group, at=at)
        return found

    assert remind(47.99) == []
    assert remind(48) == [p0.id]
    assert remind(60) == []
    assert remind(72) == [p0.id]
    assert [digest.kind for digest in group.digests.values()] == ["review", "review"]
    incidents.review(p0.id, by="ann", now=NOW + 73 * HOUR, actions=[ActionItem("sleep", "ann")])
    assert remind(200) == []


def test_a_shift_is_handed_over_once_and_not_when_all_is_well(incidents: IncidentStore) -> None:
    group = Group()

    def hand_over_now(shift: datetime) -> bool:
        return hand_over(incidents, shift, on_duty(NOW, 0), locale="zh", now=NOW)

    assert not hand_over_now(NOW - HOUR)
    (incident,) = incidents.record([finding()], now=NOW)
    assert not hand_over_now(NOW - HOUR)  # it has begun in this shift
    assert hand_over_now(NOW)
    assert not hand_over_now(NOW)
    deliver(incidents, group)
    (digest,) = group.digests.values()
    assert digest.groups[0].incident_id == incident.name
    assert digest.duty[0].name == "ann"
    assert not digest.mention


def test_a_sender_that_finds_another_one_at_work_leaves_it_to_that_one(incidents: IncidentStore) -> None:
    group = Group()
    incidents.record([finding()], now=NOW)
    with sender(incidents, group)._alone(NOW + HOUR) as alone:
        assert alone
        assert deliver(incidents, group, budget_s=3).busy
    assert deliver(incidents, group).sent == 1


def test_a_claim_whose_sender_died_is_sent_by_the_next_one_with_the_same_key(incidents: IncidentStore) -> None:
    group = Group()
    incidents.record([finding()], now=NOW)
    dies = replace(sender(incidents, group))

    class Killed(BaseException):
        pass

    def die() -> Exception | None:
        raise Killed

    group.fault = die
    with pytest.raises(Killed):
        dies.deliver_due(budget_s=10)
    group.fault = lambda: None
    assert deliver(incidents, group).sent == 0  # the lease has not run out: it may be alive
    assert deliver(incidents, group, at=group.at + 2 * MINUTE).sent == 1
    with incidents.database.session() as session:
        assert [each.state for each in session.query(Notification)] == ["sent"]


def test_quiet_after_the_half_hour_but_not_for_p0(incidents: IncidentStore) -> None:
    half_past = datetime(2026, 11, 24, 3, 30, 1, tzinfo=UTC)
    group = Group(at=half_past)
    incidents.record([finding("p0", severity=Severity.P0, at=half_past), finding("p1", at=half_past)], now=half_past)
    deliver(incidents, group)
    shown = {alert.subject: group.shown_at[uuid] for uuid, alert in group.cards.items()}
    assert (shown["p0"] - half_past).total_seconds() < 1
    assert shown["p1"].second >= 10
