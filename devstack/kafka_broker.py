"""A Kafka broker in this process: librdkafka's mock cluster, which speaks the real protocol to real clients.

It keeps messages in memory and ends with the object. Its port is a free one that cannot be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from confluent_kafka import Consumer, Producer, TopicPartition

GROUP = "event-landing"
TOPIC = "product-events"
PARTITIONS = 4  # The mock cluster gives every topic this many.


class KafkaBroker:
    """One broker; a topic exists as soon as a client names it."""

    def __init__(self) -> None:
        self._producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def connection(self) -> dict[str, object]:
        """Return the connection to this broker in Airflow's JSON form."""
        return {"conn_type": "kafka", "extra": {"bootstrap.servers": self.address}}

    def produce(self, count: int, *, at: datetime, topic: str = TOPIC) -> None:
        """Write messages, in turn to each partition.

        Args:
            count: number of messages.
            at: their timestamp, aware.
            topic: the topic to write to.
        """
        for number in range(count):
            self._producer.produce(topic, b"{}", partition=number % PARTITIONS, timestamp=int(at.timestamp() * 1000))
        self._producer.flush(10)

    def consume(self, *, group: str = GROUP, topic: str = TOPIC, partitions: Sequence[int] = range(PARTITIONS)) -> None:
        """Let a consumer group read everything: its position is then after the last message of these partitions."""
        consumer = self._consumer(group)
        try:
            ends = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10)[1] for n in partitions}
        finally:
            consumer.close()
        self.commit(ends, group=group, topic=topic)

    def commit(self, offsets: Mapping[int, int], *, group: str = GROUP, topic: str = TOPIC) -> None:
        """Set a consumer group's position in some partitions."""
        consumer = self._consumer(group)
        try:
            places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
            consumer.commit(offsets=places, asynchronous=False)
        finally:
            consumer.close()

    def create(self, topic: str) -> None:
        """Make a topic without messages."""
        self._producer.list_topics(topic, timeout=10)

    def _consumer(self, group: str) -> Consumer:
        return Consumer({"bootstrap.servers": self.address, "group.id": group, "log_level": 0})
