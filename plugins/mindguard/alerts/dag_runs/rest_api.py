"""Reads from Airflow's REST API which runs have ended, and how."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote

from mindguard.alerts.dag_runs.failures import Run, has_own_values
from mindguard.alerts.dag_runs.outcomes import EndedRun, EndedTask
from mindguard.alerts.severity import Severity
from mindguard.connections import Connection, http_address
from mindguard.errors import MindGuardError
from mindguard.fetch import FetchFailed, from_json, in_words, within

if TYPE_CHECKING:
    import httpx

_PAGE = 100  # Airflow's default of [api] maximum_page_limit
_RECENT_RUNS = 10
_RUNS_A_CALL = 50
_CALL_S = 30.0  # for one call as a whole

_MARKING = [
    "patch_dag_run",
    "bulk_dag_runs",
    "patch_task_instance",
    "bulk_task_instances",
    "patch_task_group_instances",
]
"""The events of Airflow's audit log in which somebody may have marked a run or a task as failed."""

_MARKED_WITHIN = timedelta(minutes=1)
"""Marking a run ends its running tasks at nearly the same moment."""

_Json = dict[str, Any]


class _RunKey(NamedTuple):
    """The identity of a run; run ids are unique only within a DAG."""

    dag_id: str
    run_id: str


class _Mark(NamedTuple):
    """Somebody marked a run, or one task of it, as failed."""

    run: _RunKey
    task_id: str
    by: str
    at: datetime


class AirflowUnreachable(MindGuardError):
    """The API server gave no usable answer."""


class AirflowRefused(MindGuardError):
    """The API server refused the request."""


@dataclass(frozen=True)
class DagFacts:
    """The facts about a DAG that an incident needs.

    Attributes:
        severity: the severity of its failures, from its tags.
        documented: whether it has a runbook.
        defaults: the values that its form offers by default.
        time_limit: after which Airflow ends a run of it as failed; None if it has none.
    """

    severity: Severity
    documented: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    time_limit: timedelta | None = None


@dataclass(frozen=True)
class Heartbeat:
    """The sign of life of a program of Airflow.

    Attributes:
        alive: whether Airflow takes it for running.
        at: when it gave its last heartbeat, aware; None if it never has.
    """

    alive: bool
    at: datetime | None


