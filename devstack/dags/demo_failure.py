"""### Demo: a task that fails, and succeeds once its run is cleared.

**What:** one task raises an error whose message contains a made-up password. Start it by hand: an incident opens and
its card arrives, but without the password. Clear the run: it succeeds, and the card turns green.

**Schedule:** none; it is started by hand, with the severity as a Param.

**Rerun:** a new run fails again on purpose; a cleared run succeeds.

**On failure:** there is nothing to do; it is meant to fail.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task

from mindguard.airflow.dag_defaults import dag_defaults
from mindguard.alerts.severity import Severity


@dag(
    schedule=None,
    params={"severity": Param("P1", enum=["P0", "P1", "P2"], description="severity of the alert")},
    **dag_defaults(severity=Severity.P1, doc=__doc__, tags=("demo",)),
)
def demo_failure() -> None:
    """Run one task, which fails at its first try."""

    # retries=0: a demonstration of failure must not keep people waiting.
    @task(retries=0)
    def fail_on_purpose(params: dict[str, str] | None = None) -> None:
        severity = (params or {}).get("severity", "P1")
        if get_current_context()["ti"].try_number == 1:
            raise RuntimeError(
                f"demo failure ({severity}): cannot log in with password=not-a-real-password-1234 "
                "at postgresql://demo:not-a-real-password-1234@db.example/mindguard"
            )

    fail_on_purpose()


demo_failure()
