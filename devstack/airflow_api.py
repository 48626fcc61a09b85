"""A small client of Airflow's REST API, for the tests and for `make run`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import httpx

from devstack.state import StackError

T = TypeVar("T")
POLL_S = 0.25
DONE = frozenset({"success", "failed"})


class AirflowAPI:
    """Calls Airflow's REST API as a user of the simple auth manager.

    Args:
        url: base URL of the API server.
        username: the user's name.
        password: the user's password.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._credentials = {"username": username, "password": password}
        # trust_env=False: a proxy of the environment must not see loopback calls.
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self._login()

    def _login(self) -> None:
        answer = self._client.post("/auth/token", json=self._credentials)
        answer.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Make one call below /api/v2.

        Args:
            method: HTTP method.
            path: path below /api/v2.
            **arguments: arguments of `httpx.Client.request`.

        Returns:
            The decoded JSON, or None for an empty answer.

        Raises:
            StackError: Airflow refuses; the message holds its status and detail.
        """
        answer = self._client.request(method, f"/api/v2{path}", **arguments)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._login()
            answer = self._client.request(method, f"/api/v2{path}", **arguments)
        if answer.is_error:
            raise StackError(f"airflow: {method} {path}: {answer.status_code} {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def page(self, path: str, **query: Any) -> Any:
        """Get the decoded JSON of a page outside /api/v2.

        Args:
            path: path of the page.
            **query: parameters of the URL.

        Raises:
            StackError: Airflow refuses; the message holds its status and detail.
        """
        answer = self._client.get(path, params=query)
        if answer.is_error:
            raise StackError(f"airflow: GET {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    def dag_ids(self) -> set[str]:
        """Return the id of every DAG that has been parsed."""
        return {dag["dag_id"] for dag in self.call("GET", "/dags", params={"limit": 500})["dags"]}

    def import_errors(self) -> dict[str, str]:
        """Return file name → traceback of every DAG file that does not load."""
        errors = self.call("GET", "/importErrors", params={"limit": 500})["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def wait_for_dags(self, *dag_ids: str, timeout_s: float = 60) -> None:
        """Wait until these DAGs have been parsed.

        Raises:
            StackError: one of them does not appear in time.
        """

        def parsed() -> bool:
            return set(dag_ids) <= self.dag_ids()

        _poll(parsed, timeout_s, lambda: f"DAGs {sorted(set(dag_ids) - self.dag_ids())} do not appear")

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def unpause_from_now(self, dag_id: str, *, timeout_s: float = 5) -> None:
        """Unpause a DAG, and immediately mark as successful the run of its last schedule, which this starts.

        Airflow starts no such run if it has run before; then, after `timeout_s` seconds, no run is marked.
        """
        earlier = {run["dag_run_id"] for run in self.runs(dag_id)}
        self.set_paused(dag_id, paused=False)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for run in self.runs(dag_id):
                if run["dag_run_id"] not in earlier:
                    self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run['dag_run_id']}", json={"state": "success"})
                    return
            time.sleep(POLL_S)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, *, logical_date: str | None = None) -> str:
        """Unpause the DAG and start a run.

        Args:
            dag_id: the DAG to run.
            conf: values of its Params.
            logical_date: ISO 8601 with offset; None gives the run no logical date, as asset-triggered runs have none.

        Returns:
            The run id.
        """
        self.set_paused(dag_id, paused=False)
        body = {"logical_date": logical_date, "conf": conf or {}}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the newest 100 runs of a DAG, newest first."""
        params = {"order_by": "-run_after", "limit": 100}
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns", params=params)["dag_runs"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run."""
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout_s: float = 300) -> str:
        """Wait until a run has ended.

        Returns:
            `success` or `failed`.

        Raises:
            StackError: it has not ended in time; the message names the states of its tasks.
        """

        def ended() -> str | None:
            state = self.run(dag_id, run_id)["state"]
            return state if state in DONE else None

        def where() -> str:
            tasks = self.task_instances(dag_id, run_id)
            states = ", ".join(f"{task['task_id']} {task['state']}" for task in tasks)
            return f"{dag_id} {run_id} has not ended: {states}"

        return str(_poll(ended, timeout_s, where))

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, as Airflow describes them."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return list(self.call("GET", path, params={"limit": 500})["task_instances"])

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return the text of the log of one try."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.call("GET", path, params={"map_index": map_index, "full_content": True})
        return "\n".join(_log_line(entry) for entry in answer["content"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """Return a value that a task has pushed to XCom."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", path, params={"deserialize": True, "map_index": map_index})["value"]


def _log_line(entry: Any) -> str:
    """Write one structured entry with all its fields; errors keep their values and tracebacks there."""
    if not isinstance(entry, dict):
        return str(entry)
    more = {key: value for key, value in entry.items() if key not in {"event", "timestamp"} and value}
    return f"{entry.get('event', '')} {more or ''}".rstrip()


def _poll(attempt: Callable[[], T | None], timeout_s: float, failure: Callable[[], str]) -> T:
    """Try again until the attempt gives something true; raise a StackError with `failure` after `timeout_s` seconds.

    A call without an answer is no answer yet: on a machine with much to do, Airflow may need long for one.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        with suppress(httpx.TransportError):
            if result := attempt():
                return result
        if time.monotonic() > deadline:
            raise StackError(f"after {timeout_s:.0f} s: {failure()}")
        time.sleep(POLL_S)
