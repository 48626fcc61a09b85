"""Policy for every DAG of this repository, as tests: a new DAG cannot forget it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# dag_id → tasks and what each follows. A new DAG is added here on purpose, never by accident.
EXPECTED: dict[str, dict[str, set[str]]] = {
    # Two tasks that wait for nothing: a sweep that fails must not hold up delivery.
    "alert_delivery": {"deliver_alerts": set(), "sweep_missed_callbacks": set()},
    "doctor": {"examine_connections": set()},
    # The rollup is reconciled beside the suites: one that differs must not blind them.
    "event_volume": {"choose_suites": set(), "check_suites": {"choose_suites"}, "reconcile_rollup": set()},
    "pipeline_freshness": {"measure_freshness": set()},
    "restore_drill": {"choose_snapshots": set(), "drill_snapshot": {"choose_snapshots"}},
    "restore_tables": {
        "plan_restore": set(),
        "approve_restore": {"plan_restore"},
        "restore_tables": {"plan_restore", "approve_restore"},
        "plan_put_back": {"restore_tables"},
        "approve_put_back": {"plan_put_back"},
        "put_rows_back": {"restore_tables", "plan_put_back", "approve_put_back"},
    },
    "service_levels": {"measure_service_levels": set()},
    "snapshot_tables": {
        "take_snapshot": set(),
        "check_history": {"take_snapshot"},
        "verify_snapshot": {"take_snapshot"},
        "expire_snapshots": {"verify_snapshot"},
    },
}

# Deviations from the policy; each DAG says why beside it.
MUST_FAIL_LOUDLY = {"drill_snapshot", "restore_tables", "put_rows_back", "examine_connections"}
WAITS_FOR_A_PERSON = {"approve_restore", "approve_put_back"}  # bounded by its response_timeout, and by the run's


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything in dags/, loaded in a bare Airflow home with no connection and no settings file within reach."""
    return load(ROOT / "dags", tmp_path_factory.mktemp("airflow-home"))


def load(folder: Path, home: Path) -> dict[str, Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": str(ROOT / "plugins"),
        # Proves that parsing needs neither connections nor settings.
        "MINDGUARD_SETTINGS": "/nowhere/mindguard.yaml",
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("describe_dags.py")), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_folder_holds_exactly_the_expected_dags_and_each_loads(loaded: dict[str, Any]) -> None:
    assert loaded["errors"] == {}
    found = {
        dag_id: {task_id: set(task["upstream"]) for task_id, task in dag["tasks"].items()}
        for dag_id, dag in loaded["dags"].items()
    }
    assert found == EXPECTED


def test_the_repository_can_be_a_dag_bundle(tmp_path: Path) -> None:
    """Neither the tests' DAGs are loaded, nor is a running stack's folder looked into, where links lead in a circle."""
    bundle = tmp_path / "bundle"
    for folder in ("dags", "plugins", "tests", "devstack", "bench"):
        shutil.copytree(ROOT / folder, bundle / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".airflowignore", bundle)
    (bundle / ".local").mkdir()
    (bundle / ".local" / "latest").symlink_to(bundle)
    found = load(bundle, tmp_path / "home")
    assert found["errors"] == {}
    assert set(found["dags"]) == set(EXPECTED)


def test_one_dag_a_file_named_alike_and_short(loaded: dict[str, Any]) -> None:
    assert {f"{dag_id}.py" for dag_id in EXPECTED} == {path.name for path in (ROOT / "dags").glob("*.py")}
    for dag_id, dag in loaded["dags"].items():
        assert dag["file"] == f"{dag_id}.py"
        assert len((ROOT / "dags" / dag["file"]).read_text().splitlines()) <= 120


@pytest.mark.parametrize("dag_id", EXPECTED)
def test_every_dag_keeps_the_policy(dag_id: str, loaded: dict[str, Any]) -> None:
    dag = loaded["dags"][dag_id]
    for topic in ("**What.**", "**When.**", "**A rerun**", "**When it fails**"):
        assert topic in dag["doc"], f"the runbook lacks {topic}"
    assert "mindguard" in dag["tags"]
    assert {"P0", "P1", "P2"} & set(dag["tags"]), "the severity is a tag"
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    assert dag["timeout"], "without dagrun_timeout a stuck run would hold the next ones back for ever"
    assert dag["refused_params"] == [], "the form cannot be sent as it opens"
    assert dag["notifiers"] == ["FeishuNotifier"]
    assert dag["recoveries"] == ["RecoveryNotifier"]


