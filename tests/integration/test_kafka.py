"""Kafka's own protocol: what a group has not read, and what is not as usual, each with its status."""

from __future__ import annotations

import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition, admin

from devstack.kafka_broker import KafkaBroker
from mindguard.connections import Connection
from mindguard.monitors.result import Result
from mindguard.monitors.run import run_monitors
from mindguard.monitors.sources import kafka
from mindguard.settings import Settings
from tests.processes import free_port

MINUTE = timedelta(minutes=1)


def measured(connection: Connection, **facts: Any) -> list[Result]:
    plain = {"name": "m", "kind": "freshness", "source": "kafka", **facts}
    settings = Settings.model_validate(
        {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}, "monitors": [plain]}
    )
    return run_monitors(settings, lambda conn_id: connection, now=datetime.now(UTC), memory=None)


@pytest.fixture(scope="module")
def broker() -> KafkaBroker:
    return KafkaBroker()


@pytest.fixture
def topic() -> str:
    return f"events-{uuid.uuid4().hex[:8]}"


def lag(broker: KafkaBroker, *topics: str, **more: Any) -> list[Result]:
    connection = Connection("k", "kafka", extra=broker.connection()["extra"])  # type: ignore[arg-type]
    return measured(connection, group="landing", topics=topics, **more)


def test_what_a_group_has_not_read_is_as_old_as_its_oldest_message(broker: KafkaBroker, topic: str) -> None:
    now = datetime.now(UTC)
    broker.produce(8, at=now - 60 * MINUTE, topic=topic)
    broker.consume(group="landing", topic=topic)
    (read,) = lag(broker, topic)
    assert (read.dimension, read.status, read.value, read.note) == (topic, "pass", 0, "0 behind")
    broker.produce(5, at=now - 7 * MINUTE, topic=topic)
    broker.produce(4, at=now, topic=topic)
    (late,) = lag(broker, topic)
    assert (late.status, late.reason, late.cause, late.note) == ("error", "above", "pipeline_late", "9 behind")
    assert 419 < late.value < (datetime.now(UTC) - now + 7 * MINUTE).total_seconds() + 1
    broker.consume(group="landing", topic=topic)
    last = datetime.now(UTC)
    broker.produce(1, at=last, topic=topic)
    (caught_up,) = lag(broker, topic)
    assert (caught_up.status, caught_up.note) == ("pass", "1 behind")
    assert caught_up.value < (datetime.now(UTC) - last).total_seconds() + 1


def test_each_topic_is_judged_alone_and_asking_moves_nothing(broker: KafkaBroker, topic: str) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.consume(group="landing", topic=topic)
    broker.produce(1, at=datetime.now(UTC) - 9 * MINUTE, topic=topic)
    other = topic + "-other"
    broker.produce(4, at=datetime.now(UTC), topic=other)
    broker.consume(group="landing", topic=other)
    for _ in range(2):
        results = lag(broker, topic, other)
        assert [(each.dimension, each.status) for each in results] == [(topic, "error"), (other, "pass")]


def test_a_group_without_position_in_one_partition_has_read_nothing_there(broker: KafkaBroker, topic: str) -> None:
    """As in a partition that was added."""
    broker.produce(1, at=datetime.now(UTC), topic=topic)  # partition 0
    broker.consume(group="landing", topic=topic, partitions=[0])
    broker.produce(2, at=datetime.now(UTC) - 8 * MINUTE, topic=topic)
    (result,) = lag(broker, topic)
    assert (result.status, result.note) == ("error", "2 behind, no position in 1 of 4 partitions")


def test_a_group_that_nobody_knows_is_late_once_a_message_is(broker: KafkaBroker, topic: str) -> None:
    broker.produce(1, at=datetime.now(UTC), topic=topic)
    (young,) = lag(broker, topic)
    assert (young.status, young.reason) == ("unknown", "position")
    assert young.note == "1 behind, group landing has committed nothing"
    broker.produce(2, at=datetime.now(UTC) - 6 * MINUTE, topic=topic)
    (late,) = lag(broker, topic)
    assert (late.status, late.reason) == ("error", "above")
    assert late.note == "3 behind, group landing has committed nothing"


def test_nothing_waits_in_a_topic_without_messages(broker: KafkaBroker, topic: str) -> None:
    broker.create(topic)
    (result,) = lag(broker, topic)
    assert (result.status, result.value, result.note) == ("pass", 0, "0 behind, group landing has committed nothing")


