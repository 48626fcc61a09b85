"""Kafka: how long a consumer group's oldest unread message has waited, and how many messages wait.

The group's coordinator is asked for the group's position, so nothing joins the group or moves its position. The time
is the timestamp of the oldest unread message, read from the topic, because offsets alone contain no time.

What is wrong with one topic or partition is that topic's fault. What is known of its other partitions is then the
least that the value can be: it can raise an alarm, but never end one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mindguard.connections import Connection, kafka_config
from mindguard.masking import mask_secrets
from mindguard.monitors.judge import Reading, Reason
from mindguard.monitors.sources.base import MeasurementFailed, SourceTimeout, SourceUnreachable
from mindguard.settings.monitors import FreshnessMonitor, Monitor

if TYPE_CHECKING:
    from confluent_kafka import Consumer, IsolationLevel, KafkaError

_CONNECT_TIMEOUT_S = 5.0
_QUIET = {"log_level": 0}  # else every failed attempt goes to stderr; errors are raised as exceptions anyway
_READER = {
    "group.id": "mindguard",  # required, but the group is never joined and nothing is committed
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
    "auto.offset.reset": "earliest",  # retention may remove a message just before it is read
    # One message of each partition is needed; a message larger than this is still fetched whole.
    "fetch.message.max.bytes": 16_384,
    "queued.min.messages": 1,
    # A connection that consumers use too may wait for many messages at a time.
    "fetch.min.bytes": 1,
    "fetch.queue.backoff.ms": 10,
}
_Place = tuple[str, int]
"""A topic's name and a partition's number."""


@dataclass
class _Partition:
    """The offsets of a partition that has been asked for; below 0 if not known.

    Attributes:
        position: the offset that the group will read next; below 0 if it has no position.
        epoch: the count of the partition's leaders when the group read its last message.
        first: the first offset that the partition holds.
        stable: the offset before which every transaction has ended.
        end: the offset after the last one.
    """

    position: int = -1
    epoch: int = -1
    first: int = -1
    stable: int = -1
    end: int = -1

    @property
    def known(self) -> bool:
        """Whether the broker has said what the partition holds."""
        return min(self.first, self.stable, self.end) >= 0

    @property
    def start(self) -> int:
        """The first offset that the group has not read and still can read."""
        return max(self.first, self.position)


@dataclass
class _Topic:
    """What is known about a topic, and the first fault of those that keep it from being known as a whole."""

    name: str
    partitions: dict[int, _Partition] = field(default_factory=dict)
    fault: Reason = ""
    why: str = ""
    error: KafkaError | None = None
    waiting_since: list[datetime] = field(default_factory=list)

    def fail(self, reason: Reason, why: str) -> None:
        """Keep the first fault."""
        if not self.fault:
            self.fault, self.why = reason, why

    def refused(self, error: KafkaError) -> None:
        """Keep an error of the broker or the client as the fault."""
        self.error = self.error or error
        self.fail("timeout" if _is_timeout(error) else "failed", mask_secrets(error.str()))

    def reading(self, group: str) -> Reading:
        """Return the reading of this topic."""
        known = [each for each in self.partitions.values() if each.known]
        behind = sum(max(0, each.end - each.start) for each in known)
        unsettled = sum(max(0, each.end - max(each.start, each.stable)) for each in known)
        removed = sum(max(0, each.first - each.position) for each in known if each.position >= 0)
        beyond = [n for n, each in self.partitions.items() if each.known and each.position > each.end]
        if beyond:
            one = self.partitions[beyond[0]]
            self.fail(
                "position",
                f"position {one.position:,} in partition {beyond[0]} is after the end, {one.end:,}: "
                "was the topic made again?",
            )
        if removed:
            self.fail("position", "")
        parts = [f"{behind:,} behind"] if known else []
        parts += [f"{removed:,} removed unread"] if removed else []
        parts += [f"{unsettled:,} in open transactions"] if unsettled else []
        if known and all(each.position < 0 for each in known):
            parts.append(f"group {group} has committed nothing")
            if behind:  # the group may not even exist
                self.fail("position", "")
        elif without := sum(each.position < 0 and each.start < each.end for each in known):
            parts.append(f"no position in {without} of {len(known)} partitions")
        return Reading(
            dimension=self.name,
            value=None if self.waiting_since or not known else 0.0,
            newest=min(self.waiting_since, default=None),
            note=", ".join([*parts, *([self.why] if self.why else [])]),
            fault=self.fault,
        )


class Kafka:
    """A source with one client that asks for positions, and one that reads single messages."""

    def __init__(self, connection: Connection) -> None:
        from confluent_kafka import Consumer, KafkaException
        from confluent_kafka.admin import AdminClient

        errors: list[str] = []
        self._config = {**kafka_config(connection), **_QUIET, "error_cb": lambda error: errors.append(error.str())}
        try:
            self._admin = AdminClient(self._config)
            self._readers = {True: Consumer({**self._config, **_READER, "isolation.level": "read_committed"})}
            self._topics = self._readers[True].list_topics(timeout=_CONNECT_TIMEOUT_S).topics
        except KafkaException as error:
            line = mask_secrets((errors or [error.args[0].str()])[-1])
            hint = "check bootstrap.servers and the security settings in the connection's extras"
            raise SourceUnreachable(line, hint=hint) from None

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Reading]:
        """See MonitorSource. One reading for each topic; all topics are asked for at the same time."""
        from confluent_kafka import KafkaException

        ends = time.monotonic() + monitor.timeout_s
        topics = [self._looked_up(name) for name in dict.fromkeys(monitor.topics)]
        try:
            self._ask_for_positions(str(monitor.group), topics, ends)
            self._ask_for_bounds(topics, ends)
            # If there is an answer about none of them, this is no topic's own fault.
            errors = [topic.error for topic in topics if topic.partitions]
            if errors and all(errors) and not any(each.known for _, each in _all(topics)):
                raise KafkaException(errors[0])
        except KafkaException as error:
            raise _failure(error.args[0], monitor) from None
        self._read(topics, ends)
        now = datetime.now(UTC)
        for topic in topics:
            if any((at - now).total_seconds() > _tolerated_s(monitor) for at in topic.waiting_since):
                topic.fail("future", "")
        return [topic.reading(str(monitor.group)) for topic in topics]

    def close(self) -> None:
        """See MonitorSource."""
        for reader in self._readers.values():
            reader.close()
        del self._admin  # whose threads end with it, since it has nothing to close

    def _looked_up(self, name: str) -> _Topic:
        topic, known = _Topic(name), self._topics.get(name)
        if known is None:
            topic.fail("failed", f"there is no topic {name}, or its user may not see it – correct `topics`")
        elif known.error:
            topic.refused(known.error)
        else:
            for number, partition in known.partitions.items():
                if partition.leader < 0:
                    # A request about it would only end when time runs out.
                    topic.fail("failed", f"partition {number} has no leader")
                else:
                    topic.partitions[number] = _Partition()
        return topic

    def _ask_for_positions(self, group: str, topics: Sequence[_Topic], ends: float) -> None:
        from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

        asked = [TopicPartition(topic, number) for (topic, number), _ in _all(topics)]
        if not asked:
            return
        request = ConsumerGroupTopicPartitions(group, asked)
        try:
            future = self._admin.list_consumer_group_offsets([request], request_timeout=_remaining_s(ends))[group]
            answered = future.result().topic_partitions
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            answered = []  # A group that has been deleted has no positions.
        by_name = {topic.name: topic for topic in topics}
        for each in answered:
            topic = by_name[each.topic]
            if each.error:
                topic.refused(each.error)
                del topic.partitions[each.partition]
            else:
                place = topic.partitions[each.partition]
                place.position, place.epoch = each.offset, -1 if each.leader_epoch is None else each.leader_epoch

    def _ask_for_bounds(self, topics: Sequence[_Topic], ends: float) -> None:
        """Ask what each partition holds.

        The end is asked for before the end of settled messages: otherwise each message that is written between the two
        would seem to belong to an open transaction.
        """
        from confluent_kafka import IsolationLevel
        from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

        earliest, latest = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        half = _halfway(ends)
        first = self._ask(topics, earliest, IsolationLevel.READ_UNCOMMITTED, half)
        end = self._ask(topics, latest, IsolationLevel.READ_UNCOMMITTED, half)
        for (topic, number), answer in _answers(topics, first):
            topic.partitions[number].first = answer.offset
        for (topic, number), answer in _answers(topics, end):
            place = topic.partitions[number]
            place.end = answer.offset
            if place.epoch > (place.epoch if answer.leader_epoch is None else answer.leader_epoch) >= 0:
                topic.fail("position", "the group's position belongs to an earlier topic of this name")
        stable = self._ask(topics, latest, IsolationLevel.READ_COMMITTED, _halfway(ends))
        for (topic, number), answer in _answers(topics, stable):
            place = topic.partitions[number]
            place.stable = min(answer.offset, place.end)

    def _ask(
        self, topics: Sequence[_Topic], spec: Any, isolation: IsolationLevel, ends: float
    ) -> dict[_Place, Future[Any]]:
        """Ask for offsets, each topic by itself, since a fault in one can fail its whole request."""
        from confluent_kafka import TopicPartition

        asked: dict[_Place, Future[Any]] = {}
        for topic in topics:
            wanted = {TopicPartition(topic.name, number): spec for number in topic.partitions}
            if wanted:
                answers = self._admin.list_offsets(
                    wanted, isolation_level=isolation, request_timeout=_remaining_s(ends)
                )
                asked |= {(each.topic, each.partition): answer for each, answer in answers.items()}
        return asked

    def _read(self, topics: Sequence[_Topic], ends: float) -> None:
        """Read when the first unread message of each partition was written.

        A group waits for the end of a transaction as it waits for anything else, so the messages of open ones are read
        too. Those before are read without the messages of transactions that were rolled back: no group gets them.
        """
        settled: dict[_Place, int] = {}
        unsettled: dict[_Place, int] = {}
        for place, each in _all(topics):
            if each.known and each.start < each.stable:
                settled[place] = each.start
            if each.known and max(each.start, each.stable) < each.end:
                unsettled[place] = max(each.start, each.stable)
        by_name = {topic.name: topic for topic in topics}
        if settled:
            self._read_first(self._reader(committed=True), settled, by_name, _halfway(ends) if unsettled else ends)
        if unsettled:
            self._read_first(self._reader(committed=False), unsettled, by_name, ends)

    def _reader(self, *, committed: bool) -> Consumer:
        from confluent_kafka import Consumer

        if committed not in self._readers:
            self._readers[committed] = Consumer({**self._config, **_READER, "isolation.level": "read_uncommitted"})
        return self._readers[committed]

    def _read_first(
        self, reader: Consumer, offsets: Mapping[_Place, int], topics: Mapping[str, _Topic], ends: float
    ) -> None:
        """Read the first message at or after each of these offsets.

        A partition that holds only markers from there on has none, and one that was compacted has a later one.
        """
        from confluent_kafka import KafkaError, TopicPartition

        awaited = set(offsets)
        reader.assign([TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()])
        while awaited and time.monotonic() < ends:
            message = reader.poll(_remaining_s(ends))
            topic = topics.get(message.topic() or "") if message else None
            if message is None or topic is None:
                continue
            place, fault = (topic.name, message.partition()), message.error()
            if place in awaited:
                awaited.discard(place)
            elif fault and fault.code() != KafkaError._PARTITION_EOF:
                awaited = {each for each in awaited if each[0] != topic.name}  # the error is about the whole topic
            else:
                continue
            if not fault:
                _keep_time(topic, *message.timestamp())
            elif fault.code() != KafkaError._PARTITION_EOF:
                topic.refused(fault)
        for name, number in awaited:
            topics[name].fail("timeout", f"partition {number} could not be read in time")
        reader.unassign()


def _keep_time(topic: _Topic, kind: int, milliseconds: int) -> None:
    from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

    if kind == TIMESTAMP_NOT_AVAILABLE or milliseconds <= 0:
        topic.fail("failed", "its messages have no timestamp – set the topic's message.timestamp.type")
        return
    try:
        topic.waiting_since.append(datetime.fromtimestamp(milliseconds / 1000, tz=UTC))
    except (ValueError, OverflowError, OSError):
        topic.fail("failed", f"the timestamp {milliseconds} of a message is not in milliseconds")


def _all(topics: Sequence[_Topic]) -> Iterator[tuple[_Place, _Partition]]:
    for topic in topics:
        for number, each in topic.partitions.items():
            yield (topic.name, number), each


def _answers(topics: Sequence[_Topic], asked: Mapping[_Place, Future[Any]]) -> Iterator[tuple[tuple[_Topic, int], Any]]:
    """Yield the answers that came. An error is its topic's fault."""
    from confluent_kafka import KafkaException

    by_name = {topic.name: topic for topic in topics}
    for (name, number), future in asked.items():
        try:
            answer = future.result()
        except KafkaException as error:
            by_name[name].refused(error.args[0])
        else:
            yield (by_name[name], number), answer


def _is_timeout(error: KafkaError) -> bool:
    from confluent_kafka import KafkaError

    return error.code() in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT)


def _failure(error: KafkaError, monitor: Monitor) -> SourceTimeout | SourceUnreachable | MeasurementFailed:
    from confluent_kafka import KafkaError

    if _is_timeout(error):
        return SourceTimeout(f"no answer within {monitor.timeout_s:g} s")
    unreachable = error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
    return (SourceUnreachable if unreachable else MeasurementFailed)(mask_secrets(error.str()))


def _tolerated_s(monitor: Monitor) -> float:
    return monitor.max_future_s if isinstance(monitor, FreshnessMonitor) else 0.0


def _remaining_s(ends: float) -> float:
    """Return the seconds until `ends`, but at least a little, since the clients do not accept zero."""
    return max(0.01, ends - time.monotonic())


def _halfway(ends: float) -> float:
    """Return the middle of the time that is left, so that one topic that hangs leaves time for the others."""
    now = time.monotonic()
    return now + max(0.0, ends - now) / 2
