"""The defaults of all DAGs of this package. A DAG that deviates from one of them gives the reason."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mindguard.airflow.notifier import FeishuNotifier, RecoveryNotifier
from mindguard.alerts.dag_runs.failures import TAG
from mindguard.alerts.severity import Severity
from mindguard.masking import name_of
from mindguard.resources import include_dir

ZONE = ZoneInfo("Asia/Shanghai")
"""The time zone of days and schedules (operations document, 4.3 and 5.1)."""

_LONGEST_NAME = 40


def refuse_mistakes(context: Any) -> None:
    """Fail the task without retries if the settings file is faulty, or the run asks for what its form does not have.

    Waiting mends neither. Airflow itself ignores a value under another name, so the run would do something else than
    was asked for.

    Raises:
        AirflowFailException: says what is wrong.
    """
    from airflow.sdk.exceptions import AirflowFailException

    from mindguard.airflow.permanent import not_retried
    from mindguard.errors import first_few
    from mindguard.settings import load_settings

    with not_retried():
        load_settings()
    fields = list(context["dag"].params)
    unknown = [name_of(str(name), _LONGEST_NAME) for name in context["dag_run"].conf or () if name not in fields]
    if fields and unknown:
        raise AirflowFailException(
            f"the form has no field {first_few(unknown)} – it has {', '.join(fields)}: correct it, and trigger again"
        )


def dag_defaults(
    *, severity: Severity, doc: str | None, tags: tuple[str, ...] = (), repeats: bool = True
) -> dict[str, Any]:
    """Return the arguments for `@dag`.

    `MINDGUARD_TASK_RETRIES` (default 2) and `MINDGUARD_RETRY_DELAY_S` (default 300) are read from the environment
    instead of the settings, since they are needed while the DAG is parsed, when only forms read the settings.

    Args:
        severity: the severity of a failure of this DAG; see `mindguard.alerts.severity`.
        doc: the DAG file's docstring, which is its runbook in English.
        tags: further tags, in addition to `TAG` and the severity.
        repeats: whether failures in a row are reported; see `FeishuNotifier`.
    """
    failed = FeishuNotifier(severity=severity, repeats=repeats)
    succeeded = RecoveryNotifier(severity=severity)
    return {
        "doc_md": runbook(doc),
        "tags": [TAG, str(severity), *tags],
        "start_date": datetime(2026, 1, 1, tzinfo=ZONE),
        "catchup": False,
        "max_active_runs": 1,
        "on_failure_callback": [failed],
        "on_success_callback": [succeeded],
        "default_args": {
            "owner": "mindguard",
            "retries": int(os.environ.get("MINDGUARD_TASK_RETRIES", "2")),
            "retry_delay": timedelta(seconds=int(os.environ.get("MINDGUARD_RETRY_DELAY_S", "300"))),
            "on_failure_callback": [failed],
            "on_success_callback": [succeeded],
            "pre_execute": refuse_mistakes,
        },
    }


def runbook(doc: str | None) -> str | None:
    """Return a DAG's runbook in Chinese, which on-call people read, and below it the one in English.

    A DAG without a file in `include/runbooks` has the English one alone.

    Args:
        doc: the runbook in English; its first line begins with the DAG's id.
    """
    dag_id = (doc or "").removeprefix("### ").partition(":")[0]
    chinese = include_dir() / "runbooks" / f"{dag_id}.md"
    return f"{chinese.read_text('utf-8')}\n---\n\n{doc}" if chinese.is_file() else doc