def test_a_position_after_the_end_is_unknown_and_ends_no_incident(broker: KafkaBroker, topic: str) -> None:
    """As after a topic was deleted and made again while its consumer was down."""
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.commit({0: 100, 1: 1, 2: 1, 3: 1}, group="landing", topic=topic)
    (result,) = lag(broker, topic)
    assert (result.status, result.reason) == ("unknown", "position")
    assert result.note == "0 behind, position 100 in partition 0 is after the end, 1: was the topic made again?"
    broker.produce(2, at=datetime.now(UTC) - 9 * MINUTE, topic=topic)  # unread in partition 1
    (late,) = lag(broker, topic)
    assert (late.status, late.reason) == ("error", "above"), late


def test_a_topic_that_is_gone_is_its_own_fault(broker: KafkaBroker, topic: str) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.consume(group="landing", topic=topic)
    gone, read = lag(broker, "gone-" + topic, topic)
    assert (gone.dimension, gone.status, gone.reason) == ("gone-" + topic, "unknown", "failed")
    assert gone.note == f"there is no topic gone-{topic}, or its user may not see it – correct `topics`"
    assert (read.dimension, read.status) == (topic, "pass")
    (alone,) = lag(broker, "gone-" + topic)
    assert (alone.dimension, alone.status) == ("gone-" + topic, "unknown")


# The mock broker knows no retention, compaction or isolation, and deletes no topic: below, one call is faked.


@dataclass
class FakedCalls:
    """What some calls answer instead of the broker, by topic."""

    first: dict[str, int] = field(default_factory=dict)
    stable: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, tuple[int, int]] = field(default_factory=dict)  # of the position, of the end
    refused: dict[str, int] = field(default_factory=dict)
    positions: int | None = None  # the error that comes instead of positions
    without_leader: str = ""
    timestamps: dict[str, int] = field(default_factory=dict)
    silent: str = ""  # no message of this topic arrives
    aborted: str = ""  # only a client that reads everything gets messages of this topic

    def bounds(
        self, places: dict[TopicPartition, Any], answers: dict[TopicPartition, Future[Any]], isolation: Any
    ) -> None:
        """Replace answers of `list_offsets`."""
        for place, future in answers.items():
            if code := self.refused.get(place.topic):
                answers[place] = failed(code)
                continue
            real = future.result()
            offset, epoch = real.offset, self.epochs.get(place.topic, (0, real.leader_epoch))[1]
            if places[place]._value == admin.OffsetSpec.earliest()._value:
                offset = self.first.get(place.topic, offset)
            elif isolation is IsolationLevel.READ_COMMITTED:
                offset = self.stable.get(place.topic, offset)
            answers[place] = done(SimpleNamespace(offset=offset, leader_epoch=epoch))

    def committed(self, answer: Future[Any]) -> Future[Any]:
        """Replace an answer of `list_consumer_group_offsets`."""
        if self.positions is not None:
            return failed(self.positions)
        places = [
            TopicPartition(each.topic, each.partition, each.offset, "", self.epochs[each.topic][0])
            if each.topic in self.epochs
            else each
            for each in answer.result().topic_partitions
        ]
        return done(SimpleNamespace(topic_partitions=places))

    def message(self, real: Any, *, committed: bool) -> Any:
        """Replace a message that arrived."""
        if real is None or real.topic() == self.silent:
            return None
        if real.topic() == self.aborted and committed and not real.error():
            return FakedMessage(real, KafkaError(KafkaError._PARTITION_EOF), (0, 0))
        if not real.error() and real.topic() in self.timestamps:
            return FakedMessage(real, None, (1, self.timestamps[real.topic()]))
        return real


def done(answer: Any) -> Future[Any]:
    future = Future[Any]()
    future.set_result(answer)
    return future


def failed(code: int) -> Future[Any]:
    future = Future[Any]()
    future.set_exception(KafkaException(KafkaError(code)))
    return future


