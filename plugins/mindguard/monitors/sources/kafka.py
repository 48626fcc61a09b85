"""Kafka: how long a consumer group's oldest unread message has waited, and how many messages wait.

The group's coordinator is asked for the group's position, so nothing joins the group or moves its position. The time
is the timestamp of the oldest unread message, read from the topic, because offsets alone contain no time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mindguard.connections import Connection, kafka_config
from mindguard.masking import mask_secrets
from mindguard.monitors.judge import Reading
from mindguard.monitors.sources.base import MeasurementFailed, SourceTimeout, SourceUnreachable
from mindguard.settings.monitors import Monitor

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
}


class Kafka:
    """A source with one client that asks for positions, and one that reads single messages."""

    def __init__(self, connection: Connection) -> None:
        from confluent_kafka import Consumer, KafkaException
        from confluent_kafka.admin import AdminClient

        errors: list[str] = []
        config = {**kafka_config(connection), **_QUIET, "error_cb": lambda error: errors.append(error.str())}
        try:
            self._admin = AdminClient(config)
            self._reader = Consumer({**config, **_READER})
            self._topics = self._reader.list_topics(timeout=_CONNECT_TIMEOUT_S).topics
        except KafkaException as error:
            line = mask_secrets((errors or [error.args[0].str()])[-1])
            hint = "check bootstrap.servers and the security settings in the connection's extras"
            raise SourceUnreachable(f"{connection.conn_id}: {line}", hint=hint) from None

    def measure(self, monitor: Monitor, params: Mapping[str, Any]) -> Sequence[Reading]:
        """See MonitorSource. One reading for each topic; it is empty if the group has never committed anything."""
        from confluent_kafka import KafkaError, KafkaException

        ends = time.monotonic() + monitor.timeout_s
        try:
            return [self._reading(str(monitor.group), topic, ends) for topic in monitor.topics]
        except KafkaException as error:
            fault = error.args[0]
            if fault.code() in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
                raise SourceTimeout(f"no answer within {monitor.timeout_s:g} s") from None
            unreachable = fault.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
            raise (SourceUnreachable if unreachable else MeasurementFailed)(mask_secrets(fault.str())) from None

    def close(self) -> None:
        """See MonitorSource."""
        self._reader.close()

    def _reading(self, group: str, topic: str, ends: float) -> Reading:
        known = self._topics.get(topic)
        if known is None or known.error:
            raise MeasurementFailed(f"there is no topic {topic}", hint="correct `topics`")
        committed = self._committed(group, topic, list(known.partitions), ends)
        if all(offset < 0 for offset in committed.values()):
            return Reading(dimension=topic, note=f"group {group} has committed nothing")
        unread: dict[int, int] = {}  # first unread offset of each partition that has one
        behind = removed = 0
        for number, offset in committed.items():
            first, end = self._stored(topic, number, ends)
            # Without a position the group has read nothing there. What retention removed, it will never read.
            removed += max(0, first - offset) if offset >= 0 else 0
            start = max(first, offset)
            if start < end:
                unread[number] = start
                behind += end - start
        waiting_since = self._times(topic, unread, ends)
        note = f"{behind:,} behind" + (f", {removed:,} removed unread" if removed else "")
        if not waiting_since:
            return Reading(dimension=topic, value=0.0, note=note)
        return Reading(dimension=topic, newest=min(waiting_since), note=note)

    def _committed(self, group: str, topic: str, numbers: Sequence[int], ends: float) -> dict[int, int]:
        """Return the offset that the group will read next in each partition; below 0 if it has no position there."""
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

        partitions = [TopicPartition(topic, number) for number in numbers]
        futures = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, partitions)], request_timeout=_remaining_s(ends)
        )
        return {each.partition: each.offset for each in futures[group].result().topic_partitions}

    def _stored(self, topic: str, number: int, ends: float) -> tuple[int, int]:
        """Return the first offset that a partition holds, and the offset after its last one."""
        from confluent_kafka import TopicPartition

        offsets = self._reader.get_watermark_offsets(TopicPartition(topic, number), timeout=_remaining_s(ends))
        if offsets is None:
            raise SourceTimeout(f"the offsets of {topic} did not come in time")
        return offsets

    def _times(self, topic: str, offsets: Mapping[int, int], ends: float) -> list[datetime]:
        """Return when the first message at or after each of these offsets was written.

        A partition that holds only markers from there on contributes no time.
        """
        from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, TopicPartition

        times: list[datetime] = []
        awaited = set(offsets)
        self._reader.assign([TopicPartition(topic, number, offset) for number, offset in offsets.items()])
        while awaited:
            if time.monotonic() >= ends:
                raise SourceTimeout(f"{topic} could not be read in time")
            message = self._reader.poll(_remaining_s(ends))
            if message is None or message.topic() != topic or message.partition() not in awaited:
                continue
            fault = message.error()
            if fault and fault.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(fault)
            awaited.discard(message.partition() or 0)
            if fault:
                continue
            kind, milliseconds = message.timestamp()
            if kind == TIMESTAMP_NOT_AVAILABLE:
                raise MeasurementFailed(
                    f"the messages of {topic} have no timestamp", hint="set the topic's message.timestamp.type"
                )
            times.append(datetime.fromtimestamp(milliseconds / 1000, tz=UTC))
        self._reader.unassign()
        return times


def _remaining_s(ends: float) -> float:
    """Return the seconds until `ends`, but at least a little, since the clients do not accept zero."""
    return max(0.01, ends - time.monotonic())
