"""The embedded stack as fixtures: started once per run, Airflow only when a test asks for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.alerts.direct import Spool
from mindguard.connections import Connection, from_environment
from mindguard.snapshots.storage.store import Store
from tests.folders import engine_folder
from tests.integration.delivery_site import Site, delivery_site
from tests.integration.restoring import empty_database
from tests.sandbox import Running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an integration test."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, SeaweedFS, the ClickHouse front and the Feishu sandbox."""
    with engine_folder("mindguard-stack-") as folder, pytest.MonkeyPatch.context() as patch:
        # A failed task must not be retried; and many small parts leave time to kill something between two of them.
        patch.setenv("MINDGUARD_TASK_RETRIES", "0")
        settings = folder / "mindguard.yaml"
        shipped = (ROOT / "include/config/mindguard.yaml").read_text("utf-8")
        slower = shipped.replace("  retention:", "  part_mb: 1\n  connections: 1\n  retention:")
        # A test provokes a dozen failures at once and expects a dozen cards instead of one digest.
        settings.write_text(f"{slower}\nalerts: {{storm_threshold: 100, spool_folder: {folder}/spool}}\n", "utf-8")
        with Stack(
            folder / "state",
            airflow=False,
            heartbeat_timeout_s=30,
            parallelism=16,
            settings=settings,
            dag_folders=(Path(__file__).parent / "dags",),
            durable=False,
        ) as started:
            yield started


@pytest.fixture(scope="session")
def airflow_stack(stack: Stack) -> Stack:
    """The same stack with Airflow, whose tasks count as dead after 30 s without heartbeat."""
    stack.start_airflow()
    return stack


@pytest.fixture(autouse=True)
def own_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for what this process reports while an incident store is away."""
    folder = tmp_path / "spool"
    monkeypatch.setattr("mindguard.jobs.alerting.spool_of", lambda _: Spool(folder))
    return folder


@pytest.fixture
def fresh_database(stack: Stack) -> Iterator[str]:
    """Connection string of a new, empty database that belongs to `mindguard_app_owner`."""
    with empty_database(stack) as conninfo:
        yield conninfo


@pytest.fixture
def empty(stack: Stack) -> Iterator[str]:
    """Connection string of a new, empty database to restore into."""
    with empty_database(stack) as conninfo:
        yield conninfo


@pytest.fixture
def scratch(stack: Stack) -> str:
    """The connection that drills work on."""
    return stack.postgres_conninfo("mindguard_drill")


@pytest.fixture
def store(stack: Stack, bucket: str) -> Store:
    """A store in a bucket of its own."""
    return Store(stack.seaweedfs.client(), bucket=bucket, prefix="key-tables", sse="AES256")


@pytest.fixture
def backup_connection(stack: Stack) -> Connection:
    """The connection `mindguard_backup`."""
    return from_environment("mindguard_backup", stack.environment())


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Running]:
    """A Feishu sandbox of the test's own, of which the test can ask for faults."""
    running = Running(tmp_path / "received.jsonl")
    yield running
    running.end()


@pytest.fixture
def site(fresh_database: str, tmp_path: Path) -> Iterator[Site]:
    """An incident store and a chat group of the test's own."""
    with delivery_site(fresh_database, tmp_path) as made:
        yield made


@pytest.fixture
def bucket(stack: Stack) -> str:
    """Name of a new, empty bucket with versioning off; it is removed together with the stack."""
    name = f"fresh-{uuid.uuid4().hex[:12]}"
    stack.seaweedfs.client().create_bucket(Bucket=name)
    return name
