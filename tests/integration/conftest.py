"""The embedded stack as fixtures: started once per run, Airflow only when a test asks for it."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from devstack.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an integration test."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, SeaweedFS, the ClickHouse front and the Feishu sandbox."""
    # Not pytest's own temporary folder: that one is closed to the user that PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp(prefix="mindguard-stack-"))
    try:
        with Stack(folder, airflow=False, heartbeat_timeout_s=30) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_stack(stack: Stack) -> Stack:
    """The same stack with Airflow, whose tasks count as dead after 30 s without heartbeat."""
    stack.start_airflow()
    return stack


@pytest.fixture
def fresh_database(stack: Stack) -> Iterator[str]:
    """libpq connection string of a new, empty database that belongs to `mindguard_app_owner`."""
    name = f"fresh_{uuid.uuid4().hex[:12]}"
    identifier = sql.Identifier(name)

    def admin(statement: str) -> None:
        # A connection each: the test may kill the server.
        with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(identifier))

    admin("CREATE DATABASE {} OWNER mindguard_app_owner")
    yield stack.postgres_conninfo("mindguard_app_owner", name)
    admin("DROP DATABASE {} WITH (FORCE)")


@pytest.fixture
def bucket(stack: Stack) -> str:
    """Name of a new, empty bucket with versioning off; it goes with the stack."""
    name = f"fresh-{uuid.uuid4().hex[:12]}"
    stack.seaweedfs.client().create_bucket(Bucket=name)
    return name