@pytest.mark.parametrize("dag_id", EXPECTED)
def test_every_task_keeps_the_policy(dag_id: str, loaded: dict[str, Any]) -> None:
    dag = loaded["dags"][dag_id]
    for task_id, task in dag["tasks"].items():
        assert task["owner"] == "mindguard", task_id
        assert (task["retries"] == 0) == (task_id in MUST_FAIL_LOUDLY), task_id
        assert task["notifiers"] == ["FeishuNotifier"], task_id
        assert task["recoveries"] == ["RecoveryNotifier"], task_id
        if task_id not in WAITS_FOR_A_PERSON:
            assert 0 < task["timeout"] <= dag["timeout"], task_id
        assert task["doc"], f"{task_id} says nothing of itself in the UI"


@pytest.mark.parametrize("dag_id", EXPECTED)
def test_every_runbook_is_shown_in_chinese_and_in_english(dag_id: str, loaded: dict[str, Any]) -> None:
    """Both have the same steps, and name the same commands, settings and tasks."""
    chinese, _, english = loaded["dags"][dag_id]["doc"].partition("\n---\n\n")
    assert chinese.startswith(f"### {dag_id}：")
    assert english.startswith(f"### {dag_id}: ")
    steps = [re.findall(r"^\d\.", text, re.MULTILINE) for text in (chinese, english)]
    assert steps[0] == steps[1]
    named = [{" ".join(name.split()) for name in re.findall(r"`([^`]+)`", text)} for text in (chinese, english)]
    assert named[0] == named[1]


def test_only_a_verified_snapshot_updates_the_asset(loaded: dict[str, Any]) -> None:
    outlets = {task_id: task["outlets"] for task_id, task in loaded["dags"]["snapshot_tables"]["tasks"].items()}
    others = {"take_snapshot": [], "check_history": [], "expire_snapshots": []}
    assert outlets == {"verify_snapshot": ["mindguard_snapshot"], **others}


def test_nothing_is_restored_without_approval(loaded: dict[str, Any]) -> None:
    tasks = loaded["dags"]["restore_tables"]["tasks"]
    assert "approve_restore" in tasks["restore_tables"]["upstream"]
    assert "approve_put_back" in tasks["put_rows_back"]["upstream"]


# Runs each DAG file, and prints it with the modules that it was the first to import.
PARSE = """
import json, runpy, sys
import airflow.sdk
imported = {}
for path in sys.argv[1:]:
    before = set(sys.modules)
    runpy.run_path(path)
    imported[path] = sorted(set(sys.modules) - before)
print(json.dumps(imported))
"""


def test_parsing_imports_nothing_heavy(tmp_path: Path) -> None:
    """Each task process parses its DAG file again; `bench/parse_cost.py` measures the seconds."""
    heavy = {"adbc_driver_manager", "boto3", "chdb", "clickhouse_connect", "great_expectations", "numpy"}
    heavy |= {"httpx", "pandas", "psycopg", "pyarrow", "ruamel.yaml", "sqlalchemy"}
    paths = sorted(map(str, (ROOT / "dags").glob("*.py")))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "plugins"), "AIRFLOW_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PARSE, *paths]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout.splitlines()[-1])
    assert sorted(imported) == paths
    assert {path: found for path, modules in imported.items() if (found := heavy & set(modules))} == {}


def test_the_package_is_not_executed_as_loose_plugin_files(tmp_path: Path) -> None:
    """Airflow runs every file under plugins/ as a top-level module named after its stem, unless it is ignored."""
    ignored = (ROOT / "plugins" / ".airflowignore").read_text().split()
    assert ignored == ["mindguard/"]
    assert {path.name for path in (ROOT / "plugins").glob("*.py")} == {"mindguard_plugin.py"}
    code = (
        "from airflow.plugins_manager import _get_plugins; import sys; plugins, errors = _get_plugins(); "
        "assert not errors, errors; assert 'mindguard' in {p.name for p in plugins}; "
        "loose = {'cli', 'sql', 'settings', 'take', 'errors', 'plan', 'store'} & set(sys.modules); "
        "assert not loose, loose; "
        # What the pages are made of is loaded at the first request, in the API server alone.
        "assert 'mindguard.web' in sys.modules and 'mindguard.web.application' not in sys.modules"
    )
    environment = os.environ | {
        "PYTHONPATH": "",
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }
    # -P: the metadata of the editable package, which lies in the root of the checkout, must not be found there again.
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
