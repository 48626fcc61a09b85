"""DAGs that end in each way that Airflow knows; `tests/integration/test_alert_events.py` checks what follows.

They go on failing until the Variable `event_table_well` is `yes`, so that clearing their runs heals them.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import timedelta
from typing import Any

from airflow.sdk import Variable, dag, get_current_context, task

from mindguard.airflow.clients import connection
from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.alerts.severity import Severity

LONG_S = 600


def healed() -> bool:
    return Variable.get("event_table_well", default="no") == "yes"


def fail() -> None:
    if not healed():
        raise RuntimeError("failed on purpose: postgresql://demo:not-a-real-password-1234@db.example/mindguard")


def kill_this_process() -> None:
    if not healed():
        os.kill(os.getpid(), signal.SIGKILL)


def kill_the_first_try() -> None:
    if get_current_context()["ti"].try_number == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def wait() -> None:
    if not healed():
        time.sleep(LONG_S)


def fail_when_postgres_is_away() -> None:
    server = connection("mindguard_ops")
    Variable.set("event_outage", "begun")
    while True:
        try:
            socket.create_connection((server.host, server.port or 5432), timeout=5).close()
        except OSError:
            raise RuntimeError("PostgreSQL is away") from None
        time.sleep(0.2)


def one_task(dag_id: str, work: Any, *, run_limit_s: float | None = None, **task_options: Any) -> None:
    """A DAG with one task, called `work`."""

    @dag(
        dag_id=dag_id,
        schedule=None,
        dagrun_timeout=timedelta(seconds=run_limit_s) if run_limit_s else None,
        **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("event_table",)),
    )
    def make() -> None:
        task(task_id="work", **task_options)(work)()

    make()


def with_a_follower(dag_id: str, work: Any, *, trigger_rule: str) -> None:
    """A DAG whose `follow` comes after the failing `work`."""

    @dag(dag_id=dag_id, schedule=None, **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("event_table",)))
    def make() -> None:
        @task(trigger_rule=trigger_rule)
        def follow() -> None:
            pass

        task(task_id="work")(work)() >> follow()

    make()


@dag(dag_id="event_mapped", schedule=None, **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("event_table",)))
def mapped() -> None:
    """Two of three instances fail, each in its own way; the one that succeeds is no recovery."""

    @task
    def work(number: int) -> None:
        if number == 1:
            fail()
        elif number == 2 and not healed():
            raise ValueError("another error")

    work.expand(number=[0, 1, 2])


one_task("event_exception", fail)
one_task("event_execution_timeout", wait, execution_timeout=timedelta(seconds=3))
one_task("event_outage", fail_when_postgres_is_away)
one_task("event_killed", kill_this_process)
one_task("event_killed_twice", kill_this_process, retries=1, retry_delay=timedelta(seconds=20))
one_task("event_killed_once", kill_the_first_try, retries=1, retry_delay=timedelta(seconds=1))
one_task("event_worker_killed", wait)
one_task("event_run_timeout", wait, run_limit_s=40)  # enough for a whole run on a busy machine, once it is well
one_task("event_task_marked_failed", wait)
one_task("event_run_marked_failed", wait)
one_task("event_run_marked_failed_early", wait)
with_a_follower("event_upstream_failed", fail, trigger_rule="all_success")
with_a_follower("event_all_done_leaf", fail, trigger_rule="all_done")
with_a_follower("event_all_done_leaf_killed", kill_this_process, trigger_rule="all_done")
mapped()