class FakedMessage:
    """A message with another error or time."""

    def __init__(self, message: Any, error: KafkaError | None, timestamp: tuple[int, int]) -> None:
        self.topic, self.partition = message.topic, message.partition
        self.error, self.timestamp = lambda: error, lambda: timestamp


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> FakedCalls:
    made = FakedCalls()
    ask, ask_group = admin.AdminClient.list_offsets, admin.AdminClient.list_consumer_group_offsets

    def bounds(client: Any, places: dict[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Future[Any]]:
        answers = ask(client, places, **options)
        made.bounds(places, answers, options["isolation_level"])
        return answers

    def positions(client: Any, asked: list[Any], **options: Any) -> dict[str, Future[Any]]:
        return {group: made.committed(answer) for group, answer in ask_group(client, asked, **options).items()}

    class Reader(Consumer):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config)
            self.committed = config["isolation.level"] == "read_committed"

        def list_topics(self, *arguments: Any, **options: Any) -> Any:
            found = super().list_topics(*arguments, **options)
            if made.without_leader:
                found.topics[made.without_leader].partitions[0].leader = -1
            return found

        def poll(self, timeout: float = -1) -> Any:
            return made.message(super().poll(timeout), committed=self.committed)

    monkeypatch.setattr(admin.AdminClient, "list_offsets", bounds)
    monkeypatch.setattr(admin.AdminClient, "list_consumer_group_offsets", positions)
    monkeypatch.setattr(confluent_kafka, "Consumer", Reader)
    return made


def beside(broker: KafkaBroker, topic: str, **more: Any) -> Result:
    """Return the result of a topic after making sure that its neighbour, which is in order, keeps its value."""
    other = "neighbour-of-" + topic
    broker.produce(4, at=datetime.now(UTC), topic=other)
    broker.consume(group="landing", topic=other)
    results = {each.dimension: each for each in lag(broker, topic, other, **more)}
    assert (results[other].status, results[other].note) == ("pass", "0 behind"), results
    return results[topic]