class AirflowRest:
    """A client of the API, for the length of a `with` block.

    Args:
        url: base address of the API server, without `/api/v2`.
        username: name of a user who may read DAGs and runs.
        password: the user's password.
        timeout_s: time limit in seconds for each step of one call.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        timeout_s: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        import httpx

        self._url = url.rstrip("/")
        self._login = {"username": username, "password": password}
        self._detailed: dict[str, DagFacts] = {}
        self._client = httpx.Client(base_url=self._url, timeout=timeout_s, transport=transport)

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Return a client for the API server of a connection.

        The connection has a host (with or without `https://` and a path), a port, a login and a password.
        """
        return cls(http_address(connection).geturl(), connection.login, connection.password)

    def __enter__(self) -> Self:
        token = self._call("POST", "/auth/token", json=self._login).get("access_token")
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
            raise AirflowRefused("Airflow's /auth/token gave no token", hint="its auth manager may not issue tokens")
        self._client.headers["Authorization"] = f"Bearer {token}"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def dags(self, tag: str) -> dict[str, DagFacts]:
        """Return the DAGs with this tag, by id. Their runbooks and forms are read for those that have failed alone."""
        with self._understood():
            return {
                dag["dag_id"]: DagFacts(_severity(dag))
                for dag in self._pages("GET", "/dags", "dags", {"tags": tag, "exclude_stale": False})
            }

    def _with_details(self, dag_ids: Iterable[str], dags: Mapping[str, DagFacts]) -> dict[str, DagFacts]:
        """Return these DAGs with their runbooks and forms, as far as Airflow still has them."""
        wanted = set(dag_ids) & dags.keys()
        for dag_id in wanted - self._detailed.keys():
            try:
                details = self._call("GET", f"/api/v2/dags/{quote(dag_id, safe='')}/details")
                defaults = {name: param["value"] for name, param in (details["params"] or {}).items()}
                facts = replace(
                    dags[dag_id],
                    documented=bool(details["doc_md"]),
                    defaults=defaults,
                    time_limit=_span(details["dag_run_timeout"]),
                )
            except (AirflowRefused, AirflowUnreachable):
                facts = dags[dag_id]  # a run with any values is then a request by itself
            self._detailed[dag_id] = facts
        return {dag_id: self._detailed[dag_id] for dag_id in wanted}

    def heartbeats(self, *programs: str) -> dict[str, Heartbeat]:
        """Return the last heartbeat of each of these programs: `scheduler`, `dag_processor` or `triggerer`."""
        with self._understood():
            health = self._call("GET", "/api/v2/monitor/health")
            if health["metadatabase"]["status"] != "healthy":  # then Airflow takes no program for running
                raise AirflowUnreachable("Airflow does not know: its API server does not reach its database")
            return {
                name: Heartbeat(health[name]["status"] == "healthy", _moment(health[name][f"latest_{name}_heartbeat"]))
                for name in programs
            }

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Refuse an answer that lacks what Airflow's answers have."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AirflowUnreachable(
                f"Airflow's API at {self._url} gave an answer that is not Airflow's ({type(error).__name__})",
                hint="check the host and port of `connections.airflow`",
            ) from error

    def failed_since(self, since: datetime, dags: Mapping[str, DagFacts]) -> list[EndedRun]:
        """Return the runs that failed, or in which a task failed for good, since a moment; with failed tasks only.

        Args:
            since: the moment to look back to, aware.
            dags: the DAGs whose runs are returned; see `dags`.
        """
        with self._understood():
            query = {"state": "failed", "end_date_gte": since.isoformat()}
            runs = {_run_key(run): run for run in self._pages("GET", "/dags/~/dagRuns", "dag_runs", query)}
            tasks = {
                _task_key(task): task
                for task in self._pages("GET", "/dags/~/dagRuns/~/taskInstances", "task_instances", query)
                if task["dag_id"] in dags
            }
            # A run may have failed lately because of a task that failed long before.
            of_runs = self._task_instances([key for key in runs if key.dag_id in dags], state=["failed"])
            tasks |= {_task_key(task): task for task in of_runs}
            with_failed_task = {_run_key(task) for task in tasks.values()}
            # A failed run without a failed task may have been cleared between the two calls: then it has not failed.
            for key in with_failed_task ^ {key for key in runs if key.dag_id in dags}:
                runs.pop(key, None)
                path = f"/api/v2/dags/{quote(key.dag_id, safe='')}/dagRuns/{quote(key.run_id, safe='')}"
                run = self._call("GET", path)
                if key in with_failed_task or run["state"] == "failed":
                    runs[key] = run
            ended = _ended(runs.values(), tasks.values(), self._with_details((key.dag_id for key in runs), dags))
            marks = self._marks(since - _MARKED_WITHIN) if ended else []
            return [_with_marks(each, marks) for each in ended]

    def _marks(self, since: datetime) -> list[_Mark]:
        """Return who has marked what as failed since a moment, oldest first; nothing if the log may not be read."""
        query = {"included_events": _MARKING, "after": since.isoformat(), "order_by": "event_log_id"}
        try:
            events = self._pages("GET", "/eventLogs", "event_logs", query)
            return [mark for event in events for mark in _marks_in(event)]
        except (AirflowRefused, AirflowUnreachable, KeyError, TypeError, ValueError, AttributeError):
            return []  # a failure is reported, whoever marked it

    def recent(self, dags: Mapping[str, DagFacts]) -> list[EndedRun]:
        """Return the last ended runs of each of these DAGs, with all of their task instances."""
        with self._understood():
            runs = [
                run
                for dag_id in dags
                for run in self._call(
                    "GET",
                    f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns",
                    params={"state": ["success", "failed"], "order_by": "-end_date", "limit": _RECENT_RUNS},
                )["dag_runs"]
            ]
            tasks = self._task_instances([_run_key(run) for run in runs])
            return _ended(runs, tasks, self._with_details((run["dag_id"] for run in runs), dags))

    def xcom(self, run: Run, task: EndedTask, key: str) -> str:
        """Return a text that a task instance has kept under this key; empty if there is none, or it may not be read."""
        names = [quote(name, safe="") for name in (run.dag_id, run.run_id, task.task_id, key)]
        path = "/api/v2/dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries/{}".format(*names)
        try:
            value = self._call("GET", path, params={"map_index": task.map_index, "stringify": True})["value"]
        except (AirflowRefused, AirflowUnreachable, KeyError):
            return ""
        return value if isinstance(value, str) else ""

    def _task_instances(self, runs: list[_RunKey], *, state: list[str] | None = None) -> Iterator[_Json]:
        for first in range(0, len(runs), _RUNS_A_CALL):
            part = runs[first : first + _RUNS_A_CALL]
            body: _Json = {
                "dag_ids": sorted({key.dag_id for key in part}),
                "dag_run_ids": sorted({key.run_id for key in part}),
            }
            found = self._pages(
                "POST",
                "/dags/~/dagRuns/~/taskInstances/list",
                "task_instances",
                body | ({"state": state} if state else {}),
            )
            # Runs of two DAGs may have the same id, and the call returns all pairs of the DAGs and the ids.
            yield from (task for task in found if _run_key(task) in part)

    def _pages(self, method: str, path: str, what: str, query: _Json) -> Iterator[_Json]:
        """Yield each element of a collection. GET has the page in its query, POST in its body."""
        offset = 0
        while True:
            if method == "GET":
                page = self._call(method, f"/api/v2{path}", params=query | {"limit": _PAGE, "offset": offset})
            else:
                page = self._call(method, f"/api/v2{path}", json=query | {"page_limit": _PAGE, "page_offset": offset})
            yield from page[what]
            offset += len(page[what])
            if not page[what] or offset >= page["total_entries"]:
                return

    def _call(self, method: str, path: str, **arguments: Any) -> _Json:
        import httpx

        try:
            answer = within(_CALL_S, lambda: self._client.request(method, path, **arguments))
        except (FetchFailed, httpx.HTTPError) as error:
            reason = str(error) if isinstance(error, FetchFailed) else in_words(error)
            raise AirflowUnreachable(
                f"Airflow's API at {self._url} gave no answer to {path}: {reason}",
                hint="check the host and port of `connections.airflow`, and that the API server runs",
            ) from None
        if answer.status_code in (401, 403):
            raise AirflowRefused(
                f"Airflow's API at {self._url} refused {path}: {answer.status_code}",
                hint="check login and password of `connections.airflow`; the user needs to read DAGs and runs",
            )
        try:
            found = from_json(answer.content)
        except ValueError:
            found = None
        if answer.is_error or not isinstance(found, dict):
            raise AirflowUnreachable(
                f"Airflow's API at {self._url} answered {path} with {answer.status_code}",
                hint="see the API server's log",
            )
        return found


