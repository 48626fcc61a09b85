"""Run by test_dags.py in a process of its own: loads a folder of DAG files and prints what they are, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError


def names(callbacks: Any) -> list[str]:
    return [type(callback).__name__ for callback in callbacks or []]


def seconds(duration: Any) -> float | None:
    return duration and duration.total_seconds()


def task_facts(task: Any) -> dict[str, Any]:
    return {
        "owner": task.owner,
        "retries": task.retries,
        "timeout": seconds(task.execution_timeout),
        "upstream": sorted(task.upstream_task_ids),
        "doc": task.doc_md,
        "notifiers": names(task.on_failure_callback),
        "recoveries": names(task.on_success_callback),
        "outlets": [outlet.name for outlet in task.outlets],
    }


def refused_params(dag: Any) -> list[str]:
    """Names of the form's fields whose default is refused, by the schema or, as Airflow's form does, by being empty."""
    refused = []
    for name, param in dag.params.items():
        empty = param.value in (None, "")
        may_be_empty = "null" in param.schema.get("type", [])
        try:
            param.resolve()
        except ParamValidationError:
            refused.append(name)
        else:
            refused += [name] if empty and not may_be_empty else []
    return refused


def dag_facts(dag: Any) -> dict[str, Any]:
    return {
        "file": Path(dag.fileloc).name,
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "timeout": seconds(dag.dagrun_timeout),
        "refused_params": refused_params(dag),
        "notifiers": names(dag.on_failure_callback),
        "recoveries": names(dag.on_success_callback),
        "tasks": {task.task_id: task_facts(task) for task in dag.tasks},
    }


bag = DagBag(sys.argv[1])
print(
    json.dumps(
        {
            "errors": {Path(name).name: trace for name, trace in bag.import_errors.items()},
            "dags": {dag.dag_id: dag_facts(dag) for dag in bag.dags.values()},
        }
    )
)
