"""What a card shows of an exception's traceback: the task's own code, and not how Airflow came to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mindguard.airflow.exception_text import text_of

AIRFLOW = "/opt/venv/lib/python3.12/site-packages/airflow"
RUNNER = f"{AIRFLOW}/sdk/execution_time/task_runner.py"
HOOK = f"{AIRFLOW}/providers/postgres/hooks/postgres.py"
DAG = "/opt/airflow/dags/etl.py"


def through(*files: str, fails: str) -> Any:
    """Return a function whose code lies in the first of these files and calls the next; the last one fails."""
    namespace: dict[str, Any] = {}
    if len(files) > 1:
        namespace["go"] = through(*files[1:], fails=fails)
        fails = "go()"
    exec(compile(f"def work():\n    {fails}\n", files[0], "exec"), namespace)
    return namespace["work"]


def caught(work: Any) -> BaseException:
    """Return the error with those frames alone that belong to the function."""
    try:
        work()
    except Exception as error:
        return error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    raise AssertionError("no error")


def files_in(traceback: str) -> list[str]:
    return [line.split('"')[1] for line in traceback.splitlines() if line.lstrip(" |").startswith("File ")]


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ((RUNNER, RUNNER, DAG), [DAG]),
        ((RUNNER, f"{AIRFLOW}/providers/standard/operators/python.py", DAG, DAG), [DAG, DAG]),
        ((RUNNER, DAG, HOOK), [DAG, HOOK]),  # what the task's code called may be at fault
        ((RUNNER, HOOK), [RUNNER, HOOK]),  # there is nothing else
        ((DAG,), [DAG]),
        (("/home/airflow/dags/airflow/etl.py",), ["/home/airflow/dags/airflow/etl.py"]),
    ],
)
def test_a_traceback_begins_at_the_tasks_own_code(files: tuple[str, ...], shown: list[str]) -> None:
    text = text_of(caught(through(*files, fails="raise ValueError('no such table')"))).traceback
    assert files_in(text) == shown
    assert text.endswith("ValueError: no such table\n")


def test_so_do_those_of_its_causes() -> None:
    """Of a chain and of a group too: Airflow's frames are in each."""
    cause = caught(through(RUNNER, DAG, fails="raise ValueError('cause')"))
    group = ExceptionGroup("several", [cause])
    error = caught(through(RUNNER, DAG, fails="raise RuntimeError('effect')"))
    error.__cause__, error.__context__ = group, None
    text = text_of(error).traceback
    assert files_in(text) == [DAG, DAG]
    for said in ("ValueError: cause", "several", "RuntimeError: effect", "direct cause"):
        assert said in text


def test_a_real_frame_of_airflow_is_known_as_such() -> None:
    from airflow.sdk.execution_time import task_runner

    assert Path(task_runner.__file__).is_relative_to(sys.prefix)
    assert files_in(text_of(caught(through(task_runner.__file__, DAG, fails="raise ValueError"))).traceback) == [DAG]
