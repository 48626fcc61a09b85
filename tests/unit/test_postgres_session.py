"""How connections are opened: with which options, and what happens where these are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from mindguard.postgres_session import connect, unlimited

LIFTED = "-c statement_timeout=0 -c lock_timeout=0 -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0"


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
    info = SimpleNamespace(options=accepted, server_version=version)
    connection: Any = SimpleNamespace(info=info)
    assert conninfo_to_dict(unlimited("host=h", connection)).get("options") == options
