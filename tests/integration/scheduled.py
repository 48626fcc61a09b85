"""Shared by the tests that let the real scheduler take snapshots."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from devstack.airflow_api import AirflowAPI
from devstack.stack import Stack
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.storage.encryption import Encryption
from mindguard.snapshots.storage.store import Store
from tests.waiting import wait_until

DAG = "snapshot_tables"


def ready(stack: Stack) -> AirflowAPI:
    """Return Airflow's API once the snapshot DAG is unpaused and idle.

    The first unpausing of a DAG makes the scheduler start the run of its last schedule.
    """
    api = stack.airflow_api()
    api.wait_for_dags(DAG)
    api.set_paused(DAG, paused=False)
    wait_until(lambda: any(run["run_type"] == "scheduled" for run in api.runs(DAG)), 30, "no scheduled run was started")
    for run in api.runs(DAG):
        api.wait_for_run(DAG, run["dag_run_id"])
    return api


@contextmanager
def own_snapshots(stack: Stack, *tables: str, encryption: Encryption | None = None, **more: Any) -> Iterator[Store]:
    """Let Airflow's tasks snapshot these tables, and no others, into a new bucket until the block ends.

    In the shared bucket, the gate would compare them with the last good snapshot, which holds other tables or rows.

    Args:
        stack: the stack with Airflow.
        *tables: names of the tables, with their schema.
        encryption: what the tasks encrypt with; the caller puts its key ring into Airflow's connection.
        **more: further settings of the snapshots.
    """
    path = Path(stack.environment()["MINDGUARD_SETTINGS"])
    shared = path.read_text("utf-8")
    client = stack.seaweedfs.client()
    settings: dict[str, Any] = {
        "bucket": f"own-{uuid.uuid4().hex[:12]}",
        "tables": [{"name": table} for table in tables],
        "encryption": {"enabled": encryption is not None},
    } | more
    client.create_bucket(Bucket=settings["bucket"])
    others = YAML(typ="safe").load(shared)
    path.write_text(json.dumps({**others, "snapshot": settings}), "utf-8")  # JSON is YAML
    try:
        yield Store.of(client, SnapshotSettings.model_validate(settings), encryption)
    finally:
        path.write_text(shared, "utf-8")
