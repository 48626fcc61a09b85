"""Kafka's broker of the tests.

On a moved day its tests are skipped: librdkafka waits until a moment of the system's clock, inside glibc, where
libfaketime does not move it.
"""

from __future__ import annotations

import os

import pytest

from devstack.kafka_broker import KafkaBroker

_WHY = "Kafka's client would wait until the moved day"
needs_kafka = pytest.mark.skipif("FAKETIME" in os.environ, reason=_WHY)


def new_broker() -> KafkaBroker:
    """Start a broker, or skip the test."""
    if "FAKETIME" in os.environ:
        pytest.skip(_WHY)
    return KafkaBroker()