def _ended(runs: Iterable[_Json], tasks: Iterable[_Json], dags: Mapping[str, DagFacts]) -> list[EndedRun]:
    by_run: dict[_RunKey, list[EndedTask]] = defaultdict(list)
    for task in tasks:
        by_run[_run_key(task)].append(
            EndedTask(
                task["task_id"],
                task["state"] or "",
                _moment(task["end_date"]),
                tries=task["try_number"],
                map_index=task["map_index"],
            )
        )
    ended: list[EndedRun] = []
    for run in runs:
        if facts := dags.get(run["dag_id"]):
            of_run = tuple(by_run[_run_key(run)])
            # A run that is still going on has not ended, but one of its tasks has.
            at = _moment(run["end_date"]) or max(task.ended_at for task in of_run if task.ended_at)
            failed = run["state"] == "failed"
            started_at = _moment(run["start_date"])
            # Airflow records no reason; its callback, which says it, comes later or never.
            timed_out = started_at and facts.time_limit and at - started_at >= facts.time_limit
            # Of a failed run, all failed tasks were asked for; of another one, perhaps only the latest.
            ended.append(
                EndedRun(
                    _run(run, facts),
                    failed,
                    at,
                    of_run,
                    facts.severity,
                    reason="timed_out" if timed_out else "failed",
                    whole=failed,
                    documented=facts.documented,
                )
            )
    return ended


def _marks_in(event: _Json) -> Iterator[_Mark]:
    """Yield what an entry of the audit log marks as failed: what its path names, or each entity of a bulk request."""
    extra = json.loads(event["extra"] or "{}")
    bulk = [each for action in extra.get("actions", ()) for each in action.get("entities", ())]
    for each in (extra, *bulk):
        if isinstance(each, dict) and "failed" in (each.get("state"), each.get("new_state")):
            run = _RunKey(each.get("dag_id") or event["dag_id"], each.get("dag_run_id") or event["run_id"])
            task_id = each.get("task_id") or event["task_id"] or ""
            yield _Mark(run, task_id, event["owner"] or "", datetime.fromisoformat(event["when"]))


def _with_marks(ended: EndedRun, marks: Iterable[_Mark]) -> EndedRun:
    """Return the run with those who have marked it, or tasks of it, as failed since it started."""
    run = ended.run
    own = [
        mark
        for mark in marks
        if mark.run == (run.dag_id, run.run_id) and not (run.started_at and mark.at < run.started_at)
    ]

    def by(task: EndedTask) -> str:
        named = [
            mark.by
            for mark in own
            if mark.task_id == task.task_id
            or (not mark.task_id and task.ended_at and abs(task.ended_at - mark.at) < _MARKED_WITHIN)
        ]
        return named[-1] if named else ""

    return replace(
        ended,
        tasks=tuple(replace(task, marked_by=by(task)) for task in ended.tasks),
        marked_by=next((mark.by for mark in reversed(own) if not mark.task_id), "") if ended.failed else "",
    )


def _run(run: _Json, facts: DagFacts) -> Run:
    return Run(
        dag_id=run["dag_id"],
        run_id=run["dag_run_id"],
        run_type=run["run_type"],
        started_at=_moment(run["start_date"]),
        own_values=has_own_values(run["conf"], facts.defaults),
        run_after=_moment(run["run_after"]),
    )


def _run_key(record: _Json) -> _RunKey:
    return _RunKey(record["dag_id"], record["dag_run_id"])


def _task_key(task: _Json) -> tuple[_RunKey, str, int]:
    return _run_key(task), task["task_id"], task["map_index"]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _span(text: str | None) -> timedelta | None:
    from pydantic import TypeAdapter

    return TypeAdapter(timedelta | None).validate_python(text)


def _severity(dag: _Json) -> Severity:
    """Return the severity of the DAG's tags; P1 if they have none."""
    tags = {tag["name"] for tag in dag["tags"]}
    return next((severity for severity in Severity if severity in tags), Severity.P1)