def test_messages_that_retention_removed_unread_do_not_pass(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    """The consumer is down, and its messages disappear: the incident must not end with them."""
    broker.produce(8, at=datetime.now(UTC), topic=topic)
    broker.commit({0: 1, 1: 2, 2: 2, 3: 2}, group="landing", topic=topic)
    faked.first[topic] = 2
    result = beside(broker, topic)
    assert (result.status, result.reason, result.note) == ("unknown", "position", "0 behind, 1 removed unread")
    broker.produce(1, at=datetime.now(UTC) - 9 * MINUTE, topic=topic)
    assert beside(broker, topic).status == "error"


def test_a_compacted_topic_is_as_old_as_what_is_left_of_it(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    """Offsets have gaps there, so the first unread message has a later offset, or there is none before the end."""
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.commit(dict.fromkeys(range(4), 0), group="landing", topic=topic)
    faked.aborted = topic  # nothing but gaps and markers up to the end
    result = beside(broker, topic)
    assert (result.status, result.value, result.note) == ("pass", 0, "4 behind")
    faked.aborted = ""
    faked.timestamps[topic] = int((datetime.now(UTC) - 9 * MINUTE).timestamp() * 1000)
    assert beside(broker, topic).status == "error"


def test_a_transaction_that_hangs_is_late(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    """The group has read up to the last stable offset, and cannot read on."""
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.consume(group="landing", topic=topic)
    broker.produce(4, at=datetime.now(UTC) - 2 * MINUTE, topic=topic)
    faked.stable[topic] = 1
    short = beside(broker, topic)
    assert (short.status, short.note) == ("pass", "4 behind, 4 in open transactions")
    assert short.value >= 120
    long = beside(broker, topic, error_after_s=60)
    assert (long.status, long.reason) == ("error", "above")


def test_messages_that_were_rolled_back_are_not_late(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    broker.produce(4, at=datetime.now(UTC) - 9 * MINUTE, topic=topic)
    broker.commit(dict.fromkeys(range(4), 0), group="landing", topic=topic)
    faked.aborted = topic
    assert beside(broker, topic).status == "pass"


def test_a_group_that_reads_open_transactions_is_in_time(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    broker.produce(4, at=datetime.now(UTC) - 9 * MINUTE, topic=topic)
    broker.consume(group="landing", topic=topic)
    faked.stable[topic] = 0
    result = beside(broker, topic)
    assert (result.status, result.value, result.note) == ("pass", 0, "0 behind")


def test_a_position_of_an_earlier_topic_of_this_name_is_unknown(
    broker: KafkaBroker, topic: str, faked: FakedCalls
) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.consume(group="landing", topic=topic)
    faked.epochs[topic] = (7, 0)
    result = beside(broker, topic)
    assert (result.status, result.reason) == ("unknown", "position")
    assert result.note == "0 behind, the group's position belongs to an earlier topic of this name"
    faked.epochs[topic] = (7, 7)
    assert beside(broker, topic).status == "pass"


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_topic_that_is_refused_while_it_is_measured(
    code: int, broker: KafkaBroker, topic: str, faked: FakedCalls
) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    faked.refused[topic] = code
    result = beside(broker, topic)
    assert (result.status, result.reason, result.note) == ("unknown", "failed", KafkaError(code).str())


def test_a_partition_without_leader_hides_no_late_one(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.consume(group="landing", topic=topic)
    faked.without_leader = topic
    result = beside(broker, topic)
    assert (result.status, result.reason) == ("unknown", "failed")
    assert result.note == "0 behind, partition 0 has no leader"
    broker.produce(2, at=datetime.now(UTC) - 9 * MINUTE, topic=topic)
    assert beside(broker, topic).status == "error"


def test_a_topic_that_cannot_be_read_in_time(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    faked.silent = topic
    result = beside(broker, topic, timeout_s=0.5)
    assert (result.status, result.reason) == ("unknown", "timeout")
    assert result.note.endswith("could not be read in time")


def test_a_group_that_is_being_deleted_has_no_position(broker: KafkaBroker, topic: str, faked: FakedCalls) -> None:
    broker.produce(4, at=datetime.now(UTC) - 9 * MINUTE, topic=topic)
    broker.consume(group="landing", topic=topic)
    faked.positions = KafkaError.GROUP_ID_NOT_FOUND
    (deleted,) = lag(broker, topic)
    assert (deleted.status, deleted.note) == ("error", "4 behind, group landing has committed nothing")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "failed"),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, "failed"),
        (KafkaError._TIMED_OUT, "timeout"),
        (KafkaError._TRANSPORT, "unreachable"),
    ],
)
def test_a_group_that_cannot_be_asked_for_is_unknown(
    code: int, reason: str, broker: KafkaBroker, topic: str, faked: FakedCalls
) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    faked.positions = code
    (result,) = lag(broker, topic)
    assert (result.dimension, result.status, result.reason) == ("", "unknown", reason)


@pytest.mark.parametrize(
    ("milliseconds", "reason", "words"),
    [
        (0, "failed", "have no timestamp"),
        (-1, "failed", "have no timestamp"),
        (1_795_000_000_000_000_000, "failed", "is not in milliseconds"),
        (4_102_444_800_000, "future", "4 behind"),
    ],
)
def test_a_time_that_no_message_can_have(
    milliseconds: int, reason: str, words: str, broker: KafkaBroker, topic: str, faked: FakedCalls
) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    faked.timestamps[topic] = milliseconds
    result = beside(broker, topic)
    assert (result.status, result.reason) == ("unknown", reason)
    assert words in result.note


def test_a_message_of_the_future_hides_behind_no_other(broker: KafkaBroker, topic: str) -> None:
    broker.produce(1, at=datetime.now(UTC) + 60 * MINUTE, topic=topic)
    broker.produce(2, at=datetime.now(UTC), topic=topic)  # one of them in the next partition
    (result,) = lag(broker, topic)
    assert (result.status, result.reason) == ("unknown", "future")


def test_a_message_of_the_future_is_unknown(broker: KafkaBroker, topic: str) -> None:
    broker.produce(4, at=datetime.now(UTC), topic=topic)
    broker.consume(group="landing", topic=topic)
    broker.produce(1, at=datetime.now(UTC) + 60 * MINUTE, topic=topic)
    (result,) = lag(broker, topic)
    assert (result.status, result.reason) == ("unknown", "future")


@pytest.mark.parametrize(
    ("extra", "reason", "words"),
    [
        ({"bootstrap.servers": "127.0.0.1:{free}"}, "unreachable", "check bootstrap.servers"),
        ({}, "failed", "names no Kafka broker – add bootstrap.servers to its extras"),
        ({"bootstrap.servers": "127.0.0.1:1", "no.such.setting": "s3cret"}, "unreachable", "no.such.setting"),
    ],
)
def test_a_broker_that_cannot_be_asked(
    extra: dict[str, str], reason: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_CONNECT_TIMEOUT_S", 0.5)
    extra = {key: value.replace("{free}", str(free_port())) for key, value in extra.items()}
    connection = Connection("k", "kafka", extra=extra)
    (result,) = measured(connection, group="g", topics=["t"])
    assert (result.status, result.reason) == ("unknown", reason)
    assert words in result.note
    assert "s3cret" not in result.note
