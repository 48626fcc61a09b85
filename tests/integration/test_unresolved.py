"""The question after every successful task: does this end anything?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from devstack.stack import Stack
from mindguard.alerts.alert import Alert, fingerprint
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.severity import Severity
from mindguard.alerts.unresolved import ends_an_incident
from mindguard.connections import Connection, from_environment
from mindguard.database.session import StoreUnavailable
from tests.connections import connection_of
from tests.integration.outage import incident_store_down

NOW = datetime.now(UTC)
WELL = [Recovery("airflow:etl.load", at=NOW), Recovery("airflow:etl", at=NOW)]


@pytest.fixture
def connection(fresh_database: str) -> Connection:
    """An incident store's connection, to a database in which nobody has ever reported anything."""
    return connection_of(fresh_database)


def report(store: IncidentStore, recovery_key: str) -> None:
    alert = Alert("Task failed", Severity.P1, "etl.load", NOW, fingerprint("etl", recovery_key))
    store.record([Finding(alert, source="airflow", recovery_key=recovery_key)], now=NOW)


def test_only_an_unresolved_incident_with_one_of_the_keys_counts(connection: Connection) -> None:
    assert not ends_an_incident(WELL, connection), "there are no tables yet"
    store = IncidentStore.of(connection)
    try:
        report(store, "airflow:etl.publish")
        assert not ends_an_incident(WELL, connection)
        report(store, "airflow:etl.load")
        assert ends_an_incident(WELL, connection)
        store.recover(WELL, now=NOW)
        assert not ends_an_incident(WELL, connection)
        assert not ends_an_incident([], connection)
    finally:
        store.database.engine.dispose()


def test_a_store_that_cannot_be_asked_is_an_error_without_secrets(stack: Stack) -> None:
    ops = from_environment("mindguard_ops", stack.environment())
    with incident_store_down(stack), pytest.raises(StoreUnavailable) as refused:
        ends_an_incident(WELL, ops)
    assert ops.password not in str(refused.value)
    with pytest.raises(StoreUnavailable):
        ends_an_incident(WELL, replace(ops, port=9))


def test_asking_loads_nothing_heavy() -> None:
    code = (
        "import sys, psycopg, mindguard.alerts.unresolved; print('sqlalchemy' in sys.modules, 'alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
