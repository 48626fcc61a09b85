"""How connections are opened: with which options, and what happens where these are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Literal

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from mindguard import postgres_session
from mindguard.postgres_session import NoOwnSession, connect, require_own_session, unlimited

LIFTED = (
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 "
    "-c quote_all_identifiers=off"
)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connection strings with which the driver was called. Appended errors are raised by the next calls."""
    calls: list[Any] = []

    def opened(conninfo: str, **arguments: Any) -> Any:
        errors = [each for each in calls if isinstance(each, Exception)]
        calls[:] = [each for each in calls if each not in errors] + [conninfo_to_dict(conninfo), *errors[1:]]
        if errors:
            raise errors[0]
        return SimpleNamespace(**arguments)

    monkeypatch.setattr(psycopg, "connect", opened)
    monkeypatch.delenv("PGOPTIONS", raising=False)
    return calls


def test_limits_are_lifted_before_the_first_statement(tried: list[Any]) -> None:
    opened: Any = connect("host=h", autocommit=True)
    assert tried == [{"host": "h", "options": LIFTED}]
    assert (opened.autocommit, opened.prepare_threshold) == (True, None)


@pytest.mark.parametrize("written", ["conninfo", "environment"])
def test_the_users_own_options_stay_and_ours_come_last(
    written: str, tried: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c a.b=1 -c statement_timeout=5")
    connect("host=h options='-c a.b=2'" if written == "conninfo" else "host=h")
    own = "-c a.b=2" if written == "conninfo" else "-c a.b=1 -c statement_timeout=5"
    assert tried == [{"host": "h", "options": f"{own} {LIFTED}"}]


@pytest.mark.parametrize(
    "refusal",
    [
        "FATAL:  unsupported startup parameter: options",
        "FATAL:  unsupported startup parameter in options: statement_timeout",
        "FATAL:  RDS Proxy currently doesn't support command-line options.",
        'FATAL:  无法识别的配置参数 "idle_session_timeout"',
    ],
)
def test_where_options_are_refused_the_connection_is_opened_without(refusal: str, tried: list[Any]) -> None:
    tried.append(psycopg.OperationalError(refusal))
    connect("host=h options='-c a.b=2'")
    assert tried == [{"host": "h", "options": f"-c a.b=2 {LIFTED}"}, {"host": "h", "options": "-c a.b=2"}]


def test_any_other_refusal_is_not_tried_again(tried: list[Any]) -> None:
    tried.append(psycopg.OperationalError("password authentication failed"))
    with pytest.raises(psycopg.OperationalError):
        connect("host=h")
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("version", "accepted", "options"),
    [
        (18_00_00, LIFTED, f"{LIFTED} -c transaction_timeout=0"),
        (16_00_00, LIFTED, LIFTED),
        (18_00_00, "", None),
    ],
)
def test_programs_are_given_the_options_that_were_accepted(version: int, accepted: str, options: str | None) -> None:
    where = {"host": "b", "hostaddr": "10.0.0.2", "port": 5433}
    connection: Any = SimpleNamespace(info=SimpleNamespace(options=accepted, server_version=version, **where))
    given = conninfo_to_dict(unlimited("host=a,b port=5432,5433 dbname=d", connection))
    assert given.pop("options", None) == options
    assert given == {"host": "b", "hostaddr": "10.0.0.2", "port": "5433", "dbname": "d"}


# Whose session is it?

How = Literal["server", "sessions", "sessions not reset", "transactions", "busy transactions", "reset transactions"]


class Pool:
    """A server's sessions, the locks that they hold, and how a pooler hands them out. `server` is no pooler at all."""

    def __init__(self, how: How) -> None:
        self.how = how
        self.idle: list[int] = []
        self.locks: dict[int, set[tuple[int, ...]]] = {}
        if how == "busy transactions":
            self.idle += [self.new() for _ in range(4)]

    def take(self) -> int:
        """Return the process id of a session: one that is idle, or a new one. In a busy pool each in its turn."""
        if not self.idle or self.how == "server":
            return self.new()
        return self.idle.pop(0 if self.how == "busy transactions" else -1)

    def new(self) -> int:
        self.locks[pid := 100 + len(self.locks)] = set()
        return pid

    def give_back(self, pid: int, *, reset: bool) -> None:
        if reset:
            self.locks[pid].clear()
        self.idle.append(pid)


class Client:
    """A connection through the pool, which understands the statements of the probe."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.own = None if "transactions" in pool.how else pool.take()
        pid = self.own if pool.how == "server" else 7
        where = {"host": "h", "hostaddr": "", "port": 5432}
        self.info = SimpleNamespace(backend_pid=pid, dbname="app", dsn="host=h", password="p", **where)
        self.current = self.own

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.current = self.own or self.pool.take()
        yield
        if self.own is None:
            self.pool.give_back(self.current, reset=self.pool.how == "reset transactions")

    def execute(self, query: Any, values: dict[str, int] | None = None) -> Any:
        text = query.as_string()
        assert self.current is not None
        lock = tuple((values or {}).values())
        row: dict[str, Any] = {"pid": self.current}
        if "pg_advisory_lock" in text:
            self.pool.locks[self.current].add(lock)
        elif "pg_advisory_unlock" in text:
            self.pool.locks[self.current].discard(lock)
        elif "pg_locks" in text:
            row = {"pids": [pid for pid, locks in self.pool.locks.items() if lock in locks]}
        return SimpleNamespace(fetchall=lambda: [row])

    def cursor(self, **_: Any) -> Client:
        return self

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        if self.own:
            self.pool.give_back(self.own, reset=self.pool.how != "sessions not reset")


@pytest.mark.parametrize(
    ("how", "own"),
    [
        ("server", True),
        ("sessions", True),
        ("sessions not reset", False),
        ("transactions", False),
        ("busy transactions", False),
        ("reset transactions", False),
    ],
)
def test_a_session_is_told_from_one_that_is_lent(how: How, monkeypatch: pytest.MonkeyPatch, *, own: bool) -> None:
    pool = Pool(how)
    monkeypatch.setattr(postgres_session, "connect", lambda *_, **__: Client(pool))
    monkeypatch.setattr(postgres_session, "_RESET_WAIT_S", 0.2)
    client: Any = Client(pool)
    if own:
        require_own_session(client)
    else:
        with pytest.raises(NoOwnSession, match="database app is reached through a pooler that shares"):
            require_own_session(client)
    if how != "sessions not reset":
        assert not any(pool.locks.values()), "the probe leaves nothing behind"
